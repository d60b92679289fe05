//! What a search found, and what became of everything that was asked for.

use super::metric::Metric;
use super::trials::Trials;

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All trials of the budget are done.
    Budget,
    /// All of the space was asked for.
    Exhausted,
    /// Nothing new was found for long, or nothing but copies of networks that were there: the space may have more.
    Dry,
    /// One more trial promised less than was wanted.
    Gain,
    /// Somebody wanted it to end.
    Interrupted,
}

impl Stop {
    /// In one word, for files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Exhausted | Self::Dry => "exhausted",
            Self::Gain => "gain",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// All trials.
    pub trials: Trials,
    /// The names of their metrics.
    pub metrics: Vec<Metric>,
    /// The front: numbers of trials, in lexicographic order of the objectives; where these are weighed, the best score
    /// first.
    pub front: Vec<usize>,
    /// The scores of the front where objectives are weighed ([`weigh`](super::weigh)); otherwise empty.
    pub scores: Vec<f64>,
    /// What the front dominates, as a part of the reference box, where that is quickly said.
    pub hypervolume: Option<f64>,
    /// Why it ended.
    pub stop: Stop,
    /// What became of everything that was asked for.
    pub tally: Tally,
    /// What one more trial was expected to add to the hypervolume of the front, as a part of it, where the algorithm knows.
    pub gain_left: Option<f64>,
    /// The command that answered, where there is one. It is no part of a run's identity.
    pub evaluator: Option<String>,
}

/// Counts of what became of the assignments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Trials that came from the journal.
    pub replayed: u64,
    /// Answers that an earlier run had, in this process.
    pub carried_over: u64,
    /// Assignments whose graph an earlier trial had.
    pub copies: u64,
    /// Assignments that cannot be built.
    pub unbuildable: u64,
    /// Why the first of them cannot.
    pub unbuildable_example: Option<String>,
    /// Trials that keep within all limits.
    pub feasible: u64,
    /// Networks that no evaluator was asked about, for a count or prediction is beyond a limit, or missing: they are no
    /// trials.
    pub unasked: u64,
    /// By limit, in the order of the problem: trials that it turned down, and networks that it kept from being trials. One trial may count in several.
    pub turned_down: Vec<u64>,
    /// By metric: trials in which an objective or a limit needed it and it was missing.
    pub missing: Vec<u64>,
    /// Trials that the evaluator failed on.
    pub failed: u64,
}
