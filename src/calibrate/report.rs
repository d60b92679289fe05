//! The table of figures: every split that the models are judged by, run again from the public tables.

use super::error::CalibrateError;
use super::few::{Member, Start};
use super::fit::errors;
use super::interval::{LEVEL, cover, miss, pooled_quantile};
use super::joint;
use super::public::{self, Fits, Tables};
use super::sample::{Sample, draw};
use super::{arm, gpu, more, nasbench};
use crate::base::stats::{kendall_tau, mean};
use crate::device::{HeldOut, Law, Profile, Quantity};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What was predicted.
    pub set: String,
    /// What was fitted, what was held out.
    pub split: String,
    /// What must be reached, and what is wanted, in percent; `None` where nobody asked.
    pub bars: Option<(f64, f64)>,
    /// What was reached.
    pub held: HeldOut,
    /// Share of the rows within an interval whose width these rows did not set.
    pub coverage: Option<f64>,
    /// Width of that interval over the middle, on average.
    pub width: Option<f64>,
}

/// The table, and the profiles fitted on the way.
///
/// # Errors
/// Where a table is not what it should be.
pub fn run(tables: &Tables) -> Result<(Vec<Profile>, Vec<Line>), CalibrateError> {
    let fits = Fits::new(tables)?;
    let (boards, gpus) = (&fits.boards, &fits.gpus);
    let profiles = public::all(tables, &fits)?;
    let mut lines = pi5(&profiles);
    lines.extend(few_cells(tables)?);
    lines.extend(networks_left_out(boards));
    lines.push(boards_left_out(boards, 6));
    lines.push(boards_left_out(boards, 12));
    lines.extend(families_left_out(gpus));
    lines.extend(gpus_left_out(gpus));
    lines.extend(more::lines(&profiles, &fits.help, &fits.vulkan));
    Ok((profiles, lines))
}

/// The errors that the profiles of the Pi already state.
fn pi5(profiles: &[Profile]) -> Vec<Line> {
    // bars and wants: latency, energy; across input sizes: latency, energy
    let bars = [
        (
            "pi5-litert",
            [(2.5, 1.5), (4.2, 3.8), (3.5, 2.0), (5.0, 3.0)],
        ),
        ("pi5-onnx", [(1.2, 0.8), (3.8, 3.4), (4.0, 2.5), (6.0, 3.0)]),
        (
            "pi5-torchmobile",
            [(3.0, 1.5), (5.5, 5.0), (5.0, 3.0), (8.0, 5.0)],
        ),
    ];
    let mut lines = Vec::new();
    for (name, [time, energy, time_across, energy_across]) in bars {
        let Some(profile) = profiles.iter().find(|p| p.name == name) else {
            continue;
        };
        for held in &profile.held_out {
            let latency = held.quantity == Quantity::Latency;
            let across = held.method.starts_with("fitted on");
            let bars = match (across, latency) {
                (false, true) => Some(time),
                (false, false) => Some(energy),
                (true, _) if !held.method.starts_with("fitted on cifar100") => None,
                (true, true) => Some(time_across),
                (true, false) => Some(energy_across),
            };
            let of = if latency { "latency" } else { "energy" };
            lines.push(Line {
                set: format!("{name}, {of}"),
                split: held.method.clone(),
                bars,
                held: held.clone(),
                coverage: held.coverage,
                width: held.width,
            });
        }
    }
    lines
}

fn few_cells(tables: &Tables) -> Result<Vec<Line>, CalibrateError> {
    const DRAWS: u64 = 10;
    let bars = [(3.5, 2.5), (2.2, 1.5), (5.0, 3.0)];
    let mut lines = Vec::new();
    for (runtime, bars) in nasbench::RUNTIMES.iter().zip(bars) {
        let (archs, rows) = (&tables.nasbench_archs, &tables.nasbench_pi5);
        let rules = (runtime.rules)();
        let all = nasbench::samples(archs, rows, runtime.framework, &rules)?;
        let cells = all.into_iter().filter(|(_, task)| task == "cifar100");
        let cells: Vec<Sample> = cells.map(|(s, _)| s).collect();
        let options = nasbench::options(runtime);
        let mut pool = Vec::new();
        for number in 0..DRAWS {
            let shots = draw(cells.len(), 20, "few cells", number);
            let (fitted, tested): (Vec<_>, Vec<_>) =
                (0..cells.len()).partition(|i| shots.binary_search(i).is_ok());
            let of =
                |index: &[usize]| -> Vec<&Sample> { index.iter().map(|i| &cells[*i]).collect() };
            pool.extend(
                nasbench::across("", &of(&fitted), &of(&tested), &options)
                    .into_iter()
                    .take(1),
            );
        }
        let average = |f: fn(&HeldOut) -> f64| mean(&pool.iter().map(f).collect::<Vec<_>>());
        let Some(first) = pool.first() else { continue };
        lines.push(Line {
            set: format!("{}, latency", runtime.profile),
            split: format!(
                "cifar100, fitted on 20 cells, tested on the others; mean of {DRAWS} draws"
            ),
            bars: Some(bars),
            held: HeldOut {
                mape: average(|h| h.mape).unwrap_or(0.0),
                median_ape: average(|h| h.median_ape).unwrap_or(0.0),
                within_10: average(|h| h.within_10).unwrap_or(0.0),
                tau: average(|h| h.tau.unwrap_or(0.0)),
                ..first.clone()
            },
            coverage: None,
            width: None,
        });
    }
    Ok(lines)
}

