//! Ops against PyTorch's numbers, graphs against plain loops.

use super::*;
use crate::{naive, random};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn sizes(json: &Value) -> Vec<u32> {
    let sizes = json["shape"].as_array().unwrap();
    sizes.iter().map(|n| n.as_u64().unwrap() as u32).collect()
}

fn shape(json: &Value) -> Shape {
    match sizes(json)[1..] {
        [c, h, w] => Shape::Map { c, h, w },
        [n] => Shape::Flat { n },
        _ => panic!("neither a map nor a vector"),
    }
}

/// Tensors by name: `input`, `input1` and so on.
fn named(what: &str, all: &[Value]) -> Value {
    let name = |i: usize| {
        if i == 0 {
            what.to_owned()
        } else {
            format!("{what}{i}")
        }
    };
    let all = all.iter().enumerate();
    all.map(|(i, t)| (name(i), t.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A table of single operations that PyTorch made, as models of one op.
fn table(path: &Path) -> Cases {
    let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut cases = Cases::new();
    for (at, case) in table.as_array().unwrap().iter().enumerate() {
        let inputs = case["inputs"].as_array().unwrap();
        let mut b = GraphBuilder::new(true);
        let xs: Vec<ValueId> = (0u32..)
            .zip(inputs)
            .map(|(index, x)| {
                b.push(
                    Op::Input {
                        index,
                        shape: shape(x),
                    },
                    &[],
                )
                .unwrap()
            })
            .collect();
        let y = b
            .push_named(op(&case["op"]), &xs, || "op".to_owned())
            .unwrap();
        let graph = b.finish(&[y]);
        let params = graph.parameters();
        let given = case["params"].as_array().unwrap();
        let weights = params.iter().zip(given).map(|(param, given)| {
            assert_eq!(param.shape, sizes(given), "{}", case["name"]);
            let data = given["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|x| x.as_f64().unwrap());
            match param.role {
                Role::Index => Values::Index(data.map(|x| x as i64).collect()),
                _ => Values::Real(data.map(|x| x as f32).collect()),
            }
        });
        let weights = Weights(weights.collect());
        let samples = sizes(&inputs[0])[0];
        let batch = match at % 2 {
            0 => Batch::Fixed(samples),
            _ => Batch::Dynamic,
        };
        let io = [
            named("input", inputs),
            named("output", &[case["output"].clone()]),
        ];
        let name = case["name"].as_str().unwrap();
        cases.add(&format!("{name} {batch:?}"), &graph, &weights, batch, io);
    }
    cases
}

#[test]
fn every_op_agrees_with_the_committed_table() {
    let Some(python) = python("onnx, onnxruntime, numpy") else {
        return;
    };
    let cases = table(&repo("tests/data/ops.json"));
    // single precision against double; sums of at most a few hundred terms
    let worst = cases.worst(&python, 5e-6);
    println!(
        "{} operations, worst relative error {worst:.1e}",
        cases.names.len()
    );
    assert!(cases.names.len() > 80);
}

#[test]
fn every_op_agrees_with_pytorch_on_larger_maps() {
    let Some(python) = python("onnx, onnxruntime, numpy, torch") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ops.json");
    let out = file.to_str().unwrap();
    call(&python, "ops.py", &["--seed", "7", "--large", "--out", out]);
    let cases = table(&file);
    let worst = cases.worst(&python, 5e-6);
    println!(
        "{} larger operations, worst relative error {worst:.1e}",
        cases.names.len()
    );
}

pub fn value_json(value: &naive::Value) -> Value {
    let (c, h, w) = value.dims();
    let data: Vec<f64> = value.data.iter().flatten().flatten().copied().collect();
    match value.flat {
        true => json!({"shape": [1, c], "data": data}),
        false => json!({"shape": [1, c, h, w], "data": data}),
    }
}

/// The weights that the naive executor works with.
pub fn naive_weights(graph: &Graph) -> Weights {
    let values = graph.parameters().into_iter().map(|p| {
        let (node, elems) = (p.node.index(), p.elems() as usize);
        let kind = match p.role {
            Role::Weight => 'w',
            Role::Bias => 'b',
            Role::RunningMean => 'm',
            Role::RunningVar => 'v',
            Role::Index => {
                let channels = graph.shape(graph.inputs(p.node)[0]).channels() as usize;
                let pick = |k| naive::index(node, channels, k) as i64;
                return Values::Index((0..elems).map(pick).collect());
            }
        };
        let number = |i| naive::weight(node, kind, i) as f32;
        Values::Real((0..elems).map(number).collect())
    });
    Weights(values.collect())
}

/// Any graph gives what plain loops give, whatever is shared, broadcast or dead, folded or not.
#[test]
fn random_graphs_compute_what_the_loops_compute() {
    let Some(python) = python("onnx, onnxruntime, numpy") else {
        return;
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut cases = Cases::new();
    let mut folds = 0;
    while cases.names.len() < 400 {
        let random::Case {
            graph,
            inputs,
            values,
        } = random::Case::next(&mut runner);
        let outputs = graph
            .outputs()
            .iter()
            .map(|id| values[id.index()].as_ref().unwrap());
        let outputs: Vec<Value> = outputs.map(value_json).collect();
        let inputs: Vec<Value> = inputs.iter().map(value_json).collect();
        let io = || [named("input", &inputs), named("output", &outputs)];
        let weights = naive_weights(&graph);
        let text = graph.to_string();
        let batch = [Batch::Fixed(1), Batch::Dynamic][cases.names.len() % 2];
        cases.add(&text, &graph, &weights, batch, io());
        let folded = fold(&graph);
        if folded.graph.nodes().len() < graph.nodes().len() {
            folds += 1;
            let name = format!("folded {text}");
            cases.add(&name, &folded.graph, &folded.weights(&weights), batch, io());
        }
    }
    let worst = cases.worst(&python, 1e-4);
    println!(
        "{} graphs, {folds} of them folded, worst relative error {worst:.1e}",
        cases.names.len()
    );
    assert!(folds > 20);
}
