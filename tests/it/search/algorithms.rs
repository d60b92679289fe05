//! What every algorithm promises: the true front of a small space, nothing twice, nothing beyond a known limit, the same on
//! any thread count and after any interruption.

use super::Case;
use blocksmith::search::evaluate::{Answer, Asked, Costs, Evaluate};
use blocksmith::search::folder::{self, Folder};
use blocksmith::search::front::Points;
use blocksmith::search::hypervolume::hypervolume;
use blocksmith::search::journal::Start;
use blocksmith::search::metric::Metric;
use blocksmith::search::{Outcome, Run, SEARCHERS, SearcherDef, Silent, Stop, searcher};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// 768 assignments: numbers, words, a conditional part, and copies (the second norm of `plain` is never read).
const SPACE: &str = r#"{"format": "blocksmith/1", "input": [3, 16, 16],
    "vars": {"w": {"range": {"min": 8, "max": 32, "step": 8}}, "k": {"choice": [1, 3, 5]},
             "act": {"choice": ["relu", "silu"]}, "unused": {"choice": [1, 2]}},
    "net": [
        {"block": "conv_bn_act", "out_channels": "=w", "kernel_size": "=k", "act": "=act"},
        {"id": "body", "choice": [
            {"as": "plain", "block": "conv_bn_act", "out_channels": "=w", "kernel_size": {"choice": [1, 3]}},
            {"as": "deep", "block": "conv_bn_act", "out_channels": "=w", "kernel_size": 3,
             "repeat": {"range": {"min": 1, "max": 3}}},
            {"as": "apart", "block": "separable_conv", "out_channels": "=2*w", "kernel_size": {"choice": [3, 5, 7]}}]},
        {"block": "classifier", "classes": {"choice": [10, 12]}}]}"#;

/// Tells an accuracy that grows with parameters, less and less, and with some of the choices; notes what it is asked.
pub struct Teacher {
    metrics: Vec<Metric>,
    space: blocksmith::space::Space,
    asked: Vec<String>,
    answers_left: usize,
}

impl Teacher {
    fn new(case: &Case) -> Self {
        Self {
            metrics: vec![Metric::Other("accuracy".into())],
            space: case.space().clone(),
            asked: Vec::new(),
            answers_left: usize::MAX,
        }
    }

    fn accuracy(choices: &serde_json::Value) -> f64 {
        let number = |name: &str| choices[name].as_f64().unwrap_or(0.0);
        let body = choices["body"].as_str().unwrap();
        let part = match body {
            "plain" => number("net[1].choice[0].kernel_size") / 3.0,
            "deep" => 1.0 + number("net[1].choice[1].repeat").ln(),
            _ => 0.9 + number("net[1].choice[2].kernel_size") / 20.0,
        };
        let act = if choices["act"] == "silu" { 0.05 } else { 0.0 };
        0.5 + 0.1 * number("w").ln() + 0.03 * number("k") + 0.1 * part + act
    }
}

