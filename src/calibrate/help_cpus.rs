//! Profiles of phones and Xeons from the HELP tables: batch 1, fitted device by device as the Pi's runtimes are ([`fit`](mod@super::fit)).
//!
//! Sums of tabulated blocks help to fit the kinds that only they have and are never tested on; times in whole milliseconds
//! are fitted and tested as they are.

use super::error::CalibrateError;
use super::fit::{Fitted, Options, seen, short, solve};
use super::help::{self, Measured, errors_of};
use super::interval::{LEVEL, conformal_quantile, miss};
use super::priors::{self, RateTable, Work};
use super::public::About;
use super::sample::{Sample, draw};
use super::transfer;
use crate::base::table::Table;
use crate::device::{Law, Profile};
use crate::fuse::{FuseRules, KernelKind};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A device that becomes a profile.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// The profile.
    pub profile: &'static str,
    /// For people.
    pub hardware: &'static str,
    /// As the table calls it.
    pub device: &'static str,
    /// What ran the networks.
    pub runtime: &'static str,
    /// How that fuses.
    pub rules: fn() -> FuseRules,
    /// Its rates before any data.
    pub prior: fn() -> priors::Runtime,
    /// The profile of a board with a core like it, for kinds that no network has; empty where there is none.
    pub near: &'static str,
}

/// The devices: those where FBNet, fitted on NAS-Bench-201 alone, is on average less than 20 % off, and the Pixel 3. The
/// Samsung S7 (28 %) and the Xeon Gold 6240 (36 %) are not.
pub const CPUS: [Cpu; 5] = [
    phone(
        "pixel3-litert",
        "Google Pixel 3 (Snapdragon 845)",
        "Google Pixel 3",
        ("LiteRT (TensorFlow Lite)", FuseRules::litert),
    ),
    phone(
        "essential-ph1-torchmobile",
        "Essential PH-1 (Snapdragon 835)",
        "Essential PH-1",
        MOBILE,
    ),
    phone(
        "samsung-a50-torchmobile",
        "Samsung Galaxy A50 (Exynos 9610)",
        "Samsung A50",
        MOBILE,
    ),
    xeon(
        "xeon-4114-torch",
        "Intel Xeon Silver 4114",
        "Xeon Silver 4114",
    ),
    xeon(
        "xeon-4210r-torch",
        "Intel Xeon Silver 4210R",
        "Xeon Silver 4210R",
    ),
];

type Runtime = (&'static str, fn() -> FuseRules);

/// The origin does not say what ran on the phones; the rules of PyTorch Mobile fit best.
const MOBILE: Runtime = (
    "PyTorch Mobile (inferred; the origin does not say)",
    FuseRules::torchmobile,
);

const fn phone(
    profile: &'static str,
    hardware: &'static str,
    device: &'static str,
    runtime: Runtime,
) -> Cpu {
    Cpu {
        profile,
        hardware,
        device,
        runtime: runtime.0,
        rules: runtime.1,
        prior: priors::cpu,
        near: "snapdragon835-ncnn",
    }
}

const fn xeon(profile: &'static str, hardware: &'static str, device: &'static str) -> Cpu {
    Cpu {
        profile,
        hardware,
        device,
        runtime: "PyTorch eager, CPU",
        rules: help::rules,
        prior: priors::cpu,
        near: "",
    }
}

/// Networks of a space that are fitted.
const FITTED: usize = 400;

/// What is held out first.
pub const OTHERS: &str = "the networks of the same spaces that were not fitted";

/// What is held out next.
pub const WITHOUT: &str = "FBNet left out, NAS-Bench-201 alone fitted";

/// One device's networks.
#[derive(Clone, Debug)]
pub struct Rows {
    /// All of them.
    pub all: Vec<Measured>,
    works: Vec<Work>,
    fitted: Vec<bool>,
    options: Options,
}

/// The networks of a device.
///
/// # Errors
/// Where a table is not what it should be.
pub fn read(cpu: &Cpu, cells: &Table, archs: &Table, rows: &Table) -> Result<Rows, CalibrateError> {
    let rules = (cpu.rules)();
    let mut all = help::measured(cells, archs, rows, "arm", &rules)?;
    if cpu.near.is_empty() {
        all = help::measured(cells, archs, rows, "x86", &rules)?;
    }
    all.retain(|m| m.device == cpu.device);
    let options = Options {
        tied: vec![
            (KernelKind::ConvFirst, KernelKind::Conv3x3),
            (KernelKind::Conv3x3Strided, KernelKind::Conv3x3),
        ],
        pull: 0.005,
        huber: 0.05,
        // FBNet's depthwise convolutions always come with pointwise ones
        least: 0.25,
        ..Options::new((cpu.prior)())
    };
    let work = |m: &Measured| Work::of(&m.sample.kernels, 1, f64::INFINITY, &Law::PLAIN);
    let works = all.par_iter().map(work).collect();
    let mut fitted = vec![false; all.len()];
    let mut spaces: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, m) in all.iter().enumerate() {
        spaces.entry(&m.space).or_default().push(i);
    }
    for (number, rows) in spaces.values().enumerate() {
        let drawn = draw(rows.len(), FITTED, "HELP CPU networks", number as u64);
        drawn.into_iter().for_each(|i| fitted[rows[i]] = true);
    }
    Ok(Rows {
        all,
        works,
        fitted,
        options,
    })
}

