//! Evaluators that are processes, well and badly behaved. Each is a shell script of a few lines; what they answer is a
//! function of the question's number, so that the right result is known beforehand.
#![cfg(unix)]

use super::Case;
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
const GOOD: &str = "while next; do tell $id; done";

const TRIALS: usize = 24;

fn accuracy(trial: usize) -> f64 {
    ((trial * 37 + 11) % 90 + 10) as f64 / 100.0
}

/// A run folder with a script in it.
struct Bench {
    folder: TempDir,
    options: Options,
    more: Vec<Metric>,
    told: Arc<Mutex<Vec<String>>>,
    stop: AtomicBool,
}

impl Bench {
    fn new(script: &str) -> Self {
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

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        self
    }

    fn rewrite(&self, script: &str) {
        let path = self.folder.path().join("evaluator.sh");
        std::fs::write(path, format!("{PRELUDE}{script}\n")).unwrap();
    }

    fn watched(&self, watch: &dyn Watch) -> (Result<Outcome, String>, Lives) {
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

    fn search(&self) -> (Outcome, Lives) {
        let (result, lives) = self.watched(&Silent);
        (result.unwrap(), lives)
    }

    fn error(&self) -> (String, Lives) {
        let (result, lives) = self.watched(&Silent);
        (result.unwrap_err(), lives)
    }

    fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn numbers(&self, file: &str) -> Vec<usize> {
        self.lines(file)
            .iter()
            .map(|l| l.parse().unwrap())
            .collect()
    }

    /// Rows of the journal, without its header.
    fn rows(&self) -> usize {
        self.lines("journal.jsonl").len().saturating_sub(1)
    }
}

fn accuracies(outcome: &Outcome) -> Vec<f64> {
    let last = |t| *outcome.trials.metrics(t).last().unwrap();
    (0..outcome.trials.len()).map(last).collect()
}

/// All as told, but for some trials that have no answer.
fn assert_all_but(outcome: &Outcome, failed: &[usize]) {
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
            started.elapsed() < Duration::from_secs(10),
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
            case.space().assignment_to_json(assignment)
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
fn one_that_dies_is_started_again() {
    let script = "while next; do
        if [ $life = 1 ] && [ $id = 2 ]; then echo 'out of luck' >&2; exit 3; fi
        tell $id; done";
    let bench = Bench::new(script);
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[]);
    assert_eq!((lives.starts, lives.deaths), (2, 1));
    let told = bench.told();
    assert!(
        told.contains("trial 2") && told.contains("exit status: 3"),
        "{told}"
    );
    assert!(told.contains("\"out of luck\""), "{told}");
    let log = bench.lines("evaluator.log").join("\n");
    assert!(log.contains("\nout of luck\n"), "{log}");
}

#[test]
fn one_network_that_kills_it_harms_no_other() {
    let script = "while next; do
        [ $id = 5 ] && { echo 'segmentation fault' >&2; kill -9 $$; }
        tell $id; done";
    for in_flight in [1, 4] {
        let bench = Bench::new(script).with(|o| o.in_flight = in_flight);
        let (outcome, _) = bench.search();
        assert_all_but(&outcome, &[5]);
        let row = bench.lines("trials.csv").into_iter().nth(6).unwrap();
        assert!(
            row.contains("SIGKILL") && row.contains("segmentation fault"),
            "{row}"
        );
        let asked = bench.numbers("asked");
        let times = |trial| asked.iter().filter(|id| **id == trial).count();
        // once, and once more for `retries`; with others beside it once before
        assert_eq!(times(5), if in_flight == 1 { 2 } else { 3 });
    }
}

#[test]
fn more_retries_are_more_tries() {
    let script = "while next; do [ $id = 5 ] && [ $life -lt 4 ] && exit 1; tell $id; done";
    let (outcome, lives) = Bench::new(script).with(|o| o.retries = 3).search();
    assert_all_but(&outcome, &[]);
    assert_eq!(lives.deaths, 3);
    let (outcome, _) = Bench::new(script).with(|o| o.retries = 2).search();
    assert_all_but(&outcome, &[5]);
    let (outcome, _) = Bench::new("while next; do [ $id = 5 ] && exit 1; tell $id; done")
        .with(|o| o.retries = 0)
        .search();
    assert_all_but(&outcome, &[5]);
}

#[test]
fn one_that_hangs_is_killed_with_all_it_started() {
    let script = "while next; do
        if [ $id = 3 ]; then sleep 1000 & echo $! >> \"$dir/sleepers\"; wait; fi
        tell $id; done";
    let bench = Bench::new(script).with(|o| o.timeout = Some(Duration::from_millis(400)));
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[3]);
    assert_eq!(lives.timeouts, 2);
    let row = bench.lines("trials.csv").into_iter().nth(4).unwrap();
    assert!(row.contains("no answer within 400ms"), "{row}");
    let sleepers = bench.numbers("sleepers");
    assert_eq!(sleepers.len(), 2);
    sleepers.into_iter().for_each(assert_ends);
}

