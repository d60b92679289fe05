//! `search` with a device at a batch: `latency_s@NAME:64` is what `show --batch 64` says.

use super::{json, run};

const SPACE: &str = "search_spaces/lite_osa.json";
const GPU: &str = "rtx3090-torch";

#[test]
fn a_device_at_a_batch_is_predicted_as_show_predicts_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run").display().to_string();
    let base = ["search", SPACE, "--algorithm", "exhaustive", "--out", &out];
    let wanted = [
        "--objective",
        "max params",
        "--objective",
        "min latency_s@rtx3090-torch:64",
        "--objective",
        "min energy_j@pi5-onnx:3",
        "--objective",
        "min latency_s@rtx3090-torch",
        "--limit",
        "latency_s@rtx3090-torch:064<=10s",
    ];
    let found = json(0, &[&base[..], &wanted].concat());
    let front = found["front"].as_array().unwrap();
    assert!(front.len() > 3);
    for row in front.iter().take(4) {
        let arch = row["arch"].as_str().unwrap();
        let shown = |device: &str, batch: &str, what: &str| {
            let shown = json(0, &["show", arch, "--device", device, "--batch", batch]);
            shown["devices"][device][what].clone()
        };
        let metrics = &row["metrics"];
        let many = metrics["latency_s@rtx3090-torch:64"].as_f64().unwrap();
        assert_eq!(shown(GPU, "64", "latency_s"), many);
        assert_eq!(
            shown(GPU, "1", "latency_s"),
            metrics["latency_s@rtx3090-torch"]
        );
        assert_eq!(
            shown("pi5-onnx", "3", "energy_j"),
            metrics["energy_j@pi5-onnx:3"]
        );
        // 64 samples take longer than one, and less than 64 times as long
        let one = metrics["latency_s@rtx3090-torch"].as_f64().unwrap();
        assert!(many > one && many < 64.0 * one, "{one} {many}");
    }
}

#[test]
fn a_batch_has_one_spelling_and_a_device() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name).display().to_string();
    let search = |name: &str, more: &[&str]| {
        let out = out(name);
        run(&[&["search", SPACE, "--budget", "5", "--out", &out][..], more].concat())
    };
    let (code, stdout, stderr) = search("a", &["--device", "rtx3090-torch:64"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("ms rtx3090-torch:64"), "{stdout}");
    assert!(
        stdout.contains("--device rtx3090-torch --batch 64"),
        "{stdout}"
    );
    let plain = ["--objective", "min latency_s@rtx3090-torch"];
    let (code, _, stderr) = search(
        "b",
        &[
            &plain[..],
            &["--objective", "min latency_s@rtx3090-torch:1"],
        ]
        .concat(),
    );
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("\"latency_s@rtx3090-torch\" is an objective already"),
        "{stderr}"
    );
    for (name, device, problem) in [
        ("c", "rtx3090-torch:0", "\"0\" is no batch of rtx3090-torch"),
        ("d", "rtx3090-torch:x", "\"x\" is no batch of rtx3090-torch"),
        ("e", "rtx309-torch:8", "no device \"rtx309-torch:8\""),
    ] {
        let objective = format!("min latency_s@{device}");
        let (code, _, stderr) = search(name, &["--objective", &objective]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(problem), "{stderr}");
    }
}
