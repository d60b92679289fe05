//! Decisions, their domains, and assignments: all that a search algorithm sees of a space.

use super::ast::{DecisionId, Origin, Val};
use crate::expr::{Expr, Scalar};
use rand::RngExt;
use rand_distr::{Distribution, LogNormal, Normal, Poisson};
use std::sync::Arc;

use crate::base::rng::Rng;

/// One hole of a document.
#[derive(Clone, Debug)]
pub struct Decision {
    pub(super) id: Box<str>,
    pub(super) origin: Origin,
    pub(super) domain: Arc<Domain>,
    pub(super) guard: u32,
    pub(super) fixed: Option<u32>,
}

impl Decision {
    /// Its name in assignments: of a hole in `vars` the name of the variable; of a choice of nodes the `id` of that
    /// node; of any other its path. Copy `k` of a varied repeat has `[k]` after the place of the repeated node:
    /// `net[5][2].kernel_size`, and after an `id`: `s2[2]`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands in the document.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Its values.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// How many values it has.
    pub fn count(&self) -> u32 {
        self.domain.count()
    }

    /// The value that it has been fixed to, see [`super::Space::fix`].
    pub fn fixed(&self) -> Option<u32> {
        self.fixed
    }

    /// The values next to `index`: one step down and up on a grid, all others of a choice. None of a fixed decision.
    pub fn neighbours(&self, index: u32) -> impl Iterator<Item = u32> + use<> {
        let count = self.count();
        let (low, high) = match (self.fixed, &*self.domain) {
            (Some(_), _) => (1, 0),
            (None, Domain::Ints { .. } | Domain::Reals { .. }) => (
                index.saturating_sub(1),
                index.saturating_add(1).min(count.saturating_sub(1)),
            ),
            (None, _) => (0, count.saturating_sub(1)),
        };
        (low..=high).filter(move |other| *other != index)
    }
}

/// The values of a decision, in order.
#[derive(Clone, Debug)]
pub enum Domain {
    /// A choice of scalars.
    Items {
        /// Literals and expressions.
        items: Vec<Item>,
        /// How often each is drawn.
        weights: Weights,
    },
    /// A choice of nodes.
    Options {
        /// What each is called.
        labels: Vec<Box<str>>,
        /// How often each is drawn.
        weights: Weights,
    },
    /// Whole numbers `min + k * step`.
    Ints {
        /// The first.
        min: i64,
        /// From one to the next, at least 1.
        step: i64,
        /// How many.
        count: u32,
        /// How often each is drawn.
        law: Law,
    },
    /// Real numbers on a grid.
    Reals {
        /// All of them.
        values: Vec<f64>,
        /// From one to the next.
        step: f64,
        /// How often each is drawn.
        law: Law,
    },
}

/// One of a choice of scalars.
#[derive(Clone, Debug)]
pub struct Item {
    /// A literal or an expression.
    pub val: Val,
    /// True where the value is not settled by the variables (it names `i`, an input or a parameter of a declared
    /// block), so that assignments give it by its text.
    pub by_text: bool,
}

/// Relative frequencies.
#[derive(Clone, Debug)]
pub struct Weights(pub(super) Option<Vec<f64>>);

impl Weights {
    /// From the weights as written; equal ones where there are none.
    pub(super) fn new(weights: Option<&[f64]>) -> Self {
        Self(weights.map(|weights| {
            let sum: f64 = weights.iter().sum();
            let mut below = 0.0;
            let steps = weights.iter().map(|w| {
                below += w / sum;
                below
            });
            steps.collect()
        }))
    }

    fn draw(&self, count: u32, rng: &mut Rng) -> u32 {
        let Some(steps) = &self.0 else {
            return rng.random_range(0..count.max(1));
        };
        let at: f64 = rng.random();
        let found = steps.iter().position(|step| at < *step);
        // Rounding may leave the last step a hair below 1; the last item that has any weight is meant then.
        let last = || {
            steps
                .windows(2)
                .rposition(|w| matches!(w, [a, b] if a < b))
                .map_or(0, |k| k + 1)
        };
        found.unwrap_or_else(last) as u32
    }
}

/// How values on a grid are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Each equally often.
    Uniform,
    /// Normal, rounded to the grid, redrawn while outside.
    Normal(Normal<f64>),
    /// Log-normal, rounded to the grid, redrawn while outside.
    LogNormal(LogNormal<f64>),
    /// Uniform in the logarithm between the ends of the grid, rounded to it.
    LogUniform {
        /// Natural logarithm of the first.
        low: f64,
        /// Natural logarithm of the last.
        high: f64,
    },
    /// Poisson, rounded to the grid, redrawn while outside.
    Poisson(Poisson<f64>),
}

/// The most draws of one value from a distribution before sampling gives up.
pub const MAX_REDRAWS: u32 = 10_000;

impl Law {
    /// The position of a drawn value on the grid `min + k * step` of `count`; `None` where all draws fell outside.
    pub(super) fn draw(&self, min: f64, step: f64, count: u32, rng: &mut Rng) -> Option<u32> {
        for _ in 0..MAX_REDRAWS {
            let x = match self {
                Self::Uniform => return Some(rng.random_range(0..count.max(1))),
                Self::Normal(law) => law.sample(rng),
                Self::LogNormal(law) => law.sample(rng),
                Self::LogUniform { low, high } => (low + (high - low) * rng.random::<f64>()).exp(),
                Self::Poisson(law) => law.sample(rng),
            };
            // Half-way goes up.
            let at = ((x - min) / step + 0.5).floor();
            if at >= 0.0 && at < f64::from(count) {
                return Some(at as u32);
            }
        }
        None
    }
}

