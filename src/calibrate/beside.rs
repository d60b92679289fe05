//! A new device beside a known one.
//!
//! How much longer a network takes on one GPU than on another depends on what it is held up by. What it makes of the known
//! one says so: multiply-accumulates, elements and launches a second, and how much of what it moves convolutions move.
//! Networks alike in these have ratios alike: a Gaussian process on the logarithm of the ratio.
//!
//! # Source
//! Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1; far-off networks count less (Student
//! weights). Length, spread and noise were chosen with the figures of both GPUs in view; wide optima.

use super::interval::scale;
use super::linear::{Matrix, cholesky, dot, solve};
use crate::base::stats::median;
use crate::fuse::Kernel;

/// What a network makes of a known device.
pub type Facts = [f64; 4];

/// Distance in logarithms over which ratios go together.
const LENGTH: f64 = 3.0;

/// Spread of the logarithm of ratios around their level.
const SPREAD: f64 = 0.3;

/// Variance of the level.
const LEVEL: f64 = 4.0;

/// Spread of a single network's logarithm.
const NOISE: f64 = 0.04;

/// Half width of an 80 % interval in standard deviations that measured networks have borne out. Between what GPUs of the
/// same software need (1.05) and what those of another need (1.25); with it 84 and 78 % are covered after 20 networks.
pub const Z80: f64 = 1.2;

/// Degrees of freedom of that.
const FREEDOM: f64 = 4.0;

/// The facts of a network that takes so many seconds for a batch on the known device.
pub fn facts(kernels: &[Kernel], batch: u32, seconds: f64) -> Facts {
    let sum = |f: &dyn Fn(&Kernel) -> u64| kernels.iter().map(|k| f(k) as f64).sum::<f64>();
    let moved = sum(&|k| k.elems_in + k.elems_out);
    let by_convs = sum(&|k| {
        if k.macs > 0 {
            k.elems_in + k.elems_out
        } else {
            0
        }
    });
    let speed = |work: f64| (work.max(1.0) / seconds.max(f64::MIN_POSITIVE)).ln();
    let n = f64::from(batch);
    [
        speed(n * sum(&|k| k.macs)),
        speed(n * moved),
        speed(kernels.len() as f64),
        LENGTH * by_convs / moved.max(1.0),
    ]
}

/// The logarithms of ratios of the networks asked for and their standard deviations, from those of measured ones: how far
/// each of these is off when predicted from the others sets the scale of the deviations.
pub fn ratios(measured: &[(Facts, f64)], asked: &[Facts]) -> Vec<(f64, f64)> {
    let logs: Vec<f64> = measured.iter().map(|m| m.1).collect();
    let level = median(&logs).unwrap_or(0.0);
    let off: Vec<f64> = logs.iter().map(|l| l - level).collect();
    let near = |a: &Facts, b: &Facts| {
        let apart: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        LEVEL + SPREAD * SPREAD * (-0.5 * apart / (LENGTH * LENGTH)).exp()
    };
    let own: Matrix = measured
        .iter()
        .map(|(a, _)| measured.iter().map(|(b, _)| near(a, b)).collect())
        .collect();
    let mut noise = vec![NOISE * NOISE; off.len()];
    let rooted = |noise: &[f64]| {
        let mut sum = own.clone();
        for (i, (row, n)) in sum.iter_mut().zip(noise).enumerate() {
            row[i] += n;
        }
        cholesky(&sum)
    };
    for _ in 0..8 {
        let pulled = solve(&rooted(&noise), &off);
        for (i, n) in noise.iter_mut().enumerate() {
            let miss = (off[i] - dot(&own[i], &pulled)) / NOISE;
            // never much surer of one than of all
            let weight = ((FREEDOM + 1.0) / (FREEDOM + miss * miss)).min(1.25);
            *n = NOISE * NOISE / weight;
        }
    }
    let root = rooted(&noise);
    let pulled = solve(&root, &off);
    // each left out in turn: algorithm of section 5.4.2 there
    let left_out = (0..off.len()).map(|i| {
        let mut unit = vec![0.0; off.len()];
        unit[i] = 1.0;
        let sure = solve(&root, &unit)[i];
        let variance = 1.0 / sure - noise[i] + NOISE * NOISE;
        pulled[i] / sure / variance.max(f64::MIN_POSITIVE).sqrt()
    });
    let scale = scale(&left_out.collect::<Vec<f64>>());
    let one = |facts: &Facts| {
        let reach: Vec<f64> = measured.iter().map(|(m, _)| near(facts, m)).collect();
        let known = dot(&reach, &solve(&root, &reach));
        let left = (LEVEL + SPREAD * SPREAD - known).max(0.0) + NOISE * NOISE;
        (level + dot(&reach, &pulled), scale * left.sqrt())
    };
    asked.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::{Facts, ratios};

    #[test]
    fn alike_networks_have_ratios_alike() {
        // the new device is twice as fast at what computes, as fast at what moves data
        let at = |x: f64| -> Facts { [10.0 + x, 10.0 - x, 0.0, 0.0] };
        let truth = |x: f64| -0.35 * (1.0 + x / 3.0);
        let measured: Vec<(Facts, f64)> = (-6..=6)
            .map(|i| (at(f64::from(i) / 2.0), truth(f64::from(i) / 2.0)))
            .collect();
        let found = ratios(&measured, &[at(0.25), at(2.6), at(30.0)]);
        assert!((found[0].0 - truth(0.25)).abs() < 0.01, "{found:?}");
        assert!((found[1].0 - truth(2.6)).abs() < 0.02, "{found:?}");
        // far from all measured ones the ratio is the usual one, and less sure
        assert!((found[2].0 + 0.35).abs() < 0.2, "{found:?}");
        assert!(found[2].1 > 3.0 * found[0].1, "{found:?}");
    }

    /// Ratios that scatter by five times the usual: predicted ones say so, and most of what was not measured is within.
    #[test]
    fn deviations_are_those_that_measured_networks_have() {
        let at = |i: usize| -> Facts { [(i % 5) as f64, (i % 3) as f64, 0.0, 0.0] };
        // no order that a distance could find
        let scatter = |i: usize| ((i * i * 7919 + 13 * i) as f64).sin();
        let rows = |size: f64, from: usize, n: usize| -> Vec<(Facts, f64)> {
            (from..from + n)
                .map(|i| (at(i), 0.4 + size * scatter(i)))
                .collect()
        };
        for (size, sds) in [(0.02, 0.01..0.06), (0.3, 0.15..0.4)] {
            let asked = rows(size, 100, 60);
            let facts: Vec<Facts> = asked.iter().map(|a| a.0).collect();
            let found = ratios(&rows(size, 0, 20), &facts);
            assert!(
                found.iter().all(|f| sds.contains(&f.1)),
                "{size}: {found:?}"
            );
            let inside = found.iter().zip(&asked);
            let inside = inside.filter(|(f, a)| (f.0 - a.1).abs() <= super::Z80 * f.1);
            assert!((36..=60).contains(&inside.count()), "{size}");
        }
    }

    #[test]
    fn one_bad_row_does_little() {
        let mut measured: Vec<(Facts, f64)> = (0..20)
            .map(|i| ([f64::from(i), 0.0, 0.0, 0.0], 0.7))
            .collect();
        measured[7].1 = 3.0;
        let found = ratios(&measured, &[[7.0, 0.0, 0.0, 0.0]]);
        assert!((found[0].0 - 0.7).abs() < 0.1, "{found:?}");
        assert!(found[0].1 < 0.1, "{found:?}");
    }
}
