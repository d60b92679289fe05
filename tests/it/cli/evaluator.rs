//! `search --evaluator`: what a person sees, Ctrl-C, and the shipped examples.
#![cfg(unix)]

use super::{blocksmith, json, root, run, write};
use crate::python::python;
use crate::search::process::{assert_ends, runs};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Tells a made-up accuracy after a moment.
const EVALUATOR: &str = r#"
dir=$(dirname "$0")
echo $$ > "$dir/process"
while IFS= read -r line; do
    id=${line#*:}; id=${id%%,*}; echo "$id" >> "$dir/asked"
    sleep ${1:-0}
    echo "{\"id\":$id,\"metrics\":{\"accuracy\":0.$((id * 7 % 90 + 10)),\"loss\":$id}}"
done
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(evaluator: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "evaluator.sh", evaluator);
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, argument: &str) -> String {
        format!("sh '{}' {argument}", self.path("evaluator.sh"))
    }

    fn search<'a>(&'a self, out: &'a str, evaluator: &'a str) -> Vec<&'a str> {
        let base = ["search", "search_spaces/lite_osa.json", "--out", out];
        let wanted = [
            "--algorithm",
            "random",
            "--budget",
            "20",
            "--objective",
            "max accuracy",
        ];
        [&base[..], &wanted[..], &["--evaluator", evaluator]].concat()
    }

    fn numbers(&self, name: &str) -> Vec<usize> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(|l| l.parse().unwrap()).collect()
    }

    fn wait_for(&self, name: &str, lines: usize) {
        let started = Instant::now();
        while self.numbers(name).len() < lines {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{name} has not {lines} lines"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn spawn(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_blocksmith"))
        .current_dir(root())
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn interrupt(child: &Child) {
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

#[test]
fn what_an_evaluator_tells_is_an_objective_and_a_column() {
    let place = Place::new(EVALUATOR);
    let (out, evaluator) = (place.path("run"), place.command(""));
    let search = place.search(&out, &evaluator);
    let more = [
        "--metric",
        "loss",
        "--limit",
        "accuracy>=0.3",
        "--in-flight",
        "4",
    ];
    let found = json(0, &[&search[..], &more].concat());
    assert_eq!(found["trials"], 20);
    let best = (0..20).map(|id| id * 7 % 90 + 10).max().unwrap();
    let front = found["front"].as_array().unwrap();
    assert_eq!(front.len(), 1);
    assert_eq!(front[0]["metrics"]["accuracy"], f64::from(best) / 100.0);
    assert_eq!(
        front[0]["metrics"]["loss"],
        front[0]["trial"].as_f64().unwrap()
    );
    let within = (0..20).filter(|id| id * 7 % 90 + 10 >= 30).count();
    assert_eq!(found["feasible"], within);
    let run_json = std::fs::read_to_string(format!("{out}/run.json")).unwrap();
    let run_json: serde_json::Value = serde_json::from_str(&run_json).unwrap();
    assert_eq!(run_json["evaluator"], evaluator);
    // the same once more, from the journal: nobody is asked
    let (code, stdout, stderr) = run(&[&search[..], &more, &["--resume"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stdout.contains("accuracy") && stderr.contains("20 from the journal"),
        "{stdout}{stderr}"
    );
    assert_eq!(place.numbers("asked").len(), 20);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let place = Place::new(EVALUATOR);
    let (out, evaluator) = (place.path("run"), place.command(""));
    let plain = [
        "search",
        "search_spaces/lite_osa.json",
        "--out",
        &out,
        "--objective",
        "min macs",
    ];
    for (more, told) in [
        (&["--in-flight", "2"][..], "--evaluator"),
        (&["--evaluator", &evaluator], "has nothing to tell"),
        (
            &["--evaluator", &evaluator, "--metric", "params"],
            "--metric params",
        ),
        (
            &["--evaluator", &evaluator, "--metric", "a b"],
            "--metric a b",
        ),
        (
            &[
                "--evaluator",
                &evaluator,
                "--metric",
                "a",
                "--timeout",
                "90",
            ],
            "a time with its unit",
        ),
        (
            &[
                "--evaluator",
                &evaluator,
                "--metric",
                "a",
                "--in-flight",
                "0",
            ],
            "--in-flight",
        ),
        (&["--objective", "max accuracy"], "accuracy"),
    ] {
        let (code, _, stderr) = run(&[&plain[..], more].concat());
        assert_eq!(code, 2, "{more:?}: {stderr}");
        assert!(stderr.contains(told), "{more:?}: {stderr}");
        assert!(!Path::new(&out).exists(), "{more:?}");
    }
    let search = place.search(&out, &evaluator);
    let (code, _, stderr) = run(&[
        &search[..],
        &["--limit", "parms<=5e6", "--max-failures", "1"],
    ]
    .concat());
    assert_eq!(code, 1);
    assert!(stderr.contains("did you mean \"params\"?"), "{stderr}");
    assert!(
        stderr.contains("no \"parms\" among the metrics"),
        "{stderr}"
    );
}

#[test]
fn one_that_is_not_there_says_how_to_go_on() {
    let place = Place::new(EVALUATOR);
    let out = place.path("run");
    let failed = json(1, &place.search(&out, "no-such-evaluator"));
    let message = failed["error"]["message"].as_str().unwrap();
    for part in [
        "cannot be started: no-such-evaluator",
        "not found",
        "--resume",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn an_interrupt_drains_and_prints_the_command_that_goes_on() {
    let place = Place::new(EVALUATOR);
    let (whole, out) = (place.path("whole"), place.path("run"));
    let (quick, slow) = (place.command(""), place.command("0.2"));
    json(0, &place.search(&whole, &quick));
    std::fs::remove_file(place.path("asked")).unwrap();
    let child = spawn(&place.search(&out, &slow));
    place.wait_for("asked", 3);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("waiting for 1 open answer;"), "{stderr}");
    let asked = place.numbers("asked").len();
    let kept = format!("after {asked} answers; these and all before are kept");
    assert!(stderr.contains(&kept), "{stderr}");
    let journal = std::fs::read_to_string(format!("{out}/journal.jsonl")).unwrap();
    assert_eq!(
        journal.lines().count(),
        1 + asked,
        "what was asked was waited for"
    );
    place.numbers("process").into_iter().for_each(assert_ends);
    // the command is taken at its word, by a shell
    let command = stderr.lines().last().unwrap().replace(" 0.2'", "'");
    assert!(command.trim_end().ends_with("--resume"), "{stderr}");
    let resumed = Command::new("sh")
        .args(["-c", &command])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        resumed.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&resumed.stderr)
    );
    let mut all = place.numbers("asked");
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>(), "nothing was asked twice");
    let table = if cfg!(feature = "analysis") {
        "trials.parquet"
    } else {
        "trials.csv"
    };
    let [a, b] = [&whole, &out].map(|run| std::fs::read(format!("{run}/{table}")).unwrap());
    assert!(a == b);
}

#[test]
fn a_second_interrupt_ends_at_once_and_leaves_nobody_behind() {
    let script = "dir=$(dirname \"$0\"); sleep 1000 & echo $! >> \"$dir/sleeper\"; echo 1 >> \"$dir/asked\"; wait";
    let place = Place::new(script);
    let (out, evaluator) = (place.path("run"), place.command(""));
    let child = spawn(&place.search(&out, &evaluator));
    place.wait_for("asked", 1);
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(300));
    let sleeper = place.numbers("sleeper")[0];
    assert!(runs(sleeper), "the first interrupt waits");
    interrupt(&child);
    let started = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_ends(sleeper);
}

