//! The program as scripts see it: exit codes, stdout that is data and nothing else, closed pipes.

mod show;
mod spaces;

use assert_cmd::Command;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn blocksmith() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blocksmith"));
    command.current_dir(root()).env_remove("LD_LIBRARY_PATH");
    command
}

/// Exit code, stdout, stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = blocksmith().args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The one JSON document on stdout of a command that ends with `code`.
fn json(code: i32, args: &[&str]) -> Value {
    let (got, stdout, stderr) = run(&[args, &["--format", "json"]].concat());
    assert_eq!(got, code, "{args:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{args:?}: {e}\n{stdout}"))
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const SLIM: &str = "search_spaces/reference/vovnet27_slim.json";

#[test]
fn check_accepts_what_is_shipped_and_points_at_mistakes() {
    let (code, stdout, _) = run(&["check", SLIM, "search_spaces/lite_osa.json"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("36 assignments"), "{stdout}");

    let folder = tempfile::tempdir().unwrap();
    let bad = write(
        folder.path(),
        "bad.json",
        "{\"format\": \"blocksmith/1\", \"input\": [3, 32, 32], \"net\": [\n  {\"block\": \"osa\", \"out_channels\": 8, \"mid_channels\": 8, \"layer\": 3},\n  {\"op\": \"konv\"}]}",
    );
    let report = json(3, &["check", bad.to_str().unwrap()]);
    let found = report["files"][0]["diagnostics"].as_array().unwrap();
    let at: Vec<(&str, i64)> = found
        .iter()
        .map(|d| (d["path"].as_str().unwrap(), d["line"].as_i64().unwrap()))
        .collect();
    assert!(at.contains(&("net[0].layer", 2)), "{at:?}");
    assert!(
        at.iter()
            .any(|(path, line)| path.starts_with("net[1]") && *line == 3),
        "{at:?}"
    );
    let (_, stdout, stderr) = run(&["check", bad.to_str().unwrap()]);
    assert!(stdout.trim().is_empty());
    assert!(
        stderr.contains("did you mean \"layers\"") && stderr.contains("did you mean \"conv\""),
        "{stderr}"
    );
}

#[test]
fn a_file_that_is_not_there_is_a_failure_and_bytes_are_invalid_input() {
    assert_eq!(run(&["check", "no/such/file.json"]).0, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes.json");
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    let (code, _, stderr) = run(&["check", path.to_str().unwrap()]);
    assert_eq!(code, 3);
    assert!(stderr.contains("UTF-8"), "{stderr}");
}

/// One file that cannot be read keeps no other from being checked; a name cannot lead out of the folder.
#[test]
fn check_goes_on_and_sample_stays_in_its_folder() {
    let (code, stdout, stderr) = run(&["check", "no/such/file.json", SLIM]);
    assert_eq!(code, 1);
    assert!(
        stdout.contains("vovnet27_slim") && stderr.contains("no/such/file.json"),
        "{stdout}{stderr}"
    );
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(root().join("search_spaces/lite_osa.json")).unwrap();
    let text = text.replacen("\"lite_osa_space\"", "\"../../escaped\"", 1);
    let space = write(folder.path(), "space.json", &text);
    let out = folder.path().join("a/b/c");
    assert_eq!(
        run(&[
            "sample",
            space.to_str().unwrap(),
            "--out",
            out.to_str().unwrap()
        ])
        .0,
        0
    );
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn usage_errors_end_with_2_and_help_with_0() {
    assert_eq!(run(&["chek"]).0, 2);
    assert_eq!(run(&["search", "search_spaces/lite_osa.json"]).0, 2);
    assert_eq!(run(&["blocks", "ossa"]).0, 2);
    let mut commands = vec![
        "check",
        "show",
        "sample",
        "search",
        "blocks",
        "devices",
        "completions",
    ];
    if cfg!(feature = "torch") {
        commands.push("run");
    }
    if cfg!(feature = "analysis") {
        commands.extend(["predict", "calibrate"]);
    }
    for command in commands {
        let (code, stdout, _) = run(&[command, "--help"]);
        assert_eq!(code, 0, "{command}");
        assert!(stdout.contains("Usage: blocksmith"), "{command}: {stdout}");
    }
}

#[test]
fn sample_writes_distinct_archs_that_check_accepts_and_a_seed_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a", "b"].map(|n| folder.path().join(n));
    for name in &names {
        let report = json(
            0,
            &[
                "sample",
                "search_spaces/lite_osa.json",
                "-n",
                "12",
                "--seed",
                "3",
                "--out",
                name.to_str().unwrap(),
            ],
        );
        assert_eq!(report["count"], 12);
    }
    let files = |folder: &Path| -> Vec<(String, String)> {
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().path())
            .map(|p| {
                (
                    p.file_name().unwrap().to_str().unwrap().to_owned(),
                    std::fs::read_to_string(&p).unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    };
    let first = files(&names[0]);
    assert_eq!(first, files(&names[1]));
    assert_eq!(
        first
            .iter()
            .map(|f| &f.1)
            .collect::<std::collections::HashSet<_>>()
            .len(),
        12
    );
    let paths: Vec<String> = first
        .iter()
        .map(|f| names[0].join(&f.0).to_str().unwrap().to_owned())
        .collect();
    let args: Vec<&str> = std::iter::once("check")
        .chain(paths.iter().map(String::as_str))
        .collect();
    assert_eq!(run(&args).0, 0);
    // 36 assignments; fewer than 1000 networks can be found, and that is said, not looped on
    let all = names[0].join("all");
    let report = json(
        0,
        &[
            "sample",
            "search_spaces/lite_osa.json",
            "-n",
            "1000",
            "--out",
            all.to_str().unwrap(),
        ],
    );
    assert!(report["count"].as_u64().unwrap() <= 36);
}

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

#[test]
fn devices_and_blocks_list_everything() {
    let devices = json(0, &["devices"]);
    let names: Vec<&str> = devices["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"pi5-onnx"), "{names:?}");
    for name in names {
        let device = json(0, &["devices", name]);
        assert!(
            !device["held_out"].as_array().unwrap().is_empty(),
            "{name} states no error"
        );
    }
    let blocks = json(0, &["blocks"]);
    for node in blocks["nodes"].as_array().unwrap() {
        let (code, text, _) = run(&["blocks", node["name"].as_str().unwrap()]);
        assert_eq!(code, 0);
        assert!(text.contains(node["doc"].as_str().unwrap()));
    }
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_blocksmith"))
        .current_dir(root())
        .args(["show", SLIM, "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A file that is not there is a failure, a file that is none of its kind is invalid input.
#[cfg(feature = "torch")]
#[test]
fn run_tells_a_missing_file_from_a_wrong_one() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = write(folder.path(), "wrong.safetensors", "no tensors");
    for (weights, expected) in [("no/such.safetensors", 1), (wrong.to_str().unwrap(), 3)] {
        let rest = ["--input", weights, "--output", "y.safetensors"];
        let (code, _, stderr) = run(&[&["run", SLIM, "--weights", weights][..], &rest].concat());
        assert_eq!(code, expected, "{stderr}");
        assert!(
            stderr.contains(weights) && !stderr.contains("Os {"),
            "{stderr}"
        );
    }
}

/// A forward pass in an empty environment: the program finds libtorch by itself.
#[cfg(feature = "torch")]
#[test]
fn libtorch_runs_in_an_empty_environment() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_blocksmith"))
        .current_dir("/")
        .env_clear()
        .args(["devices", "--self-test"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stdout = String::from_utf8_lossy(&output.stdout);
    let version = stdout.lines().find(|l| l.starts_with("libtorch"));
    assert!(version.is_some_and(|l| l.ends_with("2.11.0")), "{stdout}");
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

/// A table of networks in, predictions out; the same network by its own file and as a member of its space agrees.
#[cfg(feature = "analysis")]
#[test]
fn predict_adds_columns_and_calibrate_recovers_what_predicted_them() {
    use blocksmith::analysis::parquet;
    use blocksmith::base::table::Table;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let drawn = json(
        0,
        &[
            "sample",
            "search_spaces/lite_osa.json",
            "-n",
            "30",
            "--out",
            &path("archs"),
        ],
    );
    let archs = drawn["archs"].as_array().unwrap();
    let text = |key: &str| -> Vec<Option<String>> {
        let cell = |a: &Value| match &a[key] {
            Value::String(s) => Some(s.clone()),
            other => Some(other.to_string()),
        };
        archs.iter().map(cell).collect()
    };
    let mut by_file = Table::new("by file");
    by_file.push("arch", text("file")).unwrap();
    let mut by_space = Table::new("by space");
    by_space
        .push(
            "space",
            vec![Some("search_spaces/lite_osa.json".to_owned()); archs.len()],
        )
        .unwrap();
    by_space.push("choices", text("assignment")).unwrap();
    parquet::write(&by_file, Path::new(&path("a.parquet"))).unwrap();
    parquet::write(&by_space, Path::new(&path("s.parquet"))).unwrap();
    for name in ["a", "s"] {
        let (table, out) = (
            path(&format!("{name}.parquet")),
            path(&format!("{name}-out.parquet")),
        );
        let report = json(
            0,
            &["predict", &table, "--device", "pi5-onnx", "--out", &out],
        );
        assert_eq!(report["rows_uncovered"], 0);
    }
    let a = parquet::read(Path::new(&path("a-out.parquet"))).unwrap();
    let s = parquet::read(Path::new(&path("s-out.parquet"))).unwrap();
    for column in [
        "latency_s",
        "latency_lo_s",
        "latency_hi_s",
        "energy_j",
        "energy_lo_j",
        "energy_hi_j",
        "uncovered_share",
        "transferred_share",
    ] {
        assert_eq!(
            a.all_reals(column).unwrap(),
            s.all_reals(column).unwrap(),
            "{column}"
        );
    }
    let shown = json(
        0,
        &[
            "show",
            archs[0]["file"].as_str().unwrap(),
            "--device",
            "pi5-onnx",
        ],
    );
    assert_eq!(
        shown["devices"]["pi5-onnx"]["latency_s"].as_f64(),
        Some(a.all_reals("latency_s").unwrap()[0])
    );

    // the predictions, taken for measurements: a fit that starts from another device must come back to them
    let fitted = json(
        0,
        &[
            "calibrate",
            "--measurements",
            &path("a-out.parquet"),
            "--name",
            "mine",
            "--init",
            "pi5-litert",
            "--out",
            &path("mine.json"),
        ],
    );
    let error = fitted["profiles"][0]["held_out"][0]["mape"]
        .as_f64()
        .unwrap();
    assert!(error < 0.05, "{fitted}");
    assert_eq!(json(0, &["devices", &path("mine.json")])["name"], "mine");
    assert_eq!(
        run(&[
            "predict",
            &path("a.parquet"),
            "--device",
            "no-such",
            "--out",
            &path("x.parquet")
        ])
        .0,
        2
    );
}
