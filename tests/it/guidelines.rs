//! Findings: the paper's experiments, remedies written by hand, and what holds on every reference network.

use blocksmith::blocks::{self, Names, Program};
use blocksmith::cost::{Counts, mem_access_lower_bound};
use blocksmith::device::DeviceModel;
use blocksmith::fuse::fuse;
use blocksmith::guidelines::{Finding, GUIDELINES, Verdict, find};
use blocksmith::ir::{Graph, verify};
use serde_json::Value;

fn net(input: [u32; 3], nodes: &str) -> Graph {
    let text = format!(
        r#"{{"format": "blocksmith/1", "name": "n", "input": {input:?}, "net": [{nodes}]}}"#
    );
    let (space, program) = blocks::load(&text).unwrap_or_else(|d| panic!("{text}: {d:?}"));
    let assignment = space.assignments().next().unwrap();
    program.lower(&assignment, Names::On).unwrap()
}

fn model(name: &str) -> DeviceModel {
    DeviceModel::find(name).unwrap()
}

/// The only finding of a guideline.
fn only(graph: &Graph, device: &str, guideline: &str) -> Finding {
    let found = find(graph, &model(device), 1).unwrap();
    let mut of = found.into_iter().filter(|f| f.guideline.name == guideline);
    let one = of
        .next()
        .unwrap_or_else(|| panic!("no {guideline} on {device}"));
    assert!(of.next().is_none(), "{guideline} twice");
    one
}

fn has(graph: &Graph, device: &str, guideline: &str) -> bool {
    let found = find(graph, &model(device), 1).unwrap();
    found.iter().any(|f| f.guideline.name == guideline)
}

/// The same network to a search, and the same prediction to the last bit.
fn assert_same(finding: &Finding, by_hand: &Graph, device: &str) {
    verify(&finding.remedied).unwrap();
    assert_eq!(
        finding.remedied.fingerprint(),
        by_hand.fingerprint(),
        "{}",
        finding.remedied
    );
    let model = model(device);
    let predict = |g: &Graph| model.predict(&fuse(g, model.rules()).list, 1).unwrap();
    let (theirs, ours) = (predict(&finding.remedied), predict(by_hand));
    assert_eq!(theirs, ours);
    assert_eq!(finding.latency.after.to_bits(), ours.latency.0.to_bits());
}

const HEAD: &str =
    r#"{"op": "global_avg_pool"}, {"op": "flatten"}, {"op": "linear", "out_features": 10}"#;

