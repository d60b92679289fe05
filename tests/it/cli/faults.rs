//! `predict` where not every row has a network.

use super::operators::operators;
use super::{SLIM, blocksmith, json, run, write};
use blocksmith::analysis::parquet;
use blocksmith::base::table::{Column, Table};
use std::path::{Path, PathBuf};

const ERROR: &str = "prediction_error";

/// A folder to work in.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn put(&self, name: &str, table: &Table) {
        parquet::write(table, Path::new(&self.path(name))).unwrap();
    }

    fn table(&self, name: &str) -> Table {
        parquet::read(Path::new(&self.path(name))).unwrap()
    }

    /// Predicts `rows` into `out`.
    fn predict(&self, rows: &str, out: &str, more: &[&str]) -> (i32, String, String) {
        let (rows, out) = (self.path(rows), self.path(out));
        let base = ["predict", &rows, "--device", "pi5-onnx", "--out", &out];
        run(&[&base, more].concat())
    }
}

fn texts(cells: &[&str]) -> Vec<Option<String>> {
    let text = |t: &&str| (!t.is_empty()).then(|| (*t).to_owned());
    cells.iter().map(text).collect()
}

fn archs(files: &[&str]) -> Table {
    let mut table = Table::new("t");
    let ids: Vec<i64> = (0..files.len() as i64).collect();
    table.push("id", ids).unwrap();
    table.push("arch", texts(files)).unwrap();
    table
}

const BAD: &str = r#"{"format": "blocksmith/1", "input": [3, 32, 32],
  "net": [{"block": "conv_bn_act", "out_channels": 8, "kernel_size": 3},
          {"op": "convv", "out_channels": 8, "kernel_size": 3}]}"#;

/// One row of three is bad: the others are what they are in a table without it.
#[test]
fn a_bad_row_is_null_and_says_why_and_the_others_are_predicted() {
    let place = Place::new();
    let bad = write(place.0.path(), "bad.json", BAD);
    let bad = bad.to_str().unwrap();
    let small = write(place.0.path(), "small.json", &BAD.replace("convv", "conv"));
    let small = small.to_str().unwrap();
    place.put("three.parquet", &archs(&[SLIM, bad, small]));
    place.put("two.parquet", &archs(&[SLIM, bad, small]).take(&[0, 2]));
    let (three, two) = (place.path("three.parquet"), place.path("two.parquet"));
    let (out, alone) = (place.path("out.parquet"), place.path("alone.parquet"));
    let told = json(
        0,
        &["predict", &three, "--device", "pi5-onnx", "--out", &out],
    );
    assert_eq!(
        (&told["rows"], &told["rows_failed"]),
        (&3.into(), &1.into())
    );
    let told = json(
        0,
        &["predict", &two, "--device", "pi5-onnx", "--out", &alone],
    );
    assert_eq!(
        (&told["rows"], &told["rows_failed"]),
        (&2.into(), &0.into())
    );
    let (out, alone) = (place.table("out.parquet"), place.table("alone.parquet"));
    // the same columns of the same types, whether there is a bad row or not
    let schema = |t: &Table| -> Vec<_> {
        let columns = t.columns().map(|(n, c)| (n.to_owned(), c.kind()));
        columns.collect()
    };
    assert_eq!(schema(&out), schema(&alone));
    assert_eq!(schema(&out)[10], (ERROR.to_owned(), "text"));
    assert_eq!(schema(&out).len(), 11);
    for ((name, ours), (_, theirs)) in out.take(&[0, 2]).columns().zip(alone.columns()) {
        assert_eq!(ours, theirs, "{name}");
    }
    assert!(alone.all_reals("latency_hi_s").unwrap()[1] > 0.0);
    let row = out.take(&[1]);
    for (name, cells) in row.columns().skip(2) {
        match name {
            ERROR => {
                let place = "there is no op \"convv\", at net[1].op; did you mean \"conv\"?";
                assert_eq!(
                    *cells,
                    Column::Text(vec![Some(format!("{bad}:3:12: {place}"))])
                );
            }
            _ => assert_eq!(*cells, Column::Real(vec![None]), "{name}"),
        }
    }
    // what was written goes in again, and its columns are replaced
    let (code, stdout, stderr) = place.predict("out.parquet", "again.parquet", &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stdout.starts_with("2 of 3 rows predicted for pi5-onnx"),
        "{stdout}"
    );
    let note = "note: 1 of 3 rows could not be predicted (see prediction_error):\n  1 row: ";
    assert!(
        stderr.starts_with(&format!("{note}{bad}:3:12: ")),
        "{stderr}"
    );
    let again = place.table("again.parquet");
    assert!(again.columns().eq(out.columns()));
    assert_eq!(
        place.predict("three.parquet", "q.parquet", &["--quiet"]).2,
        ""
    );
}

