//! `calibrate`: device profiles from measurements.

use super::devices;
use super::failure::{Exit, Failure, Result};
use super::files::device;
use super::networks::{Networks, input};
use super::out::Out;
use crate::analysis::parquet;
use crate::base::file::write_atomically;
use crate::calibrate::public::{self, Tables};
use crate::calibrate::{About, Sample, fit_own, own_sample};
use crate::device::{Profile, Provenance};
use crate::fuse::FuseRules;
use anyhow::{Context, anyhow};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Fits a device profile to measured networks and prints its error on networks held out of the fit.
///
/// A row of --measurements names its network as in `predict` and has `latency_s`, and where it was measured `energy_j` and
/// `batch`. With --init the fit starts from a profile of a device of the same kind, whose rates stay wherever the rows cannot
/// tell: kernels that they do not have are marked as transferred.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Measured networks, Parquet; may be given several times.
    #[arg(long, value_name = "M.parquet", required_unless_present = "public", num_args = 1..)]
    measurements: Vec<PathBuf>,
    /// Operator tables that `network` refers to.
    #[arg(long, value_name = "OPS.parquet", num_args = 1..)]
    ops: Vec<PathBuf>,
    /// Name of the device.
    #[arg(long, value_name = "DEVICE", required_unless_present = "public")]
    name: Option<String>,
    /// The profile file; with --public the folder for all of them.
    #[arg(long, value_name = "PROFILE.json")]
    out: PathBuf,
    /// Profile to start from: a name from `blocksmith devices`, or a file.
    #[arg(long, value_name = "PROFILE")]
    init: Option<String>,
    /// How the runtime fuses; that of --init where it is left out.
    #[arg(long, value_name = "RUNTIME", value_parser = ["eager", "onnx", "litert", "torchmobile", "ncnn"])]
    runtime: Option<String>,
    /// The hardware, in words.
    #[arg(long, default_value = "not stated")]
    hardware: String,
    /// Threads that the networks ran on.
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Number format.
    #[arg(long, default_value = "fp32")]
    precision: String,
    /// Refits all shipped profiles from the public tables in this folder (`nasbench201_pi5.parquet`, `ncnn_arm.parquet`, ...).
    #[arg(long, value_name = "DIR", conflicts_with_all = ["measurements", "ops", "name", "init", "runtime"])]
    public: Option<PathBuf>,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let profiles = match &args.public {
        Some(folder) => refit_shipped(folder, &args.out)?,
        None => {
            let profile = own(args)?;
            write(&profile, &args.out)?;
            vec![profile]
        }
    };
    if out.is_json() {
        let rows: Vec<_> = profiles
            .iter()
            .map(|p| json!({"name": p.name, "held_out": p.held_out}))
            .collect();
        out.json(&json!({"out": args.out.display().to_string(), "profiles": rows}))?;
    } else {
        let errors: Vec<String> = profiles
            .iter()
            .map(|p| format!("{}\n{}", p.name, devices::held_out(p)))
            .collect();
        out.text(&errors.join("\n\n"))?;
    }
    Ok(Exit::Ok)
}

fn write(profile: &Profile, path: &Path) -> Result<()> {
    write_atomically(path, |file| file.write_all(profile.to_json().as_bytes()))?;
    Ok(())
}

fn refit_shipped(folder: &Path, out: &Path) -> Result<Vec<Profile>> {
    let tables = Tables::read(|name| parquet::read(&folder.join(format!("{name}.parquet"))))?;
    let profiles = public::fit_all(&tables)?;
    std::fs::create_dir_all(out)
        .with_context(|| format!("cannot make the folder {}", out.display()))?;
    for profile in &profiles {
        write(profile, &out.join(format!("{}.json", profile.name)))?;
    }
    Ok(profiles)
}

fn own(args: &Args) -> Result<Profile> {
    let init = args.init.as_deref().map(device).transpose()?;
    let init = init.as_ref().map(|m| m.profile());
    let rules = match (args.runtime.as_deref(), init) {
        (Some("eager"), _) => FuseRules::eager(),
        (Some("onnx"), _) => FuseRules::onnx(),
        (Some("litert"), _) => FuseRules::litert(),
        (Some("torchmobile"), _) => FuseRules::torchmobile(),
        (Some(_), _) => FuseRules::ncnn(),
        (None, Some(init)) => init.fuse,
        (None, None) => {
            return Err(Failure::Usage(
                "give --runtime, or a profile to start from with --init".into(),
            ));
        }
    };
    let mut samples = Vec::new();
    for path in &args.measurements {
        samples.extend(read_samples(path, &args.ops, &rules)?);
    }
    let files: Vec<String> = args
        .measurements
        .iter()
        .map(|p| p.display().to_string())
        .collect();
    let about = About {
        name: args.name.as_deref().unwrap_or_default(),
        hardware: &args.hardware,
        runtime: args
            .runtime
            .as_deref()
            .or(init.map(|i| i.runtime.as_str()))
            .unwrap_or_default(),
        threads: args.threads,
        precision: &args.precision,
        rules,
        cache_elems: init.and_then(|i| i.cache_elems),
        provenance: Provenance {
            data: files.join(", "),
            origin: "own measurements".to_owned(),
            licence: "not stated".to_owned(),
            date: None,
            networks: 0,
            rows: 0,
            groups: 0,
            notes: Vec::new(),
        },
    };
    fit_own(about, &samples, init).map_err(input)
}

fn read_samples(path: &Path, ops: &[PathBuf], rules: &FuseRules) -> Result<Vec<Sample>> {
    let table = parquet::read(path)?;
    let mut networks = Networks::open(&table, ops, rules, 1)?;
    let latencies = table.all_reals("latency_s").map_err(input)?;
    let energies = table
        .get("energy_j")
        .map(|_| table.reals("energy_j"))
        .transpose()
        .map_err(input)?;
    let mut samples = Vec::with_capacity(latencies.len());
    for (row, latency_s) in latencies.into_iter().enumerate() {
        if !(latency_s.is_finite() && latency_s > 0.0) {
            return Err(input(anyhow!(
                "{}: row {row}: a latency of {latency_s} s makes no sense",
                path.display()
            )));
        }
        let energy = energies
            .as_ref()
            .and_then(|e| e.get(row).copied().flatten());
        let network = networks.get(row)?;
        samples.push(own_sample(
            &network.name,
            network.kernels,
            network.batch,
            latency_s,
            energy,
        ));
    }
    Ok(samples)
}
