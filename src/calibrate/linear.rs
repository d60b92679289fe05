//! Small symmetric systems.

/// Rows of a matrix.
pub type Matrix = Vec<Vec<f64>>;

/// The lower triangle L of `a` = L L^T; `a` must be symmetric, and what is not positive on the diagonal is taken to be tiny.
pub fn cholesky(a: &[Vec<f64>]) -> Matrix {
    let n = a.len();
    let mut l = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let done: f64 = l[i][..j].iter().zip(&l[j][..j]).map(|(a, b)| a * b).sum();
            let left = a[i][j] - done;
            l[i][j] = if i == j {
                left.max(1e-12).sqrt()
            } else {
                left / l[j][j]
            };
        }
    }
    l
}

/// x of L L^T x = b.
pub fn solve(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let n = l.len();
    let mut x = b.to_vec();
    for i in 0..n {
        let done: f64 = l[i][..i].iter().zip(&x).map(|(a, b)| a * b).sum();
        x[i] = (x[i] - done) / l[i][i];
    }
    for i in (0..n).rev() {
        let done: f64 = (i + 1..n).map(|j| l[j][i] * x[j]).sum();
        x[i] = (x[i] - done) / l[i][i];
    }
    x
}

/// The rows and columns `at` of a symmetric matrix, with `more` added to every entry.
pub fn part(a: &[Vec<f64>], at: &[usize], more: f64) -> Matrix {
    let row = |i: &usize| at.iter().map(|j| a[*i][*j] + more).collect();
    at.iter().map(row).collect()
}

/// Sum of products.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::{cholesky, part, solve};

    #[test]
    fn by_hand() {
        // 4 2; 2 5 has the root 2 0; 1 2
        let a = vec![vec![4.0, 2.0], vec![2.0, 5.0]];
        let l = cholesky(&a);
        assert_eq!(l, [[2.0, 0.0], [1.0, 2.0]]);
        // 4x + 2y = 8, 2x + 5y = 12: x = 1, y = 2
        let x = solve(&l, &[8.0, 12.0]);
        assert!(
            (x[0] - 1.0).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12,
            "{x:?}"
        );
        assert_eq!(part(&a, &[1], 0.5), [[5.5]]);
    }
}