#[test]
fn one_that_hangs_once_is_asked_again() {
    let script = "while next; do [ $id = 3 ] && [ $life = 1 ] && sleep 1000; tell $id; done";
    for in_flight in [1, 4] {
        let bench = Bench::new(script).with(|o| {
            o.timeout = Some(Duration::from_millis(500));
            o.in_flight = in_flight;
        });
        let (outcome, lives) = bench.search();
        assert_all_but(&outcome, &[]);
        assert_eq!((lives.starts, lives.timeouts), (2, 1));
    }
}

#[test]
fn a_slow_start_is_no_failure() {
    let bench = Bench::new(&format!("sleep 0.7; {GOOD}"));
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[]);
    assert_eq!((lives.starts, lives.deaths), (1, 0));
    let told = Bench::new(&format!("sleep 1000; {GOOD}")).with(|o| {
        o.timeout = Some(Duration::from_millis(100));
        o.max_failures = 1;
        o.retries = 0;
    });
    let (error, _) = told.error();
    assert!(
        error.contains("the start of the evaluator counts too"),
        "{error}"
    );
}

#[test]
fn lines_that_are_no_answers_are_told_once_and_passed_over() {
    let script = r#"echo Loading; echo '{}' ; echo '{"id": "x"}'; printf 'b\303(\033[2Jell\n'; echo
        while next; do
            echo "Epoch 1 of $id"; echo '{"id": 99999, "metrics": {"accuracy": 1}}'
            tell $id; tell $id; echo "{\"id\":$id,\"metrics\":{\"accuracy\":0}}"
        done"#;
    let bench = Bench::new(script);
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[]);
    let told = bench.told();
    for part in [
        "is no answer (no JSON): \"Loading\"",
        "(the question was answered before)",
        "(nothing of that id is asked)",
    ] {
        assert_eq!(told.matches(part).count(), 1, "{part}: {told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");
    // what is printed after the last answer may come too late to be counted
    assert!(lives.strays as usize >= 4 + 4 * TRIALS - 2, "{lives:?}");
    let log = bench.lines("evaluator.log").join("\n");
    assert!(log.contains("stdout: Epoch 1 of 7"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[test]
fn one_that_prints_nothing_but_noise_is_given_up() {
    let bench = Bench::new("yes 'loss 0.1'");
    let (error, _) = bench.error();
    assert!(error.contains("printed 1000 lines in a row"), "{error}");
    assert!(
        error.contains("\"loss 0.1\"") && error.contains("stdout is for answers alone"),
        "{error}"
    );
}

#[test]
fn a_long_line_is_passed_over_and_an_endless_one_given_up() {
    let noise = "head -c 5000000 /dev/zero | tr '\\0' x; echo";
    let (outcome, lives) = Bench::new(&format!("{noise}\n{GOOD}")).search();
    assert_all_but(&outcome, &[]);
    assert_eq!(lives.strays, 1);
    let (error, _) = Bench::new("yes | tr -d '\\n'").error();
    assert!(error.contains("longer than 1 MiB"), "{error}");
    assert!(error.len() < 2000, "{} bytes", error.len());
}

#[test]
fn metrics_that_are_no_numbers_fail_their_trial_alone() {
    let script = r#"while next; do case $id in
        3) echo '{"id": 3, "metrics": {"accuracy": NaN}}';;
        4) echo '{"id": 4, "metrics": {"accuracy": "high"}}';;
        5) echo '{"id": 5, "metrics": {"loss": 0.1}}';;
        6) echo '{"id": 6}';;
        7) echo '{"id": 7, "error": "no \"luck\", at all"}';;
        *) tell $id;; esac; done"#;
    let bench = Bench::new(script);
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[3, 4, 5, 6, 7]);
    // an answer is taken at its word
    assert_eq!((lives.starts, bench.numbers("asked").len()), (1, TRIALS));
    let rows = bench.lines("trials.csv").join("\n");
    for why in [
        "null or not a number (NaN)",
        "high\"\", not a number",
        "among the metrics: loss",
        "neither metrics nor error",
        "no \"\"luck\"\", at all",
    ] {
        assert_eq!(rows.matches(why).count(), 1, "{why}: {rows}");
    }
}

