//! Totals, peak memory and receptive field against counting, simulation, probing and published figures.

use crate::graph::inputs_of;
use crate::naive;
use crate::random::{self, Tape, tape};
use blocksmith::cost::{Bounds, Counts, Scratch, Totals};
use blocksmith::ir::ops::*;
use blocksmith::ir::{Graph, GraphBuilder, Op, Shape, ValueId};
use proptest::prelude::*;
use std::collections::HashSet;

fn needed(graph: &Graph) -> HashSet<ValueId> {
    let mut needed = HashSet::new();
    let mut open = graph.outputs().to_vec();
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            open.extend(graph.inputs(id));
        }
    }
    needed
}

/// Buffers as spans of time with a size; the most that overlap.
fn simulated_peak(graph: &Graph) -> u64 {
    let needed = needed(graph);
    let end = graph.nodes().len();
    let dies = |x: ValueId| {
        if graph.outputs().contains(&x) {
            return end;
        }
        let readers = graph
            .ids()
            .filter(|r| needed.contains(r) && graph.inputs(*r).contains(&x));
        readers.map(ValueId::index).max().unwrap_or(0)
    };
    let mut spans: Vec<(usize, usize, u64)> = Vec::new();
    for id in graph.ids().filter(|id| needed.contains(id)) {
        let mut death = dies(id);
        // cut short where an element-wise reader takes the buffer over: its first operand that fits gives it
        if death < end {
            let reader = ValueId(death as u32);
            let takes = matches!(
                graph.node(reader).op,
                Op::BatchNorm(_)
                    | Op::Act(_)
                    | Op::Add(_)
                    | Op::Mul(_)
                    | Op::Dropout(_)
                    | Op::Flatten(_)
            );
            let fits = |x: &&ValueId| {
                dies(**x) == death && graph.shape(**x).elems() == graph.shape(reader).elems()
            };
            if takes && graph.inputs(reader).iter().find(fits) == Some(&id) {
                death -= 1;
            }
        }
        spans.push((id.index(), death, graph.shape(id).elems()));
    }
    let alive = |t: usize| {
        spans
            .iter()
            .filter(move |(born, dies, _)| (*born..=*dies).contains(&t))
    };
    let at = |t: usize| alive(t).map(|span| span.2).sum();
    (0..end).map(at).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The totals are those of loops that counted as they ran, and the sums of the rows.
    #[test]
    fn totals_are_sums(numbers in tape(), before in tape()) {
        let graph = random::graph(&numbers, true);
        let mut scratch = Scratch::default();
        let _ = Totals::of(&random::graph(&before, false), &mut scratch); // a used scratch changes nothing
        let t = Totals::of(&graph, &mut scratch).unwrap();
        let counts = Counts::of(&graph).unwrap();
        prop_assert_eq!(t, counts.totals);

        let run = naive::run(&graph, &inputs_of(&graph, |_, _, _| 1.0));
        let needed = needed(&graph);
        let mut want = Totals { visible: t.visible, ..Totals::default() };
        let (mut weights, mut used, mut statistics) = (HashSet::new(), HashSet::new(), HashSet::new());
        for id in graph.ids() {
            let (done, live) = (&run.done[id.index()], needed.contains(&id));
            let owner = graph.owner(id);
            weights.extend(done.learned.iter().map(|w| (owner, *w)));
            statistics.extend(done.statistics.iter().map(|s| (owner, *s)));
            if !live {
                continue;
            }
            used.extend(done.learned.iter().map(|w| (owner, *w)));
            let (c, h, w) = run.values[id.index()].as_ref().unwrap().dims();
            match graph.node(id).op {
                Op::Conv(conv) => {
                    let of = graph.shape(graph.inputs(id)[0]);
                    let weights = done.learned.iter().filter(|(kind, _)| *kind == 'w').count();
                    want.macs_conv += done.macs;
                    want.conv_out_elems += (c * h * w) as u64;
                    want.mem_access_elems += of.elems() + (c * h * w + weights) as u64;
                    want.n_conv += 1;
                    if conv.groups > 1 && conv.groups == of.channels() {
                        want.n_conv_depthwise += 1;
                    } else if conv.groups > 1 {
                        want.n_conv_grouped += 1;
                    }
                }
                Op::Linear(_) => {
                    want.macs_linear += done.macs;
                    want.n_linear += 1;
                }
                Op::BatchNorm(_) => want.n_batchnorm += 1,
                _ => prop_assert_eq!(done.macs, 0),
            }
        }
        want.params = weights.len() as u64;
        want.params_live = used.len() as u64;
        want.running_stat_elems = statistics.len() as u64;
        want.macs = want.macs_conv + want.macs_linear;
        want.peak_activation_elems = simulated_peak(&graph);
        prop_assert_eq!(t, want, "{}", graph);

        let rows = &counts.layers;
        prop_assert_eq!(rows.iter().map(|r| r.params).sum::<u64>(), t.params);
        prop_assert_eq!(rows.iter().map(|r| r.macs).sum::<u64>(), t.macs);
        prop_assert_eq!(rows.iter().map(|r| r.alive_elems).max().unwrap(), t.peak_activation_elems);
        for depth in 1..3 {
            let blocks = counts.by_block(depth);
            prop_assert_eq!(blocks.iter().map(|r| r.params).sum::<u64>(), t.params);
            prop_assert_eq!(blocks.iter().map(|r| r.nodes).sum::<usize>(), rows.len());
        }
    }

    /// No convolution moves less than the bound; equally large input and output meet it.
    #[test]
    fn the_bound_bounds(ci in 1u32..32, co in 1u32..32, g in 1u32..4, k in 0u32..4, size in 1u32..40, stride in 1u32..3) {
        let (ci, co) = (ci * g, co * g);
        let conv = Conv::same(co, 2 * k + 1, stride).grouped(g);
        let shape = Shape::Map { c: ci, h: size, w: size };
        let out = Op::from(conv).infer(&[shape]).unwrap();
        let moved = Totals::conv_mem_access(&conv, shape, out) as f64;
        let bounds = Bounds::of(&conv, shape, out);
        let (bound, free) = (bounds.mem_access_bound_elems, bounds.mem_access_bound_ungrouped_elems);
        prop_assert!(free <= bound && bound <= moved * (1.0 + 1e-12));
        prop_assert_eq!(free == bound, g == 1);
        prop_assert_eq!((bound - moved).abs() < 1e-9 * moved, shape.elems() == out.elems());
    }
}

