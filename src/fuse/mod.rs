//! Floor 2: from graph to kernels, what really runs.
//!
//! A runtime does not run a graph's nodes one by one: it drops what no output needs, computes once what does not depend
//! on the input, folds batch norm into the convolution before it, and lets activations and sums ride along. What is left
//! is a list of [`Kernel`]s, one launch each. Device models know kernels only, so that a graph, a table of operators
//! and a measured network are the same thing to them.
//!
//! Which ops join which kernel is data ([`FuseRules`]), one set a runtime.
//!
//! Invariants: the MACs of all kernels are the MACs of all nodes that an output needs and that depend on an input; so are
//! their parameters (shared ones in each kernel that reads them); each such node is in exactly one kernel or costs nothing. (Where a runtime computes on zeros,
//! [`ZeroRule`] makes the zeros depend on the input.)

mod fusion;
mod kernel;
mod rules;

pub use fusion::{Ends, Kernels, Merging, Open, Place, Scratch, fuse, fuse_after, fuse_into};
pub use kernel::{Kernel, KernelKind, Window, WorkClass};
pub use rules::{Acts, FuseRules, ZeroRule};
