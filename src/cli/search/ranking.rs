//! The table that a search ends with.

use super::live::Spent;
use crate::base::units::{Joules, Seconds};
use crate::blocks::{Names, Program};
use crate::cli::failure::Result;
use crate::cli::out::{Out, mj, ms, percent, scaled, table};
use crate::device::{BUILT_IN, DeviceModel, Prediction, Quantity, split_batch};
use crate::fuse::fuse;
use crate::search::Outcome;
use crate::search::metric::{Metric, Unit};
use crate::search::objective::Problem;
use crate::space::Space;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Rows shown to a person; the files have all.
const SHOWN: usize = 20;

/// What libtorch said about a network.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Built {
    /// Learnable scalars of the libtorch net, equal to the count.
    pub params: u64,
    /// Median time of a run on this machine's CPU; null where it was not measured.
    pub measured_latency_s: Option<f64>,
    /// A tenth of the runs were faster.
    pub measured_latency_p10_s: Option<f64>,
    /// A tenth of the runs were slower.
    pub measured_latency_p90_s: Option<f64>,
}

/// The front of a search, to be printed.
pub struct Ranking<'a> {
    space: &'a Space,
    problem: &'a Problem,
    outcome: &'a Outcome,
    models: &'a [DeviceModel],
    archs: &'a [PathBuf],
    device_args: &'a [String],
    built: HashMap<usize, Built>,
}

impl<'a> Ranking<'a> {
    /// The ranking of what a search found, and what libtorch said about some trials.
    pub fn new(
        space: &'a Space,
        problem: &'a Problem,
        outcome: &'a Outcome,
        models: &'a [DeviceModel],
        archs: &'a [PathBuf],
        device_args: &'a [String],
        built: HashMap<usize, Built>,
    ) -> Self {
        Self {
            space,
            problem,
            outcome,
            models,
            archs,
            device_args,
            built,
        }
    }

    /// Prints it, in the format that `out` is for.
    pub fn print(&self, folder: &Path, spent: &[Spent], out: &mut Out) -> Result<()> {
        if out.is_json() {
            let rows: Vec<Value> = (0..self.outcome.front.len())
                .map(|rank| self.json_row(rank))
                .collect();
            let tally = &self.outcome.tally;
            let document = json!({
                "run": folder.display().to_string(), "trials": self.outcome.trials.len(), "feasible": tally.feasible,
                "replayed": tally.replayed, "failed": tally.failed, "unbuildable": tally.unbuildable, "stop": self.outcome.stop.name(), "phases": spent, "front": rows,
            });
            out.json(&document)?;
            return Ok(());
        }
        let predictions = self.predictions()?;
        let metrics = self.shown_metrics();
        let choices = self.node_choices();
        let measured = self.built.values().any(|b| b.measured_latency_s.is_some());
        let mut head: Vec<String> = vec!["rank".into(), "trial".into()];
        let weighed = !self.outcome.scores.is_empty();
        if weighed {
            head.push("score".into());
        }
        head.extend(metrics.iter().map(heading));
        if measured {
            head.push("ms here".into());
        }
        head.extend(choices.iter().map(|c| (*c).to_owned()));
        let shown = self.shown();
        let rows = shown.iter().zip(&predictions).map(|(&rank, predictions)| {
            let trial = self.outcome.front[rank];
            let mut row = vec![(rank + 1).to_string(), trial.to_string()];
            row.extend(self.outcome.scores.get(rank).map(|x| format!("{x:.3}")));
            row.extend(metrics.iter().map(|m| self.cell(m, trial, predictions)));
            if measured {
                row.push(
                    self.built
                        .get(&trial)
                        .and_then(|b| b.measured_latency_s)
                        .map_or_else(String::new, ms),
                );
            }
            let values = self.values(trial);
            row.extend(choices.iter().map(|c| {
                values
                    .get(*c)
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .to_owned()
            }));
            row
        });
        let left: Vec<usize> = (head.len() - choices.len()..head.len()).collect();
        let names: Vec<&str> = head.iter().map(String::as_str).collect();
        let mut text = table(&names, &left, rows);
        let total = self.outcome.front.len();
        text.push_str("\n\n");
        if shown.len() < total {
            text.push_str(&format!(
                "{} of the {total} networks on the front, {}. ",
                shown.len(),
                if weighed {
                    "the best by score"
                } else {
                    "spread over it"
                },
            ));
        }
        text.push_str(&self.notes(measured));
        text.push_str(&format!("\nAll of it: {}", folder.display()));
        if let Some(arch) = self.archs.first() {
            let program = std::env::args()
                .next()
                .unwrap_or_else(|| "blocksmith".to_owned());
            text.push_str(&format!(
                "\nLook into one: {program} show {}",
                arch.display()
            ));
            // a profile that came from a file is found again by that file only
            let shipped = self.models.iter().map(DeviceModel::name);
            let named: Vec<&str> = match self.device_args {
                [] => shipped.collect(),
                given => given.iter().map(String::as_str).collect(),
            };
            let plain = |name| match BUILT_IN.iter().any(|b| b.name == name) {
                true => (name, 1),
                false => split_batch(name).unwrap_or((name, 1)),
            };
            let (mut named, mut batches): (Vec<&str>, Vec<u32>) =
                named.into_iter().map(plain).unzip();
            named.dedup();
            batches.dedup();
            for device in named {
                text.push_str(&format!(" --device {}", super::quoted(device)));
            }
            if let [batch] = batches[..]
                && batch > 1
            {
                text.push_str(&format!(" --batch {batch}"));
            }
        }
        out.text(&text)?;
        Ok(())
    }

