//! Published networks against PyTorch.

use super::*;

/// The entry of `search_spaces/reference/index.json`.
pub fn entry(source: &str, name: &str) -> Value {
    let all = index();
    let found = all
        .iter()
        .find(|e| e["source"] == source && e["name"] == name);
    found
        .unwrap_or_else(|| panic!("{source} {name} is not listed"))
        .clone()
}

fn index() -> Vec<Value> {
    let text = std::fs::read_to_string(repo("search_spaces/reference/index.json")).unwrap();
    serde_json::from_str::<Value>(&text)
        .unwrap()
        .as_array()
        .unwrap()
        .clone()
}

/// The graph of a listed network on images of this size.
pub(super) fn lower(entry: &Value, size: [i64; 2]) -> Graph {
    lower_sized(entry, Some(size))
}

/// The same on images of its own size, where none is told.
fn lower_sized(entry: &Value, size: Option<[i64; 2]>) -> Graph {
    let file = repo("search_spaces/reference").join(entry["file"].as_str().unwrap());
    let mut document: Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    if let Some([h, w]) = size {
        document["input"] = serde_json::json!([3, h, w]);
    }
    let (space, program) = blocksmith::blocks::load(&document.to_string()).unwrap();
    let set = entry
        .get("set")
        .cloned()
        .unwrap_or_else(|| serde_json::json!({}));
    let assignment = space.assignment_from_json(&set).unwrap();
    program
        .lower(&assignment, blocksmith::blocks::Names::On)
        .unwrap()
}

/// The size of the papers, and two that show rounding in pools and padding.
const SIZES: &[[i64; 2]] = &[[224, 224], [75, 75], [97, 113]];
/// Of nets that end in a pool of a fixed size.
const NATIVE: &[[i64; 2]] = &[[224, 224]];
const ODD: &[[i64; 2]] = &[[75, 75], [97, 113]];
const LAST: &[[i64; 2]] = &[[97, 113]];
/// Sides of which the halves of the halves by two ways agree: pytorchcv's PeleeNet takes no other.
const EVEN: &[[i64; 2]] = &[[224, 224], [75, 107]];

/// Sides with a last map of 7 x 7, which is what some of pytorchcv's pool; CondenseNet's pools round down on the way.
const SEVEN: &[[i64; 2]] = &[[224, 224], [197, 211]];
const EXACT: &[[i64; 2]] = &[[224, 224], [225, 231]];

const VOVNET: &str = "official:VoVNet.pytorch";
const G_GHOST: &str = "official:Efficient-AI-Backbones/g_ghost_pytorch";
const GHOST: &str = "official:Efficient-AI-Backbones/ghostnet_pytorch";
const ESP_V2: &str = "official:ESPNetv2/imagenet";
const EDGE_NETS: &str = "official:EdgeNets";
const SHUFFLE_V2: &str = "official:ShuffleNet-Series/V2";

