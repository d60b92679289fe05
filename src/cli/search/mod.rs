//! `search`: the main job.

mod among;
#[cfg(feature = "torch")]
mod build;
mod evaluator;
mod fork;
mod live;
mod ranking;
mod text;

use super::failure::{Exit, Failure, Result};
use super::files::{device, load};
use super::out::{Out, grouped};
use crate::base::parts::Parts;
use crate::device::{BUILT_IN, DeviceModel, split_batch};
use crate::search::evaluate::{Costs, Evaluate};
use crate::search::folder::{self, Folder};
use crate::search::journal::Start;
use crate::search::metric::{Known, Unit};
use crate::search::objective::{Limit, Problem};
use crate::search::process::kill_all;
use crate::search::{Run, SEARCHERS, Settings, Stop, searcher};
use live::Live;
use ranking::Ranking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Searches a space for the networks that are best in the objectives and keep within the limits.
///
/// Every candidate is built as a graph, counted, and predicted on every device that is named, before anything is trained
/// or run. Metrics: `params`, `macs`, `conv_out_elems`, `mem_access_elems`, `peak_activation_bytes`,
/// `latency_s@DEVICE`, `energy_j@DEVICE`; of a batch of 64 `latency_s@DEVICE:64`. The space's budgets are limits too. The run folder gets `run.json`, the
/// journal, `trials`, `front` and `front/*.json` (archs that stand alone). The same seed gives the same result on any number
/// of threads, and a run that was interrupted or killed goes on with --resume as if it had not been.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The space.
    space: PathBuf,
    /// Folder of the run.
    #[arg(long)]
    out: PathBuf,
    /// What to make small or large; may be given several times. Where it is left out, `max macs` and `min latency_s` on
    /// every --device.
    #[arg(long = "objective", value_name = "'min METRIC'")]
    objectives: Vec<String>,
    /// What to keep within: `params<=5e6`, `latency_s@pi5-onnx<=50ms`, `macs>=100M`.
    #[arg(long = "limit", value_name = "'METRIC<=N'")]
    limits: Vec<String>,
    /// A device: a shipped profile's name, or a profile file; with `:64` behind it, that device at batches of 64. With a
    /// single --device, `latency_s` and `energy_j` mean it.
    #[arg(long = "device", value_name = "NAME|FILE")]
    devices: Vec<String>,
    /// How many trials at most. A trial is a distinct network. 1000 where it is left out; for `exhaustive` 1,000,000.
    #[arg(long, value_name = "N")]
    budget: Option<u64>,
    /// The algorithm: `guided` predicts costs of very many candidates and learns what an evaluator tells (without one it
    /// is `nsga2`); `nsga2` and `evolution` breed; `front` changes what is on the front; `random` draws; `exhaustive`
    /// visits all.
    #[arg(long, default_value = "guided", value_parser = SEARCHERS.iter().map(|s| s.name).collect::<Vec<_>>())]
    algorithm: String,
    /// The value of an objective from which on it is worth something: `accuracy=0.5`. Without it, the worst predicted one
    /// and a tenth, or for what an evaluator tells what all but the worst 15 % of the first answers reach.
    #[arg(long = "reference", value_name = "'METRIC=N'")]
    references: Vec<String>,
    /// Ranks the front by a weighted sum of the objectives, each from 0 (its best on the front) to 1 (its worst). What is
    /// not named weighs nothing. The front stays as it is.
    #[arg(long, value_name = "'METRIC=W,…'")]
    weights: Option<String>,
    #[command(flatten)]
    evaluator: evaluator::Evaluator,
    /// Where all chance comes from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Fixes a decision of the space.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    /// Proposes nothing but the networks of this table (CSV; Parquet where the program reads it): a row a network, a column
    /// a decision, as in the `trials` table of a run; an empty cell is a decision that is not active. Further columns do
    /// not matter. Belongs to the run: another table is another search.
    #[arg(long, value_name = "TABLE")]
    among: Option<PathBuf>,
    /// Builds this many of the best networks through libtorch and compares their parameters with the counts.
    #[arg(long, value_name = "K", default_value_t = 0)]
    build_top: usize,
    /// Builds and measures this many of the best networks on this machine's CPU.
    #[arg(long, value_name = "K", default_value_t = 0)]
    measure_top: usize,
    /// Threads of the search and of the measurements; all cores where it is left out.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Writes how far the search is to this file, a JSON object a line, every second: for other programs to watch.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Ends when one more network is expected to add less than this part of the hypervolume (`0.0005`, `0.05%`), in two
    /// batches running. Only `guided` with an evaluator knows.
    #[arg(long, value_name = "P", value_parser = part)]
    until_gain: Option<f64>,
    /// Starts from what the evaluator told in the run in this folder, whatever its settings were: no network is asked about
    /// twice. That folder is left as it is.
    #[arg(long, value_name = "FOLDER")]
    fork: Option<PathBuf>,
    /// Goes on with the run in the folder, or starts one where there is none.
    #[arg(long)]
    resume: bool,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    if cfg!(not(feature = "torch")) && args.build_top.max(args.measure_top) > 0 {
        return Err(Failure::Usage(
            "--build-top and --measure-top need a program with libtorch".to_owned(),
        ));
    }
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads as usize)
            .build_global()?;
    }
    let loaded = load(&args.space, &args.sets)?;
    let extra = args
        .devices
        .iter()
        .map(|d| at_batch(d, &[]))
        .collect::<Result<Vec<_>>>()?;
    let problem = problem(args, &loaded.space.ast().budgets, &extra)?;
    let asked = args.evaluator.metrics(&problem)?;
    for doubt in doubtful_units(&problem, &args.limits) {
        out.note(&doubt);
    }
    let mut models: Vec<DeviceModel> = Vec::new();
    let asked_for = problem.devices();
    models.extend(
        extra
            .iter()
            .filter(|m| asked_for.contains(&m.name()))
            .cloned(),
    );
    for idle in extra.iter().filter(|m| !asked_for.contains(&m.name())) {
        out.note(&format!(
            "note: nothing is predicted for {0}: no objective and no limit names it, as in --limit 'latency_s@{0}<=1s'",
            idle.name()
        ));
    }
    for name in asked_for {
        if !models.iter().any(|m| m.name() == name) {
            models.push(at_batch(name, &extra)?);
        }
    }
    for model in &models {
        let [least, most] = model.profile().batch;
        if model.batch() > 1 && !(least..=most).contains(&model.batch()) {
            out.note(&format!(
                "note: {} was measured at batches of {least} to {most}: predictions at {} are extrapolated",
                model.profile().name,
                model.batch()
            ));
        }
    }
    refuse_unmeasured(&problem, &models)?;
    let mut costs = Costs::new(&loaded.program, &models);
    if let Some(path) = &args.among {
        costs = costs.among(among::members(path, &loaded.space, out)?);
    }
    let algorithm = searcher(&args.algorithm)
        .ok_or_else(|| Failure::Usage(format!("no algorithm \"{}\"", args.algorithm)))?;
    let settings = Settings {
        algorithm,
        seed: args.seed,
        budget: args.budget,
        batch: args.evaluator.batch(),
        until_gain: args.until_gain,
    };
    let stop = stop_on_ctrl_c()?;
    let folder = Folder::create(&args.out, TABLE_EXTENSION)?;
    if args.until_gain.is_some() && (asked.is_empty() || algorithm.name != "guided") {
        return Err(Failure::Usage(
            "--until-gain needs --algorithm guided and an evaluator: nobody else knows what is left to gain".to_owned(),
        ));
    }
    let known = fork::known(args, &folder, &loaded.space, &asked, out)?;
    let live = Live::new(out, &problem, args.events.as_deref())?;
    let started = Instant::now();
    let start = if args.resume {
        Start::Resume
    } else {
        Start::New
    };
    let mut process = args.evaluator.process(
        &loaded.program,
        &problem,
        algorithm,
        &args.out,
        live.bar(),
        out,
    )?;
    let run = Run {
        costs: &costs,
        problem: &problem,
        settings,
        evaluator: process.as_mut().map(|p| p as &mut dyn Evaluate),
        known: known.as_ref(),
        watch: &live,
        stop: &stop,
    };
    let found = folder::search(&folder, start, run, &write_table);
    live.end(found.as_ref().map(|(outcome, _)| outcome));
    if let Some(process) = &mut process {
        process.end();
        let remarks = evaluator::remarks(process);
        remarks.iter().for_each(|r| out.note(r));
    }
    let answers = process.as_ref().map(|p| p.lives().answers);
    drop(process);
    let resume = command_line(&["--resume"]);
    let (outcome, archs) = found.map_err(|e| evaluator::failure(e, &loaded.file, &resume))?;
    let seconds = started.elapsed().as_secs_f64();
    out.note(&text::tally(&outcome, algorithm, seconds));
    if outcome.stop == Stop::Interrupted || outcome.front.is_empty() {
        out.note(&text::phases(&live.spent()));
    }
    if outcome.stop == Stop::Interrupted {
        // answers of a batch that is not complete are no trials yet, but they are in the journal
        let done = match answers {
            Some(n) => format!("{} answers; these and all before", grouped(n)),
            None => format!("{} trials; all", grouped(outcome.trials.len() as u64)),
        };
        return Err(Failure::Interrupted(format!(
            "interrupted after {done} are kept. Go on with:\n  {resume} --resume"
        )));
    }
    if outcome.front.is_empty() {
        return Err(text::infeasible(&problem, &outcome, &costs));
    }
    #[cfg(feature = "torch")]
    let built = {
        let began = Instant::now();
        let built = build::best(args, &loaded, &outcome, &archs, &args.out, out);
        if args.build_top.max(args.measure_top) > 0 {
            live.took("building", began);
        }
        built
    };
    #[cfg(not(feature = "torch"))]
    let built: Result<_> = Ok(std::collections::HashMap::new());
    out.note(&text::phases(&live.spent()));
    let built = built?;
    let ranking = Ranking::new(
        &loaded.space,
        &problem,
        &outcome,
        &models,
        &archs,
        &args.devices,
        built,
    );
    ranking.print(&args.out, &live.spent(), out)?;
    Ok(Exit::Ok)
}

