//! Profiles of Arm boards from the ncnn benchmark tables.
//!
//! A table has some twenty networks, too few for thirty rates. So the ratios between rates are first fitted over all
//! tables of 64-bit Arm CPUs at once (each table with a scale of its own), and each board is then pulled towards them.
//! When a network is held out, it is held out of both steps.

use super::error::CalibrateError;
use super::fit::{Fitted, LEVEL, Options, errors, fit, group_quantile, solve};
use super::ops;
use super::priors::{self, RateTable, Work};
use super::sample::Sample;
use crate::base::stats::median;
use crate::base::table::Table;
use crate::device::Quantity;
use crate::fuse::{Kernel, KernelKind};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A board whose table becomes a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Board {
    /// The profile.
    pub profile: &'static str,
    /// For people.
    pub hardware: &'static str,
    /// Start of the heading in the table.
    pub heading: &'static str,
    /// Threads.
    pub threads: i64,
    /// ncnn's choice of cores: 0 all, 1 little, 2 big.
    pub powersave: i64,
    /// What numbers ncnn computes with there.
    pub precision: &'static str,
}

const fn board(
    profile: &'static str,
    hardware: &'static str,
    heading: &'static str,
    threads: i64,
    powersave: i64,
    precision: &'static str,
) -> Board {
    Board {
        profile,
        hardware,
        heading,
        threads,
        powersave,
        precision,
    }
}

/// The boards that ship.
pub const BOARDS: [Board; 10] = [
    board(
        "pi5-ncnn",
        "Raspberry Pi 5 (Cortex-A76 2.4 GHz), 1 thread",
        "Raspberry Pi 5 Broadcom BCM2712, ",
        1,
        0,
        "fp16",
    ),
    board(
        "pi5-ncnn-4t",
        "Raspberry Pi 5 (Cortex-A76 2.4 GHz), 4 threads",
        "Raspberry Pi 5 Broadcom BCM2712, ",
        4,
        0,
        "fp16",
    ),
    board(
        "pi3-ncnn-4t",
        "Raspberry Pi 3 Model B+ (Cortex-A53 1.4 GHz), 4 threads",
        "Raspberry Pi 3 Model B+",
        4,
        0,
        "fp32, bf16 storage",
    ),
    board(
        "pi-zero2w-ncnn-4t",
        "Raspberry Pi Zero 2 W (Cortex-A53 1.0 GHz), 4 threads",
        "Raspberry Pi Zero 2 W",
        4,
        0,
        "fp32, bf16 storage",
    ),
    board(
        "rk3399-ncnn-2t",
        "Rockchip RK3399 (Cortex-A72 1.8 GHz), 2 threads",
        "Rockchip RK3399 ",
        2,
        2,
        "fp32, bf16 storage",
    ),
    board(
        "orangepi5-ncnn-4t",
        "Orange Pi 5, RK3588S (Cortex-A76 2.4 GHz), 4 threads",
        "OrangePi5, Rockchip RK3588s",
        4,
        2,
        "fp16",
    ),
    board(
        "jetson-orin-nano-ncnn",
        "NVIDIA Jetson Orin Nano, CPU, 1 thread",
        "NVIDIA Jetson Orin Nano",
        1,
        0,
        "fp16",
    ),
    board(
        "snapdragon8gen2-ncnn-4t",
        "Qualcomm Snapdragon 8 Gen 2, big cores, 4 threads",
        "Qualcomm SM8550-AB",
        4,
        2,
        "fp16",
    ),
    board(
        "snapdragon810-ncnn",
        "Qualcomm Snapdragon 810 (Cortex-A57 2.0 GHz), 1 thread",
        "Qualcomm MSM8994",
        1,
        2,
        "fp32, bf16 storage",
    ),
    board(
        "khadas-vim3-ncnn-4t",
        "Khadas VIM3, Amlogic A311D (Cortex-A73 2.2 GHz), 4 threads",
        "Khadas VIM3",
        4,
        2,
        "fp32, bf16 storage",
    ),
];

