//! The bottleneck of RegNetX.

use super::lower::{Lower, LowerError, divisible, one};
use super::registry::{BlockDef, int, or};
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, Conv};
use crate::space::signature::NodeKind;

const OUT: usize = 0;
const GROUP_WIDTH: usize = 1;
const STRIDE: usize = 2;

const RELU: Option<Act> = Some(Act::Relu);

pub(super) static DEF: BlockDef = BlockDef {
    name: "regnetx_block",
    kind: NodeKind::Block,
    doc: "RegNetX's residual bottleneck with ratio 1: pointwise, grouped 3x3, pointwise.",
    shapes: "[c, h, w] -> [out_channels, ceil(h / stride), ceil(w / stride)]",
    formula: "relu(bn(pw(CBR 3x3/stride, groups out_channels / min(out_channels, group_width) (CBR 1x1 (x)))) + shortcut); \
              shortcut: x, or bn(pw/stride(x)) where stride or width change",
    source: "RegNet, arXiv 2003.13678, figure 13; torchvision and timm code.",
    params: &[
        int(
            "out_channels",
            1,
            "Width; a multiple of group_width, or at most that.",
        ),
        int(
            "group_width",
            1,
            "Channels in a group of the 3x3 convolution; a block narrower than this has one group.",
        ),
        or(
            int("stride", 1, "Step of the 3x3 convolution and the shortcut."),
            1,
        ),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let (out, group_width) = (args.int(OUT), args.int(GROUP_WIDTH));
        fits(OUT, "out_channels", out, group_width)?;
        regnetx_block(l, x, out, group_width, args.int(STRIDE))
    },
    example: r#"{"block": "regnetx_block", "out_channels": 48, "group_width": 8, "stride": 2}"#,
};

/// `Ok` where a block of that width has whole groups.
pub(super) fn fits(
    slot: usize,
    what: &'static str,
    out: u32,
    group_width: u32,
) -> Result<(), LowerError> {
    let divisor = out.min(group_width);
    divisible(Some(slot), (what, out), 0, ("group_width", divisor))
}

/// The block, named in the present scope. `out` has whole groups.
pub(super) fn regnetx_block(
    l: &mut Lower,
    x: ValueId,
    out: u32,
    group_width: u32,
    stride: u32,
) -> Result<ValueId, LowerError> {
    let groups = out / out.min(group_width).max(1);
    let y = l.conv_bn("a", Conv::same(out, 1, 1), RELU, x)?;
    let y = l.conv_bn("b", Conv::same(out, 3, stride).grouped(groups), RELU, y)?;
    let y = l.conv_bn("c", Conv::same(out, 1, 1), None, y)?;
    let shortcut = if stride != 1 || l.channels(x) != out {
        l.conv_bn("shortcut", Conv::same(out, 1, stride), None, x)?
    } else {
        x
    };
    let y = l.push("add", Add, &[y, shortcut])?;
    l.push("relu", Act::Relu, &[y])
}
