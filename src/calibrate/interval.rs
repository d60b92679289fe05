//! How wide a prediction is: quantiles of errors on what a fit had not seen (split conformal).

use crate::base::stats::{median, quantile_sorted};

/// Share of held-out measurements that intervals cover.
pub const LEVEL: f64 = 0.8;

/// The quantile of a device's own errors and those of all devices, where all together weigh as much as twenty of its own:
/// twenty errors alone do not place a quantile.
pub fn pooled_quantile(own: &[f64], all: &[f64], level: f64) -> f64 {
    const WEIGHT: f64 = 20.0;
    let share = WEIGHT / all.len().max(1) as f64;
    let own = own.iter().map(|e| (*e, 1.0));
    weighted_quantile(own.chain(all.iter().map(|e| (*e, share))).collect(), level)
}

/// The least error that `level` of the weight does not exceed; 0 of nothing.
pub fn weighted_quantile(mut errors: Vec<(f64, f64)>, level: f64) -> f64 {
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = errors.iter().map(|e| e.1).sum();
    let mut weight = 0.0;
    for (error, w) in &errors {
        weight += w;
        if weight >= level * all * (1.0 - 1e-12) {
            return *error;
        }
    }
    errors.last().map_or(0.0, |e| e.0)
}

/// What standard deviations are to be multiplied with, from misses in units of them: their root mean square, with as
/// much as `TRUSTED` misses of 1 beside, for few misses do not place a scale. A miss far beyond the middle one is a bad row
/// and counts as `FAR` of these.
///
/// # Source
/// The posterior of a variance under a scaled inverse chi-squared prior: Gelman and others, Bayesian Data Analysis, 3rd
/// edition (2013), section 2.6. Both numbers were chosen where boards and GPUs are left out: after 6 to 20 networks 80 to 84 %
/// are covered where the device is like the known ones, 75 to 83 % where it is of another kind.
pub fn scale(misses: &[f64]) -> f64 {
    let sizes: Vec<f64> = misses.iter().map(|z| z.abs()).collect();
    let most = FAR * median(&sizes).unwrap_or(1.0).max(1.0);
    let squares: f64 = sizes.iter().map(|z| z.min(most).powi(2)).sum();
    ((TRUSTED + squares) / (TRUSTED + misses.len() as f64)).sqrt()
}

/// How many misses the stated standard deviation is worth.
const TRUSTED: f64 = 2.0;

/// In units of the middle miss, or of the stated deviation where that is larger.
const FAR: f64 = 5.0;

/// Log error of (predicted, measured), without sign.
pub fn miss((predicted, measured): &(f64, f64)) -> f64 {
    (predicted / measured).ln().abs()
}

/// Covered share of (predicted, measured), and mean width over middle, where the half width of each comes from `half`.
pub fn cover(pairs: &[(f64, f64)], half: impl Fn(usize) -> f64) -> (f64, f64) {
    let (mut inside, mut widths) = (0.0, 0.0);
    for (i, pair) in pairs.iter().enumerate() {
        let half = half(i);
        inside += f64::from(u8::from(miss(pair) <= half));
        widths += half.exp() - (-half).exp();
    }
    let n = pairs.len().max(1) as f64;
    (inside / n, widths / n)
}

/// The quantile that as many new errors stay under as the level says, on average over draws of `errors`: one rank up from
/// the plain quantile.
pub fn conformal_quantile(errors: &[f64], level: f64) -> f64 {
    let mut sorted = errors.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let rank = ((n + 1.0) * level).ceil().min(n);
    let index = (rank as usize).saturating_sub(1);
    sorted
        .get(index)
        .copied()
        .or_else(|| quantile_sorted(&sorted, level))
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{conformal_quantile, cover, pooled_quantile, scale, weighted_quantile};

    #[test]
    fn scale_by_hand() {
        assert_eq!(scale(&[]), 1.0);
        // (2 + 9 + 9 + 1 + 9) / 6 = 5
        assert_eq!(scale(&[3.0, -3.0, 1.0, 3.0]), 5f64.sqrt());
        // one bad row among five counts as 5: (2 + 1 + 1 + 1 + 1 + 25) / 7
        assert_eq!(scale(&[1.0, -1.0, 1.0, 400.0, 1.0]), (31f64 / 7.0).sqrt());
        // (2 + 0) / 8
        assert_eq!(scale(&[0.0; 6]), 0.5);
    }

    #[test]
    fn cover_by_hand() {
        let pairs = [(2.0, 1.0), (1.0, 2.0), (1.0, 1.0), (9.0, 1.0)];
        let (inside, width) = cover(&pairs, |i| if i < 2 { 1.0 } else { 0.0 });
        assert_eq!(inside, 0.75);
        assert!((width - (1f64.exp() - (-1f64).exp()) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_by_hand() {
        let nine: Vec<f64> = (1..=9).map(f64::from).collect();
        // rank ceil(10 * 0.8) = 8
        assert_eq!(conformal_quantile(&nine, 0.8), 8.0);
        assert_eq!(conformal_quantile(&[], 0.8), 0.0);
        // half of the weight lies on the 5
        let errors = vec![(5.0, 2.0), (1.0, 1.0), (2.0, 1.0)];
        assert_eq!(weighted_quantile(errors.clone(), 0.5), 2.0);
        assert_eq!(weighted_quantile(errors, 0.51), 5.0);
        // own errors are few, so the pool decides: 20 of 21 parts
        assert_eq!(pooled_quantile(&[9.0], &[1.0, 2.0, 3.0, 4.0], 0.5), 3.0);
        assert_eq!(pooled_quantile(&[9.0; 80], &[1.0, 2.0], 0.5), 9.0);
    }
}
