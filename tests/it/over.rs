//! Nodes over several sources with one set of weights, and nodes with several results.

use blocksmith::blocks::{self, Names};
use blocksmith::cost::{Counts, Scratch, Totals};
use blocksmith::ir::{Graph, verify};
use blocksmith::space::Assignment;

fn document(net: &str, rest: &str) -> String {
    format!(
        r#"{{"format": "blocksmith/1", "name": "t", "input": [8, 12, 12], {rest} "net": [
            {{"id": "a", "op": "relu"}}, {{"id": "b", "op": "max_pool", "kernel_size": 2}},
            {{"id": "wide", "op": "concat", "from": ["b", "b"]}}, {net}]}}"#
    )
}

fn lower(text: &str) -> Result<Graph, String> {
    let told = |e: blocksmith::base::diag::Diagnostics| e.render(None);
    let (space, program) = blocks::load(text).map_err(told)?;
    let graph = program
        .lower(&Assignment::empty(), Names::On)
        .map_err(|e| program.space().locate(e).render(None))?;
    verify(&graph).unwrap_or_else(|e| panic!("{e:?}\n{graph}"));
    // what is bound, printed and read again is the same, names and outputs included
    let bound = space.bind(&Assignment::empty()).unwrap();
    let again = blocks::Program::compile(bound.space()).unwrap();
    let again = again.lower(&Assignment::empty(), Names::On).unwrap();
    assert_eq!(graph.to_string(), again.to_string());
    let bare = program.lower(&Assignment::empty(), Names::Off).unwrap();
    assert_eq!(graph.fingerprint(), bare.fingerprint());
    Ok(graph)
}

