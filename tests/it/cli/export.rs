//! `export`: what it writes, what it says, how it ends.

use super::{SLIM, json, run, write};
use serde_json::Value;
use std::path::Path;

/// A safetensors file of constants, one kind for each parameter of a net.
fn weights(path: &Path, params: &[Value], value: f32) {
    let mut head = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for param in params {
        let begin = data.len();
        let sizes = param["shape"].as_array().unwrap().iter();
        let elems: u64 = sizes.map(|d| d.as_u64().unwrap()).product();
        (0..elems).for_each(|_| data.extend(value.to_le_bytes()));
        let entry = serde_json::json!({
            "dtype": "F32", "shape": param["shape"], "data_offsets": [begin, data.len()],
        });
        head.insert(param["name"].as_str().unwrap().to_owned(), entry);
    }
    let head = serde_json::to_string(&head).unwrap();
    let mut file = (head.len() as u64).to_le_bytes().to_vec();
    file.extend(head.as_bytes());
    file.extend(data);
    std::fs::write(path, file).unwrap();
}

/// A net that a test can count: 3 x 4 x 9 + 4 x 4 parameters, of which half are learnt.
const TINY: &str = r#"{"format": "blocksmith/1", "name": "tiny", "input": [3, 8, 8],
  "net": [{"block": "conv_bn_act", "out_channels": 4, "kernel_size": 3}]}"#;

#[test]
fn export_writes_a_model_and_says_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = write(folder.path(), "tiny.json", TINY);
    let (tiny, out) = (tiny.to_str().unwrap(), folder.path().join("tiny.onnx"));
    let out = out.to_str().unwrap();
    let plain = json(0, &["export", tiny, "--to", "onnx", "--out", out]);
    assert_eq!(plain["output"], out);
    assert_eq!(
        (&plain["nodes"], &plain["params"]),
        (&3.into(), &(108 + 8).into())
    );
    assert_eq!(plain["weights"], "random, seed 0");
    let first = std::fs::read(out).unwrap();
    assert_eq!(plain["bytes"], first.len());
    // the same again, byte for byte; another seed is another file
    json(0, &["export", tiny, "--to", "onnx", "--out", out]);
    assert_eq!(std::fs::read(out).unwrap(), first);
    json(
        0,
        &["export", tiny, "--to", "onnx", "--out", out, "--seed", "1"],
    );
    assert_ne!(std::fs::read(out).unwrap(), first);
    let folded = json(0, &["export", tiny, "--to", "onnx", "--out", out, "--fold"]);
    assert_eq!(
        (&folded["nodes"], &folded["params"]),
        (&2.into(), &(108 + 4).into())
    );
    // a name in clear: the norm is gone
    let has = |text: &str| {
        let bytes = std::fs::read(out).unwrap();
        bytes.windows(text.len()).any(|w| w == text.as_bytes())
    };
    assert!(has("Conv") && !has("BatchNormalization") && !has("running_mean"));
    let beside = [
        "export",
        SLIM,
        "--to",
        "onnx",
        "--out",
        out,
        "--external-data",
    ];
    let beside = json(0, &beside);
    let data = std::fs::metadata(folder.path().join("tiny.onnx.data")).unwrap();
    assert_eq!(beside["data_bytes"], data.len());
    assert!(beside["bytes"].as_u64().unwrap() < 200_000, "{beside}");
}

#[test]
fn weights_of_a_file_stand_in_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = write(folder.path(), "tiny.json", TINY);
    let tiny = tiny.to_str().unwrap();
    let shown = json(0, &["show", tiny, "--params"]);
    let params = shown["parameters"].as_array().unwrap();
    let file = folder.path().join("w.safetensors");
    weights(&file, params, 4.0);
    let out = folder.path().join("tiny.onnx");
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let args = [
        "export",
        tiny,
        "--to",
        "onnx",
        "--out",
        out,
        "--weights",
        file,
    ];
    let told = json(0, &args);
    assert_eq!(told["weights"], "w.safetensors");
    let count = |value: f32| {
        let bytes = std::fs::read(out).unwrap();
        let at = |start: usize| {
            bytes[start..]
                .chunks_exact(4)
                .filter(|c| *c == value.to_le_bytes())
                .count()
        };
        (0..4).map(at).sum::<usize>()
    };
    assert_eq!(count(4.0), 108 + 16);
    // with a scale of 4 / sqrt(4 + eps), filters are near 8 and the bias near 4 - 8
    json(0, &[&args[..], &["--fold"]].concat());
    let scale = 4.0 / (4.0f64 + 1e-5).sqrt();
    assert_eq!(count((4.0 * scale) as f32), 108);
    assert_eq!(count((4.0 - 4.0 * scale) as f32), 4);
}

#[test]
fn export_refuses_what_makes_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let out = path("x.onnx");
    let base = ["export", SLIM, "--to", "onnx", "--out", &out];
    let with = |more: &[&str]| run(&[&base[..], more].concat());
    for (more, code, word) in [
        (&["--batch", "0"][..], 2, "dynamic"),
        (&["--batch", "many"], 2, "dynamic"),
        (&["--seed", "1", "--weights", "w"], 2, "--weights"),
        (&["--map", "timm"], 2, "--weights"),
        (
            &["--weights", "no/such.safetensors"],
            1,
            "no/such.safetensors",
        ),
    ] {
        let (got, _, stderr) = with(more);
        assert_eq!(got, code, "{more:?}: {stderr}");
        assert!(stderr.contains(word), "{more:?}: {stderr}");
    }
    assert_eq!(run(&["export", SLIM, "--to", "caffe", "--out", &out]).0, 2);
    let open = [
        "export",
        "search_spaces/lite_osa.json",
        "--to",
        "onnx",
        "--out",
        &out,
    ];
    assert_eq!(run(&open).0, 3);
    let nowhere = path("no/such/folder/x.onnx");
    let (code, _, stderr) = run(&["export", SLIM, "--to", "onnx", "--out", &nowhere]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("no/such/folder"), "{stderr}");
    // weights that lack a tensor: by name, and nothing is written
    let tiny = write(folder.path(), "tiny.json", TINY);
    let tiny = tiny.to_str().unwrap();
    let mut params = json(0, &["show", tiny, "--params"])["parameters"].clone();
    let lost = params.as_array_mut().unwrap().pop().unwrap();
    let file = path("w.safetensors");
    weights(Path::new(&file), params.as_array().unwrap(), 1.0);
    let (code, _, stderr) = run(&[
        "export",
        tiny,
        "--to",
        "onnx",
        "--out",
        &out,
        "--weights",
        &file,
    ]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains(lost["name"].as_str().unwrap()), "{stderr}");
    assert!(!Path::new(&out).exists());
}
