//! Floor 1: the expression language of the JSON documents, `=2*w + 16`.
//!
//! Text is parsed once into a tree of nodes in one flat array; names become slots and words become numbers then, so
//! that evaluation looks up no strings and allocates nothing.
//!
//! Invariants:
//! - A child stands before its parent in the array, so evaluation ends.
//! - Nesting is at most [`MAX_DEPTH`] deep and a text at most [`MAX_LENGTH`] bytes long, so recursion is bounded.
//! - No operation panics: overflow, division by zero and mixed kinds are errors with a span into the text.

mod eval;
mod lex;
mod parse;
mod value;

pub use eval::{EvalError, EvalErrorKind, Interval, Scope};
pub use parse::{Expr, Names, ParseError, ParseErrorKind, Ref, function_names};
pub use value::{Scalar, Word, Words};

/// The most levels an expression may nest.
pub const MAX_DEPTH: usize = 64;

/// The most bytes an expression may have.
pub const MAX_LENGTH: usize = 4096;

/// A part of an expression's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u16,
    /// One past the last byte.
    pub end: u16,
}
