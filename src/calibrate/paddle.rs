//! Profiles of phones from the tables that Paddle-Lite prints: five networks a chip, one big core.
//!
//! Five networks do not make thirty rates. So each chip is looked for among the boards of the ncnn tables ([`arm`]): in
//! their middle, along the directions in which they differ, beside the board with the same core where one is there. That
//! is a transfer between runtimes, so the interval comes from all chips' networks left out.

use super::arm;
use super::error::CalibrateError;
use super::fit::{Fitted, errors, seen, short};
use super::interval::{LEVEL, conformal_quantile, cover, miss};
use super::joint::{self, Belief, Columns, Family, Row};
use super::priors::Work;
use super::public::About;
use super::sample::Sample;
use super::transfer;
use crate::base::table::Table;
use crate::blocks::{self, Names};
use crate::device::{HeldOut, Law, Profile, Provenance};
use crate::fuse::{FuseRules, Kernel, fuse};
use std::sync::Arc;

/// A chip that becomes a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chip {
    /// The profile.
    pub profile: &'static str,
    /// For people.
    pub hardware: &'static str,
    /// As the table calls it.
    pub device: &'static str,
    /// The profile of a board to start beside.
    pub near: &'static str,
}

const fn chip(
    profile: &'static str,
    hardware: &'static str,
    device: &'static str,
    near: &'static str,
) -> Chip {
    Chip {
        profile,
        hardware,
        device,
        near,
    }
}

/// The chips.
pub const CHIPS: [Chip; 8] = [
    chip(
        "snapdragon625-paddle",
        "Qualcomm Snapdragon 625 (Cortex-A53 2.0 GHz), 1 thread",
        "Snapdragon 625",
        "pi3-ncnn",
    ),
    chip(
        "rk3399-paddle",
        "Rockchip RK3399 (Cortex-A72 1.8 GHz), 1 thread",
        "RK3399",
        "rk3399-ncnn-2t",
    ),
    chip(
        "snapdragon835-paddle",
        "Qualcomm Snapdragon 835 (Kryo 280, of Cortex-A73), 1 thread",
        "Snapdragon 835",
        "snapdragon835-ncnn",
    ),
    chip(
        "snapdragon845-paddle",
        "Qualcomm Snapdragon 845 (Kryo 385, of Cortex-A75), 1 thread",
        "Snapdragon 845",
        "snapdragon835-ncnn",
    ),
    chip(
        "snapdragon855-paddle",
        "Qualcomm Snapdragon 855 (Kryo 485, of Cortex-A76), 1 thread",
        "Snapdragon 855",
        "pi5-ncnn",
    ),
    chip(
        "snapdragon865-paddle",
        "Qualcomm Snapdragon 865 (Kryo 585, of Cortex-A77), 1 thread",
        "Snapdragon 865",
        "pi5-ncnn",
    ),
    chip(
        "kirin980-paddle",
        "HiSilicon Kirin 980 (Cortex-A76 2.6 GHz), 1 thread",
        "Kirin 980",
        "pi5-ncnn",
    ),
    chip(
        "kirin990-paddle",
        "HiSilicon Kirin 990 (Cortex-A76 2.9 GHz), 1 thread",
        "Kirin 990",
        "pi5-ncnn",
    ),
];

/// What is held out.
pub const METHOD: &str = "each network predicted from the other four";

/// What is fixed in a document.
type Settings = &'static [(&'static str, &'static str)];

/// Documents of the networks and what is fixed in them.
const NETWORKS: [(&str, &str, Settings); 5] = [
    (
        "MobileNetV1",
        include_str!("../../search_spaces/reference/mobilenet_v1.json"),
        &[("w", "1.0"), ("act", "relu")],
    ),
    (
        "MobileNetV2",
        include_str!("../../search_spaces/reference/mobilenet_v2.json"),
        &[("w", "1.0"), ("form", "torchvision")],
    ),
    (
        "MobileNetV3_large_x1_0",
        include_str!("../../search_spaces/reference/mobilenet_v3.json"),
        &[("model", "large")],
    ),
    (
        "MobileNetV3_small_x1_0",
        include_str!("../../search_spaces/reference/mobilenet_v3.json"),
        &[("model", "small")],
    ),
    (
        "ResNet50",
        include_str!("../../search_spaces/reference/resnet.json"),
        &[
            ("model", "resnet50"),
            ("stride_in_1x1", "false"),
            ("se", "false"),
        ],
    ),
];

