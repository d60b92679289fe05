//! Profiles of GPUs from the timm benchmark results: PyTorch, automatic mixed precision, all its files fitted at once.

use super::arm::known;
use super::error::CalibrateError;
use super::fit::{errors, seen, short};
use super::interval;
use super::joint::{self, Belief, Columns, Joint, Row};
use super::ops;
use super::priors::{self, RateTable, Work};
use super::sample::Sample;
use crate::base::table::Table;
use crate::device::{HeldOut, Known, Law, Rates, Seen};
use crate::fuse::{Kernel, KernelKind};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A file of the benchmark: one GPU, one layout, one version, compiled or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// The GPU as the table calls it.
    pub device: String,
    /// `nchw` or `nhwc`.
    pub layout: String,
    /// The version of PyTorch.
    pub torch: String,
    /// Through `torch.compile`.
    pub compiled: bool,
}

/// A file that becomes a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// The profile.
    pub profile: &'static str,
    /// For people.
    pub hardware: &'static str,
    /// For people.
    pub runtime: &'static str,
    /// In the table: device, layout, version, compiled.
    pub file: (&'static str, &'static str, &'static str, bool),
}

/// The profiles. Of the versions the newest whose file times every network as it was trained, but for the compiled one,
/// where a newer compiler is worth more than that.
pub const GPUS: [Gpu; 5] = [
    Gpu {
        profile: "rtx3090-torch",
        hardware: "NVIDIA GeForce RTX 3090",
        runtime: "PyTorch eager, channels first",
        file: ("RTX 3090", "nchw", "2.4.0", false),
    },
    Gpu {
        profile: "rtx3090-torch-nhwc",
        hardware: "NVIDIA GeForce RTX 3090",
        runtime: "PyTorch eager, channels last",
        file: ("RTX 3090", "nhwc", "2.4.0", false),
    },
    Gpu {
        profile: "rtx4090-torch",
        hardware: "NVIDIA GeForce RTX 4090",
        runtime: "PyTorch eager, channels first",
        file: ("RTX 4090", "nchw", "2.4.0", false),
    },
    Gpu {
        profile: "rtx4090-torch-nhwc",
        hardware: "NVIDIA GeForce RTX 4090",
        runtime: "PyTorch eager, channels last",
        file: ("RTX 4090", "nhwc", "2.4.0", false),
    },
    Gpu {
        profile: "rtx4090-torch-compiled",
        hardware: "NVIDIA GeForce RTX 4090",
        runtime: "PyTorch compiled, channels first",
        file: ("RTX 4090", "nchw", "2.9.1", true),
    },
];

/// What is held out.
pub const LEFT_OUT_METHOD: &str = "one family of networks left out of all files at a time";

/// How its shapes become work.
pub const LAW: Law = Law::TENSOR_CORES;

/// A network whose MACs in table and graph differ by more than this share was not the one timed.
const MACS_DIFFER: f64 = 0.05;

/// Families that this version times after folding branches that the graphs still have.
const FOLDED: (&str, [&str; 2]) = ("2.9.1", ["mobileone", "repvgg"]);

/// The measured networks by file: mixed precision only.
///
/// # Errors
/// Where a column is not there.
pub fn files(rows: &Table, graphs: &Table) -> Result<BTreeMap<File, Vec<Sample>>, CalibrateError> {
    let networks = ops::networks(graphs)?;
    let (device, torch) = (rows.all_texts("device")?, rows.all_texts("torch")?);
    let (precision, layout) = (rows.all_texts("precision")?, rows.all_texts("layout")?);
    let compiled = rows.all_bools("compiled")?;
    let (model, size) = (rows.all_texts("model")?, rows.all_ints("img_size")?);
    let (batch, step) = (rows.reals("batch")?, rows.reals("step_ms")?);
    let gmacs = rows.reals("gmacs")?;
    let mut files: BTreeMap<File, Vec<Sample>> = BTreeMap::new();
    for row in 0..rows.rows() {
        let group = family(model[row]);
        let folded = torch[row] == FOLDED.0 && FOLDED.1.contains(&group.as_str());
        let name = format!("{}@{}", model[row], size[row]);
        let (true, Some(kernels), Some(batch), Some(ms)) = (
            precision[row] == "amp" && !folded,
            networks.get(&name),
            batch[row],
            step[row],
        ) else {
            continue;
        };
        let counted = kernels.iter().map(|k| k.macs as f64).sum::<f64>() * 1e-9;
        // two decimals are printed: small networks are only known to within half a unit
        let same = gmacs[row].is_none_or(|g| (counted - g).abs() <= MACS_DIFFER * g + 0.005);
        if !same || batch < 1.0 || ms <= 0.0 {
            continue;
        }
        let file = File {
            device: device[row].to_owned(),
            layout: layout[row].to_owned(),
            torch: torch[row].to_owned(),
            compiled: compiled[row],
        };
        files.entry(file).or_default().push(Sample {
            network: name,
            group,
            kernels: Arc::clone(kernels),
            batch: batch as u32,
            latency_s: ms * 1e-3,
            energy_j: None,
        });
    }
    Ok(files)
}

