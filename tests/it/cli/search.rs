//! `search`: ranking, resuming, what is infeasible, building the best.

use super::{SLIM, json, root, run, write};
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

/// A list of sixty names, some of them twice, helps nobody; nor does "no device" where the batch is what is wrong.
#[test]
fn hints_on_devices_begin_with_those_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let base = ["search", SLIM, "--out", out.to_str().unwrap()];
    let hint = |rest: &[&str]| {
        let (code, _, stderr) = run(&[&base[..], rest].concat());
        assert_eq!(code, 2, "{stderr}");
        stderr
    };
    let two = ["--device", "rtx3090-torch", "--device", "pi5-onnx"];
    let text = hint(&[&two[..], &["--objective", "min latency_s"]].concat());
    assert!(
        text.contains("known are rtx3090-torch, pi5-onnx, pi5-litert, "),
        "{text}"
    );
    assert_eq!(text.matches("rtx3090-torch").count(), 1, "{text}");
    assert!(text.contains(" more, which `blocksmith devices` lists"));
    for batch in ["0", "65537", "many"] {
        let text = hint(&["--objective", &format!("min latency_s@pi5-onnx:{batch}")]);
        assert!(
            text.contains(&format!("\"{batch}\" is no batch of pi5-onnx"))
                && text.contains("from 1 to 65536"),
            "{text}"
        );
    }
}

/// What ended a run is told as far as it is known: draws may miss a network, and a budget ends a visit of all in the middle.
/// A device that nothing is asked of is told too.
#[test]
fn the_end_of_a_run_claims_no_more_than_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let search = |name: &str, rest: &[&str]| {
        let out = folder.path().join(name);
        let space = "search_spaces/lite_osa.json";
        let base = [
            "search",
            space,
            "--out",
            out.to_str().unwrap(),
            "--objective",
            "max macs",
        ];
        let (code, _, stderr) = run(&[&base[..], rest].concat());
        assert_eq!(code, 0, "{stderr}");
        stderr
    };
    let text = search("random", &["--algorithm", "random"]);
    assert!(text.contains("; nothing new is found any more\n"), "{text}");
    for algorithm in ["nsga2", "front", "exhaustive"] {
        let text = search(algorithm, &["--algorithm", algorithm]);
        assert!(text.contains("; the space has no more\n"), "{text}");
        assert!(!text.contains("note: "), "{text}");
    }
    let text = search("idle", &["--budget", "1", "--device", "pi5-onnx"]);
    assert!(
        text.starts_with("note: nothing is predicted for pi5-onnx: "),
        "{text}"
    );
    assert!(text.contains("\n1 network in "), "{text}");
}

/// A space whose constraints nothing meets is told in the words and with the exit code of `sample`.
#[test]
fn a_space_without_a_network_is_told_as_sample_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
        "vars": {"w": {"range": {"min": 1, "max": 9}}}, "constraints": ["w > 9"],
        "net": [{"op": "conv", "out_channels": "=w", "kernel_size": 1}]}"#;
    let space = write(folder.path(), "none.json", text);
    let space = space.to_str().unwrap();
    let out = |name: &str| folder.path().join(name).display().to_string();
    let sample = run(&["sample", space, "-n", "1", "--out", &out("s")]);
    assert_eq!(sample.0, 4);
    for algorithm in ["guided", "random", "front"] {
        let out = out(algorithm);
        let rest = ["--objective", "min macs", "--algorithm", algorithm];
        let search = run(&[&["search", space, "--out", &out, "--quiet"][..], &rest].concat());
        assert_eq!(search, sample, "{algorithm}");
    }
}