#[test]
fn the_table_example_answers_from_a_table() {
    let Some(python) = python("csv") else { return };
    let place = Place::new("");
    // every network of the space but one: made-up accuracies, twice for one of them
    let mut table = String::from("w,net[2].mid_channels,net[2].repeat,net[4].gate,accuracy\n");
    let mut made_up = Vec::new();
    for w in [48, 64, 80] {
        for mid in [24, 32] {
            for repeat in [1, 2, 3] {
                for gate in ["none", "ese"] {
                    let accuracy = f64::from(w * repeat + mid) / 1000.0
                        + f64::from(u8::from(gate == "ese")) / 100.0;
                    let row = format!("{w},{mid}.0,{repeat},{gate}");
                    match made_up.len() {
                        7 => made_up.push(f64::NAN),
                        9 => {
                            table.push_str(&format!("{row},0.25\n{row},0.75\n"));
                            made_up.push(0.5);
                        }
                        _ => {
                            table.push_str(&format!("{row},{accuracy}\n"));
                            made_up.push(accuracy);
                        }
                    }
                }
            }
        }
    }
    let csv = write(place.folder.path(), "table.csv", &table);
    let example = root().join("examples/evaluators/table.py");
    let evaluator = format!(
        "'{python}' '{}' '{}' --metrics accuracy",
        example.display(),
        csv.display()
    );
    let out = place.path("run");
    let objectives = ["--algorithm", "exhaustive", "--objective", "max accuracy"];
    let base = [
        "search",
        "search_spaces/lite_osa.json",
        "--out",
        &out,
        "--evaluator",
        &evaluator,
    ];
    let found = json(0, &[&base[..], &objectives].concat());
    assert_eq!(
        (&found["trials"], &found["failed"]),
        (&36.into(), &1.into())
    );
    let best = made_up.iter().copied().fold(0.0, f64::max);
    assert_eq!(found["front"][0]["metrics"]["accuracy"], best);
    // a run's own table is one too
    if cfg!(not(feature = "analysis")) {
        let again = place.path("again");
        let evaluator = format!(
            "'{python}' '{}' '{out}/trials.csv' --metrics accuracy",
            example.display()
        );
        let base = [
            "search",
            "search_spaces/lite_osa.json",
            "--out",
            &again,
            "--evaluator",
            &evaluator,
        ];
        let found = json(0, &[&base[..], &objectives].concat());
        assert_eq!(found["failed"], 1);
        assert_eq!(found["front"][0]["metrics"]["accuracy"], best);
    }
    let (code, _, stderr) = run(&[
        "search",
        "search_spaces/lite_osa.json",
        "--out",
        &place.path("wrong"),
        "--objective",
        "max accuracy",
        "--evaluator",
        &evaluator.replace("--metrics accuracy", "--metrics acuracy"),
    ]);
    assert_eq!(code, 1);
    assert!(stderr.contains("has no column acuracy"), "{stderr}");
}

