//! Profiles of Arm boards from the ncnn benchmark tables.
//!
//! A table has some twenty networks, too few for thirty rates. So all tables of Arm CPUs are fitted at once
//! ([`joint`]). When a network is held out, it is held out of all tables.

use super::error::CalibrateError;
use super::fit::{errors, seen, short};
use super::gpu::known_with;
use super::interval;
use super::joint::{self, Belief, Columns, Joint, Row};
use super::ops;
use super::priors::{self, RateTable, Work};
use super::sample::Sample;
use crate::base::table::Table;
use crate::device::{HeldOut, Known, Law, Rates, Seen, signature};
use crate::fuse::{Kernel, KernelKind, WorkClass};
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
pub const BOARDS: [Board; 28] = [
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
        "pi3-ncnn",
        "Raspberry Pi 3 Model B+ (Cortex-A53 1.4 GHz), 1 thread",
        "Raspberry Pi 3 Model B+",
        1,
        0,
        "fp32, bf16 storage",
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
        "arduino-uno-q-ncnn-4t",
        "Arduino UNO Q, QRB2210 (Cortex-A53 2.0 GHz), 4 threads",
        "Arduino UNO Q",
        4,
        0,
        "fp32, bf16 storage",
    ),
    board(
        "orangepi-zero2-ncnn-4t",
        "Orange Pi Zero 2, Allwinner H616 (Cortex-A53 1.5 GHz), 4 threads",
        "OrangePi Zero 2",
        4,
        0,
        "fp32, bf16 storage",
    ),
    board(
        "radxa-zero3w-ncnn-4t",
        "Radxa Zero 3W (Cortex-A55 1.4 GHz), 4 threads",
        "Radxa Zero 3W",
        4,
        0,
        "fp16",
    ),
    board(
        "rock3a-ncnn",
        "Rock 3A, Rockchip RK3568 (Cortex-A55 2.0 GHz), 1 thread",
        "Rock3A",
        1,
        0,
        "fp16",
    ),
    board(
        "rock3a-ncnn-4t",
        "Rock 3A, Rockchip RK3568 (Cortex-A55 2.0 GHz), 4 threads",
        "Rock3A",
        4,
        0,
        "fp16",
    ),
    board(
        "avaota-t527-ncnn-4t",
        "Avaota Aim T527, Allwinner T527 (Cortex-A55 2.2 GHz), big cores, 4 threads",
        "Avaota Aim T527",
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
        "rk3399-ncnn-2t",
        "Rockchip RK3399 (Cortex-A72 1.8 GHz), 2 threads",
        "Rockchip RK3399 ",
        2,
        2,
        "fp32, bf16 storage",
    ),
    board(
        "orangepi4-ncnn-2t",
        "Orange Pi 4 LTS, RK3399 (Cortex-A72 1.8 GHz), 2 threads",
        "OrangePi4 LTS",
        2,
        2,
        "fp32, bf16 storage",
    ),
    board(
        "khadas-vim3-ncnn",
        "Khadas VIM3, Amlogic A311D (Cortex-A73 2.2 GHz), 1 thread",
        "Khadas VIM3",
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
    board(
        "snapdragon660-ncnn",
        "Qualcomm Snapdragon 660 (Kryo 260, of Cortex-A73), 1 thread",
        "Qualcomm SDM660",
        1,
        2,
        "fp32, bf16 storage",
    ),
    board(
        "snapdragon835-ncnn",
        "Qualcomm Snapdragon 835 (Kryo 280, of Cortex-A73), 1 thread",
        "Qualcomm MSM8998",
        1,
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
        "rk3588-little-ncnn",
        "Rockchip RK3588, little cores (Cortex-A55 1.8 GHz), 1 thread",
        "Rockchip RK3588 (Cortex-A76 2.4GHz x 4",
        1,
        1,
        "fp16",
    ),
    board(
        "snapdragon765g-ncnn-4t",
        "Qualcomm Snapdragon 765G (Kryo 475, of Cortex-A76 and A55), 4 threads",
        "Qualcomm SDM765G",
        4,
        2,
        "fp16",
    ),
    board(
        "jetson-tx2nx-ncnn",
        "NVIDIA Jetson TX2 NX, CPU, 1 thread",
        "NVIDIA Jetson TX2 NX",
        1,
        0,
        "fp32, bf16 storage",
    ),
    board(
        "jetson-xavier-ncnn",
        "NVIDIA Jetson AGX Xavier, CPU (Carmel 2.2 GHz), 1 thread",
        "NVIDIA Jetson AGX Xavier",
        1,
        0,
        "fp16",
    ),
    board(
        "jetson-agx-orin-ncnn",
        "NVIDIA Jetson AGX Orin, CPU (Cortex-A78AE 2.2 GHz), 1 thread",
        "NVIDIA Jetson AGX Orin",
        1,
        0,
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
        "snapdragon8gen2-ncnn",
        "Qualcomm Snapdragon 8 Gen 2, big cores (Cortex-X3 first), 1 thread",
        "Qualcomm SM8550-AB",
        1,
        2,
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
        "orion-o6-ncnn",
        "Radxa Orion O6 (Cortex-A720 2.6 GHz), 1 thread",
        "Radxa Orion O6",
        1,
        2,
        "fp16",
    ),
];

