//! Run folders: who may write there, disks that are full or may not be written to, settings that have changed, progress.

use super::{json, root, run};
use crate::search::rows_written;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SPACE: &str = "search_spaces/mixed_stages.json";

/// `search` in this folder with as many trials.
fn args<'a>(out: &'a str, budget: &'a str) -> Vec<&'a str> {
    let mut args = vec![
        "search", SPACE, "--out", out, "--budget", budget, "--seed", "7",
    ];
    args.extend(["--algorithm", "random", "--objective", "max macs"]);
    args.extend(["--objective", "min latency_s@pi5-onnx"]);
    args
}

fn trials(run: &Path) -> Vec<u8> {
    let tables = ["trials.parquet", "trials.csv"].map(|name| run.join(name));
    std::fs::read(tables.iter().find(|t| t.exists()).unwrap()).unwrap()
}

#[test]
fn two_programs_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let out = path.to_str().unwrap();
    let mut first = Command::new(env!("CARGO_BIN_EXE_blocksmith"))
        .current_dir(root())
        .args(args(out, "100000000"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while rows_written(&path) == 0 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    for resume in [&[][..], &["--resume"]] {
        let (code, stdout, stderr) = run(&[&args(out, "10")[..], resume].concat());
        assert_eq!((code, &*stdout), (1, ""));
        assert!(
            stderr.contains(out) && stderr.contains("another process is writing"),
            "{stderr}"
        );
    }
    assert!(
        first.try_wait().unwrap().is_none(),
        "the first one has ended"
    );
    let before = rows_written(&path);
    first.kill().unwrap();
    first.wait().unwrap();
    // it has lost nothing by it
    let again = json(0, &[&args(out, "10")[..], &["--resume"]].concat());
    assert!(again["replayed"].as_u64().unwrap() as usize >= before && before > 0);
}

#[test]
fn a_resume_with_other_settings_says_which_and_how_to_fork() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let out = path.to_str().unwrap();
    json(0, &args(out, "20"));
    let before = std::fs::read(path.join("journal.jsonl")).unwrap();
    let changes = [
        (
            vec!["--seed", "8"],
            vec!["seed: the journal has 7, this search 8"],
        ),
        (
            vec!["--limit", "params<=4M"],
            vec!["settings.limits", "params<=4000000"],
        ),
        (
            vec!["--algorithm", "nsga2"],
            vec!["settings.algorithm: the journal has \"random\", this search \"nsga2\""],
        ),
        (
            vec!["--objective", "min latency_s@rtx4090-torch"],
            vec!["settings.objectives", "devices.rtx4090-torch", "metrics"],
        ),
        (vec!["--set", "act=relu"], vec!["settings.fixed.act"]),
        (vec!["--reference", "macs=1G"], vec!["settings.references"]),
    ];
    for (change, told) in changes {
        // of an option that may come once the last one counts here
        let kept = args(out, "20")
            .chunks(2)
            .filter(|pair| pair.first() != change.first() || change[0] == "--objective")
            .flatten()
            .copied()
            .collect::<Vec<_>>();
        let (code, _, stderr) = run(&[&kept[..], &change, &["--resume"]].concat());
        assert_eq!(code, 1, "{stderr}");
        for part in told.iter().chain(&[out, "--fork"]) {
            assert!(stderr.contains(part), "{change:?}: {stderr}");
        }
    }
    let (code, _, stderr) =
        run(&[&args(out, "20")[..], &["--resume", "--fork", "elsewhere"]].concat());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("begun without --fork"), "{stderr}");
    let gain = run(&[&args(out, "20")[..], &["--resume", "--until-gain", "0.05%"]].concat());
    assert_eq!(gain.0, 2, "{}", gain.2);
    assert_eq!(
        run(&[&args(out, "20")[..], &["--until-gain", "5"]].concat()).0,
        2
    );
    assert!(std::fs::read(path.join("journal.jsonl")).unwrap() == before);
}