fn line(
    set: &str,
    split: &str,
    bars: Option<(f64, f64)>,
    pairs: &[(f64, f64)],
    groups: &[&str],
) -> Line {
    Line {
        set: set.to_owned(),
        split: split.to_owned(),
        bars,
        held: errors(pairs, groups, split),
        coverage: None,
        width: None,
    }
}

fn networks_left_out(boards: &arm::Boards) -> Vec<Line> {
    // these hang on fully connected layers and on kernels that no other network has
    const EXTREME: [&str; 3] = ["alexnet", "blazeface", "vgg16"];
    let held = boards.held_out();
    let split = arm::LEFT_OUT_METHOD;
    let of = |keep: &dyn Fn(&str) -> bool, set: &str, bars| {
        let kept: Vec<_> = held.iter().filter(|(_, n, _)| keep(n)).collect();
        let pairs: Vec<(f64, f64)> = kept.iter().map(|h| h.2).collect();
        let names: Vec<&str> = kept.iter().map(|h| h.1).collect();
        let mut line = line(set, split, bars, &pairs, &names);
        // the width for a network, from all other networks
        let mut widths = std::collections::BTreeMap::new();
        for (table, name, _) in &kept {
            widths.entry((*table, *name)).or_insert_with(|| {
                let others = || held.iter().filter(|(_, n, _)| n != name);
                let own = others().filter(|(t, _, _)| t == table);
                let own: Vec<f64> = own.map(|h| miss(&h.2)).collect();
                let all: Vec<f64> = others().map(|h| miss(&h.2)).collect();
                pooled_quantile(&own, &all, LEVEL)
            });
        }
        let (share, width) = cover(&pairs, |i| widths[&(kept[i].0, kept[i].1)]);
        line.coverage = Some(share);
        line.width = Some(width);
        line
    };
    vec![
        of(
            &|_| true,
            "ncnn, all Arm CPU tables, floating point",
            Some((15.0, 10.0)),
        ),
        of(
            &|n| !EXTREME.contains(&n),
            "the same without alexnet, blazeface and vgg16",
            None,
        ),
    ]
}

/// The chip of a heading: what stands before its first comma or bracket.
fn chip(heading: &str) -> &str {
    let end = heading.find([',', '(']).unwrap_or(heading.len());
    heading[..end].trim()
}

fn boards_left_out(boards: &arm::Boards, shots: usize) -> Line {
    const PARTS: usize = 10;
    const DRAWS: u64 = 3;
    let chips: BTreeSet<&str> = boards.tables.iter().map(|t| chip(&t.soc)).collect();
    let chips: Vec<&str> = chips.into_iter().collect();
    let part = |soc: &str| chips.binary_search(&chip(soc)).unwrap_or(0) % PARTS;
    let (mut pairs, mut names) = (Vec::new(), Vec::new());
    for out in 0..PARTS {
        let joint = boards.without_chips(|soc| part(soc) == out);
        let left = |t: usize| part(&boards.tables[t].soc) == out;
        // what ships, but for these chips
        let shipped = arm::BOARDS.iter();
        let shipped = shipped.filter_map(|b| arm::find(&boards.tables, b));
        let family: Vec<Member> = shipped
            .filter(|t| !left(*t))
            .map(|t| Member {
                rates: boards.columns.table(&joint.logs[t]),
                known: gpu::known_with(
                    &boards.tables[t].samples,
                    &boards.columns,
                    &joint.logs[t],
                    arm::work,
                ),
            })
            .collect();
        let Some(init) = family.first() else { continue };
        let start = Start::of(init, &family, Law::NCNN, None);
        for t in (0..boards.tables.len()).filter(|t| left(*t)) {
            let samples = &boards.tables[t].samples;
            for number in 0..DRAWS {
                let number = DRAWS * t as u64 + number;
                let drawn = draw(samples.len(), shots, "board shots", number);
                let of = |given: bool| -> Vec<&Sample> {
                    let all = samples.iter().enumerate();
                    let wanted = all.filter(|(i, _)| drawn.binary_search(i).is_ok() == given);
                    wanted.map(|(_, s)| s).collect()
                };
                let (fit, test) = (of(true), of(false));
                let predicted = start.predict(&fit, &test);
                pairs.extend(predicted.into_iter().zip(test.iter().map(|s| s.latency_s)));
                names.extend(test.iter().map(|_| boards.tables[t].soc.as_str()));
            }
        }
    }
    let split = format!(
        "one chip in ten left out, {shots} of its networks given, the others predicted; {DRAWS} draws a table"
    );
    let bars = (shots == 6).then_some((9.5, 6.5));
    line("ncnn, a new board", &split, bars, &pairs, &names)
}

