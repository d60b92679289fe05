//! What algorithms propose: draws, mutations and crossovers, none of them twice.
//!
//! Where an evaluator is to be asked, what is known beforehand is used beforehand: networks beyond a known limit and
//! copies of networks under another assignment are never proposed.

use super::evaluate::{Lease, key};
use super::judge::Judge;
use super::searcher::{Setup, Trial};
use crate::base::hash::{Fingerprint, Keys};
use crate::base::rng::Rng;
use crate::space::{Assignment, Decision, Domain, Draws, SampleError, Space};
use rand::RngExt;

/// Proposals in a row without anything new before chance takes over.
const MAX_MISSES: u32 = 256;

/// Draws in a row without anything new before all that is left is visited in order.
const MAX_DRAWS: u32 = 8192;

/// The most assignments of a space that is visited in order in the end.
pub const MAX_VISITED: f64 = 1e6;

/// Networks beyond the limits that are kept, the nearest ones: the way to where the limits hold.
const NEAR: usize = 16;

/// A proposal; where an evaluator is to be asked with its identity, counts and predictions.
pub type New = (Assignment, Fingerprint, Box<[f64]>);

/// Makes assignments and knows which were there.
pub struct Breeder<'a> {
    setup: Setup<'a>,
    judge: Judge<'a>,
    keys: Keys,
    prints: Keys,
    scratch: Lease<'a>,
    near: Vec<(f64, Assignment)>,
    rest: Option<Box<dyn Iterator<Item = Assignment> + 'a>>,
}

impl<'a> Breeder<'a> {
    /// For a search.
    pub fn new(setup: &Setup<'a>, judge: Judge<'a>) -> Self {
        Self {
            setup: *setup,
            judge,
            keys: Keys::default(),
            prints: Keys::default(),
            scratch: setup.costs.scratch(),
            near: Vec::new(),
            rest: None,
        }
    }

    /// Up to `n` new assignments from `make`, which is told how often in a row it has failed to make a new one. Where it
    /// fails too often, draws and in the end whatever is left of the space; none at all only where nothing is left.
    ///
    /// # Errors
    /// The space has no sample.
    pub fn fill(
        &mut self,
        n: usize,
        rng: &mut Rng,
        make: impl FnMut(&mut Rng, u32) -> Option<Assignment>,
    ) -> Result<Vec<New>, SampleError> {
        let mut found = self.fill_briefly(n, rng, make);
        let mut misses = 0;
        while found.len() < n && misses < MAX_DRAWS && self.rest.is_none() {
            match self.draw(rng) {
                Ok(draw) => match self.examine(draw) {
                    Some(new) => {
                        misses = 0;
                        found.push(new);
                    }
                    None => misses += 1,
                },
                Err(e) if self.keys.is_empty() => return Err(e),
                Err(_) => misses += MAX_DRAWS / 8,
            }
        }
        if found.len() < n {
            self.visit(n, &mut found);
        }
        Ok(found)
    }

    /// As [`fill`](Self::fill), from `make` alone.
    pub fn fill_briefly(
        &mut self,
        n: usize,
        rng: &mut Rng,
        mut make: impl FnMut(&mut Rng, u32) -> Option<Assignment>,
    ) -> Vec<New> {
        let (mut found, mut misses) = (Vec::with_capacity(n), 0);
        while found.len() < n && misses < MAX_MISSES {
            match make(rng, misses).and_then(|a| self.examine(a)) {
                Some(new) => {
                    misses = 0;
                    found.push(new);
                }
                None => misses += 1,
            }
        }
        found
    }

    /// As [`fill`](Self::fill), the assignments alone.
    ///
    /// # Errors
    /// The space has no sample.
    pub fn assignments(
        &mut self,
        n: usize,
        rng: &mut Rng,
        make: impl FnMut(&mut Rng, u32) -> Option<Assignment>,
    ) -> Result<Vec<Assignment>, SampleError> {
        let found = self.fill(n, rng, make)?;
        Ok(found.into_iter().map(|(a, ..)| a).collect())
    }

    /// A draw; every other time a change to what is beyond the limits by least, where there is any.
    fn draw(&self, rng: &mut Rng) -> Result<Assignment, SampleError> {
        let space = self.setup.space;
        if !self.near.is_empty() && rng.random() {
            let (_, parent) = &self.near[rng.random_range(0..self.near.len())];
            if let Some(child) = mutate(space, parent, 1 + rng.random_range(0..2), rng) {
                return Ok(child);
            }
        }
        self.setup.draw(rng)
    }

    /// What is left of a space that is not too large.
    fn visit(&mut self, n: usize, found: &mut Vec<New>) {
        if self.setup.size().count > MAX_VISITED {
            return;
        }
        let mut rest = self.rest.take().unwrap_or_else(|| self.setup.all());
        while found.len() < n
            && let Some(next) = rest.next()
        {
            found.extend(self.examine(next));
        }
        self.rest = Some(rest);
    }