/// The device of that name; of `NAME:BATCH` one of `extra`, a shipped one, or a file, for batches so large.
fn at_batch(name: &str, extra: &[DeviceModel]) -> Result<DeviceModel> {
    let find = |name: &str| match extra.iter().find(|m| m.profile().name == name) {
        Some(model) => Ok(model.clone().at_batch(1)),
        None => device(name),
    };
    match split_batch(name) {
        Some((plain, batch)) if !Path::new(name).exists() => Ok(find(plain)?.at_batch(batch)),
        _ => find(name),
    }
}

/// A part of a whole, in percent if it says so.
fn part(text: &str) -> std::result::Result<f64, String> {
    let (number, unit) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim(), 0.01),
        None => (text.trim(), 1.0),
    };
    let part = number.parse::<f64>().ok().map(|x| x * unit);
    part.filter(|x| (0.0..1.0).contains(x))
        .ok_or_else(|| "expected a part of 1, for example 0.0005 or 0.05%".to_owned())
}

#[cfg(feature = "analysis")]
const TABLE_EXTENSION: &str = "parquet";
#[cfg(not(feature = "analysis"))]
const TABLE_EXTENSION: &str = "csv";

#[cfg(feature = "analysis")]
fn write_table(
    table: &Parts<'_>,
    path: &Path,
) -> std::result::Result<(), crate::base::file::FileError> {
    crate::analysis::parquet::write_parts(table, path)
}
#[cfg(not(feature = "analysis"))]
fn write_table(
    table: &Parts<'_>,
    path: &Path,
) -> std::result::Result<(), crate::base::file::FileError> {
    folder::csv(table, path)
}

