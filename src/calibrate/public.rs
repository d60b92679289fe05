//! The shipped profiles, from the public tables.

use super::error::CalibrateError;
use super::fit::{Fitted, short};
use super::priors::RateTable;
use super::sample::Sample;
use super::{arm, gpu, nasbench, priors, transfer};
use crate::base::table::Table;
use crate::device::{FORMAT, KindProfile, Profile, Provenance};
use crate::fuse::{FuseRules, Kernel, KernelKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tables that the shipped profiles come from.
#[derive(Clone, Debug)]
pub struct Tables {
    /// `nasbench201_archs`.
    pub nasbench_archs: Table,
    /// `nasbench201_pi5`.
    pub nasbench_pi5: Table,
    /// `ncnn_arm`.
    pub ncnn_arm: Table,
    /// `ncnn_graphs`.
    pub ncnn_graphs: Table,
    /// `timm_gpu`.
    pub timm_gpu: Table,
    /// `timm_graphs`.
    pub timm_graphs: Table,
}

impl Tables {
    /// The tables, each from what `read` makes of its name (the file's name without `.parquet`).
    ///
    /// # Errors
    /// What `read` says.
    pub fn read<E>(mut read: impl FnMut(&str) -> Result<Table, E>) -> Result<Self, E> {
        Ok(Self {
            nasbench_archs: read("nasbench201_archs")?,
            nasbench_pi5: read("nasbench201_pi5")?,
            ncnn_arm: read("ncnn_arm")?,
            ncnn_graphs: read("ncnn_graphs")?,
            timm_gpu: read("timm_gpu")?,
            timm_graphs: read("timm_graphs")?,
        })
    }
}

/// All shipped profiles, in the order of [`BUILT_IN`](crate::device::BUILT_IN).
///
/// # Errors
/// Where a table is not what it should be.
pub fn fit_all(tables: &Tables) -> Result<Vec<Profile>, CalibrateError> {
    let boards = arm::tables(&tables.ncnn_arm, &tables.ncnn_graphs)?;
    let common = arm::common(&boards);
    let known = arm::known(&boards);
    let arm = boards_profiles(&boards, &common, &known)?;
    let a76 = arm
        .iter()
        .find(|(profile, _)| profile.name == "pi5-ncnn")
        .map_or(&common.whole, |(_, rates)| rates);
    let mut profiles = pi5(tables, a76, &known)?;
    profiles.extend(arm.into_iter().map(|(profile, _)| profile));
    profiles.extend(gpus(tables)?);
    Ok(profiles)
}

/// The Raspberry Pi 5 under three runtimes; kinds without cells come from `a76`, ncnn on the same core.
fn pi5(tables: &Tables, a76: &RateTable, known: &[bool]) -> Result<Vec<Profile>, CalibrateError> {
    let one = |runtime: &nasbench::Runtime| {
        let fitted = nasbench::fit_runtime(&tables.nasbench_archs, &tables.nasbench_pi5, runtime)?;
        let mut kinds = fitted.kinds();
        let from = "ncnn on the Raspberry Pi 5, 1 thread, fp16";
        transfer::fill(&mut kinds, a76, |k| known[k.index()], from);
        transfer::fill_siblings(&mut kinds);
        let about = About {
            name: runtime.profile,
            hardware: "Raspberry Pi 5 (Cortex-A76 2.4 GHz), 1 thread",
            runtime: runtime.title,
            threads: 1,
            precision: "fp32",
            rules: (runtime.rules)(),
            cache_elems: nasbench::options().cache_elems,
            provenance: Provenance {
                data: "nasbench201_pi5, nasbench201_archs".to_owned(),
                origin: "roldebijvank/HW-NAS-Bench-360 (2026)".to_owned(),
                licence: "none stated by the origin; only fitted figures are here".to_owned(),
                date: Some("2026".to_owned()),
                notes: vec![
                    "energy is that of the VDD_CORE rail above idle: no DRAM, no board".to_owned(),
                    "the cells are 16 to 64 channels wide at 88x88 pixels and less; wider and larger kernels are extrapolated".to_owned(),
                    format!("no such kernels in the cells: {}; their time is transferred, their energy is that time at the power of the anchor kind", transferred(&kinds)),
                ],
                ..counts(&fitted)
            },
        };
        Ok(about.profile(&fitted, kinds))
    };
    nasbench::RUNTIMES.iter().map(one).collect()
}

fn boards_profiles(
    tables: &[arm::BoardTable],
    common: &arm::Common,
    known: &[bool],
) -> Result<Vec<(Profile, RateTable)>, CalibrateError> {
    let mut profiles = Vec::new();
    for board in &arm::BOARDS {
        let table = arm::find(tables, board).ok_or_else(|| CalibrateError::Network {
            network: board.profile.to_owned(),
            why: "the table of this board is not there".to_owned(),
        })?;
        let fitted = arm::fit_table(table, common)?;
        let mut kinds = fitted.kinds();
        // the fit's own table has the common ratios for kinds that this board's networks lack
        let rates = fitted.latency.clone();
        let from = "ncnn on all 64-bit Arm boards of the table";
        transfer::fill(&mut kinds, &rates, |k| known[k.index()], from);
        transfer::fill_siblings(&mut kinds);
        let about = About {
            name: board.profile,
            hardware: board.hardware,
            runtime: "ncnn",
            threads: u32::try_from(board.threads).unwrap_or(1),
            precision: board.precision,
            rules: FuseRules::ncnn(),
            cache_elems: None,
            provenance: Provenance {
                data: "ncnn_arm, ncnn_graphs".to_owned(),
                origin: "Tencent/ncnn benchmark page".to_owned(),
                licence: "BSD-3-Clause".to_owned(),
                date: Some(table.date.clone()),
                notes: vec![
                    "best of the printed loops; no energy".to_owned(),
                    "pulled towards ratios common to all boards".to_owned(),
                ],
                ..counts(&fitted)
            },
        };
        profiles.push((about.profile(&fitted, kinds), rates));
    }
    Ok(profiles)
}

fn gpus(tables: &Tables) -> Result<Vec<Profile>, CalibrateError> {
    let one = |gpu: &gpu::Gpu| {
        let fitted = gpu::fit_gpu(&tables.timm_gpu, &tables.timm_graphs, gpu)?;
        let mut kinds = fitted.kinds();
        transfer::fill_siblings(&mut kinds);
        let about = About {
            name: gpu.profile,
            hardware: gpu.hardware,
            runtime: "PyTorch eager, channels first",
            threads: 0,
            precision: "fp16 (automatic mixed precision)",
            rules: FuseRules::eager(),
            cache_elems: None,
            provenance: Provenance {
                data: "timm_gpu, timm_graphs".to_owned(),
                origin: "huggingface/pytorch-image-models results".to_owned(),
                licence: "Apache-2.0".to_owned(),
                date: Some("2024".to_owned()),
                notes: vec![
                    format!(
                        "torch {}; batches of 64 and more dominate: small batches are extrapolated",
                        gpu::TORCH
                    ),
                    "no energy".to_owned(),
                ],
                ..counts(&fitted)
            },
        };
        Ok(about.profile(&fitted, kinds))
    };
    gpu::GPUS.iter().map(one).collect()
}

fn transferred(kinds: &BTreeMap<KernelKind, KindProfile>) -> String {
    let names = kinds.iter().filter(|(_, p)| p.seen.is_none());
    let names: Vec<&str> = names.map(|(kind, _)| kind.name()).collect();
    names.join(", ")
}

/// Provenance with the counts of a fit and nothing else.
fn counts(fitted: &Fitted) -> Provenance {
    let [rows, groups, networks] = fitted.counts;
    Provenance {
        data: String::new(),
        origin: String::new(),
        licence: String::new(),
        date: None,
        networks,
        rows,
        groups,
        notes: Vec::new(),
    }
}

/// What a profile says of itself beside its rates.
#[derive(Clone, Debug, PartialEq)]
pub struct About<'a> {
    /// The name that commands use.
    pub name: &'a str,
    /// The hardware.
    pub hardware: &'a str,
    /// What runs the network.
    pub runtime: &'a str,
    /// Threads.
    pub threads: u32,
    /// Number format.
    pub precision: &'a str,
    /// How the runtime fuses.
    pub rules: FuseRules,
    /// Elements that the near caches hold.
    pub cache_elems: Option<f64>,
    /// Where the figures come from.
    pub provenance: Provenance,
}

