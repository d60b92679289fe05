//! `predict`: adds predicted latency and energy to a table of networks.

use super::failure::{Exit, Result};
use super::files::device;
use super::networks::Networks;
use super::out::Out;
use super::progress::bar;
use crate::analysis::parquet;
use crate::base::table::{Column, Table};
use anyhow::Context;
use serde_json::json;
use std::path::PathBuf;

/// Adds predictions to a Parquet table whose rows name networks.
///
/// A row names its network by `arch` (path of an arch), or by `space` (path) and `choices` (JSON object of decisions), or,
/// with --ops, by `network` or `model` and, where the operator table has it, `img_size`. A column `batch` overrides --batch. Added columns:
/// `latency_s, latency_lo_s, latency_hi_s, energy_j, energy_lo_j, energy_hi_j, uncovered_share, transferred_share`;
/// columns of these names are replaced. Paths in the table are relative to the current folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The table.
    table: PathBuf,
    /// Device to predict for: a name from `blocksmith devices`, or a profile file.
    #[arg(long)]
    device: String,
    /// File for the table with predictions.
    #[arg(long, value_name = "T.parquet")]
    out: PathBuf,
    /// Operator table: a row an operator, keyed by `network`; may be given several times.
    #[arg(long, value_name = "OPS.parquet")]
    ops: Vec<PathBuf>,
    /// Samples at once, where the table has no `batch`.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
}

const ADDED: [&str; 8] = [
    "latency_s",
    "latency_lo_s",
    "latency_hi_s",
    "energy_j",
    "energy_lo_j",
    "energy_hi_j",
    "uncovered_share",
    "transferred_share",
];

pub fn run(args: &Args, out: &mut Out) -> Result {
    let model = device(&args.device)?;
    let table = parquet::read(&args.table)?;
    let mut networks = Networks::open(&table, &args.ops, model.rules(), args.batch)?;
    if let Some(doubt) = networks.doubt() {
        out.note(&format!("note: {doubt}"));
    }
    let progress = bar(out, table.rows() as u64, "predicting");
    let mut columns: [Vec<Option<f64>>; 8] = Default::default();
    let mut uncovered = 0;
    for row in 0..table.rows() {
        let network = networks.get(row)?;
        let p = model
            .predict(&network.kernels, network.batch)
            .with_context(|| format!("row {row}"))?;
        uncovered += usize::from(!p.uncovered.is_empty());
        let values = [
            Some(p.latency.0),
            Some(p.latency_lo.0),
            Some(p.latency_hi.0),
            p.energy.map(|e| e.0),
            p.energy_lo.map(|e| e.0),
            p.energy_hi.map(|e| e.0),
            Some(p.uncovered_share),
            Some(p.transferred_share),
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let mut result = Table::new(args.out.display().to_string());
    for (name, column) in table.columns().filter(|(name, _)| !ADDED.contains(name)) {
        result.push(name, column.clone())?;
    }
    for (name, column) in ADDED.into_iter().zip(columns) {
        result.push(name, Column::Real(column))?;
    }
    parquet::write(&result, &args.out)?;
    if uncovered > 0 {
        out.note(&format!(
            "note: {uncovered} rows have work that {} does not cover, left out of their latency: see uncovered_share",
            model.name()
        ));
    }
    let rows = table.rows();
    if out.is_json() {
        let file = args.out.display().to_string();
        out.json(&json!({"out": file, "device": model.name(), "rows": rows, "rows_uncovered": uncovered}))?;
    } else {
        out.text(&format!(
            "{rows} rows predicted for {} in {}",
            model.name(),
            args.out.display()
        ))?;
    }
    Ok(Exit::Ok)
}
