//! Records as rows of a table: what `predict` and `calibrate` read.

use super::energy::{Energy, Idle, above_idle};
use super::host::{Host, utc};
use super::session::{Item, Record, WindowRecord, agreement, windows};
use crate::base::stats::median;
use crate::base::table::{Table, TableError};
use serde::Serialize;

/// What all rows of a run have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Context {
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The hardware behind it, in its own words.
    pub hardware: Option<String>,
    /// What ran the nets.
    pub runtime: String,
    /// Its release.
    pub runtime_version: String,
    /// Number format.
    pub precision: String,
    /// Threads of one operation.
    pub threads: u32,
    /// Samples in the batch.
    pub batch: u32,
    /// Form of the nets.
    pub form: String,
    /// Layout of feature maps.
    pub memory_format: String,
    /// How waiting threads wait; null where there is one thread.
    pub spin: Option<String>,
    /// Processors kept to; null without.
    pub affinity: Option<String>,
    /// The machine.
    pub host: Host,
    /// The meter; null without.
    pub meter: Option<String>,
    /// Why there is none.
    pub no_meter: Option<String>,
}

/// One net.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What names it.
    #[serde(flatten)]
    pub item: Item,
    /// Median time of a run of the whole batch, in the quietest window.
    pub latency_s: f64,
    /// Of that window.
    #[serde(flatten)]
    pub spread: Spread,
    /// Windows.
    pub rounds: u32,
    /// How far the second-quietest window is above it; null with one window.
    pub agreement_share: Option<f64>,
    /// First net of the run, at its end against its start; null until then.
    pub drift_share: Option<f64>,
    /// Energy of a run above idle, median of the windows; null without.
    pub energy_j: Option<f64>,
    /// The same, idle included.
    pub energy_gross_j: Option<f64>,
    /// Idle power that was taken off.
    pub idle_w: Option<f64>,
    /// Why `energy_j` is null.
    pub energy_note: Option<String>,
    /// Words for what is wrong with it: `unsteady`, `disturbed`, `disagrees`, `drift`; null where nothing is.
    pub flags: Option<String>,
    /// Load over the last minute, at the end of the window.
    pub load_1m: Option<f64>,
    /// Hottest processor sensor then.
    pub temperature_c: Option<f64>,
    /// The end of the window.
    pub date: String,
}

/// Spread within a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The fastest run.
    pub latency_min_s: f64,
    /// A tenth were faster.
    pub latency_p10_s: f64,
    /// A tenth were slower.
    pub latency_p90_s: f64,
    /// Median distance from the median.
    pub latency_mad_s: f64,
    /// Timed runs.
    pub runs: i64,
    /// Those during which another process had the processor.
    pub disturbed_runs: i64,
    /// Those far from the median.
    pub outliers: i64,
    /// Runs before them.
    pub warm_up_runs: i64,
}

/// A run whose first net has changed by more than this has drifted.
pub const DRIFT: f64 = 0.05;

