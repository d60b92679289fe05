//! Native blocks of families against what the papers print and against the same blocks written in JSON.

use crate::spaces::{load, root};
use blocksmith::blocks::{self, Names};
use blocksmith::cost::{Scratch, Totals};
use blocksmith::ir::Graph;
use blocksmith::space::Assignment;
use serde_json::{Value, json};

/// A net of these nodes on such an input, with blocks of its own.
fn lower(input: [u32; 3], declared: Value, nodes: Value) -> Result<Graph, String> {
    let document = json!({"format": "blocksmith/1", "name": "t", "input": input, "blocks": declared, "net": nodes});
    let told = |e: blocksmith::base::diag::Diagnostics| e.render(None);
    let (_, program) = blocks::load_arch(&document.to_string()).map_err(told)?;
    program
        .lower(&Assignment::empty(), Names::On)
        .map_err(|e| program.space().locate(e).render(None))
}

fn plain(input: [u32; 3], node: Value) -> Result<Graph, String> {
    lower(input, json!({}), json!([node]))
}

/// ShuffleNet's unit in JSON, with its parts in the order of the papers' text.
fn v1_in_json() -> Value {
    json!({"unit": {
        "params": {
            "out_channels": {"type": "int"}, "groups": {"type": "int"}, "first_groups": {"type": "int"}, "stride": {"type": "int"},
            "form": {"type": "word", "of": ["pytorchcv", "official"]}},
        "body": [
            {"id": "pw1", "block": "conv_bn_act", "out_channels": "=div(out_channels, 4)", "groups": "=first_groups", "kernel_size": 1},
            {"id": "shuffle", "op": "shuffle", "groups": "=groups", "when": "form == 'pytorchcv'"},
            {"id": "dw", "block": "conv_bn_act", "out_channels": "=div(out_channels, 4)", "groups": "=div(out_channels, 4)", "kernel_size": 3, "stride": "=stride", "act": "none"},
            {"id": "deal", "op": "shuffle", "groups": "=div(div(out_channels, 4), groups)", "when": "form == 'official'"},
            {"id": "pw2", "block": "conv_bn_act", "out_channels": "=stride == 1 ? out_channels : out_channels - in.c", "groups": "=groups", "kernel_size": 1, "act": "none"},
            {"id": "main", "op": "relu", "when": "stride > 1 && form == 'official'"},
            {"id": "pool", "from": "in", "op": "avg_pool", "kernel_size": 3, "stride": 2, "padding": 1, "when": "stride > 1"},
            {"id": "sum", "from": ["main", "pool"], "op": "add", "when": "stride == 1"},
            {"id": "cat", "from": ["sum", "pool"], "op": "concat", "when": "stride > 1 && form == 'pytorchcv'"},
            {"id": "relu", "op": "relu", "when": "stride == 1 || form == 'pytorchcv'"},
            {"id": "cat_pool_first", "from": ["relu", "pool"], "when": "stride > 1 && form == 'official'", "body": [{"id": "cat", "op": "concat", "from": ["in[1]", "in[0]"]}]}]}})
}

#[test]
fn shuffle_v1_units_are_those_written_in_json() {
    for form in ["official", "pytorchcv"] {
        for (c, out, groups, first, stride) in [
            (24, 240, 3, 1, 2),
            (240, 240, 3, 3, 1),
            (240, 480, 3, 3, 2),
            (16, 192, 8, 1, 2),
            (192, 192, 8, 8, 1),
        ] {
            let node = |block: &str| json!([{"block": block, "out_channels": out, "groups": groups, "first_groups": first, "stride": stride, "form": form}]);
            let native = lower([c, 15, 22], json!({}), node("shuffle_v1_unit")).unwrap();
            let declared = lower([c, 15, 22], v1_in_json(), node("unit")).unwrap();
            assert_eq!(native.fingerprint(), declared.fingerprint(), "{form} {out}");
        }
    }
}

/// The full-width blocks of a G-Ghost stage are those of the shipped ResNets.
#[test]
fn hosts_of_ghost_stages_are_resnets_blocks() {
    for (host, in_1x1, block) in [
        (
            "basic",
            false,
            json!({"block": "resnet_basic", "out_channels": 64, "stride": 2}),
        ),
        (
            "bottleneck",
            false,
            json!({"block": "resnet_bottleneck", "mid_channels": 16, "stride": 2}),
        ),
        (
            "bottleneck",
            true,
            json!({"block": "resnet_bottleneck", "mid_channels": 16, "stride": 2, "stride_in_1x1": true}),
        ),
    ] {
        let wanted = plain([24, 15, 22], block).unwrap();
        let stage = json!({"block": "g_ghost_stage", "out_channels": 64, "depth": 3, "host": host, "stride_in_1x1": in_1x1, "form": "vega"});
        let stage = plain([24, 15, 22], stage).unwrap();
        // the stage starts with one
        let ops = |graph: &Graph| -> Vec<String> {
            let nodes = graph.nodes().iter().take(wanted.nodes().len());
            nodes.map(|n| format!("{:?} {:?}", n.op, n.shape)).collect()
        };
        assert_eq!(ops(&stage), ops(&wanted), "{host}");
    }
}

