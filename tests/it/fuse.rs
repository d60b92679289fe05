//! Fusion against hand-made graphs whose kernels are counted by hand.

use blocksmith::fuse::{
    Acts, FuseRules, Kernel, KernelKind, Place, Scratch, ZeroRule, fuse, fuse_into,
};
use blocksmith::ir::ops::{
    Act, Add, AvgPool, BatchNorm, Concat, Conv, Dropout, Flatten, GlobalPool, Linear, Mul,
    PoolKind, Shuffle, Slice,
};
use blocksmith::ir::{Graph, GraphBuilder, Op, Shape, ValueId};

fn input(b: &mut GraphBuilder, c: u32, side: u32) -> ValueId {
    let shape = Shape::Map {
        c,
        h: side,
        w: side,
    };
    b.push(Op::Input { index: 0, shape }, &[]).unwrap()
}

fn conv_bn_relu(b: &mut GraphBuilder, from: ValueId, conv: Conv) -> ValueId {
    let conv = b.push(conv, &[from]).unwrap();
    let norm = b.push(BatchNorm::default(), &[conv]).unwrap();
    b.push(Act::Relu, &[norm]).unwrap()
}

fn kinds(graph: &Graph, rules: &FuseRules) -> Vec<&'static str> {
    fuse(graph, rules)
        .list
        .iter()
        .map(|k| k.kind.name())
        .collect()
}

fn all_rules() -> [FuseRules; 5] {
    [
        FuseRules::eager(),
        FuseRules::ncnn(),
        FuseRules::onnx(),
        FuseRules::litert(),
        FuseRules::torchmobile(),
    ]
}

#[test]
fn norm_and_activation_ride_along() {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 3, 8);
    let y = conv_bn_relu(&mut b, x, Conv::same(16, 3, 2));
    let graph = b.finish(&[y]);
    let fused = fuse(&graph, &FuseRules::onnx());
    assert_eq!(
        fused.list,
        vec![Kernel {
            kind: KernelKind::ConvFirst,
            input: Shape::Map { c: 3, h: 8, w: 8 },
            output: Shape::Map { c: 16, h: 4, w: 4 },
            window: (&Conv::same(16, 3, 2)).into(),
            macs: 16 * 16 * 27,
            elems_in: 3 * 64,
            elems_out: 16 * 16,
            weights: 16 * 27 + 32,
            act: Some(Act::Relu),
            fused_norm: true,
            fused_add: false,
        }]
    );
    use Place::{Free, Kernel as In};
    assert_eq!(fused.places, [Free, In(0), In(0), In(0)]);
    assert_eq!(fused.nodes(0), [ValueId(1), ValueId(2), ValueId(3)]);
    assert_eq!(
        kinds(&graph, &FuseRules::eager()),
        ["conv_first", "norm", "act"]
    );
}

#[test]
fn a_second_reader_and_an_output_stop_fusion() {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 8, 8);
    let conv = b.push(Conv::same(8, 1, 1), &[x]).unwrap();
    let norm = b.push(BatchNorm::default(), &[conv]).unwrap();
    let act = b.push(Act::Relu, &[norm]).unwrap();
    let sum = b.push(Add, &[act, norm]).unwrap();
    let graph = b.finish(&[sum]);
    let onnx = FuseRules::onnx();
    assert_eq!(kinds(&graph, &onnx), ["conv_1x1", "act", "add"]);

    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 8, 8);
    let conv = b.push(Conv::same(8, 1, 1), &[x]).unwrap();
    let act = b.push(Act::Relu, &[conv]).unwrap();
    let graph = b.finish(&[conv, act]);
    assert_eq!(kinds(&graph, &onnx), ["conv_1x1", "act"]);
}

#[test]
fn sums_join_where_the_rules_say_and_activations_follow_them() {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 8, 8);
    let conv = b.push(Conv::same(8, 3, 1), &[x]).unwrap();
    let sum = b.push(Add, &[x, conv]).unwrap();
    let act = b.push(Act::Relu, &[sum]).unwrap();
    let graph = b.finish(&[act]);
    assert_eq!(
        kinds(&graph, &FuseRules::ncnn()),
        ["conv_3x3", "add", "act"]
    );
    assert_eq!(kinds(&graph, &FuseRules::litert()), ["conv_3x3", "add"]);
    let rules = FuseRules {
        conv_add: true,
        ..FuseRules::onnx()
    };
    let fused = fuse(&graph, &rules);
    let [kernel] = fused.list[..] else {
        panic!("one kernel expected, got {:?}", fused.list);
    };
    assert!(kernel.fused_add);
    assert_eq!(kernel.act, Some(Act::Relu));
    assert_eq!((kernel.elems_in, kernel.elems_out), (2 * 512, 512));
}

