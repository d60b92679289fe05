//! A problem with the places of its metrics: what is known of a network before anybody is asked, and what it is worth.

use super::evaluate::Answer;
use super::metric::Metric;
use super::objective::{Bound, Problem};
use super::searcher::Trial;

/// A problem with the places of its metrics.
#[derive(Clone, Debug)]
pub struct Judge<'a> {
    problem: &'a Problem,
    objectives: Vec<usize>,
    limits: Vec<usize>,
    /// Of metrics, those before it are counted and predicted.
    predicted: usize,
}

impl<'a> Judge<'a> {
    /// Of a problem over these metrics: counts and predictions, then the evaluator's.
    ///
    /// # Errors
    /// The metric of an objective or limit that is not among them.
    pub fn new(problem: &'a Problem, metrics: &[Metric]) -> Result<Self, Metric> {
        let place = |metric: &Metric| {
            let found = metrics.iter().position(|m| m == metric);
            found.ok_or_else(|| metric.clone())
        };
        let objectives = problem.objectives.iter().map(|o| place(&o.metric));
        let limits = problem.limits.iter().map(|l| place(&l.metric));
        Ok(Self {
            problem,
            objectives: objectives.collect::<Result<_, _>>()?,
            limits: limits.collect::<Result<_, _>>()?,
            predicted: (metrics.iter())
                .filter(|m| !matches!(m, Metric::Other(_)))
                .count(),
        })
    }

    /// The places of the objectives' metrics.
    pub fn objectives(&self) -> &[usize] {
        &self.objectives
    }

    /// The reference point of an objective, turned so that less is better, where one was given.
    pub fn reference(&self, objective: usize) -> Option<f64> {
        let objective = self.problem.objectives.get(objective)?;
        let given = self.problem.references.iter();
        let mut of_metric = given.filter(|(metric, _)| *metric == objective.metric);
        of_metric.next().map(|(_, x)| objective.cost(*x))
    }

    /// The places of the limits' metrics.
    pub fn limits(&self) -> &[usize] {
        &self.limits
    }

    /// True where the metric at a place is counted or predicted.
    pub fn is_predicted(&self, metric: usize) -> bool {
        metric < self.predicted
    }

    /// True where the metric of a limit is counted or predicted.
    pub fn is_known(&self, limit: usize) -> bool {
        self.limits
            .get(limit)
            .is_some_and(|m| self.is_predicted(*m))
    }

    /// True where an objective or a limit needs the metric at a place.
    pub fn needs(&self, metric: usize) -> bool {
        self.objectives.contains(&metric) || self.limits.contains(&metric)
    }

    /// The objectives, turned so that less is better; NaN where one is missing.
    pub fn goals(&self, metrics: &[f64]) -> Box<[f64]> {
        let pairs = self.problem.objectives.iter().zip(&self.objectives);
        pairs
            .map(|(objective, metric)| objective.cost(value(metrics, *metric)))
            .collect()
    }

    /// Objectives as [`goals`](Self::goals) has turned them, as their metrics have them.
    pub fn turned_back(&self, goals: &[f64]) -> Box<[f64]> {
        let pairs = self.problem.objectives.iter().zip(goals);
        // turning twice is turning back
        pairs
            .map(|(objective, goal)| objective.cost(*goal))
            .collect()
    }

    /// Whether a limit holds; not where its metric is missing.
    pub fn holds(&self, limit: usize, metrics: &[f64]) -> bool {
        let pair = self.problem.limits.get(limit).zip(self.limits.get(limit));
        pair.is_some_and(|(limit, metric)| limit.holds(value(metrics, *metric)))
    }

    /// Whether all limits hold.
    pub fn feasible(&self, metrics: &[f64]) -> bool {
        (0..self.limits.len()).all(|limit| self.holds(limit, metrics))
    }

    /// Whether a network is worth an evaluator's time: the limits on what is counted and predicted hold, and no such
    /// objective is missing.
    pub fn is_worth(&self, metrics: &[f64]) -> bool {
        let there = |m: &usize| !self.is_predicted(*m) || !value(metrics, *m).is_nan();
        let holds = |limit: usize| !self.is_known(limit) || self.holds(limit, metrics);
        self.objectives.iter().all(there) && (0..self.limits.len()).all(holds)
    }

    /// By how much the limits are broken: of each the part of its value, summed; infinite where a metric is missing.
    /// With `known`, of those limits alone whose metrics are counted or predicted.
    pub fn violation(&self, metrics: &[f64], known: bool) -> f64 {
        let pairs = self.problem.limits.iter().zip(&self.limits);
        let counted = pairs.filter(|(_, metric)| !known || self.is_predicted(**metric));
        let broken = counted.map(|(limit, metric)| {
            let x = value(metrics, *metric);
            let beyond = match limit.bound {
                Bound::AtMost => x - limit.value,
                Bound::AtLeast => limit.value - x,
            };
            match x.is_nan() {
                true => f64::INFINITY,
                false => beyond.max(0.0) / limit.value.abs().max(f64::MIN_POSITIVE),
            }
        });
        broken.sum()
    }

    /// Puts an evaluator's answer into a trial.
    pub fn take(&self, trial: &mut Trial, answer: Answer) {
        match answer {
            Ok(values) => {
                let places = trial.metrics.iter_mut().skip(self.predicted);
                // a value that is no number is a missing one, as in the journal
                let finite = values
                    .into_iter()
                    .map(|x| if x.is_finite() { x } else { f64::NAN });
                places.zip(finite).for_each(|(place, value)| *place = value);
            }
            Err(error) => trial.error = Some(error.into()),
        }
        trial.goals = self.goals(&trial.metrics);
        trial.feasible = self.feasible(&trial.metrics);
    }
}

fn value(metrics: &[f64], place: usize) -> f64 {
    metrics.get(place).copied().unwrap_or(f64::NAN)
}