impl Rows {
    fn solve(&self, keep: impl Fn(&Measured) -> bool) -> RateTable {
        let times: Vec<f64> = self.all.iter().map(|m| m.sample.latency_s).collect();
        let keep = |i: usize| self.fitted[i] && keep(&self.all[i]);
        solve(
            &self.works,
            &times,
            keep,
            &self.options.prior,
            &self.options,
        )
    }

    /// (Predicted, measured) of the rows that were neither fitted nor put together and that `test` lets through.
    fn tested(
        &self,
        rates: &RateTable,
        test: impl Fn(&Measured) -> bool,
    ) -> Vec<(&Measured, (f64, f64))> {
        let rows = self.all.iter().zip(&self.works).zip(&self.fitted);
        let rows = rows.filter(|((m, _), fitted)| !**fitted && !m.composed && test(m));
        rows.map(|((m, work), _)| (m, (rates.cost(work), m.sample.latency_s)))
            .collect()
    }

    /// The profile; `boards` has that of the board with a core like it.
    pub fn profile(&self, cpu: &Cpu, boards: &[Profile]) -> Profile {
        let rates = self.solve(|_| true);
        let others = self.tested(&rates, |_| true);
        let rows = self.all.iter().zip(&self.fitted);
        let fitted_rows: Vec<&Measured> = rows.filter(|r| *r.1).map(|r| r.0).collect();
        let (regions, held) = help::judged(&fitted_rows, &others, OTHERS);
        let spaces: BTreeSet<&str> = others.iter().map(|t| t.0.space.as_str()).collect();
        // FBNet's only dense 3x3 convolution is its stem, so nothing is to be learned from it about the cells
        let alone = spaces.len() == 1;
        let mut more = Vec::new();
        let judging = match alone {
            true => others,
            false => {
                let rates = self.solve(|m| m.space != "fbnet");
                let fbnet = self.tested(&rates, |m| m.space == "fbnet");
                more.push(errors_of(&fbnet, WITHOUT));
                fbnet
            }
        };
        let misses: Vec<f64> = judging.iter().map(|t| miss(&t.1)).collect();
        let width = conformal_quantile(&misses, LEVEL);
        let samples: Vec<Sample> = fitted_rows.iter().map(|m| m.sample.clone()).collect();
        let seen = seen(&samples, &Law::PLAIN);
        let mut fitted = Fitted::of(&samples, rates, seen, held, width);
        fitted.held_out.extend(more);
        let mut kinds = fitted.kinds();
        if let Some(near) = boards.iter().find(|p| p.name == cpu.near) {
            let has = |k: KernelKind| near.kernels.contains_key(&k);
            let from = super::few::rates_of(near);
            transfer::fill(&mut kinds, &from, [&near.law, &Law::PLAIN], has, cpu.near);
        }
        transfer::fill_siblings(&mut kinds);
        let mut notes = vec!["no energy".to_owned()];
        if self.all.iter().any(|m| m.composed) {
            notes.push("of FBNet the origin has sums of tabulated blocks: they helped to fit and are not tested on".to_owned());
        }
        if self.all.iter().any(|m| m.whole_ms) {
            notes.push("timed in whole milliseconds: rounding alone is 1 to 5 %".to_owned());
        }
        notes.push(match alone {
            true => {
                "one space tested: other networks may be further off than its interval".to_owned()
            }
            false => "the interval of networks like those fitted is that of others of their space, of all else that of FBNet from the cells alone".to_owned(),
        });
        let about = About {
            name: cpu.profile,
            hardware: cpu.hardware,
            runtime: cpu.runtime,
            threads: None,
            precision: Some("fp32"),
            rules: (cpu.rules)(),
            law: Law::PLAIN,
            cache_elems: None,
            provenance: help::provenance(notes),
        };
        let mut profile = about.profile(&fitted, kinds);
        profile.interval.latency_log = short(width);
        profile.regions = regions;
        profile
    }
}