/// The family of a model: the letters that its name starts with, without the mark of another origin.
pub fn family(model: &str) -> String {
    let marks = ["tf_", "legacy_", "nf_"];
    let name = marks
        .iter()
        .fold(model, |name, mark| name.strip_prefix(mark).unwrap_or(name));
    let letters = |c: &char| c.is_ascii_alphabetic();
    let stem: String = name.chars().take_while(letters).collect();
    match stem.as_str() {
        "wide" => "resnet".to_owned(),
        "semnasnet" => "mnasnet".to_owned(),
        "rexnetr" => "rexnet".to_owned(),
        _ => stem,
    }
}

/// Data sheets say more of GPUs than of boards, so common factors are nearer the likely ones.
pub const BELIEF: Belief = Belief {
    common: 0.5,
    ..Belief::DEFAULT
};

/// All files, and what was fitted to them.
#[derive(Clone, Debug)]
pub struct Gpus {
    /// The files and their networks.
    pub files: Vec<(File, Vec<Sample>)>,
    /// What is fitted.
    pub columns: Columns,
    /// From all families.
    pub whole: Joint,
    /// By the family left out.
    pub without: BTreeMap<String, Joint>,
    rows: Vec<(Row, String)>,
}

/// The columns of GPUs: what a kind moves is one rate, dense convolutions share theirs, and so do all launches.
pub fn columns() -> Columns {
    use KernelKind::*;
    Columns::named(priors::gpu(), |kind, rate| {
        let kind = KernelKind::ALL[kind];
        let dense = matches!(kind, Conv1x1 | Conv3x3 | Conv3x3Strided | ConvOther);
        let conv = dense
            || matches!(
                kind,
                ConvFirst
                    | Grouped1x1
                    | Grouped
                    | Depthwise3x3
                    | Depthwise3x3Strided
                    | DepthwiseOther
            );
        let name = match (kind, rate) {
            (_, Rates::LAUNCH) if conv => "launch of convolutions",
            (_, Rates::LAUNCH) => "launch of the rest",
            (_, 5) => "weight",
            (_, 2 | 3) if dense => "dense moved",
            (_, Rates::UNPACKED) if dense => "dense unpacked",
            (Conv3x3 | Conv3x3Strided | ConvOther, _) => "dense window",
            (Grouped | Grouped1x1, 2 | 3) => "grouped moved",
            (Grouped | Grouped1x1, Rates::UNPACKED) => "grouped unpacked",
            (Grouped | Grouped1x1, _) => "grouped",
            (Depthwise3x3 | Depthwise3x3Strided | DepthwiseOther, 2 | 3) => "depthwise moved",
            (Depthwise3x3 | Depthwise3x3Strided, _) => "depthwise 3x3",
            (Concat | Copy | Shuffle, _) => "moves",
            (MaxPool | AvgPool, _) => "pools",
            // a product with one value a channel reads half as much for what it writes
            (Mul, 2) => "read by products",
            (LayerNorm, Rates::EDGE) => "rows of norms",
            (_, 2 | 3) => return format!("{} moved", kind.name()),
            _ => kind.name(),
        };
        name.to_owned()
    })
}

/// A network's kernels as a GPU works them off.
pub fn work(kernels: &[Kernel], batch: u32) -> Work {
    Work::of(kernels, batch, f64::INFINITY, &LAW)
}

/// The rows of one device for [`joint`].
pub fn rows_of(samples: &[Sample], device: usize, columns: &Columns) -> Vec<Row> {
    let row = |s: &Sample| Row {
        device,
        costs: columns.costs(&work(&s.kernels, s.batch)),
        log: s.latency_s.ln(),
    };
    samples.iter().map(row).collect()
}

