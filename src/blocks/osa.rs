//! One-shot aggregation, the module of VoVNet.

use super::eca::eca;
use super::ese::ese;
use super::lower::{Lower, LowerError, LowerErrorKind, one};
use super::registry::{BlockDef, flag, int, or, word};
use super::values::Values;
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, Concat, Conv};
use crate::space::signature::NodeKind;

const OUT: usize = 0;
const MID: usize = 1;
const LAYERS: usize = 2;
const IDENTITY: usize = 3;
const GATE: usize = 4;
const DEPTHWISE: usize = 5;
const BOTTLENECK: usize = 6;

const RELU: Option<Act> = Some(Act::Relu);

pub(super) static DEF: BlockDef = BlockDef {
    name: "osa",
    kind: NodeKind::Block,
    doc: "One-shot aggregation: a chain of convolutions whose outputs, with the input, are concatenated once and mixed.",
    shapes: "[c, h, w] -> [out_channels, h, w]; the concatenation is [c + layers mid_channels, h, w], input first",
    formula: "y_1 = CBR(x), y_k = CBR(y_(k-1)), 3x3 to mid_channels; z = CBR 1x1 [x ; y_1 ; ... ; y_layers].\n\
              gate ese: z * hsigmoid(W gap(z) + b); gate eca: as the block eca.\n\
              identity: z + x, no activation after.\n\
              depthwise: each 3x3 is depthwise without norm, then CBR 1x1; a CBR 1x1 to mid_channels comes first where \
              c differs from it, and is not concatenated.\n\
              bottleneck: a CBR 1x1 with half its input's channels before each 3x3.",
    source: "VoVNet, arXiv 1904.09730, section 3.2: all switches off. VoVNet.pytorch and pytorchcv set identity from the \
             second module of a stage on. VoVNetV2, arXiv 1911.06667: gate and identity as in vovnet-detectron2. gate eca is that of timm's eca_vovnet39b. \
             bottleneck is that of VoVNet's table 3, whose norm and activation are taken to be as everywhere.",
    params: &[
        int("out_channels", 1, "Width after the aggregation."),
        int("mid_channels", 1, "Width of each convolution of the chain."),
        or(int("layers", 1, "Convolutions in the chain."), 5),
        flag(
            "identity",
            false,
            "Whether the input is added to the result; their widths must agree.",
        ),
        word(
            "gate",
            &["none", "ese", "eca"],
            "Gate after the aggregation.",
        ),
        flag(
            "depthwise",
            false,
            "Whether the 3x3 convolutions are depthwise, each with a pointwise one.",
        ),
        flag(
            "bottleneck",
            false,
            "Whether a 1x1 convolution halves the width before each 3x3.",
        ),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let (out, mid) = (args.int(OUT), args.int(MID));
        let (depthwise, bottleneck) = (args.flag(DEPTHWISE), args.flag(BOTTLENECK));
        if depthwise && bottleneck {
            let kind = LowerErrorKind::Conflict("has no form with both depthwise and bottleneck");
            return Err(LowerError::from(kind).on(BOTTLENECK));
        }
        if args.flag(IDENTITY) && l.channels(x) != out {
            let kind = LowerErrorKind::Differs {
                what: "out_channels, as identity adds the input,",
                expected: l.channels(x),
                got: out,
            };
            return Err(LowerError::from(kind).on(OUT));
        }
        let mut y = x;
        if depthwise && l.channels(x) != mid {
            y = l.conv_bn("reduce", Conv::same(mid, 1, 1), RELU, y)?;
        }
        let mut parts = Values::from_one(x);
        for k in 0..args.int(LAYERS) {
            y = l.scope("layers", |l| {
                l.item(k, |l| layer(l, y, mid, depthwise, bottleneck))
            })?;
            parts.push(y);
        }
        let z = l.push("concat", Concat, parts.as_slice())?;
        let mut z = l.conv_bn("fuse", Conv::same(out, 1, 1), RELU, z)?;
        z = match args.word(GATE) {
            1 => l.scope("ese", |l| ese(l, z))?,
            2 => l.scope("eca", |l| eca(l, z, None))?,
            _ => z,
        };
        if args.flag(IDENTITY) {
            z = l.push("add", Add, &[z, x])?;
        }
        Ok(z)
    },
    example: r#"{"block": "osa", "out_channels": 64, "mid_channels": 24, "layers": 3, "gate": "ese"}"#,
};

fn layer(
    l: &mut Lower,
    y: ValueId,
    mid: u32,
    depthwise: bool,
    bottleneck: bool,
) -> Result<ValueId, LowerError> {
    if depthwise {
        let y = l.push("dw", Conv::same(mid, 3, 1).grouped(mid), &[y])?;
        return l.conv_bn("pw", Conv::same(mid, 1, 1), RELU, y);
    }
    if bottleneck {
        let half = (l.channels(y) / 2).max(1);
        let y = l.conv_bn("reduce", Conv::same(half, 1, 1), RELU, y)?;
        return l.conv_bn("conv3x3", Conv::same(mid, 3, 1), RELU, y);
    }
    l.conv_bn("", Conv::same(mid, 3, 1), RELU, y)
}