/// A row a net that has a window, in the order of `items`.
///
/// The quietest window stands for the net: the one with the smallest median among those whose statistics are of
/// undisturbed runs, if there are any.
pub fn rows(items: &[Item], records: &[Record], tolerance: f64, context: &Context) -> Vec<Row> {
    let windows = windows(records);
    let drift = drift(records);
    let mut rows = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let Some(own) = windows.get(&at) else {
            continue;
        };
        let Some((_, best)) = own
            .iter()
            .min_by(|(_, a), (_, b)| rank(a).cmp(&rank(b)).then(by_time(a, b)))
        else {
            continue;
        };
        let medians: Vec<f64> = own.iter().map(|(_, w)| w.sampling.latency_s).collect();
        let agreement_share = agreement(&medians);
        let drift_share = drift.map(|(_, share)| share);
        let drifted = drift.is_some_and(|(item, share)| item == at && share.abs() > DRIFT);
        let (energy, energy_note) = energy(records, own, context);
        let s = &best.sampling;
        let flags = [
            ("unsteady", !s.steady),
            ("disturbed", !s.undisturbed),
            ("disagrees", agreement_share.is_some_and(|a| a > tolerance)),
            ("drift", drifted),
        ];
        let flags: Vec<&str> = flags.iter().filter(|f| f.1).map(|f| f.0).collect();
        rows.push(Row {
            item: item.clone(),
            latency_s: s.latency_s,
            spread: Spread {
                latency_min_s: s.latency_min_s,
                latency_p10_s: s.latency_p10_s,
                latency_p90_s: s.latency_p90_s,
                latency_mad_s: s.latency_mad_s,
                runs: s.runs as i64,
                disturbed_runs: s.disturbed_runs as i64,
                outliers: s.outliers as i64,
                warm_up_runs: s.warm_up_runs as i64,
            },
            rounds: own.len() as u32,
            agreement_share,
            drift_share,
            energy_j: energy.map(|e| e.energy_j),
            energy_gross_j: energy.map(|e| e.gross_j),
            idle_w: energy.map(|e| e.idle_w),
            energy_note,
            flags: (!flags.is_empty()).then(|| flags.join(",")),
            load_1m: best.moment.load_1m,
            temperature_c: best.moment.temperature_c,
            date: utc(best.at_unix_s),
        });
    }
    rows
}

fn rank(window: &WindowRecord) -> bool {
    !window.sampling.undisturbed
}

fn by_time(a: &WindowRecord, b: &WindowRecord) -> std::cmp::Ordering {
    a.sampling.latency_s.total_cmp(&b.sampling.latency_s)
}

/// The net of the check, and its last window over its first, less 1.
fn drift(records: &[Record]) -> Option<(usize, f64)> {
    let windows = records.iter().filter_map(|r| match r {
        Record::Window(w) => Some(w),
        _ => None,
    });
    let check = windows.clone().find(|w| w.check)?;
    let first = windows.clone().find(|w| w.item == check.item)?;
    let share = check.sampling.latency_s / first.sampling.latency_s - 1.0;
    Some((check.item, share))
}

/// Median over the windows that have a figure, or why none has.
fn energy(
    records: &[Record],
    own: &[(usize, &WindowRecord)],
    context: &Context,
) -> (Option<Energy>, Option<String>) {
    if let Some(why) = &context.no_meter {
        return (None, Some(format!("no meter: {why}")));
    }
    let mut found: Vec<Energy> = Vec::new();
    let mut why = None;
    for (at, window) in own {
        let told = match (&window.gross, &window.meter_error) {
            (Some(gross), _) => {
                let (before, after) = around(records, *at, window.process);
                above_idle(gross, before, after).map_err(|e| e.to_string())
            }
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err("measured without a meter".to_owned()),
        };
        match told {
            Ok(energy) => found.push(energy),
            Err(error) => why = why.or(Some(error)),
        }
    }
    let middle = |of: fn(&Energy) -> f64| median(&found.iter().map(of).collect::<Vec<f64>>());
    match (
        middle(|e| e.energy_j),
        middle(|e| e.gross_j),
        middle(|e| e.idle_w),
    ) {
        (Some(energy_j), Some(gross_j), Some(idle_w)) => {
            let energy = Energy {
                energy_j,
                gross_j,
                idle_w,
            };
            (Some(energy), None)
        }
        _ => (None, why),
    }
}

/// Idle windows next to a record, of the same process.
fn around(records: &[Record], at: usize, process: u32) -> (Option<&Idle>, Option<&Idle>) {
    fn own(record: &Record, process: u32) -> Option<&Option<Idle>> {
        match record {
            Record::Idle(i) if i.process == process => Some(&i.idle),
            _ => None,
        }
    }
    let (before, after) = records.split_at(at);
    let before = before.iter().rev().find_map(|r| own(r, process));
    let after = after.iter().find_map(|r| own(r, process));
    (
        before.and_then(Option::as_ref),
        after.and_then(Option::as_ref),
    )
}

