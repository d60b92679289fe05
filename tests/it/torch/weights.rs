//! Published weights through the shipped name maps, by the program itself, against the packages.

use super::*;

/// A network's name, and height and width of the image.
type Run = (&'static str, [i64; 2]);

/// Networks by package, with image sizes; one or two a family. Odd sizes show rounding in pools and padding; pytorchcv's
/// nets end in a pool of 7x7 and take no others than 224x224.
const TAKEN: [(&str, &[Run]); 3] = [
    (
        "torchvision",
        &[
            ("resnet18", [224, 224]),
            ("resnet50", [75, 97]),
            ("regnet_x_400mf", [75, 97]),
            ("regnet_y_400mf", [97, 113]),
            ("shufflenet_v2_x0_5", [224, 224]),
            ("shufflenet_v2_x1_0", [97, 113]),
            ("vgg16_bn", [224, 224]),
            ("squeezenet1_0", [97, 113]),
            ("squeezenet1_1", [75, 97]),
            ("mobilenet_v2", [75, 97]),
            ("mobilenet_v3_small", [75, 97]),
            ("mobilenet_v3_large", [224, 224]),
            ("mnasnet1_0", [97, 113]),
            ("efficientnet_b0", [75, 97]),
            ("efficientnet_v2_s", [75, 97]),
            ("googlenet", [97, 113]),
            ("alexnet", [97, 113]),
            ("densenet121", [75, 97]),
        ],
    ),
    (
        "timm",
        &[
            ("vovnet39a", [75, 97]),
            ("ese_vovnet19b_slim_dw", [224, 224]),
            ("ese_vovnet39b", [75, 97]),
            ("eca_vovnet39b", [75, 97]),
            ("tf_efficientnetv2_b0", [75, 97]),
            ("regnetx_002", [224, 224]),
            ("regnety_002", [75, 97]),
            ("seresnet50", [75, 97]),
            ("mobilenetv1_100", [75, 97]),
            ("mobilenetv2_050", [75, 97]),
            ("ghostnet_050", [224, 224]),
            ("ghostnet_100", [75, 97]),
            ("densenet121", [64, 64]),
        ],
    ),
    (
        "pytorchcv",
        &[
            ("vovnet27s", [224, 224]),
            ("espnetv2_wd2", [224, 224]),
            ("shufflenetv2_wd2", [224, 224]),
            ("shufflenetv2b_wd2", [224, 224]),
            ("resnet18", [224, 224]),
            ("densenet121", [224, 224]),
            ("peleenet", [224, 224]),
            ("ghostnet", [224, 224]),
            ("shufflenet_g3_wd4", [224, 224]),
            ("mobilenetv2_w1", [224, 224]),
            ("proxylessnas_mobile", [224, 224]),
            ("igcv3_w1", [224, 224]),
            ("densenet40_k12_bc_cifar10", [32, 32]),
        ],
    ),
];

/// `blocksmith run` of a listed network with a folder's files.
fn run_program(entry: &Value, [h, w]: [i64; 2], folder: &Path) {
    let reference = repo("search_spaces/reference");
    let (source, name) = (
        entry["source"].as_str().unwrap(),
        entry["file"].as_str().unwrap(),
    );
    let mut file = reference.join(name);
    let mut map = source.to_owned();
    let mut document: Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let size = serde_json::json!([3, h, w]);
    if document["input"] != size {
        document["input"] = size;
        let at = reference.join("maps").join(source).join(name);
        map = at.to_str().unwrap().to_owned();
        file = folder.join("net.json");
        std::fs::write(&file, document.to_string()).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_blocksmith"));
    command.arg("run").arg(file).args(["--map", &map]);
    for (key, value) in entry["set"].as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        command.arg("--set").arg(format!("{key}={value}"));
    }
    for (option, name) in [
        ("--weights", "weights"),
        ("--input", "input"),
        ("--output", "ours"),
    ] {
        command
            .arg(option)
            .arg(folder.join(format!("{name}.safetensors")));
    }
    let out = command.output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{source} {name}: {errors}");
}

#[test]
fn published_weights_work_unchanged() {
    let Some(python) = python("torch, safetensors, numpy") else {
        return;
    };
    let (mut worst, mut equal, mut compared) = (0.0f64, 0, 0);
    for (source, nets) in TAKEN {
        let dir = tempfile::tempdir().unwrap();
        let specs = nets.iter();
        let specs = specs.map(|(name, [h, w])| format!("{source},{name},{h}x{w}"));
        let specs: Vec<String> = specs.collect();
        let mut args: Vec<&str> = specs.iter().map(String::as_str).collect();
        args.extend(["--settle", "--out", dir.path().to_str().unwrap()]);
        call(&python, "reference.py", &args);
        for (i, (name, size)) in nets.iter().enumerate() {
            let folder = dir.path().join(i.to_string());
            if !folder.is_dir() {
                println!("SKIPPED: {name}, as this Python has no {source}");
                continue;
            }
            run_program(&published::entry(source, name), *size, &folder);
            let read = |file: &str| {
                let mut tensors = read_tensors(&folder.join(file)).unwrap();
                tensors.remove("output").unwrap()
            };
            let error = relative_error(&read("ours.safetensors"), &read("output.safetensors"));
            println!("{source} {name} {size:?}: relative error {error:.1e}");
            assert!(error <= 1e-5, "{source} {name}: {error:e}");
            (worst, compared) = (worst.max(error), compared + 1);
            equal += usize::from(error == 0.0);
        }
    }
    println!("{compared} networks, {equal} of them bit-equal, relative error at most {worst:.1e}");
}
