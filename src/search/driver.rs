//! The loop of a search: ask, judge, number, write down, tell.
//!
//! Invariants:
//! - Batch `b` draws from the stream (seed, "search", `b`), results are told in the order of their numbers: the outcome
//!   does not depend on threads, nor on where a run was interrupted.
//! - Resuming is executing again: what the journal knows is taken from it, not computed.
//! - The budget is not part of a run's identity. Full batches are asked for whatever it is, so that a run may be resumed
//!   with a larger one and be the same as if it had had it from the start.

use super::evaluate::{Answer, Asked, Costs, Evaluate};
use super::journal::{self, Journal, JournalError, Start, Writer};
use super::judge::Judge;
use super::metric::Metric;
use super::objective::Problem;
use super::record::{self, Memory};
use super::searcher::{MakeError, Searcher, SearcherDef, Setup, Trial};
use super::trials::Trials;
use crate::base::hash::Fingerprint;
use crate::base::rng;
use crate::space::{Assignment, SampleError, Space};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Batches in a row that may hold nothing but copies before a search gives up.
const MAX_IDLE_BATCHES: u32 = 32;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The algorithm.
    pub algorithm: &'static SearcherDef,
    /// Where all chance comes from.
    pub seed: u64,
    /// The most trials; what the algorithm says where it is `None`.
    pub budget: Option<u64>,
    /// Assignments asked for at a time; what the algorithm says where it is `None`.
    pub batch: Option<usize>,
}

impl Settings {
    /// The most trials.
    pub fn trials(&self) -> u64 {
        let own = self.algorithm.budget;
        self.budget
            .or(own)
            .unwrap_or(super::exhaustive::MAX_UNASKED)
    }

    fn batch(&self, evaluated: bool) -> usize {
        let own = match evaluated {
            true => self.algorithm.evaluated_batch,
            false => self.algorithm.batch,
        };
        self.batch.unwrap_or(own).max(1)
    }
}

/// How far a search is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Trials so far.
    pub trials: u64,
    /// The most there will be.
    pub budget: u64,
    /// Of those so far, how many keep within all limits.
    pub feasible: u64,
    /// Of those so far, how many came from the journal.
    pub replayed: u64,
}

/// Whoever wants to know how far a search is.
pub trait Watch: Sync {
    /// Called after each batch, and after each answer of an evaluator.
    fn progress(&self, progress: Progress);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Watch for Silent {
    fn progress(&self, _: Progress) {}
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All trials of the budget are done.
    Budget,
    /// The algorithm has nothing more to ask, or nothing but copies of networks it had.
    Exhausted,
    /// Somebody wanted it to end.
    Interrupted,
}

impl Stop {
    /// In one word, for files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Exhausted => "exhausted",
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
    /// The front: numbers of trials, in lexicographic order of the objectives.
    pub front: Vec<usize>,
    /// Why it ended.
    pub stop: Stop,
    /// What became of everything that was asked for.
    pub tally: Tally,
    /// What one more trial was expected to add to the hypervolume of the front, as a part of it, where the algorithm knows.
    pub gain_left: Option<f64>,
}

/// Counts of what became of the assignments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Trials that came from the journal.
    pub replayed: u64,
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

/// What can keep a search from its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The algorithm does not suit the space.
    #[error("{0}")]
    Make(#[from] MakeError),
    /// The space has no sample.
    #[error("{0}")]
    Sample(#[from] SampleError),
    /// The journal cannot be used.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// An objective or a limit needs a metric that nobody tells.
    #[error("nobody tells \"{metric}\": it needs an evaluator or another device")]
    Untold {
        /// The metric.
        metric: String,
    },
    /// The journal and the algorithm disagree.
    #[error(
        "the journal has trial {journal} where this search comes to trial {now}: it was written by another version of the \
         algorithm"
    )]
    Diverged {
        /// The journal's number.
        journal: u64,
        /// The number now.
        now: u64,
    },
    /// The evaluator has failed as a whole.
    #[error("the evaluator failed: {0}")]
    Evaluator(String),
}

