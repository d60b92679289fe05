//! What rates are likely before any data: the order of magnitude, and which rates a kind has at all.
//!
//! A fit multiplies each prior rate by a factor near 1 unless the data say otherwise; a prior rate of 0 stays 0. Scale is
//! fitted first, so only the ratios matter.

use crate::device::{Effects, Law, Profile, Rates};
use crate::fuse::{Kernel, KernelKind, WorkClass};

/// Rates by kernel kind, and the constant of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RateTable {
    /// By [`KernelKind::index`].
    pub rates: [[f64; Rates::COUNT]; KernelKind::COUNT],
    /// Beside all kernels.
    pub constant: f64,
    /// By kind: whether the samples could not tell what it costs.
    pub guessed: [bool; KernelKind::COUNT],
}

impl RateTable {
    /// All zero.
    pub fn zero() -> Self {
        Self {
            rates: [[0.0; Rates::COUNT]; KernelKind::COUNT],
            constant: 0.0,
            guessed: [false; KernelKind::COUNT],
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
    pub fn of(kernels: &[Kernel], batch: u32, cache_elems: f64, law: &Law) -> Self {
        let mut work = [[0.0; Rates::COUNT]; KernelKind::COUNT];
        for kernel in kernels {
            let units = law.work(kernel, f64::from(batch), cache_elems);
            for (sum, unit) in work[law.kind(kernel).index()].iter_mut().zip(units) {
                *sum += unit;
            }
        }
        Self(work)
    }

    /// As [`of`](Self::of), where kinds have effects of their own.
    pub fn with(
        kernels: &[Kernel],
        batch: u32,
        cache_elems: f64,
        law: &Law,
        effects: &EffectTable,
    ) -> Self {
        let mut work = [[0.0; Rates::COUNT]; KernelKind::COUNT];
        for kernel in kernels {
            let kind = law.kind(kernel).index();
            let units = law.work_with(&effects[kind], kernel, f64::from(batch), cache_elems);
            for (sum, unit) in work[kind].iter_mut().zip(units) {
                *sum += unit;
            }
        }
        Self(work)
    }
}

/// Effects by [`KernelKind::index`].
pub type EffectTable = [Effects; KernelKind::COUNT];

/// The effects of a profile.
pub fn effects_of(profile: &Profile) -> EffectTable {
    let mut table = [Effects::NONE; KernelKind::COUNT];
    for (kind, effects) in &profile.effects {
        table[kind.index()] = *effects;
    }
    table
}

/// A runtime's rates before any data, and what its energy is before any energy data.
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Seconds.
    pub time: RateTable,
    /// By rate: power of that work over the power of a multiply-accumulate.
    pub power: [f64; Rates::COUNT],
}

/// Every kind of work draws the same power.
pub const ONE_POWER: [f64; Rates::COUNT] = [1.0; Rates::COUNT];

/// What the ends of rows cost, in columns of a convolution and of a pool; time of an element beyond the near caches; which
/// kinds pay it.
struct Rows {
    conv: f64,
    pool: f64,
    spilled: f64,
    conv_spills: bool,
    launch_1x1: f64,
}

/// ONNX Runtime on a CPU: convolutions and pools walk padded rows, so a row costs some two columns more than it has; what
/// spills draws more than it takes time, the ends of rows less.
pub fn onnx() -> Runtime {
    let rows = Rows {
        conv: 2.3,
        pool: 2.1,
        spilled: 0.5,
        conv_spills: true,
        launch_1x1: 1500.0,
    };
    Runtime {
        time: core(&rows),
        power: [1.0, 0.5, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0],
    }
}

/// LiteRT with XNNPACK: pixels are gathered through pointers, so the ends of rows cost nothing.
pub fn litert() -> Runtime {
    let rows = Rows {
        conv: 0.0,
        pool: 0.0,
        spilled: 0.3,
        conv_spills: false,
        launch_1x1: 3000.0,
    };
    Runtime {
        time: core(&rows),
        power: ONE_POWER,
    }
}

/// TorchScript on a phone.
pub fn torchmobile() -> Runtime {
    let rows = Rows {
        conv: 0.5,
        pool: 0.5,
        spilled: 0.5,
        conv_spills: true,
        launch_1x1: 1500.0,
    };
    Runtime {
        time: core(&rows),
        power: ONE_POWER,
    }
}

/// Any runtime on a CPU.
pub fn cpu() -> Runtime {
    let rows = Rows {
        conv: 0.4,
        pool: 0.3,
        spilled: 0.3,
        conv_spills: false,
        launch_1x1: 3000.0,
    };
    Runtime {
        time: core(&rows),
        power: ONE_POWER,
    }
}

/// Seconds on one Cortex-A76 core at 2.4 GHz in fp32: 8 MACs a cycle at best, some GB/s a stream, microseconds a launch.
fn core(rows: &Rows) -> RateTable {
    use KernelKind::*;
    const NS: f64 = 1e-9;
    let mut table = RateTable::zero();
    table.constant = 20e-6;
    let spill = if rows.conv_spills { rows.spilled } else { 0.0 };
    let (edge, deep, s) = (rows.conv, rows.conv.max(1.0), rows.spilled);
    for kind in KernelKind::ALL {
        // mac, edge, in, out, spilled, weight, launch, unpacked, all in ns
        let rates: [f64; Rates::COUNT] = match kind {
            ConvFirst => [0.09, 0.09 * edge, 0.5, 0.5, spill, 0.0, 3000.0, 0.0],
            Conv1x1 => [0.075, 0.0, 0.3, 0.3, s, 0.1, rows.launch_1x1, 0.0],
            Conv3x3 => [0.075, 0.075 * edge, 0.4, 0.4, spill, 0.1, 3000.0, 0.0],
            Conv3x3Strided => [0.08, 0.08 * edge, 0.4, 0.4, spill, 0.1, 3000.0, 0.0],
            ConvOther => [0.1, 0.1 * edge, 0.4, 0.4, spill, 0.1, 3000.0, 0.0],
            Grouped1x1 | Grouped => [0.12, 0.12 * edge, 0.4, 0.4, spill, 0.1, 5000.0, 0.0],
            Depthwise3x3 => [0.2, 0.2 * deep, 0.3, 0.3, s, 0.0, 3000.0, 0.0],
            Depthwise3x3Strided => [0.3, 0.2 * deep, 0.3, 0.3, s, 0.0, 3000.0, 0.0],
            DepthwiseOther => [0.25, 0.2 * deep, 0.3, 0.3, s, 0.0, 3000.0, 0.0],
            Linear => [0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 3000.0, 0.0],
            MaxPool | AvgPool => [0.0, rows.pool, 1.0, 1.0, s, 0.0, 3000.0, 0.0],
            GlobalPool => [0.0, 0.0, 0.5, 0.0, s, 0.0, 3000.0, 0.0],
            Add | Mul | Act | ActLearned => [0.0, 0.0, 0.25, 0.25, s, 0.0, 2000.0, 0.0],
            Norm | ActHard => [0.0, 0.0, 0.4, 0.4, s, 0.0, 2000.0, 0.0],
            ActExp => [0.0, 0.0, 1.5, 1.5, s, 0.0, 2000.0, 0.0],
            Concat | Copy | Shuffle => [0.0, 0.0, 0.3, 0.3, s, 0.0, 2000.0, 0.0],
            Upsample => [0.0, 0.0, 0.0, 0.6, s, 0.0, 2000.0, 0.0],
            Other | LayerNorm => [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 5000.0, 0.0],
        };
        table.rates[kind.index()] = rates.map(|r| r * NS);
    }
    table
}

/// Seconds on some processor, where operators were measured: every rate that a kind may have, none of them more than a size.
pub fn wide() -> RateTable {
    use KernelKind::*;
    const NS: f64 = 1e-9;
    let mut table = RateTable::zero();
    table.constant = 5e-6;
    for kind in KernelKind::ALL {
        // mac, edge, in, out, spilled, weight, launch, unpacked, all in ns
        let rates: [f64; Rates::COUNT] = match kind {
            Linear => [0.0, 0.0, 0.0, 0.0, 0.0, 0.03, 8000.0, 0.0],
            _ => match kind.class() {
                WorkClass::Conv => [0.02, 0.02, 0.1, 0.1, 0.1, 0.03, 8000.0, 0.0],
                WorkClass::Depthwise => [0.06, 0.02, 0.1, 0.1, 0.1, 0.0, 8000.0, 0.0],
                _ => [0.0, 0.0, 0.1, 0.1, 0.1, 0.0, 8000.0, 0.0],
            },
        };
        table.rates[kind.index()] = rates.map(|r| r * NS);
    }
    table
}

/// Seconds in ncnn on one Cortex-A76 core: MACs are those of [`Law::NCNN`], so of Winograd tiles and packed channels.
pub fn ncnn() -> RateTable {
    use KernelKind::*;
    const NS: f64 = 1e-9;
    let mut table = RateTable::zero();
    table.constant = 50e-6;
    for kind in KernelKind::ALL {
        let elem = |r: f64| [0.0, 0.0, r, r, 0.0, 0.0, 3000.0, 0.0];
        // mac, edge, in, out, spilled, weight, launch, unpacked, all in ns
        let rates: [f64; Rates::COUNT] = match kind {
            ConvFirst => [0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 4000.0, 0.1],
            Conv1x1 => [0.06, 0.0, 0.0, 0.0, 0.0, 0.0, 4000.0, 0.06],
            Conv3x3 => [0.09, 0.0, 0.5, 0.5, 0.0, 0.4, 4000.0, 0.025],
            Conv3x3Strided => [0.07, 0.0, 0.0, 0.0, 0.0, 0.0, 4000.0, 0.07],
            ConvOther => [0.08, 0.0, 0.0, 0.0, 0.0, 0.0, 4000.0, 0.08],
            // no network of the tables has any
            Grouped1x1 | Grouped | LayerNorm | ActLearned => [0.0; Rates::COUNT],
            Depthwise3x3 => [0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 4000.0, 0.0],
            Depthwise3x3Strided => [0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 4000.0, 0.0],
            DepthwiseOther => [0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 4000.0, 0.0],
            Linear => [0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 4000.0, 0.0],
            MaxPool | AvgPool | Other => elem(1.0),
            GlobalPool | ActExp | Copy | Upsample => elem(0.5),
            Add | Mul | Act | Norm => elem(0.3),
            ActHard => elem(0.4),
            Concat | Shuffle => elem(0.35),
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
        // mac, edge, in, out, spilled, weight, launch, unpacked, all in ps
        let rates: [f64; Rates::COUNT] = match kind {
            ConvFirst => [0.03, 0.0, 2.5, 2.5, 0.0, 0.0, 1e6, 0.0],
            Conv1x1 | Conv3x3 | Conv3x3Strided | ConvOther => {
                [0.013, 0.0, 2.5, 2.5, 0.0, 1.0, 1e6, 0.013]
            }
            Linear => [0.013, 0.0, 2.5, 2.5, 0.0, 1.0, 1e6, 0.0],
            Grouped1x1 | Grouped => [0.03, 0.0, 4.0, 4.0, 0.0, 1.0, 1e6, 0.03],
            Depthwise3x3 | Depthwise3x3Strided | DepthwiseOther => {
                [0.05, 0.0, 4.0, 4.0, 0.0, 1.0, 1e6, 0.0]
            }
            GlobalPool | MaxPool | AvgPool => [0.0, 0.0, 3.0, 3.0, 0.0, 0.0, 1e6, 0.0],
            Other => [0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 1e6, 0.0],
            // each pixel's channels are a row
            LayerNorm => [0.0, 400.0, 4.0, 4.0, 0.0, 0.0, 1e6, 0.0],
            // weights that are normalised at every run
            Norm => [0.0, 0.0, 2.5, 2.5, 0.0, 5.0, 1e6, 0.0],
            Upsample => [0.0, 0.0, 5.0, 5.0, 0.0, 0.0, 1e6, 0.0],
            // PReLU is an Act here
            ActLearned => [0.0; Rates::COUNT],
            Add | Mul | Act | ActHard | ActExp | Concat | Copy | Shuffle => {
                [0.0, 0.0, 2.5, 2.5, 0.0, 0.0, 1e6, 0.0]
            }
        };
        table.rates[kind.index()] = rates.map(|r| r * PS);
    }
    table
}

/// Seconds on a GPU of some years ago in single precision, a few microseconds between kernels.
pub fn gpu_fp32() -> RateTable {
    use KernelKind::*;
    const PS: f64 = 1e-12;
    let mut table = RateTable::zero();
    for kind in KernelKind::ALL {
        // mac, edge, in, out, spilled, weight, launch, unpacked, all in ps
        let rates: [f64; Rates::COUNT] = match kind {
            ConvFirst | Conv1x1 | Conv3x3 | Conv3x3Strided | ConvOther | Grouped1x1 | Grouped => {
                [0.3, 0.0, 8.0, 8.0, 0.0, 0.0, 4e6, 0.0]
            }
            Depthwise3x3 | Depthwise3x3Strided | DepthwiseOther => {
                [1.0, 0.0, 8.0, 8.0, 0.0, 0.0, 4e6, 0.0]
            }
            Linear => [0.3, 0.0, 8.0, 8.0, 0.0, 8.0, 4e6, 0.0],
            ActLearned => [0.0; Rates::COUNT],
            _ => [0.0, 0.0, 8.0, 8.0, 0.0, 0.0, 4e6, 0.0],
        };
        table.rates[kind.index()] = rates.map(|r| r * PS);
    }
    table
}
