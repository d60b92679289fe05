//! The program as scripts see it: exit codes, stdout that is data and nothing else, closed pipes.

mod among;
mod batches;
mod check;
mod evaluator;
mod export;
#[cfg(feature = "analysis")]
mod faults;
mod forks;
#[cfg(all(feature = "torch", feature = "analysis"))]
mod measure;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "analysis")]
mod operators;
mod options;
#[cfg(feature = "analysis")]
mod predict;
mod remedies;
#[cfg(feature = "torch")]
mod run;
mod runs;
mod sample;
mod search;
mod show;
mod spaces;
mod weights;

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
        "export",
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
        let unfolded = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unfolded.contains(node["doc"].as_str().unwrap()), "{text}");
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
