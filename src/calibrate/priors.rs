//! What rates are likely before any data: the order of magnitude, and which rates a kind has at all.
//!
//! A fit multiplies each prior rate by a factor near 1 unless the data say otherwise; a prior rate of 0 stays 0. Scale is
//! fitted first, so only the ratios matter.

use crate::device::Rates;
use crate::fuse::KernelKind;

/// Rates by kernel kind, and the constant of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RateTable {
    /// By [`KernelKind::index`].
    pub rates: [[f64; Rates::COUNT]; KernelKind::COUNT],
    /// Beside all kernels.
    pub constant: f64,
}

impl RateTable {
    /// All zero.
    pub fn zero() -> Self {
        Self {
            rates: [[0.0; Rates::COUNT]; KernelKind::COUNT],
            constant: 0.0,
        }
    }

    /// All rates times a factor.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut table = self.clone();
        table.constant *= factor;
        for rate in table.rates.iter_mut().flatten() {
            *rate *= factor;
        }
        table
    }

    /// Cost of the units of work of a whole network, by kind.
    pub fn cost(&self, work: &Work) -> f64 {
        let kinds = self.rates.iter().zip(&work.0);
        let sum: f64 = kinds
            .map(|(rates, units)| rates.iter().zip(units).map(|(r, u)| r * u).sum::<f64>())
            .sum();
        self.constant + sum
    }
}

/// Units of work of a whole network, by kernel kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Work(pub [[f64; Rates::COUNT]; KernelKind::COUNT]);

impl Work {
    /// Of these kernels.
    pub fn of(kernels: &[crate::fuse::Kernel], batch: u32, cache_elems: f64) -> Self {
        let mut work = [[0.0; Rates::COUNT]; KernelKind::COUNT];
        for kernel in kernels {
            let units = Rates::work(kernel, f64::from(batch), cache_elems);
            for (sum, unit) in work[kernel.kind.index()].iter_mut().zip(units) {
                *sum += unit;
            }
        }
        Self(work)
    }
}

/// Seconds on one Cortex-A76 core at 2.4 GHz in fp32: 8 MACs a cycle at best, some GB/s a stream, microseconds a launch.
pub fn cpu() -> RateTable {
    use KernelKind::*;
    const NS: f64 = 1e-9;
    let mut table = RateTable::zero();
    table.constant = 20e-6;
    for kind in KernelKind::ALL {
        // mac, edge, in, out, spilled, weight, launch, all in ns
        let rates: [f64; Rates::COUNT] = match kind {
            ConvFirst => [0.09, 0.03, 0.5, 0.5, 0.0, 0.0, 3000.0],
            Conv1x1 => [0.075, 0.0, 0.3, 0.3, 0.3, 0.1, 3000.0],
            Conv3x3 => [0.075, 0.03, 0.4, 0.4, 0.0, 0.1, 3000.0],
            Conv3x3Strided => [0.08, 0.03, 0.4, 0.4, 0.0, 0.1, 3000.0],
            ConvOther => [0.1, 0.03, 0.4, 0.4, 0.0, 0.1, 3000.0],
            Grouped1x1 | Grouped => [0.12, 0.03, 0.4, 0.4, 0.0, 0.1, 5000.0],
            Depthwise3x3 => [0.2, 0.2, 0.3, 0.3, 0.3, 0.0, 3000.0],
            Depthwise3x3Strided => [0.3, 0.2, 0.3, 0.3, 0.3, 0.0, 3000.0],
            DepthwiseOther => [0.25, 0.2, 0.3, 0.3, 0.3, 0.0, 3000.0],
            Linear => [0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 3000.0],
            MaxPool | AvgPool => [0.0, 0.3, 1.0, 1.0, 0.3, 0.0, 3000.0],
            GlobalPool => [0.0, 0.0, 0.5, 0.0, 0.3, 0.0, 3000.0],
            Add | Mul | Act => [0.0, 0.0, 0.25, 0.25, 0.3, 0.0, 2000.0],
            Norm | ActHard => [0.0, 0.0, 0.4, 0.4, 0.3, 0.0, 2000.0],
            ActExp => [0.0, 0.0, 1.5, 1.5, 0.3, 0.0, 2000.0],
            Concat | Copy | Shuffle => [0.0, 0.0, 0.3, 0.3, 0.3, 0.0, 2000.0],
            Upsample => [0.0, 0.0, 0.0, 0.6, 0.3, 0.0, 2000.0],
            Other => [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 5000.0],
        };
        table.rates[kind.index()] = rates.map(|r| r * NS);
    }
    table
}

/// Seconds on a large GPU in half precision: launches, memory traffic, then MACs.
pub fn gpu() -> RateTable {
    use KernelKind::*;
    const PS: f64 = 1e-12;
    let mut table = RateTable::zero();
    table.constant = 20e-6;
    for kind in KernelKind::ALL {
        // mac, edge, in, out, spilled, weight, launch, all in ps
        let rates: [f64; Rates::COUNT] = match kind {
            ConvFirst => [0.03, 0.0, 3.0, 3.0, 0.0, 0.0, 1e6],
            Conv1x1 | Conv3x3 | Conv3x3Strided | ConvOther => [0.013, 0.0, 2.5, 2.5, 0.0, 1.0, 1e6],
            Grouped1x1 | Grouped => [0.05, 0.0, 4.0, 4.0, 0.0, 1.0, 1e6],
            Depthwise3x3 | Depthwise3x3Strided => [0.1, 0.0, 4.0, 4.0, 0.0, 0.0, 1e6],
            DepthwiseOther => [0.1, 0.0, 4.0, 4.0, 0.0, 0.0, 1e6],
            Linear => [0.013, 0.0, 2.5, 2.5, 0.0, 1.0, 1e6],
            Upsample => [0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 1e6],
            GlobalPool => [0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 1e6],
            MaxPool | AvgPool | Add | Mul | Act | ActHard | ActExp | Norm | Concat | Copy
            | Shuffle | Other => [0.0, 0.0, 2.5, 2.5, 0.0, 0.0, 1e6],
        };
        table.rates[kind.index()] = rates.map(|r| r * PS);
    }
    table
}
