//! The guided search: costs of very many candidates are predicted, what an evaluator tells is learnt from the trials so
//! far, and those are asked for that are expected to add most to the hypervolume of the front.
//!
//! It begins with networks spread over all costs and as unlike each other as possible. A batch is chosen one by one: each
//! choice is taken to come out as expected, so that the next one looks elsewhere.
//!
//! # Source
//! Expected hypervolume improvement with a Gaussian process: see `gain` and `gp`; batches by "kriging believer":
//! Ginsbourger, Le Riche, Carraro, "Kriging is well-suited to parallelize optimization" (2010).

mod dense;
mod features;
mod gain;
mod gp;
mod pool;
mod target;

use super::breed::{self, Breeder};
use super::judge::Judge;
use super::nsga2;
use super::objective::Bound;
use super::searcher::{MakeError, Searcher, SearcherDef, Setup, Trial};
use crate::base::rng::{self, Rng};
use crate::base::stats::quantile;
use crate::search::front::{Points, best, front};
use crate::space::{Assignment, SampleError};
use dense::normal_cdf;
use gain::{Gain, Told};
use gp::{Kernel, Known, Prediction, Process, Row};
use pool::Pool;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::collections::HashMap;
use target::Target;

/// The entry in the list.
pub static DEF: SearcherDef = SearcherDef {
    name: "guided",
    doc: "predicts costs of very many networks, learns what the evaluator tells, and asks for those that promise most; without an evaluator it is nsga2",
    ends: false,
    visits: breed::MAX_VISITED,
    batch: nsga2::DEF.batch,
    evaluated_batch: 8,
    budget: nsga2::DEF.budget,
    make,
};

/// Networks to begin with.
const START: usize = 16;

/// Candidates drawn for each of them, of which the one farthest from the others is taken.
const DRAWN: usize = 64;

/// The best candidates, among which a batch is chosen.
const SHORT_LIST: usize = 400;

/// Draws for the expectation where several goals are told, and the short list then.
const DRAWS: usize = 48;
const SHORT_LIST_OF_DRAWS: usize = 120;

/// Of the first answers the part below which a metric is worth nothing, where no reference says so.
const LEAST: f64 = 0.15;

/// How many answers a prediction takes in before it is looked at again whether the candidate can gain anything.
const STAGES: [usize; 4] = [0, 16, 64, 256];

/// Answers from which the process can learn.
const FEWEST: usize = 4;

/// The most answers that a process learns from: its time grows with their cube, and its memory with their square.
const LEARNT: usize = 1000;

/// A metric that the evaluator tells.
struct Unknown {
    metric: usize,
    /// 1 where more is better, -1 where less is.
    sign: f64,
    goal: Option<usize>,
    /// Limits on it: the bound turned as the metric, and whether it is a least value then.
    limits: Vec<(f64, bool)>,
    kernel: Option<Kernel>,
}

struct Guided<'a> {
    judge: Judge<'a>,
    unknown: Vec<Unknown>,
    pool: Pool<'a>,
    /// Features of what was asked for, until it is told.
    open: HashMap<u128, Row>,
    /// What was told, without what failed.
    known: Known,
    told: Vec<Trial>,
    /// Told, but never asked for here: another run had them.
    others: Vec<Trial>,
    started: usize,
    /// Quantiles of cost still to be begun with, as costs from and to.
    start: Option<Vec<(f64, f64)>>,
    /// Of predicted goals: the least, and the reference.
    box_of: Vec<(f64, f64)>,
    gain_left: Option<f64>,
}

fn make<'a>(setup: &Setup<'a>) -> Result<Box<dyn Searcher + 'a>, MakeError> {
    let judge = setup.judge()?;
    let unknown = unknown(&judge, setup);
    if unknown.is_empty() {
        return (nsga2::DEF.make)(setup);
    }
    Ok(Box::new(Guided {
        pool: Pool::new(setup, judge.clone(), Breeder::new(setup, judge.clone())),
        judge,
        unknown,
        open: HashMap::new(),
        known: Known::default(),
        told: Vec::new(),
        others: Vec::new(),
        started: 0,
        start: None,
        box_of: Vec::new(),
        gain_left: None,
    }))
}

