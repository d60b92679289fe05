//! Minimising a smooth function of many variables.
//!
//! # Source
//! Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 3.5 (with bisection instead of interpolation).

/// Steps remembered.
const MEMORY: usize = 12;

/// The point reached from `x` after at most `rounds` steps. `slope` writes the gradient and returns the value.
pub fn minimise(
    mut x: Vec<f64>,
    rounds: usize,
    mut slope: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Vec<f64> {
    let n = x.len();
    let mut gradient = vec![0.0; n];
    let mut value = slope(&x, &mut gradient);
    // (step, change of gradient, 1 / their product), oldest first
    let mut past: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..rounds {
        let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut alphas = Vec::with_capacity(past.len());
        for (step, change, rho) in past.iter().rev() {
            let alpha = rho * dot(step, &direction);
            add(&mut direction, -alpha, change);
            alphas.push(alpha);
        }
        match past.last() {
            Some((_, change, rho)) => {
                let scale = 1.0 / (rho * dot(change, change));
                direction.iter_mut().for_each(|d| *d *= scale);
            }
            None => {
                let scale = 1.0 / dot(&gradient, &gradient).sqrt().max(1.0);
                direction.iter_mut().for_each(|d| *d *= scale);
            }
        }
        for ((step, change, rho), alpha) in past.iter().zip(alphas.iter().rev()) {
            let beta = rho * dot(change, &direction);
            add(&mut direction, alpha - beta, step);
        }
        let descent = dot(&gradient, &direction);
        if descent.is_nan() || descent > -1e-10 {
            break;
        }
        let (mut low, mut high, mut size) = (0.0, f64::INFINITY, 1.0);
        let mut next = x.clone();
        let mut next_gradient = vec![0.0; n];
        let mut best: Option<(f64, Vec<f64>, Vec<f64>)> = None;
        for _ in 0..25 {
            next.copy_from_slice(&x);
            add(&mut next, size, &direction);
            let next_value = slope(&next, &mut next_gradient);
            if next_value.is_nan() || next_value > value + 1e-4 * size * descent {
                high = size;
            } else {
                if best.as_ref().is_none_or(|b| next_value < b.0) {
                    best = Some((next_value, next.clone(), next_gradient.clone()));
                }
                if dot(&next_gradient, &direction) >= 0.9 * descent {
                    break;
                }
                low = size;
            }
            size = if high.is_finite() {
                0.5 * (low + high)
            } else {
                2.0 * size
            };
        }
        let lower = best.filter(|b| b.0.is_finite() && b.0 < value);
        let Some((next_value, next, next_gradient)) = lower else {
            break;
        };
        let step: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = (next_gradient.iter().zip(&gradient))
            .map(|(a, b)| a - b)
            .collect();
        let product = dot(&step, &change);
        if product > 1e-12 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            if past.len() == MEMORY {
                past.remove(0);
            }
            past.push((step, change, 1.0 / product));
        }
        let gained = value - next_value;
        (x, gradient, value) = (next, next_gradient, next_value);
        if gained < 1e-9 * value.abs() {
            break;
        }
    }
    x
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, more: &[f64]) {
    for (t, m) in to.iter_mut().zip(more) {
        *t += factor * m;
    }
}

#[cfg(test)]
mod tests {
    use super::minimise;

    #[test]
    fn finds_the_bottom_of_the_banana() {
        // Rosenbrock's function: least at (1, 1)
        let slope = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        };
        let x = minimise(vec![-1.2, 1.0], 200, slope);
        assert!(
            (x[0] - 1.0).abs() < 1e-4 && (x[1] - 1.0).abs() < 1e-4,
            "{x:?}"
        );
    }

    #[test]
    fn stays_where_nothing_is_to_gain() {
        let slope = |x: &[f64], g: &mut [f64]| {
            g[0] = 2.0 * x[0];
            x[0] * x[0]
        };
        assert_eq!(minimise(vec![0.0], 10, slope), [0.0]);
    }
}
