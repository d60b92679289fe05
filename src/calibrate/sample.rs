//! Measured networks.

use crate::fuse::Kernel;
use std::sync::Arc;

/// A network as kernels, and what one run of it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The network's name.
    pub network: String,
    /// Samples of one group are never split between fit and test: variants of one network, one family.
    pub group: String,
    /// What runs; samples of one network share it.
    pub kernels: Arc<[Kernel]>,
    /// Batch.
    pub batch: u32,
    /// Seconds for the batch.
    pub latency_s: f64,
    /// Joules for the batch; `None` where not measured.
    pub energy_j: Option<f64>,
}
