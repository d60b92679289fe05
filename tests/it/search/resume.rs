//! A run that ended anywhere goes on and is the unbroken one.

use super::{Case, EndAfter, rows_written};
use blocksmith::base::parts::Parts;
use blocksmith::search::evaluate::{Answer, Asked, Costs, Evaluate};
use blocksmith::search::folder::{self, Folder};
use blocksmith::search::journal::Start;
use blocksmith::search::metric::Metric;
use blocksmith::search::{Outcome, Run, Silent, Stop};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

fn case() -> Case {
    Case::new("mixed_stages.json", "random", 40)
}

fn files(folder: &Path) -> [Vec<u8>; 4] {
    ["trials.csv", "front.csv", "run.json", "journal.jsonl"]
        .map(|f| std::fs::read(folder.join(f)).unwrap())
}

#[test]
fn a_run_cut_after_any_record_resumes_to_the_unbroken_one() {
    let whole = tempfile::tempdir().unwrap();
    case().search_in(whole.path(), Start::New);
    let expected = files(whole.path());
    let journal = &expected[3];
    let ends: Vec<usize> = (0..journal.len())
        .filter(|&i| journal[i] == b'\n')
        .collect();
    assert_eq!(ends.len(), 41);
    for (record, end) in ends.iter().enumerate() {
        // once right after the record, once in the middle of the next
        for torn in [0, 9] {
            let folder = tempfile::tempdir().unwrap();
            let cut = (end + 1 + torn).min(journal.len());
            std::fs::write(folder.path().join("journal.jsonl"), &journal[..cut]).unwrap();
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(1 + record % 2)
                .build();
            let outcome = pool
                .unwrap()
                .install(|| case().search_in(folder.path(), Start::Resume));
            assert_eq!(outcome.tally.replayed, record as u64);
            assert!(
                files(folder.path()) == expected,
                "cut after record {record}"
            );
        }
    }
}

#[test]
fn a_larger_budget_goes_on_as_if_it_had_been_there_from_the_start() {
    let [grown, whole] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for budget in [1, 7, 40, 75] {
        let case = Case::new("mixed_stages.json", "random", budget);
        case.search_in(grown.path(), Start::Resume);
    }
    Case::new("mixed_stages.json", "random", 75).search_in(whole.path(), Start::New);
    assert!(files(grown.path()) == files(whole.path()));
}

#[test]
fn another_search_in_the_same_folder_is_refused() {
    let path = tempfile::tempdir().unwrap();
    case().search_in(path.path(), Start::New);
    let before = files(path.path());
    let told = |case: &Case, start| {
        let folder = Folder::create(path.path(), "csv").unwrap();
        let mut text = String::new();
        case.run(|run| {
            let result = folder::search(&folder, start, run, &folder::csv);
            text = result.unwrap_err().to_string();
            case.search()
        });
        text
    };
    let again = told(&case(), Start::New);
    assert!(
        again.contains("is there already; resume that run"),
        "{again}"
    );
    let mut other = case().wanting(&["min macs"], &["params<=5M"]);
    other.settings.seed = 8;
    let other = told(&other, Start::Resume);
    for part in [
        "seed: the journal has 7, this search 8",
        "settings.limits",
        "settings.objectives",
    ] {
        assert!(other.contains(part), "{other}");
    }
    let mut other = case();
    other.devices[1] = super::device::covering_all("slow", 3.5);
    let other = told(&other, Start::Resume);
    assert!(other.contains("devices.slow"), "{other}");
    assert!(files(path.path()) == before);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let path = tempfile::tempdir().unwrap();
    let file = path.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Folder::create(&file.join("run"), "csv")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot make") && error.contains("file"),
        "{error}"
    );
}

/// Tells a made-up accuracy, in an order of its own; gives up after some answers where it is told to.
struct MadeUp {
    metrics: Vec<Metric>,
    answers_left: usize,
    asked: Vec<u64>,
}

impl Evaluate for MadeUp {
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
            self.asked.push(question.trial);
            let accuracy = (question.fingerprint.0 % 1000) as f64 / 1000.0;
            let told = match question.trial % 10 {
                3 => Err("diverged \"badly\"".into()),
                _ => Ok(vec![accuracy]),
            };
            answer(position, told);
        }
        Ok(())
    }
}

fn evaluated(folder: &Path, answers_left: usize) -> (Outcome, Vec<u64>) {
    let case = case().wanting(&["max accuracy", "min latency_s@swift"], &["accuracy>=0.2"]);
    let mut evaluator = MadeUp {
        metrics: vec![Metric::Other("accuracy".into())],
        answers_left,
        asked: Vec::new(),
    };
    let folder = Folder::create(folder, "csv").unwrap();
    let costs = Costs::new(&case.program, &case.devices);
    let run = Run {
        costs: &costs,
        problem: &case.problem,
        settings: case.settings,
        evaluator: Some(&mut evaluator),
        known: None,
        watch: &Silent,
        stop: &AtomicBool::new(false),
    };
    let (outcome, _) = folder::search(&folder, Start::Resume, run, &folder::csv).unwrap();
    (outcome, evaluator.asked)
}

