//! The shipped profiles, from the public tables.

use super::error::CalibrateError;
use super::fit::{Fitted, short};
use super::interval::{LEVEL, conformal_quantile};
use super::peers::{self, Peers};
use super::priors::RateTable;
use super::{arm, gpu, help_cpus, nasbench, paddle, torch_gpus, transfer, vulkan};
use crate::base::table::Table;
use crate::device::{FORMAT, KindProfile, Law, Profile, Provenance};
use crate::fuse::{FuseRules, KernelKind};
use std::collections::BTreeMap;

/// The command that fits the shipped profiles again.
const REFIT: &str = "blocksmith calibrate --public ../shared/measurements --out results/devices";

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
    /// `help_archs`.
    pub help_archs: Table,
    /// `help_latency`.
    pub help_latency: Table,
    /// `published_latency_energy`.
    pub published: Table,
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
            help_archs: read("help_archs")?,
            help_latency: read("help_latency")?,
            published: read("published_latency_energy")?,
        })
    }
}

/// The joint fits that profiles are made of.
#[derive(Clone, Debug)]
pub struct Fits {
    /// Arm CPUs under ncnn.
    pub boards: arm::Boards,
    /// GPUs of the timm benchmark.
    pub gpus: gpu::Gpus,
    /// GPUs of the HELP tables.
    pub help: torch_gpus::Gpus,
    /// GPUs under ncnn.
    pub vulkan: arm::Boards,
}

impl Fits {
    /// All of them.
    ///
    /// # Errors
    /// Where a table is not what it should be.
    pub fn new(tables: &Tables) -> Result<Self, CalibrateError> {
        let (cells, archs) = (&tables.nasbench_archs, &tables.help_archs);
        let help = torch_gpus::read(cells, archs, &tables.help_latency)?;
        Ok(Self {
            boards: arm::Boards::fit(arm::tables(&tables.ncnn_arm, &tables.ncnn_graphs)?),
            gpus: gpu::Gpus::fit(gpu::files(&tables.timm_gpu, &tables.timm_graphs)?),
            help: torch_gpus::Gpus::fit(help),
            vulkan: vulkan::fit(&tables.ncnn_arm, &tables.ncnn_graphs)?,
        })
    }
}

/// What the boards of the tables have in common.
///
/// # Errors
/// Where a table is not what it should be.
pub fn peers(tables: &Tables) -> Result<Peers, CalibrateError> {
    let tables = arm::tables(&tables.ncnn_arm, &tables.ncnn_graphs)?;
    Ok(peers::shipped(&arm::recent(&tables)))
}

/// All shipped profiles, in the order of [`BUILT_IN`](crate::device::BUILT_IN).
///
/// # Errors
/// Where a table is not what it should be.
pub fn all(tables: &Tables, fits: &Fits) -> Result<Vec<Profile>, CalibrateError> {
    let (boards, gpus) = (&fits.boards, &fits.gpus);
    let known = arm::kinds_known(&boards.tables);
    let a76 = table_of(boards, &arm::BOARDS[0])?;
    let mut profiles = pi5(tables, &boards.rates(a76), &known)?;
    for board in &arm::BOARDS {
        profiles.push(board_profile(boards, board, &known)?);
    }
    profiles.extend(paddle::profiles(&tables.published, boards, &profiles)?);
    for cpu in &help_cpus::CPUS {
        let (cells, archs) = (&tables.nasbench_archs, &tables.help_archs);
        let rows = help_cpus::read(cpu, cells, archs, &tables.help_latency)?;
        let profile = rows.profile(cpu, &profiles);
        profiles.push(profile);
    }
    for gpu in &vulkan::GPUS {
        let number = vulkan::find(&fits.vulkan, gpu).ok_or_else(|| missing(gpu.profile))?;
        profiles.push(vulkan::profile(&fits.vulkan, gpu, number));
    }
    let first = profiles.len();
    for gpu in &gpu::GPUS {
        profiles.push(gpu_profile(gpus, gpu)?);
    }
    let half: Vec<Profile> = profiles[first..].iter().take(1).cloned().collect();
    for source in &half {
        profiles.extend((0..torch_gpus::GPUS.len()).map(|g| fits.help.profile(g, source)));
    }
    for profile in &mut profiles {
        profile.provenance.refit = Some(REFIT.to_owned());
        profile.provenance.program = Some(env!("CARGO_PKG_VERSION").to_owned());
    }
    Ok(profiles)
}

/// The number of a board's table.
///
/// # Errors
/// Where there is none.
pub fn table_of(boards: &arm::Boards, board: &arm::Board) -> Result<usize, CalibrateError> {
    arm::find(&boards.tables, board).ok_or_else(|| missing(board.profile))
}

