//! ESPNetv2's strided unit, with the shortcut from the image.

use super::eesp::{Pyramid, R_LIM_PARAM, RULE_PARAM, limit};
use super::lower::{Lower, LowerError, LowerErrorKind};
use super::registry::{BlockDef, flag, int, or};
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, AvgPool, Concat, Conv, Slice};
use crate::space::signature::NodeKind;

const OUT: usize = 0;
const BRANCHES: usize = 1;
const R_LIM: usize = 2;
const UNUSED: usize = 3;
const RULE: usize = 4;

/// Average pool 3x3 with stride 2; zeros of the padding count.
const HALVE: AvgPool = AvgPool {
    kernel_size: [3; 2],
    stride: [2; 2],
    padding: [1; 2],
    ceil_mode: false,
    count_include_pad: true,
};

pub(super) static DEF: BlockDef = BlockDef {
    name: "eesp_down",
    kind: NodeKind::Block,
    doc: "Strided EESP unit: halves the map, widens it, and may add a shortcut from the network's image, its second input.",
    shapes: "[c, h, w] (and an image [k, H, W]) -> [out_channels, ceil(h / 2), ceil(w / 2)]",
    formula: "y = [avgpool 3x3/2 p1 (x) ; EESP of c to out_channels - c with stride 2, without its sum and last prelu]; \
              image: pooled 3x3/2 p1 until its height is y's, at least once, then prelu(bn(conv 3x3 k to k)), bn(pw to \
              out_channels), added to y; result prelu(y). Padding zeros count in the averages",
    source: "ESPNetv2, arXiv 1811.11431, section 3.2 and figure 2; the ESPNetv2 and EdgeNets code. The network of section 3.3 \
             leaves the image out of its last strided unit.",
    params: &[
        int(
            "out_channels",
            2,
            "Width; less the input's width it is a multiple of branches * branches.",
        ),
        or(int("branches", 1, "Branches of the pyramid."), 4),
        R_LIM_PARAM,
        flag(
            "unused_weights",
            false,
            "Whether to hold the weights that the released code holds but never runs: the prelu of the inner unit, and \
             without an image the convolutions of its shortcut (on 3 channels). They count as parameters, and as nothing else.",
        ),
        RULE_PARAM,
    ],
    lower: |l, args, inputs| {
        let (x, image) = match *inputs {
            [x] => (x, None),
            [x, image] => (x, Some(image)),
            _ => {
                let kind = LowerErrorKind::Inputs {
                    takes: "1 or 2",
                    got: inputs.len(),
                };
                return Err(kind.into());
            }
        };
        let (c, out) = (l.channels(x), args.int(OUT));
        let pyramid = Pyramid::new(
            l,
            x,
            (OUT, out, c),
            (BRANCHES, args.int(BRANCHES)),
            limit(l, x, args.word(RULE), args.int(R_LIM)),
        )?;
        let kept = l.push("pool", HALVE, &[x])?;
        let made = l.scope("eesp", |l| pyramid.lower(l, x, 2))?;
        if args.flag(UNUSED) {
            l.push("eesp.act", Act::Prelu, &[made])?;
            if image.is_none() {
                let image = l.push(
                    "image.slice",
                    Slice {
                        begin: 0,
                        end: c.min(3),
                    },
                    &[x],
                )?;
                shortcut(l, image, out)?;
            }
        }
        let mut y = l.push("concat", Concat, &[kept, made])?;
        if let Some(image) = image {
            let image = shrink(l, image, l.shape(y).hw().0)?;
            let image = shortcut(l, image, out)?;
            y = l.push("add", Add, &[y, image])?;
        }
        l.push("act", Act::Prelu, &[y])
    },
    example: r#"{"block": "eesp_down", "out_channels": 64, "branches": 4, "r_lim": 7}"#,
};

/// The image, pooled until it is `height` high.
fn shrink(l: &mut Lower, mut image: ValueId, height: u32) -> Result<ValueId, LowerError> {
    // a u32 halves at most 32 times
    for k in 0..32 {
        image = l.scope("image.pool", |l| l.item(k, |l| l.push("", HALVE, &[image])))?;
        let now = l.shape(image).hw().0;
        if now == height {
            return Ok(image);
        }
        if now < height {
            return Err(LowerErrorKind::Differs {
                what: "an image (its second input) that halves to the map's height,",
                expected: height,
                got: now,
            }
            .into());
        }
    }
    Ok(image)
}

fn shortcut(l: &mut Lower, image: ValueId, out: u32) -> Result<ValueId, LowerError> {
    let k = l.channels(image);
    l.scope("image", |l| {
        let y = l.conv_bn("conv1", Conv::same(k, 3, 1), Some(Act::Prelu), image)?;
        l.conv_bn("conv2", Conv::same(out, 1, 1), None, y)
    })
}
