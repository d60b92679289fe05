//! Evaluators that are processes and behave; `misbehaving` has the others. Each is a shell script of a few lines; what they answer is a
//! function of the question's number, so that the right result is known beforehand.
#![cfg(unix)]

use super::{Case, EndAfter};
use blocksmith::search::evaluate::Costs;
use blocksmith::search::folder::{self, Folder};
use blocksmith::search::journal::Start;
use blocksmith::search::metric::Metric;
use blocksmith::search::process::{Lives, Options, Process};
use blocksmith::search::{Outcome, Progress, Run, Silent, Stop, Watch};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What every script may use: the next question's number, an answer to it, and the number of this life.
const PRELUDE: &str = r#"
dir=$(dirname "$0")
next() { IFS= read -r line || exit 0; id=${line#*:}; id=${id%%,*}; echo "$id" >> "$dir/asked"; }
tell() { echo "{\"id\":$1,\"metrics\":{\"accuracy\":0.$(( ($1 * 37 + 11) % 90 + 10 ))}}"; }
echo life >> "$dir/lives"
life=$(grep -c life "$dir/lives")
"#;

/// The one that behaves.
pub const GOOD: &str = "while next; do tell $id; done";

pub const TRIALS: usize = 24;

pub fn accuracy(trial: usize) -> f64 {
    ((trial * 37 + 11) % 90 + 10) as f64 / 100.0
}

/// A run folder with a script in it.
pub struct Bench {
    pub folder: TempDir,
    pub options: Options,
    pub more: Vec<Metric>,
    pub told: Arc<Mutex<Vec<String>>>,
    pub stop: AtomicBool,
}

impl Bench {
    pub fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evaluator.sh");
        std::fs::write(&path, format!("{PRELUDE}{script}\n")).unwrap();
        let options = Options {
            // without exec a shell would stand between, with ends of its own of the pipes
            command: format!("exec sh '{}'", path.display()),
            in_flight: 1,
            timeout: None,
            retries: 1,
            max_failures: 5,
            folder: folder.path().to_path_buf(),
        };
        Self {
            folder,
            options,
            more: Vec::new(),
            told: Arc::default(),
            stop: AtomicBool::new(false),
        }
    }

    pub fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        self
    }

    pub fn rewrite(&self, script: &str) {
        let path = self.folder.path().join("evaluator.sh");
        std::fs::write(path, format!("{PRELUDE}{script}\n")).unwrap();
    }

    pub fn watched(&self, watch: &dyn Watch) -> (Result<Outcome, String>, Lives) {
        let mut case = Case::new("mixed_stages.json", "random", TRIALS as u64)
            .wanting(&["max accuracy", "min latency_s@swift"], &[]);
        case.settings.batch = Some(8);
        let told = Arc::clone(&self.told);
        let tell = move |text: &str| told.lock().unwrap().push(text.to_owned());
        let (program, options) = (&case.program, self.options.clone());
        let mut process = Process::new(program, &case.problem, &self.more, options, tell).unwrap();
        let folder = Folder::create(self.folder.path(), "csv").unwrap();
        let costs = Costs::new(&case.program, &case.devices);
        let run = Run {
            costs: &costs,
            problem: &case.problem,
            settings: case.settings,
            evaluator: Some(&mut process),
            known: None,
            watch,
            stop: &self.stop,
        };
        let result = folder::search(&folder, Start::Resume, run, &folder::csv);
        (
            result.map(|r| r.0).map_err(|e| e.to_string()),
            process.lives(),
        )
    }

    pub fn search(&self) -> (Outcome, Lives) {
        let (result, lives) = self.watched(&Silent);
        (result.unwrap(), lives)
    }

    pub fn error(&self) -> (String, Lives) {
        let (result, lives) = self.watched(&Silent);
        (result.unwrap_err(), lives)
    }

    pub fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }

    pub fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn numbers(&self, file: &str) -> Vec<usize> {
        self.lines(file)
            .iter()
            .map(|l| l.parse().unwrap())
            .collect()
    }

    /// Rows of the journal, without its header.
    pub fn rows(&self) -> usize {
        self.lines("journal.jsonl").len().saturating_sub(1)
    }
}

