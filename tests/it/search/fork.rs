//! Runs that start from what another one knew, and runs that end when little is left to gain.

use super::Case;
use blocksmith::base::hash::Fingerprint;
use blocksmith::search::evaluate::{Answer, Asked, Costs, Evaluate};
use blocksmith::search::folder::{self, Folder};
use blocksmith::search::journal::Start;
use blocksmith::search::known::Known;
use blocksmith::search::metric::Metric;
use blocksmith::search::{Outcome, Run, Silent, Stop};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// 1296 small networks.
const SMALL: &str = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
    "vars": {"a": {"range": {"min": 4, "max": 24, "step": 4}}, "b": {"range": {"min": 4, "max": 24, "step": 4}}},
    "net": [
        {"block": "conv_bn_act", "out_channels": "=a", "kernel_size": {"choice": [1, 3, 5]}, "stride": 2},
        {"block": "conv_bn_act", "out_channels": "=b", "kernel_size": {"choice": [1, 3, 5]},
         "repeat": {"range": {"min": 1, "max": 4}}}]}"#;

fn small(algorithm: &str, budget: u64) -> Case {
    let mut case = Case::of(SMALL, algorithm, budget);
    case.settings.batch = Some(8);
    case
}

/// Tells of each network its accuracy and robustness, and keeps who was asked about. A tenth fails the first time.
struct Oracle {
    metrics: Vec<Metric>,
    asked: Vec<Fingerprint>,
    fails: bool,
}

impl Oracle {
    fn new(metrics: &[&str], fails: bool) -> Self {
        Self {
            metrics: metrics.iter().map(|m| Metric::Other((*m).into())).collect(),
            asked: Vec::new(),
            fails,
        }
    }
}

fn fails(network: Fingerprint) -> bool {
    network.0 % 10 == 3
}

fn accuracy(network: Fingerprint) -> f64 {
    (network.0 % 997) as f64 / 997.0
}

