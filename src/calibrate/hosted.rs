//! Devices that a processor feeds, fitted to times of any batch.
//!
//! PyTorch issues launches one by one while the GPU works them off: a run takes as long as the slower of the two. So at
//! batch 1 the time is that of issuing, whatever the kernels do, and at batch 64 that of the kernels. Both sides are linear in
//! what [`joint`] calls columns, and their logarithms are fitted: what is common to all devices, each device's
//! two speeds, and a little of its own.
//!
//! Invariant: the kernels' side of a row and the issuing side never share a column.

use super::error::CalibrateError;
use super::fit::{Fitted, MIN_SAMPLES, errors, seen, short};
use super::interval::{LEVEL, conformal_quantile, miss};
use super::joint::{self, Columns};
use super::priors::{self, RateTable, Work};
use super::public::About;
use super::sample::Sample;
use crate::base::lbfgs::minimise;
use crate::base::stats::median;
use crate::device::{Law, Profile, Rates};
use crate::fuse::{Kernel, KernelKind, WorkClass};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// How sharply the slower side decides while rates are looked for; predictions take the slower side itself.
const SHARP: f64 = 40.0;

/// Spread of the logarithm of a device's two speeds.
const SPEED: f64 = 3.0;

/// Seconds to issue a run beside its launches, before any data.
const ISSUE_RUN: f64 = 500e-6;

/// Seconds that PyTorch takes to issue a launch, before any data: convolutions and norms go through more of it than
/// element-wise ops do, and a hard activation is several of those.
fn issue(kind: KernelKind) -> f64 {
    use KernelKind::*;
    let us = match (kind, kind.class()) {
        (ActHard, _) => 90.0,
        (Norm | Linear, _) => 60.0,
        (Shuffle | Concat | GlobalPool, _) => 40.0,
        (_, WorkClass::Conv | WorkClass::Depthwise) => 60.0,
        _ => 22.0,
    };
    us * 1e-6
}

/// How sure one is of what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Spread of log errors of good rows.
    pub noise: f64,
    /// Log errors beyond this count linearly.
    pub huber: f64,
    /// Spread of what is common, around the likely rates.
    pub common: f64,
    /// Spread of what the columns of one class of work share.
    pub class: f64,
    /// Spread of each column of the kernels by itself.
    pub own: f64,
    /// Spread of each column of issuing by itself.
    pub issuing: f64,
    /// Rounds of the fit.
    pub rounds: usize,
}

impl Belief {
    /// Of many rows: some are far off, as a processor at batch 1 is now and then busy elsewhere.
    pub const MANY: Belief = Belief {
        noise: 0.03,
        huber: 0.05,
        common: 1.5,
        class: 0.5,
        own: 0.5,
        issuing: 0.5,
        rounds: 300,
    };

    /// Of some twenty rows, beside a known device. So near to least absolute errors that a few bad rows do no harm.
    pub const FEW: Belief = Belief {
        noise: 0.01,
        huber: 0.015,
        class: 0.7,
        own: 0.7,
        issuing: 0.15,
        ..Belief::MANY
    };

    /// Of what the columns of a device share.
    fn shared(&self, number: usize) -> f64 {
        if number < 2 { SPEED } else { self.class }
    }
}

/// Rates of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Hosted {
    /// Of the kernels, in seconds.
    pub device: RateTable,
    /// Of issuing a launch, by [`KernelKind::index`].
    pub launch: [f64; KernelKind::COUNT],
    /// Of issuing a run beside its launches.
    pub run: f64,
}

impl Hosted {
    /// Seconds before any data: large GPUs in single precision.
    pub fn likely() -> Self {
        Self {
            device: priors::gpu_fp32(),
            launch: std::array::from_fn(|i| KernelKind::ALL.get(i).map_or(0.0, |k| issue(*k))),
            run: ISSUE_RUN,
        }
    }

