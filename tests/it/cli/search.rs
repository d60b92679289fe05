//! `search`: ranking, resuming, what is infeasible, building the best.

use super::{SLIM, json, root, run};
use std::path::Path;
use std::process::Stdio;

#[test]
fn search_ranks_resumes_and_says_what_is_infeasible() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let base = [
        "search",
        "search_spaces/lite_osa.json",
        "--out",
        out,
        "--algorithm",
        "exhaustive",
        "--objective",
        "max macs",
        "--objective",
        "min latency_s@pi5-onnx",
    ];
    let first = json(0, &base);
    assert_eq!(first["trials"], 36);
    let front = first["front"].as_array().unwrap();
    // brute force over the 36: a network is on the front if none has as many MACs in less time
    let macs: Vec<f64> = front
        .iter()
        .map(|r| r["metrics"]["macs"].as_f64().unwrap())
        .collect();
    let time: Vec<f64> = front
        .iter()
        .map(|r| r["metrics"]["latency_s@pi5-onnx"].as_f64().unwrap())
        .collect();
    assert!(
        macs.windows(2).all(|w| w[0] > w[1]) && time.windows(2).all(|w| w[0] > w[1]),
        "{macs:?} {time:?}"
    );
    assert_eq!(run(&base).0, 1, "an old run is not overwritten");
    let again = json(0, &[&base[..], &["--resume"]].concat());
    assert_eq!(again["replayed"], 36);
    assert_eq!(again["front"], first["front"]);
    for row in front {
        assert_eq!(run(&["check", row["arch"].as_str().unwrap()]).0, 0);
    }
    let other = folder.path().join("none");
    let none = json(
        4,
        &[
            "search",
            "search_spaces/lite_osa.json",
            "--out",
            other.to_str().unwrap(),
            "--algorithm",
            "exhaustive",
            "--objective",
            "min macs",
            "--limit",
            "params<=10",
        ],
    );
    assert!(
        none["error"]["message"]
            .as_str()
            .unwrap()
            .contains("params<=10 turned down 36"),
        "{none}"
    );
    // a smaller budget than last time takes nothing back
    let random = folder.path().join("random");
    let budget = |n: &str| {
        let out = random.to_str().unwrap();
        let objective = ["--objective", "min macs", "--resume", "--budget", n];
        json(
            0,
            &[
                &["search", "search_spaces/lite_osa.json", "--out", out][..],
                &objective,
            ]
            .concat(),
        )
    };
    assert_eq!(budget("20")["trials"], 20);
    assert_eq!(budget("5")["trials"], 20);
    let (code, _, stderr) = run(&[
        "search",
        "search_spaces/lite_osa.json",
        "--out",
        out,
        "--objective",
        "min energy_j@pi5-ncnn",
    ]);
    assert_eq!(code, 2);
    assert!(stderr.contains("energy was not measured"), "{stderr}");
    let third = folder.path().join("default");
    let space = [
        "search",
        "search_spaces/lite_osa.json",
        "--out",
        third.to_str().unwrap(),
        "--budget",
        "10",
    ];
    let (code, _, stderr) = run(&space);
    assert_eq!(code, 2);
    assert!(stderr.contains("needs an objective"), "{stderr}");
    let found = json(
        0,
        &[
            &space[..],
            &["--device", "pi5-onnx", "--limit", "latency_s<=1s"],
        ]
        .concat(),
    );
    assert!(!found["front"].as_array().unwrap().is_empty());
    let (code, _, stderr) = run(&[
        "search",
        SLIM,
        "--out",
        out,
        "--objective",
        "min latancy_s@pi5-onnx",
    ]);
    assert_eq!(code, 2);
    assert!(stderr.contains("latency_s"), "{stderr}");
}

#[cfg(feature = "torch")]
#[test]
fn search_builds_and_measures_the_best() {
    use serde_json::Value;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let found = json(
        0,
        &[
            "search",
            "search_spaces/lite_osa.json",
            "--out",
            out.to_str().unwrap(),
            "--budget",
            "20",
            "--objective",
            "max macs",
            "--objective",
            "min params",
            "--build-top",
            "2",
            "--measure-top",
            "1",
        ],
    );
    let built: Vec<&Value> = found["front"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| !r["built"].is_null())
        .collect();
    assert_eq!(built.len(), 2);
    let phases = found["phases"].as_array().unwrap();
    let last = phases.last().unwrap();
    assert_eq!((phases.len(), &last["phase"]), (4, &"building".into()));
    assert!(last["time_s"].as_f64() > Some(0.0), "{last}");
    for row in &built {
        assert_eq!(row["built"]["params"], row["metrics"]["params"]);
    }
    assert_eq!(
        built
            .iter()
            .filter(|r| r["built"]["measured_latency_s"]
                .as_f64()
                .is_some_and(|s| s > 0.0))
            .count(),
        1
    );
}

/// kill -9 at three moments of a search, each time resumed: the tables are those of the unbroken run, byte for byte.
#[cfg(unix)]
#[test]
fn a_killed_search_goes_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let search = |out: &Path, threads: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_blocksmith"));
        command.current_dir(root()).args([
            "search",
            "search_spaces/mixed_stages.json",
            "--out",
            out.to_str().unwrap(),
            "--budget",
            "6000",
            "--seed",
            "7",
            "--objective",
            "max macs",
            "--objective",
            "min energy_j@pi5-onnx",
            "--threads",
            threads,
            "--resume",
            "--quiet",
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let whole = folder.path().join("whole");
    let started = std::time::Instant::now();
    assert!(search(&whole, "2").status().unwrap().success());
    let took = started.elapsed();
    let broken = folder.path().join("broken");
    let mut killed = 0;
    for (share, threads) in [(0.2, "1"), (0.35, "2"), (0.5, "1")] {
        let mut child = search(&broken, threads).spawn().unwrap();
        std::thread::sleep(took.mul_f64(share));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
    }
    assert!(killed > 0, "every run ended before it was killed");
    assert!(search(&broken, "1").status().unwrap().success());
    let mut compared = 0;
    for name in ["trials.parquet", "front.parquet", "trials.csv", "front.csv"] {
        if whole.join(name).exists() {
            let bytes = |run: &Path| std::fs::read(run.join(name)).unwrap();
            assert!(bytes(&whole) == bytes(&broken), "{name} differs");
            compared += 1;
        }
    }
    assert_eq!(compared, 2);
}
