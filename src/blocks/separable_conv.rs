//! Depthwise convolution, then pointwise.

use super::args::ACTS;
use super::lower::one;
use super::registry::{BlockDef, int, or, word};
use crate::ir::ops::Conv;
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "separable_conv",
    kind: NodeKind::Block,
    doc: "Depthwise convolution, then pointwise, each with batch norm and activation.",
    shapes: "[c, h, w] -> [out_channels, h', w'], h' = ceil(h / stride) for an odd kernel",
    formula: "act(bn(pw(act(bn(dw(x))))))",
    source: "MobileNets, arXiv 1704.04861, figure 3. Other activations and dilation are ours.",
    params: &[
        int("out_channels", 1, "Output channels."),
        or(
            int("kernel_size", 1, "Kernel of the depthwise convolution."),
            3,
        ),
        or(int("stride", 1, "Step of the depthwise convolution."), 1),
        or(
            int(
                "dilation",
                1,
                "Distance between taps of the depthwise convolution.",
            ),
            1,
        ),
        word("act", ACTS, "Activation after both."),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let (c, act) = (l.channels(x), args.act(4));
        let depthwise = Conv::same(c, args.int(1), args.int(2))
            .dilated(args.int(3))
            .grouped(c);
        let x = l.conv_bn("dw", depthwise, act, x)?;
        l.conv_bn("pw", Conv::same(args.int(0), 1, 1), act, x)
    },
    example: r#"{"block": "separable_conv", "out_channels": 48, "kernel_size": 5, "stride": 2}"#,
};