    /// Those of a profile; `None` where it does not tell the sides apart.
    pub fn of(profile: &Profile) -> Option<Self> {
        let run = profile.host_constant_s?;
        let mut launch = [0.0; KernelKind::COUNT];
        for (kind, rates) in &profile.kernels {
            launch[kind.index()] = rates.host_s;
        }
        let device = super::few::rates_of(profile);
        Some(Self {
            device,
            launch,
            run,
        })
    }

    /// Seconds of a run.
    pub fn predict(&self, sample: &Sample) -> f64 {
        let work = work(&sample.kernels, sample.batch);
        let launches = sample.kernels.iter();
        let issued: f64 = launches.map(|k| self.launch[k.kind.index()]).sum();
        self.device.cost(&work).max(self.run + issued)
    }
}

fn work(kernels: &[Kernel], batch: u32) -> Work {
    Work::of(kernels, batch, f64::INFINITY, &Law::PLAIN)
}

/// The unknowns around some rates.
#[derive(Clone, Debug)]
pub struct Frame {
    around: Hosted,
    columns: Columns,
    /// Of the columns of the device: which class's they are.
    classes: Vec<usize>,
}

/// Both speeds and the classes, that columns share.
const SHARED: usize = 2 + CLASSES;

/// Dense convolutions, depthwise ones, the rest, launches.
const CLASSES: usize = 4;

/// One measured network.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which device.
    pub device: usize,
    costs: Vec<f64>,
    log: f64,
}

impl Frame {
    /// Around these rates.
    pub fn new(around: Hosted) -> Self {
        let name = |kind: usize, rate: usize| match rate {
            Rates::LAUNCH => "launch".to_owned(),
            _ => format!("{kind}.{rate}"),
        };
        let columns = Columns::named(around.device.clone(), name);
        let class = |cell: &joint::Cell| match cell {
            Some((_, Rates::LAUNCH)) | None => 3,
            Some((kind, _)) => match KernelKind::ALL[*kind].class() {
                WorkClass::Conv => 0,
                WorkClass::Depthwise => 1,
                WorkClass::ElementWise | WorkClass::DataMovement => 2,
            },
        };
        let classes = columns.leaders().iter().map(class).collect();
        Self {
            around,
            columns,
            classes,
        }
    }

    fn len(&self) -> usize {
        self.columns.len() + KernelKind::COUNT + 1
    }

    /// A network as the fit takes it.
    pub fn row(&self, sample: &Sample, device: usize) -> Row {
        let mut costs = self.columns.costs(&work(&sample.kernels, sample.batch));
        let first = costs.len();
        costs.resize(self.len(), 0.0);
        for kernel in sample.kernels.iter() {
            let kind = kernel.kind.index();
            costs[first + kind] += self.around.launch[kind];
        }
        costs[first + KernelKind::COUNT] = self.around.run;
        Row {
            device,
            costs,
            log: sample.latency_s.ln(),
        }
    }

    /// The rates with these logarithms of column factors.
    fn rates(&self, logs: &[f64]) -> Hosted {
        let (device, host) = logs.split_at(self.columns.len());
        let mut launch = self.around.launch;
        for (rate, log) in launch.iter_mut().zip(host) {
            *rate *= log.exp();
        }
        let run = self.around.run * host.last().map_or(1.0, |l| l.exp());
        Hosted {
            device: self.columns.table(device),
            launch,
            run,
        }
    }

    /// What a column takes part in: its side's speed and, on the device, its class.
    fn shared(&self, column: usize) -> [Option<usize>; 2] {
        match self.classes.get(column) {
            Some(class) => [Some(0), Some(2 + class)],
            None => [Some(1), None],
        }
    }

    fn own(&self, column: usize, belief: &Belief) -> f64 {
        match self.classes.get(column) {
            Some(_) => belief.own,
            None => belief.issuing,
        }
    }

    /// The rates of several devices fitted at once: first all together, then each by itself around what that found.
    pub fn fit(&self, samples: &[Vec<&Sample>], belief: &Belief) -> Vec<Hosted> {
        let rows = samples
            .iter()
            .enumerate()
            .flat_map(|(device, samples)| samples.iter().map(move |s| self.row(s, device)));
        let together = self.together(&rows.collect::<Vec<_>>(), samples.len(), belief);
        let refined = together.into_par_iter().zip(samples);
        let refined = refined.map(|(rates, samples)| {
            let frame = Frame::new(rates);
            let rows: Vec<Row> = samples.iter().map(|s| frame.row(s, 0)).collect();
            frame.adapt(&rows, belief)
        });
        refined.collect()
    }

