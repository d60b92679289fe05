//! Shipped networks: all pass the checker, and a share of them computes what PyTorch computes.

use super::*;
use blocksmith::blocks::{Names, load};
use blocksmith::weights::{Header, check};
use std::collections::BTreeSet;

fn index() -> Vec<Value> {
    let text = std::fs::read_to_string(repo("search_spaces/reference/index.json")).unwrap();
    let index: Value = serde_json::from_str(&text).unwrap();
    index.as_array().unwrap().clone()
}

/// The graph of a listed network, on images of this size where one is told.
fn lower(entry: &Value, size: Option<[u32; 2]>) -> Graph {
    let file = repo("search_spaces/reference").join(entry["file"].as_str().unwrap());
    let text = std::fs::read_to_string(file).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    if let Some([h, w]) = size {
        document["input"] = json!([3, h, w]);
    }
    let (space, program) = load(&document.to_string()).unwrap();
    let set = entry.get("set").cloned().unwrap_or_else(|| json!({}));
    let assignment = space.assignment_from_json(&set).unwrap();
    program.lower(&assignment, Names::On).unwrap()
}

/// Not drawn but repeated numbers: the checker does not care, and large nets are quick.
fn constant_weights(graph: &Graph) -> Weights {
    let values = graph.parameters().into_iter().map(|p| match p.role {
        Role::Index => Values::Index(vec![0; p.elems() as usize]),
        _ => Values::Real(vec![0.5; p.elems() as usize]),
    });
    Weights(values.collect())
}

#[test]
fn all_shipped_networks_pass_the_checker() {
    let Some(python) = python("onnx, onnxruntime, numpy") else {
        return;
    };
    let mut seen = BTreeSet::new();
    let mut files = BTreeSet::new();
    let mut cases = Cases::new();
    let mut nodes = Vec::new();
    for (at, entry) in index().iter().enumerate() {
        if !seen.insert(format!("{} {}", entry["file"], entry["set"])) {
            continue;
        }
        let graph = lower(entry, None);
        let params: u64 = graph.parameters().iter().map(|p| p.elems()).sum();
        // large ones differ from small ones of their family in widths only; of each family, one whatever its size
        if params > 12_000_000 && !files.insert(entry["file"].to_string()) {
            continue;
        }
        let weights = constant_weights(&graph);
        let name = format!("{} {}", entry["source"], entry["name"]);
        let none = || [Value::Null, Value::Null];
        let (batch, other) = match at % 2 {
            0 => (Batch::Fixed(2), Batch::Dynamic),
            _ => (Batch::Dynamic, Batch::Fixed(1)),
        };
        cases.add(&name, &graph, &weights, batch, none());
        nodes.push(None);
        let folded = fold(&graph);
        let weights = folded.weights(&weights);
        cases.add(
            &format!("{name}, folded"),
            &folded.graph,
            &weights,
            other,
            none(),
        );
        let kept = folded.graph.nodes().iter();
        nodes.push(Some(
            kept.filter(|n| matches!(n.op, Op::BatchNorm(_))).count(),
        ));
    }
    for ((name, result), norms) in cases.run(&python).iter().zip(nodes) {
        assert_eq!(
            (result["ir_version"].as_i64(), result["opset"].as_i64()),
            (Some(8), Some(17)),
            "{name}"
        );
        if let Some(norms) = norms {
            let ops = result["ops"].as_array().unwrap().iter();
            assert_eq!(
                ops.filter(|op| *op == "BatchNormalization").count(),
                norms,
                "{name}"
            );
        }
    }
    println!("{} models", cases.names.len());
    assert!(cases.names.len() > 200);
}

const VOVNET: &str = "official:VoVNet.pytorch";

