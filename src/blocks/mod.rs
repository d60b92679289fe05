//! Floor 3: ops and blocks, and the way from a document to a graph.
//!
//! [`load`] reads a document: the language is checked by [`Space`], what its nodes name by [`Program`]. A program and an
//! assignment make a graph ([`Program::lower`]). Blocks are entries of hand-written lists, [`OPS`], [`BLOCKS`] and, for
//! those written in the language itself, the one in `library.rs`; a document may declare more.
//!
//! Names of nodes are paths, as in a PyTorch `state_dict`: the `id` of each node of the document or its position, the
//! number of the copy under `repeat`, then the block's own names, joined by dots.
//!
//! Invariants:
//! - What a program holds has been checked: keys exist, literals fit. What is left to go wrong in lowering are values
//!   that depend on decisions, and shapes.
//! - Lowering is a pure function of program and assignment; with and without names it makes the same graph.
//! - Work and memory of lowering are bounded whatever the document says: [`MAX_STEPS`], [`MAX_DEPTH`],
//!   [`crate::ir::graph::MAX_NODES`].

mod args;
mod check;
mod describe;
mod diagnose;
mod library;
mod lower;
mod parts;
mod program;
mod registry;
mod scene;
mod suggest;
mod values;
mod walk;

mod activation;
mod classifier;
mod conv_bn_act;
mod eca;
mod eesp;
mod eesp_down;
mod ese;
mod fpn;
mod g_ghost_host;
mod g_ghost_stage;
mod mix_conv;
mod ops;
mod osa;
mod pick;
mod regnetx_block;
mod se;
mod separable_conv;
mod shuffle_v1_unit;
mod shuffle_v2_unit;

pub use args::{Arg, Args};
pub use describe::{BlockInfo, ParamInfo, describe, markdown, schema};
pub use lower::{Lower, LowerError, LowerErrorKind};
pub use parts::{
    Call, Copies, Guarded, Inside, Listed, MAX_PARTS, Options, Part, PartId, PartKind, Parts,
    Stretch, Weighed, weighed,
};
pub use program::Program;
pub use registry::{BLOCKS, BlockDef, LowerFn, MAX_INT, OPS, find, list};
pub use scene::Scene;
pub use walk::{Entry, MAX_DEPTH, MAX_STEPS, Names, Scratch};

use crate::base::diag::Diagnostics;
use crate::space::{Arch, Space};

/// Reads a document and resolves its nodes.
///
/// # Errors
/// All problems of both, with line and column.
pub fn load(text: &str) -> Result<(Space, Program), Diagnostics> {
    let space = Space::parse(text)?;
    let program = Program::compile(&space).map_err(|problems| space.locate(problems))?;
    Ok((space, program))
}

/// Reads a document in which nothing is left to decide.
///
/// # Errors
/// As [`load`]; also where a decision is left.
pub fn load_arch(text: &str) -> Result<(Arch, Program), Diagnostics> {
    let (space, program) = load(text)?;
    let arch = Arch::try_from(space)?;
    Ok((arch, program))
}