/// A file that may not grow any more stands for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_what_is_there_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let [full, whole] = ["full", "whole"].map(|name| folder.path().join(name));
    let limited = |blocks: &str| {
        let mut command = Command::new("sh");
        let script = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"";
        command
            .current_dir(root())
            .args(["-c", script, "sh", blocks]);
        command.arg(env!("CARGO_BIN_EXE_blocksmith"));
        command
            .args(args(full.to_str().unwrap(), "2000"))
            .arg("--resume");
        command.output().unwrap()
    };
    let mut before = 0;
    for blocks in ["40", "200"] {
        let output = limited(blocks);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let named = stderr.contains(full.to_str().unwrap()) && stderr.contains("cannot write");
        assert!(named && stderr.contains("File too large"), "{stderr}");
        assert!(
            !full.join("run.json").exists(),
            "a run that failed has no summary"
        );
        let now = rows_written(&full);
        assert!(now > before && now < 2000, "{now} rows after {before}");
        before = now;
    }
    // with room again it goes on as if nothing had been
    let again = json(
        0,
        &[&args(full.to_str().unwrap(), "2000")[..], &["--resume"]].concat(),
    );
    assert_eq!(again["replayed"], before as u64);
    json(0, &args(whole.to_str().unwrap(), "2000"));
    assert!(trials(&full) == trials(&whole));
    let journal = |run: &Path| std::fs::read(run.join("journal.jsonl")).unwrap();
    assert!(journal(&full) == journal(&whole));
}

/// Whoever may do everything becomes nobody for it.
#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_told_and_left_alone() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("run");
    json(0, &args(path.to_str().unwrap(), "20"));
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    [&path, &locked]
        .into_iter()
        .for_each(|path| mode(path, 0o555));
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap().path();
        mode(&entry, if entry.is_dir() { 0o555 } else { 0o444 });
    }
    let before = std::fs::read(path.join("journal.jsonl")).unwrap();
    let is_root = std::fs::metadata(folder.path()).unwrap().uid() == 0;
    let cases = [
        (path.clone(), "cannot open"),
        (locked.clone(), "cannot open"),
        (locked.join("new"), "cannot make"),
    ];
    for (out, told) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blocksmith"));
        command
            .current_dir(root())
            .args(args(out.to_str().unwrap(), "40"))
            .arg("--resume");
        if is_root {
            command.uid(65534).gid(65534);
        }
        let Ok(output) = command.output() else {
            println!("skipped: nobody may not run the program");
            break;
        };
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        for part in [told, out.to_str().unwrap(), "Permission denied"] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
    [&path, &locked]
        .into_iter()
        .for_each(|path| mode(path, 0o755));
    assert!(std::fs::read(path.join("journal.jsonl")).unwrap() == before);
    assert_eq!(std::fs::read_dir(&locked).unwrap().count(), 0);
}

