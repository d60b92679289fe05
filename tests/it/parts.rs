//! A net put together from memorised parts costs, to the bit, what its whole graph costs.

use crate::spaces::{load, shipped};
use blocksmith::base::rng;
use blocksmith::blocks;
use blocksmith::device::{BUILT_IN, DeviceModel};
use blocksmith::search::evaluate::{Costs, Scratch};
use blocksmith::space::ast::Source;
use blocksmith::space::{Assignment, Draws};

/// All shipped devices: every set of fusing rules is among them. Two of them at batches, too.
fn devices() -> Vec<DeviceModel> {
    let find = |name: &str| DeviceModel::find(name).unwrap();
    let batches = [("rtx3090-torch", 64), ("pi5-onnx", 3)];
    let batches = batches.map(|(name, batch)| find(name).at_batch(batch));
    BUILT_IN
        .iter()
        .map(|p| find(p.name))
        .chain(batches)
        .collect()
}

/// Equal for missing values too.
fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// How many of so many draws the parts could tell; those must equal the whole, and so must what a search is told.
fn told(program: &blocks::Program, devices: &[DeviceModel], draws: u64, name: &str) -> u64 {
    let costs = Costs::new(program, devices);
    // one that forgets nothing, and one that knows nothing
    let (mut warm, mut search, mut told) = (Scratch::default(), Scratch::default(), 0);
    for k in 0..draws {
        let mut rng = rng::stream(11, "parts", k);
        let Ok(assignment) = program.space().sample(&mut rng) else {
            continue;
        };
        let whole = costs.of_whole(&assignment, 1, &mut Scratch::default());
        // the second time from memory, be it a net that does not come apart
        for _ in 0..2 {
            let found = costs.of(&assignment, 1, &mut search);
            assert_eq!(found.is_ok(), whole.is_ok(), "{name} {k}");
            if let (Ok((print, values)), Ok((wanted_print, wanted))) = (found, &whole) {
                assert_eq!(
                    (print, bits(&values)),
                    (*wanted_print, bits(wanted)),
                    "{name} {k}"
                );
            }
        }
        let Some((print, values)) = costs.of_parts(&assignment, 1, &mut warm) else {
            continue;
        };
        let (wanted_print, wanted) =
            whole.unwrap_or_else(|e| panic!("{name}: parts of a net that cannot be built: {e}"));
        let at = program.space().assignment_to_json(&assignment);
        assert_eq!(
            bits(&values),
            bits(&wanted),
            "{name} {at}: {values:?} {wanted:?}"
        );
        assert_eq!(print, wanted_print, "{name} {at}");
        told += 1;
    }
    told
}

#[test]
fn every_shipped_space_costs_the_same_part_by_part() {
    let devices = devices();
    for path in shipped() {
        let (_, program) = load(&path);
        let name = path.file_stem().unwrap().to_str().unwrap();
        let draws = if path.parent().unwrap().ends_with("reference") {
            30
        } else {
            400
        };
        let told = told(&program, &devices, draws, name);
        println!("{name}: {told} of {draws}");
        // left to the whole graph: nets whose edges may all be zero, and one whose first value is a pool of the image,
        // which equal ones could join; some have several inputs or outputs
        let ast = program.space().ast();
        let one = ast.inputs.len() == 1 && matches!(ast.outputs.as_slice(), [Source::Node(_)]);
        let comes_apart = one && !["nasbench201", "espnet_c"].contains(&name);
        if comes_apart {
            assert_eq!(told, draws, "{name}");
        }
    }
}

/// After so many draws what did not pay is no longer kept, and other paths are taken.
#[test]
fn long_searches_cost_the_same() {
    let devices = devices();
    for name in ["cifar_mixed", "nasbench201"] {
        let path = shipped();
        let path = path.iter().find(|p| p.ends_with(format!("{name}.json")));
        let (_, program) = load(path.unwrap());
        let costs = Costs::new(&program, &devices[..2]);
        let (mut warm, mut drawn) = (Scratch::default(), Assignment::default());
        let mut draws = Draws::default();
        for k in 0..17_000 {
            let mut rng = rng::stream(12, "long", k);
            (program.space())
                .sample_into(&mut rng, &mut draws, &mut drawn)
                .unwrap();
            let (print, values) = costs.of(&drawn, 0, &mut warm).unwrap();
            if k % 200 == 199 {
                let whole = costs.of_whole(&drawn, 0, &mut Scratch::default());
                let (wanted_print, wanted) = whole.unwrap();
                let found = (print, bits(&values));
                assert_eq!(found, (wanted_print, bits(&wanted)), "{name} {k}");
            }
        }
    }
}

