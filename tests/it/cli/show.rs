//! `show`: published figures, the seeds' arithmetic, networks side by side.

use super::{SLIM, json, run, write};
use serde_json::Value;

/// Figures of the style guide's golden network and of the published VoVNet-27-slim.
#[test]
fn show_gives_the_contract_s_keys_and_published_figures() {
    let shown = json(0, &["show", SLIM, "--device", "pi5-onnx", "--params"]);
    assert_eq!(shown["params"], 3_525_736);
    assert_eq!(shown["macs"], 2_176_695_296u64);
    assert_eq!(shown["conv_out_elems"], 4_148_144);
    assert_eq!(shown["mem_access_elems"], 12_641_504);
    for key in [
        "name",
        "macs_conv",
        "peak_activation_bytes",
        "receptive_field",
        "layers",
    ] {
        assert!(!shown[key].is_null(), "{key}");
    }
    let device = &shown["devices"]["pi5-onnx"];
    let number = |key: &str| {
        device[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key}: {device}"))
    };
    assert!(
        number("latency_lo_s") < number("latency_s")
            && number("latency_s") < number("latency_hi_s")
    );
    assert!(number("energy_j") > 0.0);
    let parts = device["by_class"].as_object().unwrap();
    let sum: f64 = parts
        .values()
        .map(|c| c["latency_s"].as_f64().unwrap())
        .sum();
    assert!((sum / number("latency_s") - 1.0).abs() < 1e-9);
    let parameters = shown["parameters"].as_array().unwrap();
    let learnable = |p: &&Value| !p["name"].as_str().unwrap().contains("running_");
    let elems = |p: &Value| {
        p["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap())
            .product::<u64>()
    };
    assert_eq!(
        parameters.iter().filter(learnable).map(elems).sum::<u64>(),
        3_525_736
    );
}

#[test]
fn show_needs_a_single_network_and_takes_one_from_a_family() {
    let family = "search_spaces/lite_osa.json";
    let refused = json(3, &["show", family]);
    let problem = &refused["error"]["files"][0]["diagnostics"][0];
    assert!(
        problem["message"]
            .as_str()
            .unwrap()
            .contains("decisions are open"),
        "{refused}"
    );
    let (_, stdout, _) = run(&["sample", "--help"]);
    assert!(stdout.contains("--set"));
}

fn sum<'a>(layers: impl Iterator<Item = &'a Value>, key: &str) -> f64 {
    layers.map(|l| l[key].as_f64().unwrap()).sum()
}

/// VoVNet's arithmetic on DenseNet-40, part by part: stem 32x32 pixels, 3 + 16 channels and 9 * 3 * 16 weights, and so on
/// (arXiv 1904.09730, section 3; the paper rounds to 3.7 M). The parameters are those of the released DenseNet-40.
#[test]
fn memory_access_of_densenet_40_part_by_part() {
    let file = "search_spaces/osa_vs_dense.json";
    let shown = json(0, &["show", file, "--set", "net=dense"]);
    assert_eq!(shown["mem_access_elems"], 3_679_504);
    assert_eq!(shown["params"], 1_019_722);
    let layers = shown["layers"].as_array().unwrap();
    let part = |name: &str| {
        let conv = |l: &&Value| l["op"] == "conv" && l["name"].as_str().unwrap().contains(name);
        sum(layers.iter().filter(conv), "mem_access_elems") as u64
    };
    assert_eq!(part("stem"), 19_888);
    assert_eq!(part("block1"), 1_261_344);
    assert_eq!(part("transition1"), 353_280);
    assert_eq!(part("block2"), 1_024_032);
    assert_eq!(part("transition2"), 248_064);
    assert_eq!(part("block3"), 772_896);
}

