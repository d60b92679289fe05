//! Floor 1: the graph that everything downstream reads.
//!
//! A [`Graph`](graph::Graph) is a list of nodes in topological order. One node has one output; a split is slices.
//! Weights are attributes of the op, not values. The batch is not in the graph: every shape is that of one sample.
//! The op set is closed: readers match [`Op`] without a wildcard, so a new op is a list of compile errors.
//!
//! Invariants, which the verifier checks: a node's inputs stand before it; its stored shape is the one that its op infers
//! from its inputs' shapes; outputs exist; names are unique where they are kept.

pub mod graph;
pub mod ops;
pub mod params;
pub mod shape;

pub use graph::{Graph, GraphBuilder, Node, ValueId};
pub use ops::Op;
pub use shape::{Shape, ShapeError};
