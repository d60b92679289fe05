//! The loop of a search: ask, judge, number, write down, tell.
//!
//! Invariants:
//! - Batch `b` draws from the stream (seed, "search", `b`), results are told in the order of their numbers: the outcome
//!   does not depend on threads, nor on where a run was interrupted.
//! - Resuming is executing again: what the journal knows is taken from it, not computed.
//! - A run that starts from what another one knew has that run's networks first, before the algorithm is asked.
//! - The budget is not part of a run's identity. Full batches are asked for whatever it is, so that a run may be resumed
//!   with a larger one and be the same as if it had had it from the start.

use super::archive::Archive;
use super::evaluate::{Answer, Asked, Costs, Evaluate, key};
use super::journal::{self, Journal, JournalError, Start, Writer};
use super::judge::Judge;
use super::known::Known;
use super::metric::Metric;
use super::objective::Problem;
use super::outcome::{Outcome, Stop, Tally};
use super::progress::{Phase, Progress, Watch};
use super::record::{self, Memory};
use super::searcher::{MakeError, Searcher, SearcherDef, Setup, Trial};
use super::trials::Trials;
use crate::base::hash::{Fingerprint, Keys};
use crate::base::rng;
use crate::space::{Assignment, SampleError, Space};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Batches in a row that may hold nothing but copies before a search gives up.
const MAX_IDLE_BATCHES: u32 = 32;

