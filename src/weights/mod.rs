//! Floor 2: published weights. What a safetensors file holds, by which names a net's parameters go there, and whether
//! the two fit, all of it without loading a number; then the numbers themselves, read or drawn, and batch norms folded into
//! them.
//!
//! Invariants: a file's header is believed only after it was checked against the file's size; every parameter takes
//! exactly one tensor and every tensor is taken, ignored or an error; all problems are told, in execution order.

mod fit;
mod fold;
mod header;
mod init;
mod map;
mod parse;
mod pattern;
mod values;

pub use fit::{Fit, FitError, MOST_TOLD, Problem, Source, check, describe};
pub use fold::{Folded, Norm, Recipe, fold};
pub use header::{Dtype, Header, HeaderError, HeaderErrorKind, Info};
pub use init::initial;
pub use map::{NameMap, Names};
pub use values::{MAX_PARAMS, TooMany, Values, Weights};
