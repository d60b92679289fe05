//! Single operations against tables that PyTorch made.

use super::*;

fn tensor(json: &Value) -> Tensor {
    let numbers = |key: &str| json[key].as_array().unwrap().iter();
    let shape: Vec<i64> = numbers("shape").map(|n| n.as_i64().unwrap()).collect();
    let data: Vec<f64> = numbers("data").map(|n| n.as_f64().unwrap()).collect();
    Tensor::from_slice(&data).reshape(shape)
}

fn tensors(json: &Value) -> Vec<Tensor> {
    json.as_array().unwrap().iter().map(tensor).collect()
}

fn shape_of(x: &Tensor) -> Shape {
    match x.size()[1..].iter().map(|d| *d as u32).collect::<Vec<_>>()[..] {
        [c, h, w] => Shape::Map { c, h, w },
        [n] => Shape::Flat { n },
        _ => panic!("neither a map nor a vector"),
    }
}

/// A graph of one op, with `inputs` as its inputs.
fn single(op: Op, inputs: &[Tensor]) -> Graph {
    let mut b = GraphBuilder::new(true);
    let xs: Vec<ValueId> = (0u32..)
        .zip(inputs)
        .map(|(index, x)| {
            let shape = shape_of(x);
            b.push(Op::Input { index, shape }, &[]).unwrap()
        })
        .collect();
    let y = b.push_named(op, &xs, || "op".to_owned()).unwrap();
    b.finish(&[y])
}

/// Runs a table of single operations and gives the largest relative error and the number of cases.
fn check_table(path: &Path) -> (f64, usize) {
    let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weights.safetensors");
    let mut worst = 0.0f64;
    let cases = table.as_array().unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (inputs, params) = (tensors(&case["inputs"]), tensors(&case["params"]));
        let graph = single(op(&case["op"]), &inputs);
        let mut net = Net::build(&graph, Device::Cpu, 0).unwrap();
        assert_eq!(net.parameters().len(), params.len(), "{name}");
        let values: Vec<Tensor> = net
            .parameters()
            .iter()
            .zip(params)
            .map(|(p, value)| match p.role {
                Role::Index => value.to_kind(Kind::Int64),
                _ => value,
            })
            .collect();
        let names = net.parameters().iter().map(|p| p.name.as_str());
        write_tensors(names.zip(&values), &file).unwrap();
        net.load(&file, None).unwrap();
        let want = tensor(&case["output"]);
        for net in [&net, &net.optimized().unwrap()] {
            let out = net.forward(&inputs).unwrap();
            assert_eq!(out.len(), 1);
            let shape = graph.shape(graph.outputs()[0]);
            assert_eq!(shape_of(&out[0]), shape, "{name}: inferred shape");
            let error = relative_error(&out[0], &want);
            // fp32 sums of at most a few hundred terms, against double precision
            assert!(error <= 2e-6, "{name}: relative error {error:e}");
            worst = worst.max(error);
        }
    }
    (worst, cases.len())
}

#[test]
fn every_op_agrees_with_the_committed_table() {
    let (worst, cases) = check_table(&repo("tests/data/ops.json"));
    println!("{cases} operations, worst relative error {worst:.1e}");
    assert!(cases > 80);
}

#[test]
fn every_op_agrees_with_pytorch_on_larger_maps() {
    let Some(python) = python("torch, safetensors, numpy") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ops.json");
    let out = file.to_str().unwrap();
    call(&python, "ops.py", &["--seed", "7", "--large", "--out", out]);
    let (worst, cases) = check_table(&file);
    println!("{cases} larger operations, worst relative error {worst:.1e}");
}
