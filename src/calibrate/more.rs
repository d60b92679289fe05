//! Lines of the table of figures for the HELP tables and for what profiles of phones and boards' GPUs say of themselves.

use super::arm::Boards;
use super::help::{Measured, errors_of, space_name};
use super::hosted::{adapted, half_width};
use super::interval::cover;
use super::report::Line;
use super::sample::{Sample, draw};
use super::torch_gpus::{GPUS, Gpus};
use super::vulkan;
use crate::base::stats::mean;
use crate::device::{HeldOut, Profile};

/// Networks that are given.
const SHOTS: usize = 20;
const DRAWS: u64 = 10;

/// All lines.
pub fn lines(profiles: &[Profile], gpus: &Gpus, boards: &Boards) -> Vec<Line> {
    let mut lines = stated(profiles);
    lines.extend(unsound(boards));
    lines.extend(batches(gpus));
    lines.extend(few(gpus));
    lines
}

fn line(set: String, held: HeldOut) -> Line {
    Line {
        set,
        split: held.method.clone(),
        bars: None,
        coverage: held.coverage,
        width: held.width,
        constant: None,
        held,
    }
}

/// Errors that profiles of these tables state.
fn stated(profiles: &[Profile]) -> Vec<Line> {
    let ours = profiles.iter().filter(|p| {
        p.runtime.starts_with("Paddle")
            || p.runtime.ends_with("Vulkan")
            || p.provenance.data.starts_with("help")
    });
    ours.flat_map(|p| p.held_out.iter().map(|h| line(p.name.clone(), h.clone())))
        .collect()
}

/// Of Vulkan tables that make no profile.
fn unsound(boards: &Boards) -> Vec<Line> {
    let one = |gpu: &vulkan::Gpu| {
        let (held, _) = boards.table_errors(vulkan::find(boards, gpu)?);
        let method = vulkan::METHOD.to_owned();
        let held = HeldOut { method, ..held };
        Some(line(
            format!("{} under Vulkan: no profile", gpu.profile),
            held,
        ))
    };
    vulkan::UNSOUND.iter().filter_map(one).collect()
}

/// Fitted on batches up to 32, tested on larger ones.
fn batches(gpus: &Gpus) -> Vec<Line> {
    let small = gpus.of_batches(|batch| batch <= 32);
    let one = |gpu: usize| {
        let pairs = gpus.pairs(gpu, &small[gpu], |m| m.sample.batch > 32 && gpus.is_test(m));
        let method = "batches 1 and 32 fitted, other networks tested at 64 and 256";
        line(GPUS[gpu].profile.to_owned(), errors_of(&pairs, method))
    };
    (0..GPUS.len()).map(one).collect()
}

/// The new GPU and the known one.
const PAIRS: [(&str, &str); 3] = [
    ("rtx2080ti-torch", "v100-torch"),
    ("titanxp-torch", "rtx2080ti-torch"),
    ("v100-torch", "rtx2080ti-torch"),
];

/// Once-for-all networks on a GPU of which twenty were drawn, the others predicted.
struct Drawn<'a> {
    /// (Predicted, measured) of a batch.
    tested: Vec<(&'a Measured, (f64, f64))>,
    /// Half width of the interval.
    half: f64,
}

/// All draws at one batch; `None` of a GPU that is not there.
fn draws<'a>(gpus: &'a Gpus, (new, known): (&str, &str), batch: u32) -> Option<Vec<Drawn<'a>>> {
    let of = |name: &str| GPUS.iter().position(|g| g.profile == name);
    let (gpu, init) = (of(new)?, of(known)?);
    let rates = gpus.without_gpu(gpu);
    let rows = gpus.measured[gpu].iter();
    let rows = rows.filter(|m| m.space == "ofa" && m.sample.batch == batch);
    let rows: Vec<&Measured> = rows.collect();
    let one = |number: u64| {
        let drawn = draw(rows.len(), SHOTS, "once-for-all shots", number);
        let shots: Vec<&Sample> = drawn.iter().map(|i| &rows[*i].sample).collect();
        let fitted = adapted(&rates[init], &shots);
        let all = rows.iter().enumerate();
        let tested = all.filter(|(i, _)| drawn.binary_search(i).is_err());
        Drawn {
            tested: tested
                .map(|(_, m)| (*m, (fitted.predict(&m.sample), m.sample.latency_s)))
                .collect(),
            half: half_width(&rates[init], &shots),
        }
    };
    Some((0..DRAWS).map(one).collect())
}

/// Log errors of once-for-all networks on GPUs never seen but for twenty of them, by GPU, batch and input size.
pub fn few_misses(gpus: &Gpus) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    for pair in PAIRS {
        for batch in [1, 64] {
            let tested = draws(gpus, pair, batch).into_iter().flatten();
            found.extend(
                tested
                    .flat_map(|d| d.tested)
                    .map(|(row, (predicted, measured))| {
                        let first = row.sample.kernels.first();
                        let side = first.map_or(0, |k| k.input.hw().0);
                        let sides = match side {
                            ..160 => "to 156 px",
                            160..192 => "160 to 188 px",
                            _ => "192 px up",
                        };
                        let gpu = pair.0.trim_end_matches("-torch");
                        let group = format!("{gpu} {batch}, {sides}");
                        (group, (predicted / measured).ln())
                    }),
            );
        }
    }
    found
}

/// Once-for-all networks on a GPU never seen but for twenty of them.
fn few(gpus: &Gpus) -> Vec<Line> {
    let mut lines = Vec::new();
    for (new, known) in PAIRS {
        for batch in [1, 32, 64] {
            let Some(draws) = draws(gpus, (new, known), batch) else {
                continue;
            };
            let (mut held, mut inside, mut wide) = (Vec::new(), Vec::new(), Vec::new());
            for drawn in &draws {
                held.push(errors_of(&drawn.tested, ""));
                let pairs: Vec<(f64, f64)> = drawn.tested.iter().map(|t| t.1).collect();
                let (share, width) = cover(&pairs, |_| drawn.half);
                inside.push(share);
                wide.push(width);
            }
            let average = |f: fn(&HeldOut) -> f64| mean(&held.iter().map(f).collect::<Vec<_>>());
            let Some(first) = held.first() else { continue };
            let split = format!(
                "{} at batch {batch}: {known} known, this GPU never seen but for {SHOTS} networks; mean of {DRAWS} draws",
                space_name("ofa")
            );
            let held = HeldOut {
                method: split.clone(),
                mape: average(|h| h.mape).unwrap_or(0.0),
                median_ape: average(|h| h.median_ape).unwrap_or(0.0),
                within_10: average(|h| h.within_10).unwrap_or(0.0),
                tau: average(|h| h.tau.unwrap_or(0.0)),
                coverage: mean(&inside),
                width: mean(&wide),
                ..first.clone()
            };
            let bars = match batch {
                1 => Some((2.5, 1.5)),
                64 => Some((0.9, 0.6)),
                _ => None,
            };
            lines.push(Line {
                bars,
                ..line(new.to_owned(), held)
            });
        }
    }
    lines
}