fn wrong(network: &str, why: impl std::fmt::Display) -> CalibrateError {
    CalibrateError::Network {
        network: network.to_owned(),
        why: why.to_string(),
    }
}

fn kernels(text: &str, name: &str, set: &[(&str, &str)]) -> Result<Arc<[Kernel]>, CalibrateError> {
    let (space, program) = blocks::load(text).map_err(|e| wrong(name, e))?;
    let fixed = space.fix(set).map_err(|e| wrong(name, e))?;
    let mut all = fixed.assignments();
    let (Some(assignment), None) = (all.next(), all.next()) else {
        return Err(wrong(name, "decisions are open"));
    };
    let graph = program.lower(&assignment, Names::Off);
    let graph = graph.map_err(|e| wrong(name, e))?;
    Ok(Arc::from(fuse(&graph, &FuseRules::ncnn()).list))
}

/// The networks of each chip: single precision, 64 bits, one big core.
///
/// # Errors
/// Where a column is not there.
pub fn measured(rows: &Table) -> Result<Vec<Vec<Sample>>, CalibrateError> {
    let (origin, device) = (rows.all_texts("origin")?, rows.all_texts("device")?);
    let (isa, precision) = (rows.texts("isa")?, rows.texts("precision")?);
    let (network, time) = (rows.all_texts("network")?, rows.reals("latency_ms")?);
    let mut chips = vec![Vec::new(); CHIPS.len()];
    for (name, text, set) in NETWORKS {
        let kernels = kernels(text, name, set)?;
        for row in 0..rows.rows() {
            let is = |cells: &[Option<String>], text: &str| cells[row].as_deref() == Some(text);
            let chip = CHIPS.iter().position(|c| c.device == device[row]);
            let (Some(chip), Some(ms)) = (chip, time[row]) else {
                continue;
            };
            if origin[row].starts_with("Paddle-Lite")
                && network[row] == name
                && is(isa, "armv8")
                && is(precision, "fp32")
            {
                chips[chip].push(Sample {
                    network: name.to_owned(),
                    group: name.to_owned(),
                    kernels: Arc::clone(&kernels),
                    batch: 1,
                    latency_s: ms * 1e-3,
                    energy_j: None,
                });
            }
        }
    }
    Ok(chips)
}

/// The boards among which chips are looked for.
#[derive(Clone, Debug)]
pub struct Boards {
    names: Vec<String>,
    columns: Columns,
    logs: Vec<Vec<f64>>,
}

impl Boards {
    /// Of profiles under ncnn.
    pub fn new(profiles: &[Profile]) -> Option<Self> {
        let ncnn = profiles.iter().filter(|p| p.runtime == "ncnn");
        let members: Vec<_> = ncnn
            .map(|p| (p.name.clone(), super::few::rates_of(p)))
            .collect();
        let columns = Columns::single(members.first()?.1.clone());
        let logs = members.iter().map(|(_, r)| columns.logs(r)).collect();
        Some(Self {
            names: members.into_iter().map(|(name, _)| name).collect(),
            columns,
            logs,
        })
    }

    /// The way boards differ, around the one of that name.
    fn around(&self, near: &str) -> Family {
        let all = Family::of(&self.logs);
        let own = self.names.iter().position(|n| n == near);
        let mean = own.map_or(all.mean.clone(), |i| self.logs[i].clone());
        Family { mean, ..all }
    }

    fn row(&self, sample: &Sample) -> Row {
        let work = Work::of(&sample.kernels, 1, f64::INFINITY, &Law::NCNN);
        Row {
            device: 0,
            costs: self.columns.costs(&work),
            log: sample.latency_s.ln(),
        }
    }