fn families_left_out(gpus: &gpu::Gpus) -> Vec<Line> {
    let held = gpus.held_out();
    let split = gpu::LEFT_OUT_METHOD;
    let mut lines = Vec::new();
    let mut taus = Vec::new();
    for (number, (file, _)) in gpus.files.iter().enumerate() {
        let own: Vec<_> = held.iter().filter(|h| h.0 == number).collect();
        let pairs: Vec<(f64, f64)> = own.iter().map(|h| h.2).collect();
        let names: Vec<&str> = own.iter().map(|h| h.1).collect();
        taus.extend(kendall_tau(&pairs));
        let compiled = if file.compiled { ", compiled" } else { "" };
        let set = format!(
            "timm, {} {} torch {}{compiled}",
            file.device, file.layout, file.torch
        );
        let mut line = line(&set, split, None, &pairs, &names);
        let (own, _) = gpus.file_errors(number);
        (line.coverage, line.width) = (own.coverage, own.width);
        lines.push(line);
    }
    let pairs: Vec<(f64, f64)> = held.iter().map(|h| h.2).collect();
    let names: Vec<&str> = held.iter().map(|h| h.1).collect();
    let mut all = line(
        "timm, all files in mixed precision (tau: mean over files)",
        split,
        Some((11.0, 8.0)),
        &pairs,
        &names,
    );
    all.held.tau = mean(&taus);
    lines.insert(0, all);
    lines
}

fn gpus_left_out(gpus: &gpu::Gpus) -> Vec<Line> {
    const DRAWS: u64 = 10;
    let mut lines = Vec::new();
    for (number, (file, samples)) in gpus.files.iter().enumerate() {
        let twin = gpus.files.iter().position(|(f, _)| {
            f.device != file.device
                && (&f.layout, &f.torch, f.compiled) == (&file.layout, &file.torch, file.compiled)
        });
        let Some(twin) = twin else { continue };
        // the known GPU is fitted with nothing of the new one in sight
        let rows: Vec<joint::Row> = gpus
            .files
            .iter()
            .enumerate()
            .filter(|(_, (f, _))| f.device != file.device)
            .flat_map(|(i, (_, s))| gpu::rows_of(s, i, &gpus.columns))
            .collect();
        let joint = joint::fit(&rows, gpus.files.len(), gpus.columns.len(), &gpu::BELIEF);
        let logs = &joint.logs[twin];
        let init = Member {
            rates: gpus.columns.table(logs),
            known: gpu::known_of(&gpus.files[twin].1, &gpus.columns, logs),
        };
        let start = Start::of(&init, &[], Law::PLAIN, None);
        let (mut pairs, mut names) = (Vec::new(), Vec::new());
        for draws in 0..DRAWS {
            let drawn = draw(
                samples.len(),
                20,
                "GPU shots",
                DRAWS * number as u64 + draws,
            );
            let of = |given: bool| -> Vec<&Sample> {
                let all = samples.iter().enumerate();
                all.filter(|(i, _)| drawn.binary_search(i).is_ok() == given)
                    .map(|(_, s)| s)
                    .collect()
            };
            let (fit, test) = (of(true), of(false));
            pairs.extend(
                start
                    .predict(&fit, &test)
                    .into_iter()
                    .zip(test.iter().map(|s| s.latency_s)),
            );
            names.extend(test.iter().map(|s| s.group.as_str()));
        }
        let known = &gpus.files[twin].0;
        let set = format!("timm, {} {} torch {}", file.device, file.layout, file.torch);
        let split = format!(
            "{} known, this GPU never seen but for 20 networks; {DRAWS} draws",
            known.device
        );
        lines.push(line(&set, &split, Some((5.0, 3.5)), &pairs, &names));
    }
    lines
}

/// The table in Markdown.
pub fn render(lines: &[Line]) -> String {
    let mut text = "| set | split | bar / want | MAPE | median | within 10 % | tau | 80 % interval covers | its width |\n|---|---|---|---|---|---|---|---|---|\n".to_owned();
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    let dash = |x: Option<String>| x.unwrap_or_else(|| "-".to_owned());
    for line in lines {
        let held = &line.held;
        let bars = line.bars.map(|(bar, want)| {
            let reached = |limit: f64| 100.0 * held.mape <= limit;
            let word = match () {
                () if reached(want) => "want reached",
                () if reached(bar) => "bar reached",
                () => "missed",
            };
            format!("{bar} / {want}: {word}")
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.0} % | {} | {} | {} |",
            line.set,
            line.split,
            dash(bars),
            percent(held.mape),
            percent(held.median_ape),
            100.0 * held.within_10,
            dash(held.tau.map(|t| format!("{t:.3}"))),
            dash(line.coverage.map(|c| format!("{:.0} %", 100.0 * c))),
            dash(line.width.map(|w| format!("{:.0} %", 100.0 * w))),
        );
    }
    text
}
