//! Convolution, batch norm, activation.

use super::args::ACTS;
use super::lower::one;
use super::ops::same_padding;
use super::registry::{BlockDef, int, optional, or, pair, real, word};
use crate::ir::ops::{BatchNorm, Conv, Real};
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "conv_bn_act",
    kind: NodeKind::Block,
    doc: "Convolution without bias, batch norm, activation: the CBR of the papers.",
    shapes: "[c, h, w] -> [out_channels, h', w'], h' = ceil(h / stride) for an odd kernel",
    formula: "act(bn(conv(x)))",
    source: "VoVNet, arXiv 1904.09730, section 3; common to all the reference codes.",
    params: &[
        int("out_channels", 1, "Output channels; a multiple of groups."),
        pair("kernel_size", 1, "Kernel height and width."),
        or(pair("stride", 1, "Step along height and width."), 1),
        optional(pair(
            "padding",
            0,
            "Zeros on each side. Left out: dilation (kernel_size - 1) / 2, rounded down.",
        )),
        or(pair("dilation", 1, "Distance between kernel taps."), 1),
        or(
            int(
                "groups",
                1,
                "Groups that input and output channels are cut into.",
            ),
            1,
        ),
        word("act", ACTS, "Activation."),
        real(
            "eps",
            (0.0, 1.0),
            1e-5,
            "Added to the variance by the norm.",
        ),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
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
            bias: false,
        };
        let eps = Real(args.real(7));
        l.conv_norm("", conv, BatchNorm { eps }, args.act(6), x)
    },
    example: r#"{"block": "conv_bn_act", "out_channels": 48, "kernel_size": 3, "stride": 2, "act": "hswish"}"#,
};
