//! Builds and measures the best networks of a search.

use super::ranking::Built;
use super::{Args, TABLE_EXTENSION, write_table};
use crate::base::parts::Parts;
use crate::base::table::Table;
use crate::blocks::Names;
use crate::cli::failure::Result;
use crate::cli::files::Loaded;
use crate::cli::out::Out;
use crate::cli::progress::bar;
use crate::cost::Counts;
use crate::measure::{Measurement, TorchSetup, WindowOptions, measure_net};
use crate::search::Outcome;
use crate::torch::{Device, Net};
use anyhow::{Context, anyhow};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Builds `--build-top` and measures `--measure-top` of the best, and says by trial what libtorch said. Writes what was measured to
/// the table `measured` in the run folder.
pub fn best(
    args: &Args,
    loaded: &Loaded,
    outcome: &Outcome,
    archs: &[PathBuf],
    folder: &Path,
    out: &Out,
) -> Result<HashMap<usize, Built>> {
    let count = args.build_top.max(args.measure_top);
    if count == 0 {
        return Ok(HashMap::new());
    }
    let setup = TorchSetup {
        threads: args.threads,
        ..TorchSetup::default()
    };
    let best: Vec<usize> = match outcome.scores.is_empty() {
        true => (outcome.trials.best(count).into_iter())
            .filter(|t| outcome.front.contains(t))
            .collect(),
        false => outcome.front.iter().copied().take(count).collect(),
    };
    let progress = bar(out, best.len() as u64, "measuring");
    let mut rows = Vec::new();
    let mut built = HashMap::new();
    for (place, trial) in best.into_iter().enumerate() {
        let Some(assignment) = outcome.trials.assignment(trial) else {
            continue;
        };
        let graph = loaded.program.lower(&assignment, Names::On)?;
        let counted = Counts::of(&graph)?.totals.params;
        let net =
            Net::build(&graph, Device::Cpu, args.seed).with_context(|| format!("trial {trial}"))?;
        let params = net.param_count();
        if params != counted {
            return Err(anyhow!("trial {trial}: libtorch has {params} parameters, the count is {counted}; please report this").into());
        }
        let measured = if place < args.measure_top {
            measure_net(&net, setup, &WindowOptions::default())?
        } else {
            None
        };
        let times = measured.as_ref().map(|m| &m.sampling);
        built.insert(
            trial,
            Built {
                params,
                measured_latency_s: times.map(|t| t.latency_s),
                measured_latency_p10_s: times.map(|t| t.latency_p10_s),
                measured_latency_p90_s: times.map(|t| t.latency_p90_s),
            },
        );
        let rank = outcome.front.iter().position(|t| *t == trial);
        let arch = rank.and_then(|rank| archs.get(rank));
        if let (Some(arch), Some(measured)) = (arch, measured) {
            rows.push((arch.display().to_string(), trial as i64, measured));
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if !rows.is_empty() {
        let path = folder.join(format!("measured.{TABLE_EXTENSION}"));
        write_table(&Parts::of(&table(&rows)?), &path)?;
    }
    Ok(built)
}

/// Measurement rows, a row a network, named by its arch: what `predict` and `calibrate` read.
fn table(rows: &[(String, i64, Measurement)]) -> Result<Table> {
    let real = |of: fn(&Measurement) -> f64| rows.iter().map(|(.., m)| of(m)).collect::<Vec<f64>>();
    let int = |of: fn(&Measurement) -> i64| rows.iter().map(|(.., m)| of(m)).collect::<Vec<i64>>();
    let text =
        |of: fn(&Measurement) -> String| rows.iter().map(|(.., m)| of(m)).collect::<Vec<String>>();
    let mut table = Table::new("measured");
    table.push(
        "arch",
        rows.iter()
            .map(|(arch, ..)| arch.clone())
            .collect::<Vec<String>>(),
    )?;
    table.push(
        "trial",
        rows.iter()
            .map(|(_, trial, _)| *trial)
            .collect::<Vec<i64>>(),
    )?;
    table.push("device", text(|m| m.device.clone()))?;
    table.push("runtime", text(|m| m.runtime.to_owned()))?;
    table.push("runtime_version", text(|m| m.runtime_version.to_owned()))?;
    table.push("precision", text(|m| m.precision.to_owned()))?;
    table.push("threads", int(|m| i64::from(m.threads)))?;
    table.push("batch", int(|m| i64::from(m.batch)))?;
    table.push("latency_s", real(|m| m.sampling.latency_s))?;
    table.push("latency_p10_s", real(|m| m.sampling.latency_p10_s))?;
    table.push("latency_p90_s", real(|m| m.sampling.latency_p90_s))?;
    table.push("runs", int(|m| m.sampling.runs as i64))?;
    table.push(
        "energy_j",
        rows.iter()
            .map(|(.., m)| m.energy_j)
            .collect::<Vec<Option<f64>>>(),
    )?;
    table.push(
        "meter",
        rows.iter()
            .map(|(.., m)| m.meter.clone())
            .collect::<Vec<Option<String>>>(),
    )?;
    Ok(table)
}
