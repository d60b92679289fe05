//! The shipped evaluators: what `train.py` builds from a question computes what plain loops compute.

use crate::onnx::ops::{naive_weights, value_json};
use crate::python::{call, python, repo};
use crate::random;
use blocksmith::blocks::{Names, load_arch};
use blocksmith::space::Assignment;
use blocksmith::weights::Values;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// The graph with weights, inputs and what the loops make of them.
fn told(case: &random::Case) -> Value {
    let graph = &case.graph;
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
        .map(|id| case.values[id.index()].as_ref().unwrap());
    json!({
        "graph": graph.to_string(),
        "params": params.collect::<Vec<_>>(),
        "inputs": case.inputs.iter().map(value_json).collect::<Vec<_>>(),
        "outputs": outputs.map(value_json).collect::<Vec<_>>(),
    })
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
    let cases: Vec<Value> = (0..400)
        .map(|_| told(&random::Case::next(&mut runner)))
        .collect();
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
    let worst = worst(&python, &[told(&random::Case::of(graph).unwrap())]);
    assert!(worst < 1e-6, "{worst:e}");
}

/// What a Python program prints when it is given these lines.
fn printed(python: &str, args: &[&str], lines: &str) -> String {
    let mut child = Command::new(python)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{args:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_training_example_trains_on_cifar_as_it_is_published() {
    let Some(python) = python("torch, numpy") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let graph = "%0 input 3x32x32 : input\n%1 conv 100x16x16 (%0) k3 s2 p1 : c\n%2 global_avg_pool 100x1x1 (%1) : g\n\
        %3 flatten 100 (%2) : f\noutput %3\n";
    let question = format!("{}\n", json!({"id": 4, "assignment": {}, "graph": graph}));
    let (script, train) = (
        repo("tests/python/cifar.py"),
        repo("examples/evaluators/train.py"),
    );
    let paths = [&script, &train, folder.path()].map(|p: &std::path::Path| p.to_str().unwrap());
    let found: Value = serde_json::from_str(&printed(&python, &paths, &question)).unwrap();
    for (name, classes) in [
        ("pickles_10", 10),
        ("binaries_10", 10),
        ("pickles_100", 100),
        ("binaries_100", 100),
    ] {
        assert_eq!(found[name]["same"], true, "{name}");
        assert_eq!(found[name]["answer"]["id"], 4, "{name}");
        let metrics = &found[name]["answer"]["metrics"];
        // pixels of no meaning: the loss is that of a guess among the 100 outputs
        let (accuracy, loss) = (
            metrics["accuracy"].as_f64(),
            metrics["loss"].as_f64().unwrap(),
        );
        assert!(
            accuracy.is_some_and(|x| (0.0..=1.0).contains(&x)),
            "{name}: {metrics}"
        );
        assert!((loss - 100f64.ln()).abs() < 1.0, "{name}: {loss}");
        let said = format!("54 images to train on, 6 held out, {classes} classes");
        assert_eq!(found[name]["said"], said);
    }
}

#[test]
fn the_lookup_example_reads_parquet_as_it_reads_csv() {
    let Some(python) = python("polars") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let write = "import polars, sys\n\
        t = polars.DataFrame({'trial': [0, 1, 2, 3], 'w': [8, 16, None, 8], 'kind': ['a', 'b', 'b', 'a'], 'wide': [True, False, True, True],\n\
        'latency_s@x': [1.0] * 4, 'accuracy': [0.5, 0.25, None, 0.75]})\n\
        t.write_parquet(sys.argv[1] + '/t.parquet'); t.write_csv(sys.argv[1] + '/t.csv')";
    printed(&python, &["-c", write, folder.path().to_str().unwrap()], "");
    let table = repo("examples/evaluators/table.py");
    let questions = [
        json!({"id": 0, "assignment": {"w": 8, "kind": "a", "wide": true}}),
        json!({"id": 1, "assignment": {"w": 16, "kind": "b", "wide": false}}),
        // known without an accuracy, and not known
        json!({"id": 2, "assignment": {"kind": "b", "wide": true}}),
        json!({"id": 3, "assignment": {"w": 8, "kind": "b", "wide": true}}),
    ];
    let lines: String = questions.iter().map(|q| format!("{q}\n")).collect();
    for name in ["t.parquet", "t.csv"] {
        let path = folder.path().join(name);
        let args = [
            table.to_str().unwrap(),
            path.to_str().unwrap(),
            "--metrics",
            "accuracy",
        ];
        let answers = printed(&python, &args, &lines);
        let answers: Vec<Value> = answers
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        // two rows of the first network: their mean
        assert_eq!(
            answers[0],
            json!({"id": 0, "metrics": {"accuracy": 0.625}}),
            "{name}"
        );
        assert_eq!(
            answers[1],
            json!({"id": 1, "metrics": {"accuracy": 0.25}}),
            "{name}"
        );
        for (k, answer) in answers.iter().enumerate().skip(2) {
            assert_eq!(
                answer,
                &json!({"id": k, "error": "not in the table"}),
                "{name}"
            );
        }
    }
}