/// Networks whose operators the graph table does not fully state: attention without its MACs.
const LEFT_OUT: [&str; 1] = ["vision_transformer"];

/// Tables with fewer networks than this are not used.
const MIN_NETWORKS: usize = 12;

/// One run of the benchmark on one board.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardTable {
    /// Its number.
    pub id: i64,
    /// The heading.
    pub soc: String,
    /// Threads.
    pub threads: i64,
    /// ncnn's choice of cores.
    pub powersave: i64,
    /// Newest row.
    pub date: String,
    /// Networks and times.
    pub samples: Vec<Sample>,
}

/// The floating-point CPU tables of 64-bit Arm.
///
/// # Errors
/// Where a column is not there.
pub fn tables(rows: &Table, graphs: &Table) -> Result<Vec<BoardTable>, CalibrateError> {
    let networks: BTreeMap<String, Arc<[Kernel]>> = ops::networks(graphs)?;
    let id = rows.all_ints("table_id")?;
    let (soc, isa) = (rows.all_texts("soc")?, rows.all_texts("isa")?);
    let threads = rows.all_ints("threads")?;
    let powersave = rows.all_ints("powersave")?;
    let gpu = rows.all_ints("gpu_device")?;
    let (network, int8) = (rows.all_texts("network")?, rows.all_bools("int8")?);
    let (best, date) = (rows.reals("min_ms")?, rows.texts("date")?);
    let mut tables: BTreeMap<i64, BoardTable> = BTreeMap::new();
    for row in 0..rows.rows() {
        let usable = isa[row] == "arm64"
            && gpu[row] == -1
            && !int8[row]
            && !LEFT_OUT.contains(&network[row]);
        let (true, Some(kernels), Some(ms)) = (usable, networks.get(network[row]), best[row])
        else {
            continue;
        };
        let table = tables.entry(id[row]).or_insert_with(|| BoardTable {
            id: id[row],
            soc: soc[row].to_owned(),
            threads: threads[row],
            powersave: powersave[row],
            date: String::new(),
            samples: Vec::new(),
        });
        let date = date[row].clone().unwrap_or_default();
        table.date = std::mem::take(&mut table.date).max(date);
        table.samples.push(Sample {
            network: network[row].to_owned(),
            group: network[row].to_owned(),
            kernels: kernels.clone(),
            batch: 1,
            latency_s: ms * 1e-3,
            energy_j: None,
        });
    }
    let mut tables: Vec<BoardTable> = tables.into_values().collect();
    tables.retain(|t| t.samples.len() >= MIN_NETWORKS);
    Ok(tables)
}

/// What a fit of tables rests on: the prior of all of them, whole and with each network left out.
#[derive(Clone, Debug)]
pub struct Common {
    /// From all networks.
    pub whole: RateTable,
    /// By the network left out.
    pub without: BTreeMap<String, RateTable>,
}

/// Few networks have depthwise convolutions other than 3x3: they cost what those cost for each MAC.
fn tied() -> Vec<(KernelKind, KernelKind)> {
    vec![(KernelKind::DepthwiseOther, KernelKind::Depthwise3x3)]
}

/// How boards are fitted.
pub fn options(prior: RateTable) -> Options {
    Options {
        pull: 0.02,
        tied: tied(),
        huber: 0.1,
        folds: usize::MAX,
        method: "one network left out at a time, of the common prior too".to_owned(),
        ..Options::new(prior)
    }
}

/// Rates before any data, for ncnn. Some twenty networks cannot tell row ends, weights and cache misses from MACs, so
/// convolutions have no such rates here: they only carry errors to networks that the fit has not seen.
pub fn first_prior() -> RateTable {
    let mut table = priors::cpu();
    for kind in KernelKind::ALL {
        let rates = &mut table.rates[kind.index()];
        if rates[0] > 0.0 {
            rates[5] = 0.0;
        }
        rates[1] = 0.0;
        rates[4] = 0.0;
    }
    table
}

