//! `predict`: adds predicted latency and energy to a table of networks.

use super::failure::{Exit, Result};
use super::faults::{Named, Tally};
use super::files::{device, read_table};
use super::networks::{Broken, Networks, input};
use super::out::Out;
use super::progress::bar;
use crate::analysis::parquet;
use crate::base::table::{Column, Table};
use anyhow::{Context, anyhow};
use serde_json::json;
use std::path::PathBuf;

/// Adds predictions to a table (Parquet or CSV) whose rows name networks.
///
/// A row names its network by `arch` (path of an arch), or by `space` (path) and `choices` (JSON object of decisions), or,
/// with --ops, by `network` or `model` and, where the operator table has it, `img_size`. A column `batch` overrides --batch. Added columns:
/// `latency_s, latency_lo_s, latency_hi_s, energy_j, energy_lo_j, energy_hi_j, uncovered_share, transferred_share,
/// prediction_error`; columns of these names are replaced. Where the profile does not cover all work, the latency is that of
/// the rest and has no upper end: `latency_hi_s` is null. Paths in the table are relative to the current folder.
///
/// A row whose network is unknown (a file that is not there, a document with errors, choices that the space does not have, an
/// operator that nothing describes) has null in all added columns but `prediction_error`, which says why and is null
/// elsewhere. Where no row can be predicted, that is an error (exit code 3) and nothing is written.
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
    /// Takes the first row whose network is unknown for an error, and writes nothing then.
    #[arg(long)]
    strict: bool,
}

/// Column of text: why there is no prediction.
const ERROR: &str = "prediction_error";

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
    let table = read_table(&args.table, out)?;
    let broken = match args.strict {
        true => Broken::Refused,
        false => Broken::Kept,
    };
    let mut networks = Networks::open(&table, &args.ops, broken, model.rules(), args.batch)?;
    if let Some(doubt) = networks.doubt() {
        out.note(&format!("note: {doubt}"));
    }
    let rows = table.rows();
    let progress = bar(out, rows as u64, "predicting");
    let mut columns: [Vec<Option<f64>>; 8] = Default::default();
    let mut errors: Vec<Option<String>> = Vec::with_capacity(rows);
    let mut failed = Tally::default();
    let (mut rows_uncovered, mut uncovered) = (0, Named::default());
    // nothing says how long uncovered work takes
    let known = |end: f64| end.is_finite().then_some(end);
    for row in 0..rows {
        let (values, error) = match networks.look_up(row) {
            Ok(network) => {
                let p = model
                    .predict(&network.kernels, network.batch)
                    .with_context(|| format!("row {row}"))?;
                if !p.uncovered.is_empty() {
                    rows_uncovered += 1;
                    uncovered.add(row, &network.name);
                }
                let values = [
                    Some(p.latency.0),
                    Some(p.latency_lo.0),
                    known(p.latency_hi.0),
                    p.energy.map(|e| e.0),
                    p.energy_lo.map(|e| e.0),
                    p.energy_hi.and_then(|e| known(e.0)),
                    Some(p.uncovered_share),
                    Some(p.transferred_share),
                ];
                (values, None)
            }
            Err(fault) if args.strict => return Err(fault.failure(&table, row)),
            Err(fault) => {
                failed.add(row, &networks.name(row), &fault);
                ([None; 8], Some(fault.reason()))
            }
        };
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
        errors.push(error);
        progress.inc(1);
    }
    progress.finish_and_clear();
    if failed.rows() == rows && rows > 0 {
        let (name, why) = (table.name(), failed.lines());
        return Err(input(anyhow!("no row of {name} can be predicted:\n{why}")));
    }
    let mut result = Table::new(args.out.display().to_string());
    let ours = |name: &str| name == ERROR || ADDED.contains(&name);
    for (name, column) in table.columns().filter(|(name, _)| !ours(name)) {
        result.push(name, column.clone())?;
    }
    for (name, column) in ADDED.into_iter().zip(columns) {
        result.push(name, Column::Real(column))?;
    }
    result.push(ERROR, errors)?;
    parquet::write(&result, &args.out)?;
    if failed.rows() > 0 {
        let (count, why) = (failed.rows(), failed.lines());
        out.note(&format!(
            "note: {count} of {rows} rows could not be predicted (see {ERROR}):\n{why}"
        ));
    }
    if let Some(note) = uncovered_note(rows_uncovered, &uncovered, model.name()) {
        out.note(&note);
    }
    let (device, file) = (model.name(), args.out.display().to_string());
    if out.is_json() {
        out.json(&json!({
            "out": file,
            "device": device,
            "rows": rows,
            "rows_failed": failed.rows(),
            "rows_uncovered": rows_uncovered,
        }))?;
    } else {
        let predicted = match failed.rows() {
            0 => format!("{rows} rows"),
            n => format!("{} of {rows} rows", rows - n),
        };
        out.text(&format!("{predicted} predicted for {device} in {file}"))?;
    }
    Ok(Exit::Ok)
}

/// How many rows leave work out, and of which networks; `None` where none does.
fn uncovered_note(rows: usize, networks: &Named, device: &str) -> Option<String> {
    let (count, have, their) = match rows {
        0 => return None,
        1 => ("1 row".to_owned(), "has", "its"),
        n => (format!("{n} rows"), "have", "their"),
    };
    Some(format!(
        "note: {count} {have} work that {device} does not cover, left out of {their} latency, which has no upper end for that (see uncovered_share): {}",
        networks.few()
    ))
}

#[cfg(test)]
mod tests {
    use super::{Named, uncovered_note};

    #[test]
    fn the_note_names_networks_and_counts_rows_in_english() {
        let note = |n: usize, of: usize| {
            let mut networks = Named::default();
            (0..n).for_each(|row| networks.add(row, &format!("net{}", row % of)));
            uncovered_note(n, &networks, "d")
        };
        assert_eq!(note(0, 1), None);
        let one = note(1, 1).unwrap();
        assert!(
            one.contains("1 row has work") && one.ends_with(": net0 (row 0)"),
            "{one}"
        );
        let five = note(5, 5).unwrap();
        assert!(
            five.contains("5 rows have work") && five.contains("their latency"),
            "{five}"
        );
        assert!(
            five.ends_with("net2 (row 2) and 2 more") && !five.contains("net3"),
            "{five}"
        );
        // a network of many rows is named once
        let five = note(5, 2).unwrap();
        assert!(
            five.contains("5 rows") && five.ends_with(": net0 (row 0), net1 (row 1)"),
            "{five}"
        );
    }
}
