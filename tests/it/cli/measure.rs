//! `measure`, from the command line to the rows of its table.

use super::{SLIM, run, write};
use blocksmith::analysis::parquet;
use blocksmith::base::table::Table;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A net of a millisecond or less.
const TINY: &str = r#"{"format": "blocksmith/1", "name": "tiny", "input": [8, 12, 12],
  "vars": {"w": {"choice": [8, 16, 24, 32]}},
  "net": [{"block": "conv_bn_act", "out_channels": "=w", "kernel_size": 3}, {"op": "global_avg_pool"}]}"#;

/// Short windows: these tests look at what is written, not at how long anything took.
const SHORT: [&str; 8] = [
    "--seconds",
    "0.02",
    "--warm-up",
    "0.02",
    "--max-rounds",
    "1",
    "--rounds",
    "1",
];

fn measure(folder: &Path, rest: &[&str]) -> (i32, String, String, Option<Table>) {
    let table = folder.join("m.parquet");
    let out = table.to_str().unwrap().to_owned();
    let args = [&["measure", "--out", &out][..], &SHORT, rest].concat();
    let (code, stdout, stderr) = run(&args);
    let table = table.exists().then(|| parquet::read(&table).unwrap());
    (code, stdout, stderr, table)
}

/// A row names its network as `predict` takes it, has every column of the contract, and no energy that nobody measured.
#[test]
fn a_row_says_what_was_measured_and_how() {
    let folder = tempfile::tempdir().unwrap();
    let space = write(folder.path(), "tiny.json", TINY);
    let rest = [
        SLIM,
        "--space",
        space.to_str().unwrap(),
        "-n",
        "2",
        "--meter",
        "none",
    ];
    let (code, stdout, stderr, table) = measure(folder.path(), &rest);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stdout.contains("vovnet27_slim") && stdout.contains("tiny 1"),
        "{stdout}"
    );
    let table = table.unwrap();
    assert_eq!(table.rows(), 3);
    let text = |name: &str| table.texts(name).unwrap().to_vec();
    assert_eq!(text("arch"), [Some(SLIM.to_owned()), None, None]);
    let choices = text("choices");
    assert_eq!(choices[0], None);
    assert!(choices[1].as_deref().unwrap().starts_with("{\"w\":") && choices[1] != choices[2]);
    for (column, value) in [
        ("device", "cpu"),
        ("runtime", "torch"),
        ("precision", "fp32"),
        ("form", "folded"),
    ] {
        assert_eq!(table.all_texts(column).unwrap(), [value; 3], "{column}");
    }
    assert_eq!(table.all_ints("threads").unwrap(), [1; 3]);
    let latency = table.all_reals("latency_s").unwrap();
    // 2.2 billion multiply-accumulates: no processor does them in a millisecond, and none worth the name takes a minute
    assert!((1e-3..60.0).contains(&latency[0]), "{latency:?}");
    assert!(latency[1] < latency[0] && latency[2] < latency[0]);
    assert_eq!(table.reals("energy_j").unwrap().as_ref(), [None; 3]);
    let note = text("energy_note");
    assert_eq!(note[0].as_deref(), Some("no meter: --meter none"));
    for column in [
        "latency_p10_s",
        "latency_p90_s",
        "runtime_version",
        "meter",
        "date",
        "cpu",
        "load_1m",
        "governor",
    ] {
        assert!(table.get(column).is_some(), "{column}");
    }
    // the same table goes into predict as it is
    let out = folder.path().join("p.parquet");
    let table = folder.path().join("m.parquet");
    let (table, out) = (table.to_str().unwrap(), out.to_str().unwrap());
    let (code, _, stderr) = run(&["predict", table, "--device", "pi5-onnx", "--out", out]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn rows_are_added_and_forms_differ() {
    let folder = tempfile::tempdir().unwrap();
    let space = write(folder.path(), "tiny.json", TINY);
    let net = [space.to_str().unwrap(), "--set", "w=16"];
    for form in ["eager", "folded", "fused", "frozen"] {
        let rest = [
            &net[..],
            &["--form", form, "--precision", "bf16", "--batch", "2"],
        ]
        .concat();
        let (code, _, stderr, _) = measure(folder.path(), &rest);
        assert_eq!(code, 0, "{form}: {stderr}");
    }
    let table = parquet::read(&folder.path().join("m.parquet")).unwrap();
    assert_eq!(
        table.all_texts("form").unwrap(),
        ["eager", "folded", "fused", "frozen"]
    );
    assert_eq!(
        table.all_texts("memory_format").unwrap(),
        ["nchw", "nhwc", "nhwc", "nhwc"]
    );
    assert_eq!(table.all_ints("batch").unwrap(), [2, 2, 2, 2]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let space = write(folder.path(), "tiny.json", TINY);
    let space = space.to_str().unwrap();
    let told = |rest: &[&str], expected: i32, text: &str| {
        let (code, _, stderr, table) = measure(folder.path(), rest);
        assert_eq!(code, expected, "{rest:?}: {stderr}");
        assert!(stderr.contains(text), "{rest:?}: {stderr}");
        assert!(table.is_none());
    };
    told(&[], 2, "nothing to measure");
    told(&[space], 3, "1 decision is open: w");
    told(&[SLIM, "--affinity", "0,x"], 2, "\"x\" is no processor");
    let out = folder.path().join("m.parquet");
    let out = out.to_str().unwrap();
    let (code, _, stderr) = run(&["measure", SLIM, "--seconds", "0", "--out", out]);
    assert!(code == 2 && stderr.contains("above 0"), "{code}: {stderr}");
    told(&[SLIM, "--device", "cuda:9"], 1, "cuda:9");
}

/// Killed after a number of windows, the journal goes on where it ended, and a torn last line costs that window only.
#[test]
fn a_killed_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let space = write(folder.path(), "tiny.json", TINY);
    let out = folder.path().join("m.parquet");
    let command = |resume: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blocksmith"));
        command.args(["measure", "--space", space.to_str().unwrap(), "-n", "4"]);
        command.args([
            "--seconds",
            "0.3",
            "--rounds",
            "2",
            "--max-rounds",
            "2",
            "--meter",
            "none",
        ]);
        command.args(["--out", out.to_str().unwrap()]);
        if resume {
            command.arg("--resume");
        }
        command
    };
    let journal = folder.path().join("m.parquet.journal");
    let mut child = command(false).spawn().unwrap();
    let lines = || fs::read(&journal).map_or(0, |b| b.iter().filter(|b| **b == b'\n').count());
    let start = std::time::Instant::now();
    while lines() < 4 && start.elapsed().as_secs() < 300 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!out.exists());
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 7]).unwrap();
    let kept = lines() - 1;
    assert!(kept >= 2, "{kept}");
    // without --resume nothing is overwritten, and another run is not taken for this one
    let refused = command(false).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let other = command(true).args(["--threads", "2"]).output().unwrap();
    assert!(String::from_utf8_lossy(&other.stderr).contains("threads"));
    let resumed = command(true).output().unwrap();
    let stderr = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert_eq!(resumed.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains(&format!("{kept} windows were there already")),
        "{stderr}"
    );
    let table = parquet::read(&out).unwrap();
    assert_eq!(table.rows(), 4);
    // two rounds, and the first net once more at the end
    assert_eq!(table.all_ints("rounds").unwrap().iter().sum::<i64>(), 9);
    assert!(!journal.exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let space = write(folder.path(), "tiny.json", TINY);
    let out = folder.path().join("m.parquet");
    let journal = folder.path().join("m.parquet.journal");
    let child = Command::new(env!("CARGO_BIN_EXE_blocksmith"))
        .args([
            "measure",
            "--space",
            space.to_str().unwrap(),
            "-n",
            "4",
            "--seconds",
            "0.3",
            "--meter",
            "none",
        ])
        .args(["--out", out.to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = || fs::read(&journal).map_or(0, |b| b.iter().filter(|b| **b == b'\n').count());
    let start = std::time::Instant::now();
    while lines() < 2 && start.elapsed().as_secs() < 300 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("--resume"), "{stderr}");
    assert!(lines() >= 2 && !out.exists());
}

/// A Raspberry Pi 5 by a script in the place of `vcgencmd`, which says 2 W whatever runs: a row has no energy above idle
/// then, and says why.
#[cfg(unix)]
#[test]
fn energy_comes_from_a_scripted_power_chip_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let space = write(folder.path(), "tiny.json", TINY);
    let script = "#!/bin/sh\n[ \"$1\" = pmic_read_adc ] || exit 2\necho ' VDD_CORE_A current(7)=2.5A'\necho ' VDD_CORE_V volt(15)=0.8V'\necho ' EXT5V_V volt(24)=5.1V'\n";
    let vcgencmd = write(folder.path(), "vcgencmd", script);
    fs::set_permissions(&vcgencmd, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let out = folder.path().join("m.parquet");
    let output = Command::new(env!("CARGO_BIN_EXE_blocksmith"))
        .env("PATH", path)
        .args([
            "measure",
            space.to_str().unwrap(),
            "--set",
            "w=8",
            "--meter",
            "pmic",
        ])
        .args([
            "--rounds",
            "1",
            "--max-rounds",
            "1",
            "--idle-seconds",
            "1.5",
            "--energy-seconds",
            "1.5",
        ])
        .args(["--out", out.to_str().unwrap()])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let table = parquet::read(&out).unwrap();
    assert_eq!(table.all_texts("meter").unwrap(), ["pmic:1 rails"]);
    // readings come ten times a second, on a busy machine some come late: what is left of that is no quarter of 2 W
    let energy = table.reals("energy_j").unwrap()[0];
    let latency_s = table.all_reals("latency_s").unwrap()[0];
    match energy {
        Some(joules) => assert!(joules < 0.5 * latency_s, "{joules} J"),
        None => {
            let note = table.all_texts("energy_note").unwrap()[0].to_owned();
            let known = ["above", "ticks", "idle power"];
            assert!(known.iter().any(|k| note.contains(k)), "{note}");
        }
    }
}
