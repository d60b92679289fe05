//! Every assignment once, in lexicographic order.

use super::searcher::{MakeError, Searcher, SearcherDef, Setup, Trial};
use crate::base::rng::Rng;
use crate::space::{Assignment, SampleError};

/// The entry in the list.
pub static DEF: SearcherDef = SearcherDef {
    name: "exhaustive",
    doc: "visits every assignment of the space once, in order; networks that come again are left out; the space must not be larger than the budget",
    ends: true,
    visits: f64::INFINITY,
    batch: 1024,
    evaluated_batch: 64,
    budget: None,
    make,
};

/// The most assignments that are visited where nobody names a budget.
pub const MAX_UNASKED: u64 = 1_000_000;

struct Exhaustive<'a> {
    left: Box<dyn Iterator<Item = Assignment> + 'a>,
}

fn make<'a>(setup: &Setup<'a>) -> Result<Box<dyn Searcher + 'a>, MakeError> {
    let size = setup.size();
    // a bound from above is no reason to refuse: the budget then ends the run, and the run says so
    if size.exact && size.count > setup.budget as f64 {
        return Err(MakeError::TooLarge {
            size: format!("{}", size.count),
            budget: setup.budget,
        });
    }
    Ok(Box::new(Exhaustive { left: setup.all() }))
}

impl Searcher for Exhaustive<'_> {
    fn ask(&mut self, n: usize, _: &mut Rng) -> Result<Vec<Assignment>, SampleError> {
        Ok(self.left.by_ref().take(n).collect())
    }

    fn tell(&mut self, _: &[Trial]) {}
}