/// Networks compared with PyTorch: source, name, image size. Those with ops, strides and sizes of their own.
const COMPARED: &[(&str, &str, [u32; 2])] = &[
    (VOVNET, "vovnet27_slim", [97, 113]),
    ("timm", "vovnet39a", [75, 75]),
    ("timm", "ese_vovnet19b_slim_dw", [97, 113]),
    ("timm", "eca_vovnet39b", [97, 113]),
    ("timm", "regnetx_002", [75, 75]),
    ("timm", "regnety_004", [97, 113]),
    (
        "official:Efficient-AI-Backbones/g_ghost_pytorch",
        "g_ghost_regnetx_002",
        [97, 113],
    ),
    (
        "official:Efficient-AI-Backbones/ghostnet_pytorch",
        "ghostnet_0.5x",
        [97, 113],
    ),
    ("official:ESPNetv2/imagenet", "EESPNet_s0.5", [97, 113]),
    ("official:ESPNet", "ESPNet-C_p2q3", [97, 113]),
    ("torchvision", "shufflenet_v2_x0_5", [75, 75]),
    ("torchvision", "shufflenet_v2_x1_0", [224, 224]),
    (
        "official:ShuffleNet-Series/V2",
        "ShuffleNetV2_0.5x",
        [97, 113],
    ),
    ("torchvision", "densenet121", [75, 75]),
    ("pytorchcv", "peleenet", [75, 107]),
    ("torchvision", "resnet18", [97, 113]),
    ("pytorchcv", "seresnet50", [97, 113]),
    ("torchvision", "mobilenet_v2", [75, 75]),
    ("torchvision", "mobilenet_v3_small", [97, 113]),
    ("torchvision", "mobilenet_v3_large", [75, 75]),
    ("torchvision", "efficientnet_b0", [97, 113]),
    ("timm", "tf_efficientnetv2_b0", [75, 75]),
    ("torchvision", "mnasnet1_0", [97, 113]),
    ("torchvision", "squeezenet1_0", [97, 113]),
    ("torchvision", "googlenet", [97, 113]),
    ("torchvision", "alexnet", [97, 113]),
    ("pytorchcv", "condensenet74_c4_g4", [225, 231]),
    ("pytorchcv", "proxylessnas_mobile", [197, 211]),
    ("torchvision", "ssdlite320_mobilenet_v3_large", [289, 353]),
    ("torchvision", "ssd300_vgg16", [300, 300]),
    ("torchvision", "lraspp_mobilenet_v3_large", [97, 113]),
    (
        "official:EdgeNets",
        "ESPNetv2_segmentation_s0.5_pascal",
        [144, 176],
    ),
];

#[test]
fn published_networks_agree_with_pytorch() {
    let Some(python) = python("onnx, onnxruntime, numpy, torch, safetensors") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let spec = |(source, name, [h, w]): &(&str, &str, [u32; 2])| format!("{source},{name},{h}x{w}");
    let specs: Vec<String> = COMPARED.iter().map(spec).collect();
    let mut args: Vec<&str> = specs.iter().map(String::as_str).collect();
    args.extend(["--out", dir.path().to_str().unwrap()]);
    call(&python, "reference.py", &args);
    let mut cases = Cases::new();
    let index = index();
    for (i, (source, name, size)) in COMPARED.iter().enumerate() {
        let folder = dir.path().join(i.to_string());
        if !folder.is_dir() {
            println!("SKIPPED: {name}, as this Python has no {source}");
            continue;
        }
        let entry = index
            .iter()
            .find(|e| e["source"] == *source && e["name"] == *name);
        let graph = lower(entry.unwrap(), Some(*size));
        let at = |file: &str| folder.join(format!("{file}.safetensors"));
        let order = std::fs::read_to_string(folder.join("order.json")).unwrap();
        let map = names_by_order(&graph, &serde_json::from_str(&order).unwrap());
        let params = graph.parameters();
        let header = Header::read(&at("weights")).unwrap();
        let fit = check(&params, &header, Some(&map)).unwrap();
        let weights = Weights::read(&at("weights"), &header, &params, &fit).unwrap();
        let io = || ["input", "output"].map(|f| json!(at(f).to_str().unwrap()));
        cases.add(name, &graph, &weights, Batch::Fixed(2), io());
        let folded = fold(&graph);
        let weights = folded.weights(&weights);
        cases.add(
            &format!("{name}, folded"),
            &folded.graph,
            &weights,
            Batch::Dynamic,
            io(),
        );
    }
    // other orders of summation, in some sixty layers of random weights
    let worst = cases.worst(&python, 1e-4);
    println!(
        "{} models agree with PyTorch, the worst to {worst:.1e}",
        cases.names.len()
    );
}
