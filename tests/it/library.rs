//! Shipped blocks: the same as if the document declared them, and told of at the document's node.

use blocksmith::blocks::{self, Names};
use blocksmith::ir::Graph;
use blocksmith::space::Assignment;
use blocksmith::space::signature::NodeKind;
use serde_json::{Map, Value, json};

fn lower(text: &str) -> Result<Graph, String> {
    let told = |e: blocksmith::base::diag::Diagnostics| e.render(None);
    let (_, program) = blocks::load_arch(text).map_err(told)?;
    program
        .lower(&Assignment::empty(), Names::On)
        .map_err(|e| program.space().locate(e).render(None))
}

fn document(c: u32, declared: Map<String, Value>, nodes: &[Value]) -> String {
    json!({"format": "blocksmith/1", "input": [c, 16, 16], "blocks": declared, "net": nodes})
        .to_string()
}

fn net(c: u32, nodes: &[Value]) -> String {
    document(c, Map::new(), nodes)
}

/// The files of all shipped blocks, as a document would declare them.
fn shipped() -> Map<String, Value> {
    let folder = crate::spaces::root().join("src/blocks/library");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        (name, serde_json::from_str(&text).unwrap())
    };
    files.iter().map(read).collect()
}

/// A renamed copy of every shipped block, its uses of others included.
fn renamed(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object
                .iter()
                .map(|(key, value)| match value {
                    Value::String(name) if key == "block" && shipped().contains_key(name) => {
                        (key.clone(), json!(format!("my_{name}")))
                    }
                    _ => (key.clone(), renamed(value)),
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(renamed).collect()),
        other => other.clone(),
    }
}

#[test]
fn each_file_is_in_the_list_and_the_other_way_round() {
    let listed: std::collections::BTreeSet<String> = blocks::describe()
        .iter()
        .filter(|b| b.declaration.is_some())
        .map(|b| b.name.to_owned())
        .collect();
    let files: std::collections::BTreeSet<String> = shipped().keys().cloned().collect();
    assert_eq!(listed, files);
}

#[test]
fn a_shipped_block_is_the_same_block_declared_in_the_document() {
    let declared: Map<String, Value> = shipped()
        .iter()
        .map(|(name, block)| (format!("my_{name}"), renamed(block)))
        .collect();
    for (name, block) in shipped() {
        let node = &block["example"];
        let a =
            lower(&net(32, std::slice::from_ref(node))).unwrap_or_else(|e| panic!("{name}: {e}"));
        let b = lower(&document(32, declared.clone(), &[renamed(node)]))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(a.fingerprint(), b.fingerprint(), "{name}");
        let names = |g: &Graph| g.ids().map(|id| g.name(id).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&a), names(&b), "{name}");
    }
}

/// A file that was written before the program shipped a block of that name means what it meant.
#[test]
fn a_block_of_the_document_goes_before_a_shipped_one() {
    let own = json!({"ghost_module": {"params": {"width": {"type": "int"}}, "body": [{"op": "conv", "out_channels": "=width", "kernel_size": 1}]}});
    let graph = lower(&document(
        3,
        own.as_object().unwrap().clone(),
        &[json!({"block": "ghost_module", "width": 7})],
    ))
    .unwrap();
    assert_eq!(graph.shape(graph.outputs()[0]).channels(), 7);
    // shipped blocks do not see the document's
    let own = json!({"ghost_module": {"body": [{"op": "relu"}]}});
    let node = json!({"block": "ghost_bottleneck", "mid_channels": 8, "out_channels": 4});
    let a = lower(&document(
        3,
        own.as_object().unwrap().clone(),
        std::slice::from_ref(&node),
    ))
    .unwrap();
    let b = lower(&net(3, &[node])).unwrap();
    assert_eq!(a.fingerprint(), b.fingerprint());
}

