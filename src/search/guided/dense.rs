//! The little dense algebra that a Gaussian process needs.

use std::ops::Range;

/// The lower triangle of a Cholesky factor, row by row without gaps, so that it grows by rows.
#[derive(Clone, Debug, Default)]
pub struct Cholesky {
    size: usize,
    rows: Vec<f64>,
}

/// Where row `i` begins.
fn start(i: usize) -> usize {
    i * (i + 1) / 2
}

impl Cholesky {
    /// Of the symmetric matrix of this size with these entries; `None` where it is not positive definite.
    pub fn of(size: usize, entry: impl Fn(usize, usize) -> f64) -> Option<Self> {
        let mut own = Self {
            size: 0,
            rows: Vec::with_capacity(start(size)),
        };
        for i in 0..size {
            let row: Vec<f64> = (0..=i).map(|j| entry(i, j)).collect();
            own.push(row)?;
        }
        Some(own)
    }

    /// Adds a row of the matrix, up to its diagonal.
    pub fn push(&mut self, mut row: Vec<f64>) -> Option<()> {
        let diagonal = row.pop()?;
        self.solve(&mut row);
        let left = diagonal - dot(&row, &row);
        if left <= 0.0 || left.is_nan() {
            return None;
        }
        self.rows.extend_from_slice(&row);
        self.rows.push(left.sqrt());
        self.size += 1;
        Some(())
    }

    /// `b` becomes the solution of `L x = b`.
    pub fn solve(&self, b: &mut [f64]) {
        self.solve_part(b, 0..b.len());
    }

    /// As [`solve`](Self::solve), for some entries of the solution; those before them are there.
    pub fn solve_part(&self, b: &mut [f64], part: Range<usize>) {
        for i in part.start..part.end.min(b.len()).min(self.size) {
            let row = &self.rows[start(i)..start(i + 1)];
            let (known, rest) = b.split_at_mut(i);
            rest[0] = (rest[0] - dot(&row[..i], known)) / row[i];
        }
    }

    /// `b` becomes the solution of `L^T x = b`.
    pub fn solve_transposed(&self, b: &mut [f64]) {
        for i in (0..b.len().min(self.size)).rev() {
            let row = &self.rows[start(i)..start(i + 1)];
            let x = b[i] / row[i];
            b[i] = x;
            for (place, factor) in b[..i].iter_mut().zip(row) {
                *place -= factor * x;
            }
        }
    }

    /// The lower triangle of the matrix' inverse, row by row.
    pub fn inverse(&self) -> Vec<f64> {
        let n = self.size;
        // of the factor
        let mut own: Vec<f64> = Vec::with_capacity(start(n));
        let mut row = vec![0.0; n];
        for i in 0..n {
            let factors = &self.rows[start(i)..start(i + 1)];
            row[..=i].fill(0.0);
            for (k, factor) in factors[..i].iter().enumerate() {
                let known = &own[start(k)..start(k + 1)];
                row.iter_mut()
                    .zip(known)
                    .for_each(|(x, y)| *x -= factor * y);
            }
            row[i] = 1.0;
            own.extend(row[..=i].iter().map(|x| x / factors[i]));
        }
        let mut inverse = vec![0.0; start(n)];
        for i in 0..n {
            let row = &own[start(i)..start(i + 1)];
            for (k, factor) in row.iter().enumerate() {
                let to = &mut inverse[start(k)..start(k + 1)];
                to.iter_mut().zip(row).for_each(|(x, y)| *x += factor * y);
            }
        }
        inverse
    }

    /// The logarithm of the matrix' determinant.
    pub fn log_determinant(&self) -> f64 {
        let diagonal = (0..self.size).map(|i| self.rows[start(i + 1) - 1].ln());
        2.0 * diagonal.sum::<f64>()
    }
}

/// The scalar product, always added in the same order; four sums at a time, for the processor's sake.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = (a4.remainder().iter().zip(b4.remainder()))
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a4.zip(b4) {
        for k in 0..4 {
            sums[k] += x[k] * y[k];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The squared distance, as [`dot`].
pub fn distance2(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = (a4.remainder().iter().zip(b4.remainder()))
        .map(|(x, y)| (x - y) * (x - y))
        .sum();
    for (x, y) in a4.zip(b4) {
        for k in 0..4 {
            let d = x[k] - y[k];
            sums[k] += d * d;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The chance that a standard normal draw is at most `x`; relative error below 1.2e-7.
///
/// # Source
/// Press et al., "Numerical Recipes in C" (1992), section 6.2, `erfcc`.
pub fn normal_cdf(x: f64) -> f64 {
    const TERMS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let series = TERMS.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let tail = 0.5 * t * (-z * z + series).exp();
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_by_hand() {
        // [[4, 2], [2, 5]] = [[2, 0], [1, 2]] [[2, 1], [0, 2]]
        let matrix = [[4.0, 2.0], [2.0, 5.0]];
        let factor = Cholesky::of(2, |i, j| matrix[i][j]).unwrap();
        assert_eq!(factor.rows, [2.0, 1.0, 2.0]);
        assert!((factor.log_determinant() - 16f64.ln()).abs() < 1e-12);
        let mut b = vec![8.0, 9.0];
        factor.solve(&mut b);
        factor.solve_transposed(&mut b);
        // 4 x + 2 y = 8, 2 x + 5 y = 9
        assert!(
            (b[0] - 1.375).abs() < 1e-12 && (b[1] - 1.25).abs() < 1e-12,
            "{b:?}"
        );
        // 1 / 16 of [[5, -2], [-2, 4]]
        let inverse = factor.inverse();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} {b}");
        close(inverse[0], 0.3125);
        close(inverse[1], -0.125);
        close(inverse[2], 0.25);
        assert!(Cholesky::of(2, |i, j| [[1.0, 2.0], [2.0, 1.0]][i][j]).is_none());
    }

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let n = 17;
        let entry = |i: usize, j: usize| {
            let own = if i == j { 0.5 } else { 0.0 };
            (-0.3 * (i as f64 - j as f64).abs()).exp() + own
        };
        let inverse = Cholesky::of(n, entry).unwrap().inverse();
        let at = |i: usize, j: usize| inverse[start(i.max(j)) + i.min(j)];
        for i in 0..n {
            for j in 0..n {
                let sum: f64 = (0..n).map(|k| entry(i, k) * at(k, j)).sum();
                assert!((sum - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn products_are_those_of_the_definition() {
        let a: Vec<f64> = (0..11).map(|k| f64::from(k) * 0.5 - 2.0).collect();
        let b: Vec<f64> = (0..11).map(|k| f64::from(k * k)).collect();
        let pairs = || a.iter().zip(&b);
        let plain: f64 = pairs().map(|(x, y)| x * y).sum();
        let square: f64 = pairs().map(|(x, y)| (x - y).powi(2)).sum();
        assert!((dot(&a, &b) - plain).abs() < 1e-9);
        assert!((distance2(&a, &b) - square).abs() < 1e-9);
    }

    #[test]
    fn normal_chances_are_those_of_the_tables() {
        // tables of the normal distribution, ten places
        let known = [
            (0.0, 0.5),
            (1.0, 0.841_344_746_1),
            (-1.0, 0.158_655_253_9),
            (1.959_963_985, 0.975),
            (-3.0, 0.001_349_898_0),
            (-6.0, 9.865_876_5e-10),
        ];
        for (x, p) in known {
            assert!(
                (normal_cdf(x) / p - 1.0).abs() < 3e-7,
                "{x}: {}",
                normal_cdf(x)
            );
        }
    }
}
