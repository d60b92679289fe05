//! Small statistics: quantiles, errors, rank correlation.

/// The `q` quantile (0 to 1) of sorted values, linear between neighbours; `None` of nothing.
pub fn quantile_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    Some(sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64))
}

/// The `q` quantile of values in any order.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_sorted(&sorted, q)
}

/// The middle value.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Mean absolute percentage error, as a fraction (0.05 is 5 %); pairs of (predicted, measured).
pub fn mape(pairs: &[(f64, f64)]) -> Option<f64> {
    let errors: Vec<f64> = pairs.iter().map(|(p, m)| ((p - m) / m).abs()).collect();
    mean(&errors)
}

/// Kendall's tau-b of pairs, in n log n (Knight's algorithm); `None` for fewer than two pairs or constant values.
pub fn kendall_tau(pairs: &[(f64, f64)]) -> Option<f64> {
    let n = pairs.len();
    if n < 2 {
        return None;
    }
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let pairs_of = |k: u64| k * k.saturating_sub(1) / 2;
    type Pair = (f64, f64);
    let ties = |same: fn(&Pair, &Pair) -> bool, items: &[Pair]| {
        items
            .chunk_by(same)
            .map(|c| pairs_of(c.len() as u64))
            .sum::<u64>()
    };
    let tied_x = ties(|a, b| a.0 == b.0, &sorted);
    let tied_both = ties(|a, b| a == b, &sorted);
    let mut ys: Vec<f64> = sorted.iter().map(|p| p.1).collect();
    let swaps = count_swaps(&mut ys);
    let by_y: Vec<(f64, f64)> = ys.iter().map(|y| (*y, *y)).collect();
    let tied_y = ties(|a, b| a.0 == b.0, &by_y);
    let all = pairs_of(n as u64) as f64;
    let (tx, ty, txy) = (tied_x as f64, tied_y as f64, tied_both as f64);
    let score = all - tx - ty + txy - 2.0 * swaps as f64;
    let scale = ((all - tx) * (all - ty)).sqrt();
    (scale > 0.0).then(|| score / scale)
}

/// Sorts and counts how many pairs stood the wrong way round.
fn count_swaps(values: &mut [f64]) -> u64 {
    let n = values.len();
    if n < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(n / 2);
    let mut swaps = count_swaps(left) + count_swaps(right);
    let mut merged = Vec::with_capacity(n);
    let (mut i, mut j) = (0, 0);
    while i < left.len() || j < right.len() {
        let from_left = j == right.len() || (i < left.len() && left[i] <= right[j]);
        if from_left {
            merged.push(left[i]);
            i += 1;
        } else {
            swaps += (left.len() - i) as u64;
            merged.push(right[j]);
            j += 1;
        }
    }
    values.copy_from_slice(&merged);
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive_tau(pairs: &[(f64, f64)]) -> f64 {
        let (mut score, mut nx, mut ny) = (0.0, 0.0, 0.0);
        for (i, a) in pairs.iter().enumerate() {
            for b in &pairs[..i] {
                let (dx, dy) = (a.0 - b.0, a.1 - b.1);
                score += (dx * dy).partial_cmp(&0.0).map_or(0.0, |o| o as i8 as f64);
                nx += f64::from(dx != 0.0);
                ny += f64::from(dy != 0.0);
            }
        }
        score / (nx * ny).sqrt()
    }

    #[test]
    fn tau_equals_the_double_loop() {
        let pairs: Vec<(f64, f64)> = (0..60u32)
            .map(|i| (f64::from(i * 7 % 13), f64::from(i * 11 % 17)))
            .collect();
        let fast = kendall_tau(&pairs).expect("has pairs");
        assert!((fast - naive_tau(&pairs)).abs() < 1e-12);
        assert_eq!(kendall_tau(&[(1.0, 2.0)]), None);
    }

    #[test]
    fn quantiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(quantile(&[0.0, 10.0], 0.8), Some(8.0));
        assert_eq!(median(&[]), None);
    }
}
