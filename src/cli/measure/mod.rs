//! `measure`: time and energy on this machine.

mod items;
mod print;
mod process;
mod runtimes;

use super::documents::Documents;
use super::failure::{Exit, Failure, Result};
use super::out::Out;
use super::progress::bar;
use super::search::stop_on_ctrl_c;
#[cfg(feature = "analysis")]
use crate::analysis::parquet;
use crate::base::csv::{self, is_csv};
use crate::base::hash::Fingerprint;
use crate::base::table::Table;
use crate::measure::host::Sensors;
use crate::measure::meter::{self, EnergyMeter, Places};
use crate::measure::{Context, Plan, Record, RuntimeError, Session, WindowOptions, rows, table};
use crate::search::journal::{Journal, Start};
use clap::builder::PossibleValuesParser;
use items::{graph, items};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Measures time and energy of networks on this machine, and adds a row a network to a table, which is Parquet, or CSV where its name
/// ends so.
///
/// Each network is measured in several windows spread over the run, in a new order each round; the quietest window stands
/// for it, and networks whose best two windows disagree get further ones. Runs during which another process had the
/// processor are counted and left out. The first network comes again at the end, to show drift.
///
/// What was measured stands in a journal beside the table until the run is complete, so a run that was interrupted or
/// killed goes on with --resume. docs/measure.md explains columns, energy meters and how to calibrate a device.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Archs, or spaces whose decisions are all fixed with --set.
    files: Vec<PathBuf>,
    /// Fixes a decision of the files or the space.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    /// Measures networks drawn from this space.
    #[arg(long, value_name = "SPACE")]
    space: Vec<PathBuf>,
    /// Networks to draw from each space.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    count: usize,
    /// Seed of draws and of the order of measurement.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Measures a suite: `ops` (single operators), `guidelines` (the experiments behind ShuffleNetV2's guidelines and
    /// VoVNet's bottleneck ablation; prints their tables) or `reference` (the shipped networks).
    #[arg(long, value_name = "SUITE", value_parser = ["ops", "guidelines", "reference"])]
    suite: Vec<String>,
    /// Operators in the suite `ops`.
    #[arg(long, value_name = "N", default_value_t = 320)]
    ops_count: usize,
    /// Largest network of the suite `reference`, in billions of multiply-accumulates.
    #[arg(long, value_name = "G", default_value_t = 6.0)]
    max_gmacs: f64,
    /// Folder with the suites' spaces.
    #[arg(long, value_name = "DIR", default_value = "search_spaces")]
    spaces: PathBuf,
    /// The table. Rows are added to one that is there.
    #[arg(long, value_name = "M.parquet|M.csv")]
    out: PathBuf,
    /// Goes on with a run that was interrupted or killed.
    #[arg(long)]
    resume: bool,
    /// With --resume: measures nothing more, and makes rows of what is there.
    #[arg(long, requires = "resume")]
    finish: bool,
    /// Where to run: `cpu` or `cuda:0`.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What runs the networks.
    #[arg(long, default_value = runtimes::RUNTIMES[0], value_parser = PossibleValuesParser::new(runtimes::RUNTIMES))]
    runtime: String,
    /// The shared library of ONNX Runtime 1.24 or later, or a folder that has it, such as that of the Python package. Left
    /// out: what ORT_DYLIB_PATH names, or the system's own.
    #[arg(long, value_name = "LIB")]
    ort_lib: Option<PathBuf>,
    /// Threads of one operation.
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Samples at once; times and energies are for all of them together.
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Number format of weights and values.
    #[arg(long, value_enum, default_value_t = PrecisionArg::Fp32)]
    precision: PrecisionArg,
    /// `eager` runs op by op, as trained; `folded` has batch norms folded into the layers before them; `fused` runs
    /// each layer by oneDNN, by XNNPACK or as before, whichever a trial finds the fastest (CPU); `frozen` is the folded net as
    /// TorchScript with constant weights.
    #[arg(long, value_enum, default_value_t = FormArg::Folded)]
    form: FormArg,
    /// Layout of feature maps; nchw for eager networks, nhwc for the others where it is left out.
    #[arg(long, value_enum)]
    memory_format: Option<LayoutArg>,
    /// Windows of each network.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Windows of a network whose best two disagree, at most.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_rounds: u32,
    /// How far apart the best two windows may be, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    tolerance: f64,
    /// Timed runs of a window take this long, and are no fewer than 10 (30 with a meter).
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    seconds: f64,
    /// Warm-up of a window ends after this long even if times still move.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    warm_up: f64,
    /// Energy meter: `auto` takes the first that is there.
    #[arg(long, default_value = "auto", value_parser = ["auto", "none", "nvml", "rapl", "pmic", "ina3221"])]
    meter: String,
    /// With a meter, a window takes this long and 20 ticks of its counter, at least.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    energy_seconds: f64,
    /// With a meter, idle windows take this long.
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    idle_seconds: f64,
    /// With a meter, windows between two idle windows.
    #[arg(long, value_name = "N", default_value_t = 1)]
    idle_every: usize,
    /// Processors to keep to: a list such as `0,2-3`; `auto` for those of the fastest kind where there are several kinds;
    /// or `none`.
    #[arg(long, value_name = "CPUS", default_value = "auto")]
    affinity: String,
    /// Turns that a waiting thread of OpenMP spins before it sleeps, or `default` for OpenMP's own number. `auto` is
    /// `default` where the load leaves each thread a processor, and 10000 elsewhere: spinning threads slow each other down
    /// many times where there are more of them than processors, and sleeping ones cost much on a quiet machine. Threads of
    /// ONNX Runtime spin as they do by default, or not at all where this is 0.
    #[arg(long, value_name = "TURNS", default_value = "auto", value_parser = process::parse_spin)]
    spin: process::Spin,
    /// What stands for / where load, heat and meters are read.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    sysfs_root: PathBuf,
    /// NVML's library, where it is not the driver's own.
    #[arg(long, value_name = "LIB", hide = true)]
    nvml_lib: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum PrecisionArg {
    Fp32,
    Bf16,
    Fp16,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum FormArg {
    Eager,
    Folded,
    Fused,
    Frozen,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum LayoutArg {
    Nchw,
    Nhwc,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let positive = [
        args.tolerance,
        args.seconds,
        args.energy_seconds,
        args.idle_seconds,
    ];
    if positive.iter().any(|x| !(x.is_finite() && *x > 0.0)) || args.warm_up.is_nan() {
        return Err(Failure::Usage(
            "times and shares must be above 0".to_owned(),
        ));
    }
    if cfg!(not(feature = "analysis")) && !is_csv(&args.out) {
        return Err(Failure::Usage(format!(
            "this program writes tables as CSV: --out {}",
            args.out.with_extension("csv").display()
        )));
    }
    let sensors = Sensors::new(&args.sysfs_root);
    let cpus = process::cpus(args, &sensors)?;
    let path = journal_path(&args.out);
    let turns = process::turns(args, &sensors, &path);
    if let Some(note) = process::settle(args, &cpus, turns)? {
        out.note(&note);
    }
    let mut chosen = runtimes::choose(args, turns)?;
    let mut documents = Documents::default();
    let items = items(args, &mut documents, out)?;
    let places = Places {
        root: args.sysfs_root.clone(),
        nvml: args.nvml_lib.clone(),
        gpu: chosen.gpu,
    };
    let (mut meter, no_meter) = open_meter(args, &places);
    if let Some(why) = &no_meter {
        out.note(&format!("note: no energy meter: {why}"));
    }
    let host = sensors.host();
    let context = Context {
        device: chosen.device.clone(),
        hardware: match places.gpu {
            Some(gpu) => meter::gpu_name(&places, gpu),
            None => host.cpu.clone(),
        },
        runtime: chosen.runtime.name().to_owned(),
        runtime_version: chosen.runtime.version(),
        precision: chosen.precision.name().to_owned(),
        threads: chosen.threads,
        batch: args.batch,
        form: chosen.form.name().to_owned(),
        memory_format: chosen.memory_format.name().to_owned(),
        spin: (args.threads > 1).then(|| chosen.spin.clone()),
        affinity: (!cpus.is_empty()).then(|| {
            let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
            cpus.join(",")
        }),
        host,
        meter: meter.as_ref().map(|m| m.name().to_owned()),
        no_meter,
    };
    let plan = plan(args, meter.as_deref());
    let header = header(&items, &context, &plan);
    let stop = stop_on_ctrl_c()?;
    let mut records: Vec<Record> = Vec::new();
    let start = if args.resume {
        Start::Resume
    } else {
        Start::New
    };
    let journal = Journal::open(&path, start, &header, |_, text| {
        let record = serde_json::from_str::<Line>(&format!("{{{text}}}"));
        records.push(record.map_err(|e| e.to_string())?.record);
        Ok(())
    })?;
    let replayed = records.len();
    let mut writer = Some(journal.writer());
    let progress = bar(
        out,
        (items.len() as u64) * u64::from(plan.rounds) + 1,
        "measuring",
    );
    let clock = Instant::now();
    let meter: Option<&mut dyn EnergyMeter> = match &mut meter {
        Some(meter) => Some(&mut **meter),
        None => None,
    };
    let mut session = Session {
        items: &items,
        plan: &plan,
        runtime: &mut *chosen.runtime,
        meter,
        sensors: &sensors,
        stop: &stop,
        now_s: &mut || clock.elapsed().as_secs_f64(),
        sleep_s: &mut |seconds| std::thread::sleep(Duration::from_secs_f64(seconds.max(0.0))),
        graph: &mut |at| {
            let item = items
                .get(at)
                .ok_or_else(|| RuntimeError::new("no such net"))?;
            graph(item, &mut documents).map_err(|f| RuntimeError::new(f.text()))
        },
        keep: &mut |record| {
            let line = serde_json::to_string(&Line {
                record: record.clone(),
            });
            let inner = line.ok().map(|l| l.trim_start_matches('{').to_owned());
            let inner = inner.and_then(|l| l.strip_suffix('}').map(str::to_owned));
            match (inner, &writer) {
                (Some(inner), Some(writer)) => writer.add(vec![inner]),
                _ => false,
            }
        },
        progress: &mut |done, all, name| {
            progress.set_length(all);
            progress.set_position(done);
            progress.set_message(short(name));
        },
    };
    let finished = args.finish || session.run(&mut records);
    progress.finish_and_clear();
    if let Some(writer) = writer.take() {
        writer.finish()?;
    }
    let rows = rows(&items, &records, plan.tolerance, &context);
    if !finished {
        return Err(Failure::Interrupted(format!(
            "interrupted after {} windows of {} networks; all are kept. Go on with:\n  {} --resume",
            records.len(),
            items.len(),
            super::search::command_line(&["--resume"]),
        )));
    }
    let new = table(&args.out.display().to_string(), &rows, &context)?;
    add(&args.out, new)?;
    std::fs::remove_file(&path)?;
    print::warnings(&rows, &items, &records, replayed, out);
    print::result(args, &rows, &context, out)?;
    let failed = records.iter().any(|r| matches!(r, Record::Failed(_)));
    Ok(if failed { Exit::Failure } else { Exit::Ok })
}

/// One line of the journal.
#[derive(serde::Serialize, serde::Deserialize)]
struct Line {
    record: Record,
}

type Metering = (Option<Box<dyn EnergyMeter>>, Option<String>);

fn open_meter(args: &Args, places: &Places) -> Metering {
    let name = match args.meter.as_str() {
        "none" => return (None, Some("--meter none".to_owned())),
        "auto" => None,
        name => Some(name),
    };
    match meter::find(places, name) {
        Ok(meter) => (Some(meter), None),
        Err(why) => (None, Some(why.to_string())),
    }
}

fn plan(args: &Args, meter: Option<&dyn EnergyMeter>) -> Plan {
    let (mut budget_s, mut min_runs) = (args.seconds, 10);
    if let Some(meter) = meter {
        let ticks = crate::measure::energy::GOOD_TICKS * meter.resolution().period_s;
        budget_s = budget_s.max(args.energy_seconds).max(ticks);
        min_runs = 30;
    }
    Plan {
        seed: args.seed,
        rounds: args.rounds,
        max_rounds: args.max_rounds.max(args.rounds),
        tolerance: args.tolerance / 100.0,
        window: WindowOptions {
            min_runs,
            budget_s,
            warm_up_s: args.warm_up,
            ..WindowOptions::default()
        },
        idle_s: args.idle_seconds,
        idle_every: args.idle_every,
    }
}

/// What a run depends on; a journal with another header belongs to another run.
fn header(items: &[crate::measure::Item], context: &Context, plan: &Plan) -> Value {
    json!({
        "format": crate::search::journal::FORMAT,
        "version": env!("CARGO_PKG_VERSION"),
        "networks": items.len(),
        "networks_hash": Fingerprint::of_text(&serde_json::to_string(items).unwrap_or_default()).to_string(),
        "device": context.device,
        "hardware": context.hardware,
        "runtime": format!("{} {}", context.runtime, context.runtime_version),
        "precision": context.precision,
        "threads": context.threads,
        "batch": context.batch,
        "form": context.form,
        "memory_format": context.memory_format,
        "spin": context.spin,
        "meter": context.meter,
        "seed": plan.seed,
        "seconds": plan.window.budget_s,
    })
}

/// The journal beside a table.
fn journal_path(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".journal");
    out.with_file_name(name)
}

/// Adds rows to the table that is there, or makes one.
fn add(path: &Path, new: Table) -> Result<()> {
    if is_csv(path) {
        return Ok(csv::append(&new, path)?);
    }
    #[cfg(feature = "analysis")]
    {
        let all = match path.exists() {
            false => new,
            true => {
                let old = parquet::read(path)?;
                old.appended(&new).map_err(|e| Failure::Input(e.into()))?
            }
        };
        parquet::write(&all, path)?;
    }
    Ok(())
}

fn short(name: &str) -> String {
    name.chars().take(24).collect()
}
