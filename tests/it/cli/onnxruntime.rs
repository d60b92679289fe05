//! `measure --runtime onnxruntime`: with the library that ORT_DYLIB_PATH names, and without one.

use super::{SLIM, blocksmith, run, write};
use serde_json::Value;

const TINY: &str = r#"{"format": "blocksmith/1", "name": "tiny", "input": [3, 16, 16],
  "net": [{"block": "conv_bn_act", "out_channels": 8, "kernel_size": 3, "stride": 2}, {"block": "classifier", "classes": 4}]}"#;

#[test]
fn a_library_that_is_none_is_a_failure_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = write(folder.path(), "libwrong.so", "no library");
    let out = folder.path().join("m.csv");
    let measure = |library: &str, more: &[&str]| {
        let base = [
            "measure",
            SLIM,
            "--runtime",
            "onnxruntime",
            "--ort-lib",
            library,
        ];
        run(&[&base[..], &["--out", out.to_str().unwrap()], more].concat())
    };
    for library in ["no/such/libonnxruntime.so", wrong.to_str().unwrap()] {
        let (code, _, stderr) = measure(library, &[]);
        assert_eq!(code, 1, "{stderr}");
        assert!(
            stderr.contains(library) && stderr.contains("--ort-lib"),
            "{stderr}"
        );
        assert!(stderr.contains("ORT_DYLIB_PATH"), "{stderr}");
    }
    // what the runtime cannot do is told before it is looked for
    for more in [
        ["--precision", "bf16"],
        ["--form", "frozen"],
        ["--memory-format", "nhwc"],
        ["--device", "cuda:0"],
    ] {
        let (code, _, stderr) = measure("no/such.so", &more);
        assert_eq!(code, 2, "{more:?}: {stderr}");
        assert!(stderr.contains(more[0]), "{more:?}: {stderr}");
    }
    assert!(!out.exists());
    if cfg!(not(feature = "analysis")) {
        let (code, _, stderr) = run(&["measure", SLIM, "--out", "m.parquet"]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("m.csv"), "{stderr}");
    }
}

#[test]
fn rows_are_added_to_a_csv_table() {
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH") else {
        println!("SKIPPED: ORT_DYLIB_PATH names no ONNX Runtime");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tiny = write(folder.path(), "tiny.json", TINY);
    let out = folder.path().join("m.csv");
    for (form, rows) in [("folded", 1), ("eager", 2)] {
        let output = blocksmith()
            .env("ORT_DYLIB_PATH", &library)
            .args([
                "measure",
                tiny.to_str().unwrap(),
                "--runtime",
                "onnxruntime",
            ])
            .args([
                "--out",
                out.to_str().unwrap(),
                "--form",
                form,
                "--batch",
                "2",
            ])
            .args([
                "--seconds",
                "0.02",
                "--warm-up",
                "0.01",
                "--rounds",
                "1",
                "--max-rounds",
                "1",
            ])
            .args(["--meter", "none", "--format", "json"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let latency = json["rows"][0]["latency_s"].as_f64().unwrap();
        // 8 x 8 x 8 outputs of 27 products each, twice: neither nothing nor seconds
        assert!(latency > 1e-6 && latency < 1.0, "{latency}");
        let table = blocksmith::base::csv::read(&out).unwrap();
        assert_eq!(table.rows(), rows);
        let last = |column: &str| table.texts(column).unwrap()[rows - 1].clone().unwrap();
        assert_eq!(
            (last("runtime"), last("form")),
            ("onnxruntime".to_owned(), form.to_owned())
        );
        let batch = table.ints("batch").unwrap()[rows - 1];
        assert_eq!(
            (batch, table.reals("latency_s").unwrap()[rows - 1]),
            (Some(2), Some(latency))
        );
        assert_eq!(table.reals("energy_j").unwrap()[rows - 1], None);
    }
}
