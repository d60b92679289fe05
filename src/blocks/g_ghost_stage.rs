//! A stage of G-GhostNet.

use super::g_ghost_host::{HOSTS, Host};
use super::lower::{Lower, LowerError, LowerErrorKind, one};
use super::registry::{BlockDef, flag, int, optional, or, real, word};
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
const HOST: usize = 6;
const CHEAP_KERNEL: usize = 7;
const MIX: usize = 8;
const STRIDE_IN_1X1: usize = 9;

pub(super) static DEF: BlockDef = BlockDef {
    name: "g_ghost_stage",
    kind: NodeKind::Block,
    doc: "G-Ghost stage: most of a stage's residual blocks run at a part of the width, the rest of the channels is made \
          from the first block by a cheap operation that is told about the others.",
    shapes: "[c, h, w] -> [out_channels, ceil(h / stride), ceil(w / stride)]",
    formula: "x0 = block(x), full width, with the stride; cheap = conv cheap_kernel_size; c = out_channels, \
              r = width of the costly path, q = c - r; u = 1, 4 or group_width for host basic, bottleneck, regnetx.\n\
              code: u of regnetx is w' = max(1, floor(0.75 group_width)), the narrow blocks' group width; \
              r = floor(c (1 - cheap_ratio) / u) u; e_0 = first r channels of x0, e_k = block(e_(k-1)), k = 1..depth-2; \
              m = bn(pw(relu(bn(pw(gap [x0 ; e_1 ; ...]))))) to q; g = relu(bn(cheap(last q channels of x0)) + m); \
              result block([e_(depth-2) ; g]) at full width.\n\
              paper: r as in code; e_1 = block(x0) from c to r, e_k = block(e_(k-1)), k = 1..depth-1; \
              g = bn(cheap(x0)) + W gap [e_1 ; ...] + b; result [e_(depth-1) ; g].\n\
              vega: q = floor(c cheap_ratio / u) u; e_0 = pw(x0) to r, no norm; e_k and result as in code; \
              m = bn(pw(gap [x0 ; e_1 ; ...])) to q; g = relu(bn(cheap(x0)) + m).\n\
              Without mix there is no m",
    source: "G-GhostNet, arXiv 2201.03297, section 4. form code with regnetx: Efficient-AI-Backbones g_ghost_regnet, whose \
             group width shrinks by a quarter whatever the share, and which ends with a full-width block; shares other \
             than 0.5 follow its formula. No code of its authors was found for ResNet: code with basic and bottleneck is \
             the same rule on their blocks. form vega with bottleneck: the same group's Vega code, which projects instead \
             of slicing; its declared mix width fits only an even split, ours is the width that arrives. form paper: \
             figure and text; that r is whole groups, that the first narrow block takes all of x0, and a norm without \
             activation on the cheap path are our reading.",
    params: &[
        int(
            "out_channels",
            1,
            "Width of the stage; whole groups of group_width, for bottleneck a multiple of 4.",
        ),
        int("depth", 2, "Blocks in all. The code's form needs 3."),
        optional(int(
            "group_width",
            1,
            "Channels in a group of regnetx's full-width 3x3 convolutions. Left out: only with the other hosts, which have none.",
        )),
        or(int("stride", 1, "Step of the first block."), 2),
        real(
            "cheap_ratio",
            (0.0, 1.0),
            0.5,
            "Share of the width that the cheap path makes, up to whole groups; between 0 and 1.",
        ),
        word("form", &["code", "paper", "vega"], "Which is reproduced."),
        word(
            "host",
            HOSTS,
            "The residual block that the stage is made of.",
        ),
        or(
            int(
                "cheap_kernel_size",
                1,
                "Kernel of the cheap convolution, odd: the paper has 1, and 3 as a variant.",
            ),
            1,
        ),
        flag(
            "mix",
            true,
            "Whether the cheap path is told about the costly one.",
        ),
        flag(
            "stride_in_1x1",
            false,
            "Whether a bottleneck steps in its first 1x1 convolution and not in its 3x3.",
        ),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let width = args.int(OUT);
        let host = Host::new(
            args.word(HOST),
            (OUT, width),
            (GROUP_WIDTH, args.int_opt(GROUP_WIDTH)),
            args.flag(STRIDE_IN_1X1),
        )?;
        let form = match args.word(FORM) {
            0 => Form::Code,
            1 => Form::Paper,
            _ => Form::Vega,
        };
        let stage = Stage::new(host, form, (width, args.int(DEPTH)), args.real(SHARE))?;
        let cheap = Conv::same(stage.cheap, args.int(CHEAP_KERNEL), 1);
        let mix = args.flag(MIX);
        let x0 = l.scope("base", |l| host.lower(l, x, width, args.int(STRIDE)))?;
        match form {
            Form::Code => {
                let raw = Slice {
                    begin: 0,
                    end: stage.raw,
                };
                let e = l.push("raw", raw, &[x0])?;
                let rest = Slice {
                    begin: stage.raw,
                    end: width,
                };
                stage.lower_code(l, (x0, e), cheap, mix, Some(rest))
            }
            Form::Vega => {
                let e = l.push("raw", Conv::same(stage.raw, 1, 1), &[x0])?;
                stage.lower_code(l, (x0, e), cheap, mix, None)
            }
            Form::Paper => stage.lower_paper(l, x0, cheap, mix),
        }
    },
    example: r#"{"block": "g_ghost_stage", "out_channels": 48, "depth": 4, "group_width": 8}"#,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Code,
    Paper,
    Vega,
}

