//! A profile made ready to predict.

use super::effects::Effects;
use super::error::{DeviceError, DeviceErrorKind, PredictError};
use super::law::Law;
use super::profile::{KindProfile, Profile, Rates, Support};
use super::profiles::BUILT_IN;
use super::region::Region;
use crate::base::units::{Joules, Seconds};
use crate::fuse::{FuseRules, Kernel, KernelKind, WorkClass};
use std::path::Path;

/// Time, and energy where it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Time.
    pub latency: Seconds,
    /// Energy; `None` where the profile has none.
    pub energy: Option<Joules>,
}

/// Cost by class of work. The sum is the total, but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ByClass {
    /// Convolutions but depthwise, and linear layers.
    pub conv: Cost,
    /// Depthwise convolutions.
    pub depthwise: Cost,
    /// Concatenation, copies, shuffles, resizing.
    pub data_movement: Cost,
    /// Activations, sums, products, norms, pools.
    pub element_wise: Cost,
    /// Launches and the constant.
    pub overhead: Cost,
}

impl ByClass {
    /// The classes by the names of tables and JSON.
    pub fn named(&self) -> [(&'static str, Cost); 5] {
        [
            ("conv", self.conv),
            ("depthwise", self.depthwise),
            ("data_movement", self.data_movement),
            ("element_wise", self.element_wise),
            ("overhead", self.overhead),
        ]
    }
}

/// What a network costs on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Time of one run of the whole batch, without what is uncovered.
    pub latency: Seconds,
    /// Lower end of the interval.
    pub latency_lo: Seconds,
    /// Upper end of the interval; infinite, and so `null` in JSON, where work is uncovered: nothing says how long that takes.
    pub latency_hi: Seconds,
    /// Energy of one run; `None` where the profile has none.
    pub energy: Option<Joules>,
    /// Lower end of its interval.
    pub energy_lo: Option<Joules>,
    /// Upper end of its interval; infinite where work is uncovered.
    pub energy_hi: Option<Joules>,
    /// Where it goes.
    pub by_class: ByClass,
    /// Kernel kinds that the profile has no rates for, each once, in order.
    pub uncovered: Vec<KernelKind>,
    /// Their share of all MACs and elements moved; above 0 wherever `uncovered` is not empty.
    pub uncovered_share: f64,
    /// Share of the time that transferred rates predict.
    pub transferred_share: f64,
}

/// The totals alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fast {
    /// As [`Prediction::latency`].
    pub latency: Seconds,
    /// As [`Prediction::energy`].
    pub energy: Option<Joules>,
    /// Kernels that the profile has no rates for.
    pub uncovered_kernels: u32,
    /// Their MACs.
    pub uncovered_macs: u64,
}

/// Costs added up as whole femtoseconds and femtojoules: whole numbers have the same sum in any order and grouping, so
/// that a network summed stage by stage costs, to the bit, what it costs kernel by kernel. Sums stop at 2^64 (five hours).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Time of the covered kernels, in 1e-15 s.
    pub time: u64,
    /// Time to issue them.
    pub host: u64,
    /// Their energy, in 1e-15 J.
    pub energy: u64,
    /// Kernels that the profile has no rates for.
    pub uncovered_kernels: u32,
    /// Their MACs.
    pub uncovered_macs: u64,
    /// [`signature`] of the kernels; 0 where the profile knows no networks.
    pub signature: u64,
}

/// Femtoseconds in a second.
const FEMTO: f64 = 1e15;

impl Sum {
    fn covered(seconds: f64, host: f64, joules: f64) -> Self {
        // a float cast stops at the ends of its target; a negative cost, which no profile has, is none
        Self {
            time: (seconds * FEMTO + 0.5) as u64,
            host: (host * FEMTO + 0.5) as u64,
            energy: (joules * FEMTO + 0.5) as u64,
            ..Self::default()
        }
    }
}