impl About<'_> {
    /// The profile of a fit with these kinds.
    pub fn profile(self, fitted: &Fitted, kernels: BTreeMap<KernelKind, KindProfile>) -> Profile {
        let mut interval = fitted.interval;
        interval.transferred_log = transfer::TRANSFERRED_LOG;
        interval.far_log = transfer::FAR_LOG;
        Profile {
            format: FORMAT.to_owned(),
            name: self.name.to_owned(),
            hardware: self.hardware.to_owned(),
            runtime: self.runtime.to_owned(),
            threads: self.threads,
            precision: self.precision.to_owned(),
            batch: fitted.batch,
            provenance: self.provenance,
            held_out: fitted.held_out.clone(),
            interval,
            fuse: self.rules,
            cache_elems: self.cache_elems,
            latency_constant_s: short(fitted.latency.constant),
            energy_constant_j: fitted.energy.as_ref().map(|e| short(e.constant)),
            kernels,
        }
    }
}

/// A profile from one's own measurements, network by network.
///
/// The rates of `init` are where the fit starts and stay where the samples cannot tell; its fusion rules are kept, its
/// other kinds become transferred. Without it the fit starts from the rates of a common Arm core.
///
/// # Errors
/// Where there are too few samples.
pub fn fit_own(
    about: About<'_>,
    samples: &[Sample],
    init: Option<&Profile>,
) -> Result<Profile, CalibrateError> {
    let prior = init.map_or_else(priors::cpu, rates_of);
    let options = super::Options {
        pull: 0.02,
        huber: 0.1,
        cache_elems: about.cache_elems,
        method: "networks held out in up to 10 parts".to_owned(),
        ..super::Options::new(prior)
    };
    let fitted = super::fit(about.name, samples, &options)?;
    let mut kinds = fitted.kinds();
    if let Some(init) = init {
        let known = |k: KernelKind| init.kernels.contains_key(&k);
        transfer::fill(&mut kinds, &rates_of(init), known, &init.name);
    }
    let filled = Provenance {
        data: about.provenance.data.clone(),
        origin: about.provenance.origin.clone(),
        licence: about.provenance.licence.clone(),
        date: about.provenance.date.clone(),
        notes: about.provenance.notes.clone(),
        ..counts(&fitted)
    };
    let about = About {
        provenance: filled,
        ..about
    };
    Ok(about.profile(&fitted, kinds))
}

/// The latency rates of a profile.
fn rates_of(profile: &Profile) -> RateTable {
    let mut table = RateTable::zero();
    table.constant = profile.latency_constant_s;
    for (kind, rates) in &profile.kernels {
        table.rates[kind.index()] = rates.latency_s.to_array();
    }
    table
}

/// A sample of one's own from its parts.
pub fn own_sample(
    network: &str,
    kernels: Arc<[Kernel]>,
    batch: u32,
    latency_s: f64,
    energy_j: Option<f64>,
) -> Sample {
    Sample {
        network: network.to_owned(),
        group: network.to_owned(),
        kernels,
        batch,
        latency_s,
        energy_j,
    }
}