/// A net of window ops and joins on a large input, small enough in reach that some output sees nothing of the border.
fn windows(numbers: &[u32], size: u32) -> Graph {
    let mut t = Tape::new(numbers);
    let mut b = GraphBuilder::new(false);
    let shape = Shape::Map {
        c: 1,
        h: size,
        w: size,
    };
    let mut x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
    for _ in 0..1 + t.below(3) {
        let one = |b: &mut GraphBuilder, t: &mut Tape, s: u32| {
            let (k, d) = (
                [1 + t.below(4), 1 + t.below(4)],
                [1 + t.below(2), 1 + t.below(2)],
            );
            let p = [t.below(3).min(k[0] / 2), t.below(3).min(k[1] / 2)];
            let (kernel_size, stride, padding) = (k, [s; 2], p);
            let op: Op = match t.below(4) {
                0 => MaxPool {
                    kernel_size,
                    stride,
                    padding,
                    ceil_mode: t.below(2) == 1,
                }
                .into(),
                1 => AvgPool {
                    kernel_size,
                    stride,
                    padding,
                    ceil_mode: false,
                    count_include_pad: true,
                }
                .into(),
                _ => Conv {
                    kernel_size,
                    stride,
                    padding,
                    dilation: d,
                    ..Conv::same(1, 1, 1)
                }
                .into(),
            };
            b.push(op, &[x]).unwrap_or(x)
        };
        let s = 1 + t.below(2);
        let left = one(&mut b, &mut t, s);
        let right = one(&mut b, &mut t, s);
        let joined = match t.below(3) {
            0 => b
                .push(Concat, &[left, right])
                .and_then(|c| b.push(Conv::same(1, 1, 1), &[c])),
            _ => b.push(Add, &[left, right]),
        };
        x = joined.unwrap_or(left);
        x = b.push(BatchNorm::default(), &[x]).unwrap();
    }
    b.finish(&[x])
}

