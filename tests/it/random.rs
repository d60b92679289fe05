//! Random small graphs, drawn from a tape of numbers so that failures shrink.

use crate::naive;
use blocksmith::ir::ops::*;
use blocksmith::ir::{Graph, GraphBuilder, Op, Shape, ValueId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Numbers to decide by; zeros once it has run out.
pub struct Tape<'a>(std::slice::Iter<'a, u32>);

impl<'a> Tape<'a> {
    pub fn new(numbers: &'a [u32]) -> Self {
        Self(numbers.iter())
    }

    /// A number in `0..n`.
    pub fn below(&mut self, n: u32) -> u32 {
        self.0.next().copied().unwrap_or(0) % n
    }

    fn pair(&mut self, least: u32, below: u32) -> [u32; 2] {
        [least + self.below(below), least + self.below(below)]
    }
}

/// Any op, with parameters that often fit a small map and sometimes do not.
pub fn op(t: &mut Tape) -> Op {
    match t.below(23) {
        0..=2 => Op::Conv(Conv {
            out_channels: t.below(7),
            kernel_size: t.pair(0, 5),
            stride: t.pair(0, 4),
            padding: t.pair(0, 4),
            dilation: t.pair(0, 4),
            groups: [1, 1, 1, 2, 3, 4, 0][t.below(7) as usize],
            bias: t.below(2) == 1,
        }),
        3 => BatchNorm::default().into(),
        4 => BatchNorm { eps: Real(1e-3) }.into(),
        5 => Op::Act(match t.below(10) {
            9 => Act::LeakyRelu(Real(0.3)),
            i => Act::ALL[i as usize],
        }),
        6 => Op::MaxPool(MaxPool {
            kernel_size: t.pair(0, 5),
            stride: t.pair(0, 5),
            padding: t.pair(0, 3),
            ceil_mode: t.below(2) == 1,
        }),
        7 => Op::AvgPool(AvgPool {
            kernel_size: t.pair(0, 5),
            stride: t.pair(0, 5),
            padding: t.pair(0, 3),
            ceil_mode: t.below(2) == 1,
            count_include_pad: t.below(2) == 1,
        }),
        8 => {
            let kind = [PoolKind::Avg, PoolKind::Max][t.below(2) as usize];
            GlobalPool { kind }.into()
        }
        9 => Op::Upsample(Upsample {
            size: t.pair(0, 12),
            mode: [
                UpsampleMode::Nearest,
                UpsampleMode::Bilinear,
                UpsampleMode::BilinearCorners,
            ][t.below(3) as usize],
        }),
        10 => Op::Linear(Linear {
            out_features: t.below(5),
            bias: t.below(2) == 1,
        }),
        11 => Add.into(),
        12 => Mul.into(),
        13 => Concat.into(),
        14 => {
            let begin = t.below(4);
            let end = begin + t.below(4);
            Slice { begin, end }.into()
        }
        15 => Shuffle { groups: t.below(4) }.into(),
        16 => Flatten.into(),
        17 => Transpose.into(),
        18 => Op::Pad(Pad {
            channels: t.pair(0, 3),
            rows: t.pair(0, 3),
            columns: t.pair(0, 3),
        }),
        19 => AdaptiveAvgPool { size: t.pair(0, 9) }.into(),
        20 => match t.below(2) {
            0 => L2Norm::default().into(),
            _ => Op::LocalResponseNorm(LocalResponseNorm {
                size: t.below(7),
                alpha: Real(0.5),
                beta: Real(0.75),
                k: Real(1.5),
            }),
        },
        21 => match t.below(2) {
            0 => Op::Gather(Gather {
                channels: t.below(8),
            }),
            _ => Op::ChannelConv(ChannelConv {
                kernel_size: t.below(9),
            }),
        },
        _ => match t.below(3) {
            0 => Op::Zero,
            1 => Dropout { p: Real(0.0) }.into(),
            _ => Dropout { p: Real(0.2) }.into(),
        },
    }
}