    /// Ranks to show: all, or some spread evenly over the front, those that were built among them.
    fn shown(&self) -> Vec<usize> {
        let n = self.outcome.front.len();
        if n <= SHOWN {
            return (0..n).collect();
        }
        if !self.outcome.scores.is_empty() {
            return (0..SHOWN).collect();
        }
        let built = |rank: &usize| self.built.contains_key(&self.outcome.front[*rank]);
        let mut ranks: Vec<usize> = (0..n).filter(built).collect();
        let spread = (0..SHOWN).map(|i| i * (n - 1) / (SHOWN - 1));
        for rank in spread {
            if ranks.len() < SHOWN && !ranks.contains(&rank) {
                ranks.push(rank);
            }
        }
        ranks.sort_unstable();
        ranks
    }

    /// Objectives first, then limits, then what everybody asks for.
    fn shown_metrics(&self) -> Vec<Metric> {
        let asked = self
            .problem
            .objectives
            .iter()
            .map(|o| &o.metric)
            .chain(self.problem.limits.iter().map(|l| &l.metric));
        let mut shown: Vec<Metric> = Vec::new();
        for metric in asked.chain(
            self.outcome
                .metrics
                .iter()
                .filter(|m| ["params", "macs"].contains(&m.name()) || m.device().is_some()),
        ) {
            if !shown.contains(metric) {
                shown.push(metric.clone());
            }
        }
        shown
    }

