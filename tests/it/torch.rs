//! Runnable nets against PyTorch's numbers, and against themselves where no other oracle is needed.

use blocksmith::ir::ops::{
    Act, Add, AvgPool, BatchNorm, Concat, Conv, Dropout, Flatten, GlobalPool, Linear, MaxPool, Mul,
    PoolKind, Real, Shuffle, Slice, Upsample, UpsampleMode,
};
use blocksmith::ir::{Graph, GraphBuilder, Op, Shape, ValueId};
use blocksmith::torch::{
    Device, Net, Tensor, TorchErrorKind, WeightProblem, parse_device, read_tensors, run, self_test,
    write_tensors,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tch::Kind;

/// Largest difference over largest value: what "relative error" means here.
fn relative_error(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    let (got, want) = (got.to_kind(Kind::Double), want.to_kind(Kind::Double));
    let worst = f64::try_from((&got - &want).abs().max()).unwrap();
    let scale = f64::try_from(want.abs().max()).unwrap();
    if worst == 0.0 { 0.0 } else { worst / scale }
}

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A Python that has torch and safetensors, or a line that says it is missing.
fn python() -> Option<String> {
    let python = std::env::var("BLOCKSMITH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python)
        .args(["-c", "import torch, safetensors, numpy"])
        .output();
    if probe.is_ok_and(|o| o.status.success()) {
        return Some(python);
    }
    println!(
        "SKIPPED: {python} has no torch, safetensors and numpy (BLOCKSMITH_PYTHON names another)"
    );
    None
}

fn call(python: &str, script: &str, args: &[&str]) {
    let out = Command::new(python)
        .arg(repo("tests/python").join(script))
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{script} {args:?}: {text}");
}

// ---- single operations ----

fn tensor(json: &Value) -> Tensor {
    let numbers = |key: &str| json[key].as_array().unwrap().iter();
    let shape: Vec<i64> = numbers("shape").map(|n| n.as_i64().unwrap()).collect();
    let data: Vec<f64> = numbers("data").map(|n| n.as_f64().unwrap()).collect();
    Tensor::from_slice(&data).reshape(shape)
}

fn tensors(json: &Value) -> Vec<Tensor> {
    json.as_array().unwrap().iter().map(tensor).collect()
}

fn op(json: &Value) -> Op {
    let int = |key: &str| u32::try_from(json[key].as_u64().unwrap()).unwrap();
    let flag = |key: &str| json[key].as_bool().unwrap();
    let real = |key: &str| Real(json[key].as_f64().unwrap());
    let pair = |key: &str| [0, 1].map(|i| u32::try_from(json[key][i].as_u64().unwrap()).unwrap());
    let kernel = || (pair("kernel_size"), pair("stride"), pair("padding"));
    match json["op"].as_str().unwrap() {
        "conv" => {
            let (kernel_size, stride, padding) = kernel();
            Conv {
                out_channels: int("out_channels"),
                kernel_size,
                stride,
                padding,
                dilation: pair("dilation"),
                groups: int("groups"),
                bias: flag("bias"),
            }
            .into()
        }
        "max_pool" => {
            let (kernel_size, stride, padding) = kernel();
            MaxPool {
                kernel_size,
                stride,
                padding,
                ceil_mode: flag("ceil_mode"),
            }
            .into()
        }
        "avg_pool" => {
            let (kernel_size, stride, padding) = kernel();
            AvgPool {
                kernel_size,
                stride,
                padding,
                ceil_mode: flag("ceil_mode"),
                count_include_pad: flag("count_include_pad"),
            }
            .into()
        }
        "global_avg_pool" => GlobalPool {
            kind: PoolKind::Avg,
        }
        .into(),
        "global_max_pool" => GlobalPool {
            kind: PoolKind::Max,
        }
        .into(),
        "batch_norm" => BatchNorm { eps: real("eps") }.into(),
        "upsample" => Upsample {
            size: pair("size"),
            mode: match json["mode"].as_str().unwrap() {
                "nearest" => UpsampleMode::Nearest,
                _ => UpsampleMode::Bilinear,
            },
        }
        .into(),
        "linear" => Linear {
            out_features: int("out_features"),
            bias: flag("bias"),
        }
        .into(),
        "add" => Add.into(),
        "mul" => Mul.into(),
        "concat" => Concat.into(),
        "slice" => Slice {
            begin: int("begin"),
            end: int("end"),
        }
        .into(),
        "shuffle" => Shuffle {
            groups: int("groups"),
        }
        .into(),
        "flatten" => Flatten.into(),
        "dropout" => Dropout { p: real("p") }.into(),
        "zero" => Op::Zero,
        act => Act::from_name(act).unwrap().into(),
    }
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
        let names = net.parameters().iter().map(|p| p.name.as_str());
        write_tensors(names.zip(&params), &file).unwrap();
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
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ops.json");
    let out = file.to_str().unwrap();
    call(&python, "ops.py", &["--seed", "7", "--large", "--out", out]);
    let (worst, cases) = check_table(&file);
    println!("{cases} larger operations, worst relative error {worst:.1e}");
}

// ---- the net itself ----

/// A residual block, a gate, a split and a head: most ways in which values are shared and overwritten.
fn small_net() -> Graph {
    let mut b = GraphBuilder::new(true);
    let mut push =
        |op: Op, xs: &[ValueId], name: &str| b.push_named(op, xs, || name.to_owned()).unwrap();
    let shape = Shape::Map { c: 3, h: 9, w: 11 };
    let x = push(Op::Input { index: 0, shape }, &[], "input");
    let stem = push(Conv::same(8, 3, 2).into(), &[x], "stem.conv");
    let norm = push(BatchNorm::default().into(), &[stem], "stem.bn");
    let act = push(Act::Relu.into(), &[norm], "stem.act");
    let deep = push(
        Conv::same(8, 3, 1).grouped(8).biased().into(),
        &[act],
        "dw.conv",
    );
    let deep = push(BatchNorm { eps: Real(1e-3) }.into(), &[deep], "dw.bn");
    let sum = push(Add.into(), &[deep, act], "sum");
    let pool = push(
        GlobalPool {
            kind: PoolKind::Avg,
        }
        .into(),
        &[sum],
        "gate.pool",
    );
    let gate = push(Conv::same(8, 1, 1).biased().into(), &[pool], "gate.fc");
    let gate = push(Act::Hsigmoid.into(), &[gate], "gate.act");
    let gated = push(Mul.into(), &[sum, gate], "gated");
    let left = push(Slice { begin: 0, end: 4 }.into(), &[gated], "left");
    let right = push(Slice { begin: 4, end: 8 }.into(), &[gated], "right");
    let right = push(Act::Hswish.into(), &[right], "right.act");
    let both = push(Concat.into(), &[left, right], "both");
    let mixed = push(Shuffle { groups: 2 }.into(), &[both], "mixed");
    let prelu = push(Act::Prelu.into(), &[mixed], "prelu");
    // a pre-activation norm, which nothing can take in, and a dead branch that owns parameters
    let late = push(BatchNorm::default().into(), &[prelu], "late.bn");
    push(Conv::same(2, 1, 1).into(), &[late], "dead");
    let late = push(Act::Silu.into(), &[late], "late.act");
    let last = push(
        GlobalPool {
            kind: PoolKind::Max,
        }
        .into(),
        &[late],
        "pool",
    );
    let flat = push(Flatten.into(), &[last], "flat");
    let drop = push(Dropout { p: Real(0.2) }.into(), &[flat], "drop");
    let out = push(
        Linear {
            out_features: 5,
            bias: true,
        }
        .into(),
        &[drop],
        "fc",
    );
    b.finish(&[out, sum])
}

/// Writes random weights with running statistics that are not 0 and 1, and loads them.
fn scramble(net: &mut Net, dir: &Path) {
    let file = dir.join("scrambled.safetensors");
    tch::manual_seed(11);
    let fresh: Vec<(String, Tensor)> = net
        .state()
        .map(|(name, t)| {
            let draw = Tensor::rand(t.size(), (Kind::Float, Device::Cpu));
            let draw = match name.rsplit('.').next().unwrap() {
                "running_var" => draw + 0.5,
                _ => draw - 0.5,
            };
            (name.to_owned(), draw)
        })
        .collect();
    write_tensors(fresh.iter().map(|(n, t)| (n.as_str(), t)), &file).unwrap();
    net.load(&file, None).unwrap();
}

fn noise(size: &[i64]) -> Tensor {
    tch::manual_seed(5);
    Tensor::randn(size, (Kind::Float, Device::Cpu))
}

#[test]
fn folding_keeps_the_function_and_forward_keeps_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let graph = small_net();
    let mut net = Net::build(&graph, Device::Cpu, 3).unwrap();
    scramble(&mut net, dir.path());
    let x = noise(&[2, 3, 9, 11]);
    let before = x.copy();
    let want = net.forward(std::slice::from_ref(&x)).unwrap();
    for channels_last in [false, true] {
        let folded = net.optimized_with(channels_last).unwrap();
        // two of three norms go into their convolutions, the dead branch goes altogether
        assert_eq!(folded.graph().nodes().len() + 3, graph.nodes().len());
        let got = folded.forward(std::slice::from_ref(&x)).unwrap();
        for (got, want) in got.iter().zip(&want) {
            let error = relative_error(got, want);
            assert!(error <= 1e-5, "relative error {error:e}");
        }
    }
    assert_eq!(
        relative_error(&x, &before),
        0.0,
        "the input was overwritten"
    );
    let again = net.forward(&[x]).unwrap();
    assert_eq!(relative_error(&again[0], &want[0]), 0.0);
}

#[test]
fn initial_weights_depend_on_seed_and_name_alone() {
    let build = |graph: &Graph, seed| Net::build(graph, Device::Cpu, seed).unwrap();
    let values = |net: &Net| -> Vec<Vec<f32>> {
        let flat = |t: &Tensor| Vec::<f32>::try_from(t.reshape([-1])).unwrap();
        net.state().map(|(_, t)| flat(t)).collect()
    };
    let graph = small_net();
    let one = values(&build(&graph, 1));
    tch::manual_seed(99);
    let narrow = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(one, narrow.install(|| values(&build(&graph, 1))));
    assert_ne!(one, values(&build(&graph, 2)));
    // the same name and shape in another net
    let mut b = GraphBuilder::new(true);
    let shape = Shape::Map { c: 3, h: 4, w: 4 };
    let x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
    let y = b
        .push_named(Conv::same(8, 3, 2), &[x], || "stem.conv".to_owned())
        .unwrap();
    let other = build(&b.finish(&[y]), 1);
    assert_eq!(one[0], values(&other)[0]);
    // fan-out of 8 x 3 x 3: variance 2 / 72, estimated from 216 draws
    let variance = one[0].iter().map(|w| f64::from(w * w)).sum::<f64>() / one[0].len() as f64;
    assert!((variance * 36.0 - 1.0).abs() < 0.3, "{variance}");
    let net = build(&graph, 1);
    for (param, value) in net.parameters().iter().zip(&one) {
        let all = |x: f32| value.iter().all(|v| *v == x);
        match param.name.as_str() {
            "stem.bn.weight" | "stem.bn.running_var" => assert!(all(1.0)),
            "stem.bn.bias" | "stem.bn.running_mean" | "fc.bias" | "gate.fc.bias" => {
                assert!(all(0.0));
            }
            "prelu.weight" => assert!(all(0.25)),
            _ => {}
        }
    }
}

#[test]
fn parameters_are_named_in_execution_order_and_counted_as_the_graph_counts() {
    let graph = small_net();
    let net = Net::build(&graph, Device::Cpu, 1).unwrap();
    let names: Vec<&str> = net.parameters().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "stem.conv.weight",
            "stem.bn.weight",
            "stem.bn.bias",
            "stem.bn.running_mean",
            "stem.bn.running_var",
            "dw.conv.weight",
            "dw.conv.bias",
            "dw.bn.weight",
            "dw.bn.bias",
            "dw.bn.running_mean",
            "dw.bn.running_var",
            "gate.fc.weight",
            "gate.fc.bias",
            "prelu.weight",
            "late.bn.weight",
            "late.bn.bias",
            "late.bn.running_mean",
            "late.bn.running_var",
            "dead.weight",
            "fc.weight",
            "fc.bias",
        ]
    );
    // 8*3*9 + 16 + 8*9+8 + 16 + 8*8+8 + 8 + 16 + 2*8 + 5*8+5, by hand
    assert_eq!(
        net.param_count(),
        216 + 16 + 80 + 16 + 72 + 8 + 16 + 16 + 45
    );
}

