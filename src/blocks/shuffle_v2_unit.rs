//! The units of ShuffleNetV2.

use super::lower::{Lower, LowerError, LowerErrorKind, divisible, one};
use super::registry::{BlockDef, flag, int, optional, or, word};
use super::se::{hidden_width, se};
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, Concat, Conv, Shuffle, Slice};
use crate::space::signature::NodeKind;

const OUT: usize = 0;
const STRIDE: usize = 1;
const KERNEL: usize = 2;
const FORM: usize = 3;
const SE: usize = 4;
const RESIDUAL: usize = 5;
const EXTRA_DW: usize = 6;

const RELU: Option<Act> = Some(Act::Relu);

pub(super) static DEF: BlockDef = BlockDef {
    name: "shuffle_v2_unit",
    kind: NodeKind::Block,
    doc: "ShuffleNetV2's unit: half the channels pass, half are convolved, and the halves are shuffled.",
    shapes: "[c, h, w] -> [out_channels, ceil(h / stride), ceil(w / stride)]; at stride 1 without out_channels [c, h, w]",
    formula: "stride 1 and the input's width: shuffle_2 [x_1 ; branch(x_2)], x cut in halves, \
              branch = CBR pw, bn(dw), CBR pw, all c / 2 wide.\n\
              Otherwise: shuffle_2 [left ; right], left = CBR pw(bn(dw/stride(x))), \
              right = CBR pw(bn(dw/stride(CBR pw to out_channels / 2 (x)))).\n\
              Widths of left and right: torchvision out_channels / 2 each; official c and out_channels - c.\n\
              official has no shuffle at the end; a unit that splits starts by taking the even channels as the half that \
              passes and the odd ones as the other.\n\
              se_reduction r: branch or right ends with squeeze and excitation, width / r hidden channels (rounded as in block se), sigmoid.\n\
              residual: the branch is relu(x_2 + se(bn(pw(..)))). extra_dw: a bn(dw) before the first pw",
    source: "ShuffleNetV2, arXiv 1807.11164, figure 3 (c) and (d). form torchvision: torchvision and pytorchcv's \
             shufflenetv2; form official: ShuffleNet-Series/V2; pytorchcv's shufflenetv2b has the same widths. SE and residual: \
             section 4 and the appendix, which give no reduction for the 2x network; that units which widen have no residual, as \
             they have nothing to add, is our reading. extra_dw: V2* of the detection experiments; that it has stride 1, a norm \
             and no activation, as the other dw has, and that left stays as it is, is our reading.",
    params: &[
        optional(int(
            "out_channels",
            2,
            "Output channels, even. Left out: the input's width.",
        )),
        or(
            int(
                "stride",
                1,
                "Step of the depthwise convolutions. The unit splits where it is 1 and the width stays.",
            ),
            1,
        ),
        or(
            int("kernel_size", 1, "Kernel of the depthwise convolutions."),
            3,
        ),
        word(
            "form",
            &["torchvision", "official"],
            "Which code is reproduced.",
        ),
        or(
            int(
                "se_reduction",
                0,
                "Width of the branch over the hidden width of its squeeze and excitation; 0: there is none.",
            ),
            0,
        ),
        flag(
            "residual",
            false,
            "Whether a unit that splits adds the branch's input to its output.",
        ),
        flag(
            "extra_dw",
            false,
            "Whether a depthwise convolution stands before the branch's first pointwise one.",
        ),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let c = l.channels(x);
        let out = args.int_opt(OUT).unwrap_or(c);
        divisible(Some(OUT), ("an output width", out), 0, ("2", 2))?;
        let stride = args.int(STRIDE);
        let official = args.word(FORM) == 1;
        let branch = Branch {
            kernel: args.int(KERNEL),
            stride,
            se_reduction: args.int(SE),
            residual: false,
            extra_dw: args.flag(EXTRA_DW),
        };
        if stride > 1 || out != c {
            let left = if official { c } else { out / 2 };
            if left >= out {
                let kind = LowerErrorKind::TooSmall {
                    what: "out_channels, in this form above the input's width,",
                    least: c + 1,
                    got: out,
                };
                return Err(LowerError::from(kind).on(OUT));
            }
            return down(l, x, (left, out), &branch, official);
        }
        let half = c / 2;
        let x = if official {
            // the inverse of the shuffle of two groups: even channels first
            l.push("deal", Shuffle { groups: half }, &[x])?
        } else {
            x
        };
        let pass = l.push(
            "pass",
            Slice {
                begin: 0,
                end: half,
            },
            &[x],
        )?;
        let y = l.push(
            "split",
            Slice {
                begin: half,
                end: c,
            },
            &[x],
        )?;
        let branch = Branch {
            residual: args.flag(RESIDUAL),
            ..branch
        };
        let y = l.scope("branch", |l| branch.lower(l, y, (half, half)))?;
        join(l, pass, y, official)
    },
    example: r#"{"block": "shuffle_v2_unit", "out_channels": 96, "stride": 2}"#,
};

/// The unit with two sides; the left one is `left` wide, the whole `out`.
fn down(
    l: &mut Lower,
    x: ValueId,
    (left, out): (u32, u32),
    branch: &Branch,
    official: bool,
) -> Result<ValueId, LowerError> {
    let c = l.channels(x);
    let proj = l.scope("proj", |l| {
        let dw = Conv::same(c, branch.kernel, branch.stride).grouped(c);
        let y = l.conv_bn("dw", dw, None, x)?;
        l.conv_bn("pw", Conv::same(left, 1, 1), RELU, y)
    })?;
    let widths = (out / 2, out - left);
    let y = l.scope("branch", |l| branch.lower(l, x, widths))?;
    join(l, proj, y, official)
}

/// The side with two pointwise convolutions.
#[derive(Clone, Copy)]
struct Branch {
    kernel: u32,
    stride: u32,
    se_reduction: u32,
    residual: bool,
    extra_dw: bool,
}

impl Branch {
    fn lower(
        &self,
        l: &mut Lower,
        input: ValueId,
        (mid, out): (u32, u32),
    ) -> Result<ValueId, LowerError> {
        let dw = |c, stride| Conv::same(c, self.kernel, stride).grouped(c);
        let mut x = input;
        if self.extra_dw {
            x = l.conv_bn("dw0", dw(l.channels(x), 1), None, x)?;
        }
        let x = l.conv_bn("pw1", Conv::same(mid, 1, 1), RELU, x)?;
        let x = l.conv_bn("dw", dw(mid, self.stride), None, x)?;
        let act = match self.residual {
            true => None,
            false => RELU,
        };
        let mut x = l.conv_bn("pw2", Conv::same(out, 1, 1), act, x)?;
        if self.se_reduction > 0 {
            let hidden = hidden_width(out, self.se_reduction, 1);
            x = l.scope("se", |l| se(l, x, hidden, RELU, Act::Sigmoid))?;
        }
        if self.residual {
            x = l.push("add", Add, &[x, input])?;
            x = l.push("relu", Act::Relu, &[x])?;
        }
        Ok(x)
    }
}

fn join(l: &mut Lower, a: ValueId, b: ValueId, official: bool) -> Result<ValueId, LowerError> {
    let x = l.push("concat", Concat, &[a, b])?;
    if official {
        return Ok(x);
    }
    l.push("shuffle", Shuffle { groups: 2 }, &[x])
}
