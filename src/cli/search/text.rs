//! What a search says at its end.

use super::live::Spent;
use crate::cli::failure::Failure;
use crate::cli::out::{grouped, rate};
use crate::search::evaluate::Costs;
use crate::search::objective::Problem;
use crate::search::{Outcome, Stop};
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
pub fn tally(outcome: &Outcome, seconds: f64) -> String {
    let (n, tally) = (outcome.trials.len() as u64, &outcome.tally);
    let new = n - tally.replayed;
    let pace = if new > 0 && seconds > 0.0 {
        format!(", {} a second", rate(new as f64 / seconds))
    } else {
        String::new()
    };
    let mut text = format!(
        "{} networks in {seconds:.1} s ({} from the journal{pace}); {} within the limits, {} on the front",
        grouped(n),
        grouped(tally.replayed),
        grouped(tally.feasible),
        grouped(outcome.front.len() as u64),
    );
    if outcome.stop == Stop::Exhausted {
        text.push_str("; the space has no more");
    }
    if outcome.stop == Stop::Gain {
        text.push_str("; little is left to gain");
    }
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

/// Says which limit turned down how many.
pub fn infeasible(problem: &Problem, outcome: &Outcome, costs: &Costs<'_>) -> Failure {
    let n = outcome.trials.len() as u64;
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
        text.push_str(&format!("\n  {metric} is missing in {}", grouped(*count)));
        let first = outcome.trials.assignment(0);
        if let (Some(device), Some(assignment)) = (metric.device(), first) {
            let kinds: Vec<&str> = costs
                .uncovered(&assignment, device)
                .iter()
                .map(|k| k.name())
                .collect();
            if !kinds.is_empty() {
                text.push_str(&format!(
                    " (not covered by the profile: {})",
                    kinds.join(", ")
                ));
            }
        }
    }
    if let Some(example) = &outcome.tally.unbuildable_example {
        text.push_str(&format!(
            "\n  {} draws cannot be built, for example: {example}",
            grouped(outcome.tally.unbuildable)
        ));
    }
    if n == 0 && outcome.tally.unbuildable == 0 {
        return Failure::Other(anyhow!("the search made no trials: is the budget 0?"));
    }
    Failure::Infeasible(text)
}