struct Stage {
    host: Host,
    /// The narrow blocks' host.
    inner: Host,
    form: Form,
    width: u32,
    depth: u32,
    /// Width of the costly path.
    raw: u32,
    /// Width of the cheap path.
    cheap: u32,
}

impl Stage {
    fn new(
        host: Host,
        form: Form,
        (width, depth): (u32, u32),
        share: f64,
    ) -> Result<Self, LowerError> {
        if form == Form::Code && depth < 3 {
            let kind = LowerErrorKind::TooSmall {
                what: "depth, in the code's form,",
                least: 3,
                got: depth,
            };
            return Err(LowerError::from(kind).on(DEPTH));
        }
        let inner = match form {
            Form::Code => host.narrowed(),
            Form::Paper | Form::Vega => host,
        };
        let unit = inner.unit(width);
        // as the codes have it, int(planes * (1 - cheap_ratio) / group_width) * group_width and int(planes * cheap_ratio)
        let whole = |part: f64| (f64::from(width) * part / f64::from(unit)) as u32 * unit;
        let raw = match form {
            Form::Code | Form::Paper => whole(1.0 - share),
            Form::Vega => width - whole(share).min(width),
        };
        let cheap = width - raw.min(width);
        if raw == 0 || cheap == 0 {
            let what = if raw == 0 {
                "leaves no whole group for the costly path: a smaller cheap_ratio, a smaller group_width or more channels help"
            } else {
                "leaves nothing for the cheap path: a larger cheap_ratio or more channels help"
            };
            return Err(LowerError::from(LowerErrorKind::Conflict(what)).on(SHARE));
        }
        Ok(Self {
            host,
            inner,
            form,
            width,
            depth,
            raw,
            cheap,
        })
    }

    /// The narrow blocks from `e`: the last one's output; `parts` gets all.
    fn narrow(
        &self,
        l: &mut Lower,
        mut e: ValueId,
        blocks: u32,
        parts: &mut Values,
    ) -> Result<ValueId, LowerError> {
        for k in 0..blocks {
            e = l.scope("layers", |l| {
                l.item(k, |l| self.inner.lower(l, e, self.raw, 1))
            })?;
            parts.push(e);
        }
        Ok(e)
    }

    /// The codes' forms from the first block's output and what the narrow blocks start from.
    fn lower_code(
        &self,
        l: &mut Lower,
        (x0, e): (ValueId, ValueId),
        cheap: Conv,
        mix: bool,
        rest: Option<Slice>,
    ) -> Result<ValueId, LowerError> {
        let pw = Conv::same(self.cheap, 1, 1);
        let mut parts = Values::from_one(x0);
        let e = self.narrow(l, e, self.depth - 2, &mut parts)?;
        let m = match mix {
            false => None,
            true => {
                let m = l.push("concat", Concat, parts.as_slice())?;
                Some(l.scope("merge", |l| {
                    let m = l.global_avg("pool", m)?;
                    if self.form == Form::Vega {
                        return l.conv_bn("squeeze", pw, None, m);
                    }
                    let m = l.conv_bn("squeeze", pw, Some(Act::Relu), m)?;
                    l.conv_bn("excite", pw, None, m)
                })?)
            }
        };
        let g = match rest {
            Some(rest) => l.push("rest", rest, &[x0])?,
            None => x0,
        };
        let mut g = l.conv_bn("cheap", cheap, None, g)?;
        if let Some(m) = m {
            g = l.push("add", Add, &[g, m])?;
        }
        let g = l.push("cheap_relu", Act::Relu, &[g])?;
        let x = l.push("join", Concat, &[e, g])?;
        l.scope("end", |l| self.host.lower(l, x, self.width, 1))
    }

    fn lower_paper(
        &self,
        l: &mut Lower,
        x0: ValueId,
        cheap: Conv,
        mix: bool,
    ) -> Result<ValueId, LowerError> {
        let mut parts = Values::new();
        let e = self.narrow(l, x0, self.depth - 1, &mut parts)?;
        let m = match mix {
            false => None,
            true => {
                let m = l.push("concat", Concat, parts.as_slice())?;
                Some(l.scope("merge", |l| {
                    let m = l.global_avg("pool", m)?;
                    l.push("fc", Conv::same(self.cheap, 1, 1).biased(), &[m])
                })?)
            }
        };
        let mut g = l.scope("cheap", |l| {
            let g = l.push("conv", cheap, &[x0])?;
            l.push("bn", BatchNorm::default(), &[g])
        })?;
        if let Some(m) = m {
            g = l.push("add", Add, &[g, m])?;
        }
        l.push("join", Concat, &[e, g])
    }
}