impl Sum {
    /// What is left without a part of it; `None` where that is no part of it.
    #[must_use]
    pub fn without(self, part: Self) -> Option<Self> {
        Some(Self {
            time: self.time.checked_sub(part.time)?,
            host: self.host.checked_sub(part.host)?,
            energy: self.energy.checked_sub(part.energy)?,
            uncovered_kernels: self.uncovered_kernels.checked_sub(part.uncovered_kernels)?,
            uncovered_macs: self.uncovered_macs.checked_sub(part.uncovered_macs)?,
            signature: self.signature.wrapping_sub(part.signature),
        })
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, more: Self) {
        self.time = self.time.saturating_add(more.time);
        self.host = self.host.saturating_add(more.host);
        self.energy = self.energy.saturating_add(more.energy);
        self.uncovered_kernels = self
            .uncovered_kernels
            .saturating_add(more.uncovered_kernels);
        self.uncovered_macs = self.uncovered_macs.saturating_add(more.uncovered_macs);
        self.signature = self.signature.wrapping_add(more.signature);
    }
}

/// What one kernel costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelCost {
    /// Its cost, its launch included; `None` where it is uncovered.
    pub cost: Option<Cost>,
    /// The launch's part of it.
    pub launch: Cost,
    /// Whether the rates are transferred.
    pub transferred: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    covered: bool,
    /// Nothing in the rates tells what multiplications cost beyond one a weight.
    blind: bool,
    transferred: bool,
    latency: [f64; Rates::COUNT],
    energy: [f64; Rates::COUNT],
    host: f64,
    effects: Option<Effects>,
    max_macs: f64,
    max_elems: f64,
}

/// A profile made ready to predict.
#[derive(Clone, Debug)]
pub struct DeviceModel {
    profile: Profile,
    /// The profile's name, and the batch behind it where that is not 1.
    name: String,
    batch: u32,
    rows: [Row; KernelKind::COUNT],
    cache_elems: f64,
    law: Law,
    /// Signature, factor and half width of the interval, by signature.
    known: Vec<(u64, f64, Option<f64>)>,
}

const LAUNCH: usize = Rates::LAUNCH;

/// The largest batch that has a name.
pub const MAX_BATCH: u32 = 65536;

/// The parts of `NAME:BATCH`; `None` where a name has no batch behind it, or one that nobody could mean.
pub fn split_batch(text: &str) -> Option<(&str, u32)> {
    let (name, batch) = text.rsplit_once(':')?;
    let plain = batch.bytes().all(|b| b.is_ascii_digit());
    let batch = batch.parse().ok().filter(|b| (1..=MAX_BATCH).contains(b));
    batch
        .filter(|_| plain && !name.is_empty())
        .map(|b| (name, b))
}

/// A number that two lists share only where they hold the same kernels in any order, but for what traces of one network
/// differ in: parameters, and what runs at one pixel. The wrapping sum of the signatures
/// of two lists is that of both together.
pub fn signature(kernels: &[Kernel]) -> u64 {
    let marks = kernels.iter().map(mark);
    marks.fold(0, u64::wrapping_add)
}

/// What must agree between a measured trace and a network of ours: not parameters, which traces count with or without
/// biases; not whether a layer at one pixel is called linear; and not a softmax or a gate at one pixel.
fn mark(kernel: &Kernel) -> u64 {
    let pixel = kernel.output.hw() == (1, 1);
    let kind = match kernel.kind {
        KernelKind::ActExp if pixel => return 0,
        _ if pixel && kernel.macs > 0 => KernelKind::Linear,
        kind => kind,
    };
    let mut hash = kind.index() as u64 + 1;
    for fact in [kernel.macs, kernel.elems_in, kernel.elems_out] {
        // a multiplier and shift of splitmix64
        hash = (hash ^ fact).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 31;
    }
    hash
}

impl DeviceModel {
    /// A model from a profile whose numbers have been checked, as those of [`Profile::parse`] are.
    pub fn new(profile: Profile) -> Self {
        let mut rows = [Row::default(); KernelKind::COUNT];
        for (kind, rates) in &profile.kernels {
            rows[kind.index()] = Row::of(*kind, rates);
        }
        for (kind, effects) in &profile.effects {
            rows[kind.index()].effects = Some(*effects);
        }
        let cache_elems = profile.cache_elems.unwrap_or(f64::INFINITY);
        let known = profile.known.iter();
        let mut known: Vec<_> = known
            .map(|k| (k.signature, k.log_ratio.exp(), k.half_log))
            .collect();
        known.sort_by_key(|k| k.0);
        Self {
            law: profile.law,
            name: profile.name.clone(),
            batch: 1,
            profile,
            rows,
            cache_elems,
            known,
        }
    }