/// Every way in which a row can name no network, and that nothing but the row is lost.
#[test]
fn each_reason_names_what_is_wrong() {
    let place = Place::new();
    let bad = write(place.0.path(), "bad.json", BAD);
    let bytes: PathBuf = place.0.path().join("bytes.json");
    std::fs::write(&bytes, [b'{', 0xff]).unwrap();
    let (bad, bytes) = (bad.to_str().unwrap(), bytes.to_str().unwrap());
    let osa = "search_spaces/lite_osa.json";
    let path = "expected the path of a document (cannot read";
    let rows = [
        (SLIM, "", "", 1, String::new()),
        (
            "no.json",
            "",
            "",
            1,
            format!("column \"arch\" holds no.json, {path} no.json: "),
        ),
        (
            "",
            "no.json",
            "{}",
            1,
            format!("column \"space\" holds no.json, {path} no.json: "),
        ),
        (
            bad,
            "",
            "",
            1,
            format!("{bad}:3:12: there is no op \"convv\", at net[1].op"),
        ),
        (
            bytes,
            "",
            "",
            1,
            format!("{bytes}: not UTF-8: the byte at offset 1"),
        ),
        (
            "",
            "",
            "",
            1,
            "column \"space\" holds nothing, expected the name".to_owned(),
        ),
        (
            SLIM,
            "",
            "",
            0,
            "column \"batch\" holds 0, expected 1 to 65536".to_owned(),
        ),
        (
            "",
            osa,
            "{\"w\":",
            1,
            "column \"choices\" holds {\"w\":, expected a JSON".to_owned(),
        ),
        (
            "",
            osa,
            "{\"w\": 49}",
            1,
            format!("{osa}: 49 is no value of \"w\"; values: 48, 64, 80"),
        ),
        (
            "",
            osa,
            "[]",
            1,
            format!("{osa}: an assignment is an object"),
        ),
        (osa, "", "", 1, format!("{osa}: no value for \"w\"")),
        (SLIM, "", "", 2, String::new()),
    ];
    let column = |of: fn(&(&str, &str, &str, i64, String)) -> String| {
        let cells: Vec<_> = rows.iter().map(of).collect();
        texts(&cells.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut table = Table::new("t");
    table.push("arch", column(|r| r.0.to_owned())).unwrap();
    table.push("space", column(|r| r.1.to_owned())).unwrap();
    table.push("choices", column(|r| r.2.to_owned())).unwrap();
    let batches: Vec<i64> = rows.iter().map(|r| r.3).collect();
    table.push("batch", batches).unwrap();
    place.put("t.parquet", &table);
    let (code, _, stderr) = place.predict("t.parquet", "out.parquet", &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("note: 10 of 12 rows could"), "{stderr}");
    let out = place.table("out.parquet");
    let (times, errors) = (out.reals("latency_s").unwrap(), out.texts(ERROR).unwrap());
    for (row, (.., wanted)) in rows.iter().enumerate() {
        let error = errors[row].as_deref();
        assert_eq!(times[row].is_some(), wanted.is_empty(), "{row}: {error:?}");
        assert_eq!(error.is_none(), wanted.is_empty(), "{row}: {error:?}");
        let error = error.unwrap_or_default();
        assert!(error.starts_with(wanted), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// With --strict the first bad row ends it as it ends `calibrate`; without, only a table of nothing else does. Neither
/// touches what is there.
#[test]
fn strict_stops_at_the_first_and_a_table_of_bad_rows_is_an_error() {
    let place = Place::new();
    let there = "yesterday's predictions";
    std::fs::write(place.path("out.csv"), there).unwrap();
    place.put("some.csv", &archs(&[SLIM, "no.json", "not.json"]));
    place.put("none.csv", &archs(&["no.json", "not.json"]));
    let (code, stdout, stderr) = place.predict("some.csv", "out.csv", &["--strict"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    let error = "column \"arch\": row 1 holds no.json, expected the path of a document (cannot read no.json: ";
    assert!(stderr.contains(error), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(place.predict("none.csv", "out.csv", &["--strict"]).0, 3);
    let (code, stdout, stderr) = place.predict("none.csv", "out.csv", &[]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    let told = format!(
        "error: no row of {} can be predicted:\n  2 rows: ",
        place.path("none.csv")
    );
    assert!(stderr.starts_with(&told), "{stderr}");
    assert!(
        stderr.contains("no.json (row 0), not.json (row 1)"),
        "{stderr}"
    );
    let (table, out) = (place.path("none.csv"), place.path("out.csv"));
    let told = json(
        3,
        &["predict", &table, "--device", "pi5-onnx", "--out", &out],
    );
    assert!(
        told["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("no row of "),
        "{told}"
    );
    assert_eq!(std::fs::read_to_string(&out).unwrap(), there);
    // no row is no bad row
    place.put("empty.parquet", &archs(&[SLIM]).take(&[]));
    assert_eq!(place.predict("empty.parquet", "e.parquet", &[]).0, 0);
    assert_eq!(place.table("e.parquet").rows(), 0);
    // a fit wants all of them
    let mut measured = archs(&[SLIM, "no.json"]);
    measured.push("latency_s", vec![0.1, 0.2]).unwrap();
    place.put("measured.csv", &measured);
    let (rows, profile) = (place.path("measured.csv"), place.path("mine.json"));
    let fit = [
        "calibrate",
        "--measurements",
        &rows,
        "--init",
        "pi5-onnx",
        "--name",
        "mine",
        "--out",
        &profile,
    ];
    let (code, _, stderr) = run(&fit);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains(error), "{stderr}");
}

/// What is wrong with the table is no row's fault.
#[test]
fn a_table_that_makes_no_sense_stops_at_once() {
    let place = Place::new();
    let mut no_choices = Table::new("t");
    no_choices.push("space", texts(&["a", "b"])).unwrap();
    let mut numbers = Table::new("t");
    numbers.push("arch", vec![1.0, 2.0]).unwrap();
    let mut halves = archs(&[SLIM, SLIM]);
    halves.push("batch", vec![1.0, 1.5]).unwrap();
    let mut bare = Table::new("t");
    bare.push("id", vec![1.0, 2.0]).unwrap();
    for (table, wanted) in [
        (no_choices, "column \"choices\": not there"),
        (numbers, "column \"arch\": expected text, got real"),
        (
            halves,
            "column \"batch\": row 1 holds 1.5, expected a whole number",
        ),
        (bare, "names no networks: it needs a column `arch`"),
    ] {
        place.put("t.parquet", &table);
        let (code, _, stderr) = place.predict("t.parquet", "out.parquet", &[]);
        assert_eq!(code, 3, "{stderr}");
        assert!(stderr.contains(wanted), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(!Path::new(&place.path("out.parquet")).exists());
}

/// A pipe gives its text once: who opens it again waits for ever.
#[cfg(unix)]
#[test]
fn a_document_that_is_none_is_read_once() {
    let place = Place::new();
    let pipe = place.path("pipe.json");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    place.put("t.csv", &archs(&[&pipe, SLIM, &pipe, &pipe]));
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::write(pipe, BAD).unwrap())
    };
    let (table, out) = (place.path("t.csv"), place.path("out.csv"));
    let output = blocksmith()
        .args(["predict", &table, "--device", "pi5-onnx", "--out", &out])
        .timeout(std::time::Duration::from_secs(60))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("did you mean \"conv\"? (rows 0, 2, 3)"),
        "{stderr}"
    );
    writer.join().unwrap();
}

/// Of three networks in an operator table the second has an operator that is none.
#[test]
fn a_network_of_unknown_operators_fails_alone() {
    let place = Place::new();
    let with = |name: &str, changed: Column| {
        let mut table = Table::new("ops");
        for (column, cells) in operators(3).columns() {
            let cells = if column == name {
                changed.clone()
            } else {
                cells.clone()
            };
            table.push(column, cells).unwrap();
        }
        table
    };
    let mut ops = operators(3).texts("op").unwrap().to_vec();
    ops[4] = Some("bacth_norm".to_owned());
    place.put("ops.parquet", &with("op", ops.clone().into()));
    place.put("sound.parquet", &operators(3));
    let named = |names: &[&str]| {
        let mut table = Table::new("t");
        table.push("network", texts(names)).unwrap();
        table
    };
    place.put(
        "t.parquet",
        &named(&["net1", "net2", "nte3", "net3", "net2"]),
    );
    place.put("two.parquet", &named(&["net1", "net3"]));
    let (table, sound) = (place.path("ops.parquet"), place.path("sound.parquet"));
    let (code, _, stderr) = place.predict("t.parquet", "out.parquet", &["--ops", &table]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(
        place
            .predict("two.parquet", "alone.parquet", &["--ops", &sound])
            .0,
        0
    );
    let (out, alone) = (place.table("out.parquet"), place.table("alone.parquet"));
    for ((name, ours), (_, theirs)) in out.take(&[0, 3]).columns().zip(alone.columns()) {
        assert_eq!(ours, theirs, "{name}");
    }
    assert_eq!(
        out.take(&[1, 2, 4]).reals("latency_s").unwrap().as_ref(),
        [None; 3]
    );
    let slip = format!(
        "table {table}, column \"op\": row 4 holds \"bacth_norm\", expected an operator of ATen, of ncnn or \
                        of `blocksmith blocks`, or \"other\" (did you mean \"batch_norm\"?)"
    );
    let errors = out.texts(ERROR).unwrap();
    let of_net2 = Some(format!("network \"net2\": {slip}"));
    assert_eq!(
        (&errors[0], &errors[1], &errors[4]),
        (&None, &of_net2, &of_net2)
    );
    let unknown = "column \"network\" holds \"nte3\", expected a network of the operator tables (did you mean \"net3\"?)";
    assert_eq!(errors[2].as_deref(), Some(unknown));
    assert!(
        stderr.contains("(did you mean \"batch_norm\"?) (rows 1, 4)"),
        "{stderr}"
    );

    // all or nothing, also where no row names the network
    let refused = |command: &[&str]| {
        let (code, _, stderr) = run(command);
        assert_eq!(code, 3, "{stderr}");
        assert_eq!(stderr, format!("error: {slip}\n"));
    };
    let (two, other, profile) = (
        place.path("two.parquet"),
        place.path("o.parquet"),
        place.path("mine.json"),
    );
    refused(&[
        "predict", &two, "--ops", &table, "--device", "pi5-onnx", "--strict", "--out", &other,
    ]);
    let measured = place.path("alone.parquet");
    refused(&[
        "calibrate",
        "--measurements",
        &measured,
        "--ops",
        &table,
        "--init",
        "pi5-onnx",
        "--name",
        "mine",
        "--out",
        &profile,
    ]);
    assert!(!Path::new(&other).exists() && !Path::new(&profile).exists());

    // rows that may be of any network
    let mut nameless = operators(3).texts("model").unwrap().to_vec();
    nameless[3] = None;
    place.put("ops.parquet", &with("model", nameless.into()));
    let (code, _, stderr) = place.predict("t.parquet", "out.parquet", &["--ops", &table]);
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains("column \"model\": row 3 is empty"),
        "{stderr}"
    );
}