/// Extent of the input rows (or columns) that reach an output pixel, the largest over all output pixels.
fn probed(graph: &Graph, size: usize, rows: bool) -> u64 {
    let base = |_: usize, y: usize, x: usize| 1.0 + ((y * 7 + x * 3) % 5) as f64;
    let out = |hit: Option<usize>| {
        let inputs = inputs_of(graph, |c, y, x| {
            let here = hit == Some(if rows { y } else { x });
            base(c, y, x) + if here { 1e6 } else { 0.0 }
        });
        let mut values = naive::values(graph, &inputs, 0.0);
        values[graph.outputs()[0].index()]
            .take()
            .unwrap()
            .data
            .remove(0)
    };
    let calm = out(None);
    let mut seen = vec![vec![(usize::MAX, 0); calm[0].len()]; calm.len()];
    for place in 0..size {
        for (y, row) in out(Some(place)).iter().enumerate() {
            for (x, v) in row.iter().enumerate() {
                if *v != calm[y][x] {
                    let (lo, hi) = &mut seen[y][x];
                    (*lo, *hi) = ((*lo).min(place), (*hi).max(place));
                }
            }
        }
    }
    let extents = seen.iter().flatten().filter(|(lo, _)| *lo != usize::MAX);
    extents
        .map(|(lo, hi)| (hi - lo + 1) as u64)
        .max()
        .unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn receptive_field_is_what_probing_finds(numbers in tape()) {
        let size = 30;
        let graph = windows(&numbers, size);
        let seen = Totals::of(&graph, &mut Scratch::default()).unwrap().visible;
        let probed = [probed(&graph, size as usize, true), probed(&graph, size as usize, false)];
        for (axis, probed) in probed.into_iter().enumerate() {
            // a small window lies inside the input for some output; a large one may reach into the padding for all
            prop_assert!(probed <= seen.receptive_field[axis], "{}", graph);
            if seen.sliding_field[axis] <= 9 {
                prop_assert_eq!(probed, seen.receptive_field[axis], "{}", graph);
            }
        }
    }
}

#[test]
fn global_paths_see_everything() {
    let text = "%0 input 1x12x12\n%1 conv 1x12x12 (%0) k3 p1\n%2 global_avg_pool 1x1x1 (%1)\n\
                %3 mul 1x12x12 (%1 %2)\n%4 zero 1x12x12 (%0)\n%5 add 1x12x12 (%4 %1)\n";
    let graph = |out: u32| blocksmith::ir::text::parse(&format!("{text}output %{out}")).unwrap();
    for (out, seen, sliding) in [(1, 3, 3), (2, 12, 3), (3, 12, 3), (4, 0, 0), (5, 3, 3)] {
        let graph = graph(out);
        let t = Totals::of(&graph, &mut Scratch::default()).unwrap();
        assert_eq!(t.visible.receptive_field, [seen; 2], "%{out}");
        assert_eq!(t.visible.sliding_field, [sliding; 2], "%{out}");
        assert_eq!(probed(&graph, 12, true), seen, "%{out}");
    }
}

// ---- published networks, built by hand -----------------------------------------------------------------------------

struct Net {
    b: GraphBuilder,
    x: ValueId,
}