fn problem(args: &Args, budgets: &[(Box<str>, f64)], extra: &[DeviceModel]) -> Result<Problem> {
    // those of the command line first, each once
    let mut names: Vec<&str> = Vec::new();
    let given = extra.iter().flat_map(|m| [m.name(), &*m.profile().name]);
    for name in given.chain(BUILT_IN.iter().map(|b| b.name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let device = match extra {
        [only] => Some(only.name()),
        _ => None,
    };
    let known = Known {
        devices: &names,
        device,
        evaluator: args.evaluator.is_given(),
    };
    let mut objectives = args.objectives.clone();
    if objectives.is_empty() && !extra.is_empty() {
        objectives.push("max macs".to_owned());
        objectives.extend(extra.iter().map(|m| format!("min latency_s@{}", m.name())));
    }
    Problem::parse(&objectives, &args.limits, budgets, &known)
        .and_then(|p| p.with_references(&args.references, &known))
        .and_then(|p| match &args.weights {
            Some(weights) => p.with_weights(weights, &known),
            None => Ok(p),
        })
        .map_err(|d| Failure::Usage(d.render(None)))
}

/// Limits that were most likely meant in another unit: whole seconds or joules of one run, written without a unit.
fn doubtful_units(problem: &Problem, limits: &[String]) -> Vec<String> {
    let doubt = |(limit, text): (&Limit, &String)| {
        let (unit, small) = match limit.metric.unit() {
            Unit::Seconds => ("s", "ms"),
            Unit::Joules => ("J", "mJ"),
            _ => return None,
        };
        let plain = text
            .trim_end()
            .ends_with(|c: char| c.is_ascii_digit() || c == '.');
        let value = limit.value;
        (plain && value >= 1.0).then(|| {
            format!(
                "warning: {limit} is {value} {unit}; write {value}{small} if that is what is meant"
            )
        })
    };
    problem
        .limits
        .iter()
        .zip(limits)
        .filter_map(doubt)
        .collect()
}

/// A profile without energy can neither rank nor limit it.
fn refuse_unmeasured(problem: &Problem, models: &[DeviceModel]) -> Result<()> {
    let objectives = problem.objectives.iter().map(|o| &o.metric);
    for metric in objectives.chain(problem.limits.iter().map(|l| &l.metric)) {
        let device = metric
            .device()
            .and_then(|d| models.iter().find(|m| m.name() == d));
        let Some(device) = device else { continue };
        if metric.unit() == Unit::Joules && device.profile().energy_constant_j.is_none() {
            let text = format!("{metric}: energy was not measured on {}", device.name());
            return Err(Failure::Usage(text));
        }
    }
    Ok(())
}

/// This process's command line without some options, as a shell takes it.
pub(super) fn command_line(without: &[&str]) -> String {
    let words = std::env::args().filter(|a| !without.contains(&a.as_str()));
    words.map(|a| quoted(&a)).collect::<Vec<_>>().join(" ")
}

/// The first Ctrl-C lets the work in hand finish, the second ends the program.
pub(super) fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            kill_all();
            std::process::exit(Exit::Interrupted as i32);
        }
    })?;
    Ok(stop)
}

/// A word of a command line as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=@:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
