//! A Gaussian process over networks: mean and uncertainty of a metric that only an evaluator tells.
//!
//! The kernel is a Matérn 5/2 of the distance between features, each with a weight of its own, and a linear one on the
//! logarithm of the multiply-accumulates: larger networks are better until data says otherwise. The weights, the length,
//! the noise and the share of the linear part are the likeliest ones under log-normal wishes, so that what does not
//! matter in a space fades as answers come in; the scale is profiled out.
//!
//! # Source
//! Rasmussen, Williams, "Gaussian Processes for Machine Learning" (2006), algorithm 2.1 and chapter 5 (automatic relevance
//! determination, the gradient of the likelihood: equation 5.9).

use super::dense::{Cholesky, distance2, dot};
use crate::base::lbfgs::minimise;
use rayon::prelude::*;

/// What the process knows of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Features of the graph.
    pub graph: Vec<f64>,
    /// Features of the decisions.
    pub choices: Vec<f64>,
    /// Size: the standardised logarithm of the multiply-accumulates.
    pub size: f64,
}

/// What features of decisions count beside those of the graph before anything is known.
const CHOICES: f64 = 0.3;

/// Steps towards the likeliest kernel: from nothing, and from where the last answers left it.
const FIRST: usize = 40;
const NEXT: usize = 12;

/// The most multiplications for all of them, about a quarter of a second; but at least so many steps.
const MOST: f64 = 5e8;
const FEWEST: usize = 4;

/// A wish for a positive number: middle and standard deviation of its logarithm.
#[derive(Clone, Copy, Debug)]
struct Wish(f64, f64);

impl Wish {
    /// What a value costs, and the slope.
    fn penalty(self, log: f64) -> (f64, f64) {
        let z = (log - self.0) / self.1;
        (0.5 * z * z, z / self.1)
    }
}

/// For the weight of a feature, e^0: most features matter alike.
const WEIGHT: Wish = Wish(0.0, 0.8);

/// For the length, 2; the variance of noise beside that of the kernel, 0.04; and the share of the sizes, 0.3.
const OTHERS: [Wish; 3] = [
    Wish(std::f64::consts::LN_2, 0.8),
    Wish(-3.218_875_824_868_201, 1.2),
    Wish(-1.203_972_804_325_936, 0.8),
];

/// How networks are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// Logarithms: of each feature's weight, of the length, the noise, and the share of the sizes.
    logs: Vec<f64>,
    /// What features are multiplied with.
    scales: Vec<f64>,
    noise: f64,
    share: f64,
}

impl Kernel {
    /// Before anything is known.
    fn new(features: usize) -> Self {
        let mut logs = vec![WEIGHT.0; features];
        logs.extend(OTHERS.map(|wish| wish.0));
        Self::of(logs)
    }

    fn of(logs: Vec<f64>) -> Self {
        let (weights, others) = logs.split_at(logs.len() - OTHERS.len());
        let scale = |weight: &f64| (0.5 * weight - others[0]).exp();
        Self {
            scales: weights.iter().map(scale).collect(),
            noise: others[1].exp(),
            share: others[2].exp(),
            logs,
        }
    }

    fn scaled(&self, row: &Row) -> Vec<f64> {
        let choices = row.choices.iter().map(|x| CHOICES * x);
        let features = row.graph.iter().copied().chain(choices);
        features.zip(&self.scales).map(|(x, s)| x * s).collect()
    }

    fn at(&self, distance2: f64, sizes: f64) -> f64 {
        let r = (5.0 * distance2).sqrt();
        (1.0 + r + r * r / 3.0) * (-r).exp() + self.share * sizes
    }

    /// The slope of the part that is no share, by the squared distance.
    fn slope(distance2: f64) -> f64 {
        let r = (5.0 * distance2).sqrt();
        -5.0 / 6.0 * (1.0 + r) * (-r).exp()
    }