/// Networks compared with PyTorch: source, name, image sizes. Each family, in each of its forms, at all sizes.
const COMPARED: &[(&str, &str, &[[i64; 2]])] = &[
    // identity from a stage's second module on; none; eSE in every module and in a stage's last alone
    (VOVNET, "vovnet27_slim", SIZES),
    (VOVNET, "vovnet39", ODD),
    ("timm", "vovnet39a", ODD),
    ("timm", "ese_vovnet19b_slim_dw", SIZES),
    ("timm", "ese_vovnet39b", ODD),
    (G_GHOST, "g_ghost_regnetx_002", SIZES),
    (G_GHOST, "g_ghost_regnetx_006", LAST),
    ("timm", "regnetx_002", ODD),
    (GHOST, "ghostnet_0.5x", SIZES),
    (GHOST, "ghostnet_1.3x", LAST),
    (ESP_V2, "EESPNet_s0.5", SIZES),
    (ESP_V2, "EESPNet_s1.0", LAST),
    (ESP_V2, "EESPNet_s2.0", LAST),
    ("pytorchcv", "espnetv2_wd2", NATIVE),
    ("official:ESPNet", "ESPNet-C_p2q3", SIZES),
    ("official:ESPNet", "ESPNet-C_p2q8", LAST),
    ("torchvision", "shufflenet_v2_x0_5", SIZES),
    (SHUFFLE_V2, "ShuffleNetV2_0.5x", SIZES),
    (SHUFFLE_V2, "ShuffleNetV2_1.0x", LAST),
    (SHUFFLE_V2, "ShuffleNetV2_2.0x", LAST),
    ("pytorchcv", "shufflenetv2b_wd2", NATIVE),
    ("torchvision", "densenet121", SIZES),
    ("pytorchcv", "densenet40_k12_cifar10", SIZES),
    ("pytorchcv", "densenet40_k12_bc_cifar10", ODD),
    ("pytorchcv", "peleenet", EVEN),
    ("torchvision", "resnet18", SIZES),
    ("torchvision", "resnet50", LAST),
    ("pytorchcv", "resnet50", ODD),
    ("pytorchcv", "seresnet50", LAST),
    ("torchvision", "mobilenet_v2", SIZES),
    ("torchvision", "mnasnet1_0", LAST),
    ("torchvision", "squeezenet1_0", ODD),
    ("pytorchcv", "igcv3_w1", ODD),
    ("timm", "eca_vovnet39b", LAST),
    ("pytorchcv", "ghostnet", SEVEN),
    ("pytorchcv", "condensenet74_c4_g4", EXACT),
    ("pytorchcv", "condensenet74_c8_g8", EXACT),
    ("pytorchcv", "proxylessnas_mobile", SEVEN),
    ("pytorchcv", "proxylessnas_cpu", SEVEN),
    ("torchvision", "alexnet", SIZES),
    ("torchvision", "vgg11", LAST),
    ("torchvision", "vgg13_bn", LAST),
    ("torchvision", "squeezenet1_1", SIZES),
    ("torchvision", "googlenet", SIZES),
    ("torchvision", "mobilenet_v3_small", SIZES),
    ("torchvision", "mobilenet_v3_large", SIZES),
    ("torchvision", "efficientnet_b0", SIZES),
    ("torchvision", "efficientnet_b2", LAST),
    ("torchvision", "efficientnet_v2_s", LAST),
    ("timm", "tf_efficientnetv2_b0", SIZES),
    ("timm", "tf_efficientnetv2_b3", LAST),
    ("timm", "regnety_004", SIZES),
    ("timm", "mobilenetv1_100", SIZES),
    // raw maps of detectors and segmentation nets, all levels
    ("torchvision", "retinanet_resnet50_fpn", LAST),
    ("torchvision", "ssd300_vgg16", &[[300, 300]]),
    (
        "torchvision",
        "ssdlite320_mobilenet_v3_large",
        &[[320, 320], [289, 353]],
    ),
    ("torchvision", "lraspp_mobilenet_v3_large", ODD),
    (
        EDGE_NETS,
        "ESPNetv2_segmentation_s0.5_pascal",
        &[[144, 176]],
    ),
    (EDGE_NETS, "ESPNetv2_segmentation_s2.0_pascal", &[[96, 64]]),
    (EDGE_NETS, "ESPNetv2_segmentation_s2.0_city", &[[64, 128]]),
];

