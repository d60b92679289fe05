//! Random search: draws as the space's weights and distributions say, never the same assignment twice.

use super::evaluate::key;
use super::searcher::{MakeError, Searcher, SearcherDef, Setup, Trial};
use crate::base::hash::Keys;
use crate::base::rng::{self, Rng};
use crate::space::{Assignment, Draws, SampleError, Space};
use rand::Rng as _;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// The entry in the list.
pub static DEF: SearcherDef = SearcherDef {
    name: "random",
    doc: "draws networks as the space's weights and distributions say; never the same one twice",
    ends: false,
    visits: 0.0,
    batch: 1024,
    evaluated_batch: 64,
    budget: Some(1000),
    make,
};

/// Rounds of draws without anything new before the space counts as visited.
const DRY_ROUNDS: u32 = 4;

struct Random<'a> {
    space: &'a Space,
    seen: Keys,
    /// What is left of a table that limits the search, shuffled at the first question; the next one last.
    members: Option<Vec<Assignment>>,
    shuffled: bool,
}

fn make<'a>(setup: &Setup<'a>) -> Result<Box<dyn Searcher + 'a>, MakeError> {
    Ok(Box::new(Random {
        space: setup.space,
        seen: Keys::default(),
        members: setup.costs.members().map(|m| m.list().to_vec()),
        shuffled: false,
    }))
}

impl Searcher for Random<'_> {
    fn ask(&mut self, n: usize, rng: &mut Rng) -> Result<Vec<Assignment>, SampleError> {
        if let Some(left) = &mut self.members {
            if !std::mem::replace(&mut self.shuffled, true) {
                left.shuffle(rng);
            }
            return Ok(left.split_off(left.len().saturating_sub(n)));
        }
        // each draw has a stream of its own, so that threads can share the work
        let base = rng.next_u64();
        let (mut found, mut number, mut dry) = (Vec::with_capacity(n), 0, 0);
        while found.len() < n && dry < DRY_ROUNDS {
            let draws: Vec<Result<(u128, Assignment), SampleError>> = (number..number + n)
                .into_par_iter()
                .with_min_len(32)
                .map_init(Draws::default, |draws, k| {
                    let mut drawn = Assignment::default();
                    let rng = &mut rng::stream(base, "draw", k as u64);
                    self.space.sample_into(rng, draws, &mut drawn)?;
                    Ok((key(&drawn, self.space), drawn))
                })
                .collect();
            number += n;
            let (before, mut first_error) = (found.len(), None);
            for draw in draws {
                match draw {
                    Ok((key, drawn)) if found.len() < n && self.seen.insert(key) => {
                        found.push(drawn);
                    }
                    Ok(_) => {}
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
            if found.len() > before {
                continue;
            }
            dry += 1;
            // one unlucky draw is nothing; a whole round of them is
            if let Some(error) = first_error.filter(|_| self.seen.is_empty()) {
                return Err(error);
            }
        }
        Ok(found)
    }

    fn tell(&mut self, _: &[Trial]) {}
}