impl Gpus {
    /// Fits all files, and again without each family.
    pub fn fit(files: BTreeMap<File, Vec<Sample>>) -> Self {
        let columns = columns();
        let files: Vec<(File, Vec<Sample>)> = files.into_iter().collect();
        let mut rows: Vec<(Row, String)> = Vec::new();
        for (device, (_, samples)) in files.iter().enumerate() {
            let of_file = rows_of(samples, device, &columns);
            let groups = samples.iter().map(|s| s.group.clone());
            rows.extend(of_file.into_iter().zip(groups));
        }
        let families: BTreeSet<&str> = rows.iter().map(|(_, f)| f.as_str()).collect();
        let fit = |without: Option<&str>| {
            let kept = rows.iter().filter(|(_, f)| Some(f.as_str()) != without);
            let kept: Vec<Row> = kept.map(|(r, _)| r.clone()).collect();
            joint::fit(&kept, files.len(), columns.len(), &BELIEF)
        };
        let without = families.into_par_iter();
        let without = without.map(|f| (f.to_owned(), fit(Some(f)))).collect();
        Self {
            whole: fit(None),
            without,
            files,
            rows,
            columns,
        }
    }

    /// The number of a profile's file.
    pub fn find(&self, gpu: &Gpu) -> Option<usize> {
        let (device, layout, torch, compiled) = gpu.file;
        let same = |f: &File| {
            f.device == device && f.layout == layout && f.torch == torch && f.compiled == compiled
        };
        self.files.iter().position(|(f, _)| same(f))
    }

    /// (Predicted, measured) of one sample of the batch, each from the fit without its family; with file and family.
    pub fn held_out(&self) -> Vec<(usize, &str, (f64, f64))> {
        let samples = self.files.iter().flat_map(|(_, s)| s);
        let pair = |((row, family), sample): (&'_ (Row, String), &Sample)| {
            let joint = self.without.get(family).unwrap_or(&self.whole);
            let log = joint::predict(&row.costs, &joint.logs[row.device]);
            let n = f64::from(sample.batch.max(1));
            (log.exp() / n, row.log.exp() / n)
        };
        let all = self.rows.iter().zip(samples);
        all.map(|(r, s)| (r.0.device, r.1.as_str(), pair((r, s))))
            .collect()
    }

    /// The rates of a file.
    pub fn rates(&self, file: usize) -> RateTable {
        self.columns.table(&self.whole.logs[file])
    }

    /// The networks of a file and how far the fit is off on them, drawn towards 0.
    pub fn known(&self, file: usize) -> Vec<Known> {
        known_of(&self.files[file].1, &self.columns, &self.whole.logs[file])
    }

    /// Errors of a file on families left out, and the half width of its interval.
    pub fn file_errors(&self, file: usize) -> (HeldOut, f64) {
        let held = self.held_out();
        let own: Vec<_> = held.iter().filter(|(f, _, _)| *f == file).collect();
        let pairs: Vec<(f64, f64)> = own.iter().map(|(_, _, pair)| *pair).collect();
        let groups: Vec<&str> = own.iter().map(|(_, family, _)| *family).collect();
        let width = |without: Option<&str>| {
            let others = pairs.iter().zip(&groups);
            let others = others.filter(|(_, g)| Some(**g) != without);
            let misses: Vec<f64> = others.map(|(pair, _)| interval::miss(pair)).collect();
            interval::conformal_quantile(&misses, interval::LEVEL)
        };
        let widths: BTreeMap<&str, f64> = groups.iter().map(|g| (*g, width(Some(g)))).collect();
        let mut errors = errors(&pairs, &groups, LEFT_OUT_METHOD);
        let (inside, wide) = interval::cover(&pairs, |i| widths[groups[i]]);
        errors.coverage = Some(short(inside));
        errors.width = Some(short(wide));
        (errors, width(None))
    }

    /// What a file's networks have of each kind.
    pub fn seen(&self, file: usize) -> Vec<Option<Seen>> {
        seen(&self.files[file].1, &LAW)
    }
}

/// The networks of a device and how far these factors are off on them, each network once.
pub fn known_of(samples: &[Sample], columns: &Columns, logs: &[f64]) -> Vec<Known> {
    known_with(samples, columns, logs, |s| work(&s.kernels, s.batch))
}

/// As [`known_of`], for any law.
pub fn known_with(
    samples: &[Sample],
    columns: &Columns,
    logs: &[f64],
    work: impl Fn(&Sample) -> Work,
) -> Vec<Known> {
    let mut found: BTreeMap<u64, Known> = BTreeMap::new();
    for sample in samples {
        let costs = columns.costs(&work(sample));
        let known = known(sample, sample.latency_s.ln() - joint::predict(&costs, logs));
        found.entry(known.signature).or_insert(known);
    }
    found.into_values().collect()
}
