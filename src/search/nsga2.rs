//! NSGA-II: a population that breeds by tournaments of rank and crowding, and of which with its children the best survive.

use super::breed::{self, Breeder, cross, mutate};
use super::judge::Judge;
use super::population::{Member, best, worth};
use super::searcher::{MakeError, Searcher, SearcherDef, Setup, Trial};
use crate::base::rng::Rng;
use crate::space::{Assignment, SampleError, Space};
use rand::RngExt;

/// The entry in the list.
///
/// # Source
/// Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002); limits by
/// constraint domination (section VI A). Uniform crossover and mutation by one decision on average stand in for the
/// paper's operators on reals. No network comes twice.
pub static DEF: SearcherDef = SearcherDef {
    name: "nsga2",
    doc: "NSGA-II: breeds the non-dominated and least crowded of a population; for predicted objectives on large spaces",
    ends: false,
    visits: breed::MAX_VISITED,
    batch: 128,
    evaluated_batch: 32,
    budget: Some(1000),
    make,
};

/// Part of the children that have two parents.
const CROSSED: f64 = 0.9;

struct Nsga2<'a> {
    space: &'a Space,
    judge: Judge<'a>,
    breeder: Breeder<'a>,
    /// Best first.
    population: Vec<Member>,
    size: usize,
}

fn make<'a>(setup: &Setup<'a>) -> Result<Box<dyn Searcher + 'a>, MakeError> {
    let judge = setup.judge()?;
    Ok(Box::new(Nsga2 {
        space: setup.space,
        breeder: Breeder::new(setup, judge.clone()),
        judge,
        population: Vec::new(),
        size: if setup.evaluated() { 32 } else { 128 },
    }))
}

impl Searcher for Nsga2<'_> {
    fn ask(&mut self, n: usize, rng: &mut Rng) -> Result<Vec<Assignment>, SampleError> {
        let (population, space) = (&self.population, self.space);
        let grown = population.len() >= self.size;
        let worth = worth(population);
        self.breeder.assignments(n, rng, |rng, misses| {
            if !grown {
                return None;
            }
            let mut parent = || {
                let (a, b) = (
                    rng.random_range(0..population.len()),
                    rng.random_range(0..population.len()),
                );
                let winner = if worth[a] <= worth[b] { a } else { b };
                (&population[winner].assignment, rng.random::<f64>())
            };
            let ((a, chance), (b, _)) = (parent(), parent());
            let child = match chance < CROSSED {
                true => cross(space, a, b, rng)?,
                false => a.clone(),
            };
            // one change on average; more where only copies come
            let open = child.active().count().max(1) as f64;
            let changes = (0..child.active().count()).filter(|_| rng.random::<f64>() * open < 1.0);
            let changes = changes.count() as u32 + misses / 16;
            match changes {
                0 => Some(child),
                _ => mutate(space, &child, changes, rng),
            }
        })
    }

    fn tell(&mut self, done: &[Trial]) {
        self.breeder.know(done);
        let new = done.iter().map(|t| Member::new(t, &self.judge));
        self.population.extend(new);
        best(&mut self.population, self.size);
    }
}