fn conv(out: u32) -> String {
    format!(r#"{{"op": "conv", "out_channels": {out}, "kernel_size": 1}}"#)
}

/// Table 1: ten blocks c1 to c2 to c1 on 56x56, behind a convolution of an image and before a classifier.
fn table_1(c1: u32, c2: u32) -> Graph {
    let (first, second) = (conv(c1), conv(c2));
    net(
        [3, 56, 56],
        &format!(r#"{first}, {{"repeat": 10, "body": [{second}, {first}]}}, {HEAD}"#),
    )
}

/// The rows of table 1 of arXiv 1807.11164: widths on GPU and ARM, and how many times the least is moved, by hand:
/// (hw (c1 + c2) + c1 c2) / (2 hw sqrt(c1 c2) + c1 c2) with hw = 3136.
#[test]
fn unequal_widths_of_the_paper_s_experiment_are_made_equal() {
    for ((c1, c2), device) in [
        ((90, 180), "rtx3090-torch"),
        ((52, 312), "rtx3090-torch"),
        ((36, 432), "rtx3090-torch"),
        ((22, 44), "snapdragon810-ncnn"),
        ((13, 78), "snapdragon810-ncnn"),
        ((9, 108), "snapdragon810-ncnn"),
    ] {
        let graph = table_1(c1, c2);
        let found = only(&graph, device, "G1");
        let (a, b, hw) = (f64::from(c1), f64::from(c2), 3136.0);
        let times = (hw * (a + b) + a * b) / (2.0 * hw * (a * b).sqrt() + a * b);
        assert!(
            found.seen.contains(&format!("{times:.2} times")),
            "{} {times}",
            found.seen
        );
        assert!(
            found
                .seen
                .contains(&format!("{c1} and {c2} (1:{:.1})", b / a)),
            "{}",
            found.seen
        );
        assert_eq!(found.nodes.len(), 20);
        // the work, by hand
        let before = 3136 * u64::from(3 * c1 + 20 * c1 * c2) + u64::from(10 * c1);
        assert_eq!(found.macs[0], before);
        let off = found.macs[1] as f64 / before as f64 - 1.0;
        assert!(off.abs() < 0.01, "{c1}:{c2} {off}");
        // the bound is met, but for widths that differ by one step of rounding
        let counts = Counts::of(&found.remedied).unwrap();
        let named = counts
            .layers
            .iter()
            .filter(|l| found.nodes.contains(&l.name));
        let (mut moved, mut least) = (0.0, 0.0);
        for layer in named {
            moved += layer.mem_access_elems as f64;
            least += mem_access_lower_bound(layer.macs, [3136; 2], 1, 1);
        }
        assert!(moved < 1.01 * least, "{c1}:{c2} {}", moved / least);
        assert!(
            found.latency.saved() > 0.0,
            "{device} {c1}:{c2} {:?}",
            found.latency
        );
    }
    assert!(!has(&table_1(128, 128), "rtx3090-torch", "G1"));
    assert!(!has(&table_1(32, 32), "snapdragon810-ncnn", "G1"));
}

/// 16 and 64 channels do the work of 32 and 32: the remedy is this network with 32 throughout.
#[test]
fn equal_widths_by_hand() {
    for device in ["pi5-onnx", "pi5-ncnn", "rtx3090-torch"] {
        let found = only(&table_1(16, 64), device, "G1");
        assert_same(&found, &table_1(32, 32), device);
        assert!(
            found.done.contains("all 32 wide, 1.00 times"),
            "{}",
            found.done
        );
    }
}

fn grouped(first: u32, c: u32, groups: u32) -> Graph {
    let op = format!(
        r#"{{"op": "conv", "out_channels": {c}, "kernel_size": 1, "groups": {groups}, "repeat": 10}}"#
    );
    net([3, 56, 56], &format!("{}, {op}, {HEAD}", conv(first)))
}

/// Table 2: c^2 / g is the work, so 4 groups of 64 channels are 1 group of 32. The convolution of the image has half its
/// work then; one step of 4 channels there brings the whole nearest: 3 * 36 + 36 * 32 + 9 * 32 * 32 a pixel is 44 more
/// than 3 * 64 + 10 * 64 * 16, and with 32 it is 96 less.
#[test]
fn fewer_groups_by_hand() {
    for device in ["snapdragon810-ncnn", "pi5-ncnn", "rtx3090-torch"] {
        let graph = grouped(64, 64, 4);
        let found = only(&graph, device, "G2");
        assert_same(&found, &grouped(36, 32, 1), device);
        assert_eq!(found.macs[0], 3136 * (3 * 64 + 10 * 64 * 16) + 640);
        assert!(
            found.done.starts_with("1 group, widths times 0.50"),
            "{}",
            found.done
        );
        // by hand: 2 hw c + c^2 / g over 2 hw sqrt(c^2 / g) + c^2 / g
        let times: f64 = (2.0 * 3136.0 * 64.0 + 1024.0) / (2.0 * 3136.0 * 32.0 + 1024.0);
        assert!(
            found.seen.contains(&format!("{times:.2} times")),
            "{}",
            found.seen
        );
    }
    // depthwise convolutions are G4's
    assert!(!has(&grouped(64, 64, 64), "rtx3090-torch", "G2"));
    // ResNeXt-50's stage of 32 groups of 4 and ResNet-50's of 64 channels are the paper's own pair of equal work
    let stage = |mid: u32, groups: u32| {
        let block = format!(
            r#"{{"repeat": 3, "body": [{{"id": "a", "op": "conv", "out_channels": {mid}, "kernel_size": 1}},
            {{"id": "b", "op": "conv", "out_channels": {mid}, "kernel_size": 3, "padding": 1, "groups": {groups}}},
            {{"id": "c", "op": "conv", "out_channels": 256, "kernel_size": 1}}, {{"op": "add", "from": ["c", "in"]}}]}}"#
        );
        net([3, 56, 56], &format!("{}, {block}, {HEAD}", conv(256)))
    };
    let found = only(&stage(128, 32), "rtx3090-torch", "G2");
    if found.done.starts_with("1 group,") {
        assert_same(&found, &stage(64, 1), "rtx3090-torch");
    } else {
        assert!(
            found.done.contains("groups, widths times"),
            "{}",
            found.done
        );
    }
}

