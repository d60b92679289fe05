//! The candidates that a guided search looks at: all of a small space, or as many as can be looked at of a large one.

use super::features::{Candidate, Features};
use super::gp::Row;
use crate::base::hash::{Fingerprint, Keys};
use crate::base::rng::Rng;
use crate::search::breed::{Breeder, mutate};
use crate::search::judge::Judge;
use crate::search::metric::{COUNTS, Metric};
use crate::search::searcher::{Setup, Trial};
use crate::space::{Assignment, SampleError};
use rand::RngExt;

/// Spaces of at most so many assignments are listed whole; of larger ones at most so many candidates are kept.
pub const MOST: usize = 20_000;

/// Draws to begin with, where a space is not listed.
const DRAWN: usize = 6_000;

/// New candidates before each batch, where a space is not listed, and the part of them that are draws.
const NEW: usize = 1_000;
const NEW_DRAWN: usize = 200;

/// Candidates that settle which features there are.
const SAMPLE: usize = 2_000;

/// A network that may be asked for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The values of its decisions.
    pub assignment: Assignment,
    /// The identity of its graph.
    pub fingerprint: Fingerprint,
    /// The objectives; NaN where an evaluator tells.
    pub goals: Box<[f64]>,
    /// Features.
    pub row: Row,
    /// The mean of the logarithms of the predicted objectives; of the multiply-accumulates where there are none.
    pub cost: f64,
    /// How much there was to hope for when it was last looked at.
    pub hope: f64,
}

/// All candidates that are left.
pub struct Pool<'a> {
    setup: Setup<'a>,
    judge: Judge<'a>,
    breeder: Breeder<'a>,
    features: Option<Features<'a>>,
    listed: bool,
    /// What may be asked for.
    pub entries: Vec<Entry>,
}

impl<'a> Pool<'a> {
    /// Still empty.
    pub fn new(setup: &Setup<'a>, judge: Judge<'a>, breeder: Breeder<'a>) -> Self {
        Self {
            setup: *setup,
            judge,
            breeder,
            features: None,
            listed: false,
            entries: Vec::new(),
        }
    }

    /// Fills the pool, or adds what is new near `parents`.
    ///
    /// # Errors
    /// The space has no sample.
    pub fn refresh(&mut self, parents: &[&Assignment], rng: &mut Rng) -> Result<(), SampleError> {
        let (setup, space) = (self.setup, self.setup.space);
        let mut new = Vec::new();
        if self.features.is_none() {
            self.listed = self.setup.size().count <= MOST as f64;
            if self.listed {
                let breeder = &mut self.breeder;
                new.extend(self.setup.all().filter_map(|a| breeder.examine(a)));
            } else {
                new = self
                    .breeder
                    .fill(DRAWN, rng, |rng, _| setup.draw(rng).ok())?;
            }
        } else if !self.listed {
            if !parents.is_empty() {
                new = self
                    .breeder
                    .fill_briefly(NEW - NEW_DRAWN, rng, |rng, misses| {
                        let parent = parents[rng.random_range(0..parents.len())];
                        let changes = 1 + rng.random_range(0..2) + misses / 32;
                        mutate(space, parent, changes, rng)
                    });
            }
            new.extend(
                self.breeder
                    .fill(NEW_DRAWN, rng, |rng, _| setup.draw(rng).ok())?,
            );
            let room = MOST.saturating_sub(new.len());
            if self.entries.len() > room {
                // those with least to hope for go; of equal ones the oldest
                self.entries.sort_by(|a, b| b.hope.total_cmp(&a.hope));
                self.entries.truncate(room);
            }
        }
        self.add(new);
        Ok(())
    }

    /// Features of networks that another run had; they are no candidates any more.
    pub fn adopt(&mut self, others: &[Trial]) -> Vec<Row> {
        let Some(features) = self.features.as_ref().filter(|_| !others.is_empty()) else {
            return Vec::new();
        };
        self.breeder.know(others);
        let taken: Keys = others.iter().map(|t| t.fingerprint.0).collect();
        self.entries.retain(|e| !taken.contains(&e.fingerprint.0));
        let candidates: Vec<Candidate<'_>> = (others.iter())
            .map(|t| (&t.assignment, &*t.metrics))
            .collect();
        features.of(&candidates)
    }

    fn add(&mut self, new: Vec<(Assignment, Fingerprint, Box<[f64]>)>) {
        if new.is_empty() {
            return;
        }
        let candidates: Vec<Candidate<'_>> = new.iter().map(|(a, _, m)| (a, &**m)).collect();
        if self.features.is_none() {
            // evenly from all that there are
            let step = candidates.len().div_ceil(SAMPLE).max(1);
            let sample: Vec<Candidate<'_>> = candidates.iter().step_by(step).copied().collect();
            self.features = Some(Features::new(self.setup.costs.program(), &sample));
        }
        let Some(features) = &self.features else {
            return;
        };
        let rows = features.of(&candidates);
        let entries = new
            .into_iter()
            .zip(rows)
            .map(|((assignment, fingerprint, metrics), row)| {
                let goals = self.judge.goals(&metrics);
                Entry {
                    cost: cost(&self.judge, &metrics),
                    goals,
                    assignment,
                    fingerprint,
                    row,
                    hope: f64::INFINITY,
                }
            });
        self.entries.extend(entries);
    }
}

fn cost(judge: &Judge<'_>, metrics: &[f64]) -> f64 {
    let macs = || COUNTS.iter().position(|m| *m == Metric::Macs);
    let predicted = judge.objectives().iter().copied();
    let mut places: Vec<usize> = predicted.filter(|m| judge.is_predicted(*m)).collect();
    if places.is_empty() {
        places.extend(macs());
    }
    let value = |m: &usize| metrics.get(*m).copied().unwrap_or(0.0);
    let logs = places.iter().map(|m| value(m).max(1e-30).ln());
    logs.sum::<f64>() / places.len().max(1) as f64
}