    /// Measured time over what the rates make of it, for a network of that signature; 1 where none is known.
    fn factor(&self, signature: u64) -> f64 {
        let at = self.known.binary_search_by_key(&signature, |k| k.0);
        at.ok().and_then(|i| self.known.get(i)).map_or(1.0, |k| k.1)
    }

    fn row(&self, kernel: &Kernel) -> &Row {
        &self.rows[self.law.kind(kernel).index()]
    }

    /// The units of work of a kernel, one of those that `row` has the rates of.
    fn units(&self, row: &Row, kernel: &Kernel, batch: f64) -> [f64; Rates::COUNT] {
        match &row.effects {
            None => self.law.work(kernel, batch, self.cache_elems),
            Some(effects) => (self.law).work_with(effects, kernel, batch, self.cache_elems),
        }
    }

    /// The profile of that name among the shipped ones, or else in that file.
    ///
    /// # Errors
    /// Where there is none, or it is no profile.
    pub fn find(name_or_path: &str) -> Result<Self, DeviceError> {
        if let Some(shipped) = BUILT_IN.iter().find(|p| p.name == name_or_path) {
            return Profile::parse(shipped.text, shipped.name).map(Self::new);
        }
        let path = Path::new(name_or_path);
        if path.is_file() {
            return Self::load(path);
        }
        let shipped = BUILT_IN.iter().map(|p| p.name).collect();
        Err(DeviceError {
            at: name_or_path.to_owned(),
            kind: DeviceErrorKind::Unknown { shipped },
        })
    }

    /// The profile in a file.
    ///
    /// # Errors
    /// Where the file cannot be read or is no profile.
    pub fn load(path: &Path) -> Result<Self, DeviceError> {
        let at = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| DeviceError {
            at: at.clone(),
            kind: DeviceErrorKind::Read {
                path: path.to_owned(),
                error,
            },
        })?;
        Profile::parse(&text, &at).map(Self::new)
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The same device for a search whose batches are so large: its name is `NAME:BATCH` then, or plain for batches of 1.
    #[must_use]
    pub fn at_batch(mut self, batch: u32) -> Self {
        self.batch = batch.max(1);
        self.name = match self.batch {
            1 => self.profile.name.clone(),
            batch => format!("{}:{batch}", self.profile.name),
        };
        self
    }

    /// The batch that searches predict for, 1 unless [`at_batch`](Self::at_batch) said otherwise.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// The name that commands use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the runtime fuses: what kernels must have been made with.
    pub fn rules(&self) -> &FuseRules {
        &self.profile.fuse
    }

