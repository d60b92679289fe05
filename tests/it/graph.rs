//! Ops, builder, verifier, text form and fingerprint against the naive executor.

use crate::naive::{self, Value, slide};
use crate::random::{self, Tape, tape};
use blocksmith::ir::{Graph, GraphBuilder, Op, Shape, ValueId, text, verify};
use proptest::prelude::*;

fn map(c: u32, h: u32, w: u32) -> Shape {
    Shape::Map { c, h, w }
}

pub fn inputs_of(graph: &Graph, f: impl Fn(usize, usize, usize) -> f64) -> Vec<Value> {
    let mut inputs: Vec<(u32, Value)> = Vec::new();
    for node in graph.nodes() {
        if let Op::Input { index, shape } = node.op {
            inputs.push((index, Value::filled(shape, &f)));
        }
    }
    inputs.sort_by_key(|(index, _)| *index);
    inputs.into_iter().map(|(_, value)| value).collect()
}

/// Whether loops could run the op: windows exist, channels can be dealt out, shapes go together.
fn fits(op: &Op, inputs: &[Shape]) -> bool {
    let is_map = |s: &Shape| matches!(s, Shape::Map { .. });
    let windows = |k: [u32; 2], s: [u32; 2], p: [u32; 2], d: [u32; 2], ceil: bool| {
        let positive = |x: [u32; 2]| x[0] > 0 && x[1] > 0;
        let (h, w) = inputs[0].hw();
        let along = |i: usize, n: u32| !slide(n, k[i], s[i], p[i], d[i], ceil).is_empty();
        is_map(&inputs[0])
            && positive(k)
            && positive(s)
            && positive(d)
            && along(0, h)
            && along(1, w)
    };
    let half = |k: [u32; 2], p: [u32; 2]| 2 * p[0] <= k[0] && 2 * p[1] <= k[1];
    let c = inputs[0].channels();
    match op {
        Op::Input { .. } => false,
        Op::Conv(k) => {
            let dealt = |n: u32| (1..=n).any(|share| share * k.groups == n);
            dealt(c)
                && dealt(k.out_channels)
                && windows(k.kernel_size, k.stride, k.padding, k.dilation, false)
        }
        Op::MaxPool(p) => {
            half(p.kernel_size, p.padding)
                && windows(p.kernel_size, p.stride, p.padding, [1; 2], p.ceil_mode)
        }
        Op::AvgPool(p) => {
            half(p.kernel_size, p.padding)
                && windows(p.kernel_size, p.stride, p.padding, [1; 2], p.ceil_mode)
        }
        Op::GlobalPool(_) => is_map(&inputs[0]),
        Op::Upsample(up) => is_map(&inputs[0]) && up.size[0] > 0 && up.size[1] > 0,
        Op::AdaptiveAvgPool(p) => is_map(&inputs[0]) && p.size[0] > 0 && p.size[1] > 0,
        Op::Transpose(_) | Op::Pad(_) | Op::L2Norm(_) => is_map(&inputs[0]),
        Op::Gather(g) => g.channels > 0,
        Op::ChannelConv(k) => is_map(&inputs[0]) && k.kernel_size > 0,
        Op::LocalResponseNorm(n) => is_map(&inputs[0]) && n.size > 0,
        Op::Linear(l) => !is_map(&inputs[0]) && l.out_features > 0,
        Op::Slice(s) => s.begin < s.end && (s.begin..s.end).all(|i| i < c),
        Op::Shuffle(s) => is_map(&inputs[0]) && (1..=c).any(|share| share * s.groups == c),
        Op::Add(_) | Op::Mul(_) => {
            let sizes = |axis: fn(&Shape) -> u32| {
                let mut sizes: Vec<u32> = inputs.iter().map(axis).filter(|n| *n != 1).collect();
                sizes.dedup();
                sizes.len() <= 1
            };
            // beside a map a vector is one of one pixel
            sizes(|s| s.channels()) && sizes(|s| s.hw().0) && sizes(|s| s.hw().1)
        }
        Op::Concat(_) => inputs
            .iter()
            .all(|s| is_map(s) == is_map(&inputs[0]) && s.hw() == inputs[0].hw()),
        Op::BatchNorm(_) | Op::Act(_) | Op::Flatten(_) | Op::Dropout(_) | Op::Zero => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Shapes, parameters and work are what happens when the loops run.
    #[test]
    fn work_is_what_the_loops_do(numbers in tape()) {
        let graph = random::graph(&numbers, false);
        let run = naive::run(&graph, &inputs_of(&graph, |c, y, x| (c * 5 + y * 3 + x) as f64));
        for id in graph.ids() {
            let (node, done) = (graph.node(id), &run.done[id.index()]);
            let value = run.values[id.index()].as_ref().unwrap();
            prop_assert_eq!(value.shape(), node.shape);
            let shapes: Vec<Shape> = graph.inputs(id).iter().map(|x| graph.shape(*x)).collect();
            let work = node.op.work(&shapes, node.shape);
            prop_assert_eq!(work.macs, done.macs);
            prop_assert_eq!(work.other_ops, done.other_ops, "{:?}", node.op);
            let first = shapes.first().copied().unwrap_or(node.shape);
            prop_assert_eq!(node.op.params(first), done.learned.len() as u64);
            prop_assert_eq!(work.elems_weight, (done.learned.len() + done.statistics.len()) as u64);
            let (c, h, w) = value.dims();
            let read = done.read.len() as u64;
            match node.op {
                Op::Input { .. } | Op::Flatten(_) | Op::Dropout(_) => {
                    prop_assert_eq!((work.elems_in, work.elems_out), (0, 0));
                }
                Op::Conv(_) | Op::MaxPool(_) | Op::AvgPool(_) | Op::Upsample(_) => {
                    prop_assert!(work.elems_in >= read); // strides may skip pixels
                    prop_assert_eq!(work.elems_in, shapes[0].elems());
                    prop_assert_eq!(work.elems_out, (c * h * w) as u64);
                }
                Op::Gather(_) => {
                    prop_assert!(work.elems_in >= read); // one channel may be picked twice
                    prop_assert_eq!((work.elems_in, work.elems_out), ((c * h * w) as u64, (c * h * w) as u64));
                }
                _ => {
                    prop_assert_eq!(work.elems_in, read, "{:?}", node.op);
                    prop_assert_eq!(work.elems_out, (c * h * w) as u64);
                }
            }
        }
    }

    /// An op is accepted exactly where the loops could run it.
    #[test]
    fn ops_are_accepted_where_the_loops_can_run(numbers in tape()) {
        let mut t = Tape::new(&numbers);
        for _ in 0..8 {
            let op = random::op(&mut t);
            let mut shape = || match t.below(4) {
                0 => Shape::Flat { n: 1 + t.below(4) },
                1 => map(1 + t.below(4), 1, 1),
                _ => map(1 + t.below(4), 1 + t.below(7), 1 + t.below(7)),
            };
            let first = shape();
            let inputs = match op {
                Op::Add(_) | Op::Mul(_) | Op::Concat(_) => vec![first, shape()],
                _ => vec![first],
            };
            let inferred = op.infer(&inputs);
            prop_assert_eq!(inferred.is_ok(), fits(&op, &inputs), "{:?} {:?} {:?}", op, inputs, inferred);
            prop_assert!(op.infer(&[]).is_err());
            prop_assert!(matches!(op, Op::Concat(_) | Op::Add(_) | Op::Mul(_)) || op.infer(&[first; 2]).is_err());
        }
    }

    #[test]
    fn built_graphs_verify_and_survive_their_text(numbers in tape(), named: bool) {
        let graph = random::graph(&numbers, named);
        prop_assert_eq!(verify(&graph), Ok(()));
        let printed = graph.to_string();
        let read = text::parse(&printed);
        prop_assert_eq!(read.as_ref(), Ok(&graph), "{}", printed);
    }

    #[test]
    fn damaged_text_is_refused_or_sound(numbers in tape(), cut in 0usize..4000, put in "[%x0-9a-z()\": .\n#]{0,6}") {
        let mut printed = random::graph(&numbers, true).to_string();
        let at = cut % (printed.len() + 1);
        if printed.is_char_boundary(at) {
            let end = (at + put.len() / 2).min(printed.len());
            if printed.is_char_boundary(end) {
                printed.replace_range(at..end, &put);
            }
        }
        if let Ok(graph) = text::parse(&printed) {
            prop_assert_eq!(verify(&graph), Ok(()));
        }
    }

    /// Neither the order of the nodes, nor dead nodes, nor names make another network.
    #[test]
    fn fingerprint_is_of_the_network_not_of_its_spelling(numbers in tape(), shuffle in tape()) {
        let graph = random::graph(&numbers, true);
        let mut t = Tape::new(&shuffle);
        let mut b = GraphBuilder::new(false);
        let live = graph.live();
        let mut place: Vec<Option<ValueId>> = vec![None; graph.nodes().len()];
        let mut owners = std::collections::HashMap::new();
        loop {
            let ready: Vec<ValueId> = graph
                .ids()
                .filter(|id| live[id.index()] && place[id.index()].is_none())
                .filter(|id| graph.inputs(*id).iter().all(|x| place[x.index()].is_some()))
                .collect();
            if ready.is_empty() {
                break;
            }
            let id = ready[t.below(ready.len() as u32) as usize];
            let args: Vec<ValueId> = graph.inputs(id).iter().map(|x| place[x.index()].unwrap()).collect();
            let op = graph.node(id).op;
            let new = b.push(op, &args).unwrap();
            place[id.index()] = Some(new);
            if op.learns() {
                // whichever comes first owns what is shared
                let owner = *owners.entry(graph.owner(id)).or_insert(new);
                if owner != new {
                    b.share(new, owner).unwrap();
                }
            }
        }
        let outputs: Vec<ValueId> = graph.outputs().iter().map(|x| place[x.index()].unwrap()).collect();
        let other = b.finish(&outputs);
        prop_assert_eq!(graph.fingerprint(), other.fingerprint());
    }
}

fn parsed(text: &str) -> Graph {
    text::parse(text).unwrap()
}

#[test]
fn fingerprint_tells_networks_apart() {
    let nets = [
        "%0 input 4x1x1\noutput %0",
        "%0 input 4\noutput %0",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k3 p1\n%2 add 4x8x8 (%1 %1)\noutput %2",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k3 p1\n%2 conv 4x8x8 (%0) k3 p1\n%3 add 4x8x8 (%1 %2)\noutput %3",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k3 p1\n%2 add 4x8x8 (%0 %1)\noutput %2",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k3x1 p1x0\n%2 add 4x8x8 (%0 %1)\noutput %2",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k3x1 p1x0\n%2 add 4x8x8 (%0 %1)\noutput %1",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k3x1 p1x0\n%2 add 4x8x8 (%0 %1)\noutput %1\noutput %2",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k3x1 p1x0\n%2 add 4x8x8 (%0 %1)\noutput %2\noutput %1",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k1\n%2 batch_norm 4x8x8 (%1)\noutput %2",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k1\n%2 conv 4x8x8 (%1) k1\n%3 conv 4x8x8 (%2) k1\noutput %3",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k1\n%2 conv 4x8x8 (%1) k1 of%1\n%3 conv 4x8x8 (%2) k1\noutput %3",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k1\n%2 conv 4x8x8 (%1) k1\n%3 conv 4x8x8 (%2) k1 of%1\noutput %3",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k1\n%2 conv 4x8x8 (%1) k1\n%3 conv 4x8x8 (%2) k1 of%2\noutput %3",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k1\n%2 conv 4x8x8 (%1) k1 of%1\n%3 conv 4x8x8 (%2) k1 of%1\noutput %3",
        "%0 input 4x8x8\n%1 conv 4x8x8 (%0) k1\n%2 batch_norm 4x8x8 (%1) eps0.001\noutput %2",
    ];
    let prints: std::collections::HashSet<_> = nets.map(|n| parsed(n).fingerprint()).into();
    assert_eq!(prints.len(), nets.len());
}

#[test]
fn one_line_an_op() {
    let every_op = "\
inputs left \"the right\"
%0 input 8x9x9 : left
%1 input 8x1x1 i1 : \"the right\"
%2 conv 8x5x5 (%0) k3x1 s2 p1x0 d1x2 g2 bias : a.conv
%3 batch_norm 8x5x5 (%2) eps0.001 : a.bn
%4 prelu 8x5x5 (%3) : a.act
%5 max_pool 8x3x3 (%4) k2 s2 ceil : b
%6 avg_pool 8x3x3 (%5) k3 p1 inner : c
%7 mul 8x3x3 (%6 %1) : d
%8 upsample 8x5x5 (%7) bilinear : e
%9 slice 3x5x5 (%8) 2..5 : f
%10 slice 3x5x5 (%8) 0..3 : g
%11 concat 6x5x5 (%9 %10) : h
%12 shuffle 6x5x5 (%11) g3 : i
%13 zero 6x5x5 (%12) : j
%14 add 6x5x5 (%13 %12) : k
%15 dropout 6x5x5 (%14) rate0.2 : l
%16 pad 10x7x8 (%15) h2x0 w1x2 c0x4 : p
%17 local_response_norm 10x7x8 (%16) n5 alpha0.0001 beta0.75 base2.0 : q
%18 l2_norm 10x7x8 (%17) : r
%19 leaky_relu 10x7x8 (%18) slope0.1 : s
%20 transpose 7x10x8 (%19) : t
%21 adaptive_avg_pool 7x3x2 (%20) : u
%22 upsample 7x5x5 (%21) corners : v
%23 global_max_pool 7x1x1 (%22) : m
%24 flatten 7 (%23) : n
%25 linear 10 (%24) bias : o
%26 linear 10 (%24) bias of%25 : o2
output %25 : class
output %14 : map
";
    let graph = parsed(every_op);
    assert_eq!(graph.to_string(), every_op);
    assert_eq!(graph.input_names(), ["left", "the right"]);
}

#[test]
fn bad_lines_are_told_by_number() {
    let told = |text: &str| text::parse(text).unwrap_err().to_string();
    let after = |line: &str| told(&format!("%0 input 3x8x8\n# a note\n{line}\noutput %0"));
    assert_eq!(
        after("%2 relu 3x8x8 (%0)"),
        "line 3: expected the next node number, got \"%2\""
    );
    assert_eq!(
        after("%1 rely 3x8x8 (%0)"),
        "line 3: no op is named \"rely\""
    );
    assert_eq!(
        after("%1 relu 3x8 (%0)"),
        "line 3: expected a shape like 3x8x8 or 1000, got \"3x8\""
    );
    assert_eq!(
        after("%1 relu 3x8x8 (%0) k3"),
        "line 3: relu does not take \"k3\" here"
    );
    assert_eq!(
        after("%1 relu 3x8x8 (%0) : act"),
        "line 4: either all nodes have names or none"
    );
}

/// The executor itself on numbers checked by hand, so that it can be trusted above.
#[test]
fn the_oracle_computes_what_is_known() {
    let graph = parsed(
        "%0 input 1x3x3\n%1 avg_pool 1x2x2 (%0) k2 s2 ceil\n%2 max_pool 1x2x2 (%0) k2 s2 ceil\n\
         %3 avg_pool 1x2x2 (%0) k2 s2 p1\n%4 avg_pool 1x2x2 (%0) k2 s2 p1 inner\n\
         %5 upsample 1x6x6 (%0) bilinear\noutput %1",
    );
    // 0 1 2 / 3 4 5 / 6 7 8
    let run = naive::run(&graph, &inputs_of(&graph, |_, y, x| (3 * y + x) as f64));
    let of = |id: usize| run.values[id].as_ref().unwrap().data[0].clone();
    assert_eq!(of(1), [[2.0, 3.5], [6.5, 8.0]]); // what sticks out never divides
    assert_eq!(of(2), [[4.0, 5.0], [7.0, 8.0]]);
    assert_eq!(of(3), [[0.0, 0.75], [2.25, 6.0]]);
    assert_eq!(of(4), [[0.0, 1.5], [4.5, 6.0]]);
    assert_eq!(of(5)[0], [0.0, 0.25, 0.75, 1.25, 1.75, 2.0]);
    let shuffled = parsed("%0 input 6x1x1\n%1 shuffle 6x1x1 (%0) g2\noutput %1");
    let run = naive::run(&shuffled, &inputs_of(&shuffled, |c, _, _| c as f64));
    let order: Vec<f64> = (0..6)
        .map(|c| run.values[1].as_ref().unwrap().data[c][0][0])
        .collect();
    assert_eq!(order, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
}

#[test]
fn dot_shows_nodes_edges_and_what_is_dead() {
    let graph = parsed(
        "%0 input 2x3x3 : x\n%1 relu 2x3x3 (%0) : \"a \\\"b\\\"\"\n%2 add 2x3x3 (%0 %0) : c\noutput %1",
    );
    let dot = blocksmith::ir::dot::print(&graph);
    let lines: Vec<&str> = dot.lines().collect();
    assert_eq!(lines[2], r#"  n0 [label="input\n2x3x3\nx"];"#);
    assert_eq!(
        lines[3],
        r#"  n1 [label="relu\n2x3x3\na \"b\"", penwidth=3];"#
    );
    assert_eq!(lines[5], r#"  n2 [label="add\n2x3x3\nc", style=dashed];"#);
    assert_eq!(dot.matches("n0 -> n2;").count(), 2);
}