/// Rows as a table; see docs/measure.md for its columns.
///
/// # Errors
/// None that a caller could cause.
pub fn table(name: &str, rows: &[Row], context: &Context) -> Result<Table, TableError> {
    let n = rows.len();
    let mut table = Table::new(name);
    let text = |of: &dyn Fn(&Row) -> Option<String>| rows.iter().map(of).collect::<Vec<_>>();
    let real = |of: &dyn Fn(&Row) -> Option<f64>| rows.iter().map(of).collect::<Vec<_>>();
    let int = |of: &dyn Fn(&Row) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
    let same = |value: &str| vec![value.to_owned(); n];
    let maybe = |value: &Option<String>| vec![value.clone(); n];
    table.push("name", text(&|r| Some(r.item.name.clone())))?;
    table.push("arch", text(&|r| r.item.arch.clone()))?;
    table.push("space", text(&|r| r.item.space.clone()))?;
    table.push("choices", text(&|r| r.item.choices.clone()))?;
    table.push("suite", text(&|r| r.item.suite.clone()))?;
    table.push("family", text(&|r| r.item.family.clone()))?;
    table.push("device", same(&context.device))?;
    table.push("hardware", maybe(&context.hardware))?;
    table.push("runtime", same(&context.runtime))?;
    table.push("runtime_version", same(&context.runtime_version))?;
    table.push("precision", same(&context.precision))?;
    table.push("threads", vec![i64::from(context.threads); n])?;
    table.push("batch", vec![i64::from(context.batch); n])?;
    table.push("form", same(&context.form))?;
    table.push("memory_format", same(&context.memory_format))?;
    table.push("latency_s", real(&|r| Some(r.latency_s)))?;
    table.push("latency_min_s", real(&|r| Some(r.spread.latency_min_s)))?;
    table.push("latency_p10_s", real(&|r| Some(r.spread.latency_p10_s)))?;
    table.push("latency_p90_s", real(&|r| Some(r.spread.latency_p90_s)))?;
    table.push("latency_mad_s", real(&|r| Some(r.spread.latency_mad_s)))?;
    table.push("runs", int(&|r| r.spread.runs))?;
    table.push("disturbed_runs", int(&|r| r.spread.disturbed_runs))?;
    table.push("outliers", int(&|r| r.spread.outliers))?;
    table.push("warm_up_runs", int(&|r| r.spread.warm_up_runs))?;
    table.push("rounds", int(&|r| i64::from(r.rounds)))?;
    table.push("agreement_share", real(&|r| r.agreement_share))?;
    table.push("drift_share", real(&|r| r.drift_share))?;
    table.push("energy_j", real(&|r| r.energy_j))?;
    table.push("energy_gross_j", real(&|r| r.energy_gross_j))?;
    table.push("idle_w", real(&|r| r.idle_w))?;
    table.push("meter", maybe(&context.meter))?;
    table.push("energy_note", text(&|r| r.energy_note.clone()))?;
    table.push("flags", text(&|r| r.flags.clone()))?;
    table.push("load_1m", real(&|r| r.load_1m))?;
    table.push("temperature_c", real(&|r| r.temperature_c))?;
    table.push("spin", maybe(&context.spin))?;
    table.push("affinity", maybe(&context.affinity))?;
    table.push("cpu", maybe(&context.host.cpu))?;
    let cpus = context.host.cpus.map(i64::from);
    table.push("cpus", vec![cpus; n])?;
    table.push("governor", maybe(&context.host.governor))?;
    table.push("os", same(&context.host.os))?;
    table.push(
        "program",
        same(concat!("blocksmith ", env!("CARGO_PKG_VERSION"))),
    )?;
    table.push("date", text(&|r| Some(r.date.clone())))?;
    Ok(table)
}
