//! Finding the least of a smooth function.

use super::dense::dot;

/// Steps that the curvature is remembered of.
const REMEMBERED: usize = 8;

/// The longest step along one coordinate.
const LONGEST: f64 = 1.0;

/// Where a smooth function is least, near `x`, after at most so many evaluations. `f` gives the value at a point (infinite
/// where it is not defined) and writes the slope.
///
/// # Source
/// Nocedal, Wright, "Numerical Optimization" (2006), algorithms 7.4 and 7.5 (L-BFGS), steps halved until the value falls by
/// a part of what the slope promises (3.1).
pub fn minimise(
    mut x: Vec<f64>,
    evaluations: usize,
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Vec<f64> {
    let n = x.len();
    let mut slope = vec![0.0; n];
    let mut value = f(&x, &mut slope);
    let mut left = evaluations.saturating_sub(1);
    // differences of points and of slopes, the oldest first
    let mut memory: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    while left > 0 && value.is_finite() {
        let mut way: Vec<f64> = slope.iter().map(|s| -s).collect();
        let mut factors = Vec::with_capacity(memory.len());
        for (dx, dy) in memory.iter().rev() {
            let a = dot(dx, &way) / dot(dx, dy);
            add(&mut way, -a, dy);
            factors.push(a);
        }
        if let Some((dx, dy)) = memory.last() {
            let curvature = dot(dx, dy) / dot(dy, dy);
            way.iter_mut().for_each(|w| *w *= curvature);
        }
        for ((dx, dy), a) in memory.iter().zip(factors.iter().rev()) {
            let b = dot(dy, &way) / dot(dx, dy);
            add(&mut way, a - b, dx);
        }
        let promise = dot(&way, &slope);
        let far = way.iter().fold(0.0, |far: f64, w| far.max(w.abs()));
        if promise.is_nan() || promise >= -1e-9 * value.abs().max(1.0) {
            break;
        }
        let mut step = f64::min(1.0, LONGEST / far);
        let mut found = None;
        while left > 0 && found.is_none() {
            left -= 1;
            let mut there = x.clone();
            add(&mut there, step, &way);
            let mut its_slope = vec![0.0; n];
            let its_value = f(&there, &mut its_slope);
            if its_value <= value + 1e-4 * step * promise {
                found = Some((there, its_value, its_slope));
            }
            step *= 0.5;
        }
        let Some((there, its_value, its_slope)) = found else {
            break;
        };
        let dx: Vec<f64> = there.iter().zip(&x).map(|(a, b)| a - b).collect();
        let dy: Vec<f64> = its_slope.iter().zip(&slope).map(|(a, b)| a - b).collect();
        if dot(&dx, &dy) > 1e-10 * dot(&dy, &dy) {
            memory.push((dx, dy));
            if memory.len() > REMEMBERED {
                memory.remove(0);
            }
        }
        (x, value, slope) = (there, its_value, its_slope);
    }
    x
}

fn add(to: &mut [f64], factor: f64, other: &[f64]) {
    to.iter_mut().zip(other).for_each(|(a, b)| *a += factor * b);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_a_curved_valley() {
        // Rosenbrock (1960): least, 0, at (1, 1)
        let mut count = 0;
        let found = minimise(vec![-1.2, 1.0], 200, |x, slope| {
            count += 1;
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            slope.copy_from_slice(&[-2.0 * a - 400.0 * x[0] * b, 200.0 * b]);
            a * a + 100.0 * b * b
        });
        assert!(
            (found[0] - 1.0).abs() < 1e-4 && (found[1] - 1.0).abs() < 1e-4,
            "{found:?}"
        );
        assert!(count < 120, "{count}");
    }

    #[test]
    fn stays_where_the_function_is_defined_and_within_its_evaluations() {
        // x - ln x, least at 1, from far away
        let mut count = 0;
        let f = |x: &[f64], slope: &mut [f64]| {
            count += 1;
            slope[0] = 1.0 - 1.0 / x[0];
            if x[0] > 0.0 {
                x[0] - x[0].ln()
            } else {
                f64::INFINITY
            }
        };
        let found = minimise(vec![6.0], 40, f);
        assert!((found[0] - 1.0).abs() < 1e-4, "{found:?}");
        assert!(count <= 40);
        assert_eq!(
            minimise(vec![3.0], 1, |_, slope| {
                slope[0] = 1.0;
                7.0
            }),
            [3.0]
        );
    }
}