fn net(nodes: &str, outputs: &str) -> Result<Graph, String> {
    lower(&document(nodes, &format!(r#""outputs": {outputs},"#)))
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.ids().map(|id| graph.name(id)).collect()
}

fn params(graph: &Graph) -> u64 {
    Totals::of(graph, &mut Scratch::default()).unwrap().params
}

const HEAD: &str = r#""body": [{"id": "c", "op": "conv", "out_channels": 4, "kernel_size": 3},
    {"op": "batch_norm"}, {"op": "prelu"}]"#;

#[test]
fn one_set_of_weights_for_all_sources() {
    let over = format!(r#"{{"id": "h", "over": ["a", "b"], {HEAD}}}"#);
    let graph = net(&over, r#"["h[*]"]"#).unwrap();
    assert_eq!(
        names(&graph)[4..],
        ["h.c", "h.1", "h.2", "h[1].c", "h[1].1", "h[1].2"]
    );
    assert_eq!(graph.output_names(), ["h[0]", "h[1]"]);
    // 4 x 8 x 9 filters, 2 x 4 of the norm, 4 slopes
    assert_eq!(params(&graph), 288 + 8 + 4);
    let parameters = graph.parameters();
    let keys: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(
        keys,
        [
            "h.c.weight",
            "h.1.weight",
            "h.1.bias",
            "h.1.running_mean",
            "h.1.running_var",
            "h.2.weight"
        ]
    );
    // every use does its own work and reads the weights anew
    let counts = Counts::of(&graph).unwrap();
    assert_eq!(counts.totals.macs, 288 * (144 + 36));
    assert_eq!(counts.totals.n_batchnorm, 2);
    assert_eq!(
        counts.totals.mem_access_elems,
        (8 * 144 + 4 * 144 + 288) + (8 * 36 + 4 * 36 + 288)
    );
    // the same nodes with weights of their own are another network
    let twice =
        format!(r#"{{"id": "h", "from": "a", {HEAD}}}, {{"id": "k", "from": "b", {HEAD}}}"#);
    let apart = net(&twice, r#"["h", "k"]"#).unwrap();
    assert_eq!(params(&apart), 600);
    assert_eq!(apart.nodes().len(), graph.nodes().len());
    assert_ne!(apart.fingerprint(), graph.fingerprint());
    // only one use is needed: no sharing is left, and the weights count once
    let one = net(&over, r#"["h[1]"]"#).unwrap();
    let alone = net(
        &format!(r#"{{"id": "k", "from": "b", {HEAD}}}"#),
        r#"["k"]"#,
    )
    .unwrap();
    assert_eq!(one.fingerprint(), alone.fingerprint());
    let t = Totals::of(&one, &mut Scratch::default()).unwrap();
    assert_eq!((t.params, t.params_live, t.n_conv), (300, 300, 1));
}

#[test]
fn over_reaches_through_blocks_choices_and_repeats() {
    let block = r#""blocks": {"twice": {"params": {"k": {"type": "int"}}, "body": [
        {"id": "c", "op": "conv", "out_channels": "=in.c", "kernel_size": "=k", "repeat": 2}]}},"#;
    let text = document(
        r#"{"id": "h", "over": ["a", "b"], "choice": [{"block": "twice", "k": 3}]}, {"op": "list", "from": ["h[0]", "h"]}"#,
        block,
    );
    let (space, program) = blocks::load(&text).unwrap();
    let assignment = space
        .assignment_from_json(&serde_json::json!({"h": "twice"}))
        .unwrap();
    let graph = program.lower(&assignment, Names::On).unwrap();
    verify(&graph).unwrap();
    assert_eq!(params(&graph), 2 * 8 * 8 * 9);
    let again = space.bind(&assignment).unwrap();
    let bound = blocks::Program::compile(again.space()).unwrap();
    let bound = bound.lower(&Assignment::empty(), Names::On).unwrap();
    assert_eq!(bound.fingerprint(), graph.fingerprint());
    // over in over: all four uses have the weights of the first
    let nested = r#"{"id": "o", "over": ["a", "b"], "body": [{"id": "q", "op": "max_pool", "kernel_size": 3},
        {"id": "h", "over": ["in", "q"], "op": "conv", "out_channels": 3, "kernel_size": 1}]}"#;
    let graph = net(nested, r#"["o[*]"]"#).unwrap();
    assert_eq!(graph.output_names(), ["o[0]", "o[1]", "o[2]", "o[3]"]);
    assert_eq!(params(&graph), 24);
    let owners: std::collections::HashSet<_> = graph
        .ids()
        .filter(|id| graph.node(*id).op.learns())
        .map(|id| graph.owner(id))
        .collect();
    assert_eq!(owners.len(), 1);
}

#[test]
fn results_are_named_by_their_places() {
    let shapes = |graph: &Graph| -> Vec<String> {
        let outputs = graph.outputs().iter();
        outputs.map(|x| graph.shape(*x).to_string()).collect()
    };
    // a block with several results, through a body and a choice of one; a repeat's are its copies
    let graph = net(
        r#"{"id": "f", "from": ["a", "b"], "body": [{"block": "fpn", "from": "in[*]", "out_channels": 5, "extra": "pool"}]},
           {"id": "r", "from": "f[1]", "op": "max_pool", "kernel_size": 3, "stride": 1, "repeat": 2},
           {"id": "l", "op": "list", "from": ["f[*]", "r[*]", "r[0]"]}"#,
        r#"["f", "l[*]", "f[0]"]"#,
    )
    .unwrap();
    assert_eq!(
        shapes(&graph),
        [
            "5x3x3", "5x12x12", "5x6x6", "5x3x3", "5x4x4", "5x2x2", "5x4x4", "5x12x12"
        ]
    );
    assert_eq!(graph.output_names()[..2], ["f", "l[0]"]);
    assert_eq!(graph.output_names()[7], "f[0]");
}

#[test]
fn an_fpn_is_as_worked_out_by_hand() {
    let graph = net(
        r#"{"id": "f", "from": ["a", "wide"], "block": "fpn", "out_channels": 5, "extra": "p6p7"}"#,
        r#"["f[*]"]"#,
    )
    .unwrap();
    let lateral = (8 * 5 + 5) + (16 * 5 + 5);
    let out = 5 * 5 * 9 + 5;
    assert_eq!(params(&graph), lateral + 4 * out);
    let outputs = graph.outputs().iter();
    let shapes: Vec<String> = outputs.map(|x| graph.shape(*x).to_string()).collect();
    assert_eq!(shapes, ["5x12x12", "5x6x6", "5x3x3", "5x2x2"]);
}

#[test]
fn what_cannot_be_shared_or_named_is_told() {
    let told = |nodes: &str, outputs: &str| net(nodes, outputs).unwrap_err();
    let conv = r#""op": "conv", "out_channels": 4, "kernel_size": 3"#;
    for (nodes, outputs, parts) in [
        (
            format!(r#"{{"id": "h", "over": ["a", "wide"], {conv}}}"#),
            r#"["h"]"#,
            vec![
                "source 1 cannot share the weights of source 0: the weights of conv on 8x12x12 do not fit conv on 16x6x6",
                "at net[3].over",
                "hint: all sources need the same width",
            ],
        ),
        (
            r#"{"id": "h", "over": ["a", "b"], "block": "conv_bn_act", "out_channels": "=in.h", "kernel_size": 1}"#.to_owned(),
            r#"["h"]"#,
            vec!["do not fit conv on 8x6x6"],
        ),
        (
            format!(r#"{{"id": "h", "over": "a", "from": "b", {conv}}}"#),
            r#"["h"]"#,
            vec!["\"over\" and \"from\" stand in one node", "net[3].from"],
        ),
        (
            format!(r#"{{"id": "h", "over": "a", "repeat": 2, {conv}}}"#),
            r#"["h"]"#,
            vec!["\"over\" and \"repeat\" stand in one node", "put the node into a body"],
        ),
        (
            format!(r#"{{"id": "h", "over": 3, {conv}}}"#),
            r#"["h"]"#,
            vec!["\"over\" names a node or a list of nodes, not a number"],
        ),
        (
            format!(r#"{{"id": "h", "over": [], {conv}}}"#),
            r#"["h"]"#,
            vec!["\"over\" names a node or a list of nodes"],
        ),
        (
            format!(r#"{{"id": "h", "over": ["a", "later"], {conv}}}, {{"id": "later", "op": "relu"}}"#),
            r#"["h"]"#,
            vec!["\"later\" does not come before this node", "net[3].over[1]"],
        ),
        (
            format!(r#"{{"id": "h", "over": ["a", "b"], {conv}}}, {{"op": "relu", "from": "h[2]"}}"#),
            r#"["h"]"#,
            vec!["there is no result 2: that node has 2 here, counted from 0", "net[4].from"],
        ),
        (
            r#"{"op": "relu", "from": "a[01]"}"#.to_owned(),
            r#"["a"]"#,
            vec!["\"a[01]\" names no result", "\"x[0]\", \"x[1]\", all of them \"x[*]\""],
        ),
        (
            r#"{"id": "h", "over": "z[*]", "op": "relu"}"#.to_owned(),
            r#"["h"]"#,
            vec!["no node \"z\""],
        ),
        (
            r#"{"id": "z", "op": "relu", "repeat": 0}, {"id": "h", "over": "z[*]", "op": "relu"}"#.to_owned(),
            r#"["h"]"#,
            vec!["net[4]"],
        ),
        (
            r#"{"id": "h", "op": "relu"}"#.to_owned(),
            r#"["h[1]"]"#,
            vec!["there is no result 1: \"h\" has 1 here", "outputs[0]"],
        ),
        (
            r#"{"id": "h", "op": "relu"}"#.to_owned(),
            r#"["h[*]", "h[0]"]"#,
            vec!["\"h[0]\" is named twice"],
        ),
        (
            r#"{"id": "h", "op": "relu"}"#.to_owned(),
            r#"["h[-1]"]"#,
            vec!["\"h[-1]\" names no result"],
        ),
        (
            r#"{"id": "h", "op": "relu", "when": "false"}"#.to_owned(),
            r#"["h[*]"]"#,
            vec!["\"h\" has no results here", "outputs[0]"],
        ),
    ] {
        let message = told(&nodes, outputs);
        for part in parts {
            assert!(message.contains(part), "{part:?} is missing in\n{message}");
        }
    }
    // weights for one source and none for another
    let text = r#"{"format": "blocksmith/1", "input": [8, 12, 12], "blocks": {"b": {"params": {}, "body": [
        {"op": "conv", "out_channels": 8, "kernel_size": 1}, {"op": "batch_norm", "when": "in.h > 6"}]}},
        "net": [{"id": "p", "op": "max_pool", "kernel_size": 2}, {"id": "h", "over": ["in", "p"], "block": "b"}]}"#;
    let message = lower(text).unwrap_err();
    assert!(
        message.contains("batch_norm has weights for one input that another has no use for"),
        "{message}"
    );
}

/// A searched backbone whose stages feed a pyramid and a shared head: every draw is built, and counts alone differ.
pub const SEARCHED: &str = r#"{"format": "blocksmith/1", "name": "searched", "input": [3, 64, 64],
  "vars": {"w": {"choice": [16, 24, 32]}},
  "net": [
    {"block": "conv_bn_act", "out_channels": 16, "kernel_size": 3, "stride": 2},
    {"id": "s3", "choice": [
      {"as": "osa", "body": [{"op": "max_pool", "kernel_size": 3, "stride": 2, "ceil_mode": true},
                             {"block": "osa", "out_channels": "=w", "mid_channels": 8, "layers": {"range": {"min": 2, "max": 3}}}]},
      {"as": "shuffle", "body": [{"block": "shuffle_v2_unit", "out_channels": "=w", "stride": 2},
                                 {"block": "shuffle_v2_unit", "repeat": {"range": {"min": 1, "max": 2}}}]}]},
    {"id": "s4", "block": "conv_bn_act", "out_channels": "=2*w", "kernel_size": 3, "stride": 2, "act": {"choice": ["relu", "hswish"]}},
    {"id": "s5", "block": "conv_bn_act", "out_channels": "=2*w", "kernel_size": 3, "stride": 2},
    {"id": "fpn", "block": "fpn", "from": ["s3", "s4", "s5"], "out_channels": {"choice": [16, 32]}, "extra": "p6p7"},
    {"id": "head", "block": "retina_head", "over": "fpn[*]", "classes": 3, "anchors": 2, "depth": {"choice": [1, 2]}}],
  "outputs": ["head[*]"]}"#;

#[test]
fn a_searched_backbone_takes_a_head() {
    let (space, program) = blocks::load(SEARCHED).unwrap();
    let mut seen = std::collections::HashSet::new();
    for number in 0..40 {
        let mut rng = blocksmith::base::rng::stream(3, "over", number);
        let assignment = space.sample(&mut rng).unwrap();
        let graph = program.lower(&assignment, Names::On).unwrap();
        verify(&graph).unwrap();
        assert_eq!(graph.outputs().len(), 10);
        let arch = space.bind(&assignment).unwrap();
        let bound = blocks::Program::compile(arch.space()).unwrap();
        let bound = bound.lower(&Assignment::empty(), Names::On).unwrap();
        assert_eq!(graph.to_string(), bound.to_string());
        // the head by hand: two towers, then scores and offsets, whatever the number of maps
        let json = space.assignment_to_json(&assignment);
        let find = |end: &str| {
            json.as_object()
                .unwrap()
                .iter()
                .find(|(k, _)| k.ends_with(end))
                .unwrap()
                .1
                .as_u64()
                .unwrap()
        };
        let (width, depth) = (find("out_channels"), find("depth"));
        let head: u64 = graph
            .parameters()
            .iter()
            .filter(|p| p.name.starts_with("head"))
            .map(|p| p.elems())
            .sum();
        let conv = |out: u64| 9 * width * out + out;
        assert_eq!(head, 2 * depth * conv(width) + conv(2 * 3) + conv(2 * 4));
        seen.insert(graph.fingerprint().to_string());
    }
    assert!(seen.len() > 10);
}

/// Lists of lists, and weights shared ever again: refused before they take time or memory.
#[test]
fn lists_that_grow_end() {
    let doubled = |last: &str| {
        let mut nodes = vec![r#"{"id": "x0", "op": "list", "from": ["in", "in"]}"#.to_owned()];
        for k in 0..60 {
            let list = format!(
                r#"{{"id": "x{}", "op": "list", "from": ["x{k}[*]", "x{k}[*]"]}}"#,
                k + 1
            );
            nodes.push(list);
        }
        nodes.push(last.to_owned());
        nodes.join(",")
    };
    let mut nested = r#"{"over": ["in", "in"], "op": "prelu"}"#.to_owned();
    for _ in 0..40 {
        nested = format!(r#"{{"over": ["in", "in"], "body": [{nested}]}}"#);
    }
    for (net, told) in [
        (doubled(r#"{"op": "relu"}"#), "steps"),
        (nested, "more than"),
        (
            r#"{"id": "r", "op": "relu", "repeat": 190000}, {"over": "r[*]", "repeat": 3, "op": "prelu"}"#.to_owned(),
            "stand in one node",
        ),
        (
            r#"{"id": "r", "op": "relu", "repeat": 150000}, {"over": "r[*]", "op": "prelu"}"#.to_owned(),
            "more than 200000 nodes",
        ),
    ] {
        let text = format!(r#"{{"format": "blocksmith/1", "input": [3, 8, 8], "net": [{net}]}}"#);
        let start = std::time::Instant::now();
        let message = lower(&text).unwrap_err();
        assert!(message.contains(told), "{message}");
        // a hang, not a time
        assert!(start.elapsed().as_secs() < 60);
    }
}
