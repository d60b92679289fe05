//! ESPNetv2's unit, and what it shares with the strided one.

use super::lower::{Lower, LowerError, divisible, one};
use super::registry::{BlockDef, int, optional, or, word};
use super::values::Values;
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, BatchNorm, Concat, Conv};
use crate::space::signature::{NodeKind, ParamDef};

const OUT: usize = 0;
const BRANCHES: usize = 1;
const R_LIM: usize = 2;
const RULE: usize = 3;

pub(super) static DEF: BlockDef = BlockDef {
    name: "eesp",
    kind: NodeKind::Block,
    doc: "EESP unit: a grouped pointwise reduction, a pyramid of dilated depthwise convolutions with hierarchical sums, \
          and a grouped pointwise expansion.",
    shapes: "[c, h, w] -> [out_channels, h, w]",
    formula: "t = prelu(bn(pw g=branches (x))) to d = out_channels / branches; b_k = dw 3x3 (t) with dilation r_k; \
              o_1 = b_1, o_k = b_k + o_(k-1); z = bn(pw g=branches (prelu(bn [o_1 ; ...]))); result prelu(z + x), without x \
              where the width changes. r: kernels 3 + 2 i, those above r_lim replaced by 3, sorted; r = (kernel - 1) / 2",
    source: "ESPNetv2, arXiv 1811.11431, sections 3.1 and 3.2; the ESPNetv2 and EdgeNets code, which sum over all \
             branches though a comment in it says that equal kernels are skipped.",
    params: &[
        optional(int(
            "out_channels",
            1,
            "Width, a multiple of branches * branches. Left out: the input's width.",
        )),
        or(int("branches", 1, "Branches of the pyramid."), 4),
        R_LIM_PARAM,
        RULE_PARAM,
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let c = l.channels(x);
        let out = args.int_opt(OUT).unwrap_or(c);
        let pyramid = Pyramid::new(
            l,
            x,
            (OUT, out, 0),
            (BRANCHES, args.int(BRANCHES)),
            limit(l, x, args.word(RULE), args.int(R_LIM)),
        )?;
        let y = pyramid.lower(l, x, 1)?;
        let y = if out == c {
            l.push("add", Add, &[y, x])?
        } else {
            y
        };
        l.push("act", Act::Prelu, &[y])
    },
    example: r#"{"block": "eesp", "out_channels": 32, "branches": 4, "r_lim": 7}"#,
};

pub(super) const R_LIM_PARAM: ParamDef = or(
    int(
        "r_lim",
        3,
        "Largest kernel that a dilated 3x3 may stand for.",
    ),
    9,
);

pub(super) const RULE_PARAM: ParamDef = word(
    "r_lim_rule",
    &["fixed", "paper"],
    "fixed: r_lim, as the code, whose limits belong to the level and not to the map. paper: 5 + h / 7 for an input h high, and \
     r_lim does not count. The paper says that this is 5 at 7x7; it is 6, with the same kernels, as they are odd.",
);

/// The receptive-field limit by the rule of that position in [`RULE_PARAM`].
pub(super) fn limit(l: &Lower, x: ValueId, rule: usize, r_lim: u32) -> u32 {
    match rule {
        0 => r_lim,
        _ => 5 + l.shape(x).hw().0 / 7,
    }
}

/// Steps 1 to 5 of the unit: everything but the sum with the input and the last activation.
pub(super) struct Pyramid {
    out: u32,
    branches: u32,
    r_lim: u32,
}

impl Pyramid {
    /// Checks the widths. `whole` is the width the document asks for, of which `base` channels come from elsewhere.
    pub(super) fn new(
        l: &Lower,
        x: ValueId,
        (out_slot, whole, base): (usize, u32, u32),
        (branches_slot, branches): (usize, u32),
        r_lim: u32,
    ) -> Result<Self, LowerError> {
        let square = branches.saturating_mul(branches);
        divisible(
            Some(out_slot),
            (
                if base == 0 {
                    "out_channels"
                } else {
                    "out_channels less the input's width"
                },
                whole,
            ),
            base,
            ("branches*branches", square),
        )?;
        divisible(
            Some(branches_slot),
            ("an input width", l.channels(x)),
            0,
            ("branches", branches),
        )?;
        Ok(Self {
            out: whole - base,
            branches,
            r_lim,
        })
    }

    pub(super) fn lower(
        &self,
        l: &mut Lower,
        x: ValueId,
        stride: u32,
    ) -> Result<ValueId, LowerError> {
        let d = self.out / self.branches;
        let reduce = Conv::same(d, 1, 1).grouped(self.branches);
        let t = l.conv_bn("reduce", reduce, Some(Act::Prelu), x)?;
        let mut parts: Option<Values> = None;
        let mut sum = None;
        for k in 0..self.branches {
            let dw = Conv::same(d, 3, stride)
                .grouped(d)
                .dilated(self.dilation(k));
            let b = l.scope("branch", |l| l.item(k, |l| l.push("", dw, &[t])))?;
            let o = match sum {
                Some(before) => l.scope("sum", |l| l.item(k, |l| l.push("", Add, &[b, before])))?,
                None => b,
            };
            sum = Some(o);
            match &mut parts {
                Some(parts) => parts.push(o),
                None => parts = Some(Values::from_one(o)),
            }
        }
        let parts = parts.unwrap_or_else(|| Values::from_one(t));
        let z = l.push("concat", Concat, parts.as_slice())?;
        let z = l.push("bn", BatchNorm::default(), &[z])?;
        let z = l.push("mid_act", Act::Prelu, &[z])?;
        let expand = Conv::same(self.out, 1, 1).grouped(self.branches);
        l.conv_bn("expand", expand, None, z)
    }

    /// Dilation of branch `k`: the candidates `3 + 2 i`, those above the limit replaced by 3, in ascending order.
    fn dilation(&self, k: u32) -> u32 {
        // candidates 0..=last stay; the others become 3 and, sorted, stand first together with candidate 0
        let last = (self.r_lim.saturating_sub(3) / 2).min(self.branches - 1);
        let threes = self.branches - last;
        (k + 1).saturating_sub(threes) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dilations_follow_the_receptive_field_limit() {
        let dilations = |branches, r_lim| {
            let p = Pyramid {
                out: 64,
                branches,
                r_lim,
            };
            (0..branches).map(|k| p.dilation(k)).collect::<Vec<_>>()
        };
        // blocks.md, table of section 5.3
        assert_eq!(dilations(4, 13), [1, 2, 3, 4]);
        assert_eq!(dilations(4, 9), [1, 2, 3, 4]);
        assert_eq!(dilations(4, 7), [1, 1, 2, 3]);
        assert_eq!(dilations(4, 5), [1, 1, 1, 2]);
        assert_eq!(dilations(4, 3), [1, 1, 1, 1]);
        assert_eq!(dilations(1, 9), [1]);
        assert_eq!(dilations(6, 8), [1, 1, 1, 1, 2, 3]);
    }
}