/// Each convolution has a bound, no other node has one, and none moves less. By hand: DenseNet-40's first 3x3 from 16 to
/// 12 channels on 32x32 does 9 * 16 * 12 * 1024 MACs, so 2 * 1024 * sqrt(16 * 12) + 9 * 16 * 12.
#[test]
fn each_convolution_stands_beside_its_bound() {
    let file = "search_spaces/osa_vs_dense.json";
    let shown = json(0, &["show", file, "--set", "net=dense"]);
    let layers = shown["layers"].as_array().unwrap();
    let convs = || layers.iter().filter(|l| l["op"] == "conv");
    assert_eq!(convs().count(), 39);
    for layer in layers {
        let bound = layer["mem_access_bound_elems"].as_f64();
        assert_eq!(bound.is_some(), layer["op"] == "conv", "{layer}");
        assert!(bound.unwrap_or(0.0) <= layer["mem_access_elems"].as_f64().unwrap() + 1e-6);
    }
    let first = convs().find(|l| l["name"] == "net.0.block1.layer.0.conv2");
    let first = first.unwrap()["mem_access_bound_elems"].as_f64().unwrap();
    assert!(
        (first - (2048.0 * 192f64.sqrt() + 1728.0)).abs() < 1e-6,
        "{first}"
    );
    let total = shown["mem_access_bound_elems"].as_f64().unwrap();
    assert!((total - sum(convs(), "mem_access_bound_elems")).abs() < 1e-6);
    // without groups both bounds are the same
    assert_eq!(
        shown["mem_access_bound_elems"],
        shown["mem_access_bound_ungrouped_elems"]
    );
    let (_, text, _) = run(&["show", file, "--set", "net=dense"]);
    assert!(text.contains("30,106"), "{text}");
    assert!(text.contains("2,656,603"), "{text}");
}

/// The readings of VoVNet's 2.5 M, and DenseNet-40 beside them; figures computed apart from equation 1.
#[test]
fn a_decision_s_values_stand_side_by_side() {
    let file = "search_spaces/osa_vs_dense.json";
    let args = ["show", file, "--compare", "net", "--device", "pi5-onnx"];
    let shown = json(0, &args);
    assert_eq!(shown["compare"], "net");
    let networks = shown["networks"].as_array().unwrap();
    let found: Vec<(&str, u64, u64)> = networks
        .iter()
        .map(|n| {
            let figure = |key: &str| n[key].as_u64().unwrap();
            let label = n["label"].as_str().unwrap();
            (label, figure("mem_access_elems"), figure("macs_conv"))
        })
        .collect();
    let wanted = [
        ("dense", 3_679_504, 264_808_448),
        ("osa", 2_065_680, 235_741_312),
        ("osa_mix", 2_587_209, 263_704_256),
        ("osa_fuse", 2_623_180, 251_410_688),
        ("osa_12x20", 2_734_528, 238_881_792),
    ];
    assert_eq!(found, wanted);
    let ratio = &networks[2]["ratio_to_first"];
    let of = |v: &Value| v.as_f64().unwrap();
    assert!((of(&ratio["mem_access_elems"]) - 2_587_209.0 / 3_679_504.0).abs() < 1e-12);
    let time = |n: &Value| of(&n["devices"]["pi5-onnx"]["latency_s"]);
    let by_device = of(&ratio["devices"]["pi5-onnx"]["latency_s"]);
    assert!((by_device - time(&networks[2]) / time(&networks[0])).abs() < 1e-12);
    let alone = json(
        0,
        &["show", file, "--set", "net=osa_mix", "--device", "pi5-onnx"],
    );
    let mut alone_on = alone["devices"].clone();
    let device = alone_on["pi5-onnx"].as_object_mut().unwrap();
    assert!(device.remove("by_block").is_some());
    assert!(device.remove("findings").is_some());
    assert_eq!(alone_on, networks[2]["devices"]);
    assert_eq!(
        alone["mem_access_bound_elems"],
        networks[2]["mem_access_bound_elems"]
    );

    let (_, text, _) = run(&args);
    for figure in ["3,679,504", "2,065,680", "x0.56", "osa_12x20", "GMAC/s"] {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 110), "{text}");
}