#[test]
fn what_does_not_fit_in_a_shipped_block_is_told_at_the_node() {
    let text = r#"{"format": "blocksmith/1", "input": [32, 16, 16], "vars": {"k": 4},
      "net": [{"op": "relu"}, {"block": "ghost_bottleneck", "mid_channels": 64, "kernel_size": "=k"}]}"#;
    assert_eq!(
        lower(text).unwrap_err(),
        "error: block ghost_bottleneck requires kernel_size % 2 == 1\n  at net[1].kernel_size   (line 2, column 81)\n  \
         kernel_size is \"=k\" with k = 4\n  here kernel_size = 4\n  \
         within the shipped block ghost_bottleneck, at ghost_bottleneck.require[0].that\n  \
         hint: an odd kernel steps alike on both ways: 3 or 5"
    );
    // keys, kinds and ranges are told of like those of native blocks
    let told = lower(&net(
        3,
        &[
            json!({"block": "ghost_botleneck", "mid_channels": 8}),
            json!({"block": "ghost_bottleneck", "mid_channel": 8}),
            json!({"block": "ghost_module", "out_channels": 8, "act": "reul", "ratio": 1}),
        ],
    ))
    .unwrap_err();
    for part in [
        "there is no block \"ghost_botleneck\"\n  at net[0].block",
        "did you mean \"ghost_bottleneck\"?",
        "no key \"mid_channel\" in block \"ghost_bottleneck\"",
        "did you mean \"mid_channels\"?",
        "ghost_bottleneck needs \"mid_channels\"",
        "did you mean \"relu\"?",
        "ratio of ghost_module takes a whole number from 2, got 1",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
}

#[test]
fn shipped_blocks_leave_nothing_to_decide_and_say_what_they_are() {
    let document = document(3, shipped(), &[json!({"op": "relu"})]);
    let (space, _) = blocks::load(&document).unwrap();
    assert_eq!(space.decisions().len(), 0);
    for (name, _) in shipped() {
        let def = blocks::find(NodeKind::Block, &name).unwrap();
        assert!(def.params.len() <= 16, "{name}");
    }
}

/// Defaults over the input and the parameters before.
#[test]
fn a_default_may_be_an_expression() {
    let declared = json!({"wide": {
        "params": {
            "out_channels": {"type": "int", "min": 1, "max": 64, "default": "=in.c"},
            "mid_channels": {"type": "int", "min": 1, "default": "=2*out_channels"},
            "act": {"type": "word", "of": ["relu", "silu"], "default": "=mid_channels > 40 ? 'silu' : 'relu'"}},
        "body": [{"block": "conv_bn_act", "out_channels": "=mid_channels", "kernel_size": 1, "act": "=act"},
                 {"op": "conv", "out_channels": "=out_channels", "kernel_size": 1}]}});
    let declared = declared.as_object().unwrap();
    let graph = |node: Value| lower(&document(16, declared.clone(), &[node]));
    let text = |node: Value| graph(node).unwrap().to_string();
    let plain = text(json!({"block": "wide"}));
    assert_eq!(
        plain,
        text(json!({"block": "wide", "out_channels": 16, "mid_channels": 32, "act": "relu"}))
    );
    assert_eq!(
        text(json!({"block": "wide", "out_channels": 24})),
        text(json!({"block": "wide", "out_channels": 24, "mid_channels": 48, "act": "silu"}))
    );
    // copies of a repeat each see their own input
    let chain = graph(json!({"block": "wide", "mid_channels": "=in.c + 1", "repeat": 3})).unwrap();
    assert_eq!(chain.shape(chain.outputs()[0]).channels(), 16);
    let told = lower(&document(65, declared.clone(), &[json!({"block": "wide"})])).unwrap_err();
    assert!(
        told.contains("\"out_channels\" is at most 64, not 65\n  at net[0]"),
        "{told}"
    );
    assert!(
        told.contains("out_channels is \"=in.c\" with in.c = 65"),
        "{told}"
    );
}

