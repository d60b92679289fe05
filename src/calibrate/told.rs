//! Which kinds of kernels the rows of a new device tell apart from the rest.
//!
//! Rates start where another device has them. Six networks that all spend a hundredth of their time in shuffles say how fast
//! the device is and nothing of its shuffles: their rates are then those of the other device, scaled. A kind is told where
//! the rows take away most of what was unknown of it beside the speed of the device.

use super::few::{BELIEF, rates_of};
use super::linear::{cholesky, dot, solve};
use super::priors::{self, Work};
use super::sample::Sample;
use crate::device::{Profile, Rates, Support};
use crate::fuse::KernelKind;

/// Spread of the logarithm of a device's speed: any.
const SPEED: f64 = 10.0;

/// Marks the kinds that `samples` tell little of as adapted from the device of that name.
pub fn mark(profile: &mut Profile, samples: &[Sample], from: &str) {
    let rates = rates_of(profile);
    let effects = priors::effects_of(profile);
    let cache = profile.cache_elems.unwrap_or(f64::INFINITY);
    let shares = samples.iter().filter_map(|s| {
        let work = Work::with(&s.kernels, s.batch, cache, &profile.law, &effects);
        let whole = rates.cost(&work);
        // where issuing takes longer than the kernels do, the time says nothing of these
        let hidden = profile.host_constant_s.is_some() && whole < 0.9 * s.latency_s;
        let of = |kind: usize, rate: usize| work.0[kind][rate] * rates.rates[kind][rate] / whole;
        let row = |kind: usize| -> [f64; Rates::COUNT] { std::array::from_fn(|r| of(kind, r)) };
        (whole > 0.0 && !hidden).then(|| (0..KernelKind::COUNT).map(row).collect())
    });
    let told = told(&shares.collect::<Vec<_>>());
    for (kind, rates) in &mut profile.kernels {
        if rates.support == Support::Fitted && !told[kind.index()] {
            rates.support = Support::Adapted {
                from: from.to_owned(),
            };
        }
    }
}

/// For each kind whether the rows, shares of their time by kind and rate, take away more than half of the variance of the
/// logarithm of what the kind costs beside all work, were each rate to lie around that of the other device as [`BELIEF`] says.
///
/// # Source
/// The posterior of a linear model: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 2.1.
fn told(rows: &[Vec<[f64; Rates::COUNT]>]) -> [bool; KernelKind::COUNT] {
    let flat: Vec<Vec<f64>> = rows.iter().map(|r| r.concat()).collect();
    let own = BELIEF.own * BELIEF.own;
    let noise = BELIEF.noise * BELIEF.noise;
    let covariance = |i: usize, j: usize| {
        let same = if i == j { noise } else { 0.0 };
        SPEED * SPEED + own * dot(&flat[i], &flat[j]) + same
    };
    let n = flat.len();
    let all: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| covariance(i, j)).collect())
        .collect();
    let root = cholesky(&all);
    // where time goes, on average over the rows
    let mut usual = vec![0.0; KernelKind::COUNT * Rates::COUNT];
    for row in &flat {
        for (sum, share) in usual.iter_mut().zip(row) {
            *sum += share / n as f64;
        }
    }
    let one = |kind: usize| {
        let of = kind * Rates::COUNT..(kind + 1) * Rates::COUNT;
        let whole: f64 = usual[of.clone()].iter().sum();
        if whole <= 0.0 {
            return false;
        }
        // the kind's cost over that of all work
        let mut asked: Vec<f64> = usual.iter().map(|u| -u).collect();
        for i in of {
            asked[i] += usual[i] / whole;
        }
        let reach: Vec<f64> = flat.iter().map(|r| own * dot(&asked, r)).collect();
        let unknown = own * dot(&asked, &asked);
        dot(&reach, &solve(&root, &reach)) > 0.5 * unknown
    };
    std::array::from_fn(one)
}

#[cfg(test)]
mod tests {
    use super::told;
    use crate::device::Rates;
    use crate::fuse::KernelKind;

    const COMMON: usize = 0;
    const RARE: usize = 3;
    const ALWAYS: usize = 5;

    /// Shares of the time: the first kind varies, the rare one has what is asked for, another always a fifth.
    fn rows(rare: &[f64]) -> Vec<Vec<[f64; Rates::COUNT]>> {
        let one = |(i, rare): (usize, &f64)| {
            let mut row = vec![[0.0; Rates::COUNT]; KernelKind::COUNT];
            row[ALWAYS][0] = 0.2;
            row[RARE][2] = *rare;
            row[COMMON][0] = 0.1 + 0.12 * (i % 6) as f64;
            row[7][1] = 0.8 - rare - row[COMMON][0];
            row
        };
        rare.iter().enumerate().map(one).collect()
    }

    #[test]
    fn a_kind_is_told_where_it_takes_time_that_differs() {
        let few = told(&rows(&[0.01, 0.0, 0.02, 0.0, 0.01, 0.0]));
        assert!(few[COMMON] && !few[RARE]);
        // a share that all rows have is no more than the speed of the device
        assert!(!few[ALWAYS]);
        // never there
        assert!(!few[9]);
        let shown = told(&rows(&[0.0, 0.5, 0.0, 0.4, 0.0, 0.05]));
        assert!(shown[RARE]);
        assert_eq!(told(&[]), [false; KernelKind::COUNT]);
    }
}