#[test]
fn the_training_example_trains_what_it_is_asked_about() {
    let Some(python) = python("torch, safetensors") else {
        return;
    };
    let place = Place::new("");
    let space = r#"{"format": "blocksmith/1", "input": [3, 32, 32], "vars": {"w": {"choice": [8, 16]}}, "net": [
        {"block": "conv_bn_act", "out_channels": "=w", "kernel_size": 3, "stride": 4},
        {"block": "conv_bn_act", "out_channels": "=2*w", "kernel_size": 3, "stride": 2},
        {"block": "classifier", "classes": 10}]}"#;
    let space = write(place.folder.path(), "small.json", space)
        .display()
        .to_string();
    let example = root().join("examples/evaluators/train.py");
    let saved = place.path("weights");
    let evaluator = format!(
        "'{python}' '{}' --data synthetic --epochs 6 --samples 600 --batch-size 30 --lr 0.05 --threads 1 --save '{saved}'",
        example.display()
    );
    let out = place.path("run");
    let found = json(
        0,
        &[
            "search",
            &space,
            "--out",
            &out,
            "--algorithm",
            "exhaustive",
            "--objective",
            "max accuracy",
            "--metric",
            "train_s",
            "--evaluator",
            &evaluator,
        ],
    );
    assert_eq!((&found["trials"], &found["failed"]), (&2.into(), &0.into()));
    let best = &found["front"][0];
    let accuracy = best["metrics"]["accuracy"].as_f64().unwrap();
    // ten classes: chance is 0.1
    assert!(accuracy > 0.2 && accuracy <= 1.0, "{accuracy}");
    assert!(best["metrics"]["train_s"].as_f64().unwrap() > 0.0);
    // the weights have the names, shapes and order of the network
    let weights = format!("{saved}/trial-{}.safetensors", best["trial"]);
    let arch = best["arch"].as_str().unwrap();
    blocksmith()
        .args(["check", arch, "--weights", &weights])
        .assert()
        .success();
}

/// Costs are known beforehand, so no network keeps within a microsecond and nothing is asked: that is "nothing feasible"
/// with the reason, whatever the algorithm.
#[test]
fn limits_that_nothing_meets_are_named_before_anything_is_asked() {
    let place = Place::new(EVALUATOR);
    let command = place.command("");
    for algorithm in [
        "guided",
        "nsga2",
        "front",
        "evolution",
        "random",
        "exhaustive",
    ] {
        let out = place.path(algorithm);
        let rest = [
            "--objective",
            "max accuracy",
            "--limit",
            "latency_s@pi5-onnx<=1us",
            "--evaluator",
            &command,
            "--algorithm",
            algorithm,
        ];
        let base = ["search", "search_spaces/lite_osa.json", "--out", &out];
        let none = json(4, &[&base[..], &rest].concat());
        let message = none["error"]["message"].as_str().unwrap();
        let reason =
            "of 1,000 draws\n  latency_s@pi5-onnx<=0.000001 turns down 1,000, the nearest has ";
        assert!(message.contains(reason), "{algorithm}: {message}");
        // the nearest that the draws had is what some network of the space is predicted to take
        let nearest = message.split("the nearest has ").nth(1).unwrap();
        let ms: f64 = nearest.trim_end().trim_end_matches("ms").parse().unwrap();
        assert!((0.1..100.0).contains(&ms), "{message}");
    }
    assert!(place.numbers("asked").is_empty());
}