#[test]
fn a_sum_of_four_is_three_kernels() {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 4, 4);
    let parts: Vec<ValueId> = (0..4)
        .map(|_| b.push(Conv::same(4, 1, 1), &[x]).unwrap())
        .collect();
    let sum = b.push(Add, &parts).unwrap();
    let graph = b.finish(&[sum]);
    let fused = fuse(&graph, &FuseRules::ncnn());
    let adds: Vec<&Kernel> = fused
        .list
        .iter()
        .filter(|k| k.kind == KernelKind::Add)
        .collect();
    assert_eq!(adds.len(), 3);
    assert!(adds.iter().all(|k| (k.elems_in, k.elems_out) == (128, 64)));
    assert_eq!(fused.nodes(4), [sum]);
}

#[test]
fn a_gate_reads_the_map_and_one_number_a_channel() {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 8, 8);
    let pool = b
        .push(
            GlobalPool {
                kind: PoolKind::Avg,
            },
            &[x],
        )
        .unwrap();
    let gate = b.push(Conv::same(8, 1, 1).biased(), &[pool]).unwrap();
    let gate = b.push(Act::Sigmoid, &[gate]).unwrap();
    let y = b.push(Mul, &[x, gate]).unwrap();
    let graph = b.finish(&[y]);
    let fused = fuse(&graph, &FuseRules::onnx());
    let names: Vec<_> = fused.list.iter().map(|k| k.kind.name()).collect();
    assert_eq!(names, ["global_pool", "conv_1x1", "mul"]);
    assert_eq!(fused.list[2].elems_in, 512 + 8);
    assert_eq!(
        kinds(&graph, &FuseRules::litert()),
        ["global_pool", "conv_1x1", "act_exp", "mul"]
    );
}

#[test]
fn kinds_of_convolutions() {
    let kind = |cin: u32, conv: Conv| {
        let mut b = GraphBuilder::new(false);
        let x = input(&mut b, cin, 16);
        let y = b.push(conv, &[x]).unwrap();
        fuse(&b.finish(&[y]), &FuseRules::ncnn()).list[0].kind
    };
    use KernelKind::*;
    for (cin, conv, expected) in [
        (3, Conv::same(8, 3, 1), ConvFirst),
        (3, Conv::same(8, 1, 1), Conv1x1),
        (8, Conv::same(8, 3, 1), Conv3x3),
        (8, Conv::same(8, 3, 2), Conv3x3Strided),
        (8, Conv::same(8, 5, 1), ConvOther),
        (8, Conv::same(8, 3, 1).dilated(2), ConvOther),
        (8, Conv::same(8, 1, 1).grouped(2), Grouped1x1),
        (8, Conv::same(8, 3, 1).grouped(2), Grouped),
        (8, Conv::same(8, 3, 1).grouped(8), Depthwise3x3),
        (8, Conv::same(16, 3, 1).grouped(8), Depthwise3x3),
        (8, Conv::same(8, 3, 2).grouped(8), Depthwise3x3Strided),
        (8, Conv::same(8, 5, 1).grouped(8), DepthwiseOther),
        (8, Conv::same(8, 3, 1).dilated(3).grouped(8), DepthwiseOther),
    ] {
        assert_eq!(kind(cin, conv), expected, "{cin} -> {conv:?}");
    }
}

#[test]
fn views_are_free_and_slices_as_the_runtime_says() {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 8, 4);
    let left = b.push(Slice { begin: 0, end: 4 }, &[x]).unwrap();
    let right = b.push(Slice { begin: 4, end: 8 }, &[x]).unwrap();
    let joined = b.push(Concat, &[right, left]).unwrap();
    let mixed = b.push(Shuffle { groups: 2 }, &[joined]).unwrap();
    let flat = b.push(Flatten, &[mixed]).unwrap();
    let p = blocksmith::ir::ops::Real(0.2);
    let flat = b.push(Dropout { p }, &[flat]).unwrap();
    let linear = Linear {
        out_features: 10,
        bias: true,
    };
    let y = b.push(linear, &[flat]).unwrap();
    let graph = b.finish(&[y]);
    assert_eq!(
        kinds(&graph, &FuseRules::ncnn()),
        ["copy", "copy", "concat", "shuffle", "linear"]
    );
    let fused = fuse(&graph, &FuseRules::eager());
    let names: Vec<_> = fused.list.iter().map(|k| k.kind.name()).collect();
    assert_eq!(names, ["concat", "shuffle", "linear"]);
    assert_eq!(fused.list[2].weights, 128 * 10 + 10);
    assert_eq!(fused.places[5], Place::Free);
}

/// A conv on a zero edge, summed with the input, beside a dead branch.
fn zero_graph() -> Graph {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 8, 8);
    let before = b.push(Conv::same(8, 3, 1), &[x]).unwrap();
    let zero = b.push(Op::Zero, &[before]).unwrap();
    let on_zero = conv_bn_relu(&mut b, zero, Conv::same(8, 3, 1));
    let sum = b.push(Add, &[x, on_zero]).unwrap();
    let _dead = b.push(Conv::same(8, 1, 1), &[x]).unwrap();
    let with_zero = b.push(Add, &[sum, zero]).unwrap();
    let y = conv_bn_relu(&mut b, with_zero, Conv::same(8, 1, 1));
    b.finish(&[y])
}

