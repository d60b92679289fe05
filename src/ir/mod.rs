//! Floor 1: the graph that everything downstream reads.
//!
//! A [`Graph`] is a list of nodes in topological order. One node has one output; a split is slices.
//! Weights are attributes of the op, not values. The batch is not in the graph: every shape is that of one sample.
//! The op set is closed: readers match [`Op`] without a wildcard, so a new op is a list of compile errors.
//!
//! The invariants stand in [`verify`](mod@verify). A graph prints as text ([`text`]), which parses back.

pub mod dot;
pub mod graph;
pub mod identity;
pub mod ops;
pub mod params;
pub mod shape;
pub mod text;
pub mod verify;

pub use graph::{Graph, GraphBuilder, Node, ValueId};
pub use ops::Op;
pub use shape::{Shape, ShapeError};
pub use verify::{Violation, verify};
