//! The ops: parameters, shape rule, parameter count and work, one file a kind.

mod act;
mod channels;
mod conv;
mod join;
mod layout;
mod linear;
mod norm;
mod pool;
mod shuffle;
mod slice;

pub use act::{Act, LEAKY_SLOPE};
pub use channels::{ChannelConv, Gather};
pub use conv::Conv;
pub use join::{Add, Concat, Mul};
pub use layout::{Pad, Transpose};
pub use linear::{Flatten, Linear};
pub use norm::{BatchNorm, Dropout, L2Norm, LocalResponseNorm, Real};
pub use pool::{AdaptiveAvgPool, AvgPool, GlobalPool, MaxPool, PoolKind, Upsample, UpsampleMode};
pub use shuffle::Shuffle;
pub use slice::Slice;

use super::shape::{Shape, ShapeError};

/// What a node computes. Closed on purpose: see the module's introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The network's input number `index`.
    Input {
        /// Which input, from 0.
        index: u32,
        /// Its shape.
        shape: Shape,
    },
    /// Convolution.
    Conv(Conv),
    /// Batch normalisation.
    BatchNorm(BatchNorm),
    /// Local response normalisation.
    LocalResponseNorm(LocalResponseNorm),
    /// Pixels scaled to length 1.
    L2Norm(L2Norm),
    /// Element-wise activation.
    Act(Act),
    /// Max pooling.
    MaxPool(MaxPool),
    /// Average pooling.
    AvgPool(AvgPool),
    /// Average pooling to a given size.
    AdaptiveAvgPool(AdaptiveAvgPool),
    /// Pooling of each channel to one number.
    GlobalPool(GlobalPool),
    /// Resizing to a fixed height and width.
    Upsample(Upsample),
    /// Fully connected layer.
    Linear(Linear),
    /// Sum of two values, with broadcast.
    Add(Add),
    /// Product of two values, with broadcast.
    Mul(Mul),
    /// Concatenation along the channels.
    Concat(Concat),
    /// A range of channels.
    Slice(Slice),
    /// Channel shuffle.
    Shuffle(Shuffle),
    /// Channels and rows swapped.
    Transpose(Transpose),
    /// Zeros around a map.
    Pad(Pad),
    /// Channels picked by an index that belongs to the weights.
    Gather(Gather),
    /// One filter along the channels.
    ChannelConv(ChannelConv),
    /// A map as a vector.
    Flatten(Flatten),
    /// Dropout: nothing at inference.
    Dropout(Dropout),
    /// Zeros of the input's shape (the `none` edge of cell-based spaces).
    Zero,
}

/// Work of one node for one sample.
///
/// Elements, not bytes: precision is the device's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-accumulates of convolutions and linear layers, nothing else (the papers' "FLOPs"). Taps on padding count.
    /// `u64::MAX` stands for more than fits.
    pub macs: u64,
    /// Other arithmetic: one operation for each output element of an activation, and for each further operand of a sum
    /// or product; two for a batch norm; one for each place of a pooling window, padding included; seven for bilinear
    /// resizing; the size of the sum and three for local response normalisation; four for scaling to length 1; one for each tap of
    /// a filter along the channels.
    /// `u64::MAX` stands for more than fits.
    pub other_ops: u64,
    /// Elements read from the inputs, each once; inputs are read whole, but a slice reads only what it takes.
    pub elems_in: u64,
    /// Elements written.
    pub elems_out: u64,
    /// Learnable scalars read (weights and biases, shared ones too; for batch norm also the running statistics, for a
    /// gather its index).
    pub elems_weight: u64,
}

