//! Every op and block of the lists: documented, its example lowers, its counts are those of the closed forms, bad
//! parameters are told of.

use blocksmith::blocks::{self, Names, OPS};
use blocksmith::cost::{Scratch as CostScratch, Totals};
use blocksmith::ir::{Graph, Shape};
use blocksmith::space::Assignment;
use blocksmith::space::signature::NodeKind;
use proptest::prelude::*;

/// A net of these nodes on an input of `c x 16 x 16`.
fn net(c: u32, nodes: &str) -> String {
    format!(
        r#"{{"format": "blocksmith/1", "name": "test", "input": [{c}, 16, 16], "net": [{nodes}]}}"#
    )
}

fn lower(text: &str) -> Result<Graph, String> {
    let told = |e: blocksmith::base::diag::Diagnostics| e.render(None);
    let (_, program) = blocks::load_arch(text).map_err(told)?;
    program
        .lower(&Assignment::empty(), Names::On)
        .map_err(|e| program.space().locate(e).render(None))
}

fn totals(graph: &Graph) -> Totals {
    Totals::of(graph, &mut CostScratch::default()).unwrap()
}

fn result(graph: &Graph) -> Shape {
    graph.shape(graph.outputs()[0])
}

fn map(c: u32, h: u32, w: u32) -> Shape {
    Shape::Map { c, h, w }
}

#[test]
fn every_entry_is_documented_and_its_example_lowers() {
    let mut names = Vec::new();
    for def in OPS.iter().chain(blocks::list(NodeKind::Block)) {
        names.push((def.kind, def.name));
        assert!(def.params.len() <= 16, "{}", def.name);
        for text in [def.doc, def.shapes, def.source, def.example] {
            assert!(!text.is_empty(), "{}", def.name);
        }
        if def.kind == NodeKind::Block {
            assert!(!def.formula.is_empty(), "{}", def.name);
        }
        let mut optional_seen = false;
        for param in def.params {
            assert!(!param.doc.is_empty(), "{}.{}", def.name, param.name);
            assert!(
                !(param.required && param.default.is_some()),
                "{}.{}",
                def.name,
                param.name
            );
            assert!(
                !(param.required && optional_seen),
                "{}.{}: required ones come first",
                def.name,
                param.name
            );
            optional_seen |= !param.required;
            if !param.required && param.default.is_none() {
                assert!(
                    param.doc.contains("Left out") || def.name == "upsample",
                    "{}.{}: what happens without it?",
                    def.name,
                    param.name
                );
            }
        }
        let example: serde_json::Value = serde_json::from_str(def.example).unwrap();
        let key = match def.kind {
            NodeKind::Op => "op",
            NodeKind::Block => "block",
        };
        assert_eq!(example[key], def.name);
        let graph = crate::draws::Draw::example(def);
        let graph = graph
            .lower()
            .unwrap_or_else(|e| panic!("{}: {e}", def.name));
        let names: std::collections::HashSet<_> = graph.ids().map(|id| graph.name(id)).collect();
        assert_eq!(
            names.len(),
            graph.nodes().len(),
            "{}: names are unique",
            def.name
        );
        let live = graph.live();
        assert!(
            live.iter().all(|l| *l),
            "{}: nothing is dead by default",
            def.name
        );
    }
    let count = names.len();
    names.sort_by_key(|n| n.1);
    names.dedup();
    assert_eq!(names.len(), count);
}

/// A block whose file is not in the list would be no block, and nothing else would say so.
#[test]
fn every_file_of_a_native_block_is_listed() {
    let listed: std::collections::BTreeSet<_> =
        blocks::BLOCKS.iter().map(|b| b.name.to_owned()).collect();
    let files = std::fs::read_dir(crate::spaces::root().join("src/blocks")).unwrap();
    let files = files.map(|entry| entry.unwrap().path()).filter(|path| {
        path.is_file() && {
            let text = std::fs::read_to_string(path).unwrap();
            text.contains("static DEF: BlockDef")
        }
    });
    let files = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(files.collect::<std::collections::BTreeSet<_>>(), listed);
}