#[test]
fn what_cannot_stand_side_by_side_is_said() {
    let file = "search_spaces/osa_vs_dense.json";
    let (code, _, stderr) = run(&["show", file, "--compare", "nets"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("did you mean \"net\""), "{stderr}");
    let fixed = ["show", file, "--compare", "net", "--set", "net=osa"];
    assert_eq!(run(&fixed).0, 2);
    assert_eq!(run(&["show", file, SLIM, "--compare", "net"]).0, 2);
    assert_eq!(run(&["show", file, SLIM, "--set", "nett=osa"]).0, 2);
    assert_eq!(run(&["show", SLIM, SLIM, "--blocks"]).0, 2);
    let (code, _, stderr) = run(&["show", "search_spaces/lite_osa.json", "--compare", "w"]);
    assert_eq!(code, 3);
    assert!(stderr.contains("decisions are open"), "{stderr}");
    let (_, _, stderr) = run(&["show", file]);
    assert!(stderr.contains("--compare net"), "{stderr}");
    let family = "search_spaces/reference/regnetx.json";
    let (code, stdout, _) = run(&["show", family, "--compare", "ghost", "--set", "model=x032"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("10,511,000"), "{stdout}");

    // an option that the constraints turn down leaves the others
    let folder = tempfile::tempdir().unwrap();
    let space = r#"{"format": "blocksmith/1", "input": [3, 8, 8], "vars": {"w": {"choice": [1, 2, 3]}},
        "constraints": ["w != 2"], "net": [{"op": "conv", "out_channels": "=w", "kernel_size": 1}]}"#;
    let space = write(folder.path(), "space.json", space);
    let space = space.to_str().unwrap();
    let shown = json(0, &["show", space, "--compare", "w"]);
    let labels: Vec<&Value> = shown["networks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["label"])
        .collect();
    assert_eq!(labels, ["1", "3"]);
    let (_, _, stderr) = run(&["show", space, "--compare", "w"]);
    assert!(stderr.contains("turn down value 2 of 3"), "{stderr}");
}

#[test]
fn files_stand_side_by_side() {
    let files = [
        "show",
        SLIM,
        "search_spaces/osa_vs_dense.json",
        "--set",
        "net=dense",
    ];
    let shown = json(0, &files);
    let networks = shown["networks"].as_array().unwrap();
    assert_eq!(networks[0]["params"], 3_525_736);
    assert_eq!(networks[1]["params"], 1_019_722);
    assert_eq!(networks[1]["label"], "osa_vs_dense");
    let twice = json(0, &["show", SLIM, SLIM]);
    assert_eq!(twice["networks"][1]["label"], SLIM);
    assert_eq!(twice["networks"][1]["ratio_to_first"]["macs"], 1.0);
}

/// Efficiency is the network's multiply-accumulates over the time, power energy over time, all from the document's own
/// figures; a batch counts as that many images.
#[test]
fn efficiency_and_energy_an_image_follow_from_time_and_energy() {
    for batch in ["1", "8"] {
        let shown = json(
            0,
            &[
                "show",
                SLIM,
                "--device",
                "pi5-onnx",
                "--device",
                "rtx3090-torch",
                "--batch",
                batch,
            ],
        );
        let n: f64 = batch.parse().unwrap();
        let d = &shown["devices"]["pi5-onnx"];
        let f = |key: &str| d[key].as_f64().unwrap();
        let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-12, "{a} {b}");
        let work = 2_176_695_296.0 * n;
        close(f("efficiency_macs_per_s"), work / f("latency_s"));
        close(f("efficiency_lo_macs_per_s"), work / f("latency_hi_s"));
        close(f("efficiency_hi_macs_per_s"), work / f("latency_lo_s"));
        close(f("energy_per_image_j"), f("energy_j") / n);
        close(f("energy_per_image_hi_j"), f("energy_hi_j") / n);
        close(f("images_per_s"), n / f("latency_s"));
        close(f("average_power_w"), f("energy_j") / f("latency_s"));
        let gpu = &shown["devices"]["rtx3090-torch"];
        assert!(gpu["average_power_w"].is_null() && gpu["energy_per_image_j"].is_null());
        assert!(gpu["efficiency_macs_per_s"].as_f64().unwrap() > f("efficiency_macs_per_s"));
    }
}

#[test]
fn a_network_with_several_outputs_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let net = r#"{"format": "blocksmith/1", "name": "pyramid", "input": [3, 64, 64], "outputs": ["c3", "c4", "c5"], "net": [
        {"id": "c3", "block": "conv_bn_act", "out_channels": 8, "kernel_size": 3, "stride": 2},
        {"id": "c4", "block": "conv_bn_act", "out_channels": 16, "kernel_size": 3, "stride": 2},
        {"id": "c5", "block": "conv_bn_act", "out_channels": 32, "kernel_size": 3, "stride": 2}]}"#;
    let net = write(folder.path(), "net.json", net);
    let net = net.to_str().unwrap();
    let shown = json(0, &["show", net, "--device", "pi5-onnx"]);
    let shapes: Vec<&str> = shown["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["shape"].as_str().unwrap())
        .collect();
    assert_eq!(shapes, ["8x32x32", "16x16x16", "32x8x8"]);
    // the deepest output: 3, then 2 * 2 more, then 4 * 2 more
    assert_eq!(shown["sliding_field"], serde_json::json!([15, 15]));
    let (code, text, _) = run(&["show", net]);
    assert_eq!(code, 0);
    assert!(
        text.contains("outputs") && text.contains("16x16x16"),
        "{text}"
    );
}