/// The metrics that objectives and limits need and only the evaluator tells.
fn unknown(judge: &Judge<'_>, setup: &Setup<'_>) -> Vec<Unknown> {
    let needed = (0..setup.metrics.len()).filter(|m| judge.needs(*m) && !judge.is_predicted(*m));
    let of = |metric: usize| {
        let goal = judge.objectives().iter().position(|m| *m == metric);
        let limits = judge.limits().iter().zip(&setup.problem.limits);
        let limits = limits
            .filter(|(m, _)| **m == metric)
            .map(|(_, limit)| limit);
        let sign = match (goal, limits.clone().next()) {
            (Some(goal), _) => -setup
                .problem
                .objectives
                .get(goal)
                .map_or(-1.0, |o| o.cost(1.0)),
            (None, Some(limit)) if limit.bound == Bound::AtMost => -1.0,
            _ => 1.0,
        };
        let turned = limits.map(|l| (sign * l.value, (l.bound == Bound::AtLeast) == (sign > 0.0)));
        Unknown {
            metric,
            sign,
            goal,
            limits: turned.collect(),
            kernel: None,
        }
    };
    needed.map(of).collect()
}

/// A metric as it was learnt.
struct Learnt {
    target: Target,
    process: Process,
    limits: Vec<(f64, bool)>,
}

impl Learnt {
    /// The chance that its limits hold.
    fn holds(&self, mean: f64, deviation: f64) -> f64 {
        let each = self.limits.iter().map(|(value, least)| {
            let z = (mean - self.target.of(*value)) / deviation;
            normal_cdf(if *least { z } else { -z })
        });
        each.product()
    }
}

/// The places of `most` answers that tell most, in order: one half the best, front by front, so that it is known what is
/// good; the other half evenly from all others, so that it stays known what is not. `None` where there are no more.
fn telling(told: &[Trial], most: usize) -> Option<Vec<usize>> {
    if told.len() <= most {
        return None;
    }
    let dim = told.first().map_or(1, |t| t.goals.len());
    let flat: Vec<f64> = told.iter().flat_map(|t| t.goals.to_vec()).collect();
    let mut places = best(Points::new(&flat, dim), most / 2);
    let mut taken = vec![false; told.len()];
    places.iter().for_each(|p| taken[*p] = true);
    let others: Vec<usize> = (0..told.len()).filter(|p| !taken[*p]).collect();
    let room = most - places.len();
    places.extend((0..room).map(|k| others[k * others.len() / room]));
    places.sort_unstable();
    Some(places)
}

/// Predicted goals, scaled to their box.
fn scaled(goals: &[f64], box_of: &[(f64, f64)]) -> Vec<f64> {
    let pairs = goals.iter().zip(box_of);
    pairs
        .map(|(x, (low, high))| (x - low) / (high - low))
        .collect()
}

/// A candidate of the short list.
struct Short {
    entry: usize,
    goals: Vec<f64>,
    /// By metric.
    beliefs: Vec<Prediction>,
    gain: f64,
}

impl Searcher for Guided<'_> {
    fn ask(&mut self, n: usize, rng: &mut Rng) -> Result<Vec<Assignment>, SampleError> {
        let parents = self.parents();
        let parents: Vec<&Assignment> = parents.iter().collect();
        self.pool.refresh(&parents, rng)?;
        self.adopt();
        if self.start.is_none() {
            self.settle_start(n, rng);
        }
        let mut chosen = Vec::new();
        let mut ranges = self.start.take().unwrap_or_default();
        while chosen.len() < n
            && let Some((from, to)) = ranges.pop()
        {
            self.spread(from, to, &mut chosen, rng);
        }
        self.start = Some(ranges);
        if chosen.len() < n {
            match self.learn() {
                Some(learnt) => self.promising(&learnt, n - chosen.len(), &mut chosen),
                None => {
                    let everything = (f64::NEG_INFINITY, f64::INFINITY);
                    while chosen.len() < n && !self.pool.entries.is_empty() {
                        self.spread(everything.0, everything.1, &mut chosen, rng);
                    }
                }
            }
        }
        Ok(chosen)
    }

    fn tell(&mut self, done: &[Trial]) {
        for trial in done {
            let row = self.open.remove(&trial.fingerprint.0);
            let all = |u: &Unknown| trial.metrics.get(u.metric).is_some_and(|x| !x.is_nan());
            if !self.unknown.iter().all(all) {
                continue;
            }
            match row {
                Some(row) => {
                    self.known.push(row);
                    self.told.push(trial.clone());
                }
                None => self.others.push(trial.clone()),
            }
        }
    }

    fn gain_left(&self) -> Option<f64> {
        self.gain_left
    }
}