#[test]
fn further_metrics_are_kept_where_they_are_wanted() {
    let script = r#"while next; do
        if [ $id = 4 ]; then tell 4; else
        echo "{\"id\":$id,\"metrics\":{\"loss\":$id.5,\"accuracy\":0.5,\"epochs\":9}}"; fi; done"#;
    let mut bench = Bench::new(script);
    bench.more = vec![
        Metric::Other("loss".into()),
        Metric::Other("accuracy".into()),
    ];
    let (outcome, _) = bench.search();
    let names: Vec<String> = outcome.metrics.iter().map(ToString::to_string).collect();
    assert_eq!(names[names.len() - 2..], ["accuracy", "loss"]);
    for (trial, loss) in accuracies(&outcome).into_iter().enumerate() {
        match trial {
            4 => assert!(loss.is_nan()),
            _ => assert_eq!(loss, trial as f64 + 0.5),
        }
    }
    assert_eq!(outcome.tally.failed, 0);
    assert_eq!(
        bench.told(),
        "the evaluator also tells epochs: --metric NAME keeps it (more of the kind: ".to_owned()
            + &format!("{})", bench.folder.path().join("evaluator.log").display())
    );
}

#[test]
fn one_that_never_reads_blocks_nobody() {
    // eight questions are more than a pipe holds
    let bench = Bench::new("sleep 1000").with(|o| {
        o.timeout = Some(Duration::from_millis(300));
        o.in_flight = 8;
        o.retries = 0;
        o.max_failures = 3;
    });
    let started = Instant::now();
    let (error, _) = bench.error();
    assert!(
        error.contains("the first 3 trials failed alike: no answer within"),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(bench.rows(), 0);
}

#[test]
fn one_that_closes_an_end_is_started_again() {
    // that nobody reads shows when more is written than a pipe holds, and else by the time
    for (close, how) in [
        ("exec >&-", "closed its stdout"),
        ("exec <&-", "no answer within 1s"),
    ] {
        let script = format!("if [ $life = 1 ]; then {close}; sleep 1000; fi\n{GOOD}");
        let bench = Bench::new(&script).with(|o| o.timeout = Some(Duration::from_secs(1)));
        let (outcome, lives) = bench.search();
        assert_all_but(&outcome, &[]);
        assert_eq!((lives.starts, lives.deaths + lives.timeouts), (2, 1));
        assert!(bench.told().contains(how), "{}", bench.told());
    }
}

#[test]
fn one_whose_first_process_dies_does_not_live_on_in_others() {
    // the sleeper keeps stdout open
    let script = "if [ $life = 1 ]; then sleep 1000 & echo $! > \"$dir/sleeper\"; exit 7; fi\n"
        .to_owned()
        + GOOD;
    let bench = Bench::new(&script);
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[]);
    assert_eq!((lives.starts, lives.deaths), (2, 1));
    assert!(bench.told().contains("exit status: 7"), "{}", bench.told());
    bench.numbers("sleeper").into_iter().for_each(assert_ends);
}