impl Evaluate for Teacher {
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn evaluate(
        &mut self,
        asked: &[Asked<'_>],
        _: &AtomicBool,
        answer: &mut dyn FnMut(usize, Answer) -> bool,
    ) -> Result<(), String> {
        for (position, question) in asked.iter().enumerate().rev() {
            if self.answers_left == 0 {
                return Ok(());
            }
            self.answers_left -= 1;
            self.asked.push(question.fingerprint.to_string());
            let choices = self.space.assignment_to_json(question.assignment);
            // every now and then a training fails
            let told = match question.trial % 17 {
                5 => Err("it fell over".to_owned()),
                _ => Ok(vec![Self::accuracy(&choices)]),
            };
            if !answer(position, told) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn case(algorithm: &str, budget: u64) -> Case {
    let mut case = Case::of(SPACE, algorithm, budget);
    case.settings.batch = None;
    case
}

fn taught(case: &Case, folder: Option<(&Path, Start)>, answers: usize) -> (Outcome, Vec<String>) {
    let mut teacher = Teacher::new(case);
    teacher.answers_left = answers;
    let costs = Costs::new(&case.program, &case.devices);
    let run = Run {
        costs: &costs,
        problem: &case.problem,
        settings: case.settings,
        evaluator: Some(&mut teacher),
        known: None,
        watch: &Silent,
        stop: &AtomicBool::new(false),
    };
    let outcome = match folder {
        Some((path, start)) => {
            let folder = Folder::create(path, "csv").unwrap();
            folder::search(&folder, start, run, &folder::csv).unwrap().0
        }
        None => run.search(None).unwrap(),
    };
    (outcome, teacher.asked)
}

/// The objectives of the front, to be compared whatever the order of trials.
fn front(outcome: &Outcome, names: &[&str]) -> Vec<Vec<u64>> {
    let place = |name: &&str| outcome.metrics.iter().position(|m| m.to_string() == **name);
    let places: Vec<usize> = names.iter().map(|n| place(n).unwrap()).collect();
    let row = |t: &usize| {
        let metrics = outcome.trials.metrics(*t);
        places.iter().map(|p| metrics[*p].to_bits()).collect()
    };
    let mut rows: Vec<Vec<u64>> = outcome.front.iter().map(row).collect();
    rows.sort();
    rows.dedup();
    rows
}

fn distinct(outcome: &Outcome) -> usize {
    let prints = (0..outcome.trials.len()).map(|t| outcome.trials.fingerprint(t));
    prints.collect::<HashSet<_>>().len()
}

/// How a search ends that has found all of a small space: draws alone cannot know it.
fn found_all(algorithm: &SearcherDef) -> Stop {
    match algorithm.name {
        "random" => Stop::Dry,
        _ => Stop::Exhausted,
    }
}

#[test]
fn every_algorithm_comes_to_the_true_front_and_stops_there() {
    let all = case("exhaustive", 768).search();
    let names = ["latency_s@swift", "params"];
    assert!(all.tally.copies > 0 && all.front.len() > 5);
    for algorithm in SEARCHERS.iter().filter(|s| s.name != "exhaustive") {
        let outcome = case(algorithm.name, 5000).search();
        assert_eq!(outcome.stop, found_all(algorithm), "{}", algorithm.name);
        assert_eq!(outcome.trials.len(), all.trials.len(), "{}", algorithm.name);
        assert_eq!(front(&outcome, &names), front(&all, &names));
    }
}

#[test]
fn an_evaluator_is_asked_nothing_twice_and_nothing_beyond_a_limit() {
    let objectives = ["max accuracy", "min latency_s@swift"];
    let all = case("exhaustive", 768).search();
    let params = (all.metrics.iter())
        .position(|m| *m == Metric::Params)
        .unwrap();
    let counts = (0..all.trials.len()).map(|t| all.trials.metrics(t)[params]);
    let mut counts: Vec<f64> = counts.collect();
    counts.sort_by(f64::total_cmp);
    let most = counts[counts.len() / 3];
    let limit = format!("params<={most}");
    let within = counts.iter().filter(|x| **x <= most).count();
    assert!(within > 40 && within < counts.len());
    for algorithm in SEARCHERS {
        let case = case(algorithm.name, 5000).wanting(&objectives, &[&limit]);
        let (outcome, asked) = taught(&case, None, usize::MAX);
        assert_eq!(outcome.trials.len(), within, "{}", algorithm.name);
        assert_eq!(distinct(&outcome), within);
        assert_eq!(asked.len(), within);
        assert_eq!(asked.iter().collect::<HashSet<_>>().len(), within);
        let fits = |t| outcome.trials.metrics(t)[params] <= most;
        assert!((0..within).all(fits));
        assert_eq!(
            outcome.tally.failed,
            (0..within).filter(|t| t % 17 == 5).count() as u64
        );
    }
}

#[test]
fn an_impossible_limit_ends_without_a_question() {
    for algorithm in SEARCHERS {
        let case = case(algorithm.name, 5000).wanting(&["max accuracy"], &["params<=10"]);
        let (outcome, asked) = taught(&case, None, usize::MAX);
        assert_eq!(
            (outcome.trials.len(), asked.len()),
            (0, 0),
            "{}",
            algorithm.name
        );
        assert_eq!(outcome.stop, found_all(algorithm), "{}", algorithm.name);
    }
}

#[test]
fn a_part_of_the_budget_is_enough_where_choices_are_not_left_to_chance() {
    let objectives = ["min latency_s@swift", "max params"];
    let volume = |outcome: &Outcome| {
        let points: Vec<f64> = (front(outcome, &["latency_s@swift", "params"]).iter())
            .flat_map(|p| [f64::from_bits(p[0]), -f64::from_bits(p[1])])
            .collect();
        hypervolume(Points::new(&points, 2), &[1.0, 0.0])
    };
    let whole = volume(&case("exhaustive", 768).search());
    // dying of age loses what was good: evolution keeps no front
    let least = [("front", 0.995), ("nsga2", 0.995), ("evolution", 0.9)];
    for (name, least) in least {
        let outcome = case(name, 192).wanting(&objectives, &[]).search();
        assert_eq!(outcome.trials.len(), 192);
        let share = volume(&outcome) / whole;
        assert!(share > least, "{name}: {share}");
    }
}

#[test]
fn threads_do_not_matter_to_any_algorithm() {
    for algorithm in SEARCHERS {
        let runs = [1, 2].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let case = case(algorithm.name, 120 + 648 * u64::from(algorithm.ends))
                .wanting(&["max accuracy", "min latency_s@swift", "min params"], &[]);
            pool.unwrap().install(|| {
                let (outcome, _) = taught(&case, None, usize::MAX);
                case.table(&outcome)
            })
        });
        assert!(runs[0] == runs[1], "{}", algorithm.name);
    }
}

#[test]
fn every_algorithm_goes_on_where_it_was_cut() {
    let files =
        |path: &Path| ["trials.csv", "journal.jsonl"].map(|f| std::fs::read(path.join(f)).unwrap());
    let lines = |bytes: &[u8]| -> HashSet<String> {
        let text = String::from_utf8_lossy(bytes);
        // the sequence number and the checksum depend on the order of the answers, the trial does not
        text.lines()
            .skip(1)
            .map(|l| l[l.find("\"trial\"").unwrap()..].to_owned())
            .collect()
    };
    let broken = Mutex::new(0);
    for algorithm in SEARCHERS.iter().filter(|s| !s.ends) {
        let case = case(algorithm.name, 90).wanting(&["max accuracy", "min latency_s@swift"], &[]);
        let [whole, cut] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        taught(&case, Some((whole.path(), Start::New)), usize::MAX);
        let mut start = Start::New;
        for answers in [3, 20, 1, 31, usize::MAX] {
            let (outcome, asked) = taught(&case, Some((cut.path(), start)), answers);
            *broken.lock().unwrap() += usize::from(outcome.stop == Stop::Interrupted);
            assert!(asked.len() <= answers);
            start = Start::Resume;
        }
        let (whole, cut) = (files(whole.path()), files(cut.path()));
        assert!(whole[0] == cut[0], "{}", algorithm.name);
        assert!(lines(&whole[1]).len() == 90 && lines(&cut[1]).len() == 90);
    }
    assert!(broken.into_inner().unwrap() > 8);
    assert!(searcher("guided").is_some());
}

/// Some 80,000 assignments: too many to be listed.
const LARGE: &str = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
    "vars": {"a": {"range": {"min": 4, "max": 32, "step": 4}}, "b": {"range": {"min": 4, "max": 32, "step": 4}},
             "c": {"range": {"min": 4, "max": 32, "step": 4}}},
    "net": [
        {"block": "conv_bn_act", "out_channels": "=a", "kernel_size": {"choice": [1, 3, 5]}},
        {"block": "conv_bn_act", "out_channels": "=b", "kernel_size": {"choice": [1, 3, 5]}},
        {"block": "conv_bn_act", "out_channels": "=c", "kernel_size": {"choice": [1, 3, 5]},
         "repeat": {"range": {"min": 1, "max": 3}}},
        {"block": "classifier", "classes": {"choice": [10, 12]}}]}"#;

/// Tells an accuracy that the first layers matter most for, and a robustness that larger kernels help.
struct Two {
    metrics: Vec<Metric>,
    space: blocksmith::space::Space,
}

impl Evaluate for Two {
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
            let choices = self.space.assignment_to_json(question.assignment);
            let number = |name: &str| choices[name].as_f64().unwrap();
            let widths = 3.0 * number("a").ln() + 2.0 * number("b").ln() + number("c").ln();
            let kernels = number("net[0].kernel_size") + number("net[1].kernel_size");
            let told = vec![
                0.1 * widths / 2.0 - 0.1,
                0.3 + 0.05 * kernels - 0.02 * widths,
            ];
            if !answer(position, Ok(told)) {
                break;
            }
        }
        Ok(())
    }
}

