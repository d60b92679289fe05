//! Effective squeeze and excitation.

use super::lower::{Lower, LowerError, one};
use super::registry::BlockDef;
use crate::ir::ValueId;
use crate::ir::ops::{Act, Conv, Mul};
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "ese",
    kind: NodeKind::Block,
    doc: "Effective squeeze and excitation: scales each channel by a gate made from all channels' means.",
    shapes: "[c, h, w] -> [c, h, w]",
    formula: "x * hsigmoid(W gap(x) + b), W from c to c without reduction",
    source: "CenterMask (VoVNetV2), arXiv 1911.06667, section 3.3; vovnet-detectron2 code.",
    params: &[],
    lower: |l, _, inputs| ese(l, one(inputs)?),
    example: r#"{"block": "ese"}"#,
};

/// The gate on `x`, named in the present scope.
pub(super) fn ese(l: &mut Lower, x: ValueId) -> Result<ValueId, LowerError> {
    let gate = l.global_avg("pool", x)?;
    let c = l.channels(x);
    let gate = l.push("fc", Conv::same(c, 1, 1).biased(), &[gate])?;
    let gate = l.push("gate", Act::Hsigmoid, &[gate])?;
    l.push("scale", Mul, &[x, gate])
}
