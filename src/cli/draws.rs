//! Distinct networks drawn from a space.

use super::failure::{Failure, Result};
use super::files::Loaded;
use super::out::Out;
use crate::base::hash::Fingerprint;
use crate::base::rng::stream;
use crate::blocks::Names;
use crate::space::Assignment;
use std::collections::HashSet;

/// Draws in a row that bring nothing new before the space is taken to be exhausted.
const MAX_MISSES: usize = 2000;

/// Draws up to `count` networks that differ in their graphs, and hands each with its identity to `take`: the same ones
/// for the same seed in every command. Fewer where the space has no more, and a note says so.
pub fn distinct(
    loaded: &Loaded,
    count: usize,
    seed: u64,
    out: &Out,
    mut take: impl FnMut(&Assignment, Fingerprint) -> Result<()>,
) -> Result<()> {
    let (mut seen, mut misses, mut draw) = (HashSet::new(), 0, 0);
    while seen.len() < count && misses < MAX_MISSES {
        let mut rng = stream(seed, "sample", draw);
        draw += 1;
        let assignment = (loaded.space)
            .sample(&mut rng)
            .map_err(|e| Failure::Infeasible(e.diagnostic().render(Some(&loaded.file))))?;
        let graph = (loaded.program)
            .lower(&assignment, Names::Off)
            .map_err(|d| Failure::invalid(&loaded.file, loaded.space.locate(d)))?;
        let fingerprint = graph.fingerprint();
        if !seen.insert(fingerprint) {
            misses += 1;
            continue;
        }
        misses = 0;
        take(&assignment, fingerprint)?;
    }
    let found = seen.len();
    if found < count {
        out.note(&format!(
            "note: {found} distinct networks found, {MAX_MISSES} further draws brought nothing new"
        ));
    }
    Ok(())
}
