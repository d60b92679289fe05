//! `{"op": …}` nodes: each is one node of the graph, with PyTorch's parameter names and defaults but where its doc says
//! otherwise.

use super::lower::{LowerError, LowerErrorKind, one};
use super::registry::{BlockDef, LowerFn, flag, int, optional, or, pair, real, word};
use crate::ir::Op;
use crate::ir::ops::{
    Act, AdaptiveAvgPool, Add, AvgPool, BatchNorm, ChannelConv, Concat, Conv, Dropout, Flatten,
    Gather, GlobalPool, L2Norm, Linear, LocalResponseNorm, MaxPool, Mul, Pad, PoolKind, Real,
    Shuffle, Slice, Transpose, Upsample, UpsampleMode,
};
use crate::space::signature::{NodeKind, ParamDef};

const fn op(
    name: &'static str,
    doc: &'static str,
    shapes: &'static str,
    params: &'static [ParamDef],
    lower: LowerFn,
    example: &'static str,
) -> BlockDef {
    BlockDef {
        name,
        kind: NodeKind::Op,
        doc,
        shapes,
        formula: "",
        source: "PyTorch",
        params,
        lower,
        example,
    }
}

const SAME: &str = "[c, h, w] -> [c, h, w]";
const POOLED: &str = "[c, h, w] -> [c, h', w'], h' = (h + 2 padding - kernel_size) / stride + 1, rounded down, \
                      or up with ceil_mode";

/// Padding that keeps height and width at stride 1 with an odd kernel.
pub(super) fn same_padding(kernel_size: [u32; 2], dilation: [u32; 2]) -> [u32; 2] {
    let axis = |k: u32, d: u32| d.saturating_mul(k.saturating_sub(1)) / 2;
    [
        axis(kernel_size[0], dilation[0]),
        axis(kernel_size[1], dilation[1]),
    ]
}

pub(super) static CONV: BlockDef = op(
    "conv",
    "Convolution.",
    "[c, h, w] -> [out_channels, h', w'], h' = floor((h + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1",
    &[
        int("out_channels", 1, "Output channels; a multiple of groups."),
        pair("kernel_size", 1, "Kernel height and width."),
        or(pair("stride", 1, "Step along height and width."), 1),
        optional(pair(
            "padding",
            0,
            "Zeros on each side. Left out: dilation (kernel_size - 1) / 2, rounded down, which keeps height and width at \
             stride 1 with an odd kernel (PyTorch's own default is 0).",
        )),
        or(pair("dilation", 1, "Distance between kernel taps."), 1),
        or(
            int(
                "groups",
                1,
                "Groups that input and output channels are cut into; \"=in.c\" is depthwise.",
            ),
            1,
        ),
        flag(
            "bias",
            false,
            "Whether a bias is added (PyTorch's own default is true).",
        ),
    ],
    |l, args, inputs| {
        let (kernel_size, dilation) = (args.pair(1), args.pair(4));
        let conv = Conv {
            out_channels: args.int(0),
            kernel_size,
            stride: args.pair(2),
            padding: args
                .pair_opt(3)
                .unwrap_or_else(|| same_padding(kernel_size, dilation)),
            dilation,
            groups: args.int(5),
            bias: args.flag(6),
        };
        l.push("", conv, inputs)
    },
    r#"{"op": "conv", "out_channels": 48, "kernel_size": [3, 1], "stride": 2, "groups": 2}"#,
);

pub(super) static BATCH_NORM: BlockDef = op(
    "batch_norm",
    "Batch normalisation over the channels, with scale and shift.",
    SAME,
    &[real("eps", (0.0, 1.0), 1e-5, "Added to the variance.")],
    |l, args, inputs| {
        let eps = Real(args.real(0));
        l.push("", BatchNorm { eps }, inputs)
    },
    r#"{"op": "batch_norm", "eps": 0.001}"#,
);