/// Networks whose operators the graph table does not fully state: attention without its MACs.
const LEFT_OUT: [&str; 1] = ["vision_transformer"];

/// What is held out.
pub const LEFT_OUT_METHOD: &str = "one network left out of all boards at a time";

/// Tables with fewer networks than this are not used.
const MIN_NETWORKS: usize = 12;

/// Tables from before this month timed other networks of the same names.
const SINCE: &str = "2020-03";

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

/// The floating-point CPU tables of Arm.
///
/// # Errors
/// Where a column is not there.
pub fn tables(rows: &Table, graphs: &Table) -> Result<Vec<BoardTable>, CalibrateError> {
    let cpu = |isa: &str, gpu: i64| (isa == "arm64" || isa == "arm32") && gpu == -1;
    tables_of(rows, graphs, cpu)
}

/// The floating-point tables of which `wanted` takes the instruction set and the Vulkan device (-1 is the CPU).
///
/// # Errors
/// Where a column is not there.
pub fn tables_of(
    rows: &Table,
    graphs: &Table,
    wanted: impl Fn(&str, i64) -> bool,
) -> Result<Vec<BoardTable>, CalibrateError> {
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
        let usable = wanted(isa[row], gpu[row]) && !int8[row] && !LEFT_OUT.contains(&network[row]);
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

/// The tables that timed the networks as they are now.
pub fn recent(tables: &[BoardTable]) -> Vec<BoardTable> {
    let recent = tables.iter().filter(|t| t.date.as_str() >= SINCE);
    recent.cloned().collect()
}

/// All tables, and what was fitted to them.
#[derive(Clone, Debug)]
pub struct Boards {
    /// The tables.
    pub tables: Vec<BoardTable>,
    /// What is fitted.
    pub columns: Columns,
    /// From all networks.
    pub whole: Joint,
    /// By the network left out.
    pub without: BTreeMap<String, Joint>,
    rows: Vec<(Row, String)>,
}

/// The columns of ncnn: rates that twenty networks cannot tell apart are one.
pub fn columns() -> Columns {
    use KernelKind::*;
    Columns::named(priors::ncnn(), |kind, rate| {
        let kind = KernelKind::ALL[kind];
        let conv = matches!(kind.class(), WorkClass::Conv | WorkClass::Depthwise);
        if rate == Rates::LAUNCH {
            return match (kind, conv) {
                (Linear, _) => "launch of linear",
                (_, true) => "launch of convolutions",
                (_, false) => "launch of the rest",
            }
            .to_owned();
        }
        if rate == Rates::UNPACKED && kind != Conv1x1 {
            return "unpacked".to_owned();
        }
        let name = match kind {
            Add | Mul | Act | ActHard | Norm => "element-wise",
            Concat | Copy | Shuffle | Upsample => "moves",
            MaxPool | AvgPool => "pools",
            _ => kind.name(),
        };
        // an element read costs what an element written does
        let rate = if rate == 3 { 2 } else { rate };
        format!("{name} {rate}")
    })
}

/// A network's kernels as ncnn works them off.
pub fn work(sample: &Sample) -> Work {
    Work::of(&sample.kernels, sample.batch, f64::INFINITY, &Law::NCNN)
}

impl Boards {
    /// Fits all tables, and again without each network.
    pub fn fit(tables: Vec<BoardTable>) -> Self {
        let columns = columns();
        let mut rows: Vec<(Row, String)> = Vec::new();
        for (device, table) in tables.iter().enumerate() {
            for sample in &table.samples {
                let costs = columns.costs(&work(sample));
                let log = sample.latency_s.ln();
                rows.push((Row { device, costs, log }, sample.network.clone()));
            }
        }
        let names: BTreeSet<&str> = rows.iter().map(|(_, n)| n.as_str()).collect();
        let fit = |without: Option<&str>| {
            let kept = rows.iter().filter(|(_, n)| Some(n.as_str()) != without);
            let kept: Vec<Row> = kept.map(|(r, _)| r.clone()).collect();
            joint::fit(&kept, tables.len(), columns.len(), &Belief::DEFAULT)
        };
        let without = names.into_par_iter();
        let without = without.map(|n| (n.to_owned(), fit(Some(n)))).collect();
        let whole = fit(None);
        Self {
            whole,
            without,
            tables,
            rows,
            columns,
        }
    }

    /// (Predicted, measured) in the order of rows, each from the fit without its network; with table and network.
    pub fn held_out(&self) -> Vec<(usize, &str, (f64, f64))> {
        let pair = |(row, network): &'_ (Row, String)| {
            let joint = self.without.get(network).unwrap_or(&self.whole);
            let log = joint::predict(&row.costs, &joint.logs[row.device]);
            (log.exp(), row.log.exp())
        };
        let all = self.rows.iter();
        all.map(|r| (r.0.device, r.1.as_str(), pair(r))).collect()
    }

    /// The rates of a table.
    pub fn rates(&self, table: usize) -> RateTable {
        self.columns.table(&self.whole.logs[table])
    }

    /// The networks of a table and how far the fit is off on them, drawn towards 0.
    pub fn known(&self, table: usize) -> Vec<Known> {
        let logs = &self.whole.logs[table];
        known_with(&self.tables[table].samples, &self.columns, logs, work)
    }

    /// Fits all tables without some networks.
    pub fn without_networks(&self, out: impl Fn(&str) -> bool) -> Joint {
        let kept = self.rows.iter().filter(|(_, n)| !out(n));
        let kept: Vec<Row> = kept.map(|(r, _)| r.clone()).collect();
        joint::fit(
            &kept,
            self.tables.len(),
            self.columns.len(),
            &Belief::DEFAULT,
        )
    }

    /// Errors of a table on networks left out, and the half width of its interval.
    pub fn table_errors(&self, table: usize) -> (HeldOut, f64) {
        let held = self.held_out();
        let own: Vec<_> = held.iter().filter(|(t, _, _)| *t == table).collect();
        let pairs: Vec<(f64, f64)> = own.iter().map(|(_, _, pair)| *pair).collect();
        let groups: Vec<&str> = own.iter().map(|(_, network, _)| *network).collect();
        let width = |without: Option<&str>| {
            let others = || held.iter().filter(|(_, n, _)| Some(*n) != without);
            let own = others().filter(|(t, _, _)| *t == table);
            let own: Vec<f64> = own.map(|h| interval::miss(&h.2)).collect();
            let all: Vec<f64> = others().map(|h| interval::miss(&h.2)).collect();
            interval::pooled_quantile(&own, &all, interval::LEVEL)
        };
        let mut errors = errors(&pairs, &groups, LEFT_OUT_METHOD);
        let (inside, wide) = interval::cover(&pairs, |i| width(Some(groups[i])));
        errors.coverage = Some(short(inside));
        errors.width = Some(short(wide));
        (errors, width(None))
    }

    /// What a table's networks have of each kind, as the rates see it.
    pub fn seen(&self, table: usize) -> Vec<Option<Seen>> {
        seen(&self.tables[table].samples, &Law::NCNN)
    }
}