fn missing(profile: &str) -> CalibrateError {
    CalibrateError::Network {
        network: profile.to_owned(),
        why: "the table of this device is not there".to_owned(),
    }
}

/// The Raspberry Pi 5 under three runtimes; kinds without cells come from `a76`, ncnn on the same core.
fn pi5(tables: &Tables, a76: &RateTable, known: &[bool]) -> Result<Vec<Profile>, CalibrateError> {
    let fit = |runtime: &nasbench::Runtime| {
        nasbench::fit_runtime(&tables.nasbench_archs, &tables.nasbench_pi5, runtime)
    };
    let fits: Result<Vec<Fitted>, CalibrateError> = nasbench::RUNTIMES.iter().map(fit).collect();
    let fits = fits?;
    let from = "ncnn on the Raspberry Pi 5, 1 thread, fp16";
    // the rule is tried on the kinds that both have
    let misses = fits.iter().flat_map(|f| transfer::misses(&f.kinds(), a76));
    let misses: Vec<f64> = misses.map(f64::abs).collect();
    let transferred_log = short(conformal_quantile(&misses, LEVEL));
    let one = |(runtime, fitted): (&nasbench::Runtime, &Fitted)| {
        let mut kinds = fitted.kinds();
        transfer::fill(
            &mut kinds,
            a76,
            [&Law::NCNN, &Law::PLAIN],
            |k| known[k.index()],
            from,
        );
        transfer::fill_siblings(&mut kinds);
        let about = About {
            provenance: Provenance {
                data: "nasbench201_pi5, nasbench201_archs".to_owned(),
                origin: "roldebijvank/HW-NAS-Bench-360 (2026)".to_owned(),
                licence: "none stated by the origin; only fitted figures are here".to_owned(),
                date: Some("2026".to_owned()),
                notes: vec![
                    "energy is that of the VDD_CORE rail above idle: no DRAM, no board".to_owned(),
                    "the cells are 16 to 64 channels wide at 88x88 pixels and less; wider and larger kernels are extrapolated".to_owned(),
                    format!("no such kernels in the cells: {}; their time is transferred, their energy is that time at the power of the anchor kind", transferred(&kinds)),
                    format!("the rule of transfer misses kinds that both runtimes have by up to a factor of {:.1} in four of five cases ({} cases on three runtimes)", transferred_log.exp(), misses.len()),
                ],
                ..Provenance::default()
            },
            ..nasbench::about(runtime)
        };
        let mut profile = about.profile(fitted, kinds);
        profile.interval.transferred_log = transferred_log;
        profile
    };
    Ok(nasbench::RUNTIMES.iter().zip(&fits).map(one).collect())
}

/// The profile of a board; `known` has the kinds of all boards.
///
/// # Errors
/// Where its table is not there.
pub fn board_profile(
    boards: &arm::Boards,
    board: &arm::Board,
    known: &[bool],
) -> Result<Profile, CalibrateError> {
    let number = table_of(boards, board)?;
    let of = OfNcnn {
        name: board.profile,
        hardware: board.hardware,
        runtime: "ncnn",
        threads: u32::try_from(board.threads).unwrap_or(1),
        precision: board.precision,
        carried_from: "the same rates on all Arm boards of the table",
        others: "other tables of Arm CPUs",
        held_out: arm::LEFT_OUT_METHOD,
    };
    Ok(of.profile(boards, number, known))
}

/// What differs between profiles that are fitted to tables of ncnn's benchmark.
pub struct OfNcnn {
    /// The profile.
    pub name: &'static str,
    /// The hardware.
    pub hardware: &'static str,
    /// What runs the network.
    pub runtime: &'static str,
    /// Threads.
    pub threads: u32,
    /// Number format.
    pub precision: &'static str,
    /// Where rates of kinds come from that the table's own networks lack.
    pub carried_from: &'static str,
    /// What it was fitted together with.
    pub others: &'static str,
    /// What is held out to judge it.
    pub held_out: &'static str,
}

