//! `calibrate`: device profiles from measurements.

use super::devices;
use super::failure::{Exit, Failure, Result};
use super::files::{device, read_table};
use super::networks::{Broken, Networks, input};
use super::out::Out;
use crate::analysis::parquet;
use crate::base::file::write_atomically;
use crate::base::table::Table;
use crate::calibrate::doubts;
use crate::calibrate::nasbench::A76_CACHE_ELEMS;
use crate::calibrate::own::MIN_OPERATORS;
use crate::calibrate::peers::Peers;
use crate::calibrate::public::{self, Fits, Tables};
use crate::calibrate::report::{self, Line, Report};
use crate::calibrate::{About, Measured, Sample, fit_own, fit_with_operators, own_sample, priors};
use crate::device::{Law, Profile, Provenance};
use crate::fuse::FuseRules;
use anyhow::Context;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Fits a device profile to measured networks and prints its error on networks held out of the fit.
///
/// A row of --measurements names its network as in `predict` and has `latency_s`, and where it was measured `energy_j` and
/// `batch`: rows of `measure` are taken as they are. Where single operators are among them (its suite `ops`), the errors are
/// those on networks predicted from the operators alone, and on each family of networks from all rows but its own. With
/// --init the fit starts from a profile of a device of the same kind, whose rates stay wherever the rows cannot
/// tell: kernels that they do not have are marked as transferred, those that they tell little of as adapted. Intervals
/// are as wide as the rows, each predicted from the others, need; a warning says where that is far more than usual, where
/// rows contradict each other, and where they differ in threads, precision or the like.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Measured networks, Parquet; may be given several times.
    #[arg(long, value_name = "M.parquet", required_unless_present_any = ["public", "suggest"], num_args = 1..)]
    measurements: Vec<PathBuf>,
    /// Operator tables that `network` refers to. Networks of theirs that known devices measured are predicted from those,
    /// also where no row names them.
    #[arg(long, value_name = "OPS.parquet", num_args = 1..)]
    ops: Vec<PathBuf>,
    /// Name of the device.
    #[arg(long, value_name = "DEVICE", required_unless_present_any = ["public", "suggest"])]
    name: Option<String>,
    /// The profile file; with --public the folder for all of them.
    #[arg(long, value_name = "PROFILE.json", required_unless_present = "suggest")]
    out: Option<PathBuf>,
    /// Profile to start from: a name from `blocksmith devices`, or a file.
    #[arg(long, value_name = "PROFILE")]
    init: Option<String>,
    /// How the runtime fuses; that of --init where it is left out.
    #[arg(long, value_name = "RUNTIME", value_parser = ["eager", "torch", "onnx", "litert", "torchmobile", "ncnn"])]
    runtime: Option<String>,
    /// The hardware, in words. This and the next two are what the rows say where they are left out, and not stated where
    /// those do not say it or differ.
    #[arg(long)]
    hardware: Option<String>,
    /// Threads that the networks ran on.
    #[arg(long)]
    threads: Option<u32>,
    /// Number format.
    #[arg(long)]
    precision: Option<String>,
    /// Refits all shipped profiles from the public tables in this folder (`nasbench201_pi5.parquet`, `ncnn_arm.parquet`, ...).
    #[arg(long, value_name = "DIR", conflicts_with_all = ["measurements", "ops", "name", "init", "runtime"])]
    public: Option<PathBuf>,
    /// With --public, also predicts every split that the models are judged by, and prints the table: errors on networks,
    /// boards, GPUs and input sizes that the fit had not seen.
    #[arg(long, requires = "public")]
    report: bool,
    /// With --report, draws the errors by group where a figure asked for is missed: SVG files in this folder.
    #[arg(long, value_name = "DIR", requires = "report")]
    plots: Option<PathBuf>,
    /// Names the networks to measure on a new device of the runtime of --init, the most telling first, and does nothing else.
    #[arg(long, value_name = "N", requires = "init", conflicts_with_all = ["public", "measurements"], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    suggest: Option<u32>,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    if let (Some(wanted), Some(init)) = (args.suggest, &args.init) {
        return suggest(wanted, init, out);
    }
    let to = args.out.as_deref().unwrap_or(Path::new(""));
    let profiles = match &args.public {
        Some(folder) => {
            let made = refit_shipped(folder, to, args.report)?;
            if let Some(folder) = &args.plots {
                make_folder(folder)?;
                for (name, svg) in &made.pictures {
                    write(svg, &folder.join(format!("{name}.svg")))?;
                }
            }
            if args.report {
                print_report(&made.lines, out)?;
                return Ok(Exit::Ok);
            }
            made.profiles
        }
        None => {
            let profile = own(args, out)?;
            write(&profile.to_json(), to)?;
            vec![profile]
        }
    };
    if out.is_json() {
        let rows: Vec<_> = profiles
            .iter()
            .map(|p| json!({"name": p.name, "held_out": p.held_out}))
            .collect();
        out.json(&json!({"out": to.display().to_string(), "profiles": rows}))?;
    } else {
        let errors: Vec<String> = profiles
            .iter()
            .map(|p| format!("{}\n{}", p.name, devices::held_out(p)))
            .collect();
        out.text(&errors.join("\n\n"))?;
    }
    Ok(Exit::Ok)
}

