//! What can be wrong with measurements.

use crate::base::table::TableError;

/// Why there is no fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// A table lacks a column, or a column a cell.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Too few samples.
    #[error("{what}: a fit needs at least {needed} samples, got {got}")]
    TooFew {
        /// Of what.
        what: String,
        /// How many it takes.
        needed: usize,
        /// How many there are.
        got: usize,
    },
    /// A value that cannot be.
    #[error("{table}, row {row}: {what}")]
    Row {
        /// The table.
        table: String,
        /// The row, from 0.
        row: usize,
        /// What is wrong.
        what: String,
    },
    /// A network that cannot be built.
    #[error("network {network}: {why}")]
    Network {
        /// Its name.
        network: String,
        /// Why.
        why: String,
    },
}
