//! Lines of the table of figures for the HELP tables and for what profiles of phones and boards' GPUs say of themselves.

use super::arm::Boards;
use super::help::space_name;
use super::hosted::{adapted, half_width};
use super::interval::cover;
use super::report::Line;
use super::sample::{Sample, draw};
use super::torch_gpus::{GPUS, Gpus, errors_of};
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

/// Once-for-all networks on a GPU never seen but for twenty of them.
fn few(gpus: &Gpus) -> Vec<Line> {
    let of = |name: &str| GPUS.iter().position(|g| g.profile == name);
    let mut lines = Vec::new();
    for (new, known) in [
        ("rtx2080ti-torch", "v100-torch"),
        ("titanxp-torch", "rtx2080ti-torch"),
        ("v100-torch", "rtx2080ti-torch"),
    ] {
        let (Some(gpu), Some(init)) = (of(new), of(known)) else {
            continue;
        };
        let rates = gpus.without_gpu(gpu);
        for batch in [1, 32, 64] {
            let rows = gpus.measured[gpu]
                .iter()
                .map(|m| (m.space.as_str(), &m.sample));
            let rows = rows.filter(|(space, s)| *space == "ofa" && s.batch == batch);
            let samples: Vec<&Sample> = rows.map(|(_, s)| s).collect();
            let (mut held, mut inside, mut wide) = (Vec::new(), Vec::new(), Vec::new());
            for number in 0..DRAWS {
                let drawn = draw(samples.len(), SHOTS, "once-for-all shots", number);
                let shots: Vec<&Sample> = drawn.iter().map(|i| samples[*i]).collect();
                let fitted = adapted(&rates[init], &shots);
                let all = samples.iter().enumerate();
                let tested = all.filter(|(i, _)| drawn.binary_search(i).is_err());
                let pairs: Vec<(&str, (f64, f64))> = tested
                    .map(|(_, s)| (s.network.as_str(), (fitted.predict(s), s.latency_s)))
                    .collect();
                held.push(errors_of(&pairs, ""));
                let half = half_width(&rates[init], &shots);
                let pairs: Vec<(f64, f64)> = pairs.iter().map(|p| p.1).collect();
                let (share, width) = cover(&pairs, |_| half);
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