/// How much of a measured network's miss is kept: the next run will not miss quite so.
pub const TRUST: f64 = 0.8;

/// What is kept of a measured network: most of its miss.
pub fn known(sample: &Sample, miss: f64) -> Known {
    Known {
        network: sample.network.clone(),
        signature: signature(&sample.kernels),
        log_ratio: short(TRUST * miss),
        half_log: None,
    }
}

/// The number of the table of a board: of several, the newest.
pub fn find(tables: &[BoardTable], board: &Board) -> Option<usize> {
    let of_board = tables.iter().enumerate().filter(|(_, t)| {
        t.soc.starts_with(board.heading)
            && t.threads == board.threads
            && t.powersave == board.powersave
    });
    let newest = of_board.max_by(|(_, a), (_, b)| a.date.cmp(&b.date).then(a.id.cmp(&b.id)));
    newest.map(|(i, _)| i)
}

/// The chip of a heading: one of those that stand under several headings, else what is before the first comma or bracket.
pub fn chip(heading: &str) -> &str {
    const SHARED: [(&str, &str); 9] = [
        ("RK3588", "RK3588"),
        ("RK3399", "RK3399"),
        ("RK3568", "RK3568"),
        ("RK3328", "RK3328"),
        ("FT-2000", "FT-2000"),
        ("KUNPENG 920", "Kunpeng 920"),
        ("BCM2712", "BCM2712"),
        ("BCM2837", "BCM2837"),
        // the same die in another package
        ("BCM2710", "BCM2837"),
    ];
    let upper = heading.to_uppercase();
    let shared = SHARED.iter().find(|(mark, _)| upper.contains(mark));
    let end = heading.find([',', '(']).unwrap_or(heading.len());
    shared.map_or(heading[..end].trim(), |(_, chip)| chip)
}

/// Which kernel kinds any network of the tables has, by [`KernelKind::index`].
pub fn kinds_known(tables: &[BoardTable]) -> Vec<bool> {
    let mut known = vec![false; KernelKind::COUNT];
    for sample in tables.iter().flat_map(|t| &t.samples) {
        for kernel in sample.kernels.iter() {
            known[Law::NCNN.kind(kernel).index()] = true;
        }
    }
    known
}
