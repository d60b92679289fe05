//! Profiles of the GPUs of the HELP tables ([`help`]), all fitted at once by [`hosted`](super::hosted).
//!
//! Five GPUs and up to three spaces at three batches. Of each space some networks are fitted, the same on all GPUs and
//! batches, and all others are test rows; so is, in turn, each space as a whole.

use super::error::CalibrateError;
use super::fit::{Fitted, seen, short};
use super::help::{self, Measured, OFA_WIDTH, errors_of, space_name};
use super::hosted::{Belief, Frame, Hosted};
use super::interval::{LEVEL, conformal_quantile, miss};
use super::public::About;
use super::sample::{Sample, draw};
use super::transfer;
use crate::base::table::Table;
use crate::device::{HeldOut, Law, Profile};
use crate::fuse::KernelKind;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A GPU that becomes a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// The profile.
    pub profile: &'static str,
    /// As the table calls it.
    pub device: &'static str,
}

/// The profiles.
pub const GPUS: [Gpu; 5] = [
    Gpu {
        profile: "gtx1080ti-torch",
        device: "NVIDIA GTX 1080 Ti",
    },
    Gpu {
        profile: "rtx2080ti-torch",
        device: "NVIDIA RTX 2080 Ti",
    },
    Gpu {
        profile: "titanx-torch",
        device: "NVIDIA TITAN X",
    },
    Gpu {
        profile: "titanxp-torch",
        device: "NVIDIA TITAN Xp",
    },
    Gpu {
        profile: "v100-torch",
        device: "NVIDIA V100",
    },
];

/// Networks of a space that are fitted.
const FITTED: usize = 250;

/// All GPUs, and what was fitted to them.
#[derive(Clone, Debug)]
pub struct Gpus {
    /// By [`GPUS`].
    pub measured: Vec<Vec<Measured>>,
    /// From all spaces.
    pub whole: Vec<Hosted>,
    /// By the space left out.
    pub without: BTreeMap<String, Vec<Hosted>>,
    /// Networks that are fitted.
    pub fitted: BTreeSet<String>,
}

/// The measured networks of each GPU of [`GPUS`].
///
/// # Errors
/// Where a table is not what it should be.
pub fn read(
    cells: &Table,
    archs: &Table,
    rows: &Table,
) -> Result<Vec<Vec<Measured>>, CalibrateError> {
    let all = help::measured(cells, archs, rows, "gpu", &help::rules())?;
    let mut by_gpu: Vec<Vec<Measured>> = vec![Vec::new(); GPUS.len()];
    for row in all {
        if let Some(number) = GPUS.iter().position(|g| g.device == row.device) {
            by_gpu[number].push(row);
        }
    }
    Ok(by_gpu)
}

impl Gpus {
    /// Fits all GPUs, and again without each space.
    pub fn fit(measured: Vec<Vec<Measured>>) -> Self {
        let mut spaces: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in measured.iter().flatten() {
            let networks = spaces.entry(&row.space).or_default();
            networks.insert(&row.sample.network);
        }
        let mut fitted = BTreeSet::new();
        for (number, networks) in spaces.values().enumerate() {
            let networks: Vec<&&str> = networks.iter().collect();
            let drawn = draw(networks.len(), FITTED, "HELP networks", number as u64);
            fitted.extend(drawn.into_iter().map(|i| (*networks[i]).to_owned()));
        }
        let spaces: Vec<String> = spaces.keys().map(|s| (*s).to_owned()).collect();
        let fit = |without: Option<&str>| {
            let kept = |m: &Measured| Some(m.space.as_str()) != without;
            fit(&measured, |_, m| {
                kept(m) && fitted.contains(&m.sample.network)
            })
        };
        let whole = fit(None);
        let without = spaces.par_iter();
        let without = without.map(|s| (s.clone(), fit(Some(s)))).collect();
        Self {
            whole,
            without,
            measured,
            fitted,
        }
    }

    /// The rates without what one GPU was measured to do.
    pub fn without_gpu(&self, out: usize) -> Vec<Hosted> {
        fit(&self.measured, |gpu, m| {
            gpu != out && self.fitted.contains(&m.sample.network)
        })
    }

    /// The rates from some batches alone.
    pub fn of_batches(&self, keep: impl Fn(u32) -> bool) -> Vec<Hosted> {
        fit(&self.measured, |_, m| {
            keep(m.sample.batch) && self.fitted.contains(&m.sample.network)
        })
    }

    /// (Predicted, measured) of one sample of the batch, of the rows of a GPU that `wanted` lets through.
    pub fn pairs(
        &self,
        gpu: usize,
        rates: &Hosted,
        wanted: impl Fn(&Measured) -> bool,
    ) -> Vec<(&Measured, (f64, f64))> {
        let rows = self.measured[gpu].iter().filter(|m| wanted(m));
        let pair = |m: &'_ Measured| {
            let n = f64::from(m.sample.batch.max(1));
            (rates.predict(&m.sample) / n, m.sample.latency_s / n)
        };
        rows.map(|m| (m, pair(m))).collect()
    }
}