/// All that a search needs.
pub struct Run<'a> {
    /// Counts and predictions, and with them space and devices.
    pub costs: &'a Costs<'a>,
    /// What is sought.
    pub problem: &'a Problem,
    /// How.
    pub settings: Settings,
    /// Who tells what cannot be predicted.
    pub evaluator: Option<&'a mut dyn Evaluate>,
    /// Who wants to know how far it is.
    pub watch: &'a dyn Watch,
    /// Set by whoever wants it to end.
    pub stop: &'a AtomicBool,
}

impl Run<'_> {
    /// The metrics of a trial: counts, predictions, then the evaluator's.
    pub fn metrics(&self) -> Vec<Metric> {
        let own = self.evaluator.as_ref().map_or(&[][..], |e| e.metrics());
        self.costs.metrics().iter().chain(own).cloned().collect()
    }

    /// What the run depends on: the header of its journal.
    pub fn header(&self) -> Value {
        let space = self.costs.space();
        let fixed: Map<String, Value> = (space.decisions().iter())
            .filter_map(|d| Some((d.id().to_owned(), d.fixed()?.into())))
            .collect();
        let devices: Map<String, Value> = (self.costs.devices().iter())
            .map(|d| {
                let text = d.profile().to_json();
                (
                    d.name().to_owned(),
                    Fingerprint::of(text.as_bytes()).to_string().into(),
                )
            })
            .collect();
        let texts = |list: Vec<String>| Value::from(list);
        json!({
            "format": journal::FORMAT,
            "version": env!("CARGO_PKG_VERSION"),
            "space": space_fingerprint(space).to_string(),
            "seed": self.settings.seed,
            "settings": {
                "algorithm": self.settings.algorithm.name,
                "batch": self.settings.batch(self.evaluator.is_some()),
                "objectives": texts(self.problem.objectives.iter().map(ToString::to_string).collect()),
                "limits": texts(self.problem.limits.iter().map(ToString::to_string).collect()),
                "references": texts((self.problem.references.iter())
                    .map(|(metric, x)| format!("{metric}={x}"))
                    .collect()),
                "fixed": fixed,
            },
            "devices": devices,
            "decisions": texts(space.decisions().iter().map(|d| d.id().to_owned()).collect()),
            "metrics": texts(self.metrics().iter().map(ToString::to_string).collect()),
        })
    }

    /// Searches, with the journal at `journal` or without one.
    ///
    /// # Errors
    /// See [`SearchError`]. What the journal took is safe then.
    pub fn search(mut self, journal: Option<(&Path, Start)>) -> Result<Outcome, SearchError> {
        let metrics = self.metrics();
        let space = self.costs.space();
        let mut memory = Memory::new(space.decisions().len(), metrics.len());
        let judge = Judge::new(self.problem, &metrics).map_err(|metric| SearchError::Untold {
            metric: metric.to_string(),
        })?;
        let setup = Setup {
            space,
            costs: self.costs,
            problem: self.problem,
            metrics: &metrics,
            budget: self.settings.trials(),
        };
        let searcher = (self.settings.algorithm.make)(&setup)?;
        let journal = match journal {
            Some((path, start)) => {
                let read = |_, row: &str| memory.read(row);
                Some(Journal::open(path, start, &self.header(), read)?.writer())
            }
            None => None,
        };
        // what is known stays: a smaller budget than last time takes nothing back
        let budget = self.settings.trials().max(memory.len());
        self.settings.budget = Some(budget);
        let mut state = State {
            trials: Trials::new(metrics.len(), self.problem.objectives.len()),
            seen: HashSet::new(),
            tally: Tally {
                turned_down: vec![0; self.problem.limits.len()],
                missing: vec![0; metrics.len()],
                ..Tally::default()
            },
            memory,
            judge,
            journal,
            gain_left: None,
        };
        let stop = self.go_on(searcher, &mut state);
        // whatever happened, what was handed over is written; a failure of the disk explains all others
        if let Some(writer) = state.journal.take() {
            writer.finish()?;
        }
        Ok(Outcome {
            front: state.trials.front(),
            trials: state.trials,
            metrics,
            stop: stop?,
            tally: state.tally,
            gain_left: state.gain_left,
        })
    }

    fn go_on(
        &mut self,
        mut searcher: Box<dyn Searcher + '_>,
        state: &mut State<'_>,
    ) -> Result<Stop, SearchError> {
        let budget = self.settings.trials();
        let batch_size = self.settings.batch(self.evaluator.is_some());
        let mut idle = 0;
        for batch in 0.. {
            if state.trials.len() as u64 >= budget {
                return Ok(Stop::Budget);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Stop::Interrupted);
            }
            let mut rng = rng::stream(self.settings.seed, "search", batch);
            let asked = searcher.ask(batch_size, &mut rng)?;
            let given_up = idle >= MAX_IDLE_BATCHES && !self.settings.algorithm.ends;
            if asked.is_empty() || given_up {
                return Ok(Stop::Exhausted);
            }
            let room = budget - state.trials.len() as u64;
            let mut fresh = self.number(asked, room, state)?;
            if self.evaluator.is_some() && !self.answer(&mut fresh, state)? {
                return Ok(Stop::Interrupted);
            }
            idle = if fresh.is_empty() { idle + 1 } else { 0 };
            let mut rows = Vec::new();
            let mut done = Vec::with_capacity(fresh.len());
            for new in fresh {
                state.tally.replayed += u64::from(new.replayed);
                rows.extend(new.row);
                done.push(new.trial);
            }
            if !state.write(rows) {
                // the search ends here; finishing the journal says why
                return Ok(Stop::Interrupted);
            }
            for trial in &done {
                state.count(trial);
            }
            searcher.tell(&done);
            state.gain_left = searcher.gain_left();
            done.into_iter().for_each(|trial| state.trials.push(trial));
            self.watch.progress(state.progress(budget));
        }
        Ok(Stop::Budget)
    }

    /// Judges what was asked, leaves out what is no network or a copy, and numbers the rest.
    fn number(
        &self,
        asked: Vec<Assignment>,
        room: u64,
        state: &mut State<'_>,
    ) -> Result<Vec<Fresh>, SearchError> {
        let first = state.trials.len() as u64;
        let space = self.costs.space();
        let extra = self.evaluator.as_ref().map_or(0, |e| e.metrics().len());
        let (memory, judge, evaluated) = (&state.memory, &state.judge, self.evaluator.is_some());
        let judged: Vec<Result<Fresh, String>> = asked
            .into_par_iter()
            .with_min_len(64)
            .map_init(
                || self.costs.scratch(),
                |scratch, assignment| {
                    let known = memory.get(&assignment, space);
                    let (fingerprint, metrics, error) = match known {
                        Some(k) => (k.fingerprint, k.metrics.into(), k.error.map(Into::into)),
                        None => {
                            let of = self.costs.of(&assignment, extra, scratch);
                            let (fingerprint, metrics) = of.map_err(|e| e.to_string())?;
                            (fingerprint, metrics, None)
                        }
                    };
                    let trial = Trial {
                        number: known.map_or(0, |k| k.number),
                        goals: judge.goals(&metrics),
                        feasible: judge.feasible(&metrics),
                        assignment,
                        fingerprint,
                        metrics,
                        error,
                    };
                    // the row is written here, where threads share the work, up to the number that is not known yet
                    let row =
                        (known.is_none() && !evaluated).then(|| record::write_rest(&trial, space));
                    Ok(Fresh {
                        trial,
                        row,
                        replayed: known.is_some(),
                    })
                },
            )
            .collect();
        let mut fresh = Vec::with_capacity(judged.len());
        for judged in judged {
            if fresh.len() as u64 >= room {
                break;
            }
            let mut new = match judged {
                Ok(new) => new,
                Err(why) => {
                    state.tally.unbuildable += 1;
                    state.tally.unbuildable_example.get_or_insert(why);
                    continue;
                }
            };
            // what is known to be no use is not worth a run
            if evaluated && !state.judge.is_worth(&new.trial.metrics) {
                state.turn_down(&new.trial);
                continue;
            }
            let copy = !state.seen.insert(new.trial.fingerprint.0);
            let now = first + fresh.len() as u64;
            let journal = new.trial.number;
            if new.replayed && (copy || journal != now) {
                return Err(SearchError::Diverged { journal, now });
            }
            if copy {
                state.tally.copies += 1;
                continue;
            }
            new.trial.number = now;
            new.row = new.row.map(|rest| record::with_number(now, &rest));
            fresh.push(new);
        }
        Ok(fresh)
    }

    /// Has the evaluator answer what the journal does not know; each answer is written down as it comes. False where
    /// some are left without one.
    fn answer(&mut self, fresh: &mut [Fresh], state: &mut State<'_>) -> Result<bool, SearchError> {
        let Some(evaluator) = self.evaluator.as_mut() else {
            return Ok(true);
        };
        let open: Vec<usize> = (0..fresh.len())
            .filter(|&i| fresh.get(i).is_some_and(|f| !f.replayed))
            .collect();
        let questions: Vec<(u64, Assignment, Fingerprint)> = (open.iter())
            .filter_map(|&i| fresh.get(i))
            .map(|f| {
                (
                    f.trial.number,
                    f.trial.assignment.clone(),
                    f.trial.fingerprint,
                )
            })
            .collect();
        let asked: Vec<Asked<'_>> = questions
            .iter()
            .map(|(trial, assignment, fingerprint)| Asked {
                trial: *trial,
                assignment,
                fingerprint: *fingerprint,
            })
            .collect();
        let (space, budget) = (self.costs.space(), self.settings.trials());
        let mut answered = vec![false; open.len()];
        let mut take = |position: usize, answer: Answer| {
            let Some((new, done)) = (open.get(position))
                .and_then(|&i| fresh.get_mut(i))
                .zip(answered.get_mut(position))
            else {
                return true;
            };
            *done = true;
            state.judge.take(&mut new.trial, answer);
            let mut progress = state.progress(budget);
            progress.trials = progress.trials.max(new.trial.number + 1);
            self.watch.progress(progress);
            state.write(vec![record::write(&new.trial, space)])
        };
        let result = evaluator.evaluate(&asked, self.stop, &mut take);
        result.map_err(SearchError::Evaluator)?;
        Ok(answered.iter().all(|done| *done))
    }
}