    /// How far from the wishes it is; adds the slope by its logarithms.
    fn penalty(&self, slope: &mut [f64]) -> f64 {
        let features = self.scales.len();
        let wishes = std::iter::repeat_n(WEIGHT, features).chain(OTHERS);
        let each = self.logs.iter().zip(wishes).zip(slope);
        each.map(|((log, wish), slope)| {
            let (penalty, its_slope) = wish.penalty(*log);
            *slope += its_slope;
            penalty
        })
        .sum()
    }
}

/// Networks whose values are known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    rows: Vec<Row>,
}

impl Known {
    /// Adds one.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Those at some places.
    pub fn some(&self, places: &[usize]) -> Self {
        let rows = places.iter().filter_map(|p| self.rows.get(*p));
        Self {
            rows: rows.cloned().collect(),
        }
    }

    /// All of them.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

/// A process that has learnt from values of mean 0 and variance 1.
#[derive(Clone, Debug)]
pub struct Process {
    kernel: Kernel,
    /// Features of what is known, scaled.
    rows: Vec<Vec<f64>>,
    sizes: Vec<f64>,
    factor: Cholesky,
    weights: Vec<f64>,
    scale: f64,
}

/// What a process says of a network, worked out as far as is needed.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Of the metric, bent.
    pub mean: f64,
    /// Without noise.
    pub variance: f64,
    /// `L^-1 k`; entries from later conditioning may follow.
    pub column: Vec<f64>,
    own: f64,
    solved: usize,
}

impl Process {
    /// The likeliest process for these values; `near` is the kernel of an earlier one.
    pub fn fit(known: &Known, values: &[f64], near: Option<&Kernel>) -> Option<Self> {
        let first = known.rows.first()?;
        let (start, rounds) = match near {
            Some(kernel) => (kernel.clone(), NEXT),
            None => (Kernel::new(first.graph.len() + first.choices.len()), FIRST),
        };
        let (n, width) = (values.len() as f64, start.scales.len() as f64);
        let affordable = (MOST / (n * n * (n + width)).max(1.0)) as usize;
        let rounds = affordable.clamp(FEWEST, rounds);
        let logs = minimise(start.logs, rounds, |logs, slope| {
            let process = Self::at(known, values, Kernel::of(logs.to_vec()));
            process.map_or(f64::INFINITY, |p| p.unlikelihood(slope))
        });
        Self::at(known, values, Kernel::of(logs))
    }

    fn at(known: &Known, values: &[f64], kernel: Kernel) -> Option<Self> {
        let n = values.len();
        let rows: Vec<Vec<f64>> = known.rows.iter().map(|r| kernel.scaled(r)).collect();
        let sizes: Vec<f64> = known.rows.iter().map(|r| r.size).collect();
        let factor = Cholesky::of(n, |i, j| {
            let own = if i == j { kernel.noise } else { 0.0 };
            kernel.at(distance2(&rows[i], &rows[j]), sizes[i] * sizes[j]) + own
        })?;
        let mut weights = values.to_vec();
        factor.solve(&mut weights);
        let scale = (dot(&weights, &weights) / n.max(1) as f64).max(1e-12);
        factor.solve_transposed(&mut weights);
        Some(Self {
            kernel,
            rows,
            sizes,
            factor,
            weights,
            scale,
        })
    }