#[test]
fn a_default_sees_the_parameters_before_it_only() {
    let declared = json!({"b": {"params": {"a": {"type": "int", "default": "=z"}, "z": {"type": "int", "default": 1}}, "body": [{"op": "relu"}]}});
    let told = lower(&document(
        3,
        declared.as_object().unwrap().clone(),
        &[json!({"block": "b"})],
    ))
    .unwrap_err();
    assert!(told.contains("at blocks.b.params.a.default"), "{told}");
    assert_eq!(told.matches("error:").count(), 1, "{told}");
}

#[test]
fn a_requirement_says_what_would_fit() {
    let declared = json!({"even": {
        "params": {"width": {"type": "int", "min": 2}},
        "require": ["width < 100", {"that": "width % 8 == 0", "hint": "nearest widths: {div(width, 8)*8} and {div(width, 8)*8 + 8}"}],
        "body": [{"op": "conv", "out_channels": "=width", "kernel_size": 1}]}});
    let declared = declared.as_object().unwrap().clone();
    let told = |width: u32| {
        lower(&document(
            3,
            declared.clone(),
            &[json!({"block": "even", "width": width})],
        ))
        .unwrap_err()
    };
    assert!(
        told(20).contains("block even requires width % 8 == 0\n  at net[0]"),
        "{}",
        told(20)
    );
    assert!(
        told(20).contains("hint: nearest widths: 16 and 24"),
        "{}",
        told(20)
    );
    assert!(told(100).contains("requires width < 100"), "{}", told(100));
    for (rule, wrong) in [
        (
            json!({"that": "width > 1", "hint": "{width"}),
            "a brace is not closed",
        ),
        (
            json!({"that": "width > 1", "hint": "{with}"}),
            "did you mean \"width\"?",
        ),
        (json!({"hint": "none"}), "has no \"that\""),
        (json!({"that": "width > 1", "why": "x"}), "no key \"why\""),
        (json!(5), "expected an expression"),
    ] {
        let mut declared = declared.clone();
        declared["even"]["require"] = json!([rule]);
        let told = blocks::load(&document(3, declared, &[json!({"op": "relu"})]))
            .unwrap_err()
            .render(None);
        assert!(told.contains(wrong), "{wrong:?} is missing in\n{told}");
    }
}

fn counts(text: &str) -> blocksmith::cost::Totals {
    let graph = lower(text).unwrap_or_else(|e| panic!("{e}"));
    blocksmith::ir::verify::verify(&graph).unwrap();
    blocksmith::cost::Totals::of(&graph, &mut blocksmith::cost::Scratch::default()).unwrap()
}

/// The parameters of one shipped block on an input of `c` channels.
fn params(c: u32, node: Value) -> u64 {
    counts(&net(c, &[node])).params
}

/// Eq. 1 of VoVNet's paper over all convolutions: the paper's 3.7 M.
#[test]
fn densenet_40_moves_what_the_papers_arithmetic_says() {
    let layer =
        |repeat| json!({"block": "dense_layer", "growth": 12, "bottleneck": 0, "repeat": repeat});
    let transition = json!({"block": "dense_transition", "theta": 1});
    let block = json!({"block": "dense_block", "growth": 12, "bottleneck": 0, "layers": 12});
    let stem = json!({"op": "conv", "out_channels": 16, "kernel_size": 3});
    let head = [
        json!({"op": "batch_norm"}),
        json!({"op": "relu"}),
        json!({"block": "classifier", "classes": 10}),
    ];
    let net = |nodes: &[Value]| {
        let nodes = [nodes, &head].concat();
        counts(&json!({"format": "blocksmith/1", "input": [3, 32, 32], "net": nodes}).to_string())
    };
    let whole = net(&[
        stem.clone(),
        layer(12),
        transition.clone(),
        layer(12),
        transition.clone(),
        block,
    ]);
    assert_eq!(whole.mem_access_elems, 3_679_504);
    assert_eq!(whole.params, 1_019_722);
    // stem, first block, first transition
    assert_eq!(net(std::slice::from_ref(&stem)).mem_access_elems, 19_888);
    assert_eq!(
        net(&[stem.clone(), layer(12)]).mem_access_elems,
        19_888 + 1_261_344
    );
    assert_eq!(
        net(&[stem, layer(12), transition]).mem_access_elems,
        19_888 + 1_261_344 + 353_280
    );
    // and the file of it
    let set = json!({"depth": 40, "bottleneck": false, "form": "paper"});
    let (file, _) = crate::oracle::Loaded::default().count("densenet_cifar.json", &set);
    assert_eq!((file.mem_access_elems, file.params), (3_679_504, 1_019_722));
}

