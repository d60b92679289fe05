//! What can be wrong with a profile or a question to it.

use std::path::PathBuf;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("device profile {at}: {kind}")]
pub struct DeviceError {
    /// The profile's name or path.
    pub at: String,
    /// What is wrong.
    pub kind: DeviceErrorKind,
}

/// Kinds of [`DeviceError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceErrorKind {
    /// No shipped profile has that name, and no file is there.
    #[error("neither a shipped profile nor a file; shipped are {}", shipped.join(", "))]
    Unknown {
        /// Names there are.
        shipped: Vec<&'static str>,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The text is no profile.
    #[error("{error}")]
    Json {
        /// Why, with line and column.
        error: serde_json::Error,
    },
    /// Another format.
    #[error("expected format \"{expected}\", got \"{got}\"")]
    Format {
        /// What this release reads.
        expected: &'static str,
        /// What the file says.
        got: String,
    },
    /// A rate or quantile that is negative or not a number.
    #[error("{what} must be a number of at least 0, got {got}")]
    Number {
        /// Which.
        what: String,
        /// Its value.
        got: f64,
    },
    /// A figure outside of what makes sense.
    #[error("{what} must be {expected}, got {got}")]
    Range {
        /// Which.
        what: String,
        /// What it may be.
        expected: &'static str,
        /// Its value.
        got: String,
    },
    /// Energy rates for some kinds only.
    #[error("{kind} has no energy rates, but the profile has energy")]
    EnergyMissing {
        /// The kernel kind.
        kind: &'static str,
    },
}

/// Why there is no prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// A batch of nothing.
    #[error("batch must be at least 1, got 0")]
    EmptyBatch,
}
