//! A Gaussian process over networks: mean and uncertainty of a metric that only an evaluator tells.
//!
//! The kernel is a Matérn 5/2 of the distance between features, those of the decisions weighted against those of the
//! graph, and a linear one on the logarithm of the multiply-accumulates: larger networks are better until data says
//! otherwise. Its few parameters are chosen on a grid by the likelihood of what was told, with weak wishes for the middle
//! of the grid; the scale is profiled out.
//!
//! # Source
//! Rasmussen, Williams, "Gaussian Processes for Machine Learning" (2006), algorithm 2.1 and chapter 5.

use super::dense::{Cholesky, distance2, dot};
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

const LENGTHS: [f64; 8] = [0.35, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 8.0];
const NOISES: [f64; 7] = [0.003, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3];
const SIZES: [f64; 3] = [0.0, 0.1, 1.0];
const CHOICES: [f64; 3] = [0.0, 0.1, 0.5];

/// Up to so many told, the whole grid is looked at; then one step in each direction.
const WHOLE_GRID: usize = 48;

/// A point of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    length: usize,
    noise: usize,
    size: usize,
    choices: usize,
}

impl Place {
    const COUNTS: [usize; 4] = [LENGTHS.len(), NOISES.len(), SIZES.len(), CHOICES.len()];

    fn from_array([length, noise, size, choices]: [usize; 4]) -> Self {
        Self {
            length,
            noise,
            size,
            choices,
        }
    }

    fn to_array(self) -> [usize; 4] {
        [self.length, self.noise, self.size, self.choices]
    }

    fn all() -> Vec<Self> {
        let count = Self::COUNTS.iter().product();
        let place = |mut k: usize| {
            Self::from_array(Self::COUNTS.map(|n| {
                let digit = k % n;
                k /= n;
                digit
            }))
        };
        (0..count).map(place).collect()
    }

    fn around(self) -> Vec<Self> {
        let mut found = vec![self];
        for axis in 0..4 {
            let mut at = self.to_array();
            if at[axis] > 0 {
                at[axis] -= 1;
                found.push(Self::from_array(at));
                at[axis] += 1;
            }
            if at[axis] + 1 < Self::COUNTS[axis] {
                at[axis] += 1;
                found.push(Self::from_array(at));
            }
        }
        found
    }

    /// The wish for the middle of the grid.
    fn penalty(self) -> f64 {
        let square = |i: usize, middle: f64| (i as f64 - middle).powi(2);
        0.02 * square(self.length, 4.0) + 0.05 * square(self.noise, 3.0)
    }

    fn noise(self) -> f64 {
        NOISES[self.noise]
    }

    fn kernel(self, graph: f64, choices: f64, sizes: f64) -> f64 {
        let distance = (graph + CHOICES[self.choices] * choices).max(0.0).sqrt();
        let r = 5f64.sqrt() * distance / LENGTHS[self.length];
        (1.0 + r + r * r / 3.0) * (-r).exp() + SIZES[self.size] * sizes
    }
}

/// Networks whose values are known, and the distances between them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    rows: Vec<Row>,
    /// For each row, those before it and itself: squared distances, products of sizes.
    pairs: Vec<[f64; 3]>,
}

impl Known {
    /// Adds one.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
        if let Some(new) = self.rows.last() {
            self.pairs
                .extend(self.rows.iter().map(|old| pair(new, old)));
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

    fn pair(&self, i: usize, j: usize) -> [f64; 3] {
        self.pairs[i * (i + 1) / 2 + j]
    }
}

fn pair(a: &Row, b: &Row) -> [f64; 3] {
    [
        distance2(&a.graph, &b.graph),
        distance2(&a.choices, &b.choices),
        a.size * b.size,
    ]
}

/// A process that has learnt from values of mean 0 and variance 1.
#[derive(Clone, Debug)]
pub struct Process {
    place: Place,
    factor: Cholesky,
    weights: Vec<f64>,
    scale: f64,
    /// The logarithm of the values' likelihood, less the wishes.
    pub evidence: f64,
}

impl Process {
    /// The likeliest process for these values; `near` is the grid's place of an earlier one.
    pub fn fit(known: &Known, values: &[f64], near: Option<Place>) -> Option<Self> {
        let places = match near.filter(|_| values.len() > WHOLE_GRID) {
            Some(place) => place.around(),
            None => Place::all(),
        };
        let fitted: Vec<Option<Self>> = places
            .into_par_iter()
            .map(|place| Self::at(known, values, place))
            .collect();
        // the first of equally likely ones, whatever thread was first
        fitted.into_iter().flatten().reduce(|best, new| {
            if new.evidence > best.evidence {
                new
            } else {
                best
            }
        })
    }