    /// What the kernels cost for a batch.
    ///
    /// # Errors
    /// Where the batch is 0.
    pub fn predict(&self, kernels: &[Kernel], batch: u32) -> Result<Prediction, PredictError> {
        let fast = self.predict_fast(kernels, batch)?;
        let n = f64::from(batch);
        let mut classes = [[0.0f64; 2]; 4];
        let mut issued = 0.0;
        let (mut launches, mut transferred, mut far) = ([0.0f64; 2], 0.0, 0.0);
        let mut uncovered = Vec::new();
        let (mut work, mut uncovered_work) = (0.0, 0.0);
        for kernel in kernels {
            let row = self.row(kernel);
            let moved = (kernel.elems_in + kernel.elems_out) as f64;
            let macs = kernel.macs as f64;
            work += macs + moved;
            if !row.covers(kernel) {
                uncovered_work += macs + moved;
                uncovered.push(kernel.kind);
                continue;
            }
            let units = self.units(row, kernel, n);
            let (time, joules) = (dot(&row.latency, &units), dot(&row.energy, &units));
            let class = &mut classes[kernel.kind.class() as usize];
            let launch = [row.latency, row.energy].map(|r| r[LAUNCH] * units[LAUNCH]);
            class[0] += time - launch[0];
            class[1] += joules - launch[1];
            issued += row.host * units[LAUNCH];
            launches[0] += launch[0];
            launches[1] += launch[1];
            if row.transferred {
                transferred += time;
            } else {
                let beyond = (macs / row.max_macs.max(1.0)).max(moved / row.max_elems.max(1.0));
                far += time * beyond.max(1.0).ln();
            }
        }
        uncovered.sort_unstable();
        uncovered.dedup();
        let constant = self.profile.energy_constant_j;
        let factor = self.correction(kernels);
        let cost = |[time, joules]: [f64; 2]| Cost {
            latency: Seconds(time * factor),
            energy: constant.map(|_| Joules(joules)),
        };
        // the device waits for what is not yet issued
        let busy = classes.iter().map(|c| c[0]).sum::<f64>() + launches[0];
        let wait = self.wait(busy, issued);
        let by_class = ByClass {
            conv: cost(classes[WorkClass::Conv as usize]),
            depthwise: cost(classes[WorkClass::Depthwise as usize]),
            data_movement: cost(classes[WorkClass::DataMovement as usize]),
            element_wise: cost(classes[WorkClass::ElementWise as usize]),
            overhead: cost([
                launches[0] + self.profile.latency_constant_s + wait,
                launches[1] + constant.unwrap_or(0.0),
            ]),
        };
        let total = fast.latency.0;
        let share = |part: f64| {
            if total > 0.0 {
                part * factor / total
            } else {
                0.0
            }
        };
        let batches = self.profile.batch.map(|b| f64::from(b.max(1)));
        let far_batch = (n / batches[1]).max(batches[0] / n).max(1.0).ln();
        let far_time = self.profile.latency_range_s.map_or(0.0, |[short, long]| {
            let sample = (total / n).max(f64::MIN_POSITIVE);
            let beyond = (sample / long.max(f64::MIN_POSITIVE)).max(short / sample);
            beyond.max(1.0).ln()
        });
        let interval = &self.profile.interval;
        let widen = interval.transferred_log * share(transferred)
            + interval.far_log * (share(far) + far_batch + far_time);
        let band = |middle: f64, log: f64| {
            let factor = (log + widen).exp();
            let high = match uncovered.is_empty() {
                true => middle * factor,
                false => f64::INFINITY,
            };
            (middle / factor, high)
        };
        let known = self.known_half(kernels);
        let of_space = |r: &Region| r.half(kernels, batch, &self.law);
        let like = || self.profile.regions.iter().find_map(of_space);
        let own = known.is_none() && uncovered.is_empty();
        let (low, high) = match own.then(like).flatten() {
            // what was held out of a space had its transferred kinds too
            Some(half) => (total / half.exp(), total * half.exp()),
            None => band(total, known.unwrap_or(interval.latency_log)),
        };
        let energy_log = interval.energy_log.unwrap_or(interval.latency_log);
        let energy = fast.energy.map(|e| band(e.0, energy_log));
        Ok(Prediction {
            latency: fast.latency,
            latency_lo: Seconds(low),
            latency_hi: Seconds(high),
            energy: fast.energy,
            energy_lo: energy.map(|e| Joules(e.0)),
            energy_hi: energy.map(|e| Joules(e.1)),
            by_class,
            uncovered,
            uncovered_share: if work > 0.0 {
                uncovered_work / work
            } else {
                0.0
            },
            transferred_share: share(transferred),
        })
    }

    /// As [`predict`](Self::predict), the totals alone: no memory is allocated.
    ///
    /// # Errors
    /// Where the batch is 0.
    pub fn predict_fast(&self, kernels: &[Kernel], batch: u32) -> Result<Fast, PredictError> {
        if batch == 0 {
            return Err(PredictError::EmptyBatch);
        }
        Ok(self.total(self.sum(kernels, batch)))
    }

    /// What the kernels cost together, without the network's constant.
    pub fn sum(&self, kernels: &[Kernel], batch: u32) -> Sum {
        let n = f64::from(batch);
        let mut sum = Sum::default();
        for kernel in kernels {
            if !self.known.is_empty() {
                sum.signature = sum.signature.wrapping_add(mark(kernel));
            }
            let row = self.row(kernel);
            sum += if row.covers(kernel) {
                let units = self.units(row, kernel, n);
                let (time, joules) = (dot(&row.latency, &units), dot(&row.energy, &units));
                Sum::covered(time, row.host * units[LAUNCH], joules)
            } else {
                Sum {
                    uncovered_kernels: 1,
                    uncovered_macs: kernel.macs,
                    ..Sum::default()
                }
            };
        }
        sum
    }

