//! The units of ShuffleNetV2.

use super::lower::{Lower, LowerError, LowerErrorKind, divisible, one};
use super::registry::{BlockDef, int, optional, or, word};
use crate::ir::ValueId;
use crate::ir::ops::{Act, Concat, Conv, Shuffle, Slice};
use crate::space::signature::NodeKind;

const OUT: usize = 0;
const STRIDE: usize = 1;
const KERNEL: usize = 2;
const FORM: usize = 3;

const RELU: Option<Act> = Some(Act::Relu);

pub(super) static DEF: BlockDef = BlockDef {
    name: "shuffle_v2_unit",
    kind: NodeKind::Block,
    doc: "ShuffleNetV2's unit: half the channels pass, half are convolved, and the halves are shuffled.",
    shapes: "stride 1: [c, h, w] -> [c, h, w]; otherwise [c, h, w] -> [out_channels, ceil(h / stride), ceil(w / stride)]",
    formula: "stride 1: shuffle_2 [x_1 ; branch(x_2)], x cut in halves, branch = CBR pw, bn(dw), CBR pw, all c / 2 wide. \
              Otherwise: shuffle_2 [left ; right], left = CBR pw(bn(dw/stride(x))), \
              right = CBR pw(bn(dw/stride(CBR pw to out_channels / 2 (x)))). \
              Widths of left and right: torchvision out_channels / 2 each; official c and out_channels - c. \
              official has no shuffle at the end; a unit of stride 1 starts by taking the even channels as the half that \
              passes and the odd ones as the other.",
    source: "ShuffleNetV2, arXiv 1807.11164, figure 3 (c) and (d). form torchvision: torchvision and pytorchcv's \
             shufflenetv2; form official: ShuffleNet-Series/V2; pytorchcv's shufflenetv2b has the same widths.",
    params: &[
        optional(int(
            "out_channels",
            2,
            "Output channels, even. Left out: the input's width. At stride 1 it must be that.",
        )),
        or(
            int(
                "stride",
                1,
                "Step of the depthwise convolutions; 1 is the unit that splits.",
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
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let c = l.channels(x);
        let out = args.int_opt(OUT).unwrap_or(c);
        divisible(Some(OUT), ("an output width", out), 0, ("2", 2))?;
        let (kernel, stride) = (args.int(KERNEL), args.int(STRIDE));
        let official = args.word(FORM) == 1;
        if stride > 1 {
            let left = if official { c } else { out / 2 };
            if left >= out {
                let kind = LowerErrorKind::TooSmall {
                    what: "out_channels, in this form above the input's width,",
                    least: c + 1,
                    got: out,
                };
                return Err(LowerError::from(kind).on(OUT));
            }
            return down(l, x, (left, out), kernel, stride, official);
        }
        if out != c {
            let kind = LowerErrorKind::Differs {
                what: "out_channels, as stride 1 keeps the width,",
                expected: c,
                got: out,
            };
            return Err(LowerError::from(kind).on(OUT));
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
        let y = l.scope("branch", |l| branch(l, y, (half, half), kernel, 1))?;
        join(l, pass, y, official)
    },
    example: r#"{"block": "shuffle_v2_unit", "out_channels": 96, "stride": 2}"#,
};

/// The unit with a stride; the left side is `left` wide, the whole `out`.
fn down(
    l: &mut Lower,
    x: ValueId,
    (left, out): (u32, u32),
    kernel: u32,
    stride: u32,
    official: bool,
) -> Result<ValueId, LowerError> {
    let c = l.channels(x);
    let proj = l.scope("proj", |l| {
        let y = l.conv_bn("dw", Conv::same(c, kernel, stride).grouped(c), None, x)?;
        l.conv_bn("pw", Conv::same(left, 1, 1), RELU, y)
    })?;
    let widths = (out / 2, out - left);
    let y = l.scope("branch", |l| branch(l, x, widths, kernel, stride))?;
    join(l, proj, y, official)
}

fn branch(
    l: &mut Lower,
    x: ValueId,
    (mid, out): (u32, u32),
    kernel: u32,
    stride: u32,
) -> Result<ValueId, LowerError> {
    let x = l.conv_bn("pw1", Conv::same(mid, 1, 1), RELU, x)?;
    let x = l.conv_bn("dw", Conv::same(mid, kernel, stride).grouped(mid), None, x)?;
    l.conv_bn("pw2", Conv::same(out, 1, 1), RELU, x)
}

fn join(l: &mut Lower, a: ValueId, b: ValueId, official: bool) -> Result<ValueId, LowerError> {
    let x = l.push("concat", Concat, &[a, b])?;
    if official {
        return Ok(x);
    }
    l.push("shuffle", Shuffle { groups: 2 }, &[x])
}