/// Blocks go by as many parts of names as make them more than one.
#[test]
fn blocks_of_a_family_are_its_stages() {
    let file = "search_spaces/osa_vs_dense.json";
    let (_, text, _) = run(&["show", file, "--set", "net=dense", "--blocks"]);
    assert!(text.contains("net.0.transition2"), "{text}");
    assert!(text.contains("1,261,344"), "{text}");
    let (_, text, _) = run(&[
        "show",
        file,
        "--set",
        "net=dense",
        "--blocks",
        "--depth",
        "1",
    ]);
    assert!(!text.contains("net.0"), "{text}");
    assert!(text.contains("3,659,616"), "{text}");
}

/// What the blocks take, and a run beside them, is all that the network takes; MACs are those of the rows of nodes.
#[test]
fn time_energy_and_macs_split_by_block() {
    let shown = json(0, &["show", SLIM, "--device", "pi5-onnx"]);
    let device = &shown["devices"]["pi5-onnx"];
    let blocks = device["by_block"].as_array().unwrap();
    let found: Vec<(&str, &str)> = blocks
        .iter()
        .map(|b| (b["name"].as_str().unwrap(), b["block"].as_str().unwrap()))
        .collect();
    assert_eq!(
        found[..4].iter().map(|b| b.1).collect::<Vec<_>>(),
        ["conv_bn_act", "conv_bn_act", "conv_bn_act", "osa"]
    );
    assert_eq!(found[4], ("4", "max_pool"));
    // the first module, by hand: five 3x3 to 64 channels from 128, then four from 64, and 1x1 from 448 to 128, on 56x56
    let macs = 3136 * (9 * 64 * (128 + 4 * 64) + 448 * 128);
    assert_eq!(blocks[3]["macs"], macs);
    // six convolutions and a concatenation; activations and norms ride along
    assert_eq!(blocks[3]["kernels"], 7);
    for (key, share, total) in [
        ("latency_s", "latency_share", "latency_s"),
        ("energy_j", "energy_share", "energy_j"),
    ] {
        let all = device[total].as_f64().unwrap();
        let part = sum(blocks.iter(), key);
        assert!(
            part <= all * (1.0 + 1e-9) && part > 0.9 * all,
            "{part} of {all}"
        );
        assert!((sum(blocks.iter(), share) - part / all).abs() < 1e-9);
    }
    assert!((sum(blocks.iter(), "macs_share") - 1.0).abs() < 1e-9);
    let (_, text, _) = run(&["show", SLIM, "--blocks", "--device", "pi5-onnx"]);
    assert!(text.contains("osa"), "{text}");
    let gpu = json(0, &["show", SLIM, "--device", "rtx3090-torch"]);
    assert!(gpu["devices"]["rtx3090-torch"]["by_block"][0]["energy_j"].is_null());
}

/// Findings stand below the split by block, narrow enough to be read, and in JSON with the figures of both predictions.
#[test]
fn findings_are_told_in_text_and_json() {
    let file = "search_spaces/reference/ghostnet.json";
    let args = ["show", file, "--set", "w=1.0", "--device", "rtx3090-torch"];
    let (code, text, _) = run(&[&args[..], &["--blocks"]].concat());
    assert_eq!(code, 0);
    let (_, found) = text.split_once("  guidelines, and what").unwrap();
    assert!(found.lines().all(|l| l.chars().count() <= 100), "{found}");
    // 80 convolutions of GhostNet have a norm after them, and none of those of its gates
    let norms = "80 norms after convolutions run as kernels of their own";
    assert!(
        found
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(norms),
        "{found}"
    );
    assert!(found.contains("MACs stay 141 M"), "{found}");

    let shown = json(0, &args);
    let device = &shown["devices"]["rtx3090-torch"];
    let now = device["latency_s"].as_f64().unwrap();
    let findings = device["findings"].as_array().unwrap();
    assert!(findings.len() > 3);
    for f in findings {
        let figure = |key: &str| f[key].as_f64().unwrap();
        let saved = figure("latency_saved_s");
        assert!((saved - (now - figure("latency_remedied_s"))).abs() < 1e-12);
        let middle = (figure("latency_saved_lo_s") + figure("latency_saved_hi_s")) / 2.0;
        assert!((middle - saved).abs() < 1e-12);
        assert!(f["energy_saved_j"].is_null());
        assert_eq!(f["macs"], shown["macs"]);
        let names = shown["layers"].as_array().unwrap();
        let known = |n: &Value| names.iter().any(|l| l["name"] == *n);
        assert!(f["nodes"].as_array().unwrap().iter().all(known), "{f}");
    }
    let energy = json(0, &["show", file, "--set", "w=1.0", "--device", "pi5-onnx"]);
    let first = &energy["devices"]["pi5-onnx"]["findings"][0];
    assert!(first["energy_saved_j"].as_f64().is_some(), "{first}");
}

