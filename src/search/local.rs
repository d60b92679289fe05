//! Local search on the archive: changes to members of the front so far, never one that was there.

use super::breed::{self, Breeder, mutate};
use super::front::{Points, front};
use super::judge::Judge;
use super::population::Member;
use super::searcher::{MakeError, Searcher, SearcherDef, Setup, Trial};
use crate::base::rng::Rng;
use crate::space::{Assignment, SampleError, Space};
use rand::RngExt;

/// The entry in the list.
///
/// # Source
/// Pareto local search: Paquete, Chiarandini, Stützle, "Pareto local optimum sets in the biobjective traveling salesman
/// problem" (2004); for networks White, Nolen, Savani, "Exploring the loss landscape in neural architecture search"
/// (2021), which finds local search hard to beat.
pub static DEF: SearcherDef = SearcherDef {
    name: "front",
    doc: "local search: changes one decision of a network of the front so far, two where all of those are known",
    ends: false,
    visits: breed::MAX_VISITED,
    batch: 64,
    evaluated_batch: 8,
    budget: Some(1000),
    make,
};

/// Draws to begin with.
const START: usize = 16;

struct Local<'a> {
    space: &'a Space,
    judge: Judge<'a>,
    breeder: Breeder<'a>,
    told: usize,
    front: Vec<Member>,
}

fn make<'a>(setup: &Setup<'a>) -> Result<Box<dyn Searcher + 'a>, MakeError> {
    let judge = setup.judge()?;
    Ok(Box::new(Local {
        space: setup.space,
        breeder: Breeder::new(setup, judge.clone()),
        judge,
        told: 0,
        front: Vec::new(),
    }))
}

impl Searcher for Local<'_> {
    fn ask(&mut self, n: usize, rng: &mut Rng) -> Result<Vec<Assignment>, SampleError> {
        let (front, space) = (&self.front, self.space);
        let drawing = self.told < START || front.is_empty();
        self.breeder.assignments(n, rng, |rng, misses| {
            if drawing {
                return None;
            }
            let parent = &front[rng.random_range(0..front.len())];
            mutate(space, &parent.assignment, 1 + misses / 64, rng)
        })
    }

    fn tell(&mut self, done: &[Trial]) {
        self.breeder.know(done);
        self.told += done.len();
        let mut members = std::mem::take(&mut self.front);
        members.extend(done.iter().map(|t| Member::new(t, &self.judge)));
        // while nothing keeps the limits, those that break them least
        let least = members
            .iter()
            .map(|m| m.violation)
            .fold(f64::INFINITY, f64::min);
        members.retain(|m| m.violation == least && least.is_finite());
        let dim = members.first().map_or(1, |m| m.goals.len());
        let flat: Vec<f64> = members.iter().flat_map(|m| m.goals.to_vec()).collect();
        let best = front(Points::new(&flat, dim));
        self.front = best.into_iter().map(|i| members[i].clone()).collect();
    }
}
