//! Metrics as the process sees them: the nearer to the best, the finer.

use crate::base::stats::{mean, median};

/// A metric, more is better, bent so that differences near the best value weigh most: minus the logarithm of what is
/// missing to a little above the best, as errors are compared by their ratio. Then mean 0 and variance 1.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    top: f64,
    width: f64,
    mean: f64,
    spread: f64,
}

impl Target {
    /// From the values told.
    pub fn new(values: &[f64]) -> Option<Self> {
        let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let middle = median(values)?;
        let width = 0.15 * (top - middle);
        let bent = Self {
            top,
            width: match width > 0.0 {
                true => width,
                false => 0.01 * top.abs().max(1e-6),
            },
            mean: 0.0,
            spread: 1.0,
        };
        let all: Vec<f64> = values.iter().map(|x| bent.of(*x)).collect();
        let centre = mean(&all)?;
        let squares: Vec<f64> = all.iter().map(|x| (x - centre).powi(2)).collect();
        let spread = mean(&squares)?.sqrt();
        Some(Self {
            mean: centre,
            spread: if spread > 1e-9 { spread } else { 1.0 },
            ..bent
        })
    }

    /// The value as the process sees it.
    pub fn of(&self, x: f64) -> f64 {
        let d = self.width;
        let missing = self.top + d - x.max(self.top - 40.0 * d);
        (-(missing.max(d / 100.0) / d).ln() - self.mean) / self.spread
    }

    /// The value that the process sees so.
    pub fn back(&self, y: f64) -> f64 {
        let d = self.width;
        let missing = d * (-(y * self.spread + self.mean)).exp();
        self.top + d - missing.clamp(d / 100.0, 41.0 * d)
    }

    /// Above it, all values look alike.
    pub fn ceiling(&self) -> f64 {
        self.top + 0.99 * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bends_and_comes_back() {
        let values = [10.0, 50.0, 60.0, 70.0, 72.0];
        let target = Target::new(&values).unwrap();
        let seen: Vec<f64> = values.iter().map(|x| target.of(*x)).collect();
        assert!(mean(&seen).unwrap().abs() < 1e-12);
        let squares: Vec<f64> = seen.iter().map(|x| x * x).collect();
        assert!((mean(&squares).unwrap() - 1.0).abs() < 1e-12);
        for x in [50.0, 60.0, 72.0, 73.0] {
            assert!((target.back(target.of(x)) - x).abs() < 1e-9, "{x}");
        }
        // d = 0.15 * 12 = 1.8: two points near the top are as far apart as ln(3.8 / 1.8), ten at the middle ln(23.8 / 13.8)
        let gap = |a: f64, b: f64| (target.of(b) - target.of(a)) * target.spread;
        assert!((gap(70.0, 72.0) - (3.8f64 / 1.8).ln()).abs() < 1e-12);
        assert!((gap(50.0, 60.0) - (23.8f64 / 13.8).ln()).abs() < 1e-12);
        assert_eq!(target.of(-1e9), target.of(-1e8));
        assert!(Target::new(&[3.0, 3.0]).unwrap().of(3.0).abs() < 1e-12);
        assert!(Target::new(&[]).is_none());
    }
}
