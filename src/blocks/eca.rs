//! Efficient channel attention.

use super::lower::{Lower, LowerError, one};
use super::registry::{BlockDef, int, optional};
use crate::ir::ValueId;
use crate::ir::ops::{Act, ChannelConv, Mul};
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "eca",
    kind: NodeKind::Block,
    doc: "Efficient channel attention: scales each channel by a gate made from the means of the channels beside it.",
    shapes: "[c, h, w] -> [c, h, w]",
    formula: "x * sigmoid(filter over the channels of gap(x)); one filter of kernel_size taps, which left out is \
              t = floor((log2(c) + 1) / 2) if that is odd, else t + 1, and at least 3",
    source: "ECA-Net, arXiv 1910.03151, section 3.2 and equation 12; timm's EcaModule, which raises it to 3 at least.",
    params: &[optional(int(
        "kernel_size",
        1,
        "Channels that the filter covers. Left out: that of the formula.",
    ))],
    lower: |l, args, inputs| eca(l, one(inputs)?, args.int_opt(0)),
    example: r#"{"block": "eca"}"#,
};

/// The gate on `x`, named in the present scope.
pub(super) fn eca(
    l: &mut Lower,
    x: ValueId,
    kernel_size: Option<u32>,
) -> Result<ValueId, LowerError> {
    let kernel_size = kernel_size.unwrap_or_else(|| taps(l.channels(x)));
    let gate = l.global_avg("pool", x)?;
    let gate = l.push("conv", ChannelConv { kernel_size }, &[gate])?;
    let gate = l.push("gate", Act::Sigmoid, &[gate])?;
    l.push("scale", Mul, &[x, gate])
}

/// `floor((log2(c) + 1) / 2)`, made odd upwards, at least 3. Whole numbers suffice: the floor of a half of a real is that
/// of its floor.
fn taps(channels: u32) -> u32 {
    let t = channels.max(1).ilog2().div_ceil(2);
    (t | 1).max(3)
}

#[cfg(test)]
mod tests {
    use super::taps;

    #[test]
    fn taps_are_those_of_the_paper() {
        // timm: int(abs(log2(c) + 1) / 2), plus 1 if even
        let made = [16, 64, 127, 128, 256, 511, 512, 2047, 2048, 8192].map(taps);
        assert_eq!(made, [3, 3, 3, 5, 5, 5, 5, 5, 7, 7]);
    }
}
