//! The shipped evaluators: what `train.py` builds from a question computes what plain loops compute.

use crate::onnx::ops::{naive_weights, value_json};
use crate::python::{call, python, repo};
use crate::{naive, random};
use blocksmith::blocks::{Names, load_arch};
use blocksmith::ir::{Graph, Op};
use blocksmith::space::Assignment;
use blocksmith::weights::Values;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// A graph with weights, inputs and what the loops make of them; `None` where numbers grow past what is compared.
fn case(graph: &Graph) -> Option<Value> {
    let shapes = graph.nodes().iter().filter_map(|node| match node.op {
        Op::Input { shape, .. } => Some(shape),
        _ => None,
    });
    let at = |c: usize, y: usize, x: usize| ((c * 5 + y * 3 + x) % 11) as f64 / 4.0 - 1.0;
    let inputs: Vec<naive::Value> = shapes.map(|s| naive::Value::filled(s, at)).collect();
    let values = naive::values(graph, &inputs);
    let fits = |v: &naive::Value| v.data.iter().flatten().flatten().all(|x| x.abs() < 1e100);
    if !values.iter().flatten().all(fits) {
        return None;
    }
    let weights = naive_weights(graph);
    let params = graph.parameters().into_iter().zip(&weights.0);
    let params = params.map(|(param, values)| match values {
        Values::Real(x) => json!({"name": param.name, "shape": param.shape, "data": x}),
        Values::Index(x) => {
            json!({"name": param.name, "shape": param.shape, "data": x, "whole": true})
        }
    });
    let outputs = graph
        .outputs()
        .iter()
        .map(|id| values[id.index()].as_ref().unwrap());
    Some(json!({
        "graph": graph.to_string(),
        "params": params.collect::<Vec<_>>(),
        "inputs": inputs.iter().map(value_json).collect::<Vec<_>>(),
        "outputs": outputs.map(value_json).collect::<Vec<_>>(),
    }))
}

fn worst(python: &str, cases: &[Value]) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    std::fs::write(&file, serde_json::to_string(cases).unwrap()).unwrap();
    let train = repo("examples/evaluators/train.py");
    let args = [train.to_str().unwrap(), file.to_str().unwrap()];
    let errors: Vec<f64> = serde_json::from_str(&call(python, "train_net.py", &args)).unwrap();
    assert_eq!(errors.len(), cases.len());
    errors.into_iter().fold(0.0, f64::max)
}

#[test]
fn the_training_example_builds_any_graph() {
    let Some(python) = python("torch") else {
        return;
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut cases = Vec::new();
    while cases.len() < 400 {
        let numbers = random::tape().new_tree(&mut runner).unwrap().current();
        cases.extend(case(&random::graph(
            &numbers,
            numbers.len().is_multiple_of(2),
        )));
    }
    let text: String = cases.iter().map(|c| c["graph"].as_str().unwrap()).collect();
    for op in [
        "channel_conv",
        "gather",
        "l2_norm",
        "local_response_norm",
        "upsample",
        "shuffle",
        "of%",
    ] {
        assert!(text.contains(op), "no {op} among the graphs");
    }
    let worst = worst(&python, &cases);
    println!("{} graphs, worst relative error {worst:.1e}", cases.len());
    // both in double precision, but the weights that are given are rounded to single
    assert!(worst < 1e-5, "{worst:e}");
}

#[test]
fn the_training_example_builds_a_document() {
    let Some(python) = python("torch") else {
        return;
    };
    // ids that PyTorch's modules have for methods
    let document = r#"{"format": "blocksmith/1", "input": [3, 16, 16], "net": [
        {"id": "forward", "block": "conv_bn_act", "out_channels": 8, "kernel_size": 3},
        {"id": "type", "block": "osa", "out_channels": 16, "mid_channels": 8, "layers": 3, "repeat": 2},
        {"block": "shuffle_v2_unit", "out_channels": 32, "stride": 2},
        {"block": "classifier", "classes": 7}]}"#;
    let (_, program) = load_arch(document).map_err(|d| d.render(None)).unwrap();
    let graph = program.lower(&Assignment::empty(), Names::On).unwrap();
    let worst = worst(&python, &[case(&graph).unwrap()]);
    assert!(worst < 1e-6, "{worst:e}");
}