/// Batches in a row that have to promise little before a search ends for it: one may be wrong.
const LOW_BATCHES: u32 = 2;

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
    /// Ends where the algorithm expected less than this part of the hypervolume of one more trial, in some batches running.
    pub until_gain: Option<f64>,
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
    /// What it told in an earlier run.
    pub known: Option<&'a Known>,
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
        let mut header = json!({
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
        });
        if let (Some(known), Some(header)) = (self.known, header.as_object_mut()) {
            header.insert("known".into(), known.fingerprint().to_string().into());
        }
        if let (Some(members), Some(header)) = (self.costs.members(), header.as_object_mut()) {
            let among =
                json!({"networks": members.len(), "fingerprint": members.identity().to_string()});
            header.insert("among".into(), among);
        }
        header
    }

    /// Searches, with the journal at `journal` or without one.
    ///
    /// # Errors
    /// See [`SearchError`]. What the journal took is safe then.
    pub fn search(self, journal: Option<(&Path, Start)>) -> Result<Outcome, SearchError> {
        self.search_holding(journal).map(|(outcome, _)| outcome)
    }

    /// As [`search`](Self::search); gives the journal too, so that nobody else searches there while it is held.
    pub(super) fn search_holding(
        mut self,
        journal: Option<(&Path, Start)>,
    ) -> Result<(Outcome, Option<Journal>), SearchError> {
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
                self.watch.phase(Phase::Reading);
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
            archive: Archive::new(
                (0..self.problem.objectives.len())
                    .map(|k| judge.reference(k))
                    .collect(),
            ),
            seen: Keys::default(),
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
        let held = state.journal.take().map(Writer::finish).transpose()?;
        let hypervolume = state.archive.hypervolume();
        let (front, scores) = state.archive.ranked(&self.problem.weights);
        let outcome = Outcome {
            hypervolume,
            front,
            scores,
            trials: state.trials,
            metrics,
            stop: stop?,
            tally: state.tally,
            gain_left: state.gain_left,
            evaluator: self
                .evaluator
                .as_ref()
                .and_then(|e| e.command().map(str::to_owned)),
        };
        Ok((outcome, held))
    }

    /// True where an algorithm that asks for nothing more has asked for all.
    fn visits_all(&self) -> bool {
        let most = self.settings.algorithm.visits;
        self.costs.members().is_some() || self.costs.space().size().count <= most
    }

    fn go_on(
        &mut self,
        mut searcher: Box<dyn Searcher + '_>,
        state: &mut State<'_>,
    ) -> Result<Stop, SearchError> {
        let budget = self.settings.trials();
        let batch_size = self.settings.batch(self.evaluator.is_some());
        let (mut idle, mut low) = (0, 0);
        let mut given = self.known.map(Known::assignments).unwrap_or_default();
        let space = self.costs.space();
        if let Some(members) = self.costs.members() {
            given.retain(|a| members.contains(key(a, space)));
        }
        let mut given = given.into_iter();
        let mut phase = None;
        for batch in 0.. {
            let now = match (state.trials.len() as u64) < state.memory.len() {
                true => Phase::Replaying,
                false => Phase::Searching,
            };
            if phase.replace(now) != Some(now) {
                self.watch.phase(now);
            }
            if state.trials.len() as u64 >= budget {
                return Ok(Stop::Budget);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Stop::Interrupted);
            }
            // what is known stays: no end before the journal's
            if low >= LOW_BATCHES && now == Phase::Searching {
                return Ok(Stop::Gain);
            }
            let mut asked: Vec<Assignment> = given.by_ref().take(batch_size).collect();
            let own = asked.is_empty();
            if own {
                let mut rng = rng::stream(self.settings.seed, "search", batch);
                asked = searcher.ask(batch_size, &mut rng)?;
            }
            let given_up = idle >= MAX_IDLE_BATCHES && !self.settings.algorithm.ends;
            if asked.is_empty() && self.visits_all() {
                return Ok(Stop::Exhausted);
            }
            if asked.is_empty() || given_up {
                return Ok(Stop::Dry);
            }
            let room = budget - state.trials.len() as u64;
            let mut fresh = self.number(asked, room, state)?;
            if self.evaluator.is_some() && !self.answer(&mut fresh, state)? {
                return Ok(Stop::Interrupted);
            }
            idle = if fresh.is_empty() && own { idle + 1 } else { 0 };
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
            let enough = |gain: f64| self.settings.until_gain.is_some_and(|least| gain < least);
            low = match own && state.gain_left.is_some_and(enough) {
                true => low + 1,
                false => 0,
            };
            done.into_iter().for_each(|trial| state.trials.push(trial));
            if self.watch.is_due() {
                self.watch.progress(&state.progress(budget));
            }
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
            new.row = new.row.map(|rest| record::with_number(now, rest));
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
        let (space, budget) = (self.costs.space(), self.settings.trials());
        let mut answered = vec![false; open.len()];
        let mut carried_over = 0;
        let mut take = |position: usize, answer: Answer| {
            let Some((new, done)) = (open.get(position))
                .and_then(|&i| fresh.get_mut(i))
                .zip(answered.get_mut(position))
            else {
                return true;
            };
            *done = true;
            state.judge.take(&mut new.trial, answer);
            if self.watch.is_due() {
                let mut progress = state.progress(budget);
                progress.trials = progress.trials.max(new.trial.number + 1);
                self.watch.progress(&progress);
            }
            state.write(vec![record::write(&new.trial, space)])
        };
        // an earlier run may have asked already
        let judge = state.judge.clone();
        let own = self.costs.metrics().len();
        // what was of no account there may be needed here: who lacks it is asked
        let whole = |values: &&[f64]| {
            let mut pairs = values.iter().zip(own..);
            pairs.all(|(x, metric)| !x.is_nan() || !judge.needs(metric))
        };
        let (mut places, mut asked) = (Vec::new(), Vec::new());
        for (place, (trial, assignment, fingerprint)) in questions.iter().enumerate() {
            let known = self.known.and_then(|known| known.answer(*fingerprint));
            match known.filter(whole) {
                Some(values) if take(place, Ok(values.to_vec())) => carried_over += 1,
                Some(_) => return Ok(false),
                None => {
                    places.push(place);
                    asked.push(Asked {
                        trial: *trial,
                        assignment,
                        fingerprint: *fingerprint,
                    });
                }
            }
        }
        if !asked.is_empty() {
            let mut take = |k: usize, answer| places.get(k).is_none_or(|p| take(*p, answer));
            let result = evaluator.evaluate(&asked, self.stop, &mut take);
            result.map_err(SearchError::Evaluator)?;
        }
        state.tally.carried_over += carried_over;
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
    archive: Archive,
    seen: Keys,
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
        if trial.counts() {
            self.tally.feasible += 1;
            self.archive.add(trial.number as usize, &trial.goals);
        }
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
        let best = match self.archive.is_empty() {
            true => &[][..],
            false => self.archive.best(),
        };
        Progress {
            trials: self.trials.len() as u64,
            budget,
            feasible: self.tally.feasible,
            replayed: self.tally.replayed,
            front: self.archive.len() as u64,
            hypervolume: self.archive.hypervolume(),
            best: self.judge.turned_back(best),
            gain_left: self.gain_left,
        }
    }
}
