//! `run`, and libtorch around it.

use super::{SLIM, run, write};

/// A file that is not there is a failure, a file that is none of its kind is invalid input.
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