/// Up to 14 nodes on one or two inputs; ops that do not fit are left out. Some nodes are dead, some share weights.
pub fn graph(numbers: &[u32], named: bool) -> Graph {
    let mut t = Tape::new(numbers);
    let mut b = GraphBuilder::new(named);
    let inputs = 1 + t.below(2);
    for index in 0..inputs {
        let shape = match t.below(6) {
            0 => Shape::Flat { n: 1 + t.below(8) },
            _ => Shape::Map {
                c: 1 + t.below(6),
                h: 1 + t.below(9),
                w: 1 + t.below(9),
            },
        };
        b.push_named(Op::Input { index, shape }, &[], || format!("in{index}"))
            .unwrap();
    }
    for i in 0..3 + t.below(20) {
        let op = op(&mut t);
        let count = match op {
            Op::Add(_) | Op::Mul(_) => 2 + t.below(2),
            Op::Concat(_) => 1 + t.below(3),
            _ => 1,
        };
        // near the end of the graph more often than not
        let far = b.len() as u32;
        let pick = |t: &mut Tape| ValueId(far - 1 - t.below(far).min(t.below(far)));
        let args: Vec<ValueId> = (0..count).map(|_| pick(&mut t)).collect();
        if let Ok(id) = b.push_named(op, &args, || format!("n{i}.x"))
            && op.learns()
            && t.below(3) == 0
        {
            // the weights of an earlier node, where some fit
            let _ = (0..id.0).find(|owner| b.share(id, ValueId(*owner)).is_ok());
        }
        if b.len() >= 14 {
            break;
        }
    }
    let len = b.len() as u32;
    let outputs: Vec<_> = (0..1 + t.below(2))
        .map(|_| ValueId(len - 1 - t.below(len.min(3))))
        .collect();
    if named {
        let inputs = (0..inputs).map(|i| format!("in{i}")).collect();
        let outputs = (0..outputs.len()).map(|i| format!("out {i}")).collect();
        b.label(inputs, outputs, Vec::new());
    }
    b.finish(&outputs)
}

pub fn tape() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0u32..5040, 40..260)
}

/// A graph, what goes in, and every value that plain loops make of it.
pub struct Case {
    pub graph: Graph,
    pub inputs: Vec<naive::Value>,
    pub values: Vec<Option<naive::Value>>,
}

impl Case {
    /// `None` where the graph is no test of arithmetic: squares of its values leave what single precision can hold,
    /// or rounding moves its outputs (the direction of a vector that cancels, long chains of products).
    pub fn of(graph: Graph) -> Option<Self> {
        let at = |c: usize, y: usize, x: usize| ((c * 5 + y * 3 + x) % 11) as f64 / 4.0 - 1.0;
        let shapes = graph.input_shapes().into_iter();
        let inputs: Vec<naive::Value> = shapes.map(|s| naive::Value::filled(s, at)).collect();
        let values = naive::values(&graph, &inputs, 0.0);
        // both ways, as one may have a sign right by chance
        let moved = [1e-6, -1e-6].map(|noise| naive::values(&graph, &inputs, noise));
        let flat = |v: &Option<naive::Value>| -> Vec<f64> {
            let data = &v.as_ref().unwrap().data;
            data.iter().flatten().flatten().copied().collect()
        };
        let small = |v: &Option<naive::Value>| flat(v).iter().all(|x| x.abs() < 1e15);
        let settled = |id: &ValueId| {
            let values = flat(&values[id.index()]);
            let largest = values.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
            let near = |(a, b): (&f64, f64)| (a - b).abs() <= 1e-4 * largest;
            let mut moved = moved.iter().map(|moved| flat(&moved[id.index()]));
            moved.all(|moved| values.iter().zip(moved).all(near))
        };
        let sound = values.iter().all(small) && graph.outputs().iter().all(settled);
        sound.then_some(Self {
            graph,
            inputs,
            values,
        })
    }

    /// The next graph that is a test.
    pub fn next(runner: &mut TestRunner) -> Self {
        loop {
            let numbers = tape().new_tree(runner).unwrap().current();
            let graph = graph(&numbers, numbers.len().is_multiple_of(2));
            if let Some(case) = Self::of(graph) {
                return case;
            }
        }
    }
}