impl Domain {
    /// How many values.
    pub fn count(&self) -> u32 {
        match self {
            Self::Items { items, .. } => items.len() as u32,
            Self::Options { labels, .. } => labels.len() as u32,
            Self::Ints { count, .. } => *count,
            Self::Reals { values, .. } => values.len() as u32,
        }
    }

    /// The value at `index` where it is a literal.
    pub fn literal(&self, index: u32) -> Option<Scalar> {
        match self {
            Self::Items { items, .. } => match items.get(index as usize)?.val {
                Val::Lit(x) => Some(x),
                _ => None,
            },
            Self::Options { .. } => None,
            Self::Ints {
                min, step, count, ..
            } => {
                let value = min.checked_add(step.checked_mul(i64::from(index))?)?;
                (index < *count).then_some(Scalar::Int(value))
            }
            Self::Reals { values, .. } => values.get(index as usize).copied().map(Scalar::Real),
        }
    }

    /// The expression at `index` where it is one.
    pub fn expr(&self, index: u32) -> Option<&Expr> {
        match self {
            Self::Items { items, .. } => match &items.get(index as usize)?.val {
                Val::Expr(expr) => Some(expr),
                _ => None,
            },
            _ => None,
        }
    }

    /// Uses as much of the stream as so many draws, one after the other; false where one of them gave nothing.
    pub(super) fn pass(&self, draws: u32, rng: &mut Rng) -> bool {
        let law = match self {
            Self::Items { weights, .. } | Self::Options { weights, .. } => match weights.0 {
                Some(_) => {
                    for _ in 0..draws {
                        let _: f64 = rng.random();
                    }
                    return true;
                }
                None => Law::Uniform,
            },
            Self::Ints { law, .. } | Self::Reals { law, .. } => *law,
        };
        if law != Law::Uniform {
            return (0..draws).all(|_| self.draw(rng).is_some());
        }
        let count = self.count().max(1);
        for _ in 0..draws {
            let _: u32 = rng.random_range(0..count);
        }
        true
    }

    /// A value drawn; `None` where a distribution gave nothing inside in [`MAX_REDRAWS`] draws.
    pub(super) fn draw(&self, rng: &mut Rng) -> Option<u32> {
        match self {
            Self::Items { weights, .. } | Self::Options { weights, .. } => {
                Some(weights.draw(self.count(), rng))
            }
            Self::Ints {
                min,
                step,
                count,
                law,
            } => law.draw(*min as f64, *step as f64, *count, rng),
            Self::Reals { values, step, law } => {
                law.draw(values.first().copied()?, *step, values.len() as u32, rng)
            }
        }
    }
}

/// A value for each decision, by its position in the domain. Inactive decisions have none, so two assignments that
/// mean the same are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Assignment(pub(super) Vec<u32>);

/// Stands for no value.
pub(super) const INACTIVE: u32 = u32::MAX;

impl Assignment {
    /// The assignment of an arch, in which nothing is left to decide.
    pub fn empty() -> Self {
        Self::default()
    }

    /// From positions as [`positions`](Self::positions) has them. Whether it belongs to a space is for
    /// [`Space::is_valid`](super::Space::is_valid) to say.
    pub fn from_positions(positions: impl IntoIterator<Item = u32>) -> Self {
        Self(positions.into_iter().collect())
    }

    /// The position of the value of a decision in its domain; `None` where it is inactive.
    pub fn get(&self, decision: DecisionId) -> Option<u32> {
        self.0
            .get(decision.0 as usize)
            .copied()
            .filter(|x| *x != INACTIVE)
    }

    /// The position of the value of each decision in its domain; the largest number stands for none.
    pub fn positions(&self) -> &[u32] {
        &self.0
    }

    /// All active decisions and the positions of their values.
    pub fn active(&self) -> impl Iterator<Item = (DecisionId, u32)> + '_ {
        let numbered = self.0.iter().enumerate();
        numbered
            .filter(|(_, x)| **x != INACTIVE)
            .map(|(d, x)| (DecisionId(d as u32), *x))
    }

    /// The positions for a wish list: see [`super::Space::complete`].
    pub fn wishes(&self) -> Vec<Option<u32>> {
        self.0
            .iter()
            .map(|x| Some(*x).filter(|x| *x != INACTIVE))
            .collect()
    }
}

/// When a decision is active: a chain of needs up to the root, which is 0 and always met.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub parent: u32,
    pub need: Need,
}

/// One need.
#[derive(Clone, Debug)]
pub(super) enum Need {
    /// None.
    Nothing,
    /// That a choice took this option.
    Took { hole: DecisionId, option: u32 },
    /// That a repeat has more than `above` copies. `count` is a literal, an expression or a hole.
    Copies {
        count: Val,
        above: u32,
        i: Option<i64>,
    },
    /// That a condition over variables holds.
    When { expr: Arc<Expr>, i: Option<i64> },
    /// That one of these guards is met: the uses of a declared block.
    Any(Vec<u32>),
}

/// What drawing an assignment does, in this order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Settles whether a guard is met.
    Guard(u32),
    /// Gives a decision a value if it is active.
    Decide(u32),
}