#[test]
fn one_that_ends_between_questions_is_started_again_without_a_word() {
    // ends after each answer that is the last of a batch, when nothing is open
    let script = "while next; do tell $id; [ $((id % 8)) = 7 ] && exit 0; done";
    let bench = Bench::new(script);
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[]);
    assert_eq!(lives.starts, 3);
}

#[test]
fn one_that_is_not_there_is_one_clear_error() {
    let bench = Bench::new(GOOD).with(|o| o.command = "no-such-evaluator --fast".into());
    let (error, lives) = bench.error();
    assert_eq!(lives.starts, 1);
    for part in [
        "the evaluator failed: it cannot be started: no-such-evaluator --fast",
        "not found",
        "evaluator.log",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(bench.rows(), 0);
}

#[test]
fn one_that_fails_from_the_start_costs_no_trial() {
    let whole = Bench::new(GOOD);
    whole.search();
    let broken = [
        (
            "next; echo 'no module named torch' >&2; exit 1",
            "no module named torch",
        ),
        (
            "while next; do echo \"{\\\"id\\\":$id,\\\"error\\\":\\\"step $id: no GPU\\\"}\"; done",
            "no GPU",
        ),
        (
            "while next; do echo \"{\\\"id\\\":$id,\\\"metrics\\\":{\\\"acc\\\":1}}\"; done",
            "no \"accuracy\" among",
        ),
    ];
    for (script, why) in broken {
        let bench = Bench::new(script);
        let (error, _) = bench.error();
        assert!(error.contains("the first 5 trials failed alike"), "{error}");
        assert!(error.contains(why), "{error}");
        assert_eq!(bench.rows(), 0, "{why}");
        bench.rewrite(GOOD);
        assert_all_but(&bench.search().0, &[]);
        assert_eq!(bench.lines("trials.csv"), whole.lines("trials.csv"));
        assert_eq!(bench.lines("journal.jsonl"), whole.lines("journal.jsonl"));
    }
}

#[test]
fn one_that_breaks_for_good_later_ends_the_search() {
    let script = "while next; do [ $id -ge 10 ] && exit 1; tell $id; done";
    let bench = Bench::new(script).with(|o| o.max_failures = 3);
    let (error, lives) = bench.error();
    assert!(
        error.contains("failed: 3 trials in a row failed alike"),
        "{error}"
    );
    assert_eq!(lives.deaths, 6);
    assert_eq!(bench.rows(), 10);
    bench.rewrite(GOOD);
    assert_all_but(&bench.search().0, &[]);
    // who wants no end gets none
    let bench = Bench::new(script).with(|o| {
        o.max_failures = 0;
        o.retries = 0;
    });
    assert_all_but(&bench.search().0, &(10..TRIALS).collect::<Vec<_>>());
}

#[test]
fn single_failures_in_a_row_are_kept_when_something_succeeds_again() {
    // four deaths in a row over the end of a batch, then all is well
    let script = "while next; do case $id in 6|7|8|9) exit 1;; esac; tell $id; done";
    let (outcome, _) = Bench::new(script).with(|o| o.retries = 0).search();
    assert_all_but(&outcome, &[6, 7, 8, 9]);
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

/// Wants the search to end after so many answers.
struct EndAfter<'a>(AtomicUsize, &'a AtomicBool);

impl Watch for EndAfter<'_> {
    fn progress(&self, _: &Progress) {
        if self.0.fetch_sub(1, Ordering::Relaxed) <= 1 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
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
        .with(|o| o.timeout = Some(Duration::from_millis(600)));
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