/// The common prior of these tables.
pub fn common(tables: &[BoardTable]) -> Common {
    let names: BTreeSet<&str> = tables
        .iter()
        .flat_map(|t| t.samples.iter().map(|s| s.network.as_str()))
        .collect();
    let without = names
        .into_par_iter()
        .map(|name| (name.to_owned(), pooled(tables, Some(name))))
        .collect();
    Common {
        whole: pooled(tables, None),
        without,
    }
}

/// Rates over all tables, each with a scale of its own.
fn pooled(tables: &[BoardTable], without: Option<&str>) -> RateTable {
    let prior = first_prior();
    let works: Vec<Vec<(Work, f64)>> = tables
        .iter()
        .map(|t| {
            let kept = t
                .samples
                .iter()
                .filter(|s| Some(s.network.as_str()) != without);
            kept.map(|s| (Work::of(&s.kernels, 1, f64::INFINITY), s.latency_s))
                .collect()
        })
        .collect();
    let mut table = prior.clone();
    for _ in 0..3 {
        let (mut all, mut costs) = (Vec::new(), Vec::new());
        for rows in &works {
            let ratios: Vec<f64> = rows.iter().map(|(w, t)| t / table.cost(w)).collect();
            let scale = median(&ratios).unwrap_or(1.0);
            for (work, time) in rows {
                all.push(work.clone());
                costs.push(time / scale);
            }
        }
        let options = Options {
            pull: 0.5,
            tied: tied(),
            huber: 0.1,
            ..Options::new(prior.clone())
        };
        table = solve(&all, &costs, |_| true, &prior, &options);
    }
    table
}

/// The fit of one table.
///
/// # Errors
/// Where the table has too few networks.
pub fn fit_table(table: &BoardTable, common: &Common) -> Result<Fitted, CalibrateError> {
    let options = options(common.whole.clone());
    let mut fitted = fit(&table.soc, &table.samples, &options)?;
    // held out again, now with a prior that has not seen the network either
    let pairs = held_out_pairs(table, common);
    let groups: Vec<&str> = table.samples.iter().map(|s| s.group.as_str()).collect();
    fitted.held_out = vec![errors(&pairs, &groups, &options.method)];
    fitted
        .held_out
        .iter_mut()
        .for_each(|h| h.quantity = Quantity::Latency);
    fitted.interval.latency_log = group_quantile(&pairs, &groups, LEVEL);
    Ok(fitted)
}

/// (Predicted, measured) of each network of a table, fitted without it.
pub fn held_out_pairs(table: &BoardTable, common: &Common) -> Vec<(f64, f64)> {
    let works: Vec<Work> = table
        .samples
        .iter()
        .map(|s| Work::of(&s.kernels, s.batch, f64::INFINITY))
        .collect();
    let times: Vec<f64> = table.samples.iter().map(|s| s.latency_s).collect();
    let pair = |i: usize| {
        let network = &table.samples[i].network;
        let prior = common.without.get(network).unwrap_or(&common.whole);
        let options = options(prior.clone());
        let kept = |j: usize| table.samples[j].network != *network;
        let rates = solve(&works, &times, kept, prior, &options);
        (rates.cost(&works[i]), times[i])
    };
    (0..times.len()).map(pair).collect()
}

/// The table of a board: of several, the newest.
pub fn find<'a>(tables: &'a [BoardTable], board: &Board) -> Option<&'a BoardTable> {
    let of_board = tables.iter().filter(|t| {
        t.soc.starts_with(board.heading)
            && t.threads == board.threads
            && t.powersave == board.powersave
    });
    of_board.max_by(|a, b| a.date.cmp(&b.date).then(a.id.cmp(&b.id)))
}

/// Which kernel kinds any network of the tables has, by [`KernelKind::index`].
pub fn known(tables: &[BoardTable]) -> Vec<bool> {
    let mut known = vec![false; KernelKind::COUNT];
    for sample in tables.iter().flat_map(|t| &t.samples) {
        for kernel in sample.kernels.iter() {
            known[kernel.kind.index()] = true;
        }
    }
    known
}
