//! What ONNX Runtime computes through the library that `measure` loads, against plain loops: on any processor for which
//! there is one. ORT_DYLIB_PATH names it.

use crate::onnx::ops::naive_weights;
use crate::{naive, random};
use blocksmith::emit::onnx::{Batch, Options, model};
use blocksmith::ir::{Graph, Shape};
use blocksmith::weights::{Weights, fold};
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Outputs of one run, each as its numbers in order.
fn run(
    environment: &Environment,
    graph: &Graph,
    weights: &Weights,
    inputs: &[naive::Value],
) -> Vec<Vec<f64>> {
    let options = Options {
        batch: Batch::Fixed(1),
        ..Options::default()
    };
    let bytes = model(graph, weights, &options).unwrap().to_bytes().unwrap();
    let mut session = Session::builder(environment)
        .unwrap()
        .with_intra_threads(1)
        .unwrap()
        .commit_from_memory(&bytes)
        .unwrap();
    let given = inputs.iter().map(|x| {
        let shape: Vec<i64> = match x.shape() {
            Shape::Map { c, h, w } => vec![1, c.into(), h.into(), w.into()],
            Shape::Flat { n } => vec![1, n.into()],
        };
        let numbers = x.data.iter().flatten().flatten().map(|x| *x as f32);
        SessionInputValue::from(Tensor::from_array((shape, numbers.collect::<Vec<_>>())).unwrap())
    });
    let given: Vec<SessionInputValue<'_>> = given.collect();
    let outputs = session.run(&given[..]).unwrap();
    let numbers = |i: usize| {
        let (_, numbers) = outputs[i].try_extract_tensor::<f32>().unwrap();
        numbers.iter().map(|x| f64::from(*x)).collect()
    };
    (0..outputs.len()).map(numbers).collect()
}

#[test]
fn random_graphs_compute_what_the_loops_compute() {
    let Some(library) = std::env::var_os("ORT_DYLIB_PATH") else {
        println!("SKIPPED: ORT_DYLIB_PATH names no ONNX Runtime");
        return;
    };
    let environment = ort::init_from(library).unwrap().build().unwrap();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut graphs, mut folds, mut worst) = (0, 0, 0.0f64);
    while graphs < 100 {
        let random::Case {
            graph,
            inputs,
            values,
        } = random::Case::next(&mut runner);
        graphs += 1;
        let weights = naive_weights(&graph);
        let folded = fold(&graph);
        let mut found = vec![run(&environment, &graph, &weights, &inputs)];
        if folded.graph.nodes().len() < graph.nodes().len() {
            folds += 1;
            let weights = folded.weights(&weights);
            found.push(run(&environment, &folded.graph, &weights, &inputs));
        }
        for outputs in found {
            assert_eq!(outputs.len(), graph.outputs().len());
            for (got, id) in outputs.iter().zip(graph.outputs()) {
                let want = values[id.index()].as_ref().unwrap();
                let want: Vec<f64> = want.data.iter().flatten().flatten().copied().collect();
                assert_eq!(got.len(), want.len(), "{graph}");
                let scale = want.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
                for (got, want) in got.iter().zip(&want) {
                    let error = (got - want).abs() / scale;
                    assert!(error < 1e-4, "{got} for {want} in {graph}");
                    worst = worst.max(error);
                }
            }
        }
    }
    println!("{graphs} graphs, {folds} of them folded, worst relative error {worst:.1e}");
    assert!(folds > 5);
}
