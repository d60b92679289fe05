//! What a search says at its end.

use super::live::Spent;
use crate::base::rng;
use crate::cli::failure::Failure;
use crate::cli::out::{grouped, mj, ms, rate};
use crate::search::evaluate::Costs;
use crate::search::metric::{Metric, Unit};
use crate::search::objective::{Bound, Problem};
use crate::search::{Outcome, SearcherDef, Stop};
use crate::space::Assignment;
use anyhow::anyhow;

/// What each phase took, in a line.
pub fn phases(spent: &[Spent]) -> String {
    let each = spent.iter().map(|s| match s.peak_bytes {
        Some(peak) => format!(
            "{} {:.1} s ({} MB)",
            s.phase,
            s.time_s,
            grouped(peak.div_ceil(1 << 20))
        ),
        None => format!("{} {:.1} s", s.phase, s.time_s),
    });
    let each = each.collect::<Vec<_>>().join(", ");
    match spent.iter().any(|s| s.peak_bytes.is_some()) {
        true => format!("phases, with the most memory until their end: {each}"),
        false => format!("phases: {each}"),
    }
}

/// What became of everything, in some lines.
pub fn tally(outcome: &Outcome, algorithm: &SearcherDef, seconds: f64) -> String {
    let (n, tally) = (outcome.trials.len() as u64, &outcome.tally);
    let new = n - tally.replayed;
    let pace = if new > 0 && seconds > 0.0 {
        format!(", {} a second", rate(new as f64 / seconds))
    } else {
        String::new()
    };
    let mut text = format!(
        "{} {} in {seconds:.1} s ({} from the journal{pace}); {} within the limits, {} on the front",
        grouped(n),
        if n == 1 { "network" } else { "networks" },
        grouped(tally.replayed),
        grouped(tally.feasible),
        grouped(outcome.front.len() as u64),
    );
    text.push_str(match outcome.stop {
        Stop::Exhausted => "; the space has no more",
        Stop::Dry => "; nothing new is found any more",
        // in order, so that all of some kind are there and none of another
        Stop::Budget if algorithm.ends => "; the budget has ended it, the space may have more",
        Stop::Gain => "; little is left to gain",
        Stop::Budget | Stop::Interrupted => "",
    });
    if tally.carried_over > 0 {
        let count = grouped(tally.carried_over);
        text.push_str(&format!("; {count} answers were known from another run"));
    }
    if tally.unasked > 0 {
        let count = grouped(tally.unasked);
        text.push_str(&format!("; {count} beyond a limit were not asked about"));
    }
    if let Some(gain) = outcome.gain_left.filter(|g| g.is_finite()) {
        let percent = 100.0 * gain;
        text.push_str(&format!(
            "\nexpected gain left: {percent:.3} % of the hypervolume from one more network"
        ));
    }
    if tally.failed > 0 {
        let count = grouped(tally.failed);
        text.push_str(&format!(
            "\nnote: the evaluator failed on {count} of them, see the column `error`"
        ));
    }
    if tally.unbuildable > 0 {
        let example = tally
            .unbuildable_example
            .as_deref()
            .unwrap_or("no reason known");
        text.push_str(&format!(
            "\nnote: {} draws cannot be built, for example: {example}",
            grouped(tally.unbuildable)
        ));
    }
    text
}

/// Draws that show which limits turned down everything where nothing was asked about.
const DRAWS: u64 = 1000;

/// Says which limit turned down how many.
pub fn infeasible(problem: &Problem, outcome: &Outcome, costs: &Costs<'_>) -> Failure {
    let n = outcome.trials.len() as u64;
    if n == 0 && outcome.stop == Stop::Budget {
        return Failure::Other(anyhow!("the search made no trials: is the budget 0?"));
    }
    if n == 0 && outcome.evaluator.is_some() {
        return Failure::Infeasible(unasked(problem, costs));
    }
    let mut text = format!("none of {} networks keeps within all limits", grouped(n));
    let limits = problem.limits.iter().zip(&outcome.tally.turned_down);
    for (limit, count) in limits.filter(|(_, count)| **count > 0) {
        text.push_str(&format!("\n  {limit} turned down {}", grouped(*count)));
    }
    for (metric, count) in outcome
        .metrics
        .iter()
        .zip(&outcome.tally.missing)
        .filter(|(_, count)| **count > 0)
    {
        let first = outcome.trials.assignment(0);
        text.push_str(&missing(metric, *count, first.as_ref(), costs));
    }
    if let Some(example) = &outcome.tally.unbuildable_example {
        text.push_str(&unbuildable(outcome.tally.unbuildable, example));
    }
    Failure::Infeasible(text)
}

