//! `check`: what is shipped, mistakes, files that are none.

use super::{SLIM, json, root, run, write};

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
