//! A stage of G-GhostNet on RegNetX blocks.

use super::lower::{Lower, LowerError, LowerErrorKind, one};
use super::registry::{BlockDef, int, or, real, word};
use super::regnetx_block::{fits, regnetx_block};
use super::values::Values;
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, BatchNorm, Concat, Conv, Slice};
use crate::space::signature::NodeKind;

const OUT: usize = 0;
const DEPTH: usize = 1;
const GROUP_WIDTH: usize = 2;
const STRIDE: usize = 3;
const SHARE: usize = 4;
const FORM: usize = 5;

pub(super) static DEF: BlockDef = BlockDef {
    name: "g_ghost_stage",
    kind: NodeKind::Block,
    doc: "G-Ghost stage of RegNetX blocks: most blocks run at a part of the width, the rest of the channels is made from the \
          first block by a cheap operation that is told about the others.",
    shapes: "[c, h, w] -> [out_channels, ceil(h / stride), ceil(w / stride)]",
    formula: "code: x0 = block(x) at full width with the stride; w' = max(1, floor(0.75 group_width)); \
              r = floor(out_channels (1 - cheap_ratio) / w') w', q = out_channels - r; e_0 = first r channels of x0, \
              e_k = block(e_(k-1)) with group width w', k = 1..depth-2; m = bn(pw(relu(bn(pw(gap [x0 ; e_1 ; ...]))))) to q; \
              g = relu(bn(pw(last q channels of x0)) + m); result block([e_(depth-2) ; g]) at full width. \
              paper: r = floor(out_channels (1 - cheap_ratio) / group_width) group_width; e_1 = block(x0) from out_channels \
              to r, e_k = block(e_(k-1)), k = 1..depth-1; g = bn(pw(x0)) + W gap [e_1 ; ...] + b; result [e_(depth-1) ; g].",
    source: "G-GhostNet, arXiv 2201.03297, section 4. form code: Efficient-AI-Backbones g_ghost_regnet, whose group width shrinks \
             by a quarter whatever the share, and which ends with a full-width block; shares other than 0.5 follow its formula. \
             form paper: figure and text; that r is whole groups, that the first narrow block takes all of x0, and a norm \
             without activation on the cheap path are our reading.",
    params: &[
        int(
            "out_channels",
            1,
            "Width of the stage; whole groups of group_width.",
        ),
        int("depth", 2, "Blocks in all. The code's form needs 3."),
        int(
            "group_width",
            1,
            "Channels in a group of the full-width blocks' 3x3 convolution.",
        ),
        or(int("stride", 1, "Step of the first block."), 2),
        real(
            "cheap_ratio",
            (0.0, 1.0),
            0.5,
            "Share of the width that the cheap path makes, at least; between 0 and 1.",
        ),
        word("form", &["code", "paper"], "Which is reproduced."),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let stage = Stage::new(
            [args.int(OUT), args.int(GROUP_WIDTH), args.int(DEPTH)],
            args.real(SHARE),
            args.word(FORM) == 0,
        )?;
        let x0 = l.scope("base", |l| {
            regnetx_block(l, x, stage.width, stage.group_width, args.int(STRIDE))
        })?;
        if stage.code {
            stage.lower_code(l, x0)
        } else {
            stage.lower_paper(l, x0)
        }
    },
    example: r#"{"block": "g_ghost_stage", "out_channels": 48, "depth": 4, "group_width": 8}"#,
};

struct Stage {
    width: u32,
    group_width: u32,
    depth: u32,
    /// Group width of the narrow blocks, and their width.
    inner_group: u32,
    raw: u32,
    /// Width of the cheap path.
    cheap: u32,
    code: bool,
}

