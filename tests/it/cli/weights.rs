//! `check --weights`, and what `run` shares with it.

use super::*;
use crate::weights::hollow;

const RESNET: &str = "search_spaces/reference/resnet.json";
const SET: [&str; 6] = [
    "--set",
    "model=resnet18",
    "--set",
    "se=false",
    "--set",
    "stride_in_1x1=false",
];

/// The state dict of torchvision's resnet18, without its numbers.
fn resnet18(path: &Path, change: impl Fn(&str, &mut Vec<u64>) -> bool) {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[u64]| tensors.push((name, shape.to_vec()));
    let norm = |name: &str, width: u64| {
        ["weight", "bias", "running_mean", "running_var"]
            .map(|part| (format!("{name}.{part}"), vec![width]))
    };
    let mut norms = Vec::new();
    add("conv1.weight".to_owned(), &[64, 3, 7, 7]);
    norms.extend(norm("bn1", 64));
    let mut width = 64;
    for (stage, c) in (1..).zip([64, 128, 256, 512]) {
        for unit in 0..2 {
            let at = format!("layer{stage}.{unit}");
            add(format!("{at}.conv1.weight"), &[c, width, 3, 3]);
            add(format!("{at}.conv2.weight"), &[c, c, 3, 3]);
            norms.extend(norm(&format!("{at}.bn1"), c));
            norms.extend(norm(&format!("{at}.bn2"), c));
            if width != c {
                add(format!("{at}.downsample.0.weight"), &[c, width, 1, 1]);
                norms.extend(norm(&format!("{at}.downsample.1"), c));
            }
            width = c;
        }
    }
    add("fc.weight".to_owned(), &[1000, 512]);
    add("fc.bias".to_owned(), &[1000]);
    tensors.extend(norms);
    tensors.retain_mut(|(name, shape)| change(name, shape));
    let mut all: Vec<(&str, &str, Vec<u64>)> = tensors
        .iter()
        .map(|(name, shape)| (name.as_str(), "F32", shape.clone()))
        .collect();
    all.push(("bn1.num_batches_tracked", "I64", vec![]));
    hollow(path, all);
}

fn check_with<'a>(weights: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["check", RESNET, "--weights", weights], &SET[..], more].concat()
}

#[test]
fn check_takes_published_weights_through_a_shipped_map() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resnet18.safetensors");
    let weights = file.to_str().unwrap();
    resnet18(&file, |_, _| true);
    let (code, stdout, stderr) = run(&check_with(weights, &["--map", "torchvision"]));
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.contains("takes 102 tensors of") && stdout.contains("1 ignored"),
        "{stdout}"
    );
    let report = json(0, &check_with(weights, &["--map", "torchvision"]));
    assert_eq!(report["files"][0]["weights"]["taken"], 102);
    // the map by its path does the same
    let path = "search_spaces/reference/maps/torchvision/resnet.json";
    assert_eq!(run(&check_with(weights, &["--map", path])).0, 0);
    // without a map nothing fits, and the shipped ones are pointed out
    let (code, _, stderr) = run(&check_with(weights, &[]));
    assert_eq!(code, 3);
    assert!(
        stderr.contains("fit the net: missing \"model.0.stem.conv.weight\""),
        "{stderr}"
    );
    assert!(
        stderr.contains("204 problems in all") && stderr.contains("--map torchvision"),
        "{stderr}"
    );
    // names of a map that is not there
    let (code, _, stderr) = run(&check_with(weights, &["--map", "keras"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("pytorchcv, timm, torchvision"), "{stderr}");
    assert_eq!(run(&check_with(weights, &["--map", "no/such.json"])).0, 1);
    assert_eq!(
        run(&check_with(
            "no/such.safetensors",
            &["--map", "torchvision"]
        ))
        .0,
        1
    );
    // one net is needed
    assert_eq!(
        run(&[
            "check",
            RESNET,
            "--weights",
            weights,
            "--map",
            "torchvision"
        ])
        .0,
        3
    );
    assert_eq!(run(&["check", RESNET, SLIM, "--weights", weights]).0, 2);
    assert_eq!(run(&["check", RESNET, "--map", "torchvision"]).0, 2);
}

#[test]
fn check_names_the_first_tensor_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let weights = file.to_str().unwrap();
    let told = |expected: &str| {
        let args = check_with(weights, &["--map", "torchvision"]);
        let (code, stdout, stderr) = run(&args);
        assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
        let report = json(3, &args);
        assert_eq!(report["error"]["exit"], 3);
        assert!(
            report["error"]["message"]
                .as_str()
                .unwrap()
                .contains(expected)
        );
    };
    resnet18(&file, |name, _| name != "layer3.1.conv2.weight");
    told(
        "missing \"model.0.stage4.basic.1.b.conv.weight\" (in the file \"layer3.1.conv2.weight\")",
    );
    resnet18(&file, |name, shape| {
        if name.starts_with("fc.") {
            shape[0] = 10;
        }
        true
    });
    told(
        "the net: misshapen \"head.fc.weight\" (in the file \"fc.weight\"): expected [1000, 512], got [10, 512]",
    );
    resnet18(&file, |_, _| true);
    let size = std::fs::metadata(&file).unwrap().len();
    let cut = std::fs::File::options().write(true).open(&file).unwrap();
    cut.set_len(size - 1).unwrap();
    told("cut short");
    // a map that is wrong is told with its own place
    resnet18(&file, |_, _| true);
    let map = write(
        folder.path(),
        "map.json",
        "{\"names\": {\n \"model.0.{s}.*\": \"x.{s}.*\"}}",
    );
    let args = check_with(weights, &["--map", map.to_str().unwrap()]);
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 3);
    assert!(
        stderr.contains("no rule of the map matches") && stderr.contains("map.json:2:2"),
        "{stderr}"
    );
}
