//! Depthwise convolution with kernels of several sizes, of MixNet.

use super::args::ACTS;
use super::lower::{LowerError, LowerErrorKind, one};
use super::registry::{BlockDef, int, or, word};
use super::values::Values;
use crate::ir::ops::{BatchNorm, Concat, Conv, Slice};
use crate::space::signature::NodeKind;

const KERNELS: usize = 0;
const SPLIT: usize = 1;
const STRIDE: usize = 2;
const ACT: usize = 3;

pub(super) static DEF: BlockDef = BlockDef {
    name: "mix_conv",
    kind: NodeKind::Block,
    doc: "MixConv: a depthwise convolution whose channels come in groups with kernels of 3, 5, 7 and so on.",
    shapes: "[c, h, w] -> [c, ceil(h / stride), ceil(w / stride)]",
    formula: "act(bn([dw_3(x_1) ; dw_5(x_2) ; ...])), x cut into kernels groups of channels. equal: floor(c / kernels) \
              channels each, the first group takes what is left; exponential: floor(c / 2), floor(c / 4) and so on, the \
              last group takes what is left",
    source: "MixConv, arXiv 1907.09595, section 3; the first group's rest is that of the released MixNet code. The paper's \
             exponential cut is given by an example (16, 8, 4, 4 of 32); what is left going to the last group is our reading.",
    params: &[
        or(
            int("kernels", 1, "Sizes of kernels, from 3 in steps of 2."),
            3,
        ),
        word(
            "split",
            &["equal", "exponential"],
            "How channels are cut into groups.",
        ),
        or(int("stride", 1, "Step of the convolutions."), 1),
        word("act", ACTS, "Activation after the norm."),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let c = l.channels(x);
        let (kernels, stride) = (args.int(KERNELS), args.int(STRIDE));
        let exponential = args.word(SPLIT) == 1;
        let most = if exponential { c.ilog2() + 1 } else { c };
        if kernels > most {
            let kind = LowerErrorKind::TooLarge {
                what: "kernels, each of which has channels of its own,",
                most,
                got: kernels,
            };
            return Err(LowerError::from(kind).on(KERNELS));
        }
        let mut parts = Values::new();
        let mut begin = 0;
        for k in 0..kernels {
            let end = begin + width(c, kernels, k, exponential);
            let part = l.scope("group", |l| {
                l.item(k, |l| {
                    let part = l.push("slice", Slice { begin, end }, &[x])?;
                    let dw = Conv::same(end - begin, 3 + 2 * k, stride).grouped(end - begin);
                    l.push("dw", dw, &[part])
                })
            })?;
            parts.push(part);
            begin = end;
        }
        let y = l.push("concat", Concat, parts.as_slice())?;
        let y = l.push("bn", BatchNorm::default(), &[y])?;
        match args.act(ACT) {
            Some(act) => l.push("act", act, &[y]),
            None => Ok(y),
        }
    },
    example: r#"{"block": "mix_conv", "kernels": 4, "split": "exponential"}"#,
};

/// Channels of group `k`.
fn width(c: u32, kernels: u32, k: u32, exponential: bool) -> u32 {
    match (exponential, k) {
        (true, k) if k + 1 < kernels => c >> (k + 1),
        (true, _) => c - (1..kernels).map(|k| c >> k).sum::<u32>(),
        (false, 0) => c - (kernels - 1) * (c / kernels),
        (false, _) => c / kernels,
    }
}

#[cfg(test)]
mod tests {
    use super::width;

    #[test]
    fn groups_are_those_of_the_paper() {
        let cut = |c, n, exponential| {
            (0..n)
                .map(|k| width(c, n, k, exponential))
                .collect::<Vec<_>>()
        };
        assert_eq!(cut(32, 4, false), [8, 8, 8, 8]);
        assert_eq!(cut(32, 4, true), [16, 8, 4, 4]);
        assert_eq!(cut(32, 3, false), [12, 10, 10]);
        assert_eq!(cut(7, 3, true), [3, 1, 3]);
        assert_eq!(cut(5, 1, true), [5]);
    }
}
