//! `run`: a forward pass with given weights.

use super::failure::{Exit, Failure, Result};
use super::files::{load_net, read_text};
use super::out::Out;
use crate::torch;
use serde_json::json;
use std::path::PathBuf;

/// Forward pass in eval mode through libtorch, with given weights.
///
/// The input file holds a tensor `input` (`input1`, ... for nets with several inputs) of shape [batch, c, h, w]; the
/// output file gets `output` (`output1`, ...). A missing, surplus or misshapen weight is an error that names it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An arch, or a space whose decisions are all fixed with --set.
    file: PathBuf,
    /// Fixes a decision of a space.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    /// Weights, as safetensors; names as `show --params` lists them.
    #[arg(long, value_name = "W.safetensors")]
    weights: PathBuf,
    /// JSON object `{our parameter name: name in the weights file}`.
    #[arg(long, value_name = "MAP.json")]
    map: Option<PathBuf>,
    /// Input tensors, as safetensors.
    #[arg(long, value_name = "X.safetensors")]
    input: PathBuf,
    /// File for the output tensors.
    #[arg(long, value_name = "Y.safetensors")]
    output: PathBuf,
    /// Where to run: `cpu` or `cuda:0`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let (_, graph) = load_net(&args.file, &args.sets)?;
    let device = torch::parse_device(&args.device)?;
    let map = match &args.map {
        Some(path) => Some(torch::parse_name_map(&read_text(path)?, path)?),
        None => None,
    };
    let failed = |e: torch::TorchError| {
        if e.is_input() {
            Failure::Input(e.into())
        } else {
            Failure::Other(e.into())
        }
    };
    let summary = torch::run(
        &graph,
        &args.weights,
        map.as_ref(),
        &args.input,
        &args.output,
        device,
    )
    .map_err(failed)?;
    if out.is_json() {
        out.json(&json!({"output": args.output.display().to_string(), "summary": summary}))?;
    } else {
        out.text(&summary.to_string())?;
    }
    Ok(Exit::Ok)
}