impl Net {
    fn new(size: u32) -> Self {
        let mut b = GraphBuilder::new(false);
        let shape = Shape::Map {
            c: 3,
            h: size,
            w: size,
        };
        let x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
        Self { b, x }
    }

    fn push(&mut self, op: impl Into<Op>) -> ValueId {
        self.x = self.b.push(op, &[self.x]).unwrap();
        self.x
    }

    fn conv_bn(&mut self, conv: Conv, act: Option<Act>) -> ValueId {
        self.push(conv);
        self.push(BatchNorm::default());
        act.map_or(self.x, |act| self.push(act))
    }

    fn pool(&mut self, padding: u32, ceil_mode: bool) {
        self.push(MaxPool {
            kernel_size: [3; 2],
            stride: [2; 2],
            padding: [padding; 2],
            ceil_mode,
        });
    }

    fn channels(&self) -> u32 {
        self.b.shape(self.x).channels()
    }

    fn classify(&mut self) {
        self.push(GlobalPool {
            kind: PoolKind::Avg,
        });
        self.push(Flatten);
        let (out_features, bias) = (1000, true);
        self.push(Linear { out_features, bias });
    }

    fn totals(self) -> Totals {
        let graph = self.b.finish(&[self.x]);
        Totals::of(&graph, &mut Scratch::default()).unwrap()
    }
}

/// DenseNet-40 of VoVNet's arithmetic (arXiv 1904.09730, section 2.2): the paper rounds to 3.7M.
#[test]
fn memory_access_of_densenet_40() {
    let mut net = Net::new(32);
    let mut ends = Vec::new(); // how many nodes each part ends with
    net.push(Conv::same(16, 3, 1));
    ends.push(net.b.len());
    for block in 0..3 {
        for _ in 0..12 {
            let before = net.x;
            let new = net.push(Conv::same(12, 3, 1));
            net.x = net.b.push(Concat, &[before, new]).unwrap();
        }
        ends.push(net.b.len());
        if block < 2 {
            let width = net.channels();
            net.push(Conv::same(width, 1, 1));
            ends.push(net.b.len());
            net.push(AvgPool {
                kernel_size: [2; 2],
                stride: [2; 2],
                padding: [0; 2],
                ceil_mode: false,
                count_include_pad: true,
            });
        }
    }
    let counts = Counts::of(&net.b.finish(&[net.x])).unwrap();
    let moved = |from: usize, to: usize| -> u64 {
        let convs = counts.layers[from..to].iter().filter(|l| l.op == "conv");
        convs.map(|l| l.mem_access_elems).sum()
    };
    let mut from = 0;
    let parts: Vec<u64> = (ends.iter())
        .map(|&to| moved(std::mem::replace(&mut from, to), to))
        .collect();
    assert_eq!(
        parts,
        [19_888, 1_261_344, 353_280, 1_024_032, 248_064, 772_896]
    );
    assert_eq!(counts.totals.mem_access_elems, 3_679_504);
}

fn vovnet27_slim() -> Net {
    let mut net = Net::new(224);
    let relu = Some(Act::Relu);
    net.conv_bn(Conv::same(64, 3, 2), relu);
    net.conv_bn(Conv::same(64, 3, 1), relu);
    net.conv_bn(Conv::same(128, 3, 2), relu);
    for (stage, (mid, out)) in [(64, 128), (80, 256), (96, 384), (112, 512)]
        .into_iter()
        .enumerate()
    {
        if stage > 0 {
            net.pool(0, true);
        }
        let mut all = vec![net.x];
        for _ in 0..5 {
            all.push(net.conv_bn(Conv::same(mid, 3, 1), relu));
        }
        net.x = net.b.push(Concat, &all).unwrap();
        net.conv_bn(Conv::same(out, 1, 1), relu);
    }
    net.classify();
    net
}

