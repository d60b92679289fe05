//! The program with an evaluator attached, killed with `kill -9` at random moments and resumed until it ends: no finished trial
//! is lost or asked again, and the result is that of the unbroken run. A few kills with the other tests; as many as
//! `BLOCKSMITH_KILLS` says where it is set, which prints what happened (`scripts/kill-search`).
#![cfg(all(unix, feature = "cli"))]

use super::process::assert_ends;
use blocksmith::base::rng;
use rand::RngExt;
use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Tells an accuracy that is a function of the assignment alone, after a moment, and keeps account of itself.
const EVALUATOR: &str = r#"
dir=$(dirname "$0")
echo $$ > "$dir/process"
while IFS= read -r line; do
    id=${line#*:}; id=${id%%,*}
    assignment=${line%%\"arch\"*}; assignment=${assignment#*assignment}
    sum=$(printf %s "$assignment" | cksum); sum=${sum%% *}
    echo "$id" >> "$dir/asked"
    sleep 0.01
    echo "$id" >> "$dir/answered"
    echo "{\"id\":$id,\"metrics\":{\"accuracy\":0.$((sum % 90000 + 10000))}}"
done
echo end >> "$dir/ends"
"#;

/// What is searched, and how.
struct Case {
    space: &'static str,
    algorithm: &'static str,
    budget: &'static str,
    threads: &'static str,
    in_flight: &'static str,
}

const CASES: [Case; 2] = [
    Case {
        space: "search_spaces/lite_osa.json",
        algorithm: "guided",
        budget: "30",
        threads: "1",
        in_flight: "1",
    },
    Case {
        space: "search_spaces/mixed_stages.json",
        algorithm: "nsga2",
        budget: "40",
        threads: "2",
        in_flight: "3",
    },
];

/// Folders of one evaluator and its runs. The evaluator's path is in `run.json`, so all runs have the same one.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("evaluator.sh"), EVALUATOR).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn spawn(&self, case: &Case, run: &str) -> Child {
        let evaluator = format!("sh '{}'", self.path("evaluator.sh").display());
        Command::new(env!("CARGO_BIN_EXE_blocksmith"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg("search")
            .arg(case.space)
            .arg("--out")
            .arg(self.path(run))
            .args(["--algorithm", case.algorithm, "--budget", case.budget])
            .args(["--threads", case.threads, "--in-flight", case.in_flight])
            .args(["--objective", "max accuracy", "--objective", "min macs"])
            .args(["--evaluator", &evaluator, "--resume", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for the evaluator that ran last to end: it reads the end of its stdin when the search is gone.
    fn wait_for_evaluator(&self) {
        let process = std::fs::read_to_string(self.path("process")).unwrap_or_default();
        if let Ok(process) = process.trim().parse() {
            assert_ends(process);
        }
    }
}

/// The whole lines of a journal.
fn journal(run: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(run.join("journal.jsonl")).unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    text[..whole].lines().map(str::to_owned).collect()
}

/// The trials of journal lines, by number.
fn trials(lines: &[String]) -> Vec<String> {
    let trial = |line: &String| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["trial"].as_u64().map(|trial| trial.to_string())
    };
    lines.iter().filter_map(trial).collect()
}

/// What a run leaves, without the order in which answers came.
fn result(run: &Path) -> [Vec<u8>; 4] {
    let lines = journal(run);
    let mut rows: Vec<&str> = (lines.iter())
        .map(|line| {
            let body = line.split_once(',').unwrap().1;
            body.rsplit_once(",\"crc\"").unwrap().0
        })
        .collect();
    rows.sort_unstable();
    let file = |name: &str| std::fs::read(run.join(name)).unwrap();
    let table = if cfg!(feature = "analysis") {
        "parquet"
    } else {
        "csv"
    };
    [
        file(&format!("trials.{table}")),
        file(&format!("front.{table}")),
        file("run.json"),
        rows.join("\n").into_bytes(),
    ]
}

#[derive(Default)]
struct Told {
    kills: u64,
    runs: u64,
    kept: u64,
    repeated: u64,
}

fn kill_often(case: &Case, kills: u64, told: &mut Told) {
    let place = Place::new();
    let started = Instant::now();
    assert!(place.spawn(case, "whole").wait().unwrap().success());
    let span = started.elapsed();
    place.wait_for_evaluator();
    let whole = result(&place.path("whole"));
    let mut moments = rng::stream(4, "kills", case.budget.len() as u64);
    let mut left = kills;
    while left > 0 {
        let run = format!("run{}", told.runs);
        let folder = place.path(&run);
        let mut before = Vec::new();
        for file in ["asked", "answered"] {
            let _ = std::fs::remove_file(place.path(file));
        }
        loop {
            let known: HashSet<String> = trials(&before).into_iter().collect();
            let asked_before = place.lines("asked").len();
            let mut child = place.spawn(case, &run);
            if left > 0 {
                std::thread::sleep(span.mul_f64(moments.random_range(0.0..0.7)));
            } else {
                child.wait().unwrap();
            }
            let ended = child.try_wait().unwrap();
            child.kill().unwrap();
            let ended =
                ended.or_else(|| child.wait().ok().filter(std::process::ExitStatus::success));
            place.wait_for_evaluator();
            // only what the journal did not have is asked
            for trial in &place.lines("asked")[asked_before..] {
                assert!(
                    !known.contains(trial),
                    "trial {trial} was finished and is asked again"
                );
            }
            let now = journal(&folder);
            assert!(now.starts_with(&before), "the journal lost lines");
            let answered: HashSet<String> = place.lines("answered").into_iter().collect();
            assert!(trials(&now).iter().all(|trial| answered.contains(trial)));
            before = now;
            if let Some(status) = ended {
                assert!(status.success(), "{status}");
                break;
            }
            told.kills += 1;
            left = left.saturating_sub(1);
            told.kept += trials(&before).len() as u64;
        }
        let same = result(&folder);
        for (k, what) in ["trials", "front", "run.json", "journal"]
            .into_iter()
            .enumerate()
        {
            assert!(
                same[k] == whole[k],
                "{what} of a killed run differs from that of the unbroken one"
            );
        }
        told.runs += 1;
        let answered = place.lines("answered");
        let distinct: HashSet<&String> = answered.iter().collect();
        told.repeated += (answered.len() - distinct.len()) as u64;
    }
}

#[test]
fn killed_at_any_moment_with_an_evaluator_it_is_the_unbroken_run() {
    let asked = std::env::var("BLOCKSMITH_KILLS").ok();
    let kills: u64 = asked.map_or(6, |n| n.parse().expect("a number of kills"));
    let started = Instant::now();
    let mut told = Told::default();
    for (k, case) in CASES.iter().enumerate() {
        kill_often(case, kills / 2 + kills % 2 * (k as u64), &mut told);
    }
    println!(
        "{} kills over {} runs in {:.0} s: {} finished trials at the kills, none lost or asked again; {} answers that were on \
         their way were asked again; every result equals the unbroken run",
        told.kills,
        told.runs,
        started.elapsed().as_secs_f64(),
        told.kept,
        told.repeated,
    );
    assert!(told.kills >= kills);
    assert!(started.elapsed() < Duration::from_secs(3600));
}