    fn together(&self, rows: &[Row], devices: usize, belief: &Belief) -> Vec<Hosted> {
        let x = self.minimise(rows, devices, belief);
        let logs = (0..devices).map(|d| self.logs(&x, d, belief));
        logs.map(|l| self.rates(&l)).collect()
    }

    /// The rates of one device from some networks.
    pub fn adapt(&self, rows: &[Row], belief: &Belief) -> Hosted {
        // nothing is common to several: what is around is all that is known
        let alone = Belief {
            common: 0.0,
            ..*belief
        };
        let mut fitted = self.together(rows, 1, &alone);
        fitted.pop().unwrap_or_else(|| self.around.clone())
    }

    /// Unknowns, each in units of its spread, in order: common to all, then for each device what its columns share and each
    /// column's own.
    fn logs(&self, x: &[f64], device: usize, belief: &Belief) -> Vec<f64> {
        let k = self.len();
        let of = &x[k + device * (SHARED + k)..];
        let log = |c: usize| {
            let shared = self.shared(c).into_iter().flatten();
            let shared = shared.map(|s| of[s] * belief.shared(s)).sum::<f64>();
            let log = x[c] * belief.common + of[SHARED + c] * self.own(c, belief) + shared;
            log.clamp(-30.0, 30.0)
        };
        (0..k).map(log).collect()
    }

    fn minimise(&self, rows: &[Row], devices: usize, belief: &Belief) -> Vec<f64> {
        let (k, first) = (self.len(), self.columns.len());
        let mut x = vec![0.0; k + devices * (SHARED + k)];
        for device in 0..devices {
            let of = rows.iter().filter(|r| r.device == device);
            let misses: Vec<f64> = of.map(|r| r.log - log_of(r, first)).collect();
            let speed = median(&misses).unwrap_or(0.0);
            let at = k + device * (SHARED + k);
            x[at] = speed / SPEED;
            x[at + 1] = speed / SPEED;
        }
        let slope = |x: &[f64], g: &mut [f64]| -> f64 {
            g.copy_from_slice(x);
            let mut value = 0.5 * x.iter().map(|x| x * x).sum::<f64>();
            let mut pushes = vec![vec![0.0; k]; devices];
            let factors: Vec<Vec<f64>> = (0..devices)
                .map(|d| self.logs(x, d, belief).iter().map(|l| l.exp()).collect())
                .collect();
            for row in rows {
                let to = &mut pushes[row.device];
                value += push(row, first, &factors[row.device], belief, to);
            }
            for (device, pushes) in pushes.iter().enumerate() {
                let at = k + device * (SHARED + k);
                for (c, push) in pushes.iter().enumerate() {
                    g[c] += push * belief.common;
                    g[at + SHARED + c] += push * self.own(c, belief);
                    for shared in self.shared(c).into_iter().flatten() {
                        g[at + shared] += push * belief.shared(shared);
                    }
                }
            }
            value
        };
        minimise(x, belief.rounds, slope)
    }
}

/// What a row's miss costs; adds to `to` how it changes with each logarithm.
fn push(row: &Row, first: usize, factors: &[f64], belief: &Belief, to: &mut [f64]) -> f64 {
    let costs: Vec<f64> = row.costs.iter().zip(factors).map(|(c, f)| c * f).collect();
    let (device, host) = costs.split_at(first);
    let sums: [f64; 2] = [device.iter().sum(), host.iter().sum()];
    let (log, parts) = slower(sums[0], sums[1]);
    let miss = (log - row.log) / belief.huber;
    let root = (1.0 + miss * miss).sqrt();
    let weight = (belief.huber / belief.noise).powi(2);
    let push = weight * miss / root / belief.huber;
    for (c, (to, cost)) in to.iter_mut().zip(&costs).enumerate() {
        let side = usize::from(c >= first);
        *to += push * parts[side] * cost / sums[side].max(f64::MIN_POSITIVE);
    }
    weight * (root - 1.0)
}