    fn at(known: &Known, values: &[f64], place: Place) -> Option<Self> {
        let n = values.len();
        let factor = Cholesky::of(n, |i, j| {
            let [graph, choices, sizes] = known.pair(i, j);
            let own = if i == j { place.noise() } else { 0.0 };
            place.kernel(graph, choices, sizes) + own
        })?;
        let mut weights = values.to_vec();
        factor.solve(&mut weights);
        let scale = (dot(&weights, &weights) / n.max(1) as f64).max(1e-12);
        factor.solve_transposed(&mut weights);
        let likelihood = -0.5 * (n as f64 * scale.ln() + factor.log_determinant());
        Some(Self {
            place,
            factor,
            weights,
            scale,
            evidence: likelihood - place.penalty(),
        })
    }

    /// Its place on the grid.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The variance of what an evaluator adds by chance.
    pub fn noise(&self) -> f64 {
        self.scale * self.place.noise()
    }

    /// Mean and variance (without noise) at a network, and its column `L^-1 k` for [`covariance`](Self::covariance).
    pub fn predict(&self, known: &Known, row: &Row) -> (f64, f64, Vec<f64>) {
        let kernel = |old: &Row| {
            let [graph, choices, sizes] = pair(row, old);
            self.place.kernel(graph, choices, sizes)
        };
        let mut column: Vec<f64> = known.rows.iter().map(kernel).collect();
        let mean = dot(&column, &self.weights);
        self.factor.solve(&mut column);
        let own = self.place.kernel(0.0, 0.0, row.size * row.size);
        let variance = (own - dot(&column, &column)).max(1e-12);
        (mean, self.scale * variance, column)
    }

    /// The covariance of two networks, given their columns; these may have further entries from later conditioning.
    pub fn covariance(&self, a: (&Row, &[f64]), b: (&Row, &[f64])) -> f64 {
        let [graph, choices, sizes] = pair(a.0, b.0);
        self.scale * (self.place.kernel(graph, choices, sizes) - dot(a.1, b.1))
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

    /// The expected numbers come from NumPy 2 with matrices inverted as they are, the Matérn kernel of scikit-learn 1.9.1
    /// (`Matern(length_scale=l, nu=2.5)` on the features, those of the decisions times the root of their weight) plus the
    /// product of sizes, and a loop over the whole grid.
    #[test]
    fn agrees_with_an_independent_process() {
        let (known, values, row) = known();
        let process = Process::fit(&known, &values, None).unwrap();
        let at = process.place();
        assert_eq!(
            (
                LENGTHS[at.length],
                NOISES[at.noise],
                SIZES[at.size],
                CHOICES[at.choices]
            ),
            (0.35, 0.04, 1.0, 0.5)
        );
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(process.evidence, -0.318_989_710_708_699);
        close(process.scale(), 0.777_033_170_761_966);
        let (mean, variance, column) = process.predict(&known, &row);
        close(mean, 0.382_938_748_324_156_2);
        close(variance, 0.788_454_821_386_166_1);
        // and after a seventh network, whose value does not matter
        let seventh = Row {
            graph: vec![0.6, -0.1],
            choices: vec![1.0],
            size: 0.1,
        };
        let (_, of_seventh, its_column) = process.predict(&known, &seventh);
        let covariance = process.covariance((&row, &column), (&seventh, &its_column));
        let more = process.condition(covariance, of_seventh);
        close(
            variance - process.scale() * more * more,
            0.785_590_418_130_118_8,
        );
    }

    #[test]
    fn comes_close_to_what_it_was_told_and_is_unsure_far_away() {
        let (known, values, _) = known();
        let process = Process::fit(&known, &values, None).unwrap();
        for (row, value) in known.rows().iter().zip(&values) {
            let (mean, variance, _) = process.predict(&known, row);
            assert!((mean - value).abs() < 0.3, "{mean} {value}");
            assert!(variance < 0.2);
        }
        let far = Row {
            graph: vec![30.0, -30.0],
            choices: vec![0.0],
            size: 0.0,
        };
        let (mean, variance, _) = process.predict(&known, &far);
        assert!(mean.abs() < 1e-6 && (variance - process.scale()).abs() < 1e-6);
    }
}