/// Table 3: four 1x1 convolutions of c channels side by side, added up, are one of 2 c where both ends can widen; here the
/// input has its width, so one of 4 c.
#[test]
fn one_convolution_for_four_by_hand() {
    let norm_act = r#"{"op": "batch_norm"}, {"op": "relu"}"#;
    let branch = |id: &str| {
        format!(
            r#"{{"id": "{id}", "from": "in", "body": [{}, {norm_act}]}}"#,
            conv(64)
        )
    };
    let branches = ["a", "b", "c", "d"].map(branch).join(", ");
    let block = |inner: &str| format!(r#"{{"id": "block", "body": [{inner}]}}"#);
    let sum = r#"{"id": "sum", "op": "add", "from": ["a", "b", "c", "d"]}"#;
    let graph = net(
        [64, 56, 56],
        &format!("{}, {HEAD}", block(&format!("{branches}, {sum}"))),
    );
    let by_hand = net([64, 56, 56], &format!("{}, {norm_act}, {HEAD}", conv(256)));
    for device in ["rtx3090-torch", "pi5-onnx"] {
        let found = only(&graph, device, "G3");
        assert_same(&found, &by_hand, device);
        assert!(
            found
                .seen
                .starts_with("1 block with 4 convolutions and pools"),
            "{}",
            found.seen
        );
        assert!(
            found
                .done
                .contains("one 1x1 convolution in its place, widths times 4.00"),
            "{}",
            found.done
        );
    }
    // parallel depthwise convolutions become one that is depthwise, with the very same work
    let dw = |id: &str, d: u32| {
        format!(
            r#"{{"id": "{id}", "from": "in", "op": "conv", "out_channels": 64, "kernel_size": 3, "padding": {d},
            "dilation": {d}, "groups": 64}}"#
        )
    };
    let branches = [dw("a", 1), dw("b", 2), dw("c", 3), dw("d", 4)].join(", ");
    let cat = r#"{"op": "concat", "from": ["a", "b", "c", "d"]}"#;
    let graph = net(
        [64, 56, 56],
        &format!("{}, {HEAD}", block(&format!("{branches}, {cat}"))),
    );
    let one =
        r#"{"op": "conv", "out_channels": 256, "kernel_size": 3, "padding": 1, "groups": 64}"#;
    let found = only(&graph, "rtx3090-torch", "G3");
    assert_same(
        &found,
        &net([64, 56, 56], &format!("{one}, {HEAD}")),
        "rtx3090-torch",
    );
    assert_eq!(found.macs[0], found.macs[1]);
    // a residual block of three, with a projection beside it, is no fragmented one
    let resnet = r#"{"body": [{"id": "m", "body": [CONV, CONV, CONV]}, {"id": "p", "from": "in", "body": [CONV, {"op": "batch_norm"}]},
        {"op": "add", "from": ["m", "p"]}, {"op": "relu"}]}"#
        .replace("CONV", &conv(64));
    assert!(!has(
        &net([32, 56, 56], &format!("{resnet}, {HEAD}")),
        "rtx3090-torch",
        "G3"
    ));
}

