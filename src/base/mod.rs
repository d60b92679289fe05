//! Floor 0: JSON paths, diagnostics, units, random streams, stable hashes, statistics. Knows nothing of networks.

pub mod csv;
pub mod diag;
pub mod file;
pub mod hash;
pub mod lbfgs;
pub(crate) mod locate;
pub mod memory;
pub mod parts;
pub mod path;
pub mod rng;
pub mod stats;
pub mod table;
pub mod units;