#[test]
fn the_document_of_the_guide_works() {
    let guide = include_str!("../../docs/adding_a_block.md");
    let (_, rest) = guide.split_once("```json\n").unwrap();
    let (document, _) = rest.split_once("```").unwrap();
    lower(document).unwrap();
    let wrong = document.replace(r#""out_channels": 16"#, r#""out_channels": 20"#);
    let told = lower(&wrong).unwrap_err();
    assert!(told.contains("24 is the next that fits"), "{told}");
}

/// The message, note and hint of style.md's example.
#[test]
fn an_indivisible_width_is_told_with_its_ancestry_and_a_way_out() {
    let text = r#"{"format": "blocksmith/1", "name": "t", "input": [48, 28, 28], "vars": {"w2": 24},
      "net": [{"block": "eesp", "out_channels": "=3*w2"}]}"#;
    let told = lower(text).unwrap_err();
    assert_eq!(
        told,
        "error: eesp needs out_channels divisible by branches*branches\n  at net[0].out_channels   (line 2, column 33)\n  \
         72 % 16 is 8; out_channels is \"=3*w2\" with w2 = 24\n  hint: nearest widths that fit are 64 and 80"
    );
}

#[test]
fn a_literal_that_does_not_fit_is_told_where_it_stands() {
    let told = lower(&net(32, r#"{"block": "eesp", "out_channels": 40}"#)).unwrap_err();
    assert!(told.contains("at net[0].out_channels "), "{told}");
    assert!(
        told.contains("40 % 16 is 8\n  hint: nearest widths that fit are 32 and 48"),
        "{told}"
    );
}

#[test]
fn all_problems_of_a_document_are_told_at_once() {
    let text = net(
        32,
        r#"{"block": "osa", "out_channels": 64, "mid_channels": 16, "layer": 5},
           {"block": "oso", "out_channels": 64},
           {"op": "conv", "kernel_size": 3},
           {"op": "conv", "out_channels": 8.5, "kernel_size": [3, 3, 3]},
           {"block": "conv_bn_act", "out_channels": 8, "kernel_size": 3, "act": "reul"},
           {"op": "osa"},
           {"op": "conv", "out_channels": 0, "kernel_size": 3, "bias": 1}"#,
    );
    let told = blocks::load(&text).unwrap_err().render(None);
    for part in [
        "no key \"layer\" in block \"osa\"\n  at net[0].layer",
        "did you mean \"layers\"?",
        "there is no block \"oso\"\n  at net[1].block",
        "did you mean \"osa\"?",
        "conv needs \"out_channels\"\n  at net[2] ",
        "out_channels of conv takes a whole number from 1, got 8.5\n  at net[3].out_channels",
        "a list of 3",
        "did you mean \"relu\"?",
        "osa is a block: write {\"block\": \"osa\"}",
        "got 0\n  at net[6].out_channels",
        "bias of conv takes true or false, got 1",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    assert_eq!(told.matches("error:").count(), 9, "{told}");
}

#[test]
fn a_bad_item_of_a_choice_is_told_without_being_drawn() {
    let text = net(
        32,
        r#"{"block": "conv_bn_act", "out_channels": {"range": {"min": 0, "max": 64, "step": 16}}, "kernel_size": 3,
            "act": {"choice": ["relu", "hswsh"]}}"#,
    );
    let told = blocks::load(&text).unwrap_err().render(None);
    assert!(told.contains("net[0].act.choice[1]"), "{told}");
    assert!(told.contains("got 0"), "{told}");
}

#[test]
fn a_declared_block_may_not_take_a_built_in_name() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8], "blocks": {"osa": {"params": {}, "body": [{"op": "relu"}]}},
                   "net": [{"block": "osa"}]}"#;
    let told = blocks::load(text).unwrap_err().render(None);
    assert!(told.contains("\"osa\" is a built-in block"), "{told}");
}

#[test]
fn expansion_is_bounded() {
    let deep = net(
        3,
        r#"{"repeat": 1000000, "body": [{"repeat": 1000000, "body": [{"op": "relu"}]}]}"#,
    );
    let told = lower(&deep).unwrap_err();
    assert!(told.contains("more than"), "{told}");
    let idle = net(
        3,
        r#"{"repeat": 4000000, "body": [{"op": "relu", "repeat": 0}]}, {"repeat": 4000000, "op": "relu", "when": "false"}"#,
    );
    let told = lower(&idle).unwrap_err();
    assert!(told.contains("steps"), "{told}");
    let wide = net(
        32,
        r#"{"block": "osa", "out_channels": 8, "mid_channels": 8, "layers": 16000000}"#,
    );
    let told = lower(&wide).unwrap_err();
    assert!(told.contains("nodes"), "{told}");
}