impl Evaluate for Oracle {
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn evaluate(
        &mut self,
        asked: &[Asked<'_>],
        _: &AtomicBool,
        answer: &mut dyn FnMut(usize, Answer) -> bool,
    ) -> Result<(), String> {
        for (position, question) in asked.iter().enumerate() {
            let network = question.fingerprint;
            self.asked.push(network);
            let told = match self.fails && fails(network) {
                true => Err("out of memory".to_owned()),
                false => Ok(vec![accuracy(network); self.metrics.len()]),
            };
            if !answer(position, told) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn search(case: &Case, folder: &Path, oracle: &mut dyn Evaluate, known: Option<&Known>) -> Outcome {
    let folder = Folder::create(folder, "csv").unwrap();
    let costs = Costs::new(&case.program, &case.devices);
    let run = Run {
        costs: &costs,
        problem: &case.problem,
        settings: case.settings,
        evaluator: Some(oracle),
        known,
        watch: &Silent,
        stop: &AtomicBool::new(false),
    };
    let found = folder::search(&folder, Start::Resume, run, &folder::csv);
    found.map_err(|e| e.to_string()).unwrap().0
}

fn bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// By network: trial, accuracy.
fn told(outcome: &Outcome) -> HashMap<Fingerprint, f64> {
    let trials = &outcome.trials;
    (0..trials.len())
        .map(|t| {
            (
                trials.fingerprint(t).unwrap(),
                *trials.metrics(t).last().unwrap(),
            )
        })
        .filter(|(_, accuracy)| !accuracy.is_nan())
        .collect()
}

#[test]
fn a_fork_asks_about_nothing_that_was_told_before() {
    let [old, new, after] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let objectives = ["max accuracy", "min latency_s@swift"];
    let first = small("random", 40).wanting(&objectives, &[]);
    let mut oracle = Oracle::new(&["accuracy"], true);
    let earlier = search(&first, old.path(), &mut oracle, None);
    let before = told(&earlier);
    assert!(oracle.asked.len() == 40 && before.len() > 30 && before.len() < 40);
    let files = bytes(old.path());

    // everything differs but the space and what the evaluator is asked
    for algorithm in ["guided", "nsga2", "front", "evolution", "random"] {
        let mut second = small(algorithm, 80);
        second.devices.truncate(1);
        second.settings.seed = 11;
        let second = second.wanting(&["max accuracy", "min params"], &["params<=9k"]);
        let metrics = [Metric::Other("accuracy".into())];
        let known = Known::gather(old.path(), second.space(), &metrics).unwrap();
        assert_eq!(known.len(), before.len());
        let folder = new.path().join(algorithm);
        let mut oracle = Oracle::new(&["accuracy"], false);
        let outcome = search(&second, &folder, &mut oracle, Some(&known));
        assert_eq!(outcome.trials.len(), 80);
        assert!(
            oracle.asked.iter().all(|n| !before.contains_key(n)),
            "{algorithm}"
        );
        let now = told(&outcome);
        let carried = before.keys().filter(|n| now.contains_key(n)).count();
        assert_eq!(outcome.tally.carried_over as usize, carried);
        assert_eq!(oracle.asked.len() + carried, 80);
        assert!(carried > 10, "{algorithm}: {carried}");
        assert!(
            before
                .iter()
                .all(|(n, x)| now.get(n).is_none_or(|y| x == y))
        );
        // those that are missing break the new limit
        let table = first.table(&earlier);
        let params = table.all_reals("params").unwrap();
        assert!(params.iter().filter(|p| **p <= 9e3).count() >= carried);
    }
    assert!(bytes(old.path()) == files, "the old run was changed");

    // the file of the new folder is as good as the old folder, also for a run that starts from that one
    let second = small("random", 60).wanting(&objectives, &[]);
    let metrics = [Metric::Other("accuracy".into())];
    let known = Known::gather(old.path(), second.space(), &metrics).unwrap();
    let path = after.path().join("known.jsonl");
    known.write(&path, second.space()).unwrap();
    let again = Known::read(&path, second.space(), &metrics).unwrap();
    assert_eq!(again.fingerprint(), known.fingerprint());
    assert_eq!(again.assignments(), known.assignments());
    let mut oracle = Oracle::new(&["accuracy"], false);
    search(&second, after.path(), &mut oracle, Some(&again));
    let third = Known::gather(after.path(), second.space(), &metrics).unwrap();
    assert_eq!(third.len(), 60);

    // answers of another space hold for the networks that the two share; a metric that nobody told is not known
    let other = Case::new("lite_osa.json", "random", 10);
    let elsewhere = Known::gather(old.path(), other.space(), &metrics).unwrap();
    assert_eq!(
        (elsewhere.len(), elsewhere.assignments().len()),
        (known.len(), 0)
    );
    let robust = [metrics[0].clone(), Metric::Other("robustness".into())];
    assert!(
        Known::gather(old.path(), first.space(), &robust)
            .unwrap()
            .is_empty()
    );
    let wrong = Known::read(&path, first.space(), &robust)
        .unwrap_err()
        .to_string();
    assert!(wrong.contains("not what was carried over"), "{wrong}");
}

/// Tells accuracies, and of every other network a robustness.
struct Half(Oracle);

impl Evaluate for Half {
    fn metrics(&self) -> &[Metric] {
        self.0.metrics()
    }

    fn evaluate(
        &mut self,
        asked: &[Asked<'_>],
        stop: &AtomicBool,
        answer: &mut dyn FnMut(usize, Answer) -> bool,
    ) -> Result<(), String> {
        let mut half = |place: usize, told: Answer| {
            let all = told.unwrap();
            let robust = match asked[place].fingerprint.0 % 2 {
                0 => all[1],
                _ => f64::NAN,
            };
            answer(place, Ok(vec![all[0], robust]))
        };
        self.0.evaluate(asked, stop, &mut half)
    }
}

#[test]
fn who_lacks_what_only_the_fork_needs_is_asked_again() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let first = small("random", 24).wanting(&["max accuracy", "min macs"], &[]);
    let mut half = Half(Oracle::new(&["accuracy", "robustness"], false));
    search(&first, old.path(), &mut half, None);
    let second = small("random", 24).wanting(&["max accuracy", "max robustness"], &[]);
    let metrics = ["accuracy", "robustness"].map(|m| Metric::Other(m.into()));
    let known = Known::gather(old.path(), second.space(), &metrics).unwrap();
    let mut oracle = Oracle::new(&["accuracy", "robustness"], false);
    let outcome = search(&second, new.path(), &mut oracle, Some(&known));
    let odd = |n: &Fingerprint| n.0 % 2 == 1;
    let lacking = half.0.asked.iter().filter(|n| odd(n)).count();
    assert!(lacking > 4 && lacking < 20);
    assert!(oracle.asked.iter().all(odd));
    assert_eq!(oracle.asked.len(), lacking);
    assert_eq!(
        (told(&outcome).len(), outcome.tally.missing.iter().sum()),
        (24, 0)
    );
}

#[test]
fn a_fork_that_was_broken_off_goes_on_as_if_it_had_not_been() {
    let [old, whole] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let objectives = ["max accuracy", "min latency_s@swift"];
    let first = small("random", 20).wanting(&objectives, &[]);
    search(
        &first,
        old.path(),
        &mut Oracle::new(&["accuracy"], true),
        None,
    );
    let second = small("guided", 40).wanting(&objectives, &[]);
    let metrics = [Metric::Other("accuracy".into())];
    let known = Known::gather(old.path(), second.space(), &metrics).unwrap();
    let mut oracle = Oracle::new(&["accuracy"], false);
    let expected = second.table(&search(&second, whole.path(), &mut oracle, Some(&known)));
    let journal = std::fs::read(whole.path().join("journal.jsonl")).unwrap();
    let ends: Vec<usize> = (0..journal.len())
        .filter(|&i| journal[i] == b'\n')
        .collect();
    for records in [0, 5, 18, 19, 30, 39] {
        let broken = tempfile::tempdir().unwrap();
        let path = broken.path().join("journal.jsonl");
        std::fs::write(&path, &journal[..ends[records] + 4]).unwrap();
        let mut oracle = Oracle::new(&["accuracy"], false);
        let outcome = search(&second, broken.path(), &mut oracle, Some(&known));
        assert!(
            second.table(&outcome) == expected,
            "after {records} records"
        );
        assert_eq!(std::fs::read(&path).unwrap(), journal);
    }
}

#[test]
fn a_search_ends_when_little_is_left_to_gain_wherever_it_was_broken_off() {
    let case = |until_gain| {
        let objectives = ["max accuracy", "min latency_s@swift"];
        let mut case = small("guided", 72).wanting(&objectives, &[]);
        case.settings.until_gain = until_gain;
        case
    };
    let free = tempfile::tempdir().unwrap();
    let all = search(
        &case(None),
        free.path(),
        &mut Oracle::new(&["accuracy"], false),
        None,
    );
    assert_eq!((all.stop, all.trials.len()), (Stop::Budget, 72));
    // noise promises a few percent for ever: some part that it comes below before the budget ends
    let least = 0.2;
    let whole = tempfile::tempdir().unwrap();
    let ended = search(
        &case(Some(least)),
        whole.path(),
        &mut Oracle::new(&["accuracy"], false),
        None,
    );
    assert_eq!(ended.stop, Stop::Gain);
    assert!(ended.gain_left.unwrap() < least);
    let n = ended.trials.len();
    assert!(n < 72 && n > 24, "{n}");
    let journal = |folder: &tempfile::TempDir| {
        let text = std::fs::read_to_string(folder.path().join("journal.jsonl")).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // it is the beginning of the run that goes on
    let (long, short) = (journal(&free), journal(&whole));
    assert_eq!(long[..=n], short[..]);
    for records in [n / 2, n] {
        let broken = tempfile::tempdir().unwrap();
        let lines = short[..=records].join("\n") + "\n";
        std::fs::write(broken.path().join("journal.jsonl"), lines).unwrap();
        let again = search(
            &case(Some(least)),
            broken.path(),
            &mut Oracle::new(&["accuracy"], false),
            None,
        );
        assert_eq!((again.stop, again.trials.len()), (Stop::Gain, n));
        assert_eq!(journal(&broken), short);
        // and without the wish it goes on as if that had never been
        search(
            &case(None),
            broken.path(),
            &mut Oracle::new(&["accuracy"], false),
            None,
        );
        assert_eq!(journal(&broken), long);
        // what is known stays
        let kept = search(
            &case(Some(0.9)),
            broken.path(),
            &mut Oracle::new(&["accuracy"], false),
            None,
        );
        assert_eq!(kept.trials.len(), 72);
    }
}