/// Multiply-adds that ShuffleNetV2's table 6 prints.
#[test]
fn the_deep_shufflenet_has_the_papers_total() {
    let (space, program) =
        load(&root().join("search_spaces/reference/shufflenet_v2_variants.json"));
    for form in ["official", "torchvision"] {
        let set = json!({"model": "v2_50", "form": form, "se_reduction": 0, "residual": false, "extra_dw": false});
        let assignment = space.assignment_from_json(&set).unwrap();
        let graph = program.lower(&assignment, Names::Off).unwrap();
        let macs = Totals::of(&graph, &mut Scratch::default()).unwrap().macs;
        assert_eq!((macs + 50_000_000) / 100_000_000, 23, "{form}: {macs}");
    }
}

/// At the sizes of a 224 x 224 image the paper's rule gives the dilations of the code's list, 7x7 included.
#[test]
fn the_papers_receptive_field_rule_agrees_with_the_list() {
    for (block, side, r_lim) in [
        ("eesp_down", 112, 13),
        ("eesp_down", 56, 11),
        ("eesp", 28, 9),
        ("eesp_down", 28, 9),
        ("eesp", 14, 7),
        ("eesp_down", 14, 7),
        ("eesp", 7, 5),
    ] {
        let unit = |rule: Value| {
            let mut node =
                json!({"block": block, "out_channels": if block == "eesp" { 64 } else { 128 }});
            node.as_object_mut()
                .unwrap()
                .extend(rule.as_object().unwrap().clone());
            plain([64, side, side], node).unwrap().fingerprint()
        };
        let paper = unit(json!({"r_lim_rule": "paper"}));
        assert_eq!(paper, unit(json!({"r_lim": r_lim})), "{block} at {side}");
        if side == 7 {
            assert_eq!(paper, unit(json!({"r_lim": 6})));
            assert_ne!(paper, unit(json!({"r_lim": 7})));
        }
    }
}

/// ESP's convolutions weigh 7.14 times as much with 240 channels, 4 branches and groups: 240 60 + 9 60 60 4 weights.
#[test]
fn both_forms_of_eesp_weigh_what_the_paper_says() {
    for (block, branches_pw) in [("eesp_a", true), ("eesp", false)] {
        let graph = plain([240, 28, 28], json!({"block": block})).unwrap();
        let t = Totals::of(&graph, &mut Scratch::default()).unwrap();
        let weights = t.macs_conv / (28 * 28);
        assert_eq!(weights, 240 * 60 / 4 + (9 + 60) * 60 * 4, "{block}");
        assert_eq!(144_000 * 100 / weights, 714, "{block}");
        assert_eq!(t.n_conv, if branches_pw { 9 } else { 6 }, "{block}");
    }
}

#[test]
fn blocks_that_cannot_be_made_say_what_would_fit() {
    for (node, wanted) in [
        (
            json!({"block": "shuffle_v1_unit", "out_channels": 100, "groups": 4, "stride": 2}),
            "a bottleneck's width divisible by groups",
        ),
        (
            json!({"block": "shuffle_v1_unit", "out_channels": 30, "groups": 1, "stride": 2}),
            "divisible by reduction",
        ),
        (
            json!({"block": "shuffle_v1_unit", "out_channels": 32, "groups": 4, "stride": 2}),
            "out_channels less the input's width divisible by groups",
        ),
        (
            json!({"block": "g_ghost_stage", "out_channels": 64, "depth": 3}),
            "group_width with host regnetx",
        ),
        (
            json!({"block": "g_ghost_stage", "out_channels": 66, "depth": 3, "host": "bottleneck"}),
            "nearest widths that fit are 64 and 68",
        ),
        (
            json!({"block": "g_ghost_stage", "out_channels": 8, "depth": 3, "host": "bottleneck", "cheap_ratio": 0.9}),
            "leaves no whole group",
        ),
        (
            json!({"block": "g_ghost_stage", "out_channels": 8, "depth": 2, "host": "basic"}),
            "depth",
        ),
        (
            json!({"block": "shuffle_v2_unit", "out_channels": 30, "form": "official"}),
            "above the input's width",
        ),
    ] {
        let told = plain([32, 16, 16], node.clone()).unwrap_err();
        assert!(told.contains(wanted), "{node}: {told}");
    }
}
