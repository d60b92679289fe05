//! The net itself: folding, initial weights, names, refusals.

use super::*;

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
    let fused = net.optimized().unwrap().fused(2).unwrap();
    let got = fused.forward(std::slice::from_ref(&x)).unwrap();
    for (got, want) in got.iter().zip(&want) {
        let error = relative_error(got, want);
        assert!(error <= 1e-5, "fused: relative error {error:e}");
    }
    assert_eq!(
        relative_error(&x, &before),
        0.0,
        "the input was overwritten"
    );
    let again = net.forward(&[x]).unwrap();
    assert_eq!(relative_error(&again[0], &want[0]), 0.0);
}

/// Windows that lie on padding alone: oneDNN crashes on such channels-last maps (kernel, stride, padding, dilation).
#[test]
fn windows_off_the_map_give_the_bias() {
    let odd = [
        (18, 3, 3, [12, 1], [1, 1], [2, 2], [2, 3], [2, 2]),
        (6, 3, 3, [12, 1], [2, 2], [3, 2], [3, 3], [2, 2]),
        (8, 4, 4, [10, 1], [4, 1], [2, 2], [3, 3], [3, 3]),
        (20, 2, 2, [13, 2], [2, 1], [2, 3], [0, 1], [3, 3]),
        (2, 4, 2, [2, 1], [2, 1], [1, 3], [2, 2], [3, 3]),
        (5, 6, 1, [10, 1], [4, 1], [2, 2], [0, 3], [2, 3]),
        (4, 4, 1, [2, 9], [2, 3], [1, 1], [1, 1], [3, 1]),
    ];
    for (ci, out_channels, groups, [h, w], kernel_size, stride, padding, dilation) in odd {
        let mut b = GraphBuilder::new(true);
        let shape = Shape::Map { c: ci, h, w };
        let x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
        let conv = Conv {
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias: true,
        };
        let y = b.push_named(conv, &[x], || "conv".to_owned()).unwrap();
        let case = random::Case::of(b.finish(&[y])).unwrap();
        let want = graphs::to_tensor(case.values[y.index()].as_ref().unwrap());
        let inputs = [graphs::to_tensor(&case.inputs[0])];
        let dir = tempfile::tempdir().unwrap();
        let mut net = Net::build(&case.graph, Device::Cpu, 0).unwrap();
        graphs::take_naive_weights(&mut net, &dir.path().join("w"));
        let laid = net.optimized().unwrap();
        let fused = net.optimized().unwrap().fused(1).unwrap();
        let outputs = [
            net.forward(&inputs),
            laid.forward(&inputs),
            fused.forward(&inputs),
        ];
        for got in outputs {
            let error = relative_error(&got.unwrap()[0], &want);
            assert!(error <= 1e-5, "relative error {error:e} in {}", case.graph);
        }
    }
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

/// A searched backbone with a pyramid and one head for all levels: draws run, deployed too, and a shared tensor is there
/// once, whose change shows at every level.
#[test]
fn a_searched_backbone_with_a_shared_head_runs() {
    let (space, program) = blocksmith::blocks::load(crate::over::SEARCHED).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for number in 0..4 {
        let mut rng = blocksmith::base::rng::stream(8, "heads", number);
        let assignment = space.sample(&mut rng).unwrap();
        let graph = program
            .lower(&assignment, blocksmith::blocks::Names::On)
            .unwrap();
        let mut net = Net::build(&graph, Device::Cpu, number).unwrap();
        scramble(&mut net, dir.path());
        let x = noise(&[2, 3, 64, 64]);
        let maps = net.forward(std::slice::from_ref(&x)).unwrap();
        let sizes: Vec<i64> = maps.iter().map(|map| map.size()[2]).collect();
        assert_eq!(sizes, [16, 16, 8, 8, 4, 4, 2, 2, 1, 1]);
        let deployed = net.optimized().unwrap();
        assert!(deployed.graph().has_sharers());
        for (got, want) in deployed
            .forward(std::slice::from_ref(&x))
            .unwrap()
            .iter()
            .zip(&maps)
        {
            let error = relative_error(got, want);
            assert!(error <= 1e-5, "relative error {error:e}");
        }
        // one bias is added to all score maps
        let weights = dir.path().join("w");
        let bias = "head.cls.logits.bias";
        assert_eq!(net.state().filter(|(name, _)| *name == bias).count(), 1);
        let moved: Vec<(String, Tensor)> = net
            .state()
            .map(|(name, t)| match name == bias {
                true => (name.to_owned(), t + 1.0),
                false => (name.to_owned(), t.shallow_clone()),
            })
            .collect();
        write_tensors(moved.iter().map(|(n, t)| (n.as_str(), t)), &weights).unwrap();
        net.load(&weights, None).unwrap();
        let after = net.forward(&[x]).unwrap();
        for (k, (after, before)) in after.iter().zip(&maps).enumerate() {
            let shift = if k % 2 == 0 { 1.0 } else { 0.0 };
            let error = relative_error(after, &(before + shift));
            assert!(error <= 1e-5, "map {k}: {error:e}");
        }
    }
}