fn fit(measured: &[Vec<Measured>], keep: impl Fn(usize, &Measured) -> bool) -> Vec<Hosted> {
    let of = |(gpu, rows): (usize, &'_ Vec<Measured>)| -> Vec<Sample> {
        let kept = rows.iter().filter(|m| keep(gpu, m));
        kept.map(|m| m.sample.clone()).collect()
    };
    let samples: Vec<Vec<Sample>> = measured.iter().enumerate().map(of).collect();
    let samples: Vec<Vec<&Sample>> = samples.iter().map(|s| s.iter().collect()).collect();
    Frame::new(Hosted::likely()).fit(&samples, &Belief::MANY)
}

/// What is held out for the first error figure, and for those of spaces.
pub const OTHERS: &str = "the networks of the same spaces that were not fitted";

impl Gpus {
    /// Spaces measured on a GPU.
    pub fn spaces(&self, gpu: usize) -> BTreeSet<&str> {
        self.measured[gpu]
            .iter()
            .map(|m| m.space.as_str())
            .collect()
    }

    /// Whether a row is none of those fitted.
    pub fn is_test(&self, row: &Measured) -> bool {
        !self.fitted.contains(&row.sample.network)
    }

    /// Errors on each space that was left out of all GPUs, and its log errors.
    fn spaces_left_out(&self, gpu: usize) -> (Vec<HeldOut>, Vec<f64>) {
        let spaces = self.spaces(gpu);
        let (mut held, mut misses) = (Vec::new(), Vec::new());
        for space in spaces.iter().filter(|_| spaces.len() > 1) {
            let Some(rates) = self.without.get(*space) else {
                continue;
            };
            let pairs = self.pairs(gpu, &rates[gpu], |m| m.space == *space && self.is_test(m));
            let method = format!("{} left out of all GPUs", space_name(space));
            held.push(errors_of(&pairs, &method));
            // every space weighs the same
            let keep = pairs.len().div_ceil(1000).max(1);
            misses.extend(pairs.iter().step_by(keep).map(|p| miss(&p.1)));
        }
        (held, misses)
    }

    /// The profile of a GPU. Kinds that no space has come from `source`.
    pub fn profile(&self, gpu: usize, source: &Profile) -> Profile {
        let about = &GPUS[gpu];
        let rows = self.measured[gpu].iter();
        let fitted_rows: Vec<&Measured> = rows.filter(|m| !self.is_test(m)).collect();
        let samples: Vec<Sample> = fitted_rows.iter().map(|m| m.sample.clone()).collect();
        let rates = &self.whole[gpu];
        let others = self.pairs(gpu, rates, |m| self.is_test(m));
        let (regions, held) = help::judged(&fitted_rows, &others, OTHERS);
        let (spaces_held, mut misses) = self.spaces_left_out(gpu);
        let spaces = self.spaces(gpu);
        let alone = misses.is_empty();
        if alone {
            misses = (0..GPUS.len())
                .flat_map(|g| self.spaces_left_out(g).1)
                .collect();
        }
        let width = conformal_quantile(&misses, LEVEL);
        let seen = seen(&samples, &Law::PLAIN);
        let mut fitted = Fitted::of(&samples, rates.device.clone(), seen, held, width);
        fitted.held_out.extend(spaces_held);
        let known = self.kinds_known();
        let mut kinds = fitted.kinds();
        let carried = fitted.carried(&known, "the other GPUs of the tables");
        kinds.extend(carried);
        for (kind, profile) in &mut kinds {
            profile.host_s = short(rates.launch[kind.index()]);
        }
        let has = |k: KernelKind| source.kernels.contains_key(&k);
        let from = super::few::rates_of(source);
        transfer::fill(
            &mut kinds,
            &from,
            [&source.law, &Law::PLAIN],
            has,
            &source.name,
        );
        transfer::fill_siblings(&mut kinds);
        let names: Vec<&str> = spaces.iter().map(|s| space_name(s)).collect();
        let mut notes = vec![
            "hard swish and hard sigmoid ran as three or four elementary ops".to_owned(),
            format!(
                "fitted together with {} other GPUs on {}; other networks of these spaces are test rows",
                GPUS.len() - 1,
                names.join(", ")
            ),
            "no energy".to_owned(),
        ];
        if spaces.contains("ofa") {
            notes.push(format!("the width of the once-for-all networks is not stated by the origin; {OFA_WIDTH} fits best"));
        }
        notes.push(match alone {
            true => "the interval of networks like those fitted is that of others of their space, of all else that of spaces left out on the other GPUs".to_owned(),
            false => "the interval of networks like those fitted is that of others of their space, of all else that of spaces left out".to_owned(),
        });
        let about = About {
            name: about.profile,
            hardware: about.device,
            runtime: "PyTorch eager, channels first, fp32",
            threads: None,
            precision: Some("fp32"),
            rules: help::rules(),
            law: Law::PLAIN,
            cache_elems: None,
            provenance: help::provenance(notes),
        };
        let mut profile = about.profile(&fitted, kinds);
        profile.host_constant_s = Some(short(rates.run));
        profile.regions = regions;
        profile
    }

    fn kinds_known(&self) -> Vec<bool> {
        let mut known = vec![false; KernelKind::COUNT];
        let networks = self.measured.iter().flatten().filter(|m| !self.is_test(m));
        for kernel in networks.flat_map(|m| m.sample.kernels.iter()) {
            known[kernel.kind.index()] = true;
        }
        known
    }
}