#[test]
fn zeros_fold_as_the_runtime_says() {
    let graph = zero_graph();
    let with = |zero| FuseRules {
        zero,
        ..FuseRules::ncnn()
    };
    // relu(norm(0)) is a constant but not zero, so the first sum stays; the second adds zero and goes
    assert_eq!(kinds(&graph, &with(ZeroRule::Folded)), ["add", "conv_1x1"]);
    assert_eq!(
        kinds(&graph, &with(ZeroRule::Kept)),
        ["conv_3x3", "add", "conv_1x1"]
    );
    assert_eq!(
        kinds(&graph, &with(ZeroRule::Computed)),
        ["conv_3x3", "mul", "conv_3x3", "add", "add", "conv_1x1"]
    );
    let fused = fuse(&graph, &with(ZeroRule::Folded));
    assert_eq!(fused.places[1], Place::Dead);
    assert_eq!(fused.places[2], Place::Constant);
    assert_eq!(fused.places[7], Place::Dead);
    assert_eq!(fused.places[8], Place::Free);
}

#[test]
fn a_constant_network_has_no_kernels() {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 8, 8);
    let zero = b.push(Op::Zero, &[x]).unwrap();
    let y = conv_bn_relu(&mut b, zero, Conv::same(8, 3, 1));
    let graph = b.finish(&[y]);
    assert_eq!(kinds(&graph, &FuseRules::ncnn()), [""; 0]);
}

#[test]
fn equal_ops_merge_where_the_runtime_does() {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 8, 8);
    let pool = AvgPool {
        kernel_size: [3; 2],
        stride: [1; 2],
        padding: [1; 2],
        ceil_mode: false,
        count_include_pad: false,
    };
    let mut parts = Vec::new();
    for _ in 0..2 {
        let act = b.push(Act::Relu, &[x]).unwrap();
        parts.push(b.push(Conv::same(8, 1, 1), &[act]).unwrap());
        parts.push(b.push(pool, &[x]).unwrap());
    }
    let y = b.push(Concat, &parts).unwrap();
    let graph = b.finish(&[y]);
    let merged = kinds(&graph, &FuseRules::onnx());
    assert_eq!(
        merged,
        ["act", "conv_1x1", "avg_pool", "conv_1x1", "concat"]
    );
    assert_eq!(kinds(&graph, &FuseRules::ncnn()).len(), 7);
}

#[test]
fn macs_parameters_and_output_survive_any_rules() {
    for graph in [zero_graph(), residual_net(11), residual_net(40)] {
        for base in all_rules() {
            for conv_add in [false, true] {
                for zero in [ZeroRule::Folded, ZeroRule::Kept, ZeroRule::Computed] {
                    let rules = FuseRules {
                        conv_add,
                        zero,
                        add_act: if conv_add { Acts::ALL } else { base.add_act },
                        ..base
                    };
                    check_sums(&graph, &rules);
                }
            }
        }
    }
}

fn check_sums(graph: &Graph, rules: &FuseRules) {
    let fused = fuse(graph, rules);
    let (mut macs, mut params) = (0, 0);
    for id in graph.ids() {
        if matches!(fused.places[id.index()], Place::Kernel(_)) {
            let shapes: Vec<Shape> = graph.inputs(id).iter().map(|i| graph.shape(*i)).collect();
            let op = graph.node(id).op;
            macs += op.work(&shapes, graph.shape(id)).macs;
            params += shapes.first().map_or(0, |s| op.params(*s));
        }
    }
    assert!(macs > 0);
    assert_eq!(fused.list.iter().map(|k| k.macs).sum::<u64>(), macs);
    assert_eq!(fused.list.iter().map(|k| k.weights).sum::<u64>(), params);
    let output = graph.outputs()[0];
    let Place::Kernel(last) = fused.places[output.index()] else {
        panic!("the output is in no kernel");
    };
    assert_eq!(fused.list[last as usize].output, graph.shape(output));
    assert_eq!(fused.owners.len(), fused.list.len());

    let (mut scratch, mut list) = (Scratch::default(), Vec::new());
    for _ in 0..2 {
        fuse_into(graph, rules, &mut scratch, &mut list);
        assert_eq!(list, fused.list);
    }
}

/// A net drawn from a number: residual blocks of mixed ops.
fn residual_net(seed: u32) -> Graph {
    let mut b = GraphBuilder::new(false);
    let x = input(&mut b, 3, 16);
    let mut x = conv_bn_relu(&mut b, x, Conv::same(8, 3, 1));
    for i in 0..seed {
        let y = match (seed * 7 + i * i) % 5 {
            0 => conv_bn_relu(&mut b, x, Conv::same(8, 3, 1)),
            1 => conv_bn_relu(&mut b, x, Conv::same(8, 3, 1).grouped(8)),
            2 => b.push(Act::Prelu, &[x]).unwrap(),
            3 => b.push(BatchNorm::default(), &[x]).unwrap(),
            _ => b.push(Conv::same(8, 1, 1).grouped(4), &[x]).unwrap(),
        };
        x = if i % 3 == 0 {
            b.push(Add, &[x, y]).unwrap()
        } else {
            y
        };
    }
    b.finish(&[x])
}