fn suggest(wanted: u32, init: &str, out: &mut Out) -> Result {
    let init = device(init)?;
    let init = init.profile();
    let Some(peers) = Peers::shipped_for(init) else {
        return Err(Failure::Usage(format!(
            "nothing is known of how networks go together under {}: measure some that are as unlike as can be",
            init.runtime
        )));
    };
    let all: Vec<usize> = (0..peers.networks.len()).collect();
    let wanted = wanted as usize;
    if wanted > all.len() {
        let (n, runtime) = (all.len(), &init.runtime);
        out.note(&format!(
            "note: {n} networks are known under {runtime}: these are all"
        ));
    }
    let names: Vec<&str> = (peers.suggest(&all, wanted).into_iter())
        .map(|i| peers.networks[i].network.as_str())
        .collect();
    if out.is_json() {
        out.json(&json!({"networks": names}))?;
    } else {
        out.text(&names.join("\n"))?;
    }
    Ok(Exit::Ok)
}

fn write(text: &str, path: &Path) -> Result<()> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    Ok(())
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(())
}

fn refit_shipped(folder: &Path, out: &Path, judge: bool) -> Result<Report> {
    let tables = Tables::read(|name| parquet::read(&folder.join(format!("{name}.parquet"))))?;
    let made = if judge {
        report::run(&tables)?
    } else {
        Report {
            profiles: public::all(&tables, &Fits::new(&tables)?)?,
            lines: Vec::new(),
            pictures: Vec::new(),
        }
    };
    let peers = out.join("peers");
    make_folder(&peers)?;
    for profile in &made.profiles {
        write(
            &profile.to_json(),
            &out.join(format!("{}.json", profile.name)),
        )?;
    }
    write(&public::peers(&tables)?.to_json(), &peers.join("ncnn.json"))?;
    Ok(made)
}

fn print_report(lines: &[Line], out: &mut Out) -> Result<()> {
    if out.is_json() {
        let rows: Vec<_> = lines
            .iter()
            .map(|l| {
                json!({"set": l.set, "split": l.split, "bar_percent": l.bars.map(|b| b.0),
                    "want_percent": l.bars.map(|b| b.1), "held_out": l.held,
                    "coverage": l.coverage, "interval_width": l.width, "constant_width": l.constant})
            })
            .collect();
        out.json(&json!({"lines": rows}))?;
    } else {
        out.text(report::render(lines).trim_end())?;
    }
    Ok(())
}

