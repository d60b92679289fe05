//! The units of ShuffleNet (V1).

use super::lower::{Lower, LowerError, divisible, one};
use super::registry::{BlockDef, int, optional, or, word};
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, AvgPool, Concat, Conv, Shuffle};
use crate::space::signature::NodeKind;

const OUT: usize = 0;
const GROUPS: usize = 1;
const STRIDE: usize = 2;
const FIRST_GROUPS: usize = 3;
const KERNEL: usize = 4;
const FORM: usize = 5;
const REDUCTION: usize = 6;

pub(super) static DEF: BlockDef = BlockDef {
    name: "shuffle_v1_unit",
    kind: NodeKind::Block,
    doc: "ShuffleNet's unit: a bottleneck of grouped pointwise convolutions with a channel shuffle between them.",
    shapes: "[c, h, w] -> [out_channels, ceil(h / stride), ceil(w / stride)]; at stride 1 without out_channels [c, h, w]",
    formula: "m = out_channels / reduction. Stride 1: relu(main(x) + x), with bn(pw(x)) for x where the width changes; otherwise the main \
              path makes out_channels - c channels and is joined with p = avgpool 3x3/stride p1 (x).\n\
              main: CBR pw to m with first_groups; shuffle_groups; bn(dw/stride); bn(pw) with groups.\n\
              official: bn(dw/stride) comes before the shuffle, which is the inverse one (shuffle of m / groups); \
              [p ; relu(main)].\n\
              paper: relu [p ; main].\n\
              pytorchcv: relu [main ; p].\n\
              Pools count padding zeros",
    source: "ShuffleNet, arXiv 1707.01083, section 3.2 and figure 2 (b) and (c). form official: ShuffleNet-Series/V1; form \
             pytorchcv: pytorchcv's shufflenet; form paper: the figure, which gives no order of concatenation: the pool first \
             is our reading. A change of width at stride 1 is ours too: ShuffleNetV2, table 6, has a network of 50 layers that \
             needs one and does not say which. The first unit of a network's first stage has first_groups 1.",
    params: &[
        optional(int(
            "out_channels",
            1,
            "Output channels, a multiple of reduction and groups. Left out: the input's width.",
        )),
        or(
            int(
                "groups",
                1,
                "Groups of the pointwise convolutions and of the shuffle.",
            ),
            3,
        ),
        or(
            int(
                "stride",
                1,
                "Step of the depthwise convolution and the pool.",
            ),
            1,
        ),
        optional(int(
            "first_groups",
            1,
            "Groups of the first pointwise convolution. Left out: groups.",
        )),
        or(
            int("kernel_size", 1, "Kernel of the depthwise convolution."),
            3,
        ),
        word(
            "form",
            &["official", "paper", "pytorchcv"],
            "Which is reproduced.",
        ),
        or(
            int("reduction", 1, "Output width over the bottleneck's."),
            4,
        ),
    ],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        let c = l.channels(x);
        let out = args.int_opt(OUT).unwrap_or(c);
        let (groups, stride) = (args.int(GROUPS), args.int(STRIDE));
        let reduction = args.int(REDUCTION);
        divisible(
            Some(OUT),
            ("an output width", out),
            0,
            ("reduction", reduction),
        )?;
        let mid = out / reduction;
        divisible(
            Some(GROUPS),
            ("a bottleneck's width", mid),
            0,
            ("groups", groups),
        )?;
        let kept = if stride == 1 { 0 } else { c };
        let what = match kept {
            0 => "an output width",
            _ => "out_channels less the input's width",
        };
        divisible(Some(OUT), (what, out), kept, ("groups", groups))?;
        let first_groups = args.int_opt(FIRST_GROUPS).unwrap_or(groups);
        let unit = Unit {
            mid,
            made: out - kept,
            groups,
            first_groups,
            stride,
            kernel: args.int(KERNEL),
            official: args.word(FORM) == 0,
        };
        let y = unit.main(l, x)?;
        if stride == 1 {
            let shortcut = match out == c {
                true => x,
                false => l.conv_bn("shortcut", Conv::same(out, 1, 1), None, x)?,
            };
            let y = l.push("add", Add, &[y, shortcut])?;
            return l.push("relu", Act::Relu, &[y]);
        }
        let y = match unit.official {
            true => l.push("relu", Act::Relu, &[y])?,
            false => y,
        };
        let pooled = l.push("pool", pool(stride), &[x])?;
        let y = match args.word(FORM) {
            2 => l.push("concat", Concat, &[y, pooled])?,
            _ => l.push("concat", Concat, &[pooled, y])?,
        };
        match unit.official {
            true => Ok(y),
            false => l.push("relu", Act::Relu, &[y]),
        }
    },
    example: r#"{"block": "shuffle_v1_unit", "out_channels": 80, "groups": 4, "stride": 2}"#,
};

/// Average pool 3x3; zeros of the padding count.
fn pool(stride: u32) -> AvgPool {
    AvgPool {
        kernel_size: [3; 2],
        stride: [stride; 2],
        padding: [1; 2],
        ceil_mode: false,
        count_include_pad: true,
    }
}

struct Unit {
    mid: u32,
    /// Channels that the main path makes.
    made: u32,
    groups: u32,
    first_groups: u32,
    stride: u32,
    kernel: u32,
    official: bool,
}

impl Unit {
    fn main(&self, l: &mut Lower, x: ValueId) -> Result<ValueId, LowerError> {
        let mid = self.mid;
        let first = Conv::same(mid, 1, 1).grouped(self.first_groups);
        let dw = Conv::same(mid, self.kernel, self.stride).grouped(mid);
        let last = Conv::same(self.made, 1, 1).grouped(self.groups);
        let mut y = l.conv_bn("pw1", first, Some(Act::Relu), x)?;
        if !self.official {
            y = self.shuffle(l, y, self.groups)?;
        }
        y = l.conv_bn("dw", dw, None, y)?;
        if self.official {
            y = self.shuffle(l, y, mid / self.groups)?;
        }
        l.conv_bn("pw2", last, None, y)
    }

    /// Nothing for one group.
    fn shuffle(&self, l: &mut Lower, y: ValueId, groups: u32) -> Result<ValueId, LowerError> {
        match self.groups {
            1 => Ok(y),
            _ => l.push("shuffle", Shuffle { groups }, &[y]),
        }
    }
}