#[test]
fn wrong_inputs_are_refused_with_what_was_expected() {
    let net = Net::build(&small_net(), Device::Cpu, 1).unwrap();
    let cpu = |size: &[i64], kind| Tensor::zeros(size, (kind, Device::Cpu));
    let message = |inputs: &[Tensor]| net.forward(inputs).unwrap_err().to_string();
    assert_eq!(message(&[]), "the net takes 1 inputs, got 0");
    assert_eq!(
        message(&[cpu(&[1, 3, 9, 10], Kind::Float)]),
        "input must be [batch, 3, 9, 11], got [1, 3, 9, 10]"
    );
    assert!(message(&[cpu(&[0, 3, 9, 11], Kind::Float)]).contains("got [0, 3, 9, 11]"));
    assert!(message(&[cpu(&[1, 3, 9, 11], Kind::Int64)]).contains("floating-point"));
    let half = net.forward(&[cpu(&[1, 3, 9, 11], Kind::Half)]).unwrap();
    assert_eq!(half[0].kind(), Kind::Float);
}

#[test]
fn two_parameters_of_one_name_and_absurd_sizes_are_refused() {
    let mut b = GraphBuilder::new(true);
    let shape = Shape::Map { c: 8, h: 4, w: 4 };
    let x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
    let y = b
        .push_named(Conv::same(8, 1, 1), &[x], || "a".to_owned())
        .unwrap();
    let z = b
        .push_named(Conv::same(8, 1, 1), &[y], || "a".to_owned())
        .unwrap();
    let error = Net::build(&b.finish(&[z]), Device::Cpu, 1).unwrap_err();
    assert!(matches!(error.kind(), TorchErrorKind::DuplicateName { name } if name == "a.weight"));
    let mut b = GraphBuilder::new(true);
    let x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
    let y = b.push(Conv::same(1 << 30, 1, 1), &[x]).unwrap();
    let error = Net::build(&b.finish(&[y]), Device::Cpu, 1).unwrap_err();
    assert!(
        matches!(error.kind(), TorchErrorKind::TooLarge { .. }),
        "{error}"
    );
}

