//! Profiles of GPUs from the timm benchmark results: PyTorch eager, automatic mixed precision.

use super::error::CalibrateError;
use super::fit::{Fitted, Options, fit};
use super::ops;
use super::priors;
use super::sample::Sample;
use crate::base::table::Table;

/// A GPU of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// In the table.
    pub device: &'static str,
    /// The profile.
    pub profile: &'static str,
    /// For people.
    pub hardware: &'static str,
}

/// The GPUs that ship.
pub const GPUS: [Gpu; 2] = [
    Gpu {
        device: "RTX 3090",
        profile: "rtx3090-torch",
        hardware: "NVIDIA GeForce RTX 3090",
    },
    Gpu {
        device: "RTX 4090",
        profile: "rtx4090-torch",
        hardware: "NVIDIA GeForce RTX 4090",
    },
];

/// The version of PyTorch fitted: the newest whose files time every network as it was trained.
pub const TORCH: &str = "2.4.0";

/// A network whose MACs in table and graph differ by more than this share was not the one timed.
const MACS_DIFFER: f64 = 0.05;

/// The networks of one GPU: eager, mixed precision, channels first.
///
/// # Errors
/// Where a column is not there.
pub fn samples(rows: &Table, graphs: &Table, gpu: &Gpu) -> Result<Vec<Sample>, CalibrateError> {
    let networks = ops::networks(graphs)?;
    let (device, torch) = (rows.all_texts("device")?, rows.all_texts("torch")?);
    let (precision, layout) = (rows.all_texts("precision")?, rows.all_texts("layout")?);
    let compiled = rows.all_bools("compiled")?;
    let (model, size) = (rows.all_texts("model")?, rows.all_ints("img_size")?);
    let (batch, step) = (rows.reals("batch")?, rows.reals("step_ms")?);
    let gmacs = rows.reals("gmacs")?;
    let mut samples = Vec::new();
    for row in 0..rows.rows() {
        let wanted = device[row] == gpu.device
            && torch[row] == TORCH
            && precision[row] == "amp"
            && layout[row] == "nchw"
            && !compiled[row];
        let name = format!("{}@{}", model[row], size[row]);
        let (true, Some(kernels), Some(batch), Some(ms)) =
            (wanted, networks.get(&name), batch[row], step[row])
        else {
            continue;
        };
        let counted = kernels.iter().map(|k| k.macs as f64).sum::<f64>() * 1e-9;
        // two decimals are printed: small networks are only known to within half a unit
        let slack = gmacs[row].map(|g| (counted - g).abs() <= MACS_DIFFER * g + 0.005);
        if slack == Some(false) {
            continue;
        }
        samples.push(Sample {
            network: name,
            group: family(model[row]),
            kernels: kernels.clone(),
            batch: batch as u32,
            latency_s: ms * 1e-3,
            energy_j: None,
        });
    }
    Ok(samples)
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

/// How GPUs are fitted.
pub fn options() -> Options {
    Options {
        pull: 0.1,
        huber: 0.1,
        folds: usize::MAX,
        method: "one family of networks left out at a time".to_owned(),
        ..Options::new(priors::gpu())
    }
}

/// The fit of one GPU.
///
/// # Errors
/// As [`samples`], or where there are too few.
pub fn fit_gpu(rows: &Table, graphs: &Table, gpu: &Gpu) -> Result<Fitted, CalibrateError> {
    fit(gpu.profile, &samples(rows, graphs, gpu)?, &options())
}