/// Closed forms of blocks.md, norms (two a channel) and PReLU (one) included.
#[test]
fn shipped_blocks_have_the_parameters_of_their_closed_forms() {
    // bn c, 1x1 to 4k, bn, 3x3 to k
    assert_eq!(
        params(40, json!({"block": "dense_layer", "growth": 12})),
        80 + 40 * 48 + 96 + 9 * 48 * 12
    );
    assert_eq!(
        params(
            40,
            json!({"block": "dense_layer", "growth": 12, "bottleneck": 0})
        ),
        80 + 9 * 40 * 12
    );
    assert_eq!(
        params(40, json!({"block": "dense_transition"})),
        80 + 40 * 20
    );
    assert_eq!(
        params(41, json!({"block": "dense_transition"})),
        82 + 41 * 20
    );
    assert_eq!(
        params(
            40,
            json!({"block": "dense_block", "layers": 2, "growth": 8, "bottleneck": 0})
        ),
        80 + 9 * 40 * 8 + 96 + 9 * 48 * 8
    );
    // 1x1 to 16 b twice, 3x3 16 b to 16 twice, 3x3 16 to 16
    let two_way = |b: u64| 2 * (40 * 16 * b + 32 * b) + 2 * (9 * 16 * b * 16 + 32) + 9 * 256 + 32;
    for b in [1, 2, 4] {
        assert_eq!(
            params(40, json!({"block": "two_way_dense", "bottleneck": b})),
            two_way(b)
        );
    }
    let stem = 27 * 32 + 64 + 32 * 16 + 32 + 9 * 16 * 32 + 64 + 64 * 32 + 64;
    for order in ["conv_first", "pool_first"] {
        assert_eq!(
            params(3, json!({"block": "pelee_stem", "order": order})),
            stem
        );
    }
    assert_eq!(params(40, json!({"block": "pelee_transition"})), 1600 + 80);
    // m = ceil(n / 2) by 1x1, m by depthwise 3x3
    assert_eq!(
        params(40, json!({"block": "ghost_module", "out_channels": 25})),
        40 * 13 + 26 + 9 * 13 + 26
    );
    assert_eq!(
        params(
            40,
            json!({"block": "ghost_module", "out_channels": 26, "ratio": 4, "cheap_kernel": 5})
        ),
        40 * 7 + 14 + 25 * 21 + 42
    );
    assert_eq!(
        params(40, json!({"block": "resnet_basic"})),
        2 * (9 * 1600 + 80)
    );
    assert_eq!(
        params(
            40,
            json!({"block": "resnet_basic", "out_channels": 64, "stride": 2})
        ),
        9 * 40 * 64 + 9 * 4096 + 40 * 64 + 3 * 128
    );
    assert_eq!(
        params(
            64,
            json!({"block": "resnet_bottleneck", "mid_channels": 16})
        ),
        64 * 16 + 32 + 9 * 256 + 32 + 16 * 64 + 128
    );
    // ResNeXt's unit: 32 groups of 4
    assert_eq!(
        params(
            256,
            json!({"block": "resnet_bottleneck", "mid_channels": 128, "out_channels": 256, "groups": 32})
        ),
        256 * 128 + 256 + 9 * 128 * 4 + 256 + 128 * 256 + 512
    );
    assert_eq!(
        params(
            16,
            json!({"block": "inverted_residual", "expansion": 6, "out_channels": 24, "stride": 2})
        ),
        16 * 96 + 192 + 9 * 96 + 192 + 96 * 24 + 48
    );
    assert_eq!(
        params(16, json!({"block": "inverted_residual", "expansion": 1})),
        9 * 16 + 32 + 256 + 32
    );
    // ESP: reduce to d, d1 and four of d, norm and PReLU
    let (n, m) = (64, 40);
    let d = n / 5;
    assert_eq!(
        params(40, json!({"block": "esp", "out_channels": 64})),
        m * d + 9 * d * (n - 4 * d) + 4 * 9 * d * d + 3 * n
    );
    assert_eq!(
        params(40, json!({"block": "esp", "out_channels": 64, "stride": 2})),
        9 * m * d + 9 * d * (n - 4 * d) + 4 * 9 * d * d + 3 * n
    );
    assert_eq!(
        params(40, json!({"block": "fire", "squeeze": 8, "expand": 24})),
        328 + 9 * 24 + 73 * 24
    );
}