#[test]
fn messages_of_libtorch_are_one_line_and_name_the_node() {
    // 2^38 elements of 4 bytes: more than any machine gives
    let mut b = GraphBuilder::new(true);
    let shape = Shape::Map { c: 1, h: 2, w: 2 };
    let x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
    let up = Upsample {
        size: [1 << 19, 1 << 19],
        mode: UpsampleMode::Nearest,
    };
    let y = b.push_named(up, &[x], || "huge".to_owned()).unwrap();
    let net = Net::build(&b.finish(&[y]), Device::Cpu, 1).unwrap();
    let error = net.forward(&[noise(&[1, 1, 2, 2])]).unwrap_err();
    assert_eq!(error.node(), Some("huge"));
    assert!(matches!(error.kind(), TorchErrorKind::Libtorch(_)));
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

// ---- files ----

#[test]
fn run_reads_and_writes_what_the_contract_says() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let graph = small_net();
    let mut net = Net::build(&graph, Device::Cpu, 8).unwrap();
    scramble(&mut net, dir.path());
    let x = noise(&[2, 3, 9, 11]);
    write_tensors([("input", &x)], &at("x")).unwrap();
    net.save(&at("w")).unwrap();
    let done = run(&graph, &at("w"), None, &at("x"), &at("y"), Device::Cpu).unwrap();
    assert_eq!((done.params, done.batch), (net.param_count(), 2));
    let file = read_tensors(&at("y")).unwrap();
    assert_eq!(file.keys().collect::<Vec<_>>(), ["output", "output1"]);
    let want = net.forward(&[x]).unwrap();
    assert_eq!(relative_error(&file["output"], &want[0]), 0.0);
    assert_eq!(relative_error(&file["output1"], &want[1]), 0.0);
    // the same under other names in the file, with PyTorch's counters beside them
    let other: Vec<(String, Tensor)> = net
        .state()
        .map(|(name, t)| (format!("module.{name}"), t.shallow_clone()))
        .chain([(
            "module.stem.bn.num_batches_tracked".to_owned(),
            Tensor::from(3i64),
        )])
        .collect();
    write_tensors(other.iter().map(|(n, t)| (n.as_str(), t)), &at("w2")).unwrap();
    let map = net
        .state()
        .map(|(n, _)| (n.to_owned(), format!("module.{n}")))
        .collect();
    run(
        &graph,
        &at("w2"),
        Some(&map),
        &at("x"),
        &at("y2"),
        Device::Cpu,
    )
    .unwrap();
    assert_eq!(
        std::fs::read(at("y")).unwrap(),
        std::fs::read(at("y2")).unwrap()
    );
    // inputs that are missing or surplus
    write_tensors([("image", &noise(&[1, 3, 9, 11]))], &at("bad")).unwrap();
    let error = run(&graph, &at("w"), None, &at("bad"), &at("y"), Device::Cpu).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("\n  surplus \"image\"\n  missing \"input\""),
        "{error}"
    );
}

