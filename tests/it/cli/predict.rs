//! `predict` and `calibrate`.

use super::{json, run};
use serde_json::Value;
use std::path::Path;

/// A table of networks in, predictions out; the same network by its own file and as a member of its space agrees.
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

/// Files that are no tables end with 3, and the ending of --out says the format.
#[test]
fn tables_come_and_go_as_their_names_say() {
    use blocksmith::analysis::parquet;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let predict = |table: &str, out: &str| {
        let (table, out) = (path(table), path(out));
        run(&["predict", &table, "--device", "pi5-onnx", "--out", &out])
    };
    for (name, bytes) in [
        ("empty.parquet", &b""[..]),
        ("damaged.parquet", b"PAR1 and no more"),
        ("torn.csv", b"arch\n\"never closed"),
    ] {
        std::fs::write(path(name), bytes).unwrap();
        let (code, _, stderr) = predict(name, "o.parquet");
        assert_eq!(code, 3, "{name}: {stderr}");
        assert!(stderr.contains(name), "{stderr}");
    }
    assert_eq!(predict("not-there.parquet", "o.parquet").0, 1);
    std::fs::write(path("rows.csv"), format!("arch\n{0}\n", super::SLIM)).unwrap();
    for out in ["o.csv", "o.parquet"] {
        assert_eq!(predict("rows.csv", out).0, 0);
    }
    let text = std::fs::read_to_string(path("o.csv")).unwrap();
    assert!(text.starts_with("arch,latency_s,"), "{text}");
    let times = |name: &str| {
        let table = parquet::read(Path::new(&path(name))).unwrap();
        table.all_reals("latency_s").unwrap()
    };
    assert_eq!(times("o.csv"), times("o.parquet"));
    // as many as there are, and a word on it; none is no question
    let suggest = |n: &str| run(&["calibrate", "--init", "pi5-ncnn", "--suggest", n]);
    let (code, names, stderr) = suggest("9999");
    assert_eq!(code, 0, "{stderr}");
    let told = format!(
        "note: {} networks are known under ncnn",
        names.lines().count()
    );
    assert!(stderr.starts_with(&told), "{stderr}");
    assert_eq!(suggest("0").0, 2);
}
