//! Evaluators that die, hang, print noise, close their ends or were never there.
#![cfg(unix)]

use super::process::{Bench, GOOD, TRIALS, accuracies, assert_all_but, assert_ends};
use blocksmith::search::metric::Metric;
use std::time::{Duration, Instant};

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
    let bench = Bench::new(script).with(|o| o.timeout = Some(Duration::from_millis(1500)));
    let (outcome, lives) = bench.search();
    assert_all_but(&outcome, &[3]);
    assert_eq!(lives.timeouts, 2);
    let row = bench.lines("trials.csv").into_iter().nth(4).unwrap();
    assert!(row.contains("no answer within 1.5s"), "{row}");
    let sleepers = bench.numbers("sleepers");
    assert_eq!(sleepers.len(), 2);
    sleepers.into_iter().for_each(assert_ends);
}

#[test]
fn one_that_hangs_once_is_asked_again() {
    let script = "while next; do [ $id = 3 ] && [ $life = 1 ] && sleep 1000; tell $id; done";
    for in_flight in [1, 4] {
        let bench = Bench::new(script).with(|o| {
            o.timeout = Some(Duration::from_millis(1500));
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
        ("exec <&-", "no answer within 2s"),
    ] {
        let script = format!("if [ $life = 1 ]; then {close}; sleep 1000; fi\n{GOOD}");
        let bench = Bench::new(&script).with(|o| o.timeout = Some(Duration::from_secs(2)));
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
