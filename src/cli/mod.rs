//! Floor 7: the command line. One file a subcommand: an args struct and `run(args, out)`, with no logic that a user of
//! the library would miss. Data goes to stdout, everything else to stderr.

mod blocks;
#[cfg(feature = "analysis")]
mod calibrate;
mod check;
mod completions;
mod devices;
#[cfg(any(feature = "analysis", feature = "torch", feature = "onnxruntime"))]
mod documents;
mod draws;
mod export;
mod failure;
#[cfg(feature = "analysis")]
mod faults;
mod files;
#[cfg(any(feature = "torch", feature = "onnxruntime"))]
mod measure;
#[cfg(feature = "analysis")]
mod networks;
mod out;
#[cfg(feature = "analysis")]
mod predict;
mod progress;
#[cfg(feature = "torch")]
mod run;
mod sample;
mod search;
mod show;
mod weights;

use clap::{Parser, Subcommand};
use failure::Exit;
use out::{Format, Out};
use std::process::ExitCode;

/// Designs convolutional networks that are fast and frugal on real hardware.
///
/// A search space in JSON, a device and a budget go in; a ranked front of networks comes out, with predicted and
/// measured latency and energy, and files to take away. Everything runs offline.
#[derive(Debug, Parser)]
#[command(
    name = "blocksmith",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 invalid input, 4 nothing feasible, 5 interrupted and resumable."
)]
struct Cli {
    /// How stdout is written. With `json` it is one JSON document and nothing else.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// No progress and no notes on stderr; errors still are.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Show(show::Args),
    Sample(sample::Args),
    #[cfg(feature = "torch")]
    Run(run::Args),
    #[cfg(feature = "analysis")]
    Predict(predict::Args),
    #[cfg(any(feature = "torch", feature = "onnxruntime"))]
    Measure(Box<measure::Args>),
    #[cfg(feature = "analysis")]
    Calibrate(calibrate::Args),
    Search(Box<search::Args>),
    Export(Box<export::Args>),
    Blocks(blocks::Args),
    Devices(devices::Args),
    Completions(completions::Args),
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version arrive here too, with their own exit code
            let code = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            let _ = error.print();
            return code.into();
        }
    };
    let mut out = Out::new(cli.format, cli.quiet);
    let result = match cli.command {
        Command::Check(args) => check::run(&args, &mut out),
        Command::Show(args) => show::run(&args, &mut out),
        Command::Sample(args) => sample::run(&args, &mut out),
        #[cfg(feature = "torch")]
        Command::Run(args) => run::run(&args, &mut out),
        #[cfg(feature = "analysis")]
        Command::Predict(args) => predict::run(&args, &mut out),
        #[cfg(any(feature = "torch", feature = "onnxruntime"))]
        Command::Measure(args) => measure::run(&args, &mut out),
        #[cfg(feature = "analysis")]
        Command::Calibrate(args) => calibrate::run(&args, &mut out),
        Command::Search(args) => search::run(&args, &mut out),
        Command::Export(args) => export::run(&args, &mut out),
        Command::Blocks(args) => blocks::run(&args, &mut out),
        Command::Devices(args) => devices::run(&args, &mut out),
        Command::Completions(args) => completions::run(&args, &mut out),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(&mut out).into(),
    }
}