    /// Minus the logarithm of the likelihood, and the penalty of the kernel; writes the slope by the kernel's logarithms.
    fn unlikelihood(&self, slope: &mut [f64]) -> f64 {
        let n = self.rows.len();
        let features = self.kernel.scales.len();
        let inverse = self.factor.inverse();
        // half of K^-1 - a a^T / scale
        let matrix = |i: usize, j: usize| {
            let outer = self.weights[i] * self.weights[j] / self.scale;
            0.5 * (inverse[i * (i + 1) / 2 + j] - outer)
        };
        let row = |i: usize| {
            let mut own = vec![0.0; features];
            let mut sizes = matrix(i, i) * self.sizes[i] * self.sizes[i];
            for j in 0..i {
                let both = 2.0 * matrix(i, j);
                let pairs = || self.rows[i].iter().zip(&self.rows[j]);
                let by_distance = both * Kernel::slope(distance2(&self.rows[i], &self.rows[j]));
                (own.iter_mut().zip(pairs()))
                    .for_each(|(sum, (a, b))| *sum += by_distance * (a - b) * (a - b));
                sizes += both * self.sizes[i] * self.sizes[j];
            }
            (own, matrix(i, i), sizes)
        };
        let rows: Vec<(Vec<f64>, f64, f64)> =
            (0..n).into_par_iter().with_min_len(16).map(row).collect();
        slope.fill(0.0);
        // in the order of the rows, whatever thread was first
        for (own, noise, sizes) in rows {
            slope.iter_mut().zip(&own).for_each(|(s, x)| *s += x);
            slope[features + 1] += noise * self.kernel.noise;
            slope[features + 2] += sizes * self.kernel.share;
        }
        slope[features] = -2.0 * slope[..features].iter().sum::<f64>();
        let likelihood = -0.5 * (n as f64 * self.scale.ln() + self.factor.log_determinant());
        self.kernel.penalty(slope) - likelihood
    }

    /// How it compares networks.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The variance of what an evaluator adds by chance.
    pub fn noise(&self) -> f64 {
        self.scale * self.kernel.noise
    }

    /// What is known of a network, with the variance as if nothing were: no less than it is.
    pub fn begin(&self, row: &Row) -> Prediction {
        let scaled = self.kernel.scaled(row);
        let pairs = self.rows.iter().zip(&self.sizes);
        let column: Vec<f64> = pairs
            .map(|(old, size)| self.kernel.at(distance2(&scaled, old), row.size * size))
            .collect();
        let own = self.kernel.at(0.0, row.size * row.size);
        Prediction {
            mean: dot(&column, &self.weights),
            variance: self.scale * own,
            column,
            own,
            solved: 0,
        }
    }

    /// Works the variance out as if only the first `rows` were known: it falls towards that of all.
    pub fn go_on(&self, belief: &mut Prediction, rows: usize) {
        let to = rows.min(belief.column.len());
        let part = belief.solved..to;
        self.factor.solve_part(&mut belief.column, part);
        let known = &belief.column[..to];
        belief.variance = self.scale * (belief.own - dot(known, known)).max(1e-12);
        belief.solved = to;
    }

    /// The covariance of two networks, given their columns; these may have further entries from later conditioning.
    pub fn covariance(&self, a: (&Row, &[f64]), b: (&Row, &[f64])) -> f64 {
        let between = distance2(&self.kernel.scaled(a.0), &self.kernel.scaled(b.0));
        self.scale * (self.kernel.at(between, a.0.size * b.0.size) - dot(a.1, b.1))
    }

    /// What conditioning on `chosen`, of this variance, adds to the column of another: its variance falls by `scale`
    /// times the square.
    pub fn condition(&self, covariance: f64, variance: f64) -> f64 {
        covariance / (self.scale * (variance + self.noise())).sqrt()
    }