impl Stage {
    fn new(
        [width, group_width, depth]: [u32; 3],
        share: f64,
        code: bool,
    ) -> Result<Self, LowerError> {
        fits(OUT, "out_channels", width, group_width)?;
        if code && depth < 3 {
            let kind = LowerErrorKind::TooSmall {
                what: "depth, in the code's form,",
                least: 3,
                got: depth,
            };
            return Err(LowerError::from(kind).on(DEPTH));
        }
        let inner_group = if code {
            (group_width * 3 / 4).max(1)
        } else {
            group_width.min(width)
        };
        // as the code has it, int(planes * (1 - cheap_ratio) / group_width) * group_width
        let groups = (f64::from(width) * (1.0 - share) / f64::from(inner_group)) as u32;
        let raw = groups * inner_group;
        let cheap = width - raw.min(width);
        if raw == 0 || cheap == 0 {
            let what = if raw == 0 {
                "leaves no whole group for the costly path: a smaller cheap_ratio, a smaller group_width or more channels help"
            } else {
                "leaves nothing for the cheap path: a cheap_ratio above 0 helps"
            };
            return Err(LowerError::from(LowerErrorKind::Conflict(what)).on(SHARE));
        }
        Ok(Self {
            width,
            group_width,
            depth,
            inner_group,
            raw,
            cheap,
            code,
        })
    }

    /// The narrow blocks from `e`: the last one's output; `parts` gets all.
    fn narrow(
        &self,
        l: &mut Lower,
        mut e: ValueId,
        blocks: u32,
        mut each: impl FnMut(ValueId),
    ) -> Result<ValueId, LowerError> {
        for k in 0..blocks {
            e = l.scope("layers", |l| {
                l.item(k, |l| regnetx_block(l, e, self.raw, self.inner_group, 1))
            })?;
            each(e);
        }
        Ok(e)
    }

    fn lower_code(&self, l: &mut Lower, x0: ValueId) -> Result<ValueId, LowerError> {
        let (raw, cheap) = (self.raw, self.cheap);
        let mut parts = Values::from_one(x0);
        let first = l.push("raw", Slice { begin: 0, end: raw }, &[x0])?;
        let e = self.narrow(l, first, self.depth - 2, |e| parts.push(e))?;
        let pw = Conv::same(cheap, 1, 1);
        let m = l.push("concat", Concat, parts.as_slice())?;
        let m = l.scope("merge", |l| {
            let m = l.global_avg("pool", m)?;
            let m = l.conv_bn("squeeze", pw, Some(Act::Relu), m)?;
            l.conv_bn("excite", pw, None, m)
        })?;
        let last = Slice {
            begin: raw,
            end: self.width,
        };
        let g = l.push("rest", last, &[x0])?;
        let g = l.conv_bn("cheap", pw, None, g)?;
        let g = l.push("add", Add, &[g, m])?;
        let g = l.push("cheap_relu", Act::Relu, &[g])?;
        let x = l.push("join", Concat, &[e, g])?;
        l.scope("end", |l| {
            regnetx_block(l, x, self.width, self.group_width, 1)
        })
    }

    fn lower_paper(&self, l: &mut Lower, x0: ValueId) -> Result<ValueId, LowerError> {
        let pw = Conv::same(self.cheap, 1, 1);
        let mut parts: Option<Values> = None;
        let e = self.narrow(l, x0, self.depth - 1, |e| match &mut parts {
            Some(parts) => parts.push(e),
            None => parts = Some(Values::from_one(e)),
        })?;
        let parts = parts.unwrap_or_else(|| Values::from_one(e));
        let m = l.push("concat", Concat, parts.as_slice())?;
        let m = l.scope("merge", |l| {
            let m = l.global_avg("pool", m)?;
            l.push("fc", pw.biased(), &[m])
        })?;
        let g = l.scope("cheap", |l| {
            let g = l.push("conv", pw, &[x0])?;
            l.push("bn", BatchNorm::default(), &[g])
        })?;
        let g = l.push("add", Add, &[g, m])?;
        l.push("join", Concat, &[e, g])
    }
}