macro_rules! act {
    ($($id:ident $act:ident $name:literal $doc:literal),* $(,)?) => { $(
        pub(super) static $id: BlockDef = op(
            $name, $doc, SAME, &[], |l, _, inputs| l.push("", Act::$act, inputs), concat!(r#"{"op": ""#, $name, r#""}"#),
        );
    )* };
}
act!(
    RELU Relu "relu" "max(x, 0).",
    RELU6 Relu6 "relu6" "min(max(x, 0), 6).",
    PRELU Prelu "prelu" "x where positive, a x elsewhere; one learnable a a channel.",
    SILU Silu "silu" "x sigmoid(x).",
    HSWISH Hswish "hswish" "x relu6(x + 3) / 6.",
    SIGMOID Sigmoid "sigmoid" "1 / (1 + exp(-x)).",
    HSIGMOID Hsigmoid "hsigmoid" "relu6(x + 3) / 6.",
    CLIP01 Clip01 "clip01" "min(max(x, 0), 1).",
);

pub(super) static LEAKY_RELU: BlockDef = op(
    "leaky_relu",
    "x where positive, negative_slope x elsewhere.",
    SAME,
    &[real(
        "negative_slope",
        (0.0, 1.0),
        0.01,
        "Slope below zero.",
    )],
    |l, args, inputs| l.push("", Act::LeakyRelu(Real(args.real(0))), inputs),
    r#"{"op": "leaky_relu", "negative_slope": 0.1}"#,
);

pub(super) static LOCAL_RESPONSE_NORM: BlockDef = op(
    "local_response_norm",
    "Local response normalisation across channels: x_c / (k + alpha / size * sum of x_j^2)^beta over the size channels \
     around c.",
    SAME,
    &[
        int(
            "size",
            1,
            "Channels in the sum, size / 2 of them (rounded down) before c.",
        ),
        real(
            "alpha",
            (0.0, 1000.0),
            1e-4,
            "Weight of the mean of squares.",
        ),
        real("beta", (0.0, 1000.0), 0.75, "Exponent."),
        real("k", (0.0, 1000.0), 1.0, "Added to the weighted mean."),
    ],
    |l, args, inputs| {
        let norm = LocalResponseNorm {
            size: args.int(0),
            alpha: Real(args.real(1)),
            beta: Real(args.real(2)),
            k: Real(args.real(3)),
        };
        l.push("", norm, inputs)
    },
    r#"{"op": "local_response_norm", "size": 5}"#,
);

pub(super) static L2_NORM: BlockDef = op(
    "l2_norm",
    "Each pixel's channels scaled to length 1, then each channel by a learnable factor.",
    SAME,
    &[real(
        "eps",
        (0.0, 1.0),
        1e-12,
        "The least length that is divided by.",
    )],
    |l, args, inputs| {
        let eps = Real(args.real(0));
        l.push("", L2Norm { eps }, inputs)
    },
    r#"{"op": "l2_norm"}"#,
);

const KERNEL: ParamDef = pair("kernel_size", 1, "Window height and width.");
const POOL_STRIDE: ParamDef = optional(pair(
    "stride",
    1,
    "Step along height and width. Left out: kernel_size.",
));
const POOL_PADDING: ParamDef = or(
    pair(
        "padding",
        0,
        "Padding on each side; at most half the window.",
    ),
    0,
);
const CEIL: ParamDef = flag(
    "ceil_mode",
    false,
    "Whether the output size is rounded up; a last window that would start in the right padding is dropped.",
);

pub(super) static MAX_POOL: BlockDef = op(
    "max_pool",
    "Max pooling.",
    POOLED,
    &[KERNEL, POOL_STRIDE, POOL_PADDING, CEIL],
    |l, args, inputs| {
        let kernel_size = args.pair(0);
        let pool = MaxPool {
            kernel_size,
            stride: args.pair_opt(1).unwrap_or(kernel_size),
            padding: args.pair(2),
            ceil_mode: args.flag(3),
        };
        l.push("", pool, inputs)
    },
    r#"{"op": "max_pool", "kernel_size": 3, "stride": 2, "ceil_mode": true}"#,
);

pub(super) static AVG_POOL: BlockDef = op(
    "avg_pool",
    "Average pooling.",
    POOLED,
    &[
        KERNEL,
        POOL_STRIDE,
        POOL_PADDING,
        CEIL,
        flag(
            "count_include_pad",
            true,
            "Whether padding zeros count in the divisor.",
        ),
    ],
    |l, args, inputs| {
        let kernel_size = args.pair(0);
        let pool = AvgPool {
            kernel_size,
            stride: args.pair_opt(1).unwrap_or(kernel_size),
            padding: args.pair(2),
            ceil_mode: args.flag(3),
            count_include_pad: args.flag(4),
        };
        l.push("", pool, inputs)
    },
    r#"{"op": "avg_pool", "kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": false}"#,
);

pub(super) static ADAPTIVE_AVG_POOL: BlockDef = op(
    "adaptive_avg_pool",
    "Average pooling to a given height and width: row i is the mean of the rows from floor(i h / h') up to \
     ceil((i + 1) h / h').",
    "[c, h, w] -> [c, size]",
    &[pair("size", 1, "Height and width of the output.")],
    |l, args, inputs| {
        let size = args.pair(0);
        l.push("", AdaptiveAvgPool { size }, inputs)
    },
    r#"{"op": "adaptive_avg_pool", "size": [7, 5]}"#,
);

pub(super) static GLOBAL_AVG_POOL: BlockDef = op(
    "global_avg_pool",
    "Each channel's mean over the map.",
    "[c, h, w] -> [c, 1, 1]",
    &[],
    |l, _, inputs| {
        let kind = PoolKind::Avg;
        l.push("", GlobalPool { kind }, inputs)
    },
    r#"{"op": "global_avg_pool"}"#,
);

pub(super) static GLOBAL_MAX_POOL: BlockDef = op(
    "global_max_pool",
    "Each channel's maximum over the map.",
    "[c, h, w] -> [c, 1, 1]",
    &[],
    |l, _, inputs| {
        let kind = PoolKind::Max;
        l.push("", GlobalPool { kind }, inputs)
    },
    r#"{"op": "global_max_pool"}"#,
);

pub(super) static UPSAMPLE: BlockDef = op(
    "upsample",
    "Resizing to a fixed height and width, by a whole factor, or to height and width of a second input.",
    "[c, h, w] (and [c2, h', w']) -> [c, size], [c, scale h, scale w] or [c, h', w']",
    &[
        optional(int(
            "scale",
            1,
            "Factor for height and width. Exactly one of scale, size and a second input is given.",
        )),
        optional(pair("size", 1, "New height and width.")),
        word("mode", &["nearest", "bilinear"], "How new pixels are made."),
        flag(
            "align_corners",
            false,
            "For bilinear: whether old corners lie on new corners, rather than edges on edges.",
        ),
    ],
    |l, args, inputs| {
        let (x, like) = match inputs {
            [x, like] => (*x, Some(l.shape(*like).hw().into())),
            _ => (one(inputs)?, None),
        };
        let (h, w) = l.shape(x).hw();
        let refuse = |what, slot| Err(LowerError::from(LowerErrorKind::Conflict(what)).on(slot));
        let size = match (args.int_opt(0), args.pair_opt(1), like) {
            (Some(scale), None, None) => [h.saturating_mul(scale), w.saturating_mul(scale)],
            (None, Some(size), None) | (None, None, Some(size)) => size,
            (Some(_), _, Some(_)) => {
                return refuse("takes its size from a second input, so no scale", 0);
            }
            (None, Some(_), Some(_)) => {
                return refuse(
                    "takes its size from a second input, so no size of its own",
                    1,
                );
            }
            (Some(_), Some(_), None) | (None, None, None) => {
                let what = "needs exactly one of scale, size and a second input";
                return Err(LowerErrorKind::Conflict(what).into());
            }
        };
        let mode = match (args.word(2), args.flag(3)) {
            (0, false) => UpsampleMode::Nearest,
            (0, true) => return refuse("takes align_corners with mode bilinear only", 3),
            (_, false) => UpsampleMode::Bilinear,
            (_, true) => UpsampleMode::BilinearCorners,
        };
        l.push("", Upsample { size, mode }, &[x])
    },
    r#"{"op": "upsample", "scale": 2, "mode": "bilinear"}"#,
);

pub(super) static LINEAR: BlockDef = op(
    "linear",
    "Fully connected layer.",
    "[n] -> [out_features]",
    &[
        int("out_features", 1, "Output length."),
        flag("bias", true, "Whether a bias is added."),
    ],
    |l, args, inputs| {
        let linear = Linear {
            out_features: args.int(0),
            bias: args.flag(1),
        };
        l.push("", linear, inputs)
    },
    r#"{"op": "linear", "out_features": 10}"#,
);

pub(super) static FLATTEN: BlockDef = op(
    "flatten",
    "A map as a vector, in channel, row, column order.",
    "[c, h, w] -> [c h w]",
    &[],
    |l, _, inputs| l.push("", Flatten, inputs),
    r#"{"op": "flatten"}"#,
);

pub(super) static DROPOUT: BlockDef = op(
    "dropout",
    "Dropout: drops elements in training, nothing at inference.",
    SAME,
    &[real(
        "p",
        (0.0, 1.0),
        0.5,
        "Share of elements dropped in training.",
    )],
    |l, args, inputs| {
        let p = Real(args.real(0));
        l.push("", Dropout { p }, inputs)
    },
    r#"{"op": "dropout", "p": 0.2}"#,
);

pub(super) static ADD: BlockDef = op(
    "add",
    "Sum of two inputs or more; an axis of 1 is broadcast, beside a map a vector is one value a channel.",
    "[c, h, w] x n -> [c, h, w]",
    &[],
    |l, _, inputs| l.push("", Add, inputs),
    r#"{"op": "add", "from": ["in", "in"]}"#,
);

pub(super) static MUL: BlockDef = op(
    "mul",
    "Product of two inputs or more; an axis of 1 is broadcast, beside a map a vector is one value a channel.",
    "[c, h, w] x n -> [c, h, w]",
    &[],
    |l, _, inputs| l.push("", Mul, inputs),
    r#"{"op": "mul", "from": ["in", "in"]}"#,
);

pub(super) static CONCAT: BlockDef = op(
    "concat",
    "Inputs along the channels, in their order.",
    "[c_k, h, w] x n -> [sum of c_k, h, w]",
    &[],
    |l, _, inputs| l.push("", Concat, inputs),
    r#"{"op": "concat", "from": ["in", "in"]}"#,
);

pub(super) static SLICE: BlockDef = op(
    "slice",
    "A range of channels.",
    "[c, h, w] -> [end - begin, h, w]",
    &[
        or(int("begin", 0, "First channel taken."), 0),
        optional(int(
            "end",
            1,
            "First channel not taken. Left out: the input's width.",
        )),
    ],
    |l, args, inputs| {
        let x = one(inputs)?;
        let end = args.int_opt(1).unwrap_or_else(|| l.channels(x));
        let begin = args.int(0);
        l.push("", Slice { begin, end }, &[x])
    },
    r#"{"op": "slice", "begin": 8, "end": 24}"#,
);

pub(super) static SHUFFLE: BlockDef = op(
    "shuffle",
    "Channel shuffle: with c = groups n, output channel i groups + j is input channel j n + i.",
    SAME,
    &[int(
        "groups",
        1,
        "Groups that the channels come in. With \"=div(in.c, g)\" it is the inverse of the shuffle of g groups.",
    )],
    |l, args, inputs| {
        let groups = args.int(0);
        l.push("", Shuffle { groups }, inputs)
    },
    r#"{"op": "shuffle", "groups": 4}"#,
);

pub(super) static TRANSPOSE: BlockDef = op(
    "transpose",
    "Channels and rows swapped. Between two of them a convolution runs along the channels: [c, 1, 1] becomes [1, c, 1].",
    "[c, h, w] -> [h, c, w]",
    &[],
    |l, _, inputs| l.push("", Transpose, inputs),
    r#"{"op": "transpose"}"#,
);

pub(super) static GATHER: BlockDef = op(
    "gather",
    "Channels picked by an index that comes with the weights (parameter \"index\", whole numbers): output channel k is input \
     channel index[k]. Before weights are loaded they are taken in their order, from the first again where there are no more.",
    "[c, h, w] -> [channels, h, w]",
    &[optional(int(
        "channels",
        1,
        "How many are picked. Left out: the input's width.",
    ))],
    |l, args, inputs| {
        let x = one(inputs)?;
        let channels = args.int_opt(0).unwrap_or_else(|| l.channels(x));
        l.push("", Gather { channels }, &[x])
    },
    r#"{"op": "gather", "channels": 12}"#,
);

pub(super) static CHANNEL_CONV: BlockDef = op(
    "channel_conv",
    "One filter that slides along the channels, the same at every pixel: 1-d convolution without bias, with zeros beyond the \
     ends. It counts as no convolution, which in counts is always one over height and width.",
    SAME,
    &[int("kernel_size", 1, "Channels that the filter covers.")],
    |l, args, inputs| {
        let kernel_size = args.int(0);
        l.push("", ChannelConv { kernel_size }, inputs)
    },
    r#"{"op": "channel_conv", "kernel_size": 5}"#,
);

pub(super) static PAD: BlockDef = op(
    "pad",
    "Zeros around a map, as many on each side as is told.",
    "[c, h, w] -> [front + c + back, top + h + bottom, left + w + right]",
    &[
        or(int("top", 0, "Rows above."), 0),
        or(int("bottom", 0, "Rows below."), 0),
        or(int("left", 0, "Columns to the left."), 0),
        or(int("right", 0, "Columns to the right."), 0),
        or(int("front", 0, "Channels before the first."), 0),
        or(int("back", 0, "Channels after the last."), 0),
    ],
    |l, args, inputs| {
        let pad = Pad {
            rows: [args.int(0), args.int(1)],
            columns: [args.int(2), args.int(3)],
            channels: [args.int(4), args.int(5)],
        };
        l.push("", pad, inputs)
    },
    r#"{"op": "pad", "bottom": 1, "right": 1}"#,
);

pub(super) static LIST: BlockDef = op(
    "list",
    "Its inputs as its results: x[0], x[1] and so on. What a body or a declared block ends in that gives several values. \
     It computes nothing.",
    "[c_k, h_k, w_k] x n -> the same",
    &[],
    |l, _, inputs| {
        l.results(inputs);
        let none = LowerErrorKind::Inputs {
            takes: "1 or more",
            got: 0,
        };
        inputs.last().copied().ok_or(none.into())
    },
    r#"{"op": "list", "from": ["in", "in"]}"#,
);

pub(super) static ZERO: BlockDef = op(
    "zero",
    "Zeros of the input's shape: the edge that is not there in cell-based spaces.",
    SAME,
    &[],
    |l, _, inputs| l.push("", Op::Zero, inputs),
    r#"{"op": "zero"}"#,
);