impl OfNcnn {
    /// The profile of one of the tables that were fitted together; `known` are the kinds that any of them has.
    pub fn profile(&self, boards: &arm::Boards, number: usize, known: &[bool]) -> Profile {
        let table = &boards.tables[number];
        let (mut held_out, width) = boards.table_errors(number);
        held_out.method = self.held_out.to_owned();
        let fitted = Fitted::of(
            &table.samples,
            boards.rates(number),
            boards.seen(number),
            held_out,
            width,
        );
        let mut kinds = fitted.kinds();
        // the joint fit has rates for kinds that this table's networks lack
        kinds.extend(fitted.carried(known, self.carried_from));
        transfer::fill_siblings(&mut kinds);
        let about = About {
            name: self.name,
            hardware: self.hardware,
            runtime: self.runtime,
            threads: (self.threads > 0).then_some(self.threads),
            precision: Some(self.precision),
            rules: FuseRules::ncnn(),
            law: Law::NCNN,
            cache_elems: None,
            provenance: Provenance {
                data: "ncnn_arm, ncnn_graphs".to_owned(),
                origin: "Tencent/ncnn benchmark page".to_owned(),
                licence: "BSD-3-Clause".to_owned(),
                date: Some(table.date.clone()),
                notes: vec![
                    "best of the printed loops; no energy".to_owned(),
                    format!(
                        "fitted together with {} {}",
                        boards.tables.len() - 1,
                        self.others
                    ),
                ],
                ..Provenance::default()
            },
        };
        let mut profile = about.profile(&fitted, kinds);
        profile.known = boards.known(number);
        profile
    }
}

fn gpu_profile(gpus: &gpu::Gpus, gpu: &gpu::Gpu) -> Result<Profile, CalibrateError> {
    let number = gpus.find(gpu).ok_or_else(|| missing(gpu.profile))?;
    let (held_out, width) = gpus.file_errors(number);
    let samples = &gpus.files[number].1;
    let seen = gpus.seen(number);
    let fitted = Fitted::of(samples, gpus.rates(number), seen, held_out, width);
    let mut kinds = fitted.kinds();
    transfer::fill_siblings(&mut kinds);
    let about = About {
        name: gpu.profile,
        hardware: gpu.hardware,
        runtime: gpu.runtime,
        threads: None,
        precision: Some("fp16 (automatic mixed precision)"),
        rules: FuseRules::eager(),
        law: gpu::LAW,
        cache_elems: None,
        provenance: Provenance {
            data: "timm_gpu, timm_graphs".to_owned(),
            origin: "huggingface/pytorch-image-models results".to_owned(),
            licence: "Apache-2.0".to_owned(),
            date: Some(
                if gpu.file.2 == "2.4.0" {
                    "2024"
                } else {
                    "2025"
                }
                .to_owned(),
            ),
            notes: vec![
                format!(
                    "torch {}; large batches dominate: small ones are extrapolated",
                    gpu.file.2
                ),
                format!(
                    "fitted together with {} other files of the benchmark",
                    gpus.files.len() - 1
                ),
                "no energy".to_owned(),
            ],
            ..Provenance::default()
        },
    };
    let mut profile = about.profile(&fitted, kinds);
    profile.known = gpus.known(number);
    Ok(profile)
}

fn transferred(kinds: &BTreeMap<KernelKind, KindProfile>) -> String {
    let names = kinds.iter().filter(|(_, p)| p.seen.is_none());
    let names: Vec<&str> = names.map(|(kind, _)| kind.name()).collect();
    names.join(", ")
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
    pub threads: Option<u32>,
    /// Number format.
    pub precision: Option<&'a str>,
    /// How the runtime fuses.
    pub rules: FuseRules,
    /// How it turns shapes into work.
    pub law: Law,
    /// Elements that the near caches hold.
    pub cache_elems: Option<f64>,
    /// Where the figures come from; what the fit counts itself is filled in with the profile.
    pub provenance: Provenance,
}

impl About<'_> {
    /// The profile of a fit with these kinds.
    pub fn profile(self, fitted: &Fitted, kernels: BTreeMap<KernelKind, KindProfile>) -> Profile {
        let mut interval = fitted.interval;
        let [rows, groups, networks] = fitted.counts;
        interval.transferred_log = transfer::TRANSFERRED_LOG;
        interval.far_log = transfer::FAR_LOG;
        Profile {
            format: FORMAT.to_owned(),
            name: self.name.to_owned(),
            hardware: self.hardware.to_owned(),
            runtime: self.runtime.to_owned(),
            threads: self.threads,
            precision: self.precision.map(str::to_owned),
            batch: fitted.batch,
            provenance: Provenance {
                networks,
                rows,
                groups,
                ..self.provenance
            },
            held_out: fitted.held_out.clone(),
            interval,
            fuse: self.rules,
            law: self.law,
            effects: BTreeMap::new(),
            cache_elems: self.cache_elems,
            latency_constant_s: short(fitted.latency.constant),
            host_constant_s: None,
            energy_constant_j: fitted.energy.as_ref().map(|e| short(e.constant)),
            latency_range_s: Some(fitted.range_s),
            kernels,
            known: Vec::new(),
            regions: Vec::new(),
        }
    }
}