    /// The network's prediction from the sum over its kernels.
    pub fn total(&self, sum: Sum) -> Fast {
        let constant = self.profile.energy_constant_j;
        let time = sum.time as f64 / FEMTO + self.profile.latency_constant_s;
        let host = self.profile.host_constant_s;
        let host = host.map_or(0.0, |c| sum.host as f64 / FEMTO + c);
        let time = time.max(host);
        Fast {
            latency: Seconds(time * self.factor(sum.signature)),
            energy: constant.map(|joules| Joules(sum.energy as f64 / FEMTO + joules)),
            uncovered_kernels: sum.uncovered_kernels,
            uncovered_macs: sum.uncovered_macs,
        }
    }

    /// Time that a device busy for so long stands still, where issuing takes that long.
    fn wait(&self, busy: f64, issued: f64) -> f64 {
        let host = self.profile.host_constant_s.map_or(0.0, |c| issued + c);
        (host - busy - self.profile.latency_constant_s).max(0.0)
    }

    fn known_half(&self, kernels: &[Kernel]) -> Option<f64> {
        if self.known.iter().all(|k| k.2.is_none()) {
            return None;
        }
        let signature = signature(kernels);
        let at = self.known.binary_search_by_key(&signature, |k| k.0);
        at.ok().and_then(|i| self.known.get(i)).and_then(|k| k.2)
    }

    /// What the prediction of these kernels is multiplied with because they were measured themselves; 1 for others.
    pub fn correction(&self, kernels: &[Kernel]) -> f64 {
        if self.known.is_empty() {
            return 1.0;
        }
        self.factor(signature(kernels))
    }

    /// What each kernel costs, in their order.
    ///
    /// # Errors
    /// Where the batch is 0.
    pub fn explain(&self, kernels: &[Kernel], batch: u32) -> Result<Vec<KernelCost>, PredictError> {
        if batch == 0 {
            return Err(PredictError::EmptyBatch);
        }
        let n = f64::from(batch);
        let factor = self.correction(kernels);
        let energy = |joules: f64| self.profile.energy_constant_j.map(|_| Joules(joules));
        let work = |kernel: &Kernel| {
            let row = self.row(kernel);
            (row, self.units(row, kernel, n))
        };
        let (mut busy, mut issued) = (0.0, 0.0);
        if self.profile.host_constant_s.is_some() {
            for (row, units) in kernels.iter().map(work) {
                busy += dot(&row.latency, &units);
                issued += row.host * units[LAUNCH];
            }
        }
        // a kernel's part of the wait is its part of the issuing
        let wait = self.wait(busy, issued) / issued.max(f64::MIN_POSITIVE);
        let explained = kernels.iter().map(|kernel| {
            let (row, units) = work(kernel);
            let wait = wait * row.host * units[LAUNCH];
            KernelCost {
                cost: row.covers(kernel).then(|| Cost {
                    latency: Seconds((dot(&row.latency, &units) + wait) * factor),
                    energy: energy(dot(&row.energy, &units)),
                }),
                launch: Cost {
                    latency: Seconds((row.latency[LAUNCH] * units[LAUNCH] + wait) * factor),
                    energy: energy(row.energy[LAUNCH] * units[LAUNCH]),
                },
                transferred: row.transferred,
            }
        });
        Ok(explained.collect())
    }
}

impl Row {
    /// Whether the rates tell what this kernel costs.
    fn covers(&self, kernel: &Kernel) -> bool {
        self.covered && !(self.blind && kernel.macs > kernel.weights)
    }

    fn of(kind: KernelKind, rates: &KindProfile) -> Self {
        Self {
            covered: true,
            // convolutions have other rates that follow their MACs: elements, ends of rows
            blind: matches!(
                kind,
                KernelKind::Linear | KernelKind::Other | KernelKind::LayerNorm
            ) && rates.latency_s.per_mac == 0.0,
            transferred: matches!(rates.support, Support::Transferred { .. }),
            latency: rates.latency_s.to_array(),
            energy: rates.energy_j.unwrap_or_default().to_array(),
            host: rates.host_s,
            effects: None,
            max_macs: rates.seen.map_or(f64::INFINITY, |s| s.max_macs as f64),
            max_elems: rates.seen.map_or(f64::INFINITY, |s| s.max_elems as f64),
        }
    }
}

fn dot(rates: &[f64; Rates::COUNT], units: &[f64; Rates::COUNT]) -> f64 {
    // an infinite cache makes no spill, so no unit is infinite and 0 * inf does not arise
    rates.iter().zip(units).map(|(r, u)| r * u).sum()
}