#[test]
fn every_tensor_that_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w");
    let mut net = Net::build(&small_net(), Device::Cpu, 8).unwrap();
    let mut tensors: Vec<(String, Tensor)> = net
        .state()
        .map(|(n, t)| (n.to_owned(), t.shallow_clone()))
        .collect();
    tensors.retain(|(name, _)| name != "prelu.weight");
    for (name, tensor) in &mut tensors {
        match name.as_str() {
            "fc.weight" => *tensor = tensor.reshape([8, 5]),
            "dw.conv.bias" => *tensor = tensor.to_kind(Kind::Int64),
            "stem.bn.bias" => *tensor = tensor.to_kind(Kind::Double) + 0.5,
            _ => {}
        }
    }
    tensors.push(("extra".to_owned(), Tensor::from(1.0f32)));
    write_tensors(tensors.iter().map(|(n, t)| (n.as_str(), t)), &file).unwrap();
    let map = [("no.such".to_owned(), "x".to_owned())].into();
    let error = net.load(&file, Some(&map)).unwrap_err();
    let TorchErrorKind::Weights { problems, .. } = error.kind() else {
        panic!("{error}")
    };
    let names: Vec<&str> = problems.iter().map(WeightProblem::name).collect();
    assert_eq!(
        names,
        [
            "dw.conv.bias",
            "extra",
            "fc.weight",
            "no.such",
            "prelu.weight"
        ]
    );
    let text = error.to_string();
    for part in [
        "misshapen \"fc.weight\": expected [5, 8], got [8, 5]",
        "missing \"prelu.weight\"",
        "surplus \"extra\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // nothing was taken
    let bias = net.parameter("stem.bn.bias").unwrap();
    assert_eq!(f64::try_from(bias.sum(Kind::Double)).unwrap(), 0.0);
}

