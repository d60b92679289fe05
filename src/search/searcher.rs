//! What a search algorithm is: it is asked for assignments and told what became of them.

use super::evaluate::Costs;
use super::judge::Judge;
use super::metric::Metric;
use super::objective::Problem;
use super::{evolution, exhaustive, guided, local, nsga2, random};
use crate::base::hash::Fingerprint;
use crate::base::rng::Rng;
use crate::space::{Assignment, SampleError, Size, Space};

/// A network that has been judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 0, in the order of asking.
    pub number: u64,
    /// The values of its decisions.
    pub assignment: Assignment,
    /// The identity of its graph.
    pub fingerprint: Fingerprint,
    /// A value for each metric of [`Setup::metrics`]; NaN where it is missing.
    pub metrics: Box<[f64]>,
    /// The objectives, turned so that less is better; NaN where one is missing.
    pub goals: Box<[f64]>,
    /// True where all limits hold.
    pub feasible: bool,
    /// Why the evaluator has no answer.
    pub error: Option<Box<str>>,
}

impl Trial {
    /// True where it may be on a front: it keeps within the limits, and no objective is missing.
    pub fn counts(&self) -> bool {
        self.feasible && self.goals.iter().all(|x| !x.is_nan())
    }
}

/// What an algorithm is made from. Costs of any assignment may be asked for at will: they are predicted.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The space.
    pub space: &'a Space,
    /// Counts and predictions.
    pub costs: &'a Costs<'a>,
    /// What is sought.
    pub problem: &'a Problem,
    /// The metrics of a trial: those of `costs`, then those of the evaluator.
    pub metrics: &'a [Metric],
    /// The most trials there will be, as far as is known: a resumed run may be given more.
    pub budget: u64,
}

impl<'a> Setup<'a> {
    /// True where an evaluator is to be asked.
    pub fn evaluated(&self) -> bool {
        self.metrics.len() > self.costs.metrics().len()
    }

    /// Any assignment that may be proposed: of the space, or of the table that limits the search.
    ///
    /// # Errors
    /// The space has no sample.
    pub fn draw(&self, rng: &mut Rng) -> Result<Assignment, SampleError> {
        match self.costs.members().and_then(|m| m.draw(rng)) {
            Some(member) => Ok(member.clone()),
            None => self.space.sample(rng),
        }
    }

    /// All assignments that may be proposed, in order.
    pub fn all(&self) -> Box<dyn Iterator<Item = Assignment> + 'a> {
        match self.costs.members() {
            Some(members) => Box::new(members.list().iter().cloned()),
            None => Box::new(self.space.assignments()),
        }
    }

    /// How many these are, or a bound from above.
    pub fn size(&self) -> Size {
        match self.costs.members() {
            Some(members) => Size {
                count: members.len() as f64,
                exact: true,
            },
            None => self.space.size(),
        }
    }

    /// The problem with the places of its metrics.
    ///
    /// # Errors
    /// Nobody tells a metric that it needs.
    pub fn judge(&self) -> Result<Judge<'a>, MakeError> {
        Judge::new(self.problem, self.metrics).map_err(|metric| MakeError::Untold {
            metric: metric.to_string(),
        })
    }
}

/// A search algorithm. All its chance comes from the generator that it is handed, and nothing else may depend on
/// threads or time: a resumed run asks and tells again.
pub trait Searcher {
    /// At most `n` assignments, none of them asked before; none at all where there are no more.
    ///
    /// # Errors
    /// The space has no sample.
    fn ask(&mut self, n: usize, rng: &mut Rng) -> Result<Vec<Assignment>, SampleError>;

    /// What became of those asked for, in the order of their numbers. Copies of earlier networks and assignments that
    /// cannot be built are not among them, nor, where an evaluator is asked, what is known to be beyond a limit.
    fn tell(&mut self, done: &[Trial]);

    /// What the next trial is expected to add to the hypervolume of the front, as a part of it, where the algorithm
    /// knows.
    fn gain_left(&self) -> Option<f64> {
        None
    }
}

/// One algorithm of the list.
#[derive(Debug)]
pub struct SearcherDef {
    /// What commands call it.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// True where it ends by itself, so that many copies in a row are no reason to stop asking.
    pub ends: bool,
    /// Spaces of at most so many assignments are visited in order where nothing new is found otherwise; tables always are.
    pub visits: f64,
    /// Asked for at a time, where nothing but predictions answers.
    pub batch: usize,
    /// Asked for at a time where an evaluator answers: each answer is to count for what comes next.
    pub evaluated_batch: usize,
    /// Trials where nobody names a number; `None` where the space settles it.
    pub budget: Option<u64>,
    /// Makes one.
    pub make: for<'a> fn(&Setup<'a>) -> Result<Box<dyn Searcher + 'a>, MakeError>,
}

/// Why an algorithm cannot be used on a space.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// Visiting all would take too long.
    #[error(
        "the space has {size} assignments and the budget is {budget}: give a budget of at least as many, or use another \
         algorithm"
    )]
    TooLarge {
        /// Assignments of the space, in words where they cannot be counted.
        size: String,
        /// The budget.
        budget: u64,
    },
    /// An objective or a limit needs a metric that nobody tells.
    #[error("nobody tells \"{metric}\": it needs an evaluator or another device")]
    Untold {
        /// The metric.
        metric: String,
    },
}

/// All algorithms.
pub static SEARCHERS: &[&SearcherDef] = &[
    &guided::DEF,
    &nsga2::DEF,
    &local::DEF,
    &evolution::DEF,
    &random::DEF,
    &exhaustive::DEF,
];

/// The algorithm of that name.
pub fn searcher(name: &str) -> Option<&'static SearcherDef> {
    SEARCHERS.iter().find(|s| s.name == name).copied()
}