/// Builds the graph, gives it the weights that `reference.py` left in the folder, and compares what it computes with what
/// the folder says: the largest relative error of the built form. The deployed form may have twice the bound.
pub(super) fn agreement(graph: &Graph, folder: &Path, what: &str) -> f64 {
    let at = |file: &str| folder.join(format!("{file}.safetensors"));
    let order = std::fs::read_to_string(folder.join("order.json")).unwrap();
    let order: Value = serde_json::from_str(&order).unwrap();
    let mut net = Net::build(graph, Device::Cpu, 0).unwrap();
    assert_eq!(
        net.param_count(),
        order["params"].as_u64().unwrap(),
        "{what}"
    );
    let map = names_by_order(net.graph(), &order);
    let (weights, input) = (at("weights"), at("input"));
    run(
        graph,
        &weights,
        Some(&map),
        &input,
        &at("ours"),
        Device::Cpu,
    )
    .unwrap();
    let want = read_tensors(&at("output")).unwrap();
    let ours = read_tensors(&at("ours")).unwrap();
    assert_eq!(ours.len(), want.len(), "{what}");
    let names = ours.keys().cloned().collect::<Vec<_>>();
    // all maps of a detector, each by itself
    let worst = |errors: Vec<f64>| errors.into_iter().fold(0.0, f64::max);
    let error = worst(
        names
            .iter()
            .map(|name| relative_error(&ours[name], &want[name]))
            .collect(),
    );
    net.load(&weights, Some(&map)).unwrap();
    let input = read_tensors(&input).unwrap().remove("input").unwrap();
    let folded = net.optimized().unwrap().forward(&[input]).unwrap();
    let folded = (0..).zip(&folded).map(|(k, folded)| {
        let name = if k == 0 {
            "output".to_owned()
        } else {
            format!("output{k}")
        };
        relative_error(folded, &want[&name])
    });
    let folded = worst(folded.collect());
    println!("{what}: relative error {error:.1e}, deployed form {folded:.1e}");
    // folded norms round otherwise, and some sixty layers of SiLU with random weights make more of that
    assert!(
        error <= 1e-5 && folded <= 1e-4,
        "{what}: {error:e}, deployed form {folded:e}"
    );
    error
}

#[test]
fn published_networks_agree_with_pytorch() {
    let Some(python) = python("torch, safetensors, numpy") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let compared: Vec<(&str, &str, [i64; 2])> = COMPARED
        .iter()
        .flat_map(|(source, name, sizes)| sizes.iter().map(move |size| (*source, *name, *size)))
        .collect();
    let specs: Vec<String> = compared
        .iter()
        .map(|(source, name, [h, w])| format!("{source},{name},{h}x{w}"))
        .collect();
    let mut args: Vec<&str> = specs.iter().map(String::as_str).collect();
    args.extend(["--out", dir.path().to_str().unwrap()]);
    call(&python, "reference.py", &args);
    let (mut done, mut worst) = (0, 0.0f64);
    for (i, (source, name, size)) in compared.into_iter().enumerate() {
        let folder = dir.path().join(i.to_string());
        if !folder.is_dir() {
            println!("SKIPPED: {name}, as this Python has no {source}");
            continue;
        }
        let what = format!("{name} {size:?}");
        let error = agreement(&lower(&entry(source, name), size), &folder, &what);
        done += 1;
        worst = worst.max(error);
    }
    println!("{done} networks agree with PyTorch, the worst to {worst:.1e}");
}

#[test]
fn analytic_counts_equal_those_of_libtorch() {
    let mut seen = std::collections::BTreeSet::new();
    for entry in index() {
        if !seen.insert(format!("{} {}", entry["file"], entry["set"])) {
            continue;
        }
        let graph = lower_sized(&entry, None);
        let analytic: u64 = graph
            .ids()
            .filter(|id| !graph.is_sharer(*id))
            .filter_map(|id| {
                let input = graph.inputs(id).first()?;
                Some(graph.node(id).op.params(graph.shape(*input)))
            })
            .sum();
        // large ones differ from small ones in their widths only
        if analytic < 10_000_000 {
            let net = Net::build(&graph, Device::Cpu, 1).unwrap();
            assert_eq!(net.param_count(), analytic, "{entry}");
        }
        let listed = graph.parameters();
        let listed = listed.iter().filter(|p| p.role.is_learnable());
        assert_eq!(listed.map(|p| p.elems()).sum::<u64>(), analytic, "{entry}");
    }
    println!("{} networks", seen.len());
}