#[test]
fn damaged_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w");
    let mut net = Net::build(&small_net(), Device::Cpu, 8).unwrap();
    net.save(&file).unwrap();
    let good = std::fs::read(&file).unwrap();
    for bytes in [
        &good[..good.len() - 1],
        &good[..20],
        &good[..3],
        b"",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = net.load(&file, None).unwrap_err();
        assert!(
            matches!(error.kind(), TorchErrorKind::File { .. }),
            "{error}"
        );
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    assert!(net.load(&dir.path().join("absent"), None).is_err());
}

#[test]
fn libtorch_runs_and_devices_are_told_apart() {
    let found = self_test().unwrap();
    assert!(found.threads >= 1);
    assert_eq!(parse_device("cpu").unwrap(), Device::Cpu);
    for bad in ["gpu", "cuda:x", "cuda:-1", "cuda:60000", ""] {
        assert!(parse_device(bad).is_err(), "{bad}");
    }
}

// ---- published networks ----

/// The entry of `search_spaces/reference/index.json`.
fn entry(source: &str, name: &str) -> Value {
    let all = index();
    let found = all
        .iter()
        .find(|e| e["source"] == source && e["name"] == name);
    found
        .unwrap_or_else(|| panic!("{source} {name} is not listed"))
        .clone()
}