impl Guided<'_> {
    /// Learns from what was never asked for here.
    fn adopt(&mut self) {
        let others = std::mem::take(&mut self.others);
        let rows = self.pool.adopt(&others);
        for (trial, row) in others.into_iter().zip(rows) {
            self.known.push(row);
            self.told.push(trial);
        }
    }

    /// Settles what the search begins with, and the box that gains are measured in.
    fn settle_start(&mut self, n: usize, rng: &mut Rng) {
        let entries = &self.pool.entries;
        let mut costs: Vec<f64> = entries.iter().map(|e| e.cost).collect();
        costs.sort_by(f64::total_cmp);
        let known = self.known.len();
        let count = START.max(n).saturating_sub(known).min(costs.len());
        let at = |k: usize| match k == count {
            true => f64::INFINITY,
            false => costs[k * costs.len() / count],
        };
        let mut ranges: Vec<(f64, f64)> = (0..count).map(|k| (at(k), at(k + 1))).collect();
        for k in (1..ranges.len()).rev() {
            ranges.swap(k, rng.random_range(0..=k));
        }
        self.started = ranges.len();
        self.start = Some(ranges);
        let dim = self.judge.objectives().len();
        self.box_of = (0..dim)
            .map(|k| {
                let goals = entries.iter().map(|e| e.goals[k]).filter(|x| !x.is_nan());
                let (low, high) = goals.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
                    (l.min(x), h.max(x))
                });
                let reference = self.judge.reference(k);
                let high = reference.unwrap_or(low + 1.1 * (high - low));
                (
                    low,
                    if high > low {
                        high
                    } else {
                        low + low.abs().max(1.0)
                    },
                )
            })
            .collect();
    }

    /// Takes of some candidates of these costs the one that is farthest from all that were taken.
    fn spread(&mut self, from: f64, to: f64, chosen: &mut Vec<Assignment>, rng: &mut Rng) {
        let entries = &self.pool.entries;
        let mut within: Vec<usize> = (0..entries.len())
            .filter(|i| entries[*i].cost >= from && entries[*i].cost < to)
            .collect();
        if within.is_empty() {
            within = (0..entries.len()).collect();
        }
        let drawn: Vec<usize> = match within.len() {
            0 => return,
            n if n <= DRAWN => within,
            n => (0..DRAWN).map(|_| within[rng.random_range(0..n)]).collect(),
        };
        let taken: Vec<&Row> = self.open.values().chain(self.known.rows()).collect();
        let room = |i: &usize| {
            let row = &entries[*i].row;
            let each = taken.iter().map(|t| dense::distance2(&row.graph, &t.graph));
            each.fold(f64::INFINITY, f64::min)
        };
        let best = drawn
            .iter()
            .map(|i| (room(i), *i))
            .reduce(|best, new| if new.0 > best.0 { new } else { best });
        if let Some((_, i)) = best {
            self.take(i, chosen);
        }
    }

    fn take(&mut self, entry: usize, chosen: &mut Vec<Assignment>) {
        let entry = self.pool.entries.swap_remove(entry);
        self.open.insert(entry.fingerprint.0, entry.row);
        chosen.push(entry.assignment);
    }

    /// The front so far, and the best of the others by cost.
    fn parents(&self) -> Vec<Assignment> {
        let feasible: Vec<&Trial> = self.told.iter().filter(|t| t.counts()).collect();
        let dim = self.judge.objectives().len();
        let flat: Vec<f64> = feasible.iter().flat_map(|t| t.goals.to_vec()).collect();
        let mut found: Vec<Assignment> = (front(Points::new(&flat, dim)).into_iter())
            .map(|i| feasible[i].assignment.clone())
            .collect();
        if found.is_empty() {
            found = self.told.iter().map(|t| t.assignment.clone()).collect();
        }
        let entries = &self.pool.entries;
        let mut hopeful: Vec<usize> = (0..entries.len())
            .filter(|i| entries[*i].hope.is_finite())
            .collect();
        hopeful.sort_by(|a, b| entries[*b].hope.total_cmp(&entries[*a].hope));
        found.extend(
            hopeful
                .iter()
                .take(64)
                .map(|i| entries[*i].assignment.clone()),
        );
        found
    }

    /// Learns all metrics; `None` while too little is known.
    fn learn(&mut self) -> Option<Vec<Learnt>> {
        if self.known.len() < FEWEST {
            return None;
        }
        let places = telling(&self.told, LEARNT);
        let few = places.as_ref().map(|places| self.known.some(places));
        let known = few.as_ref().unwrap_or(&self.known);
        let mut learnt = Vec::new();
        for unknown in &mut self.unknown {
            let value = |t: &Trial| unknown.sign * t.metrics[unknown.metric];
            let values: Vec<f64> = self.told.iter().map(value).collect();
            let target = Target::new(&values)?;
            let bent = |x: &f64| target.of(*x);
            let bent: Vec<f64> = match &places {
                Some(places) => places.iter().map(|p| bent(&values[*p])).collect(),
                None => values.iter().map(bent).collect(),
            };
            let process = Process::fit(known, &bent, unknown.kernel.as_ref())?;
            unknown.kernel = Some(process.kernel().clone());
            learnt.push(Learnt {
                target,
                process,
                limits: unknown.limits.clone(),
            });
        }
        Some(learnt)
    }

    /// The front so far, to be added to.
    fn gain(&self, learnt: &[Learnt]) -> Gain {
        let told: Vec<Told> = (self.unknown.iter().zip(learnt))
            .filter_map(|(unknown, learnt)| {
                let goal = unknown.goal?;
                let values: Vec<f64> = (self.told.iter().take(START))
                    .map(|t| -t.goals[goal])
                    .collect();
                let least = unknown
                    .limits
                    .iter()
                    .filter(|(_, least)| *least)
                    .map(|(x, _)| *x);
                let reference = match self.judge.reference(goal) {
                    Some(x) => -x,
                    None => quantile(&values, LEAST).unwrap_or(0.0),
                };
                let reference = least.fold(reference, f64::max);
                let best = self
                    .told
                    .iter()
                    .map(|t| -t.goals[goal])
                    .fold(reference, f64::max);
                let range = best - reference;
                Some(Told {
                    goal,
                    target: learnt.target,
                    reference,
                    range: if range > 0.0 { range } else { 1.0 },
                })
            })
            .collect();
        // the same draws in every batch
        let mut rng = rng::stream(0, "expected gain", 0);
        let draw = |_| {
            told.iter()
                .map(|_| StandardNormal.sample(&mut rng))
                .collect()
        };
        let draws = (0..DRAWS).map(draw).collect();
        let dim = self.judge.objectives().len();
        let mut gain = Gain::new(dim, told.clone(), draws);
        for trial in self.told.iter().filter(|t| t.counts()) {
            let mut goals = scaled(&trial.goals, &self.box_of);
            told.iter()
                .for_each(|t| goals[t.goal] = t.scale(-trial.goals[t.goal]));
            gain.add(&goals);
        }
        gain
    }

    /// Chooses those that promise most.
    fn promising(&mut self, learnt: &[Learnt], n: usize, chosen: &mut Vec<Assignment>) {
        let mut gain = self.gain(learnt);
        let goal_of: Vec<bool> = self.unknown.iter().map(|u| u.goal.is_some()).collect();
        let told = |beliefs: &[Prediction]| -> Vec<(f64, f64)> {
            let pairs = learnt.iter().zip(beliefs);
            let told = pairs.map(|(l, b)| (b.mean, (b.variance + l.process.noise()).sqrt()));
            told.collect()
        };
        let of_goals = |told: &[(f64, f64)]| -> Vec<(f64, f64)> {
            let pairs = told.iter().zip(&goal_of);
            pairs.filter_map(|(x, goal)| goal.then_some(*x)).collect()
        };
        let is_beaten = |gain: &Gain, goals: &[f64], told: &[(f64, f64)]| {
            gain.is_beaten(goals, &of_goals(told), 3.0)
        };
        let worth = |gain: &Gain, goals: &[f64], beliefs: &[Prediction]| {
            let told = told(beliefs);
            let chances = learnt.iter().zip(&told).map(|(l, (m, d))| l.holds(*m, *d));
            let chance: f64 = chances.product();
            if chance < 1e-6 || is_beaten(gain, goals, &told) {
                return 0.0;
            }
            chance * gain.expected(goals, &of_goals(&told))
        };
        let (entries, box_of) = (&self.pool.entries, &self.box_of);
        let mut list: Vec<Short> = (0..self.pool.entries.len())
            .into_par_iter()
            .with_min_len(64)
            .map(|entry| {
                let candidate = &entries[entry];
                let goals = scaled(&candidate.goals, box_of);
                let begun = learnt.iter().map(|l| l.process.begin(&candidate.row));
                let mut beliefs: Vec<Prediction> = begun.collect();
                // beaten though it is less sure than it will be: most are, long before all is worked out
                let go_on = |beliefs: &mut [Prediction], rows: usize| {
                    let pairs = learnt.iter().zip(beliefs);
                    pairs.for_each(|(l, b)| l.process.go_on(b, rows));
                };
                let beaten = STAGES.iter().any(|rows| {
                    go_on(&mut beliefs, *rows);
                    is_beaten(&gain, &goals, &told(&beliefs))
                });
                let gain = match beaten {
                    true => 0.0,
                    false => {
                        go_on(&mut beliefs, usize::MAX);
                        worth(&gain, &goals, &beliefs)
                    }
                };
                Short {
                    entry,
                    goals,
                    beliefs: if gain > 0.0 { beliefs } else { Vec::new() },
                    gain,
                }
            })
            .collect();
        for short in &list {
            self.pool.entries[short.entry].hope = short.gain;
        }
        let several = goal_of.iter().filter(|g| **g).count() > 1;
        list.sort_by(|a, b| b.gain.total_cmp(&a.gain).then(a.entry.cmp(&b.entry)));
        list.truncate(if several {
            SHORT_LIST_OF_DRAWS
        } else {
            SHORT_LIST
        });
        let volume = gain.volume();
        self.gain_left = list.first().map(|best| match volume > 0.0 {
            true => best.gain / volume,
            false => f64::INFINITY,
        });
        let mut taken = Vec::new();
        while taken.len() < n && !list.is_empty() {
            let best =
                (0..list.len()).reduce(|a, b| if list[b].gain > list[a].gain { b } else { a });
            let Some(best) = best.map(|b| list.remove(b)) else {
                break;
            };
            taken.push(best.entry);
            if best.beliefs.is_empty() || taken.len() == n {
                continue;
            }
            // it is taken to come out as expected
            let mut goals = best.goals.clone();
            for ((unknown, l), belief) in self.unknown.iter().zip(learnt).zip(&best.beliefs) {
                if let Some(goal) = unknown.goal {
                    goals[goal] = gain.scale(goal, l.target.back(belief.mean));
                }
            }
            gain.add(&goals);
            let (entries, row) = (&self.pool.entries, &self.pool.entries[best.entry].row);
            list.par_iter_mut().with_min_len(8).for_each(|other| {
                let own_row = &entries[other.entry].row;
                let beliefs = other.beliefs.iter_mut().zip(&best.beliefs).zip(learnt);
                for ((own, chosen), l) in beliefs {
                    let pair = ((own_row, &own.column[..]), (row, &chosen.column[..]));
                    let covariance = l.process.covariance(pair.0, pair.1);
                    let more = l.process.condition(covariance, chosen.variance);
                    own.variance = (own.variance - l.process.scale() * more * more).max(1e-12);
                    own.column.push(more);
                }
                if !other.beliefs.is_empty() {
                    other.gain = worth(&gain, &other.goals, &other.beliefs);
                }
            });
        }
        // from the back, so that those in front keep their places
        let order = taken.clone();
        let mut removed: Vec<(usize, Assignment)> = Vec::new();
        taken.sort_unstable_by(|a, b| b.cmp(a));
        for entry in taken {
            let mut one = Vec::new();
            self.take(entry, &mut one);
            removed.extend(one.pop().map(|a| (entry, a)));
        }
        for entry in order {
            if let Some(k) = removed.iter().position(|(e, _)| *e == entry) {
                chosen.push(removed.swap_remove(k).1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Fingerprint;

    fn trial(number: u64, goals: [f64; 2]) -> Trial {
        Trial {
            number,
            assignment: Assignment::empty(),
            fingerprint: Fingerprint(number.into()),
            metrics: goals.into(),
            goals: goals.into(),
            feasible: true,
            error: None,
        }
    }

    #[test]
    fn of_many_answers_the_best_and_some_of_all_others_are_learnt_from() {
        // every tenth is on one front, the others are the worse the later they came
        let told: Vec<Trial> = (0..100u32)
            .map(|n| {
                let x = f64::from(n);
                match n % 10 {
                    0 => trial(n.into(), [x, -x]),
                    _ => trial(n.into(), [200.0 + x, 200.0 + x]),
                }
            })
            .collect();
        assert_eq!(telling(&told, 100), None);
        let places = telling(&told, 24).unwrap();
        assert_eq!(places.len(), 24);
        assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
        assert!((0..10).all(|k| places.contains(&(10 * k))), "{places:?}");
        // the two fronts that come next, and twelve of the 88 others from first to last
        assert!(places.contains(&1) && places.contains(&2));
        let others = places.iter().filter(|p| *p % 10 != 0 && **p > 2);
        let others: Vec<usize> = others.copied().collect();
        assert!(others.len() == 12 && others[0] == 3 && others[11] > 90);
        assert!(others.windows(2).all(|w| w[1] - w[0] < 10), "{others:?}");
    }
}
