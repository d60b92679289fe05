//! Measured networks.

use crate::base::rng::stream;
use crate::fuse::Kernel;
use rand::Rng as _;
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

/// Some of the numbers below `n`, each once and in order: a draw of its own by purpose and number.
pub fn draw(n: usize, wanted: usize, purpose: &str, number: u64) -> Vec<usize> {
    let mut rng = stream(1, purpose, number);
    let mut all: Vec<usize> = (0..n).collect();
    for i in 0..wanted.min(n) {
        let j = i + (rng.next_u64() % (n - i) as u64) as usize;
        all.swap(i, j);
    }
    all.truncate(wanted);
    all.sort_unstable();
    all
}
