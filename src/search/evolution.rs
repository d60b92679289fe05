//! Regularised evolution: the best of a few is changed in one decision, and the oldest dies.

use super::breed::{self, Breeder, mutate};
use super::judge::Judge;
use super::population::{Member, ranks};
use super::searcher::{MakeError, Searcher, SearcherDef, Setup, Trial};
use crate::base::rng::Rng;
use crate::space::{Assignment, SampleError, Space};
use rand::RngExt;
use std::collections::VecDeque;

/// The entry in the list.
///
/// # Source
/// Real, Aggarwal, Huang, Le, "Regularized evolution for image classifier architecture search" (2019). With several
/// objectives the winner of a tournament is any that no other of it beats by constraint domination. No network comes
/// twice.
pub static DEF: SearcherDef = SearcherDef {
    name: "evolution",
    doc: "regularised evolution: changes one decision of the best of a few; the oldest of the population dies",
    ends: false,
    visits: breed::MAX_VISITED,
    batch: 64,
    evaluated_batch: 8,
    budget: Some(1000),
    make,
};

/// Members of the population, and of a tournament.
const POPULATION: usize = 64;
const TOURNAMENT: usize = 16;

struct Evolution<'a> {
    space: &'a Space,
    judge: Judge<'a>,
    breeder: Breeder<'a>,
    /// Oldest first.
    population: VecDeque<Member>,
}

fn make<'a>(setup: &Setup<'a>) -> Result<Box<dyn Searcher + 'a>, MakeError> {
    let judge = setup.judge()?;
    Ok(Box::new(Evolution {
        space: setup.space,
        breeder: Breeder::new(setup, judge.clone()),
        judge,
        population: VecDeque::new(),
    }))
}

impl Searcher for Evolution<'_> {
    fn ask(&mut self, n: usize, rng: &mut Rng) -> Result<Vec<Assignment>, SampleError> {
        let (population, space) = (&self.population, self.space);
        self.breeder.assignments(n, rng, |rng, misses| {
            if population.len() < POPULATION {
                return None;
            }
            let drawn = (0..TOURNAMENT).map(|_| rng.random_range(0..population.len()));
            let drawn: Vec<Member> = drawn.map(|m| population[m].clone()).collect();
            let ranks = ranks(&drawn);
            let winners: Vec<&Member> = (drawn.iter().zip(ranks))
                .filter_map(|(m, rank)| (rank == 0).then_some(m))
                .collect();
            let parent = winners[rng.random_range(0..winners.len())];
            mutate(space, &parent.assignment, 1 + misses / 16, rng)
        })
    }

    fn tell(&mut self, done: &[Trial]) {
        self.breeder.know(done);
        let new = done.iter().map(|t| Member::new(t, &self.judge));
        self.population.extend(new);
        let dead = self.population.len().saturating_sub(POPULATION);
        self.population.drain(..dead);
    }
}