/// Documents with all that a part could depend on: seams that kernels reach over, holes shared and varied, `i`, the
/// input's size, conditions, blocks with holes inside, skips over the top level, nodes that no output needs.
#[test]
fn hostile_spaces_cost_the_same_part_by_part() {
    let net = |vars: &str, blocks: &str, input: &str, net: &str| {
        format!(
            r#"{{"format": "blocksmith/1", "name": "t", "input": {input}, "vars": {{{vars}}}, "blocks": {{{blocks}}}, "net": [{net}]}}"#
        )
    };
    let spaces = [
        // norm and activation join the convolution before them, across top-level nodes
        net(
            r#""w": {"choice": [8, 16]}"#,
            "",
            "[3, 33, 17]",
            r#"{"op": "conv", "out_channels": "=w", "kernel_size": {"choice": [1, 3]}, "padding": 1}, {"op": "batch_norm"},
               {"op": "relu", "when": "w > 8"}, {"op": "dropout", "p": 0.1}, {"op": "relu"}, {"op": "relu", "repeat": {"choice": [0, 1, 2]}}"#,
        ),
        // a varied repeat whose copies read `i`, in a body, under a condition
        net(
            r#""w": {"choice": [8, 16]}, "deep": {"choice": [true, false]}"#,
            "",
            "[3, 32, 32]",
            r#"{"block": "conv_bn_act", "out_channels": "=w", "kernel_size": 3},
               {"repeat": {"range": {"min": 0, "max": 4}}, "vary": true, "body": [
                  {"block": "conv_bn_act", "out_channels": {"choice": [8, "=8*(i + 1)"]}, "kernel_size": {"choice": [1, 3, 5]}},
                  {"block": "ese", "when": "deep"},
                  {"choice": [{"op": "relu"}, {"as": "more", "repeat": {"choice": [1, 2]}, "block": "conv_bn_act", "out_channels": 8, "kernel_size": 1}]}]},
               {"op": "conv", "out_channels": 8, "kernel_size": 1, "repeat": "=deep ? 2 : 1"}"#,
        ),
        // the input's size is a decision; a skip over two nodes; a node that no output needs
        net(
            r#""size": {"choice": [16, 24]}"#,
            "",
            r#"[3, "=size", {"choice": [8, 32]}]"#,
            r#"{"id": "a", "block": "conv_bn_act", "out_channels": 8, "kernel_size": 3},
               {"id": "b", "op": "conv", "out_channels": 8, "kernel_size": {"choice": [1, 3]}, "padding": "=0"},
               {"id": "dead", "block": "conv_bn_act", "from": "a", "out_channels": {"choice": [4, 8]}, "kernel_size": 1},
               {"id": "c", "op": "conv", "from": "a", "out_channels": 8, "kernel_size": {"choice": [1, 3]}},
               {"id": "d", "op": "add", "from": ["c", "a"], "when": "size < 0"},
               {"id": "e", "op": "relu", "from": "c"},
               {"block": "classifier", "classes": {"choice": [10, 100]}}"#,
        ),
        // a declared block with a hole of its own, used twice, and all copies of a repeat read later
        net(
            "",
            r#""b": {"params": {"n": {"type": "int", "min": 1}}, "body": [
                {"id": "l", "block": "conv_bn_act", "out_channels": {"choice": [8, "=n"]}, "kernel_size": {"choice": [1, 3]}, "repeat": {"choice": [1, 2]}},
                {"op": "concat", "from": ["in", "l[*]"]}]}"#,
            "[4, 20, 20]",
            r#"{"block": "b", "n": 16}, {"block": "b", "n": {"choice": [4, 12]}},
               {"id": "r", "block": "conv_bn_act", "out_channels": 8, "kernel_size": 1, "repeat": {"range": {"min": 1, "max": 3}}, "vary": true, "act": {"choice": ["relu", "hswish"]}},
               {"op": "concat", "from": ["r[*]"]}, {"op": "zero", "when": "false"}, {"op": "sigmoid"}"#,
        ),
        // declared blocks within blocks: parameters from decisions and sizes, defaults, requirements, `i` of two
        // repeats, conditions, choices and varied copies inside, a norm that joins across the block's border
        net(
            r#""w": {"choice": [8, 12, 16]}, "n": {"range": {"min": 1, "max": 4}}, "act": {"choice": ["relu", "hswish"]}"#,
            r#""unit": {"params": {"c": {"type": "int", "min": 8, "max": 24}, "last": {"type": "bool"},
                                 "k": {"type": "int", "min": 1, "default": "=in.c > 8 ? 3 : 1"}, "act": {"type": "word", "of": ["relu", "hswish"]},
                                 "x": {"type": "real", "min": 0, "default": 0.5}},
                        "require": ["c % 4 == 0", "in.h > 1 || !last"],
                        "body": [
                          {"op": "batch_norm", "when": "last"},
                          {"block": "conv_bn_act", "out_channels": "=c", "kernel_size": "=k", "act": "=act", "stride": "=in.h > 8 ? 2 : 1"},
                          {"choice": [{"block": "ese"}, {"as": "no", "op": "dropout", "p": 0.1}, {"as": "two", "body": [{"id": "r", "op": "relu"}, {"op": "add", "from": ["in", "r"]}]}]},
                          {"repeat": {"range": {"min": 0, "max": 2}}, "vary": true, "body": [{"block": "conv_bn_act", "out_channels": "=c + 4*i", "kernel_size": {"choice": [1, 3]}}]}]},
               "stage": {"params": {"c": {"type": "int", "min": 1}, "units": {"type": "int", "min": 0}, "act": {"type": "word", "of": ["relu", "hswish"]}},
                         "body": [
                           {"id": "u", "block": "unit", "repeat": "=units", "c": "=c + (i > 1 ? 4 : 0)", "last": "=i == units - 1", "act": "=act"},
                           {"op": "max_pool", "kernel_size": 2, "stride": 2, "when": "in.c < 16"},
                           {"block": "unit", "c": "=in.c", "k": 1, "last": false, "act": "relu", "when": "units % 2 == 0"}]}"#,
            "[8, 32, 32]",
            r#"{"op": "conv", "out_channels": 8, "kernel_size": 3}, {"block": "stage", "c": "=w", "units": "=n", "act": "=act"},
               {"block": "stage", "c": "=in.c", "units": {"choice": [0, 1, 3]}, "act": "=act", "repeat": {"choice": [1, 2]}},
               {"block": "stage", "c": "=w + 4*i", "units": 1, "act": "relu", "repeat": 2},
               {"op": "conv", "out_channels": "=w", "kernel_size": 1}"#,
        ),
        // one set of weights over several sources, which lie before and behind seams; several results of one node
        net(
            r#""w": {"choice": [8, 16]}"#,
            "",
            "[4, 24, 24]",
            r#"{"id": "a", "block": "conv_bn_act", "out_channels": "=w", "kernel_size": 3},
               {"id": "b", "block": "conv_bn_act", "out_channels": "=w", "kernel_size": {"choice": [1, 3]}, "stride": 2},
               {"id": "one", "over": "b", "op": "conv", "out_channels": "=w", "kernel_size": {"choice": [1, 3]}},
               {"id": "two", "over": ["a", "one"], "block": "conv_bn_act", "out_channels": {"choice": [4, 12]}, "kernel_size": 3},
               {"id": "f", "block": "fpn", "from": "two[*]", "out_channels": {"choice": [4, 8]}, "extra": "pool"},
               {"id": "g", "body": [{"id": "h", "over": "in[*]", "op": "global_avg_pool"}], "from": "f[*]"},
               {"id": "s", "op": "add", "from": "g[*]"}, {"op": "relu"}, {"op": "conv", "out_channels": 3, "kernel_size": 1}"#,
        ),
        // the image as a second input: pools of it that merge across parts, in declared blocks and choices, by itself, as
        // large as the value, or not at all; its size and the first node are decisions
        net(
            r#""s": {"choice": [16, 32]}, "w": {"choice": [3, 8]}"#,
            r#""down": {"params": {"c": {"type": "int", "min": 1}, "img": {"type": "bool"}, "deep": {"type": "int", "min": 0}},
                       "body": [
                         {"id": "m", "block": "conv_bn_act", "out_channels": "=c", "kernel_size": 3, "stride": 2, "from": "in"},
                         {"id": "p", "op": "avg_pool", "kernel_size": 3, "stride": 2, "padding": 1, "from": "in[1]", "repeat": "=deep", "when": "img"},
                         {"id": "q", "op": "conv", "out_channels": "=c", "kernel_size": 1, "from": "p", "when": "img"},
                         {"id": "a", "op": "add", "from": ["m", "q"], "when": "img"},
                         {"op": "relu", "from": "a"}]},
               "two": {"params": {"c": {"type": "int", "min": 1}, "deep": {"type": "int", "min": 1}},
                      "body": [{"id": "k", "block": "conv_bn_act", "out_channels": "=c", "kernel_size": 1, "from": "in"},
                               {"block": "down", "c": "=c", "img": true, "deep": "=deep", "from": ["k", "in[1]"]}]}"#,
            r#"[3, "=s", "=s"]"#,
            r#"{"id": "a", "block": "conv_bn_act", "out_channels": "=w", "kernel_size": 3, "when": "w > 3"},
               {"id": "b", "block": "down", "c": "=w", "img": {"choice": [true, false]}, "deep": 1, "from": ["a", "in"]},
               {"id": "c", "from": ["b", "in"], "choice": [
                 {"as": "one", "block": "down", "from": ["in", "in[1]"], "c": 6, "img": true, "deep": 2},
                 {"as": "two", "block": "two", "c": 6, "deep": 2},
                 {"as": "none", "block": "conv_bn_act", "from": "in", "out_channels": {"choice": [6, 8]}, "kernel_size": 3, "stride": 2},
                 {"as": "mixed", "body": [{"id": "x", "op": "relu", "from": "in"}, {"id": "y", "op": "max_pool", "kernel_size": 4, "stride": 4, "padding": 0, "from": "in[1]"}, {"id": "z", "op": "max_pool", "kernel_size": 3, "stride": 2, "padding": 1, "from": "x"}, {"op": "concat", "from": ["z", "y"]}]}]},
               {"id": "d", "op": "conv", "out_channels": 8, "kernel_size": 3},
               {"id": "e", "op": "avg_pool", "kernel_size": 3, "stride": 2, "padding": 1, "from": "in"},
               {"id": "f", "op": "avg_pool", "kernel_size": 3, "stride": 2, "padding": 1},
               {"id": "g", "op": "concat", "from": ["d", "f"]},
               {"id": "h", "op": "conv", "out_channels": 4, "kernel_size": 1}"#,
        ),
        // the image before the value in the walk, under another name, and read last of all by a node that nobody needs
        net(
            r#""first": {"choice": [true, false]}"#,
            "",
            "[4, 16, 16]",
            r#"{"id": "n", "op": "dropout", "p": 0.1, "when": "first"},
               {"id": "a", "op": "relu", "repeat": {"choice": [0, 1]}},
               {"id": "b", "op": "conv", "out_channels": {"choice": [4, 8]}, "kernel_size": 3},
               {"id": "c", "op": "relu", "from": "in"},
               {"id": "d", "choice": [{"op": "concat", "from": ["in", "in[1]"]}, {"op": "concat", "from": ["in[1]", "in"]}, {"as": "only", "op": "relu", "from": "in"}, {"as": "image", "op": "relu", "from": "in[1]"}], "from": ["b", "in"]},
               {"id": "e", "op": "conv", "out_channels": 4, "kernel_size": 1},
               {"id": "dead", "op": "conv", "out_channels": 4, "kernel_size": 3, "from": "in"},
               {"id": "f", "op": "add", "from": ["e", "in"]},
               {"id": "g", "op": "relu", "repeat": {"choice": [1, 2]}},
               {"id": "h", "op": "mul", "from": ["g", "in"], "when": "first"}"#,
        ),
        // zeros, and sums that join the convolution before them
        net(
            "",
            "",
            "[4, 9, 9]",
            r#"{"choice": [{"op": "zero"}, {"op": "conv", "out_channels": 4, "kernel_size": 1}, {"as": "same", "op": "dropout", "p": 0.2}]},
               {"id": "s", "body": [{"op": "conv", "out_channels": 4, "kernel_size": {"choice": [1, 3]}, "padding": 0},
                                    {"op": "conv", "out_channels": 4, "kernel_size": 1}]},
               {"choice": [{"op": "add", "from": ["in", "in"]}, {"op": "relu"}, {"op": "batch_norm"}, {"op": "mul", "from": ["in", "in"]}]},
               {"op": "conv", "out_channels": 2, "kernel_size": 1}"#,
        ),
    ];
    let devices = devices();
    let mut all = 0;
    for (k, text) in spaces.iter().enumerate() {
        let (_, program) = blocks::load(text).unwrap_or_else(|e| panic!("{k}: {}", e.render(None)));
        let told = told(&program, &devices, 300, &k.to_string());
        println!("{k}: {told} of 300");
        all += told;
    }
    assert!(all > 1000, "{all}");
}