fn index() -> Vec<Value> {
    let text = std::fs::read_to_string(repo("search_spaces/reference/index.json")).unwrap();
    serde_json::from_str::<Value>(&text)
        .unwrap()
        .as_array()
        .unwrap()
        .clone()
}

/// The graph of a listed network on images of this size.
fn lower(entry: &Value, size: [i64; 2]) -> Graph {
    let file = repo("search_spaces/reference").join(entry["file"].as_str().unwrap());
    let mut document: Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    document["input"] = serde_json::json!([3, size[0], size[1]]);
    let (space, program) = blocksmith::blocks::load(&document.to_string()).unwrap();
    let set = entry
        .get("set")
        .cloned()
        .unwrap_or_else(|| serde_json::json!({}));
    let assignment = space.assignment_from_json(&set).unwrap();
    program
        .lower(&assignment, blocksmith::blocks::Names::On)
        .unwrap()
}

/// Networks compared with PyTorch: source, name, image size. Odd sizes show rounding in pools and padding.
const COMPARED: [(&str, &str, [i64; 2]); 16] = [
    ("official:VoVNet.pytorch", "vovnet27_slim", [224, 224]),
    ("official:VoVNet.pytorch", "vovnet39", [75, 97]),
    ("timm", "vovnet39a", [75, 97]),
    ("timm", "ese_vovnet19b_slim_dw", [75, 97]),
    ("timm", "ese_vovnet39b", [64, 64]),
    (
        "official:Efficient-AI-Backbones/g_ghost_pytorch",
        "g_ghost_regnetx_002",
        [224, 224],
    ),
    (
        "official:Efficient-AI-Backbones/g_ghost_pytorch",
        "g_ghost_regnetx_006",
        [75, 97],
    ),
    ("timm", "regnetx_002", [75, 97]),
    ("official:ESPNetv2/imagenet", "EESPNet_s0.5", [75, 97]),
    ("official:ESPNetv2/imagenet", "EESPNet_s1.0", [224, 224]),
    ("official:ESPNetv2/imagenet", "EESPNet_s2.0", [97, 75]),
    ("torchvision", "shufflenet_v2_x0_5", [75, 97]),
    ("torchvision", "shufflenet_v2_x1_0", [224, 224]),
    (
        "official:ShuffleNet-Series/V2",
        "ShuffleNetV2_0.5x",
        [75, 97],
    ),
    (
        "official:ShuffleNet-Series/V2",
        "ShuffleNetV2_1.0x",
        [224, 224],
    ),
    (
        "official:ShuffleNet-Series/V2",
        "ShuffleNetV2_2.0x",
        [97, 75],
    ),
];