    fn adapt(&self, chip: &Chip, samples: &[&Sample]) -> Vec<f64> {
        let rows: Vec<Row> = samples.iter().map(|s| self.row(s)).collect();
        let belief = Belief {
            noise: 0.05,
            ..Belief::DEFAULT
        };
        joint::adapt(&rows, &self.around(chip.near), &belief)
    }

    /// (Predicted, measured) of each network of a chip from its other networks.
    pub fn left_out(&self, chip: &Chip, samples: &[Sample]) -> Vec<(f64, f64)> {
        let one = |s: &Sample| {
            let others = samples.iter().filter(|o| o.network != s.network);
            let logs = self.adapt(chip, &others.collect::<Vec<_>>());
            let log = joint::predict(&self.row(s).costs, &logs);
            (log.exp(), s.latency_s)
        };
        samples.iter().map(one).collect()
    }
}

/// The profiles; `boards` are the profiles under ncnn.
///
/// # Errors
/// As [`measured`].
pub fn profiles(
    rows: &Table,
    boards: &arm::Boards,
    profiles: &[Profile],
) -> Result<Vec<Profile>, CalibrateError> {
    let measured = measured(rows)?;
    let Some(near) = Boards::new(profiles) else {
        return Ok(Vec::new());
    };
    let known = arm::kinds_known(&boards.tables);
    let pairs_of: Vec<Vec<(f64, f64)>> = (CHIPS.iter().zip(&measured))
        .map(|(chip, samples)| near.left_out(chip, samples))
        .collect();
    let misses: Vec<f64> = pairs_of.iter().flatten().map(miss).collect();
    let width = conformal_quantile(&misses, LEVEL);
    let one = |number: usize| {
        let (chip, samples, pairs) = (&CHIPS[number], &measured[number], &pairs_of[number]);
        let logs = near.adapt(chip, &samples.iter().collect::<Vec<_>>());
        let names: Vec<&str> = samples.iter().map(|s| s.network.as_str()).collect();
        // against a width that this chip had no part in
        let others = pairs_of.iter().enumerate().filter(|(i, _)| *i != number);
        let others: Vec<f64> = others.flat_map(|(_, p)| p.iter().map(miss)).collect();
        let half = conformal_quantile(&others, LEVEL);
        let (inside, wide) = cover(pairs, |_| half);
        let held = HeldOut {
            coverage: Some(short(inside)),
            width: Some(short(wide)),
            ..errors(pairs, &names, METHOD)
        };
        let rates = near.columns.table(&logs);
        let fitted = Fitted::of(samples, rates, seen(samples, &Law::NCNN), held, width);
        let mut kinds = fitted.kinds();
        kinds.extend(fitted.carried(&known, chip.near));
        transfer::fill_siblings(&mut kinds);
        let about = About {
            name: chip.profile,
            hardware: chip.hardware,
            runtime: "Paddle-Lite 2.11",
            threads: Some(1),
            precision: Some("fp32"),
            rules: FuseRules::ncnn(),
            law: Law::NCNN,
            cache_elems: None,
            provenance: Provenance {
                data: "published_latency_energy".to_owned(),
                origin: "Paddle-Lite benchmark page v2.11".to_owned(),
                licence: "Apache-2.0".to_owned(),
                date: None,
                notes: vec![
                    format!(
                        "five networks only: everything else is how boards under ncnn differ, beside {}",
                        chip.near
                    ),
                    format!(
                        "the interval is that of all {} networks of the eight chips, each predicted from its chip's other four",
                        misses.len()
                    ),
                    format!(
                        "fusion and shapes are taken to be those of ncnn; half width x {:.2}",
                        short(width).exp()
                    ),
                    "mean of 600 runs on one big core, 64 bits; no energy".to_owned(),
                ],
                ..Provenance::default()
            },
        };
        about.profile(&fitted, kinds)
    };
    Ok((0..CHIPS.len()).map(one).collect())
}