#[test]
fn an_evaluator_is_never_asked_twice() {
    let whole = tempfile::tempdir().unwrap();
    let (outcome, asked) = evaluated(whole.path(), usize::MAX);
    assert_eq!(asked.len(), 40);
    assert_eq!(outcome.tally.failed, 4);
    let expected = files(whole.path());
    let text = String::from_utf8(expected[0].clone()).unwrap();
    assert_eq!(text.matches("diverged \"\"badly\"\"").count(), 4);
    for &trial in &outcome.front {
        let accuracy = outcome.trials.metrics(trial).last().copied().unwrap();
        assert!(accuracy >= 0.2, "{accuracy}");
    }
    for step in [1, 7, 16, 39] {
        let folder = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        loop {
            let (outcome, asked) = evaluated(folder.path(), step);
            all.extend(asked);
            if outcome.stop != Stop::Interrupted {
                break;
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>(), "{step} answers at a time");
        let [trials, front, ..] = files(folder.path());
        assert!(
            trials == expected[0] && front == expected[1],
            "{step} answers at a time"
        );
    }
}

#[test]
fn an_interrupted_run_keeps_what_it_has_and_goes_on() {
    let [broken, whole] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let case = case();
    case.search_in(whole.path(), Start::New);
    let folder = Folder::create(broken.path(), "csv").unwrap();
    let stop = AtomicBool::new(false);
    let watch = EndAfter(AtomicUsize::new(2), &stop);
    let costs = Costs::new(&case.program, &case.devices);
    let run = Run {
        costs: &costs,
        problem: &case.problem,
        settings: case.settings,
        evaluator: None,
        known: None,
        watch: &watch,
        stop: &stop,
    };
    let (outcome, _) = folder::search(&folder, Start::New, run, &folder::csv).unwrap();
    assert_eq!(
        (outcome.stop, outcome.trials.len()),
        (Stop::Interrupted, 32)
    );
    let [trials, ..] = files(broken.path());
    assert!(files(whole.path())[0].starts_with(&trials));
    assert_eq!(
        case.search_in(broken.path(), Start::Resume).stop,
        Stop::Budget
    );
    assert!(files(broken.path()) == files(whole.path()));
}

const CHILD: &str = "BLOCKSMITH_TEST_SEARCH_IN";
const CHILD_BUDGET: u64 = 3000;
/// More than a child can do before it is killed.
const ENDLESS: u64 = 10_000_000;

/// Not a test of its own: what the children of the tests below run.
#[test]
fn child() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let budget = std::env::var("BLOCKSMITH_TEST_BUDGET").unwrap();
        let case = Case::new("mixed_stages.json", "random", budget.parse().unwrap());
        case.search_in(Path::new(&folder), Start::Resume);
    }
}

fn spawn(folder: &Path, budget: u64) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "search::resume::child"])
        .env(CHILD, folder)
        .env("BLOCKSMITH_TEST_BUDGET", budget.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_at_any_moment_it_resumes_to_the_unbroken_run() {
    let [broken, whole] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    assert!(spawn(whole.path(), CHILD_BUDGET).wait().unwrap().success());
    let (mut kills, mut before) = (0, 0);
    loop {
        let mut child = spawn(broken.path(), CHILD_BUDGET);
        let started = Instant::now();
        // each life gets further than the last by some hundred rows, so that no kill is wasted
        while rows_written(broken.path()) < before + 100 + 200 * kills {
            if child.try_wait().unwrap().is_some() || started.elapsed() > Duration::from_secs(60) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // nothing that was there is lost
        let now = rows_written(broken.path());
        assert!(now >= before, "{now} rows after {before}");
        (before, kills) = (now, kills + 1);
    }
    assert!(kills >= 1, "never killed");
    let [trials, front, run, _] = files(broken.path());
    let [trials_whole, front_whole, run_whole, _] = files(whole.path());
    assert!(trials == trials_whole && front == front_whole && run == run_whole);
    assert_eq!(
        trials.iter().filter(|b| **b == b'\n').count() as u64,
        CHILD_BUDGET + 1
    );
}

#[test]
fn nobody_else_searches_in_a_folder_whose_tables_are_being_written() {
    let path = tempfile::tempdir().unwrap();
    let folder = Folder::create(path.path(), "csv").unwrap();
    let refused = Mutex::new(Vec::new());
    let case = case();
    case.run(|run| {
        let write = |table: &Parts<'_>, file: &Path| {
            case.run(|other| {
                let found = other.search(Some((&folder.journal(), Start::Resume)));
                let told = found.map_or_else(|e| e.to_string(), |o| o.stop.name().to_owned());
                refused.lock().unwrap().push(told);
                Case::new("lite_osa.json", "random", 1).search()
            });
            folder::csv(table, file)
        };
        folder::search(&folder, Start::New, run, &write).unwrap().0
    });
    let refused = refused.into_inner().unwrap();
    assert_eq!(refused.len(), 2, "trials and front");
    let all = |text: &String| text.contains("another process is writing to it");
    assert!(refused.iter().all(all), "{refused:?}");
    // and it is free again then
    case.search_in(path.path(), Start::Resume);
}

#[test]
fn a_second_process_is_refused() {
    let path = tempfile::tempdir().unwrap();
    let mut child = spawn(path.path(), ENDLESS);
    let started = Instant::now();
    while rows_written(path.path()) == 0 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let case = Case::new("mixed_stages.json", "random", CHILD_BUDGET);
    let folder = Folder::create(path.path(), "csv").unwrap();
    let refused = Mutex::new(String::new());
    case.run(|run| {
        if let Err(error) = folder::search(&folder, Start::Resume, run, &folder::csv) {
            *refused.lock().unwrap() = error.to_string();
        }
        Case::new("lite_osa.json", "random", 1).search()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let refused = refused.into_inner().unwrap();
    assert!(
        refused.contains("another process is writing to it"),
        "{refused:?}"
    );
}