/// Why an evaluator was asked nothing: what draws have where the limits are on what is known beforehand.
fn unasked(problem: &Problem, costs: &Costs<'_>) -> String {
    let (mut rng, mut scratch) = (rng::stream(0, "why", 0), costs.scratch());
    let (mut drawn, mut rows, mut bad, mut example) = (None, Vec::new(), 0, None);
    for _ in 0..DRAWS {
        let draw = match costs.members().and_then(|m| m.draw(&mut rng)) {
            Some(member) => Ok(member.clone()),
            None => costs.space().sample(&mut rng),
        };
        let Ok(assignment) = draw else { continue };
        match costs.of(&assignment, 0, &mut scratch) {
            Ok((_, row)) => rows.push(row),
            Err(why) => {
                bad += 1;
                example.get_or_insert(why.to_string());
            }
        }
        drawn.get_or_insert(assignment);
    }
    let mut text = format!(
        "no network was found that keeps within the limits, so the evaluator was asked nothing; of {} draws",
        grouped(rows.len() as u64 + bad)
    );
    let value = |place: usize, row: &[f64]| row.get(place).copied().unwrap_or(f64::NAN);
    for (place, metric) in costs.metrics().iter().enumerate() {
        let values = || rows.iter().map(|row| value(place, row));
        for limit in problem.limits.iter().filter(|l| l.metric == *metric) {
            let count = values().filter(|x| !limit.holds(*x)).count() as u64;
            if count == 0 {
                continue;
            }
            text.push_str(&format!("\n  {limit} turns down {}", grouped(count)));
            let there = values().filter(|x| !x.is_nan());
            let nearest = match limit.bound {
                Bound::AtMost => there.min_by(f64::total_cmp),
                Bound::AtLeast => there.max_by(f64::total_cmp),
            };
            if let Some(nearest) = nearest.filter(|x| !limit.holds(*x)) {
                text.push_str(&format!(", the nearest has {}", shown(metric, nearest)));
            }
        }
        let objectives = problem.objectives.iter().map(|o| &o.metric);
        let mut needed = objectives.chain(problem.limits.iter().map(|l| &l.metric));
        let count = values().filter(|x| x.is_nan()).count() as u64;
        if count > 0 && needed.any(|m| m == metric) {
            text.push_str(&missing(metric, count, drawn.as_ref(), costs));
        }
    }
    if let Some(example) = example {
        text.push_str(&unbuildable(bad, &example));
    }
    text
}

/// A value with the unit that limits are written in.
fn shown(metric: &Metric, value: f64) -> String {
    match metric.unit() {
        Unit::Seconds => format!("{}ms", ms(value)),
        Unit::Joules => format!("{}mJ", mj(value)),
        Unit::Count | Unit::Bytes | Unit::Own => format!("{value}"),
    }
}

/// A line on a metric that is missing in so many networks, with what the profile does not cover of one of them.
fn missing(metric: &Metric, count: u64, one: Option<&Assignment>, costs: &Costs<'_>) -> String {
    let mut text = format!("\n  {metric} is missing in {}", grouped(count));
    if let (Some(device), Some(assignment)) = (metric.device(), one) {
        let kinds: Vec<&str> = costs
            .uncovered(assignment, device)
            .iter()
            .map(|k| k.name())
            .collect();
        if !kinds.is_empty() {
            let kinds = kinds.join(", ");
            text.push_str(&format!(" (not covered by the profile: {kinds})"));
        }
    }
    text
}

fn unbuildable(count: u64, example: &str) -> String {
    let count = grouped(count);
    format!("\n  {count} draws cannot be built, for example: {example}")
}
