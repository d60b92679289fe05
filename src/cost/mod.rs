//! Floor 2: what a network costs before any device is named.
//!
//! [`Totals::of`] is the walk that a search runs on every candidate: no allocation once its [`Scratch`] has grown.
//! [`Counts::of`] adds a row a node and is what tables are made of. Units: elements and multiply-accumulates of one
//! sample; bytes are elements times the size of the precision, which only a device knows.
//!
//! Invariants: a total is the sum over its rows; dead nodes have parameters and running statistics and nothing else;
//! a number past `u64` is an error that names its node, never a wrapped or saturated figure.

mod bound;
mod field;
mod memory;
mod table;

pub use bound::{Bounds, mem_access_lower_bound};
pub use table::{BlockRow, CostError, CostErrorKind, Counts, Layer, Scratch, Totals, Visible};
