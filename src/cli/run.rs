//! `run`: a forward pass with given weights.

use super::failure::{Exit, Failure, Result};
use super::files::load_net;
use super::out::Out;
use super::weights;
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
    /// Weights, as safetensors; names as `show --params` lists them, or as --map says.
    #[arg(long, value_name = "W.safetensors")]
    weights: PathBuf,
    /// Names in the weights file: JSON `{our name: name in the file}` or with patterns (docs/weights.md); or the name
    /// of a map shipped with FILE, such as `torchvision`, `timm` or `pytorchcv`.
    #[arg(long, value_name = "MAP.json|NAME")]
    map: Option<String>,
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
    let map = weights::read_map(&args.file, args.map.as_deref())?;
    weights::fit(&graph, &args.file, &args.weights, map.as_ref())?;
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
        map.as_ref().map(|m| &m.1),
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
