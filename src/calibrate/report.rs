//! The table of figures: every split that the models are judged by, run again from the public tables.

use super::error::CalibrateError;
use super::few::{Member, Start};
use super::fit::errors;
use super::interval::{LEVEL, cover, miss, pooled_quantile};
use super::joint;
use super::peers::{self, Given, Unseen};
use super::public::{self, Fits, Tables};
use super::sample::{Sample, draw};
use super::{arm, gpu, interval, more, nasbench, residuals, torch_gpus};
use crate::base::stats::{kendall_tau, mean};
use crate::device::{HeldOut, Profile, Quantity};
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
    /// Width of the one interval that covers as many of these rows, knowing all of them.
    pub constant: Option<f64>,
}

/// What [`run`] makes.
#[derive(Clone, Debug)]
pub struct Report {
    /// The profiles fitted on the way.
    pub profiles: Vec<Profile>,
    /// The table.
    pub lines: Vec<Line>,
    /// Name and text of pictures of errors.
    pub pictures: Vec<(&'static str, String)>,
}

/// The table, pictures of errors, and the profiles fitted on the way.
///
/// # Errors
/// Where a table is not what it should be.
pub fn run(tables: &Tables) -> Result<Report, CalibrateError> {
    let fits = Fits::new(tables)?;
    let (boards, gpus) = (&fits.boards, &fits.gpus);
    let profiles = public::all(tables, &fits)?;
    // tables of older networks help the rates, but say nothing of how good they are
    let recent = &arm::Boards::fit(arm::recent(&boards.tables));
    let mut lines = pi5(&profiles);
    lines.extend(few_cells(tables)?);
    lines.extend(networks_left_out(recent));
    for (shots, given) in [(6, Given::Drawn), (6, Given::Suggested), (12, Given::Drawn)] {
        lines.push(boards_left_out(recent, shots, given));
    }
    lines.extend(kinds_left_out(recent));
    lines.extend(families_left_out(gpus));
    lines.extend(gpus_left_out(gpus));
    lines.extend(more::lines(&profiles, &fits.help, &fits.vulkan));
    Ok(Report {
        profiles,
        lines,
        pictures: pictures(recent, gpus, &fits.help),
    })
}

/// Errors where a figure asked for is missed.
fn pictures(
    boards: &arm::Boards,
    gpus: &gpu::Gpus,
    help: &torch_gpus::Gpus,
) -> Vec<(&'static str, String)> {
    let (networks, tables) = peers::boards_of(&boards.tables);
    let unseen = peers::chips_left_out(&networks, &tables, peers::SHOTS, Given::Drawn);
    let by = |name: &dyn Fn(&Unseen) -> String| -> Vec<(String, f64)> {
        let all = unseen.iter();
        all.map(|u| (name(u), u.log - u.measured)).collect()
    };
    let picture = |title: &str, misses: &[(String, f64)]| {
        let misses: Vec<(&str, f64)> = misses.iter().map(|(g, m)| (g.as_str(), *m)).collect();
        residuals::picture(title, &misses, 24)
    };
    let held = gpus.held_out();
    let of = |layout: &str, compiled: bool| -> Vec<(String, f64)> {
        let own = held.iter().filter(|h| {
            let file = &gpus.files[h.0].0;
            (file.layout.as_str(), file.compiled) == (layout, compiled)
        });
        own.map(|h| (h.1.to_owned(), (h.2.0 / h.2.1).ln()))
            .collect()
    };
    vec![
        (
            "new_board_by_network",
            picture(
                "A new board from 6 networks: predicted over measured, by network (rows)",
                &by(&|u| networks[u.network].network.clone()),
            ),
        ),
        (
            "new_board_by_chip",
            picture(
                "A new board from 6 networks: predicted over measured, by chip (rows)",
                &by(&|u| tables[u.board].chip.clone()),
            ),
        ),
        (
            "timm_nhwc_by_family",
            picture(
                "timm, channels last: predicted over measured, by family left out (rows)",
                &of("nhwc", false),
            ),
        ),
        (
            "timm_compiled_by_family",
            picture(
                "timm, compiled: predicted over measured, by family left out (rows)",
                &of("nchw", true),
            ),
        ),
        (
            "once_for_all_from_20",
            picture(
                "Once-for-all networks from 20 on a new GPU: predicted over measured, by GPU, batch and input",
                &more::few_misses(help),
            ),
        ),
    ]
}

/// Networks with a kind of kernel that the fit never saw: the first line with the interval of any network, the second with
/// it widened as a profile widens it.
fn kinds_left_out(boards: &arm::Boards) -> Vec<Line> {
    let strange = residuals::kinds_left_out(boards);
    let pairs: Vec<(f64, f64)> = strange.iter().map(|s| s.pair).collect();
    let names: Vec<&str> = strange.iter().map(|s| s.network.as_str()).collect();
    let kinds: BTreeSet<&str> = strange.iter().map(|s| s.kind.name()).collect();
    let split = format!(
        "all networks with one kind of kernel left out ({} kinds in turn), whose rates are then carried",
        kinds.len()
    );
    let of = |set: &str, half: &dyn Fn(usize) -> f64| {
        line(set, &split, None, &pairs, &names).within(&pairs, half)
    };
    vec![
        of("ncnn, a kind never seen, interval of any network", &|i| {
            strange[i].half
        }),
        of("ncnn, a kind never seen, interval as widened", &|i| {
            strange[i].half + strange[i].widened
        }),
    ]
}

impl Line {
    /// With the share of the rows within these half widths, how wide that is, and how wide one half width for all would be.
    fn within(mut self, pairs: &[(f64, f64)], half: impl Fn(usize) -> f64) -> Self {
        let (share, width) = cover(pairs, half);
        let misses = pairs.iter().map(|p| (miss(p), 1.0)).collect();
        let one = interval::weighted_quantile(misses, share);
        (self.coverage, self.width) = (Some(share), Some(width));
        self.constant = Some(one.exp() - (-one).exp());
        self
    }
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
                constant: None,
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
            constant: None,
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
        constant: None,
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
        let line = line(set, split, bars, &pairs, &names);
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
        line.within(&pairs, |i| widths[&(kept[i].0, kept[i].1)])
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

fn boards_left_out(boards: &arm::Boards, shots: usize, given: Given) -> Line {
    let (networks, tables) = peers::boards_of(&boards.tables);
    let unseen = peers::chips_left_out(&networks, &tables, shots, given);
    let pairs: Vec<(f64, f64)> = (unseen.iter())
        .map(|u| (u.log.exp(), u.measured.exp()))
        .collect();
    let names: Vec<&str> = unseen
        .iter()
        .map(|u| tables[u.board].chip.as_str())
        .collect();
    let how = match given {
        Given::Drawn => format!("{} draws a table", peers::DRAWS),
        Given::Suggested => "the networks that `--suggest` names, scored on the rest".to_owned(),
    };
    let split = format!(
        "one chip in ten left out, {shots} of its networks given, the others predicted; {how}"
    );
    let bars = (shots == peers::SHOTS).then_some((9.5, 6.5));
    let line = line("ncnn, a new board", &split, bars, &pairs, &names);
    // each part against a width that it had no part in
    let spreads: Vec<f64> = (0..peers::PARTS)
        .map(|part| peers::spread_of(unseen.iter().filter(|u| u.part != part)))
        .collect();
    line.within(&pairs, |i| spreads[unseen[i].part] * unseen[i].sd)
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
        let start = Start::of(&init, &[], gpu::LAW, None);
        let (mut pairs, mut names, mut halves) = (Vec::new(), Vec::new(), Vec::new());
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
            let predicted = start.predict(&fit, &test);
            pairs.extend(predicted.into_iter().zip(test.iter().map(|s| s.latency_s)));
            let recalled = start.recall(&fit, &test);
            halves.extend(recalled.into_iter().map(|r| r.map_or(0.0, |r| r.1)));
            names.extend(test.iter().map(|s| s.group.as_str()));
        }
        let known = &gpus.files[twin].0;
        let set = format!("timm, {} {} torch {}", file.device, file.layout, file.torch);
        let split = format!(
            "{} known, this GPU never seen but for 20 networks; {DRAWS} draws",
            known.device
        );
        let line = line(&set, &split, Some((5.0, 3.5)), &pairs, &names);
        lines.push(line.within(&pairs, |i| halves[i]));
    }
    lines
}

/// The table in Markdown.
pub fn render(lines: &[Line]) -> String {
    let mut text = "| set | split | bar / want | MAPE | median | within 10 % | tau | 80 % interval covers | its width | one width for all |\n|---|---|---|---|---|---|---|---|---|---|\n".to_owned();
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
            "| {} | {} | {} | {} | {} | {:.0} % | {} | {} | {} | {} |",
            line.set,
            line.split,
            dash(bars),
            percent(held.mape),
            percent(held.median_ape),
            100.0 * held.within_10,
            dash(held.tau.map(|t| format!("{t:.3}"))),
            dash(line.coverage.map(|c| format!("{:.0} %", 100.0 * c))),
            dash(line.width.map(|w| format!("{:.0} %", 100.0 * w))),
            dash(line.constant.map(|w| format!("{:.0} %", 100.0 * w))),
        );
    }
    text
}
