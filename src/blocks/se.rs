//! Squeeze and excitation.

use super::args::ACTS;
use super::lower::{Lower, LowerError, one};
use super::registry::{BlockDef, int, optional, or, word};
use crate::ir::ValueId;
use crate::ir::ops::{Act, Conv, Mul};
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "se",
    kind: NodeKind::Block,
    doc: "Squeeze and excitation: scales each channel by a gate made from all channels' means.",
    shapes: "[c, h, w] -> [c, h, w]",
    formula: "x * gate(W2 act(W1 gap(x) + b1) + b2), W1 from c to hidden_channels, W2 back; without hidden_channels it is \
              div(c / reduction, divisor); div(v, q) = max(q, floor((v + q / 2) / q) q), and q more where that is below 0.9 v",
    source: "Squeeze-and-Excitation, arXiv 1709.01507, with the defaults; GhostNet's form (Efficient-AI-Backbones) with \
             reduction 4, divisor 4 and hsigmoid. Where c / reduction is whole, divisor 1 leaves it as it is. EfficientNet and \
             RegNetY take the hidden width from the input of the block around it.",
    params: &[
        or(int("reduction", 1, "Input width over hidden width."), 16),
        or(
            int("divisor", 1, "The hidden width is a multiple of this."),
            1,
        ),
        word(
            "gate",
            &["sigmoid", "hsigmoid", "clip01"],
            "Function of the gate.",
        ),
        optional(int(
            "hidden_channels",
            1,
            "Hidden width. Left out: that of the formula, from reduction and divisor.",
        )),
        word("act", ACTS, "Activation of the hidden layer."),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let hidden = args
            .int_opt(3)
            .unwrap_or_else(|| hidden_width(l.channels(x), args.int(0), args.int(1)));
        let gate = match args.word(2) {
            0 => Act::Sigmoid,
            1 => Act::Hsigmoid,
            _ => Act::Clip01,
        };
        se(l, x, hidden, args.act(4), gate)
    },
    example: r#"{"block": "se", "reduction": 4}"#,
};

/// The gate on `x`, named in the present scope.
pub(super) fn se(
    l: &mut Lower,
    x: ValueId,
    hidden: u32,
    act: Option<Act>,
    function: Act,
) -> Result<ValueId, LowerError> {
    let c = l.channels(x);
    let gate = l.global_avg("pool", x)?;
    let mut gate = l.push("reduce", Conv::same(hidden, 1, 1).biased(), &[gate])?;
    if let Some(act) = act {
        gate = l.push("act", act, &[gate])?;
    }
    let gate = l.push("expand", Conv::same(c, 1, 1).biased(), &[gate])?;
    let gate = l.push("gate", function, &[gate])?;
    l.push("scale", Mul, &[x, gate])
}

/// `div(c / reduction, q)`, exact: `floor((v + q / 2) / q)` with `v = c / reduction` is `(2 c + q r) / (2 q r)`.
pub(super) fn hidden_width(c: u32, reduction: u32, divisor: u32) -> u32 {
    let (c, r, q) = (
        u64::from(c),
        u64::from(reduction.max(1)),
        u64::from(divisor.max(1)),
    );
    let near = ((2 * c + q * r) / (2 * q * r) * q).max(q);
    let up = if 10 * near * r < 9 * c {
        near + q
    } else {
        near
    };
    u32::try_from(up).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::hidden_width;

    #[test]
    fn hidden_widths_are_those_of_the_reference_code() {
        // GhostNet 1.0x: expansions 72, 120, 480, 672, 960 at ratio 0.25, `_make_divisible(mid * 0.25, 4)`
        let made = [72, 120, 480, 672, 960].map(|c| hidden_width(c, 4, 4));
        assert_eq!(made, [20, 32, 120, 168, 240]);
        assert_eq!(hidden_width(256, 16, 1), 16);
        assert_eq!(hidden_width(8, 16, 1), 1);
    }
}
