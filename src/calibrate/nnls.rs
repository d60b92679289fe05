//! Least squares without negative answers.
//!
//! # Source
//! Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23, in the form that works on the normal equations
//! (Bro and de Jong, Journal of Chemometrics 11, 1997).

/// The normal equations of a least-squares problem: `gram = A'A` by rows, `target = A'y`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normal {
    size: usize,
    gram: Vec<f64>,
    target: Vec<f64>,
}

impl Normal {
    /// Of no rows, with `size` unknowns.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            gram: vec![0.0; size * size],
            target: vec![0.0; size],
        }
    }

    /// Adds a row `a x = y` with a weight. `a` has one entry an unknown.
    pub fn add(&mut self, a: &[f64], y: f64, weight: f64) {
        for (i, ai) in a.iter().enumerate().take(self.size) {
            if *ai == 0.0 {
                continue;
            }
            let scaled = weight * ai;
            self.target[i] += scaled * y;
            let row = &mut self.gram[i * self.size..(i + 1) * self.size];
            for (g, aj) in row.iter_mut().zip(a) {
                *g += scaled * aj;
            }
        }
    }

    /// Adds `strength * (x_i - wanted)^2`.
    pub fn pull(&mut self, i: usize, wanted: f64, strength: f64) {
        self.gram[i * self.size + i] += strength;
        self.target[i] += strength * wanted;
    }

    /// The `x >= 0` of least squared error.
    ///
    /// Where several are equally good, one of them; a problem without an inverse is solved with a tiny ridge.
    pub fn solve(&self) -> Vec<f64> {
        let n = self.size;
        let mut x = vec![0.0; n];
        let mut free = vec![false; n];
        let scale = (0..n).map(|i| self.gram[i * n + i]).fold(0.0, f64::max);
        if scale == 0.0 {
            return x;
        }
        let tolerance = 1e-12 * self.target.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        // each round frees one unknown; Lawson and Hanson prove that it ends, the cap guards against rounding
        for _ in 0..20 * n {
            let slope = |i: usize, x: &[f64]| {
                let row = &self.gram[i * n..(i + 1) * n];
                self.target[i] - row.iter().zip(x).map(|(g, x)| g * x).sum::<f64>()
            };
            let best = (0..n)
                .filter(|i| !free[*i])
                .map(|i| (slope(i, &x), i))
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            let Some((steepest, next)) = best else { break };
            if steepest <= tolerance {
                break;
            }
            free[next] = true;
            loop {
                let trial = self.solve_free(&free);
                let blocked = (0..n).filter(|i| free[*i] && trial[*i] <= 0.0);
                let step = blocked
                    .map(|i| x[i] / (x[i] - trial[i]))
                    .fold(f64::INFINITY, f64::min);
                if step.is_infinite() {
                    x = trial;
                    break;
                }
                let step = if step.is_finite() { step } else { 0.0 };
                for i in 0..n {
                    if free[i] {
                        x[i] += step * (trial[i] - x[i]);
                        if trial[i] <= 0.0 && x[i] <= 1e-14 {
                            x[i] = 0.0;
                            free[i] = false;
                        }
                    }
                }
                if !free[next] && x[next] == 0.0 {
                    // freed and bound again at once: rounding, not progress
                    return x;
                }
            }
        }
        x
    }

    /// Least squares over the free unknowns, the others 0: Cholesky.
    fn solve_free(&self, free: &[bool]) -> Vec<f64> {
        let index: Vec<usize> = (0..self.size).filter(|i| free[*i]).collect();
        let m = index.len();
        let mut l = vec![0.0; m * m];
        for r in 0..m {
            for c in 0..=r {
                let mut value = self.gram[index[r] * self.size + index[c]];
                for k in 0..c {
                    value -= l[r * m + k] * l[c * m + k];
                }
                l[r * m + c] = if r == c {
                    let floor = 1e-13 * self.gram[index[r] * self.size + index[r]];
                    value.max(floor).max(f64::MIN_POSITIVE).sqrt()
                } else {
                    value / l[c * m + c]
                };
            }
        }
        let mut y = vec![0.0; m];
        for r in 0..m {
            let done: f64 = (0..r).map(|k| l[r * m + k] * y[k]).sum();
            y[r] = (self.target[index[r]] - done) / l[r * m + r];
        }
        for r in (0..m).rev() {
            let done: f64 = (r + 1..m).map(|k| l[k * m + r] * y[k]).sum();
            y[r] = (y[r] - done) / l[r * m + r];
        }
        let mut x = vec![0.0; self.size];
        for (i, value) in index.into_iter().zip(y) {
            x[i] = value;
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::Normal;
    use crate::base::rng::stream;
    use rand::Rng as _;

    /// The best of all choices of which unknowns are free, solved by Gauss.
    fn brute(rows: &[(Vec<f64>, f64)], n: usize) -> f64 {
        let loss = |x: &[f64]| -> f64 {
            let miss =
                |(a, y): &(Vec<f64>, f64)| a.iter().zip(x).map(|(a, x)| a * x).sum::<f64>() - y;
            rows.iter().map(|r| miss(r).powi(2)).sum()
        };
        let mut best = loss(&vec![0.0; n]);
        for set in 1u32..1 << n {
            let index: Vec<usize> = (0..n).filter(|i| set >> i & 1 == 1).collect();
            let m = index.len();
            let mut g = vec![vec![0.0; m + 1]; m];
            for (a, y) in rows {
                for r in 0..m {
                    for c in 0..m {
                        g[r][c] += a[index[r]] * a[index[c]];
                    }
                    g[r][m] += a[index[r]] * y;
                }
            }
            for p in 0..m {
                let pivot = (p..m)
                    .max_by(|a, b| g[*a][p].abs().total_cmp(&g[*b][p].abs()))
                    .unwrap();
                g.swap(p, pivot);
                for r in 0..m {
                    if r != p {
                        let f = g[r][p] / g[p][p];
                        let row = g[p].clone();
                        for (x, y) in g[r].iter_mut().zip(row) {
                            *x -= f * y;
                        }
                    }
                }
            }
            let mut x = vec![0.0; n];
            for (r, i) in index.iter().enumerate() {
                x[*i] = g[r][m] / g[r][r];
            }
            if x.iter().all(|v| *v >= 0.0) {
                best = best.min(loss(&x));
            }
        }
        best
    }

    #[test]
    fn as_good_as_trying_every_active_set() {
        let unit =
            |rng: &mut crate::base::rng::Rng| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        for case in 0..200 {
            let mut rng = stream(5, "nnls", case);
            let n = 1 + (case % 6) as usize;
            let rows: Vec<(Vec<f64>, f64)> = (0..12)
                .map(|_| {
                    let a = (0..n).map(|_| unit(&mut rng) - 0.3).collect();
                    (a, unit(&mut rng) - 0.3)
                })
                .collect();
            let mut normal = Normal::new(n);
            for (a, y) in &rows {
                normal.add(a, *y, 1.0);
            }
            let x = normal.solve();
            assert!(x.iter().all(|v| *v >= 0.0), "{x:?}");
            let miss =
                |(a, y): &(Vec<f64>, f64)| a.iter().zip(&x).map(|(a, x)| a * x).sum::<f64>() - y;
            let loss: f64 = rows.iter().map(|r| miss(r).powi(2)).sum();
            let best = brute(&rows, n);
            assert!(
                loss <= best * (1.0 + 1e-9) + 1e-12,
                "case {case}: {loss} > {best}"
            );
        }
    }

    #[test]
    fn a_pull_decides_what_data_cannot() {
        let mut normal = Normal::new(2);
        normal.add(&[1.0, 1.0], 3.0, 1.0);
        normal.pull(0, 1.0, 1e-6);
        normal.pull(1, 2.0, 1e-6);
        let x = normal.solve();
        assert!(
            (x[0] - 1.0).abs() < 1e-6 && (x[1] - 2.0).abs() < 1e-6,
            "{x:?}"
        );
    }

    #[test]
    fn nothing_is_zero() {
        assert_eq!(Normal::new(3).solve(), [0.0; 3]);
    }
}
