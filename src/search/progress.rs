//! What a search tells of itself while it runs.

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Reading the journal.
    Reading,
    /// Going through what the journal knows.
    Replaying,
    /// Asking, judging, writing down.
    Searching,
    /// Writing tables and archs.
    Writing,
}

impl Phase {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Replaying => "replaying",
            Self::Searching => "searching",
            Self::Writing => "writing",
        }
    }
}

/// How far a search is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Trials so far.
    pub trials: u64,
    /// The most there will be.
    pub budget: u64,
    /// Of those so far, how many keep within all limits.
    pub feasible: u64,
    /// Of those so far, how many came from the journal.
    pub replayed: u64,
    /// How many are on the front.
    pub front: u64,
    /// What the front dominates, as a part of the reference box: see
    /// [`Archive::hypervolume`](super::archive::Archive::hypervolume).
    pub hypervolume: Option<f64>,
    /// The best value of each objective; empty while nothing keeps within the limits.
    pub best: Box<[f64]>,
    /// What one more trial is expected to add to the hypervolume, as a part of it, where the algorithm knows.
    pub gain_left: Option<f64>,
}

/// Whoever wants to know how far a search is.
pub trait Watch: Sync {
    /// Whether it wants to be told now. Asked after each batch and each answer of an evaluator, so that nothing is worked
    /// out for nobody.
    fn is_due(&self) -> bool {
        true
    }

    /// Told after a batch or an answer, where it is due.
    fn progress(&self, progress: &Progress);

    /// Told before each phase.
    fn phase(&self, _: Phase) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Watch for Silent {
    fn is_due(&self) -> bool {
        false
    }

    fn progress(&self, _: &Progress) {}
}
