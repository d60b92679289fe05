//! `predict --ops` and `calibrate --ops`: networks by operator tables.

use super::{json, run};
use crate::operators::NUMBERS;
use blocksmith::analysis::parquet;
use blocksmith::base::table::{Column, Table};
use std::path::Path;

/// Convolution, norm and relu at 1, 2, .. times 16 channels, as a tracer would write them.
pub fn operators(count: i64) -> Table {
    let columns = NUMBERS;
    let (mut names, mut ops) = (Vec::new(), Vec::new());
    let mut cells: Vec<Vec<Option<i64>>> = vec![Vec::new(); columns.len()];
    for i in 1..=count {
        let (c, side) = (16 * i, 28);
        let (map, weights) = (c * side * side, 9 * c * c);
        let conv = [
            3,
            3,
            1,
            1,
            1,
            1,
            1,
            weights,
            weights * side * side,
            c,
            side,
            side,
            c,
            side,
            side,
            map,
            map,
        ];
        for op in ["convolution", "native_batch_norm", "relu_"] {
            names.push(format!("net{i}"));
            ops.push(op.to_owned());
            for (j, (cell, value)) in cells.iter_mut().zip(conv).enumerate() {
                // a tracer leaves empty what an operator does not have
                cell.push((op == "convolution" || j >= 9).then_some(value));
            }
        }
    }
    let mut table = Table::new("operators");
    table.push("model", names).unwrap();
    table.push("op", ops).unwrap();
    for (name, cells) in columns.into_iter().zip(cells) {
        table.push(name, cells).unwrap();
    }
    table
}

#[test]
fn tables_of_operators_are_predicted_and_calibrated_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, table: &Table| parquet::write(table, Path::new(&path(name))).unwrap();
    write("ops.parquet", &operators(12));
    let mut measured = Table::new("measured");
    let names: Vec<_> = (1..=12).map(|i| format!("net{i}")).collect();
    measured.push("model", names).unwrap();
    // whole numbers come as reals from many a tool
    measured.push("batch", vec![Some(2.0); 12]).unwrap();
    write("measured.parquet", &measured);
    let (table, ops, out) = (
        path("measured.parquet"),
        path("ops.parquet"),
        path("out.parquet"),
    );
    let predict = [
        "predict",
        &table,
        "--ops",
        &ops,
        "--device",
        "rtx4090-torch",
        "--out",
        &out,
    ];
    assert_eq!(json(0, &predict)["rows_uncovered"], 0);
    let predicted = parquet::read(Path::new(&out)).unwrap();

    // the same networks as documents
    let mut by_arch = Table::new("archs");
    let mut files = Vec::new();
    for i in 1..=12 {
        let (file, c) = (path(&format!("net{i}.json")), 16 * i);
        let text = format!(
            r#"{{"format": "blocksmith/1", "input": [{c}, 28, 28],
                "net": [{{"block": "conv_bn_act", "out_channels": {c}, "kernel_size": 3}}]}}"#
        );
        std::fs::write(&file, text).unwrap();
        files.push(file);
    }
    by_arch.push("arch", files).unwrap();
    write("archs.parquet", &by_arch);
    let (archs, other) = (path("archs.parquet"), path("archs-out.parquet"));
    let arch = [
        "predict",
        &archs,
        "--batch",
        "2",
        "--device",
        "rtx4090-torch",
        "--out",
        &other,
    ];
    json(0, &arch);
    let theirs = parquet::read(Path::new(&other)).unwrap();
    let times = |t: &Table| t.all_reals("latency_s").unwrap();
    for (ours, theirs) in times(&predicted).iter().zip(times(&theirs)) {
        // the trace does not count the parameters of the norm
        assert!((ours / theirs - 1.0).abs() < 1e-3, "{ours} {theirs}");
    }

    // what was predicted, taken for measured: a fit comes back to it
    let profile = path("mine.json");
    let fitted = json(
        0,
        &[
            "calibrate",
            "--measurements",
            &out,
            "--ops",
            &ops,
            "--name",
            "mine",
            "--init",
            "rtx3090-torch",
            "--out",
            &profile,
        ],
    );
    let error = fitted["profiles"][0]["held_out"][0]["mape"]
        .as_f64()
        .unwrap();
    assert!(error < 0.1, "{fitted}");
}

#[test]
fn what_is_wrong_with_a_table_ends_with_3_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, table: &Table| parquet::write(table, Path::new(&path(name))).unwrap();
    let (table, ops, out) = (path("t.parquet"), path("ops.parquet"), path("out.parquet"));
    let told = |arguments: &[&str]| {
        let base = ["predict", &table, "--device", "pi5-ncnn", "--out", &out];
        let (code, _, stderr) = run(&[&base[..], &["--strict"], arguments].concat());
        assert_eq!(code, 3, "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    };
    let named = |column: &str, cells: Column| {
        let mut table = Table::new("t");
        table
            .push("network", vec!["net1".to_owned(), "nte2".to_owned()])
            .unwrap();
        table.push(column, cells).unwrap();
        table
    };
    write("ops.parquet", &operators(2));
    write("t.parquet", &named("x", vec![1.0, 2.0].into()));
    let error = told(&["--ops", &ops]);
    let place = "column \"network\": row 1 holds \"nte2\", expected a network of the operator tables (did you mean \"net2\"?)";
    assert!(error.contains(place), "{error}");
    assert!(
        told(&["--ops", &ops, "--ops", &ops])
            .contains("\"net1\", which an operator table before it has")
    );
    write("t.parquet", &named("batch", vec![1.0, 1.5].into()));
    assert!(
        told(&["--ops", &ops])
            .contains("column \"batch\": row 1 holds 1.5, expected a whole number")
    );
    write("t.parquet", &named("batch", vec![0i64, 1].into()));
    assert!(
        told(&["--ops", &ops]).contains("column \"batch\": row 0 holds 0, expected 1 to 65536")
    );
    // sizes that the operators have not
    let mut sized = operators(2);
    sized.push("img_size", vec![224i64; 6]).unwrap();
    write("ops.parquet", &sized);
    write("t.parquet", &named("img_size", vec![256i64, 256].into()));
    let error = told(&["--ops", &ops]);
    assert!(
        error.contains("row 0 holds \"net1\", expected with an img_size of 224"),
        "{error}"
    );
    // no operator table, and a row that names nothing
    assert!(told(&[]).contains("it needs a column `arch`"));
    let mut spaces = Table::new("t");
    spaces
        .push("space", vec!["search_spaces/lite_osa.json".to_owned()])
        .unwrap();
    spaces
        .push("choices", vec!["{\"w\": 48".to_owned()])
        .unwrap();
    write("t.parquet", &spaces);
    assert!(
        told(&[]).contains("column \"choices\": row 0 holds {\"w\": 48, expected a JSON object")
    );
}
