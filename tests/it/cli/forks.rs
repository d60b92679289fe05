//! `search --fork` and `--until-gain`, with an evaluator that keeps what it is asked.
#![cfg(unix)]

use super::{json, run, write};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

/// Tells a made-up accuracy, which depends on the network alone, and keeps every question.
const EVALUATOR: &str = r#"
while IFS= read -r line; do
    printf '%s\n' "$line" >> "$(dirname "$0")/asked"
    id=${line#*:}; id=${id%%,*}; rest=${line#*,}
    echo "{\"id\":$id,\"metrics\":{\"accuracy\":0.$((${#rest} * 7919 % 90 + 10))}}"
done
"#;

/// The assignments that it was asked about, in its order.
fn asked(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("asked")).unwrap_or_default();
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["assignment"].to_string();
    text.lines().map(line).collect()
}

fn evaluator(folder: &Path) -> String {
    let script = write(folder, "evaluator.sh", EVALUATOR);
    format!("sh '{}'", script.display())
}

#[test]
fn a_fork_asks_the_evaluator_about_nothing_twice_and_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let command = evaluator(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (old, new) = (path("old"), path("new"));
    let search = |out: &str, goal: &str, more: &[&str]| {
        let space = [
            "search",
            "search_spaces/lite_osa.json",
            "--evaluator",
            &command,
        ];
        let wanted = ["--out", out, "--objective", "max accuracy", "--objective"];
        run(&[&space[..], &wanted, &[goal], more].concat())
    };
    let first = ["--budget", "20", "--algorithm", "random"];
    let (code, _, stderr) = search(&old, "min macs", &first);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(asked(folder.path()).len(), 20);
    let journal = std::fs::read(folder.path().join("old/journal.jsonl")).unwrap();

    // other objectives, another algorithm, seed and budget
    let goal = "min latency_s@pi5-onnx";
    let second = ["--seed", "9", "--fork", &old, "--budget"];
    let (code, _, stderr) = search(&new, goal, &[&second[..], &["26"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("20 answers carried over from"), "{stderr}");
    assert!(
        stderr.contains("20 answers were known from another run"),
        "{stderr}"
    );
    let all = asked(folder.path());
    assert_eq!(all.len(), 26, "the 6 that are new");
    let distinct: HashSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), 26, "none twice");
    let after = std::fs::read(folder.path().join("old/journal.jsonl")).unwrap();
    assert!(after == journal, "the old run was changed");

    // the old folder may go, and the same command goes on
    std::fs::rename(&old, path("away")).unwrap();
    let (code, _, stderr) = search(&new, goal, &[&second[..], &["29", "--resume"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("(26 from the journal"), "{stderr}");
    assert_eq!(asked(folder.path()).len(), 29);
    let (code, _, stderr) = search(&path("third"), goal, &[&second[..], &["29"]].concat());
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains(&old) && stderr.contains("cannot open"),
        "{stderr}"
    );
}

#[test]
fn a_search_ends_when_little_is_left_to_gain() {
    let folder = tempfile::tempdir().unwrap();
    let command = evaluator(folder.path());
    let out = folder.path().join("run").display().to_string();
    let search = |more: &[&str]| {
        let space = [
            "search",
            "search_spaces/lite_osa.json",
            "--out",
            &out,
            "--evaluator",
            &command,
        ];
        let wanted = [
            "--objective",
            "max accuracy",
            "--objective",
            "min macs",
            "--budget",
            "36",
        ];
        json(0, &[&space[..], &wanted, more].concat())
    };
    let ended = search(&["--until-gain", "90%"]);
    assert_eq!(ended["stop"], "gain");
    let n = ended["trials"].as_u64().unwrap();
    assert!(n < 36, "{n}");
    // without the wish it goes on from there
    let on = search(&["--resume"]);
    assert_eq!(on["replayed"], n);
    assert_ne!(on["stop"], "gain");
}