    /// See [`condition`](Self::condition).
    pub fn scale(&self) -> f64 {
        self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predict(process: &Process, row: &Row) -> (f64, f64, Vec<f64>) {
        let mut belief = process.begin(row);
        let mut most = belief.variance;
        for rows in [0, 2, 3, 6] {
            process.go_on(&mut belief, rows);
            assert!(belief.variance <= most);
            most = belief.variance;
        }
        (belief.mean, belief.variance, belief.column)
    }

    /// Six networks, and one to be told of.
    fn known() -> (Known, Vec<f64>, Row) {
        let row = |graph: [f64; 2], choices: f64, size: f64| Row {
            graph: graph.to_vec(),
            choices: vec![choices],
            size,
        };
        let rows = [
            row([0.0, 0.0], 0.0, -1.0),
            row([0.5, 0.1], 1.0, 0.2),
            row([1.0, -0.3], 0.0, 0.5),
            row([0.2, 0.9], 1.0, 1.1),
            row([-0.7, 0.4], 0.5, -0.4),
            row([0.9, 0.8], 0.0, 0.3),
        ];
        let mut known = Known::default();
        rows.into_iter().for_each(|r| known.push(r));
        let values = vec![-1.2, 1.1, -0.6, 1.4, 0.3, -1.0];
        (known, values, row([0.4, 0.4], 0.3, 0.7))
    }

    /// The expected numbers come from NumPy 2.4.6 with matrices inverted as they are, and the Matérn kernel of Rasmussen and
    /// Williams' equation 4.14 with the Bessel function of SciPy 1.17.1.
    #[test]
    fn agrees_with_an_independent_process() {
        let (known, values, row) = known();
        let kernel = Kernel::of(vec![0.3, -0.5, 1.2, -0.4, -2.5, -1.0]);
        let process = Process::at(&known, &values, kernel).unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(process.unlikelihood(&mut [0.0; 6]), 3.015_299_861_478_703);
        close(process.scale(), 1.098_593_907_900_688);
        let (mean, variance, column) = predict(&process, &row);
        close(mean, 0.361_032_976_809_860_7);
        close(variance, 0.386_732_117_942_456_6);
        // and after a seventh network, whose value does not matter
        let seventh = Row {
            graph: vec![0.6, -0.1],
            choices: vec![1.0],
            size: 0.1,
        };
        let (_, of_seventh, its_column) = predict(&process, &seventh);
        let covariance = process.covariance((&row, &column), (&seventh, &its_column));
        let more = process.condition(covariance, of_seventh);
        close(
            variance - process.scale() * more * more,
            0.385_166_998_270_983_9,
        );
    }

    /// The expected numbers are those of SciPy's L-BFGS-B with differences for slopes, the best of it and of twenty simplex
    /// searches from random points.
    #[test]
    fn finds_the_likeliest_kernel() {
        let (known, values, _) = known();
        let process = Process::fit(&known, &values, None).unwrap();
        let least = process.unlikelihood(&mut [0.0; 6]);
        assert!((least - 2.097_795_271_5).abs() < 1e-6, "{least}");
        let logs = [
            -0.197_84, -0.230_71, 0.520_03, 0.510_21, -2.770_42, -1.209_62,
        ];
        for (own, other) in process.kernel().logs.iter().zip(logs) {
            assert!((own - other).abs() < 2e-3, "{own} {other}");
        }
        // and stays there
        let again = Process::fit(&known, &values, Some(process.kernel())).unwrap();
        assert!(again.unlikelihood(&mut [0.0; 6]) <= least);
    }

    #[test]
    fn slopes_are_those_of_differences() {
        let (known, values, _) = known();
        let at = |logs: &[f64], slope: &mut [f64]| {
            let process = Process::at(&known, &values, Kernel::of(logs.to_vec())).unwrap();
            process.unlikelihood(slope)
        };
        let logs = [0.3, -0.5, 1.2, -0.4, -2.5, -1.0];
        let mut slope = [0.0; 6];
        at(&logs, &mut slope);
        for k in 0..6 {
            let moved = |by: f64| {
                let mut logs = logs;
                logs[k] += by;
                at(&logs, &mut [0.0; 6])
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (slope[k] - difference).abs() < 1e-7,
                "{k}: {} {difference}",
                slope[k]
            );
        }
    }

    #[test]
    fn comes_close_to_what_it_was_told_and_is_unsure_far_away() {
        let (known, values, _) = known();
        // short, and sure of what it is told
        let kernel = Kernel::of(vec![0.0, 0.0, 0.0, -1.0, -6.0, -2.0]);
        let process = Process::at(&known, &values, kernel).unwrap();
        for (row, value) in known.rows().iter().zip(&values) {
            let (mean, variance, _) = predict(&process, row);
            assert!((mean - value).abs() < 0.3, "{mean} {value}");
            assert!(variance < 0.2);
        }
        let far = Row {
            graph: vec![30.0, -30.0],
            choices: vec![0.0],
            size: 0.0,
        };
        let (mean, variance, _) = predict(&process, &far);
        assert!(mean.abs() < 1e-6 && (variance - process.scale()).abs() < 1e-6);
    }
}