    /// Decisions with a name of their own that are told by words.
    fn node_choices(&self) -> Vec<&'a str> {
        let first = self
            .outcome
            .front
            .first()
            .map(|t| self.values(*t))
            .unwrap_or_default();
        let ids = self.space.decisions().iter().map(|d| d.id());
        ids.filter(|id| !id.contains(['.', '[']))
            .filter(|id| first.get(*id).is_some_and(Value::is_string))
            .take(6)
            .collect()
    }

    fn values(&self, trial: usize) -> Map<String, Value> {
        let assignment = self.outcome.trials.assignment(trial);
        match assignment.map(|a| self.space.assignment_to_json(&a)) {
            Some(Value::Object(values)) => values,
            _ => Map::new(),
        }
    }

    /// Full predictions of the rows shown, for their intervals.
    fn predictions(&self) -> Result<Vec<Vec<Prediction>>> {
        let program = Program::compile(self.space)?;
        let shown = self.shown();
        let mut all = Vec::with_capacity(shown.len());
        for rank in shown {
            let assignment = self.outcome.trials.assignment(self.outcome.front[rank]);
            let Some(assignment) = assignment else {
                continue;
            };
            let graph = program.lower(&assignment, Names::Off)?;
            let of = |m: &DeviceModel| m.predict(&fuse(&graph, m.rules()).list, m.batch());
            all.push(
                self.models
                    .iter()
                    .map(of)
                    .collect::<std::result::Result<Vec<_>, _>>()?,
            );
        }
        Ok(all)
    }

    fn cell(&self, metric: &Metric, trial: usize, predictions: &[Prediction]) -> String {
        let place = self.outcome.metrics.iter().position(|m| m == metric);
        let value = place
            .and_then(|i| self.outcome.trials.metrics(trial).get(i))
            .copied()
            .unwrap_or(f64::NAN);
        if value.is_nan() {
            return "-".to_owned();
        }
        let device = metric
            .device()
            .and_then(|d| self.models.iter().position(|m| m.name() == d));
        let prediction = device.and_then(|d| predictions.get(d));
        let range = |value: String, ends: Option<(f64, f64)>, show: fn(f64) -> String| match ends {
            Some((lo, hi)) => format!("{value} ({}-{})", show(lo), show(hi)),
            None => value,
        };
        match metric.unit() {
            Unit::Seconds => {
                let ends = prediction.map(|p| (p.latency_lo, p.latency_hi));
                range(
                    ms(value),
                    ends.map(|(Seconds(lo), Seconds(hi))| (lo, hi)),
                    ms,
                )
            }
            Unit::Joules => {
                let ends = prediction.and_then(|p| p.energy_lo.zip(p.energy_hi));
                range(mj(value), ends.map(|(Joules(lo), Joules(hi))| (lo, hi)), mj)
            }
            _ if metric.is_whole() => scaled(value),
            _ => figures(value),
        }
    }

    fn notes(&self, measured: bool) -> String {
        let mut text = String::from("Predictions stand with their intervals.");
        for model in self.models {
            let profile = model.profile();
            let level = profile.interval.level * 100.0;
            let errors = profile.held_out.iter().take(2).map(|h| {
                let quantity = match h.quantity {
                    Quantity::Latency => "latency",
                    Quantity::Energy => "energy",
                };
                format!("{quantity} {} %", percent(h.mape))
            });
            let errors = errors.collect::<Vec<_>>().join(", ");
            text.push_str(&format!(
                "\n{}: {level:.0} % intervals. Error on networks held out of the fit: {errors}; networks unlike those of {} \
                 have wider intervals.",
                model.name(), profile.provenance.data,
            ));
        }
        if measured {
            text.push_str("\n\"ms here\" is measured: built through libtorch, on this machine's CPU, batch 1.");
        }
        let built = self.built.len();
        if built > 0 {
            text.push_str(&format!(
                "\n{built} networks built through libtorch; their parameters equal the counts."
            ));
        }
        text
    }

    fn json_row(&self, rank: usize) -> Value {
        let trial = self.outcome.front[rank];
        let metrics: Map<String, Value> = (self
            .outcome
            .metrics
            .iter()
            .zip(self.outcome.trials.metrics(trial)))
        .map(|(m, v)| (m.to_string(), number(m, *v)))
        .collect();
        json!({
            "rank": rank + 1,
            "trial": trial,
            "score": self.outcome.scores.get(rank),
            "fingerprint": self.outcome.trials.fingerprint(trial),
            "arch": self.archs.get(rank).map(|p| p.display().to_string()),
            "assignment": self.values(trial),
            "metrics": metrics,
            "built": self.built.get(&trial),
        })
    }
}

/// A column's head: the metric with the unit that its cells are in.
fn heading(metric: &Metric) -> String {
    let device = metric.device().unwrap_or_default();
    match metric.unit() {
        Unit::Seconds => format!("ms {device}"),
        Unit::Joules => format!("mJ {device}"),
        _ => metric.to_string(),
    }
}

/// A value of an unknown kind, to six figures.
fn figures(value: f64) -> String {
    let whole = value.abs().max(1e-300).log10().floor();
    if !(-4.0..9.0).contains(&whole) && value != 0.0 {
        return format!("{value:.5e}");
    }
    let text = format!("{value:.*}", (5.0 - whole).clamp(0.0, 9.0) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A metric's value as JSON: whole where the metric is, `null` where it is missing.
fn number(metric: &Metric, value: f64) -> Value {
    match value {
        v if v.is_nan() => Value::Null,
        v if metric.is_whole() && (0.0..=9e15).contains(&v) => json!(v as u64),
        v => json!(v),
    }
}

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn six_figures_are_enough() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (0.694_147_18, "0.694147"),
            (-12.345_678_9, "-12.3457"),
            (73.49, "73.49"),
            (1234567.0, "1234567"),
            (1.5e12, "1.50000e12"),
            (1.0e-7, "1.00000e-7"),
        ] {
            assert_eq!(figures(value), text);
        }
    }
}