#[test]
fn a_guided_search_of_a_large_space_beats_chance_within_its_limits() {
    let limits = ["params<=12000", "robustness>=0.3"];
    let objectives = ["max accuracy", "max robustness", "min latency_s@swift"];
    let found = ["guided", "random"].map(|name| {
        let mut case = Case::of(LARGE, name, 48).wanting(&objectives, &limits);
        case.settings.batch = None;
        let mut two = Two {
            metrics: ["accuracy", "robustness"]
                .map(|n| Metric::Other(n.into()))
                .into(),
            space: case.space().clone(),
        };
        let costs = Costs::new(&case.program, &case.devices);
        let run = Run {
            costs: &costs,
            problem: &case.problem,
            settings: case.settings,
            evaluator: Some(&mut two),
            known: None,
            watch: &Silent,
            stop: &AtomicBool::new(false),
        };
        let outcome = run.search(None).unwrap();
        assert_eq!((outcome.trials.len(), distinct(&outcome)), (48, 48));
        assert_eq!(outcome.gain_left.is_some(), name == "guided");
        let params = outcome.metrics.iter().position(|m| *m == Metric::Params);
        let most = (0..48)
            .map(|t| outcome.trials.metrics(t)[params.unwrap()])
            .fold(0.0, f64::max);
        assert!(most <= 12_000.0);
        let names = ["accuracy", "robustness", "latency_s@swift"];
        let all = front(&outcome, &names);
        let slowest = 1e-3;
        let points: Vec<f64> = (all.iter())
            .flat_map(|p| {
                let [a, r, l] = [0, 1, 2].map(|k| f64::from_bits(p[k]));
                [-a, -r, l / slowest]
            })
            .collect();
        assert!(points.chunks(3).all(|p| p[2] < 1.0), "{points:?}");
        hypervolume(Points::new(&points, 3), &[-0.3, -0.3, 1.0])
    });
    assert!(found[0] > 1.1 * found[1], "{found:?}");
}

/// A value that is drawn once in 10^9 draws: chance does not find it and must not say that it has found all.
#[test]
fn an_end_says_that_all_was_found_only_where_it_was() {
    let rare = r#"{"format": "blocksmith/1", "input": [3, 16, 16],
        "net": [{"op": "conv", "out_channels": {"choice": [8, 16], "weights": [1e9, 1]}, "kernel_size": 1}]}"#;
    for algorithm in SEARCHERS {
        let case = Case::of(rare, algorithm.name, 100).wanting(&["min macs"], &[]);
        let outcome = case.search();
        let found = match algorithm.name {
            "random" => (1, Stop::Dry),
            _ => (2, Stop::Exhausted),
        };
        let got = (outcome.trials.len(), outcome.stop);
        assert_eq!(got, found, "{}", algorithm.name);
    }
}