/// OSA of the language against native OSA: the same graph but for names.
#[test]
fn osa_declared_in_json_is_native_osa() {
    let declared = |c: u32, out: u32, mid: u32, layers: u32, identity: bool, ese: bool| {
        format!(
            r#"{{"format": "blocksmith/1", "input": [{c}, 16, 16],
              "blocks": {{"my_osa": {{
                "params": {{"out": {{"type": "int"}}, "mid": {{"type": "int"}}, "layers": {{"type": "int"}},
                            "identity": {{"type": "bool"}}, "gate": {{"type": "bool"}}}},
                "body": [
                  {{"id": "y", "repeat": "=layers", "body": [
                     {{"op": "conv", "out_channels": "=mid", "kernel_size": 3}}, {{"op": "batch_norm"}}, {{"op": "relu"}}]}},
                  {{"id": "cat", "op": "concat", "from": ["in", "y[*]"]}},
                  {{"op": "conv", "out_channels": "=out", "kernel_size": 1}}, {{"op": "batch_norm"}}, {{"id": "z", "op": "relu"}},
                  {{"id": "pool", "op": "global_avg_pool", "when": "gate"}},
                  {{"id": "fc", "op": "conv", "out_channels": "=out", "kernel_size": 1, "bias": true, "when": "gate"}},
                  {{"id": "hs", "op": "hsigmoid", "when": "gate"}},
                  {{"id": "scaled", "op": "mul", "from": ["z", "hs"], "when": "gate"}},
                  {{"id": "sum", "op": "add", "from": ["scaled", "in"], "when": "identity"}}
                ]}}}},
              "net": [{{"block": "my_osa", "out": {out}, "mid": {mid}, "layers": {layers}, "identity": {identity}, "gate": {ese}}}]}}"#
        )
    };
    for (c, out, mid, layers, identity, ese) in [
        (32, 64, 24, 5, false, false),
        (64, 64, 24, 3, true, false),
        (32, 48, 16, 1, false, true),
        (64, 64, 8, 20, true, true),
    ] {
        let gate = if ese { "ese" } else { "none" };
        let native = net(
            c,
            &format!(
                r#"{{"block": "osa", "out_channels": {out}, "mid_channels": {mid}, "layers": {layers}, "identity": {identity}, "gate": "{gate}"}}"#
            ),
        );
        let a = lower(&native).unwrap();
        let b = lower(&declared(c, out, mid, layers, identity, ese)).unwrap();
        assert_eq!(
            a.fingerprint(),
            b.fingerprint(),
            "{c} {out} {mid} {layers} {identity} {ese}"
        );
    }
}

