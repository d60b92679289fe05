//! Every listed op and block on libtorch: its example, and random parameters within what it documents.

use super::*;
use crate::draws::{Draw, draw, listed};
use blocksmith::cost::{Scratch, Totals};

/// Draws of each entry that are built and run.
const RUN: usize = 8;

/// Parameters, running statistics and output shapes are those of libtorch's own tensors.
fn agrees(graph: &Graph, what: &dyn Fn() -> String) {
    let totals = Totals::of(graph, &mut Scratch::default()).unwrap();
    let net = Net::build(graph, Device::Cpu, 3).unwrap_or_else(|e| panic!("{}: {e}", what()));
    let (mut learned, mut running) = (0, 0);
    for (name, tensor) in net.state() {
        let kept = [".running_mean", ".running_var", ".index"];
        if kept.iter().any(|end| name.ends_with(end)) {
            running += tensor.numel() as u64;
        } else {
            learned += tensor.numel() as u64;
        }
    }
    assert_eq!(
        (learned, running),
        (totals.params, totals.running_stat_elems),
        "{}",
        what()
    );
    let batched = |shape: Shape| match shape {
        Shape::Map { c, h, w } => vec![2, i64::from(c), i64::from(h), i64::from(w)],
        Shape::Flat { n } => vec![2, i64::from(n)],
    };
    let inputs: Vec<Tensor> = graph
        .nodes()
        .iter()
        .filter_map(|node| match node.op {
            Op::Input { shape, .. } => Some(noise(&batched(shape))),
            _ => None,
        })
        .collect();
    for net in [&net, &net.optimized().unwrap()] {
        let outputs = net
            .forward(&inputs)
            .unwrap_or_else(|e| panic!("{}: {e}", what()));
        assert_eq!(outputs.len(), graph.outputs().len());
        for (output, id) in outputs.iter().zip(graph.outputs()) {
            assert_eq!(output.size(), batched(graph.shape(*id)), "{}", what());
            let finite = i64::try_from(output.isfinite().all().to_kind(Kind::Int64)).unwrap();
            assert_eq!(finite, 1, "{}", what());
        }
    }
}

#[test]
fn every_example_runs() {
    for def in listed() {
        let draw = Draw::example(def);
        let graph = draw.lower().unwrap_or_else(|e| panic!("{}: {e}", def.name));
        agrees(&graph, &|| draw.text());
    }
}

#[test]
fn random_blocks_run_and_count_as_libtorch_counts() {
    let mut ran = 0;
    for def in listed() {
        let built = (0..100).filter_map(|number| {
            let draw = draw(def, 2, number);
            let graph = draw.lower().ok()?;
            Some((draw, graph))
        });
        for (draw, graph) in built.take(RUN) {
            agrees(&graph, &|| draw.text());
            ran += 1;
        }
    }
    println!("{ran} networks of one block");
    assert!(ran >= listed().count() * (RUN - 2));
}

/// Blocks that PyTorch modules written from the papers stand beside.
#[test]
fn blocks_agree_with_pytorch() {
    let Some(python) = python("torch, safetensors, numpy") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    call(
        &python,
        "blocks.py",
        &["--out", dir.path().to_str().unwrap()],
    );
    let mut compared = 0;
    for folder in std::fs::read_dir(dir.path()).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(folder.join("node.json")).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        let graph = Draw::of(&written["node"], &written["input"])
            .lower()
            .unwrap();
        super::published::agreement(&graph, &folder, name);
        compared += 1;
    }
    println!("{compared} blocks agree with PyTorch");
    assert!(compared > 0);
}
