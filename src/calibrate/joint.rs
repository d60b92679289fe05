//! Many devices fitted at once.
//!
//! Twenty networks cannot tell thirty rates of one board. A hundred boards can tell how rates go together: the logarithm of
//! a rate on a board is the board's scale, plus what is common to all boards, plus a few directions in which boards
//! differ, plus a little of its own. Everything is fitted at once to log errors of whole networks; far-off rows count less.
//!
//! [`adapt`] places a new device in what is known of others, from a handful of networks.

use super::priors::{RateTable, Work};
use crate::base::lbfgs::minimise;
use crate::base::rng::stream;
use crate::base::stats::median;
use rand::Rng as _;

/// A rate of a kind, or the constant of a run (`None`).
pub type Cell = Option<(usize, usize)>;

/// Rates that are fitted as one, each a multiple of its prior.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    prior: RateTable,
    cells: Vec<Vec<Cell>>,
}

impl Columns {
    /// Rates of the same `name` are one column; a rate of 0 is none. The constant is a column of its own.
    pub fn named(prior: RateTable, name: impl Fn(usize, usize) -> String) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut cells: Vec<Vec<Cell>> = Vec::new();
        for (kind, rates) in prior.rates.iter().enumerate() {
            for (rate, value) in rates.iter().enumerate() {
                if *value <= 0.0 {
                    continue;
                }
                let name = name(kind, rate);
                match names.iter().position(|n| *n == name) {
                    Some(column) => cells[column].push(Some((kind, rate))),
                    None => {
                        names.push(name);
                        cells.push(vec![Some((kind, rate))]);
                    }
                }
            }
        }
        if prior.constant > 0.0 {
            cells.push(vec![None]);
        }
        Self { prior, cells }
    }

    /// Each rate a column.
    pub fn single(prior: RateTable) -> Self {
        Self::named(prior, |kind, rate| format!("{kind}.{rate}"))
    }

    /// The first rate of each.
    pub fn leaders(&self) -> Vec<Cell> {
        self.cells
            .iter()
            .map(|c| c.first().copied().flatten())
            .collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// What a network costs by column, at prior rates.
    pub fn costs(&self, work: &Work) -> Vec<f64> {
        let cost = |cell: &Cell| match cell {
            Some((kind, rate)) => self.prior.rates[*kind][*rate] * work.0[*kind][*rate],
            None => self.prior.constant,
        };
        let column = |cells: &Vec<Cell>| cells.iter().map(cost).sum();
        self.cells.iter().map(column).collect()
    }

    /// The rates with these logarithms of column factors.
    pub fn table(&self, logs: &[f64]) -> RateTable {
        let mut table = RateTable::zero();
        for (cells, log) in self.cells.iter().zip(logs) {
            for cell in cells {
                match cell {
                    Some((kind, rate)) => {
                        table.rates[*kind][*rate] = self.prior.rates[*kind][*rate] * log.exp();
                    }
                    None => table.constant = self.prior.constant * log.exp(),
                }
            }
        }
        table
    }

    /// For each column the logarithm of a table's rate over the prior; 0 where the table has none.
    pub fn logs(&self, table: &RateTable) -> Vec<f64> {
        let log = |cells: &Vec<Cell>| {
            let ratio = match cells.first() {
                Some(Some((kind, rate))) => {
                    table.rates[*kind][*rate] / self.prior.rates[*kind][*rate]
                }
                _ => table.constant / self.prior.constant,
            };
            if ratio > 0.0 { ratio.ln() } else { 0.0 }
        };
        self.cells.iter().map(log).collect()
    }
}

/// How sure one is of what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Spread of log errors of good rows.
    pub noise: f64,
    /// Log errors beyond this count linearly.
    pub huber: f64,
    /// Spread of the common factors.
    pub common: f64,
    /// Spread of each device's own part.
    pub own: f64,
    /// Spread of the directions.
    pub shared: f64,
    /// Directions in which devices differ.
    pub directions: usize,
    /// Rounds of the fit.
    pub rounds: usize,
}