/// ESP to EESP: `(M d + n^2 d^2 K) / (M d / g + (n^2 + d) d K)` is 7.14 for M = 240, d = 60, n = 3, g = K = 4.
#[test]
fn eesp_a_saves_what_the_paper_says() {
    let (m, d, k) = (240, 60, 4);
    let esp = params(240, json!({"block": "esp", "branches": 4})) - 3 * 240;
    // norms and PReLU of the reduction and the end
    let eesp = params(240, json!({"block": "eesp_a", "branches": 4})) - 3 * 60 - 3 * 240;
    assert_eq!(esp, m * d + 9 * d * d * k);
    assert_eq!(eesp, m * d / k + (9 + d) * d * k);
    assert!((esp as f64 / eesp as f64 - 7.14).abs() < 0.01);
}

/// The dilations of blocks.md, section 5.3, and those of ESP.
#[test]
fn pyramids_have_the_dilations_of_their_rule() {
    let dilations = |node: Value| {
        let graph = lower(&net(80, &[node])).unwrap();
        let mut found: Vec<u32> = Vec::new();
        for id in graph.ids() {
            if let blocksmith::ir::Op::Conv(conv) = graph.node(id).op
                && conv.kernel_size == [3, 3]
            {
                found.push(conv.dilation[0]);
            }
        }
        found
    };
    for (r_lim, wanted) in [
        (13, [1, 2, 3, 4]),
        (9, [1, 2, 3, 4]),
        (7, [1, 1, 2, 3]),
        (5, [1, 1, 1, 2]),
        (3, [1, 1, 1, 1]),
    ] {
        assert_eq!(
            dilations(json!({"block": "eesp_a", "r_lim": r_lim})),
            wanted
        );
    }
    assert_eq!(dilations(json!({"block": "esp"})), [1, 2, 4, 8, 16]);
    assert_eq!(dilations(json!({"block": "esp", "branches": 2})), [1, 2]);
}

/// Where a block leaves its activation to the user, it takes all that there are.
#[test]
fn shipped_blocks_take_every_activation() {
    let words = |block: &str, name: &str| {
        let def = blocks::find(NodeKind::Block, block).unwrap();
        def.params.iter().find(|p| p.name == name).map(|p| p.kind)
    };
    let all = words("conv_bn_act", "act").unwrap();
    for (name, _) in shipped() {
        for param in ["act", "se_act"] {
            assert!(
                words(&name, param).is_none_or(|kind| kind == all),
                "{name}.{param} in src/blocks/library/{name}.json is to list {all:?}"
            );
        }
    }
}