#[test]
fn programs_can_watch_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (out, events) = (path.to_str().unwrap(), folder.path().join("events.jsonl"));
    let watched = [
        "--quiet",
        "--format",
        "json",
        "--events",
        events.to_str().unwrap(),
    ];
    let (code, stdout, stderr) = run(&[&args(out, "3000")[..], &watched].concat());
    assert_eq!((code, &*stderr), (0, ""));
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let read = || -> Vec<Value> {
        let text = std::fs::read_to_string(&events).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let phases = |events: &[Value]| -> Vec<String> {
        let of = events.iter().filter(|e| e["event"] == "phase");
        of.map(|e| e["phase"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = read();
    assert_eq!(phases(&first), ["reading", "searching", "writing"]);
    let progress: Vec<&Value> = first.iter().filter(|e| e["event"] == "progress").collect();
    let best = |e: &Value| e["best"]["latency_s@pi5-onnx"].as_f64().unwrap();
    assert!(!progress.is_empty());
    for event in &progress {
        assert_eq!(event["budget"], 3000);
        assert!(event["front"].as_u64().unwrap() > 0 && event["trials"].as_u64().unwrap() > 0);
        let part = event["hypervolume"].as_f64().unwrap();
        assert!(part > 0.0 && part <= 1.0, "{event}");
        assert!(best(event) > 0.0 && event["best"]["macs"].as_f64().unwrap() > 1e6);
    }
    let last = first.last().unwrap();
    assert_eq!(
        (&last["event"], &last["stop"]),
        (&"end".into(), &"budget".into())
    );
    // what each phase took; memory only where the system tells
    let spent = last["phases"].as_array().unwrap();
    let names: Vec<&str> = spent.iter().map(|s| s["phase"].as_str().unwrap()).collect();
    assert_eq!(names, ["reading", "searching", "writing"]);
    let sum: f64 = spent.iter().map(|s| s["time_s"].as_f64().unwrap()).sum();
    let all = last["time_s"].as_f64().unwrap();
    assert!(sum <= all + 0.002 && sum > 0.5 * all, "{sum} {all}");
    let peaks: Vec<Option<u64>> = spent.iter().map(|s| s["peak_bytes"].as_u64()).collect();
    match cfg!(target_os = "linux") {
        true => assert!(peaks[0] > Some(1 << 20) && peaks.is_sorted(), "{peaks:?}"),
        false => assert!(peaks.iter().all(Option::is_none), "{peaks:?}"),
    }
    assert_eq!(&document["phases"], &last["phases"]);
    assert_eq!(
        (&last["trials"], &last["front"].as_u64()),
        (
            &3000.into(),
            &Some(document["front"].as_array().unwrap().len() as u64)
        )
    );
    // a larger budget: what the journal knows is replayed, and events are added
    json(
        0,
        &[
            &args(out, "3500")[..],
            &["--resume", "--events", events.to_str().unwrap()],
        ]
        .concat(),
    );
    let both = read();
    assert_eq!(both[..first.len()], first[..]);
    assert_eq!(
        phases(&both[first.len()..]),
        ["reading", "replaying", "searching", "writing"]
    );
    assert_eq!(both.last().unwrap()["replayed"], 3000);
}

#[test]
fn weights_rank_the_front() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let out = path.to_str().unwrap();
    let plain = json(0, &args(out, "400"));
    let weigh = |weights: &str| {
        json(
            0,
            &[&args(out, "400")[..], &["--resume", "--weights", weights]].concat(),
        )
    };
    let rows = |document: &Value| document["front"].as_array().unwrap().clone();
    let value = |row: &Value, metric: &str| row["metrics"][metric].as_f64().unwrap();
    let trials = |document: &Value| {
        let mut trials: Vec<u64> = rows(document)
            .iter()
            .map(|r| r["trial"].as_u64().unwrap())
            .collect();
        trials.sort_unstable();
        trials
    };
    let ranked = weigh("macs=1,latency_s@pi5-onnx=3");
    assert_eq!(trials(&ranked), trials(&plain), "the front remains");
    let front = rows(&ranked);
    assert!(front.len() > 3);
    let ends = |metric: &str| {
        let values = front.iter().map(|r| value(r, metric));
        values.fold((f64::INFINITY, 0.0f64), |(l, h), x| (l.min(x), h.max(x)))
    };
    let ((few, many), (fast, slow)) = (ends("macs"), ends("latency_s@pi5-onnx"));
    let mut last = 0.0;
    for row in &front {
        let macs = (many - value(row, "macs")) / (many - few);
        let latency = (value(row, "latency_s@pi5-onnx") - fast) / (slow - fast);
        let score = row["score"].as_f64().unwrap();
        assert!(
            (score - (0.25 * macs + 0.75 * latency)).abs() < 1e-9,
            "{row}"
        );
        assert!(score >= last);
        last = score;
    }
    // all weight on one objective: its best member first, its arch under the first name
    let ranked = weigh("latency_s@pi5-onnx=1");
    let first = rows(&ranked).remove(0);
    assert_eq!(value(&first, "latency_s@pi5-onnx"), fast);
    assert!(first["arch"].as_str().unwrap().contains("001-trial-"));
    assert!(rows(&plain)[0]["score"].is_null());
    let (code, _, stderr) = run(&[
        &args(out, "400")[..],
        &["--resume", "--weights", "params=1"],
    ]
    .concat());
    assert_eq!(code, 2);
    assert!(stderr.contains("\"params\" is no objective"), "{stderr}");
}