impl Belief {
    /// As found best on networks left out whole, for boards and GPUs alike; wide optima, so no finer.
    pub const DEFAULT: Belief = Belief {
        noise: 0.08,
        huber: 0.1,
        common: 1.5,
        own: 0.3,
        shared: 0.5,
        directions: 3,
        rounds: 120,
    };
}

/// One measured network.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Device.
    pub device: usize,
    /// [`Columns::costs`].
    pub costs: Vec<f64>,
    /// Logarithm of the measured cost.
    pub log: f64,
}

/// What a joint fit found.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    /// Logarithms of column factors by device.
    pub logs: Vec<Vec<f64>>,
}

/// Huber-like penalty of a miss and its slope; quadratic near 0, linear far out.
fn penalty(miss: f64, belief: &Belief) -> (f64, f64) {
    let x = miss / belief.huber;
    let root = (1.0 + x * x).sqrt();
    let weight = 1.0 / (belief.noise * belief.noise);
    let h = belief.huber * belief.huber;
    (h * (root - 1.0) * weight, miss / root * weight)
}

fn scale_of(rows: &[&Row], logs: &[f64]) -> f64 {
    let misses: Vec<f64> = rows
        .iter()
        .map(|r| r.log - predict(&r.costs, logs))
        .collect();
    median(&misses).unwrap_or(0.0)
}

/// Logarithm of the cost with these column factors.
pub fn predict(costs: &[f64], logs: &[f64]) -> f64 {
    let sum: f64 = costs.iter().zip(logs).map(|(c, l)| c * l.exp()).sum();
    sum.max(f64::MIN_POSITIVE).ln()
}

/// Fits `devices` devices at once.
pub fn fit(rows: &[Row], devices: usize, columns: usize, belief: &Belief) -> Joint {
    let (t, k, r) = (devices, columns, belief.directions);
    // unknowns in order: scales, common, own by device, places by device, directions
    let (common, own) = (t, t + k);
    let (places, shared) = (own + t * k, own + t * k + t * r);
    let mut x = vec![0.0; shared + r * k];
    let flat = vec![0.0; k];
    for (device, scale) in x.iter_mut().take(t).enumerate() {
        let of: Vec<&Row> = rows.iter().filter(|row| row.device == device).collect();
        *scale = scale_of(&of, &flat);
    }
    // a start off the saddle at 0, the same each time
    let mut rng = stream(1, "joint fit", 0);
    let mut draw = || 2.0 * ((rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64) - 1.0;
    x[places..shared].iter_mut().for_each(|v| *v = 0.5 * draw());
    x[shared..].iter_mut().for_each(|v| *v = 0.1 * draw());
    let logs_of = |x: &[f64], device: usize| -> Vec<f64> {
        (0..k)
            .map(|c| {
                let along = (0..r).map(|d| x[places + device * r + d] * x[shared + d * k + c]);
                let log = x[common + c] + x[own + device * k + c] + along.sum::<f64>();
                log.clamp(-12.0, 12.0)
            })
            .collect()
    };
    let square = |x: &[f64], sd: f64, g: &mut [f64]| -> f64 {
        let w = 1.0 / (sd * sd);
        for (g, x) in g.iter_mut().zip(x) {
            *g += w * x;
        }
        0.5 * w * x.iter().map(|x| x * x).sum::<f64>()
    };
    let slope = |x: &[f64], g: &mut [f64]| -> f64 {
        g.fill(0.0);
        let logs: Vec<Vec<f64>> = (0..t).map(|device| logs_of(x, device)).collect();
        let factors: Vec<Vec<f64>> = logs
            .iter()
            .map(|l| l.iter().map(|l| l.exp()).collect())
            .collect();
        let mut by_log = vec![0.0; t * k];
        let mut value = 0.0;
        for row in rows {
            let factors = &factors[row.device];
            let sum: f64 = row.costs.iter().zip(factors).map(|(c, f)| c * f).sum();
            let sum = sum.max(f64::MIN_POSITIVE);
            let (lost, push) = penalty(x[row.device] + sum.ln() - row.log, belief);
            value += lost;
            g[row.device] += push;
            let push = push / sum;
            let to = &mut by_log[row.device * k..(row.device + 1) * k];
            for ((to, c), f) in to.iter_mut().zip(&row.costs).zip(factors) {
                *to += push * c * f;
            }
        }
        for device in 0..t {
            for c in 0..k {
                let push = by_log[device * k + c];
                g[common + c] += push;
                g[own + device * k + c] += push;
                for d in 0..r {
                    g[places + device * r + d] += push * x[shared + d * k + c];
                    g[shared + d * k + c] += push * x[places + device * r + d];
                }
            }
        }
        value += square(&x[common..own], belief.common, &mut g[common..own]);
        value += square(&x[own..places], belief.own, &mut g[own..places]);
        value += square(&x[places..shared], 1.0, &mut g[places..shared]);
        value + square(&x[shared..], belief.shared, &mut g[shared..])
    };
    let x = minimise(x, belief.rounds, slope);
    let logs = (0..t).map(|device| {
        let logs = logs_of(&x, device).into_iter();
        logs.map(|l| l + x[device]).collect()
    });
    Joint {
        logs: logs.collect(),
    }
}

/// What is known of devices of one sort: logarithms of column factors around which they lie, and directions of spread 1
/// along which they differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The middle.
    pub mean: Vec<f64>,
    /// The directions.
    pub directions: Vec<Vec<f64>>,
}

