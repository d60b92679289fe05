//! All trials of a run, in columns: a million of them must fit into memory.

use super::front::{self, Points};
use super::metric::Metric;
use super::positions::Positions;
use super::searcher::Trial;
use super::sheet::Sheet;
use crate::base::hash::Fingerprint;
use crate::base::table::{Table, TableError};
use crate::space::ast::DecisionId;
use crate::space::{Assignment, Space};

/// All trials, in the order of their numbers, without a gap from 0.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    positions: Positions,
    fingerprints: Vec<Fingerprint>,
    feasible: Vec<bool>,
    metrics: Vec<f64>,
    metric_count: usize,
    goals: Vec<f64>,
    goal_count: usize,
    errors: Vec<(usize, Box<str>)>,
}

impl Trials {
    /// None yet, of so many metrics and objectives.
    pub fn new(metric_count: usize, goal_count: usize) -> Self {
        Self {
            metric_count,
            goal_count,
            ..Self::default()
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the next one.
    pub fn push(&mut self, trial: Trial) {
        if let Some(error) = trial.error {
            self.errors.push((self.len(), error));
        }
        self.fingerprints.push(trial.fingerprint);
        self.feasible.push(trial.feasible);
        self.metrics.extend_from_slice(&trial.metrics);
        self.goals.extend_from_slice(&trial.goals);
        self.positions.push(&trial.assignment);
    }

    /// The assignment of a trial.
    pub fn assignment(&self, trial: usize) -> Option<Assignment> {
        self.positions.get(trial)
    }

    /// The position of a decision's value in its domain; `None` where it is inactive.
    pub fn position(&self, trial: usize, decision: DecisionId) -> Option<u32> {
        self.positions.at(trial, decision)
    }

    /// The identity of a trial's graph.
    pub fn fingerprint(&self, trial: usize) -> Option<Fingerprint> {
        self.fingerprints.get(trial).copied()
    }

    /// The metrics of a trial, NaN where one is missing; empty where there is no such trial.
    pub fn metrics(&self, trial: usize) -> &[f64] {
        let first = trial * self.metric_count;
        (self.metrics.get(first..first + self.metric_count)).unwrap_or_default()
    }

    /// Whether a trial keeps within all limits; `None` where there is no such trial.
    pub fn is_feasible(&self, trial: usize) -> Option<bool> {
        self.feasible.get(trial).copied()
    }

    /// Why the evaluator had no answer for a trial.
    pub fn error(&self, trial: usize) -> Option<&str> {
        let place = self.errors.binary_search_by_key(&trial, |(t, _)| *t).ok()?;
        self.errors.get(place).map(|(_, e)| &**e)
    }

    /// True where it had none for some.
    pub fn any_error(&self) -> bool {
        !self.errors.is_empty()
    }

    /// How many keep within all limits and miss no objective.
    pub fn feasible_count(&self) -> usize {
        self.eligible().len()
    }

    /// The front of the feasible trials, in lexicographic order of the objectives, then of the numbers.
    pub fn front(&self) -> Vec<usize> {
        self.choose(front::front)
    }

    /// The best `count` of the feasible trials: see [`front::best`].
    pub fn best(&self, count: usize) -> Vec<usize> {
        self.choose(|points| front::best(points, count))
    }

    fn choose(&self, choice: impl Fn(Points<'_>) -> Vec<usize>) -> Vec<usize> {
        let eligible = self.eligible();
        let dim = self.goal_count;
        let goals: Vec<f64> = eligible
            .iter()
            .flat_map(|t| self.goals_of(*t))
            .copied()
            .collect();
        let chosen = choice(Points::new(&goals, dim));
        chosen
            .iter()
            .filter_map(|&i| eligible.get(i).copied())
            .collect()
    }

    fn eligible(&self) -> Vec<usize> {
        let counts = |t: &usize| {
            self.feasible.get(*t) == Some(&true) && self.goals_of(*t).iter().all(|x| !x.is_nan())
        };
        (0..self.len()).filter(counts).collect()
    }

    fn goals_of(&self, trial: usize) -> &[f64] {
        let first = trial * self.goal_count;
        (self.goals.get(first..first + self.goal_count)).unwrap_or_default()
    }

    /// The table of some trials, or of all: see [`Sheet`].
    ///
    /// # Errors
    /// Two metrics of the same name.
    pub fn table(
        &self,
        space: &Space,
        metrics: &[Metric],
        rows: Option<&[usize]>,
        name: &str,
    ) -> Result<Table, TableError> {
        let parts = Sheet::new(self, space, metrics);
        let parts = parts.parts(rows, name);
        parts.part(0..parts.rows())
    }
}