/// Table 3, in series: four convolutions of 2 c in a row are one of 4 c. The first reads the 32 channels of the input, so
/// that one is worth 32 w = 32 * 64 + 3 * 64 * 64, of which 448 is the nearest multiple of 8 that the row can have.
#[test]
fn one_convolution_for_a_row_by_hand() {
    let body = |c: u32| net([32, 14, 14], &format!("{}, {HEAD}", conv(c)));
    let row = [64; 4].map(conv).join(", ");
    let graph = net([32, 14, 14], &format!("{row}, {HEAD}"));
    let found = only(&graph, "rtx3090-torch", "G3");
    assert_same(&found, &body(448), "rtx3090-torch");
    assert!(
        found
            .seen
            .starts_with("1 row with 4 convolutions run as 4 kernels"),
        "{}",
        found.seen
    );
    // three are no row, nor are four of which something reads the second
    let short = [64; 3].map(conv).join(", ");
    assert!(!has(
        &net([32, 14, 14], &format!("{short}, {HEAD}")),
        "rtx3090-torch",
        "G3"
    ));
    let ids =
        ["a", "b", "c", "d"].map(|id| conv(64).replacen('{', &format!(r#"{{"id": "{id}", "#), 1));
    let read = format!(
        r#"{}, {{"op": "concat", "from": ["b", "d"]}}"#,
        ids.join(", ")
    );
    assert!(!has(
        &net([32, 14, 14], &format!("{read}, {HEAD}")),
        "rtx3090-torch",
        "G3"
    ));
    // on one core of an Arm board launches count for little where maps are large
    let wide = net([32, 112, 112], &format!("{row}, {HEAD}"));
    assert!(!has(&wide, "pi5-ncnn", "G3"));
}

/// Two dense layers of two convolutions are put together; the third is left. By hand, a pixel: the three layers do
/// 64 * (64 + 80 + 96) + 3 * 64 * 16, and w channels in the place of the first two do 64 w + w * 64 + 64 * 16; so w is 136.
#[test]
fn dense_layers_are_put_together() {
    let layer = format!(
        r#"{{"body": [{{"id": "new", "body": [{}, {}]}}, {{"op": "concat", "from": ["in", "new"]}}]}}"#,
        conv(64),
        conv(16)
    );
    let dense = |layers: usize| {
        let all = vec![layer.clone(); layers].join(", ");
        net([64, 14, 14], &format!("{all}, {HEAD}"))
    };
    let found = only(&dense(3), "rtx3090-torch", "G3");
    assert!(
        found
            .seen
            .starts_with("1 stretch with 4 convolutions of dense layers run as 6 kernels"),
        "{}",
        found.seen
    );
    let named = |n: &str| found.nodes.iter().any(|node| node.starts_with(n));
    assert!(
        named("0.") && named("1.") && !named("2."),
        "{:?}",
        found.nodes
    );
    let by_hand = net([64, 14, 14], &format!("{}, {layer}, {HEAD}", conv(136)));
    assert_same(&found, &by_hand, "rtx3090-torch");
    assert!(!has(&dense(1), "rtx3090-torch", "G3"));
}

/// Table 4: a bottleneck with and without activations and shortcut.
fn table_4(act: bool, shortcut: bool) -> Graph {
    let relu = if act { r#", {"op": "relu"}"# } else { "" };
    let k3 = r#"{"op": "conv", "out_channels": 16, "kernel_size": 3, "padding": 1}"#;
    let main = format!(
        r#"{{"id": "main", "body": [{}{relu}, {k3}{relu}, {}{relu}]}}"#,
        conv(16),
        conv(64)
    );
    let add = if shortcut {
        r#", {"op": "add", "from": ["main", "in"]}"#
    } else {
        ""
    };
    net(
        [3, 56, 56],
        &format!(
            r#"{}, {{"repeat": 10, "body": [{main}{add}]}}, {HEAD}"#,
            conv(64)
        ),
    )
}

#[test]
fn networks_without_element_wise_work_by_hand() {
    let graph = table_4(true, true);
    for device in ["rtx3090-torch", "pi5-torchmobile"] {
        let found = find(&graph, &model(device), 1).unwrap();
        let of = |what: &str| found.iter().find(|f| f.seen.contains(what));
        let shortcuts = of("10 sums of shortcuts run").unwrap();
        assert_same(shortcuts, &table_4(true, false), device);
        let acts = of("30 activations");
        // PyTorch eager runs each by itself; the mobile runtime lets all ride along
        assert_eq!(acts.is_some(), device == "rtx3090-torch");
        if let Some(acts) = acts {
            assert_same(acts, &table_4(false, true), device);
            assert_eq!(acts.macs[0], acts.macs[1]);
        }
        assert!(shortcuts.latency.saved() > 0.0);
    }
    let bare = find(&table_4(false, false), &model("rtx3090-torch"), 1).unwrap();
    assert!(bare.iter().all(|f| f.guideline.name != "G4"));
}

/// All reference networks, by name: source and name, and the graph.
fn references() -> Vec<(String, Graph)> {
    let folder = format!("{}/search_spaces/reference", env!("CARGO_MANIFEST_DIR"));
    let index = std::fs::read_to_string(format!("{folder}/index.json")).unwrap();
    let index: Vec<Value> = serde_json::from_str(&index).unwrap();
    let graph = |entry: &Value| {
        let file = entry["file"].as_str().unwrap();
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let (space, _) = blocks::load(&text).unwrap();
        let sets: Vec<(String, String)> = entry["set"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().map_or(v.to_string(), str::to_owned)))
            .collect();
        let sets: Vec<(&str, &str)> = sets.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let space = space.fix(&sets).unwrap();
        let program = Program::compile(&space).unwrap();
        let assignment = space.assignments().next().unwrap();
        let name = format!("{} {}", entry["source"], entry["name"]);
        (name, program.lower(&assignment, Names::On).unwrap())
    };
    index.iter().map(graph).collect()
}

/// On every reference network: what a finding says it saves is the difference of two predictions, the rewritten network
/// is sound and has the outputs and the work of the original, and the nodes are in the network.
#[test]
fn findings_on_every_reference_network_hold_what_they_say() {
    let devices = ["pi5-onnx", "rtx3090-torch", "snapdragon810-ncnn"].map(model);
    let mut seen = std::collections::BTreeSet::new();
    let mut count = 0;
    for (at, (name, graph)) in references().into_iter().enumerate() {
        // a device in turn: three times the networks would be three times the time
        let model = &devices[at % devices.len()];
        let predict = |g: &Graph| {
            let kernels = fuse(g, model.rules()).list;
            let p = model.predict(&kernels, 1).unwrap();
            let factor = model.correction(&kernels);
            (p.latency.0, p.latency.0 / factor, p.energy.map(|e| e.0))
        };
        let (now, by_rates, joules) = predict(&graph);
        let found = find(&graph, model, 1).unwrap();
        for f in &found {
            let (_, then, then_joules) = predict(&f.remedied);
            let what = format!("{name} on {}: {} {}", model.name(), f.guideline.name, f.at);
            let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-9 * now, "{what}: {a} {b}");
            close(f.latency.saved(), now - then * (now / by_rates));
            if let Some(energy) = f.energy {
                close(energy.saved(), joules.unwrap() - then_joules.unwrap());
            }
            assert!(
                f.latency.off.iter().all(|o| *o >= 0.0 && o.is_finite()),
                "{what}"
            );
            verify(&f.remedied).unwrap_or_else(|v| panic!("{what}: {v:?}"));
            let outputs = |g: &Graph| -> Vec<(String, String)> {
                let of = |o: &_| (g.name(*o).to_owned(), g.shape(*o).to_string());
                g.outputs().iter().map(of).collect()
            };
            assert_eq!(outputs(&f.remedied).len(), outputs(&graph).len(), "{what}");
            let shapes = |g: &Graph| outputs(g).into_iter().map(|o| o.1).collect::<Vec<_>>();
            assert_eq!(shapes(&f.remedied), shapes(&graph), "{what}");
            let totals = |g: &Graph| Counts::of(g).unwrap().totals.macs;
            assert_eq!(f.macs, [totals(&graph), totals(&f.remedied)], "{what}");
            let off = f.macs[1] as f64 / f.macs[0] as f64 - 1.0;
            assert!(off.abs() <= 0.01, "{what}: {off}");
            assert!(f.guideline.name != "G4" || off == 0.0, "{what}");
            assert!(!f.nodes.is_empty(), "{what}");
            for node in &f.nodes {
                assert!(graph.names().contains(node), "{what}: {node}");
            }
            let worth = f.verdict == Verdict::Saves;
            assert!(!worth || f.latency.lo() > 0.0, "{what}");
            seen.insert(f.guideline.name);
            count += 1;
        }
        let saved: Vec<f64> = found.iter().map(|f| f.latency.saved()).collect();
        assert!(saved.is_sorted_by(|a, b| a >= b), "{name}: {saved:?}");
    }
    assert_eq!(seen.len(), GUIDELINES.len(), "{seen:?}");
    assert!(count > 300, "{count} findings");
}
