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
         ghost_bottleneck is a shipped block; this is its rule ghost_bottleneck.require[0].that\n  \
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
