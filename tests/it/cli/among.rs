//! `search --among`: nothing but the networks of a table is proposed, and all of them are found.

use super::{json, root, run, write};
use blocksmith::search::SEARCHERS;
use blocksmith::space::Space;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const SPACE: &str = "search_spaces/lite_osa.json";

/// Some of the 36 networks of the space as rows of a table, and as the columns by name. Names of columns in quotes: one has
/// a dot, a table may have commas.
fn table(folder: &Path, name: &str, wanted: impl Fn(usize) -> bool) -> (String, BTreeSet<String>) {
    let text = std::fs::read_to_string(root().join(SPACE)).unwrap();
    let space = Space::parse(&text).unwrap();
    let ids: Vec<&str> = space.decisions().iter().map(|d| d.id()).collect();
    let mut csv = format!("{},accuracy\n", ids.join(","));
    let mut members = BTreeSet::new();
    for (k, assignment) in space.assignments().enumerate().filter(|(k, _)| wanted(*k)) {
        let values = space.assignment_to_json(&assignment);
        members.insert(values.to_string());
        let cell = |id: &&str| match &values[id] {
            Value::String(word) => word.clone(),
            other => other.to_string(),
        };
        let cells: Vec<String> = ids.iter().map(cell).collect();
        csv.push_str(&format!("{},0.{}\n", cells.join(","), 10 + k));
    }
    (write(folder, name, &csv).display().to_string(), members)
}

fn search<'a>(out: &'a str, table: &'a str, algorithm: &'a str) -> Vec<&'a str> {
    vec![
        "search",
        SPACE,
        "--out",
        out,
        "--among",
        table,
        "--algorithm",
        algorithm,
        "--budget",
        "40",
        "--objective",
        "max params",
        "--objective",
        "min macs",
        "--objective",
        "min conv_out_elems",
    ]
}

#[test]
fn every_algorithm_finds_the_members_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, members) = table(folder.path(), "some.csv", |k| k % 4 == 1);
    assert_eq!(members.len(), 9);
    for algorithm in SEARCHERS.iter().map(|s| s.name) {
        let out = folder.path().join(algorithm).display().to_string();
        let found = json(0, &search(&out, &path, algorithm));
        assert_eq!(
            (&found["trials"], &found["stop"]),
            (&9.into(), &"exhausted".into()),
            "{algorithm}"
        );
        assert_eq!(found["unbuildable"], 0, "{algorithm}");
        // the journal has all of them
        let journal = std::fs::read_to_string(Path::new(&out).join("journal.jsonl")).unwrap();
        assert_eq!(journal.lines().count(), 10, "{algorithm}");
        for row in found["front"].as_array().unwrap() {
            assert!(
                members.contains(&row["assignment"].to_string()),
                "{algorithm}: {row}"
            );
        }
    }
}

#[test]
fn the_table_belongs_to_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (some, _) = table(folder.path(), "some.csv", |k| k % 4 == 1);
    let (more, _) = table(folder.path(), "more.csv", |k| k % 4 < 2);
    let out = folder.path().join("run").display().to_string();
    let first = search(&out, &some, "random");
    assert_eq!(run(&first).0, 0);
    let summary = std::fs::read_to_string(Path::new(&out).join("run.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["run"]["among"]["networks"], 9);
    let again = json(0, &[&first[..], &["--resume"]].concat());
    assert_eq!(
        (&again["replayed"], &again["trials"]),
        (&9.into(), &9.into())
    );
    let (code, _, stderr) = run(&[&search(&out, &more, "random")[..], &["--resume"]].concat());
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("among"), "{stderr}");
}

#[test]
fn tables_that_limit_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run").display().to_string();
    let narrow = write(folder.path(), "narrow.csv", "w,accuracy\n48,0.5\n")
        .display()
        .to_string();
    let (code, _, stderr) = run(&search(&out, &narrow, "random"));
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains("net[2].mid_channels, net[4].gate; a table that"),
        "{stderr}"
    );
    // all decisions, no network of this space
    let (some, _) = table(folder.path(), "some.csv", |k| k == 0);
    let text = std::fs::read_to_string(&some)
        .unwrap()
        .replace("\n48,", "\n49,");
    let other = write(folder.path(), "other.csv", &text)
        .display()
        .to_string();
    let (code, _, stderr) = run(&search(&out, &other, "random"));
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains("no row that is a network of the space; row 0: "),
        "{stderr}"
    );
}

#[test]
fn an_evaluator_that_looks_up_fails_on_nothing() {
    let Some(python) = crate::python::python("json") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = table(folder.path(), "some.csv", |k| k % 3 == 0);
    let command = format!("{python} examples/evaluators/table.py '{path}' --metrics accuracy");
    for among in [true, false] {
        let out = folder
            .path()
            .join(format!("run-{among}"))
            .display()
            .to_string();
        let mut args = vec![
            "search",
            SPACE,
            "--out",
            &out,
            "--budget",
            "36",
            "--objective",
            "max accuracy",
            "--objective",
            "min macs",
            "--evaluator",
            &command,
            "--max-failures",
            "0",
        ];
        if among {
            args.extend(["--among", &path]);
        }
        let found = json(0, &args);
        let (trials, failed) = (found["trials"].as_u64(), found["failed"].as_u64());
        assert_eq!(
            (trials, failed),
            if among {
                (Some(12), Some(0))
            } else {
                (Some(36), Some(24))
            }
        );
        let best = found["front"][0]["metrics"]["accuracy"].as_f64();
        assert_eq!(best, Some(0.43), "the last row is the 34th network");
    }
}