/// Our parameter names to theirs: both in the order in which a forward pass uses them, those that it never uses after.
fn names_by_order(net: &Net, order: &Value) -> std::collections::BTreeMap<String, String> {
    let live = net.graph().live();
    let ours = |want: bool| {
        let params = net.parameters().iter();
        params.filter(move |p| live[p.node.0 as usize] == want)
    };
    let (runs, dead) = (ours.clone()(true), ours(false));
    let theirs = ["live", "dead"].map(|key| order[key].as_array().unwrap());
    let mut map = std::collections::BTreeMap::new();
    for (ours, theirs) in [
        (runs.collect::<Vec<_>>(), theirs[0]),
        (dead.collect(), theirs[1]),
    ] {
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            map.insert(ours.name.clone(), theirs.as_str().unwrap().to_owned());
        }
    }
    map
}

#[test]
fn published_networks_agree_with_pytorch() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let specs: Vec<String> = COMPARED
        .iter()
        .map(|(source, name, [h, w])| format!("{source},{name},{h}x{w}"))
        .collect();
    let mut args: Vec<&str> = specs.iter().map(String::as_str).collect();
    args.extend(["--out", dir.path().to_str().unwrap()]);
    call(&python, "reference.py", &args);
    let mut compared = 0;
    for (i, (source, name, size)) in COMPARED.into_iter().enumerate() {
        let folder = dir.path().join(i.to_string());
        if !folder.is_dir() {
            println!("SKIPPED: {name}, as this Python has no {source}");
            continue;
        }
        let at = |file: &str| folder.join(format!("{file}.safetensors"));
        let order = std::fs::read_to_string(folder.join("order.json")).unwrap();
        let order: Value = serde_json::from_str(&order).unwrap();
        let graph = lower(&entry(source, name), size);
        let net = Net::build(&graph, Device::Cpu, 0).unwrap();
        assert_eq!(
            net.param_count(),
            order["params"].as_u64().unwrap(),
            "{name}"
        );
        let map = names_by_order(&net, &order);
        run(
            &graph,
            &at("weights"),
            Some(&map),
            &at("input"),
            &at("ours"),
            Device::Cpu,
        )
        .unwrap();
        let want = &read_tensors(&at("output")).unwrap()["output"];
        let error = relative_error(&read_tensors(&at("ours")).unwrap()["output"], want);
        let mut net = net;
        net.load(&at("weights"), Some(&map)).unwrap();
        let input = read_tensors(&at("input")).unwrap().remove("input").unwrap();
        let folded = net.optimized().unwrap().forward(&[input]).unwrap();
        let folded = relative_error(&folded[0], want);
        println!("{name} {size:?}: relative error {error:.1e}, deployed form {folded:.1e}");
        assert!(
            error <= 1e-5 && folded <= 2e-5,
            "{name}: {error:e}, deployed form {folded:e}"
        );
        compared += 1;
    }
    println!("{compared} networks agree with PyTorch");
}

#[test]
fn analytic_counts_equal_those_of_libtorch() {
    let mut seen = std::collections::BTreeSet::new();
    for entry in index() {
        if !seen.insert(format!("{} {}", entry["file"], entry["set"])) {
            continue;
        }
        let graph = lower(&entry, [224, 224]);
        let analytic: u64 = graph
            .ids()
            .filter_map(|id| {
                let input = graph.inputs(id).first()?;
                Some(graph.node(id).op.params(graph.shape(*input)))
            })
            .sum();
        // large ones differ from small ones in their widths only
        if analytic < 10_000_000 {
            let net = Net::build(&graph, Device::Cpu, 1).unwrap();
            assert_eq!(net.param_count(), analytic, "{entry}");
        }
        let listed = graph.parameters();
        let listed = listed.iter().filter(|p| p.role.is_learnable());
        assert_eq!(listed.map(|p| p.elems()).sum::<u64>(), analytic, "{entry}");
    }
    println!("{} networks", seen.len());
}