/// The rates of a device that lies near `init`, from some networks. Where their times turn out to scatter less than is
/// usual, they are believed more.
pub fn adapted(init: &Hosted, shots: &[&Sample]) -> Hosted {
    let frame = Frame::new(init.clone());
    let rows: Vec<_> = shots.iter().map(|s| frame.row(s, 0)).collect();
    let first = frame.adapt(&rows, &Belief::FEW);
    let miss = |s: &&Sample| (first.predict(s) / s.latency_s).ln().abs();
    let misses: Vec<f64> = shots.iter().map(miss).collect();
    let usual = Belief::FEW.noise;
    let noise = (1.5 * median(&misses).unwrap_or(usual)).clamp(0.3 * usual, usual);
    let belief = Belief {
        noise,
        huber: 1.5 * noise,
        ..Belief::FEW
    };
    frame.adapt(&rows, &belief)
}

/// (Predicted, measured) of each of some networks, predicted from the others in up to ten parts.
pub fn left_out(init: &Hosted, shots: &[&Sample]) -> Vec<(f64, f64)> {
    const PARTS: usize = 10;
    let names: BTreeSet<&str> = shots.iter().map(|s| s.network.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let part = |s: &Sample| names.binary_search(&s.network.as_str()).unwrap_or(0) % PARTS;
    let parts: Vec<Hosted> = (0..PARTS.min(names.len()))
        .map(|out| {
            let kept = shots.iter().copied().filter(|s| part(s) != out);
            adapted(init, &kept.collect::<Vec<_>>())
        })
        .collect();
    let pair = |s: &&Sample| (parts[part(s)].predict(s), s.latency_s);
    shots.iter().map(pair).collect()
}

/// Half width of the interval around a device of which some networks were measured.
pub fn half_width(init: &Hosted, shots: &[&Sample]) -> f64 {
    let misses: Vec<f64> = left_out(init, shots).iter().map(miss).collect();
    conformal_quantile(&misses, LEVEL)
}

/// The profile of a device beside a known one from one's own networks; `start` has the rates of `init`. Energy is not fitted.
///
/// # Errors
/// Where there are too few samples.
pub fn fit_own(
    about: About<'_>,
    samples: &[Sample],
    init: &Profile,
    start: &Hosted,
) -> Result<Profile, CalibrateError> {
    if samples.len() < MIN_SAMPLES {
        return Err(CalibrateError::TooFew {
            what: about.name.to_owned(),
            needed: MIN_SAMPLES,
            got: samples.len(),
        });
    }
    let all: Vec<&Sample> = samples.iter().collect();
    let rates = adapted(start, &all);
    let pairs: Vec<(f64, f64)> = (left_out(start, &all).iter().zip(samples))
        .map(|((p, m), s)| (p / f64::from(s.batch.max(1)), m / f64::from(s.batch.max(1))))
        .collect();
    let names: Vec<&str> = samples.iter().map(|s| s.network.as_str()).collect();
    let held = errors(&pairs, &names, "networks held out in up to 10 parts");
    let width = conformal_quantile(&pairs.iter().map(miss).collect::<Vec<_>>(), LEVEL);
    let seen = seen(samples, &Law::PLAIN);
    let fitted = Fitted::of(samples, rates.device.clone(), seen, held, width);
    let known: Vec<bool> = (KernelKind::ALL.iter())
        .map(|k| init.kernels.contains_key(k))
        .collect();
    let mut kinds = fitted.kinds();
    kinds.extend(fitted.carried(&known, &init.name));
    for (kind, profile) in &mut kinds {
        profile.host_s = short(rates.launch[kind.index()]);
    }
    let mut profile = about.profile(&fitted, kinds);
    profile.host_constant_s = Some(short(rates.run));
    Ok(profile)
}

/// Logarithm of the smoothed slower side, and how much each side decides.
fn slower(device: f64, host: f64) -> (f64, [f64; 2]) {
    let most = device.max(host).max(f64::MIN_POSITIVE);
    let parts = [device, host].map(|s| (s / most).powf(SHARP));
    let sum: f64 = parts.iter().sum();
    (most.ln() + sum.ln() / SHARP, parts.map(|p| p / sum))
}

/// The same of a row at factors of 1.
fn log_of(row: &Row, first: usize) -> f64 {
    let (device, host) = row.costs.split_at(first);
    slower(device.iter().sum(), host.iter().sum()).0
}

#[cfg(test)]
mod tests {
    use super::{Belief, Frame, Hosted};
    use crate::calibrate::sample::Sample;
    use crate::fuse::{Kernel, KernelKind, Window};
    use crate::ir::Shape;
    use std::sync::Arc;

    fn kernel(kind: KernelKind, macs: u64, elems: u64) -> Kernel {
        let map = Shape::Map { c: 8, h: 8, w: 8 };
        Kernel {
            kind,
            input: map,
            output: map,
            window: Window::default(),
            macs,
            elems_in: elems,
            elems_out: elems,
            weights: 0,
            act: None,
            fused_norm: false,
            fused_add: false,
        }
    }

    /// Networks of two kinds in different numbers and sizes; few of them at batch 1, where issuing decides.
    fn samples(truth: &Hosted, wanted: std::ops::Range<u64>) -> Vec<Sample> {
        let one = |i: u64| {
            let mut kernels =
                vec![kernel(KernelKind::Conv1x1, 40_000_000 * (1 + i % 5), 90_000); 4];
            kernels.extend(vec![
                kernel(KernelKind::Act, 0, 600_000 + 180_000 * (i % 7));
                1 + (i % 9) as usize
            ]);
            let mut sample = Sample {
                network: i.to_string(),
                group: i.to_string(),
                kernels: Arc::from(kernels),
                batch: if i.is_multiple_of(2) { 1 } else { 64 },
                latency_s: 0.0,
                energy_j: None,
            };
            sample.latency_s = truth.predict(&sample);
            sample
        };
        wanted.map(one).collect()
    }

    fn truth() -> Hosted {
        let mut truth = Hosted::likely();
        truth.run = 3e-4;
        truth.launch[KernelKind::Conv1x1.index()] = 9e-5;
        truth.launch[KernelKind::Act.index()] = 2e-5;
        truth.device = truth.device.scaled(0.4);
        truth.device.rates[KernelKind::Act.index()][3] *= 1.6;
        truth
    }

    fn worst(rates: &Hosted, samples: &[Sample]) -> f64 {
        let miss = |s: &Sample| (rates.predict(s) / s.latency_s - 1.0).abs();
        samples.iter().map(miss).fold(0.0, f64::max)
    }

    #[test]
    fn both_sides_are_found() {
        let truth = truth();
        let frame = Frame::new(Hosted::likely());
        let some = samples(&truth, 0..60);
        let fitted = frame.fit(&[some.iter().collect()], &Belief::MANY);
        let other = samples(&truth, 60..200);
        assert!(worst(&Hosted::likely(), &other) > 0.5);
        assert!(
            worst(&fitted[0], &other) < 0.02,
            "{}",
            worst(&fitted[0], &other)
        );
    }

    #[test]
    fn a_bad_row_among_ten_does_no_harm() {
        let truth = truth();
        let mut near = truth.clone();
        near.device = near.device.scaled(1.5);
        near.launch.iter_mut().for_each(|l| *l *= 0.8);
        let frame = Frame::new(near);
        let mut some = samples(&truth, 0..20);
        some[4].latency_s *= 1.3;
        some[5].latency_s *= 1.3;
        let rows: Vec<_> = some.iter().map(|s| frame.row(s, 0)).collect();
        let fitted = frame.adapt(&rows, &Belief::FEW);
        let other = samples(&truth, 60..200);
        assert!(worst(&fitted, &other) < 0.03, "{}", worst(&fitted, &other));
    }
}