    /// Takes note of networks that were told, whoever proposed them: they are not proposed again.
    pub fn know(&mut self, told: &[Trial]) {
        if self.setup.evaluated() {
            for trial in told {
                self.keys.insert(key(&trial.assignment, self.setup.space));
                self.prints.insert(trial.fingerprint.0);
            }
        }
    }

    /// An assignment that is new and worth proposing; it is not new any more then.
    pub fn examine(&mut self, assignment: Assignment) -> Option<New> {
        let own = key(&assignment, self.setup.space);
        let members = self.setup.costs.members();
        if members.is_some_and(|m| !m.contains(own)) || !self.keys.insert(own) {
            return None;
        }
        if !self.setup.evaluated() {
            return Some((assignment, Fingerprint(0), Box::default()));
        }
        let extra = self.setup.metrics.len() - self.setup.costs.metrics().len();
        let costs = self.setup.costs.of(&assignment, extra, &mut self.scratch);
        let (print, metrics) = costs.ok()?;
        if !self.prints.insert(print.0) {
            return None;
        }
        if self.judge.is_worth(&metrics) {
            return Some((assignment, print, metrics));
        }
        let violation = self.judge.violation(&metrics, true);
        let place = self.near.partition_point(|(v, _)| *v <= violation);
        if place < NEAR && violation.is_finite() {
            self.near.insert(place, (violation, assignment));
            self.near.truncate(NEAR);
        }
        None
    }
}

/// The same assignment with some of its active decisions changed: on a grid as often to a neighbour as to any other
/// value. What becomes active is drawn; where the constraints forbid the change, other variables give way. `None` where
/// there is nothing to change, or no way to.
pub fn mutate(
    space: &Space,
    parent: &Assignment,
    changes: u32,
    rng: &mut Rng,
) -> Option<Assignment> {
    let decisions = space.decisions();
    let is_open = |d: &&Decision| d.fixed().is_none() && d.count() > 1;
    let mut open: Vec<(usize, u32)> = (parent.active())
        .map(|(d, value)| (d.0 as usize, value))
        .filter(|(d, _)| decisions.get(*d).filter(is_open).is_some())
        .collect();
    let mut wishes = parent.wishes();
    let mut changed = Vec::new();
    for _ in 0..changes {
        if open.is_empty() {
            break;
        }
        let (d, value) = open.swap_remove(rng.random_range(0..open.len()));
        wishes[d] = Some(other(&decisions[d], value, rng));
        changed.push(d);
    }
    if changed.is_empty() {
        return None;
    }
    complete(space, wishes, &changed, rng)
}

/// A value other than `value`.
fn other(decision: &Decision, value: u32, rng: &mut Rng) -> u32 {
    let grid = matches!(
        decision.domain(),
        Domain::Ints { .. } | Domain::Reals { .. }
    );
    if grid && rng.random() {
        let near: Vec<u32> = decision.neighbours(value).collect();
        return near[rng.random_range(0..near.len())];
    }
    let any = rng.random_range(0..decision.count() - 1);
    any + u32::from(any >= value)
}

/// Of each decision the value of one of two parents: uniform crossover. Where only one of them has a value, that one.
pub fn cross(space: &Space, a: &Assignment, b: &Assignment, rng: &mut Rng) -> Option<Assignment> {
    let pairs = a.wishes().into_iter().zip(b.wishes());
    let wishes = pairs.map(|(a, b)| match rng.random() {
        true => a.or(b),
        false => b.or(a),
    });
    let wishes = wishes.collect();
    complete(space, wishes, &[], rng)
}

/// Completes wishes; where the constraints turn them down, gives up those of `vars` one by one, those to `keep` last.
fn complete(
    space: &Space,
    mut wishes: Vec<Option<u32>>,
    keep: &[usize],
    rng: &mut Rng,
) -> Option<Assignment> {
    let mut draws = Draws::default();
    let done = space.complete_briefly(&wishes, rng, &mut draws);
    if done.is_some() {
        return done;
    }
    let mut free: Vec<usize> = (0..space.var_decisions())
        .filter(|d| !keep.contains(d) && wishes.get(*d).is_some_and(Option::is_some))
        .collect();
    while !free.is_empty() {
        // ever more at a time: the constraint may bind one that would come last
        let count = (free.len() / 4).max(1);
        for _ in 0..count {
            let d = free.swap_remove(rng.random_range(0..free.len()));
            wishes[d] = None;
        }
        let done = space.complete_briefly(&wishes, rng, &mut draws);
        if done.is_some() {
            return done;
        }
    }
    None
}