/// Both orders of PeleeNet's stem: the same numbers, another concatenation.
#[test]
fn the_stem_joins_its_branches_in_either_order() {
    let first = |order: &str| {
        let graph = lower(&net(3, &[json!({"block": "pelee_stem", "order": order})])).unwrap();
        let cat = graph
            .ids()
            .find(|id| graph.node(*id).op.name() == "concat")
            .unwrap();
        let first = graph.inputs(cat)[0];
        graph.node(first).op.name().to_owned()
    };
    assert_eq!(first("conv_first"), "relu");
    assert_eq!(first("pool_first"), "max_pool");
}

/// ShuffleNetV2's unit in the language, both forms and both strides, is the native one. The official form deals even
/// channels first: the inverse of the shuffle of two groups.
#[test]
fn a_shuffle_unit_declared_in_json_is_the_native_unit() {
    let unit = json!({"unit": {
        "params": {
            "out_channels": {"type": "int", "min": 2, "default": "=in.c"},
            "stride": {"type": "int", "min": 1, "default": 1},
            "kernel_size": {"type": "int", "min": 1, "default": 3},
            "official": {"type": "bool"},
            "halves": {"type": "bool", "default": "=stride == 1 && in.c == out_channels"},
            "left": {"type": "int", "min": 1, "default": "=official && !halves ? in.c : div(out_channels, 2)"}},
        "require": [{"that": "out_channels % 2 == 0", "hint": "even widths fit"}],
        "body": [
            {"id": "deal", "op": "shuffle", "groups": "=div(in.c, 2)", "when": "official && halves"},
            {"id": "pass", "op": "slice", "end": "=left", "when": "halves"},
            {"id": "proj", "from": "in", "when": "!halves", "body": [
                {"id": "dw", "block": "conv_bn_act", "out_channels": "=in.c", "groups": "=in.c", "kernel_size": "=kernel_size", "stride": "=stride", "act": "none"},
                {"id": "pw", "block": "conv_bn_act", "out_channels": "=left", "kernel_size": 1}]},
            {"id": "split", "from": "deal", "op": "slice", "begin": "=left", "end": "=out_channels", "when": "halves"},
            {"id": "branch", "body": [
                {"id": "pw1", "block": "conv_bn_act", "out_channels": "=div(out_channels, 2)", "kernel_size": 1},
                {"id": "dw", "block": "conv_bn_act", "out_channels": "=div(out_channels, 2)", "groups": "=div(out_channels, 2)", "kernel_size": "=kernel_size", "stride": "=stride", "act": "none"},
                {"id": "pw2", "block": "conv_bn_act", "out_channels": "=out_channels - left", "kernel_size": 1}]},
            {"id": "kept", "from": ["proj", "pass"], "block": "pick", "index": "=halves ? 1 : 0"},
            {"id": "concat", "op": "concat", "from": ["kept", "branch"]},
            {"id": "shuffle", "op": "shuffle", "groups": 2, "when": "!official"}]}});
    let unit = unit.as_object().unwrap();
    for (form, out, stride, kernel) in [
        ("torchvision", 24, 1, 3),
        ("torchvision", 60, 2, 3),
        ("torchvision", 24, 2, 5),
        ("official", 24, 1, 5),
        ("official", 60, 2, 3),
        ("official", 40, 1, 3),
    ] {
        let declared = json!({"block": "unit", "official": form == "official", "out_channels": out, "stride": stride, "kernel_size": kernel});
        let native = json!({"block": "shuffle_v2_unit", "form": form, "out_channels": out, "stride": stride, "kernel_size": kernel});
        let a = lower(&document(24, unit.clone(), &[declared])).unwrap_or_else(|e| panic!("{e}"));
        let b = lower(&net(24, &[native])).unwrap();
        assert_eq!(
            a.fingerprint(),
            b.fingerprint(),
            "{form} {out} {stride} {kernel}\n{a}\n{b}"
        );
    }
}