fn own(args: &Args, out: &mut Out) -> Result<Profile> {
    let init = args.init.as_deref().map(device).transpose()?;
    let init = init.as_ref().map(|m| m.profile());
    let rules = match (args.runtime.as_deref(), init) {
        (Some("eager"), _) => FuseRules::eager(),
        (Some("torch"), _) => FuseRules::torch(),
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
    let (mut rows, mut others, mut said) = (Vec::new(), Vec::new(), Said::default());
    for path in &args.measurements {
        let table = read_table(path, out)?;
        let (measured, named) = read_rows(&table, &args.ops, &rules, out)?;
        rows.extend(measured);
        others.extend(named);
        said.hear(&table)?;
    }
    let hardware = args.hardware.as_deref().or(said.one("hardware"));
    let precision = args.precision.as_deref().or(said.one("precision"));
    let threads = said.one("threads").and_then(|t| t.parse().ok());
    let threads = args.threads.or(threads);
    let files: Vec<String> = args
        .measurements
        .iter()
        .map(|p| p.display().to_string())
        .collect();
    let about = About {
        name: args.name.as_deref().unwrap_or_default(),
        hardware: hardware.unwrap_or("not stated"),
        runtime: args
            .runtime
            .as_deref()
            .or(init.map(|i| i.runtime.as_str()))
            .unwrap_or_default(),
        threads,
        precision,
        rules,
        law: match init {
            Some(init) => init.law,
            None if args.runtime.as_deref() == Some("ncnn") => Law::NCNN,
            None => Law::PLAIN,
        },
        cache_elems: match init {
            Some(init) => init.cache_elems,
            // no cache of a GPU keeps a layer
            None if args.runtime.as_deref() == Some("eager") => None,
            None => Some(A76_CACHE_ELEMS),
        },
        provenance: Provenance {
            data: files.join(", "),
            origin: "own measurements".to_owned(),
            licence: "not stated".to_owned(),
            refit: Some(refit(args)),
            program: Some(env!("CARGO_PKG_VERSION").to_owned()),
            date: said.date.clone(),
            networks: 0,
            rows: 0,
            groups: 0,
            notes: said.notes(),
        },
    };
    let prior = match args.runtime.as_deref() {
        Some("onnx") => priors::onnx(),
        Some("litert") => priors::litert(),
        Some("torchmobile") => priors::torchmobile(),
        Some("ncnn") => priors::Runtime {
            time: priors::ncnn(),
            power: priors::ONE_POWER,
        },
        _ => priors::cpu(),
    };
    let samples: Vec<Sample> = rows.iter().map(|r| r.sample.clone()).collect();
    let operators = rows.iter().filter(|r| r.operator).count();
    let profile = if init.is_none() && operators >= MIN_OPERATORS {
        fit_with_operators(about, &rows).map_err(input)?
    } else {
        fit_own(about, &samples, init, prior, &others).map_err(input)?
    };
    let mut all = said.mixed();
    all.extend(doubts::doubts(&profile, &samples, init));
    for doubt in all {
        out.note(&format!("warning: {doubt}"));
    }
    Ok(profile)
}

/// The command that fits a profile of one's own again.
fn refit(args: &Args) -> String {
    let mut words = vec!["blocksmith calibrate".to_owned()];
    let files = |paths: &[PathBuf]| {
        let all: Vec<String> = paths
            .iter()
            .map(|p| quoted(&p.display().to_string()))
            .collect();
        (!all.is_empty()).then(|| all.join(" "))
    };
    let word = |text: &Option<String>| text.as_deref().map(quoted);
    // without its folder: the profile is the same in any
    let out = args.out.as_ref().and_then(|o| o.file_name());
    let out = out.map(|o| quoted(&o.display().to_string()));
    for (option, value) in [
        ("--measurements", files(&args.measurements)),
        ("--ops", files(&args.ops)),
        ("--runtime", word(&args.runtime)),
        ("--init", word(&args.init)),
        ("--name", word(&args.name)),
        ("--hardware", word(&args.hardware)),
        ("--threads", args.threads.map(|t| t.to_string())),
        ("--precision", word(&args.precision)),
        ("--out", out),
    ] {
        words.extend(value.map(|v| format!("{option} {v}")));
    }
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// What rows say of their run: the different values by column, in the order met.
#[derive(Default)]
struct Said {
    values: BTreeMap<&'static str, Vec<String>>,
    /// The newest day.
    date: Option<String>,
}

/// What rows of one profile have in common.
const SETTING: [&str; 8] = [
    "hardware",
    "runtime",
    "runtime_version",
    "program",
    "precision",
    "threads",
    "form",
    "memory_format",
];

impl Said {
    fn hear(&mut self, table: &Table) -> Result<()> {
        let texts = |name: &str| -> Result<Vec<String>> {
            if table.get(name).is_none() {
                return Ok(Vec::new());
            }
            let cells: Vec<Option<String>> = match name {
                "threads" => {
                    let whole = table.wholes(name).map_err(input)?;
                    whole.iter().map(|t| t.map(|t| t.to_string())).collect()
                }
                _ => table.texts(name).map_err(input)?.to_vec(),
            };
            Ok(cells.into_iter().flatten().collect())
        };
        for name in SETTING {
            let values = self.values.entry(name).or_default();
            for value in texts(name)? {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        let days = texts("date")?;
        let days = days.iter().filter_map(|d| d.get(..10)).map(str::to_owned);
        self.date = days.chain(self.date.take()).max();
        Ok(())
    }

    /// What all rows that say anything say; `None` where they differ.
    fn one(&self, name: &str) -> Option<&str> {
        match self.values.get(name).map(Vec::as_slice) {
            Some([one]) => Some(one),
            _ => None,
        }
    }

    /// What ran the rows.
    fn notes(&self) -> Vec<String> {
        let all = |name: &str| {
            self.values
                .get(name)
                .map_or_else(String::new, |v| v.join(", "))
        };
        let (runtime, version) = (all("runtime"), all("runtime_version"));
        let ran = format!("{runtime} {version}").trim().to_owned();
        let by = all("program");
        let mut notes = Vec::new();
        if !ran.is_empty() {
            let by = match by.is_empty() {
                true => String::new(),
                false => format!(", measured by {by}"),
            };
            notes.push(format!("run by {ran}{by}"));
        }
        notes
    }

    /// Settings that rows differ in.
    fn mixed(&self) -> Vec<String> {
        let mixed = self
            .values
            .iter()
            .filter(|(name, v)| v.len() > 1 && **name != "program");
        mixed
            .map(|(name, values)| {
                format!(
                    "rows differ in {name} ({}): one profile is one setting, and all of them are fitted as one",
                    values.join(", ")
                )
            })
            .collect()
    }
}

/// Rows of `measure` say of which suite and family they are; others are networks, each a family of its own.
fn read_rows(
    table: &Table,
    ops: &[PathBuf],
    rules: &FuseRules,
    out: &mut Out,
) -> Result<(Vec<Measured>, Vec<Sample>)> {
    let texts = |name: &str| {
        let column = table.get(name).map(|_| table.texts(name));
        column.transpose().map_err(input)
    };
    let (suites, families) = (texts("suite")?, texts("family")?);
    let mut networks = Networks::open(table, ops, Broken::Refused, rules, 1)?;
    if let Some(doubt) = networks.doubt() {
        out.note(&format!("note: {doubt}"));
    }
    let latencies = table.all_reals("latency_s").map_err(input)?;
    let energies = table
        .get("energy_j")
        .map(|_| table.reals("energy_j"))
        .transpose()
        .map_err(input)?;
    let mut samples = Vec::with_capacity(latencies.len());
    for (row, latency_s) in latencies.into_iter().enumerate() {
        let sound = |x: f64| x.is_finite() && x > 0.0;
        if !sound(latency_s) {
            let expected = "seconds above 0";
            return Err(input(table.wrong(
                "latency_s",
                row,
                &latency_s.to_string(),
                expected,
            )));
        }
        let energy = energies
            .as_ref()
            .and_then(|e| e.get(row).copied().flatten());
        if let Some(e) = energy.filter(|e| !sound(*e)) {
            let expected = "joules above 0, or nothing";
            return Err(input(table.wrong(
                "energy_j",
                row,
                &e.to_string(),
                expected,
            )));
        }
        let network = networks.get(row)?;
        let mut sample = own_sample(
            &network.name,
            network.kernels,
            network.batch,
            latency_s,
            energy,
        );
        let cell =
            |texts: Option<&[Option<String>]>| texts.and_then(|t| t.get(row).cloned().flatten());
        if let Some(family) = cell(families) {
            sample.group = family;
        }
        let operator = cell(suites).as_deref() == Some("ops");
        samples.push(Measured { operator, sample });
    }
    // what else the operator tables have, at the batch of most rows
    let mut batches: Vec<u32> = samples.iter().map(|s| s.sample.batch).collect();
    batches.sort_unstable();
    let batch = batches.get(batches.len() / 2).copied().unwrap_or(1);
    let others = networks.all().into_iter();
    let others = others.map(|(name, kernels)| own_sample(&name, kernels, batch, 1.0, None));
    Ok((samples, others.collect()))
}