pub fn accuracies(outcome: &Outcome) -> Vec<f64> {
    let last = |t| *outcome.trials.metrics(t).last().unwrap();
    (0..outcome.trials.len()).map(last).collect()
}

/// All as told, but for some trials that have no answer.
pub fn assert_all_but(outcome: &Outcome, failed: &[usize]) {
    let got = accuracies(outcome);
    assert_eq!(got.len(), TRIALS);
    for (trial, x) in got.iter().enumerate() {
        match failed.contains(&trial) {
            true => assert!(x.is_nan(), "trial {trial}: {x}"),
            false => assert_eq!(*x, accuracy(trial), "trial {trial}"),
        }
    }
    assert_eq!(outcome.tally.failed, failed.len() as u64);
}

/// True while a process of that number runs (and is no zombie).
pub fn runs(process: usize) -> bool {
    let state = match cfg!(target_os = "linux") {
        true => {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let after = stat.rsplit_once(") ").map(|(_, after)| after.to_owned());
            after.unwrap_or_default()
        }
        false => {
            let process = process.to_string();
            let ps = Command::new("ps")
                .args(["-o", "stat=", "-p", &process])
                .output();
            String::from_utf8(ps.unwrap().stdout).unwrap()
        }
    };
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

/// Waits for a process to end.
pub fn assert_ends(process: usize) {
    let started = Instant::now();
    while runs(process) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{process} still runs"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn answers_reach_their_trials() {
    let bench = Bench::new(GOOD);
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[]);
    assert_eq!(lives.starts, 1);
    assert_eq!(bench.numbers("asked"), (0..TRIALS).collect::<Vec<_>>());
    assert_eq!(bench.told(), "");
    let run = std::fs::read_to_string(bench.folder.path().join("run.json")).unwrap();
    assert!(run.contains("\"evaluator\": \"exec sh '"), "{run}");
}

#[test]
fn a_question_has_the_network_in_three_forms() {
    let bench =
        Bench::new("while next; do printf '%s\\n' \"$line\" >> \"$dir/lines\"; tell $id; done");
    let (outcome, _) = bench.search();
    let lines = bench.lines("lines");
    assert_eq!(lines.len(), TRIALS);
    for (trial, line) in lines.iter().enumerate() {
        let question: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(question["id"], trial);
        let arch = question["arch"].to_string();
        let (_, program) = blocksmith::blocks::load_arch(&arch).unwrap();
        let empty = blocksmith::space::Assignment::empty();
        let graph = program
            .lower(&empty, blocksmith::blocks::Names::On)
            .unwrap();
        assert_eq!(Some(graph.fingerprint()), outcome.trials.fingerprint(trial));
        assert_eq!(question["graph"], graph.to_string());
        let again = blocksmith::ir::text::parse(question["graph"].as_str().unwrap()).unwrap();
        assert_eq!(again.fingerprint(), graph.fingerprint());
        let case = Case::new("mixed_stages.json", "random", 1);
        let assignment = outcome.trials.assignment(trial).unwrap();
        assert_eq!(
            question["assignment"],
            case.space().assignment_to_json(&assignment)
        );
    }
}

#[test]
fn many_in_flight_and_answers_in_another_order_give_the_same_files() {
    let one = Bench::new(GOOD);
    one.search();
    // four questions are read before the first is answered, and answered backwards
    let four = Bench::new(
        "while next; do a=$id; next; b=$id; next; c=$id; next; tell $id; tell $c; tell $b; tell $a; done",
    )
    .with(|o| o.in_flight = 4);
    let (outcome, lives) = four.search();
    assert_all_but(&outcome, &[]);
    assert_eq!(lives.starts, 1);
    for file in ["trials.csv", "front.csv"] {
        assert_eq!(one.lines(file), four.lines(file), "{file}");
    }
    let first = &four.lines("journal.jsonl")[1];
    assert!(
        first.contains("\"trial\":3,"),
        "written as it came: {first}"
    );
}