fn squeezenet1_0() -> Net {
    let mut net = Net::new(224);
    let valid = Conv {
        padding: [0; 2],
        ..Conv::same(96, 7, 2).biased()
    };
    net.push(valid);
    net.push(Act::Relu);
    net.pool(0, true);
    for (i, (squeeze, expand)) in [
        (16, 64),
        (16, 64),
        (32, 128),
        (32, 128),
        (48, 192),
        (48, 192),
        (64, 256),
        (64, 256),
    ]
    .into_iter()
    .enumerate()
    {
        if i == 3 || i == 7 {
            net.pool(0, true);
        }
        net.push(Conv::same(squeeze, 1, 1).biased());
        let x = net.push(Act::Relu);
        net.push(Conv::same(expand, 1, 1).biased());
        let a = net.push(Act::Relu);
        net.x = x;
        net.push(Conv::same(expand, 3, 1).biased());
        let b = net.push(Act::Relu);
        net.x = net.b.push(Concat, &[a, b]).unwrap();
    }
    net.push(Dropout { p: Real(0.5) });
    net.push(Conv::same(1000, 1, 1).biased());
    net.push(Act::Relu);
    net.push(GlobalPool {
        kind: PoolKind::Avg,
    });
    net.push(Flatten);
    net
}

fn mobilenet_v2() -> Net {
    let mut net = Net::new(224);
    let relu6 = Some(Act::Relu6);
    net.conv_bn(Conv::same(32, 3, 2), relu6);
    for (expand, out, repeat, stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for i in 0..repeat {
            let (before, c) = (net.x, net.channels());
            let (mid, stride) = (c * expand, if i == 0 { stride } else { 1 });
            if expand > 1 {
                net.conv_bn(Conv::same(mid, 1, 1), relu6);
            }
            net.conv_bn(Conv::same(mid, 3, stride).grouped(mid), relu6);
            net.conv_bn(Conv::same(out, 1, 1), None);
            if stride == 1 && c == out {
                net.x = net.b.push(Add, &[before, net.x]).unwrap();
            }
        }
    }
    net.conv_bn(Conv::same(1280, 1, 1), relu6);
    net.classify();
    net
}

/// VoVNet-27-slim, counted by hand-written script for the language's first example.
#[test]
fn vovnet_27_slim_has_its_known_size() {
    let t = vovnet27_slim().totals();
    assert_eq!((t.params, t.macs), (3_525_736, 2_176_695_296));
}

/// Every column of the reference counts, for nets with plain, biased and depthwise convolutions.
#[test]
fn reference_counts() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("BLOCKSMITH_SHARED").map_or(here.join("../shared"), Into::into);
    let Ok(table) = std::fs::read_to_string(shared.join("reference/oracle.csv")) else {
        eprintln!("skipped: no reference/oracle.csv");
        return;
    };
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split(',').collect())
        .collect();
    for (source, name, net) in [
        (
            "official:VoVNet.pytorch",
            "vovnet27_slim",
            vovnet27_slim as fn() -> Net,
        ),
        ("torchvision", "squeezenet1_0", squeezenet1_0),
        ("torchvision", "mobilenet_v2", mobilenet_v2),
    ] {
        let row = rows
            .iter()
            .find(|r| r[0] == source && r[2] == name)
            .unwrap();
        let t = net().totals();
        for (column, got) in [
            ("params", t.params),
            ("macs_conv_linear", t.macs),
            ("macs_conv", t.macs_conv),
            ("macs_linear", t.macs_linear),
            ("conv_out_elems", t.conv_out_elems),
            ("conv_memory_access_elems", t.mem_access_elems),
            ("n_conv", t.n_conv),
            ("n_conv_depthwise", t.n_conv_depthwise),
            ("n_conv_grouped", t.n_conv_grouped),
            ("n_linear", t.n_linear),
            ("n_batchnorm", t.n_batchnorm),
            ("running_stat_elems", t.running_stat_elems),
        ] {
            let at = rows[0].iter().position(|c| *c == column).unwrap();
            assert_eq!(got.to_string(), row[at], "{name}: {column}");
        }
    }
}