/// All keys of the documents stand in the page about them.
#[test]
fn the_page_names_every_key() {
    let page = std::fs::read_to_string(super::root().join("docs/show.md")).unwrap();
    let file = "search_spaces/osa_vs_dense.json";
    let device = ["--device", "pi5-onnx", "--params"];
    let one = json(0, &[&["show", SLIM][..], &device].concat());
    let many = json(
        0,
        &["show", file, "--compare", "net", "--device", "pi5-onnx"],
    );
    let missing = |value: &Value| -> Vec<String> {
        let object = value.as_object().unwrap();
        let keys = object.keys().filter(|k| !page.contains(&format!("`{k}`")));
        keys.cloned().collect()
    };
    let network = &many["networks"][1];
    for value in [
        &one,
        &one["layers"][0],
        &one["parameters"][0],
        &one["devices"]["pi5-onnx"],
        &one["devices"]["pi5-onnx"]["by_class"],
        &one["devices"]["pi5-onnx"]["by_block"][0],
        &one["devices"]["pi5-onnx"]["findings"][0],
        &many,
        network,
        &network["ratio_to_first"],
        &network["ratio_to_first"]["devices"]["pi5-onnx"],
    ] {
        assert_eq!(missing(value), Vec::<String>::new());
    }
}

/// A name that is nearly right is answered with those that it may be meant for.
#[test]
fn near_names_of_devices_are_suggested() {
    for (name, told) in [
        (
            "rtx3090",
            "did you mean one of rtx3090-torch, rtx3090-torch-nhwc?",
        ),
        ("PI5-ONNX", "did you mean \"pi5-onnx\"?"),
        ("pi3-nccn", "did you mean \"pi3-ncnn\"?"),
        ("abacus", "`blocksmith devices` lists what there is"),
    ] {
        let (code, _, stderr) = run(&["show", SLIM, "--device", name]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.trim_end().ends_with(told), "{stderr}");
    }
    // a file of bytes is a profile that makes no sense, not one that is not there
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes.json");
    std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    let (code, _, stderr) = run(&["show", SLIM, "--device", path.to_str().unwrap()]);
    assert_eq!(code, 3, "{stderr}");
}

/// Examples in the page: a command behind `$ blocksmith`, then the findings that it prints, three of them where there are more.
#[test]
fn the_page_is_current_in_its_examples() {
    let path = super::root().join("docs/show.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (mut now, mut examples) = (String::new(), 0);
    for (at, part) in page.split("```text\n$ blocksmith ").enumerate() {
        if at == 0 {
            now.push_str(part);
            continue;
        }
        let (command, rest) = part.split_once('\n').unwrap();
        let (_, rest) = rest.split_once("```").unwrap();
        let args: Vec<&str> = command.split(' ').collect();
        let (code, text, stderr) = run(&args);
        assert_eq!(code, 0, "{command}: {stderr}");
        let (_, found) = text.split_once("  guidelines, and what").unwrap();
        let found = format!("  guidelines, and what{}", found.trim_end());
        let mut told: Vec<&str> = found.split("\n  G").collect();
        let more = told.len() > 4;
        told.truncate(4);
        let dots = if more { "\n  ..." } else { "" };
        let shown = told.join("\n  G");
        now.push_str(&format!(
            "```text\n$ blocksmith {command}\n{shown}{dots}\n```{rest}"
        ));
        examples += 1;
    }
    assert!(examples >= 2);
    if std::env::var_os("BLOCKSMITH_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap();
    assert!(
        there == now,
        "docs/show.md is old: run this test with BLOCKSMITH_BLESS=1"
    );
}