#[test]
fn another_command_on_resume_is_a_warning() {
    let bench = Bench::new("while next; do [ $id = 12 ] && exit 1; tell $id; done")
        .with(|o| o.max_failures = 1);
    bench.error();
    bench.rewrite(GOOD);
    let command = bench.options.command.clone();
    let bench = bench.with(|o| o.command.push_str(" --other"));
    bench.told.lock().unwrap().clear();
    assert_all_but(&bench.search().0, &[]);
    let told = bench.told();
    assert!(
        told.starts_with("warning: the run had another evaluator so far")
            && told.contains(&command),
        "{told}"
    );
    bench.told.lock().unwrap().clear();
    assert_all_but(&bench.search().0, &[]);
    assert_eq!(bench.told(), "");
}

#[test]
fn an_interrupted_search_waits_for_what_is_open() {
    let bench = Bench::new("while next; do sleep 0.05; tell $id; done").with(|o| o.in_flight = 3);
    let watch = EndAfter(AtomicUsize::new(2), &bench.stop);
    let (outcome, _) = bench.watched(&watch);
    assert_eq!(outcome.unwrap().stop, Stop::Interrupted);
    let told = bench.told();
    assert!(
        told.contains("waiting for") && told.contains("Ctrl-C again"),
        "{told}"
    );
    let asked = bench.numbers("asked");
    assert!(asked.len() < 8, "{asked:?}");
    assert_eq!(
        bench.rows(),
        asked.len(),
        "what was asked was answered and kept"
    );
    bench.stop.store(false, Ordering::Relaxed);
    assert_all_but(&bench.search().0, &[]);
    assert_eq!(
        bench.numbers("asked"),
        (0..TRIALS).collect::<Vec<_>>(),
        "nothing twice"
    );
}

#[test]
fn an_interrupted_search_waits_no_longer_than_an_answer_may_take() {
    let bench = Bench::new("while next; do [ $id = 2 ] && sleep 1000; tell $id; done")
        .with(|o| o.timeout = Some(Duration::from_millis(1500)));
    let watch = EndAfter(AtomicUsize::new(2), &bench.stop);
    let started = Instant::now();
    let (outcome, lives) = bench.watched(&watch);
    assert_eq!(outcome.unwrap().stop, Stop::Interrupted);
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(lives.timeouts <= 1);
    assert_eq!(bench.rows(), 2);
}

#[test]
fn no_process_is_left_over() {
    let script =
        "sleep 1000 & echo $! > \"$dir/sleeper\"; echo $$ > \"$dir/first\"\n".to_owned() + GOOD;
    let bench = Bench::new(&script);
    assert_all_but(&bench.search().0, &[]);
    for file in ["sleeper", "first"] {
        bench.numbers(file).into_iter().for_each(assert_ends);
    }
    // nor where the search panics: the process is killed when it is dropped
    let bench = Bench::new(&script);
    struct Panics;
    impl Watch for Panics {
        fn progress(&self, _: &Progress) {
            panic!("on purpose");
        }
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.watched(&Panics)));
    assert!(result.is_err());
    for file in ["sleeper", "first"] {
        bench.numbers(file).into_iter().for_each(assert_ends);
    }
}

#[test]
fn guided_gives_the_same_on_any_number_in_flight_and_of_threads() {
    let results: Vec<Vec<String>> = [(1, 1), (5, 2)]
        .into_iter()
        .map(|(in_flight, threads)| {
            let bench = Bench::new(GOOD).with(|o| o.in_flight = in_flight);
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| bench.guided(30));
            bench.lines("trials.csv")
        })
        .collect();
    assert_eq!(results[0].len(), 31);
    assert_eq!(results[0], results[1]);
}

impl Bench {
    fn guided(&self, budget: u64) {
        let mut case = Case::new("lite_osa.json", "guided", budget)
            .wanting(&["max accuracy", "min latency_s@swift"], &[]);
        case.settings.batch = None;
        let options = self.options.clone();
        let mut process = Process::new(&case.program, &case.problem, &[], options, |_| {}).unwrap();
        let folder = Folder::create(self.folder.path(), "csv").unwrap();
        let costs = Costs::new(&case.program, &case.devices);
        let run = Run {
            costs: &costs,
            problem: &case.problem,
            settings: case.settings,
            evaluator: Some(&mut process),
            known: None,
            watch: &Silent,
            stop: &self.stop,
        };
        folder::search(&folder, Start::New, run, &folder::csv).unwrap();
    }
}