impl Op {
    /// The op's name in JSON, text form and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input { .. } => "input",
            Op::Conv(_) => "conv",
            Op::BatchNorm(_) => "batch_norm",
            Op::LocalResponseNorm(_) => "local_response_norm",
            Op::L2Norm(_) => "l2_norm",
            Op::Act(act) => act.name(),
            Op::MaxPool(_) => "max_pool",
            Op::AvgPool(_) => "avg_pool",
            Op::AdaptiveAvgPool(_) => "adaptive_avg_pool",
            Op::GlobalPool(p) => p.kind.global_name(),
            Op::Upsample(_) => "upsample",
            Op::Linear(_) => "linear",
            Op::Add(_) => "add",
            Op::Mul(_) => "mul",
            Op::Concat(_) => "concat",
            Op::Slice(_) => "slice",
            Op::Shuffle(_) => "shuffle",
            Op::Transpose(_) => "transpose",
            Op::Pad(_) => "pad",
            Op::Gather(_) => "gather",
            Op::ChannelConv(_) => "channel_conv",
            Op::Flatten(_) => "flatten",
            Op::Dropout(_) => "dropout",
            Op::Zero => "zero",
        }
    }

    /// The output's shape, a pure function of the inputs' shapes.
    ///
    /// # Errors
    /// Where number or shape of the inputs, or the op's own parameters, do not fit.
    pub fn infer(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let one = |op: &'static str| match inputs {
            [x] => Ok(*x),
            _ => Err(ShapeError::Arity {
                op,
                expected: "1",
                got: inputs.len(),
            }),
        };
        let shape = match self {
            Op::Input { shape, .. } => match inputs {
                [] => *shape,
                _ => {
                    return Err(ShapeError::Arity {
                        op: "input",
                        expected: "0",
                        got: inputs.len(),
                    });
                }
            },
            Op::Conv(conv) => conv.infer(one("conv")?)?,
            Op::MaxPool(pool) => pool.infer(one("max_pool")?)?,
            Op::AvgPool(pool) => pool.infer(one("avg_pool")?)?,
            Op::AdaptiveAvgPool(pool) => pool.infer(one("adaptive_avg_pool")?)?,
            Op::GlobalPool(pool) => pool.infer(one(self.name())?)?,
            Op::Upsample(up) => up.infer(one("upsample")?)?,
            Op::Linear(linear) => linear.infer(one("linear")?)?,
            Op::Flatten(flatten) => flatten.infer(one("flatten")?)?,
            Op::Slice(slice) => slice.infer(one("slice")?)?,
            Op::Shuffle(shuffle) => shuffle.infer(one("shuffle")?)?,
            Op::Transpose(transpose) => transpose.infer(one("transpose")?)?,
            Op::Pad(pad) => pad.infer(one("pad")?)?,
            Op::Gather(gather) => gather.infer(one("gather")?)?,
            Op::ChannelConv(conv) => conv.infer(one("channel_conv")?)?,
            Op::Add(_) => join::infer_broadcast("add", inputs)?,
            Op::Mul(_) => join::infer_broadcast("mul", inputs)?,
            Op::Concat(concat) => concat.infer(inputs)?,
            Op::BatchNorm(bn) => bn.infer(one("batch_norm")?)?,
            Op::LocalResponseNorm(norm) => norm.infer(one("local_response_norm")?)?,
            Op::L2Norm(norm) => norm.infer(one("l2_norm")?)?,
            Op::Dropout(dropout) => dropout.infer(one("dropout")?)?,
            Op::Act(act) => act.infer(one(self.name())?)?,
            Op::Zero => one(self.name())?,
        };
        shape.checked()
    }

    /// Learnable scalars, given the first input's shape. Running statistics do not count.
    pub fn params(&self, input: Shape) -> u64 {
        let c = u64::from(input.channels());
        match self {
            Op::Conv(conv) => conv.params(input),
            Op::Linear(linear) => linear.params(input),
            Op::BatchNorm(_) => 2 * c,
            Op::ChannelConv(conv) => u64::from(conv.kernel_size),
            Op::Act(Act::Prelu) | Op::L2Norm(_) => c,
            Op::Input { .. }
            | Op::Act(_)
            | Op::LocalResponseNorm(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::AdaptiveAvgPool(_)
            | Op::GlobalPool(_)
            | Op::Upsample(_)
            | Op::Add(_)
            | Op::Mul(_)
            | Op::Concat(_)
            | Op::Slice(_)
            | Op::Shuffle(_)
            | Op::Transpose(_)
            | Op::Pad(_)
            | Op::Gather(_)
            | Op::Flatten(_)
            | Op::Dropout(_)
            | Op::Zero => 0,
        }
    }

    /// True for ops with parameters of their own, learnt or kept.
    pub fn learns(&self) -> bool {
        match self {
            Op::Conv(_)
            | Op::Linear(_)
            | Op::BatchNorm(_)
            | Op::L2Norm(_)
            | Op::Gather(_)
            | Op::ChannelConv(_)
            | Op::Act(Act::Prelu) => true,
            Op::Input { .. }
            | Op::Act(_)
            | Op::LocalResponseNorm(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::AdaptiveAvgPool(_)
            | Op::GlobalPool(_)
            | Op::Upsample(_)
            | Op::Add(_)
            | Op::Mul(_)
            | Op::Concat(_)
            | Op::Slice(_)
            | Op::Shuffle(_)
            | Op::Transpose(_)
            | Op::Pad(_)
            | Op::Flatten(_)
            | Op::Dropout(_)
            | Op::Zero => false,
        }
    }

    /// Whether this op on `input` can work with the parameters of `other` on `others`: the same tensors, and for
    /// convolutions the same groups.
    pub fn fits_weights_of(&self, input: Shape, other: &Op, others: Shape) -> bool {
        let same = input.channels() == others.channels();
        match (self, other) {
            (Op::Conv(a), Op::Conv(b)) => {
                let facts = |k: &Conv| (k.out_channels, k.kernel_size, k.groups, k.bias);
                same && facts(a) == facts(b)
            }
            (Op::Linear(a), Op::Linear(b)) => same && a == b,
            (Op::BatchNorm(_), Op::BatchNorm(_)) | (Op::L2Norm(_), Op::L2Norm(_)) => same,
            (Op::Act(Act::Prelu), Op::Act(Act::Prelu)) => same,
            (Op::Gather(a), Op::Gather(b)) => same && a == b,
            (Op::ChannelConv(a), Op::ChannelConv(b)) => a == b,
            _ => false,
        }
    }

    /// Work of one sample.
    pub fn work(&self, inputs: &[Shape], output: Shape) -> Work {
        let elems_in = inputs.iter().map(|s| s.elems()).sum();
        let elems_out = output.elems();
        let first = inputs.first().copied().unwrap_or(output);
        let params = self.params(first);
        let moved = Work {
            elems_in,
            elems_out,
            elems_weight: params,
            ..Work::default()
        };
        match self {
            Op::Input { .. } | Op::Flatten(_) | Op::Dropout(_) => Work::default(),
            Op::Conv(conv) => Work {
                macs: conv.macs(first, output),
                ..moved
            },
            Op::Linear(linear) => Work {
                macs: linear.macs(first),
                ..moved
            },
            Op::BatchNorm(_) => Work {
                other_ops: 2 * elems_out,
                elems_weight: 2 * params,
                ..moved
            },
            Op::Act(_) => Work {
                other_ops: elems_out,
                ..moved
            },
            Op::MaxPool(MaxPool { kernel_size: k, .. })
            | Op::AvgPool(AvgPool { kernel_size: k, .. }) => Work {
                other_ops: elems_out.saturating_mul(u64::from(k[0]) * u64::from(k[1])),
                ..moved
            },
            Op::AdaptiveAvgPool(pool) => Work {
                other_ops: pool.taps(first),
                ..moved
            },
            Op::GlobalPool(_) => Work {
                other_ops: elems_in,
                ..moved
            },
            Op::LocalResponseNorm(norm) => Work {
                other_ops: elems_out.saturating_mul(u64::from(norm.size) + 3),
                ..moved
            },
            Op::L2Norm(_) => Work {
                other_ops: 4 * elems_out,
                ..moved
            },
            Op::Transpose(_) | Op::Pad(_) => moved,
            Op::Gather(gather) => Work {
                elems_in: elems_out,
                elems_weight: u64::from(gather.channels),
                ..moved
            },
            Op::ChannelConv(conv) => Work {
                other_ops: elems_out.saturating_mul(u64::from(conv.kernel_size)),
                ..moved
            },
            Op::Upsample(up) => Work {
                other_ops: up.ops_per_elem() * elems_out,
                ..moved
            },
            Op::Add(_) | Op::Mul(_) => Work {
                other_ops: elems_out.saturating_mul(inputs.len().saturating_sub(1) as u64),
                ..moved
            },
            Op::Concat(_) | Op::Slice(_) | Op::Shuffle(_) => {
                // a slice reads only what it takes
                Work {
                    elems_in: elems_out,
                    ..moved
                }
            }
            Op::Zero => Work {
                elems_out,
                ..Work::default()
            },
        }
    }

    /// Gives kind and parameters as words, for a fingerprint; equal ops give equal words. Tags are part of the format: never reuse one.
    pub fn feed(&self, word: &mut impl FnMut(u64)) {
        let mut put = |tag: u64, fields: &[u64]| {
            word(tag);
            fields.iter().for_each(|field| word(*field));
        };
        let pair = |p: [u32; 2]| u64::from(p[0]) << 32 | u64::from(p[1]);
        match self {
            Op::Input { index, shape } => {
                // a vector has no height and width: 0 tells it from a map of one pixel
                let [c, y, x] = match *shape {
                    Shape::Map { c, h, w } => [c, h, w],
                    Shape::Flat { n } => [n, 0, 0],
                };
                put(
                    1,
                    &[u64::from(*index), u64::from(c), u64::from(y), u64::from(x)],
                );
            }
            Op::Conv(k) => put(
                2,
                &[
                    u64::from(k.out_channels),
                    pair(k.kernel_size),
                    pair(k.stride),
                    pair(k.padding),
                    pair(k.dilation),
                    u64::from(k.groups),
                    u64::from(k.bias),
                ],
            ),
            Op::BatchNorm(bn) => put(3, &[bn.eps.0.to_bits()]),
            Op::Act(Act::LeakyRelu(slope)) => put(4, &[7, slope.0.to_bits()]),
            Op::Act(act) => put(4, &[act.tag()]),
            Op::MaxPool(p) => {
                put(
                    5,
                    &[
                        pair(p.kernel_size),
                        pair(p.stride),
                        pair(p.padding),
                        u64::from(p.ceil_mode),
                    ],
                );
            }
            Op::AvgPool(p) => put(
                6,
                &[
                    pair(p.kernel_size),
                    pair(p.stride),
                    pair(p.padding),
                    u64::from(p.ceil_mode),
                    u64::from(p.count_include_pad),
                ],
            ),
            Op::GlobalPool(p) => put(7, &[p.kind as u64]),
            Op::Upsample(u) => put(8, &[pair(u.size), u.mode as u64]),
            Op::Linear(l) => put(9, &[u64::from(l.out_features), u64::from(l.bias)]),
            Op::Add(_) => put(10, &[]),
            Op::Mul(_) => put(11, &[]),
            Op::Concat(_) => put(12, &[]),
            Op::Slice(s) => put(13, &[u64::from(s.begin), u64::from(s.end)]),
            Op::Shuffle(s) => put(14, &[u64::from(s.groups)]),
            Op::Flatten(_) => put(15, &[]),
            Op::Dropout(d) => put(16, &[d.p.0.to_bits()]),
            Op::Zero => put(17, &[]),
            Op::Transpose(_) => put(18, &[]),
            Op::Pad(p) => put(19, &[pair(p.channels), pair(p.rows), pair(p.columns)]),
            Op::AdaptiveAvgPool(p) => put(20, &[pair(p.size)]),
            Op::LocalResponseNorm(n) => put(
                21,
                &[
                    u64::from(n.size),
                    n.alpha.0.to_bits(),
                    n.beta.0.to_bits(),
                    n.k.0.to_bits(),
                ],
            ),
            Op::L2Norm(n) => put(22, &[n.eps.0.to_bits()]),
            Op::Gather(g) => put(23, &[u64::from(g.channels)]),
            Op::ChannelConv(k) => put(24, &[u64::from(k.kernel_size)]),
        }
    }
}

macro_rules! into_op {
    ($($name:ident),*) => { $(impl From<$name> for Op { fn from(op: $name) -> Op { Op::$name(op) } })* };
}
into_op!(
    Conv,
    BatchNorm,
    LocalResponseNorm,
    L2Norm,
    Act,
    MaxPool,
    AvgPool,
    AdaptiveAvgPool,
    GlobalPool,
    Upsample,
    Linear,
    Add,
    Mul,
    Concat,
    Slice,
    Shuffle,
    Transpose,
    Pad,
    Gather,
    ChannelConv,
    Flatten,
    Dropout
);