/// The identity of a space: its document without white space.
pub fn space_fingerprint(space: &Space) -> Fingerprint {
    Fingerprint::of(space.json().to_string().as_bytes())
}

/// A trial in the making.
struct Fresh {
    trial: Trial,
    /// What the journal is to have of it.
    row: Option<String>,
    replayed: bool,
}

struct State<'a> {
    trials: Trials,
    seen: HashSet<u128>,
    tally: Tally,
    memory: Memory,
    judge: Judge<'a>,
    journal: Option<Writer>,
    gain_left: Option<f64>,
}

impl State<'_> {
    /// Hands rows to the journal; false where it has given up.
    fn write(&self, rows: Vec<String>) -> bool {
        self.journal.as_ref().is_none_or(|j| j.add(rows))
    }

    fn count(&mut self, trial: &Trial) {
        self.tally.feasible += u64::from(trial.counts());
        self.tally.failed += u64::from(trial.error.is_some());
        for (limit, count) in self.tally.turned_down.iter_mut().enumerate() {
            *count += u64::from(!self.judge.holds(limit, &trial.metrics));
        }
        for (metric, count) in self.tally.missing.iter_mut().enumerate() {
            let needed = self.judge.needs(metric);
            *count += u64::from(needed && trial.metrics.get(metric).is_none_or(|x| x.is_nan()));
        }
    }

    /// Counts a network that no evaluator is asked about, each only once.
    fn turn_down(&mut self, trial: &Trial) {
        if !self.seen.insert(trial.fingerprint.0) {
            self.tally.copies += 1;
            return;
        }
        self.tally.unasked += 1;
        for (limit, count) in self.tally.turned_down.iter_mut().enumerate() {
            let known = self.judge.is_known(limit);
            *count += u64::from(known && !self.judge.holds(limit, &trial.metrics));
        }
    }

    fn progress(&self, budget: u64) -> Progress {
        Progress {
            trials: self.trials.len() as u64,
            budget,
            feasible: self.tally.feasible,
            replayed: self.tally.replayed,
        }
    }
}