#[test]
fn dead_weights_count_as_parameters_only() {
    let node = |unused: bool| {
        let text = net(
            32,
            &format!(r#"{{"block": "eesp_down", "out_channels": 64, "unused_weights": {unused}}}"#),
        );
        totals(&lower(&text).unwrap())
    };
    let (held, plain) = (node(true), node(false));
    // prelu of 32; conv 3x3 3 to 3, its norm and prelu; conv 3 to 64, its norm
    assert_eq!(held.params - plain.params, 32 + 81 + 6 + 3 + 192 + 128);
    assert_eq!(
        (held.macs, held.n_conv, held.params_live),
        (plain.macs, plain.n_conv, plain.params_live)
    );
}

fn n(x: u32) -> u64 {
    u64::from(x)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn osa_has_the_parameters_of_its_closed_form(c in 1u32..40, out in 1u32..40, mid in 1u32..30, layers in 1u32..20) {
        let text = net(c, &format!(r#"{{"block": "osa", "out_channels": {out}, "mid_channels": {mid}, "layers": {layers}}}"#));
        let graph = lower(&text).unwrap();
        prop_assert_eq!(result(&graph), map(out, 16, 16));
        let convs = 9 * n(c) * n(mid) + 9 * n(mid) * n(mid) * n(layers - 1) + (n(c) + n(layers) * n(mid)) * n(out);
        prop_assert_eq!(totals(&graph).params, convs + 2 * n(layers) * n(mid) + 2 * n(out));
        prop_assert_eq!(totals(&graph).macs, convs * 256);
    }

    #[test]
    fn eesp_has_the_parameters_of_its_closed_form(k in 1u32..5, m in 1u32..5, width in 1u32..5, r_lim in 3u32..16) {
        let (c, out) = (k * m, k * k * width);
        let text = net(c, &format!(r#"{{"block": "eesp", "out_channels": {out}, "branches": {k}, "r_lim": {r_lim}}}"#));
        let graph = lower(&text).unwrap();
        prop_assert_eq!(result(&graph), map(out, 16, 16));
        let (c, out, k) = (n(c), n(out), n(k));
        let d = out / k;
        // grouped pw, norm and prelu of d; k depthwise; norm and prelu; grouped pw, norm; prelu
        let wanted = c * d / k + 3 * d + k * 9 * d + 3 * out + out * out / k + 2 * out + out;
        prop_assert_eq!(totals(&graph).params, wanted);
    }

    #[test]
    fn eesp_down_keeps_the_input_and_adds_the_rest(k in 1u32..5, m in 1u32..5, width in 1u32..5, side in 5u32..40, image in any::<bool>()) {
        let (c, out) = (k * m, k * m + k * k * width);
        let from = if image { r#"["x", "in"]"# } else { r#"["x"]"# };
        let text = format!(
            r#"{{"format": "blocksmith/1", "input": [3, {side}, {side}], "net": [
              {{"id": "x", "op": "conv", "out_channels": {c}, "kernel_size": 3, "stride": 2}},
              {{"block": "eesp_down", "out_channels": {out}, "branches": {k}, "from": {from}}}]}}"#);
        let graph = lower(&text).unwrap();
        let quarter = side.div_ceil(2).div_ceil(2);
        prop_assert_eq!(result(&graph), map(out, quarter, quarter));
        prop_assert!(graph.live().iter().all(|l| *l));
    }

    #[test]
    fn shuffle_units_keep_their_promise(half in 1u32..20, more in 1u32..20, stride in 1u32..4, official in any::<bool>(), k in prop::sample::select(vec![1u32, 3, 5])) {
        let c = 2 * half;
        let out = if stride == 1 { c } else { c + 2 * more };
        let form = if official { "official" } else { "torchvision" };
        let text = net(c, &format!(r#"{{"block": "shuffle_v2_unit", "out_channels": {out}, "stride": {stride}, "form": "{form}", "kernel_size": {k}}}"#));
        let graph = lower(&text).unwrap();
        prop_assert_eq!(result(&graph), map(out, 16u32.div_ceil(stride), 16u32.div_ceil(stride)));
        let (c, out, k) = (n(c), n(out), n(k));
        let branch = |a: u64, mid: u64, b: u64| a * mid + 2 * mid + k * k * mid + 2 * mid + mid * b + 2 * b;
        let left = if official { c } else { out / 2 };
        let wanted = if stride == 1 {
            branch(c / 2, c / 2, c / 2)
        } else {
            k * k * c + 2 * c + c * left + 2 * left + branch(c, out / 2, out - left)
        };
        prop_assert_eq!(totals(&graph).params, wanted);
    }

    #[test]
    fn g_ghost_stages_have_the_parameters_of_their_formula(groups in 2u32..6, gw in prop::sample::select(vec![4u32, 8, 16]), depth in 3u32..7, c in 1u32..30) {
        let out = groups * gw;
        let text = net(c, &format!(r#"{{"block": "g_ghost_stage", "out_channels": {out}, "depth": {depth}, "group_width": {gw}}}"#));
        let graph = lower(&text).unwrap();
        prop_assert_eq!(result(&graph), map(out, 8, 8));
        let (c, out, gw, depth) = (n(c), n(out), n(gw), n(depth));
        let inner = gw * 3 / 4;
        let r = out / 2 / inner * inner;
        let q = out - r;
        let block = |a: u64, w: u64, g: u64, shortcut: bool| {
            a * w + 9 * w * g + w * w + 6 * w + if shortcut { a * w + 2 * w } else { 0 }
        };
        let merge = (out + r * (depth - 2)) * q + 2 * q + q * q + 2 * q;
        let wanted = block(c, out, gw, true) + (depth - 2) * block(r, r, inner, false) + merge + q * q + 2 * q + block(out, out, gw, false);
        prop_assert_eq!(totals(&graph).params, wanted);
    }

    #[test]
    fn any_parameters_of_the_right_kind_lower_or_are_told_of(block in 0usize..blocks::list(NodeKind::Block).len(), seed in any::<u64>(), c in 1u32..64) {
        use blocksmith::space::signature::ParamKind;
        let def = blocks::list(NodeKind::Block)[block];
        let mut state = seed;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let mut fields = vec![format!(r#""block": "{}""#, def.name)];
        for param in def.params {
            if !param.required && draw(2) == 0 {
                continue;
            }
            let value = match param.kind {
                ParamKind::Int { .. } | ParamKind::Pair { .. } => draw(40).to_string(),
                ParamKind::Real { .. } => format!("{:?}", draw(100) as f64 / 80.0),
                ParamKind::Bool => (draw(2) == 0).to_string(),
                ParamKind::Word(of) => format!("{:?}", of[draw(of.len() as u64) as usize]),
            };
            fields.push(format!("{:?}: {value}", param.name));
        }
        match lower(&net(c, &format!("{{{}}}", fields.join(", ")))) {
            Ok(graph) => prop_assert!(totals(&graph).n_conv > 0 || matches!(def.name, "classifier" | "eca" | "activation" | "pick")),
            Err(told) => prop_assert!(told.contains("at net[0]"), "{}", told),
        }
    }
}

/// Writes `text` where `BLOCKSMITH_WRITE` is set, otherwise holds the file to it.
pub fn current(file: &str, text: &str) {
    let path = crate::spaces::root().join(file);
    if std::env::var_os("BLOCKSMITH_WRITE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "{file} is not what the program says: write it with BLOCKSMITH_WRITE=1 cargo test"
    );
}

#[test]
fn the_committed_reference_of_blocks_is_current() {
    current("docs/blocks.md", &blocks::markdown(NodeKind::Block));
    current("docs/ops.md", &blocks::markdown(NodeKind::Op));
}

#[test]
fn the_committed_schema_is_current() {
    let text = serde_json::to_string_pretty(&blocks::schema()).unwrap() + "\n";
    current("search_spaces/schema.json", &text);
}

/// Editors and parser agree: shipped files pass both, a file with one mistake fails both. What depends on the blocks that
/// the document declares (their names and parameters) no schema can know; the parser alone tells of it.
#[test]
fn schema_and_parser_turn_down_the_same_mistakes() {
    use serde_json::{Value, json};
    let schema = blocks::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for path in crate::spaces::shipped() {
        let text = std::fs::read_to_string(&path).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let wrong: Vec<String> = validator
            .iter_errors(&json)
            .map(|e| format!("{} at {}", e, e.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{}: {}", path.display(), wrong.join("\n"));
    }
    let base = json!({
        "format": "blocksmith/1", "name": "m", "input": [3, 32, 32],
        "vars": {"w": {"range": {"min": 16, "max": 32, "step": 16}}},
        "constraints": ["w > 8"], "budgets": {"params": 1e6},
        "blocks": {"twice": {"params": {"out": {"type": "int", "min": 1}, "gate": {"type": "word", "of": ["none", "ese"], "default": "none"}},
            "require": ["out > 2"],
            "body": [{"id": "a", "block": "conv_bn_act", "out_channels": "=out", "kernel_size": 3, "repeat": 2},
                     {"block": "ese", "when": "gate == 'ese'"}]}},
        "net": [
            {"id": "stem", "block": "conv_bn_act", "out_channels": "=w", "kernel_size": 3, "act": {"choice": ["relu", "hswish"], "weights": [2, 1]}},
            {"id": "pick", "choice": [{"as": "big", "block": "osa", "out_channels": 32, "mid_channels": 8},
                                      {"op": "max_pool", "kernel_size": 3, "stride": 2, "ceil_mode": true}]},
            {"block": "twice", "out": 24},
            {"op": "conv", "out_channels": 8, "kernel_size": [3, 1], "bias": true, "from": "pick"},
            {"block": "classifier", "classes": 10, "dropout": 0.2}]});
    assert!(validator.is_valid(&base));
    blocks::load(&base.to_string()).unwrap_or_else(|e| panic!("{e}"));
    let set = |path: &'static str, value: Value| (path, Some(value));
    let mutants = [
        set("/format", json!("blocksmith/2")),
        ("/input", None),
        ("/net", None),
        set("/net", json!([])),
        set("/input", json!([3, 32])),
        set("/input/0", json!("three")),
        set("/extra", json!(1)),
        set("/name", json!(7)),
        set("/budgets/params", json!("many")),
        set("/constraints/0", json!(5)),
        set("/vars/w", json!({"range": {"min": 16}})),
        set("/vars/w", json!({"range": {"min": 16, "max": 32, "by": 2}})),
        set(
            "/vars/w",
            json!({"dist": {"kind": "cauchy", "min": 1, "max": 2}}),
        ),
        set("/vars/w", json!({"choice": []})),
        set("/net/0/kernel", json!(3)),
        ("/net/0/out_channels", None),
        set("/net/0/out_channels", json!("wide")),
        set("/net/0/out_channels", json!(0)),
        set("/net/0/out_channels", json!(8.5)),
        set("/net/0/out_channels", json!(true)),
        set("/net/0/kernel_size", json!([3, 3, 3])),
        set("/net/0/act", json!("reul")),
        set("/net/0/act/choice/1", json!("hswsh")),
        ("/net/0/block", None),
        set("/net/0/op", json!("conv")),
        set("/net/0/repeat", json!("twice")),
        set("/net/0/repeat", json!(-1)),
        set("/net/0/vary", json!(1)),
        set("/net/0/when", json!(true)),
        set("/net/0/from", json!(3)),
        set("/net/0/id", json!("a b")),
        set("/net/1/choice", json!([])),
        set("/net/1/choice/0/layers", json!("many")),
        set("/net/1/out_channels", json!(3)),
        set("/net/3/op", json!("convolution")),
        set("/net/3/bias", json!("yes")),
        set("/net/4/dropout", json!(1.5)),
        set("/net/4/classes", json!(null)),
        set("/blocks/twice/params/out/type", json!("float")),
        set("/blocks/twice/params/out/maximum", json!(5)),
        set("/blocks/twice/params/gate/of", json!([])),
        ("/blocks/twice/body", None),
        set("/blocks/twice/body/0/act", json!("none of these")),
        set("/blocks/twice/require", json!("out > 2")),
    ];
    let mut agreed = true;
    for (path, value) in mutants {
        let mut mutant = base.clone();
        let (parent, key) = path.rsplit_once('/').unwrap();
        let parent = mutant.pointer_mut(parent).unwrap();
        match (parent, value.clone()) {
            (Value::Object(object), Some(value)) => {
                object.insert(key.to_owned(), value);
            }
            (Value::Object(object), None) => {
                object.remove(key).unwrap();
            }
            (Value::Array(list), Some(value)) => list[key.parse::<usize>().unwrap()] = value,
            _ => unreachable!(),
        }
        let (schema, parser) = (
            validator.is_valid(&mutant),
            blocks::load(&mutant.to_string()).is_ok(),
        );
        if schema || parser {
            println!("{path} = {value:?}: schema passes it: {schema}, parser passes it: {parser}");
            agreed = false;
        }
    }
    assert!(agreed);
}

#[test]
fn blocks_within_blocks_end_with_a_diagnostic() {
    let chain = |links: usize| {
        let mut blocks = vec![r#""b0": {"body": [{"op": "relu"}]}"#.to_owned()];
        blocks.extend(
            (1..links).map(|k| format!(r#""b{k}": {{"body": [{{"block": "b{}"}}]}}"#, k - 1)),
        );
        let text = format!(
            r#"{{"format": "blocksmith/1", "input": [3, 8, 8], "blocks": {{{}}}, "net": [{{"block": "b{}"}}]}}"#,
            blocks.join(", "),
            links - 1
        );
        lower(&text)
    };
    assert_eq!(chain(60).unwrap().nodes().len(), 2);
    let told = chain(300).unwrap_err();
    assert!(told.contains("deep"), "{told}");
}

/// The size of what is told stays small where one mistake is reached through many blocks.
#[test]
fn a_mistake_in_a_declared_block_names_the_use_that_led_there() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
      "blocks": {"narrow": {"params": {"width": {"type": "int"}}, "body": [{"op": "conv", "out_channels": "=width", "kernel_size": 1, "groups": "=in.c"}]}},
      "net": [{"op": "relu"}, {"block": "narrow", "width": 7}]}"#;
    let told = lower(text).unwrap_err();
    for part in [
        "conv needs out_channels divisible by groups: 7 % 3 is 1",
        "at blocks.narrow.body[0] ",
        "see net[1]: block narrow is used here with width = 7",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
}
