//! `sample`.

use super::{json, run};
use std::path::Path;

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
