//! The lists of ops and blocks that a document may name, and how an entry is described.

use super::args::Args;
use super::lower::{Lower, LowerError};
use super::{library, ops};
use crate::ir::ValueId;
use crate::space::signature::{Literal, NodeKind, ParamDef, ParamKind, Signature};

/// The largest whole number that a parameter takes. No real network comes near it, and sums of a few stay within u32.
pub const MAX_INT: i64 = 1 << 24;

/// How a block or an op becomes nodes: it pushes them with [`Lower`] and gives back the value that is its result.
pub type LowerFn = fn(&mut Lower, &Args<'_>, &[ValueId]) -> Result<ValueId, LowerError>;

/// A block or an op: what it takes, what it is, where it comes from, and how it becomes nodes.
#[derive(Debug)]
pub struct BlockDef {
    /// The word after `op` or `block`.
    pub name: &'static str,
    /// Which of the two.
    pub kind: NodeKind,
    /// What it is, in one line.
    pub doc: &'static str,
    /// Input and result, with named axes.
    pub shapes: &'static str,
    /// What it computes.
    pub formula: &'static str,
    /// Paper, reference code reproduced, and where this deviates from either.
    pub source: &'static str,
    /// Its parameters, required ones first. Position is the slot in [`Args`].
    pub params: &'static [ParamDef],
    /// Makes its nodes. Arguments have been checked against `params`.
    pub lower: LowerFn,
    /// A node that lowers on an input of 32 x 16 x 16 (a vector of 32 for ops that take vectors).
    pub example: &'static str,
}

impl BlockDef {
    /// The part of it that the JSON Schema is written from.
    pub fn signature(&self) -> Signature {
        Signature {
            name: self.name,
            kind: self.kind,
            doc: self.doc,
            params: self.params,
        }
    }
}

/// What `{"op": …}` may name.
pub static OPS: &[&BlockDef] = &[
    &ops::CONV,
    &ops::BATCH_NORM,
    &ops::RELU,
    &ops::RELU6,
    &ops::PRELU,
    &ops::SILU,
    &ops::HSWISH,
    &ops::SIGMOID,
    &ops::HSIGMOID,
    &ops::LEAKY_RELU,
    &ops::CLIP01,
    &ops::LOCAL_RESPONSE_NORM,
    &ops::L2_NORM,
    &ops::MAX_POOL,
    &ops::AVG_POOL,
    &ops::ADAPTIVE_AVG_POOL,
    &ops::GLOBAL_AVG_POOL,
    &ops::GLOBAL_MAX_POOL,
    &ops::UPSAMPLE,
    &ops::LINEAR,
    &ops::FLATTEN,
    &ops::DROPOUT,
    &ops::ADD,
    &ops::MUL,
    &ops::CONCAT,
    &ops::SLICE,
    &ops::SHUFFLE,
    &ops::TRANSPOSE,
    &ops::PAD,
    &ops::GATHER,
    &ops::CHANNEL_CONV,
    &ops::LIST,
    &ops::ZERO,
];

/// What `{"block": …}` may name besides the shipped blocks, see `library.rs`, and those that the document declares.
pub static BLOCKS: &[&BlockDef] = &[
    &super::conv_bn_act::DEF,
    &super::separable_conv::DEF,
    &super::mix_conv::DEF,
    &super::osa::DEF,
    &super::ese::DEF,
    &super::eca::DEF,
    &super::se::DEF,
    &super::regnetx_block::DEF,
    &super::g_ghost_stage::DEF,
    &super::eesp::DEF,
    &super::eesp_down::DEF,
    &super::shuffle_v1_unit::DEF,
    &super::shuffle_v2_unit::DEF,
    &super::fpn::DEF,
    &super::classifier::DEF,
    &super::activation::DEF,
    &super::pick::DEF,
];

/// All of a kind of node; blocks native ones first.
pub fn list(kind: NodeKind) -> &'static [&'static BlockDef] {
    match kind {
        NodeKind::Op => OPS,
        NodeKind::Block => library::blocks(),
    }
}

/// The entry of that name in the lists of Rust.
pub(super) fn native(kind: NodeKind, name: &str) -> Option<&'static BlockDef> {
    let list = match kind {
        NodeKind::Op => OPS,
        NodeKind::Block => BLOCKS,
    };
    list.iter().copied().find(|def| def.name == name)
}

/// The entry of that name.
pub fn find(kind: NodeKind, name: &str) -> Option<&'static BlockDef> {
    // a document of native blocks alone does without reading the others
    native(kind, name).or_else(|| list(kind).iter().copied().find(|def| def.name == name))
}

/// A whole number that must be given.
pub(super) const fn int(name: &'static str, min: i64, doc: &'static str) -> ParamDef {
    ParamDef {
        name,
        kind: ParamKind::Int { min, max: MAX_INT },
        required: true,
        default: None,
        doc,
    }
}

/// A whole number for both axes, or one for each, that must be given.
pub(super) const fn pair(name: &'static str, min: i64, doc: &'static str) -> ParamDef {
    ParamDef {
        name,
        kind: ParamKind::Pair { min, max: MAX_INT },
        required: true,
        default: None,
        doc,
    }
}

/// A real number with a default.
pub(super) const fn real(
    name: &'static str,
    (min, max): (f64, f64),
    default: f64,
    doc: &'static str,
) -> ParamDef {
    ParamDef {
        name,
        kind: ParamKind::Real { min, max },
        required: false,
        default: Some(Literal::Real(default)),
        doc,
    }
}

/// True or false, with a default.
pub(super) const fn flag(name: &'static str, default: bool, doc: &'static str) -> ParamDef {
    ParamDef {
        name,
        kind: ParamKind::Bool,
        required: false,
        default: Some(Literal::Bool(default)),
        doc,
    }
}

/// One of some words, the first of which is the default.
pub(super) const fn word(
    name: &'static str,
    of: &'static [&'static str],
    doc: &'static str,
) -> ParamDef {
    ParamDef {
        name,
        kind: ParamKind::Word(of),
        required: false,
        default: Some(Literal::Word(of[0])),
        doc,
    }
}

/// The same parameter with a default.
pub(super) const fn or(param: ParamDef, default: i64) -> ParamDef {
    ParamDef {
        required: false,
        default: Some(Literal::Int(default)),
        ..param
    }
}

/// The same parameter, which may be left out; its `doc` says what happens then.
pub(super) const fn optional(param: ParamDef) -> ParamDef {
    ParamDef {
        required: false,
        default: None,
        ..param
    }
}
