//! Builds and measures the best networks of a search.

use super::Args;
use super::ranking::Built;
use crate::blocks::Names;
use crate::cli::failure::Result;
use crate::cli::files::Loaded;
use crate::cli::out::Out;
use crate::cli::progress::bar;
use crate::cost::Counts;
use crate::measure::{WindowOptions, measure_net};
use crate::search::Outcome;
use crate::torch::{Device, Net};
use anyhow::{Context, anyhow};
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Builds `--build-top` and measures `--measure-top` of the best, and says by trial what libtorch said. Writes what was measured to
/// `measured.json` in the run folder.
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
    let options = WindowOptions {
        threads: args.threads,
        ..WindowOptions::default()
    };
    let best: Vec<usize> = outcome
        .trials
        .best(count)
        .into_iter()
        .filter(|t| outcome.front.contains(t))
        .collect();
    let progress = bar(out, best.len() as u64, "measuring");
    let mut rows = Vec::new();
    let mut built = HashMap::new();
    for (place, trial) in best.into_iter().enumerate() {
        let Some(assignment) = outcome.trials.assignment(trial) else {
            continue;
        };
        let graph = loaded.program.lower(assignment, Names::On)?;
        let counted = Counts::of(&graph)?.totals.params;
        let net =
            Net::build(&graph, Device::Cpu, args.seed).with_context(|| format!("trial {trial}"))?;
        let params = net.param_count();
        if params != counted {
            return Err(anyhow!("trial {trial}: libtorch has {params} parameters, the count is {counted}; please report this").into());
        }
        let measured = if place < args.measure_top {
            measure_net(&net, &options)?
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
        let arch = outcome
            .front
            .iter()
            .position(|t| *t == trial)
            .and_then(|rank| archs.get(rank));
        rows.push(json!({"trial": trial, "arch": arch.map(|a| a.display().to_string()), "params": params, "measurement": measured}));
        progress.inc(1);
    }
    progress.finish_and_clear();
    let text = format!("{:#}\n", json!({"rows": rows}));
    crate::base::file::write_atomically(&folder.join("measured.json"), |file| {
        file.write_all(text.as_bytes())
    })?;
    Ok(built)
}