impl Family {
    /// One device alone.
    pub fn of_one(logs: Vec<f64>) -> Self {
        Self {
            mean: logs,
            directions: Vec::new(),
        }
    }

    /// Of several devices, whatever their speed.
    pub fn of(members: &[Vec<f64>]) -> Self {
        let n = members.len().max(1) as f64;
        // speed is no direction: it is fitted freely
        let level = |logs: &Vec<f64>| median(logs).unwrap_or(0.0);
        let levelled: Vec<Vec<f64>> = members
            .iter()
            .map(|m| m.iter().map(|l| l - level(m)).collect())
            .collect();
        let columns = members.first().map_or(0, Vec::len);
        let mean: Vec<f64> = (0..columns)
            .map(|c| levelled.iter().map(|m| m[c]).sum::<f64>() / n)
            .collect();
        let spread = (n - 1.0).max(1.0).sqrt();
        let directions = levelled.iter().map(|m| {
            let from_mean = m.iter().zip(&mean);
            from_mean.map(|(l, mean)| (l - mean) / spread).collect()
        });
        let directions = directions.collect();
        Self { mean, directions }
    }
}

/// Logarithms of column factors of a new device of the family, from some networks.
pub fn adapt(rows: &[Row], family: &Family, belief: &Belief) -> Vec<f64> {
    let (k, r) = (family.mean.len(), family.directions.len());
    let mut x = vec![0.0; 1 + r + k];
    let all: Vec<&Row> = rows.iter().collect();
    x[0] = scale_of(&all, &family.mean);
    let logs_of = |x: &[f64]| -> Vec<f64> {
        (0..k)
            .map(|c| {
                let along = (0..r).map(|d| x[1 + d] * family.directions[d][c]);
                family.mean[c] + x[1 + r + c] + along.sum::<f64>()
            })
            .collect()
    };
    let own = 1.0 / (belief.own * belief.own);
    let slope = |x: &[f64], g: &mut [f64]| -> f64 {
        g.fill(0.0);
        let logs = logs_of(x);
        let factors: Vec<f64> = logs.iter().map(|l| l.clamp(-60.0, 60.0).exp()).collect();
        let mut by_log = vec![0.0; k];
        let mut value = 0.0;
        for row in rows {
            let sum: f64 = row.costs.iter().zip(&factors).map(|(c, f)| c * f).sum();
            let sum = sum.max(f64::MIN_POSITIVE);
            let (lost, push) = penalty(x[0] + sum.ln() - row.log, belief);
            value += lost;
            g[0] += push;
            for ((to, c), f) in by_log.iter_mut().zip(&row.costs).zip(&factors) {
                *to += push / sum * c * f;
            }
        }
        for d in 0..r {
            let along = by_log.iter().zip(&family.directions[d]);
            g[1 + d] = along.map(|(p, v)| p * v).sum::<f64>() + x[1 + d];
            value += 0.5 * x[1 + d] * x[1 + d];
        }
        for c in 0..k {
            let e = x[1 + r + c];
            g[1 + r + c] = by_log[c] + own * e;
            value += 0.5 * own * e * e;
        }
        value
    };
    let x = minimise(x, belief.rounds, slope);
    logs_of(&x).into_iter().map(|l| l + x[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Belief, Family, Row, adapt, fit, predict};

    /// Networks of two sorts of work in different shares, on devices with rates of their own.
    fn rows(rates: &[[f64; 2]]) -> Vec<Row> {
        let networks = (1..=12).map(|i| vec![f64::from(i), f64::from(13 - i).powi(2)]);
        let networks: Vec<Vec<f64>> = networks.collect();
        let row = |device: usize, rates: &[f64; 2], costs: &Vec<f64>| Row {
            device,
            costs: costs.clone(),
            log: (costs[0] * rates[0] + costs[1] * rates[1]).ln(),
        };
        let of = |(device, rates): (usize, &[f64; 2])| -> Vec<Row> {
            networks.iter().map(|n| row(device, rates, n)).collect()
        };
        rates.iter().enumerate().flat_map(of).collect()
    }

    #[test]
    fn devices_that_made_the_rows_are_found() {
        let truth = [[1.0, 2.0], [30.0, 10.0], [0.2, 1.0]];
        let rows = rows(&truth);
        let joint = fit(&rows, 3, 2, &Belief::DEFAULT);
        for (logs, truth) in joint.logs.iter().zip(truth) {
            for (log, rate) in logs.iter().zip(truth) {
                // the likely rates pull a little
                assert!((log.exp() / rate - 1.0).abs() < 0.1, "{logs:?} {truth:?}");
            }
        }
        for row in &rows {
            assert!((predict(&row.costs, &joint.logs[row.device]) - row.log).abs() < 0.03);
        }
    }

    #[test]
    fn one_row_sets_the_speed_and_leaves_the_rest() {
        let family = Family::of_one(vec![1f64.ln(), 2f64.ln()]);
        let fast = Row {
            device: 0,
            costs: vec![3.0, 4.0],
            log: (0.5 * (3.0 + 8.0_f64)).ln(),
        };
        let logs = adapt(&[fast], &family, &Belief::DEFAULT);
        assert!((logs[0].exp() - 0.5).abs() < 1e-6, "{logs:?}");
        assert!((logs[1].exp() - 1.0).abs() < 1e-6, "{logs:?}");
    }

    #[test]
    fn a_family_knows_how_its_members_differ() {
        // where the second rate is high the third is too, so two rows tell all three
        let member = |x: f64| vec![0.0, x, 2.0 * x];
        let family = Family::of(&[member(-1.0), member(-0.3), member(0.4), member(0.9)]);
        let row = |costs: [f64; 3]| {
            let log = (costs[0] + costs[1] * 0.7f64.exp() + costs[2] * 1.4f64.exp()).ln();
            Row {
                device: 0,
                costs: costs.to_vec(),
                log,
            }
        };
        let seen = [row([1.0, 0.0, 0.0]), row([1.0, 9.0, 0.0])];
        let belief = Belief {
            own: 0.01,
            noise: 0.01,
            ..Belief::DEFAULT
        };
        let logs = adapt(&seen, &family, &belief);
        let unseen = row([1.0, 1.0, 20.0]);
        let miss = predict(&unseen.costs, &logs) - unseen.log;
        assert!(miss.abs() < 0.1, "{miss}");
    }
}
