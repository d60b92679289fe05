//! `export`: a net as a file that other programs run.

use super::failure::{Exit, Failure, Result};
use super::files::load_net;
use super::out::{Out, grouped};
use super::weights;
use crate::emit::onnx::{self, Batch, OnnxErrorKind, Options};
use crate::ir::Graph;
use crate::weights::{Weights, fold};
use serde_json::json;
use std::path::PathBuf;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// ONNX, operator set 17: ONNX Runtime from 1.12 on, TensorRT, OpenVINO and others.
    Onnx,
}

/// Writes a net, its weights included, as a file that other programs run. No framework is needed.
///
/// Values and parameters keep the names that `show` gives; inputs are `input`, `input1` and so on, outputs `output`,
/// `output1`. Without --weights the weights are drawn from --seed, which is enough to measure time; the file says so.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An arch, or a space whose decisions are all fixed with --set.
    file: PathBuf,
    /// Fixes a decision of a space.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    /// What is written.
    #[arg(long, value_enum)]
    to: Target,
    /// The file to write.
    #[arg(long, value_name = "X.onnx")]
    out: PathBuf,
    /// Weights, as safetensors; names as `show --params` lists them, or as --map says.
    #[arg(long, value_name = "W.safetensors")]
    weights: Option<PathBuf>,
    /// Names in the weights file: JSON `{our name: name in the file}` or with patterns (docs/weights.md); or the name
    /// of a map shipped with FILE, such as `torchvision`, `timm` or `pytorchcv`.
    #[arg(long, value_name = "MAP.json|NAME", requires = "weights")]
    map: Option<String>,
    /// Seed of the weights where no file is given.
    #[arg(long, default_value_t = 0, conflicts_with = "weights")]
    seed: u64,
    /// Samples in the batch, or `dynamic` for as many as are given.
    #[arg(long, value_name = "N|dynamic", default_value = "1", value_parser = batch)]
    batch: Batch,
    /// Folds batch norms into the convolutions before them: the form to deploy. Without it the file has the net as it was
    /// trained, node by node.
    #[arg(long)]
    fold: bool,
    /// Puts large weights into X.onnx.data beside the file, as models past 2 GiB need it.
    #[arg(long)]
    external_data: bool,
}

fn batch(text: &str) -> std::result::Result<Batch, String> {
    match (text, text.parse()) {
        ("dynamic", _) => Ok(Batch::Dynamic),
        (_, Ok(n)) if n > 0 => Ok(Batch::Fixed(n)),
        _ => Err("expected a whole number from 1, or `dynamic`".to_owned()),
    }
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let Target::Onnx = args.to;
    let (loaded, graph) = load_net(&args.file, &args.sets)?;
    let (weights, origin) = numbers(args, &graph)?;
    let (graph, weights) = match args.fold {
        true => {
            let folded = fold(&graph);
            let weights = folded.weights(&weights);
            (folded.graph, weights)
        }
        false => (graph, weights),
    };
    let note = |key: &str, value: String| (format!("blocksmith.{key}"), value);
    let options = Options {
        batch: args.batch,
        name: loaded.space.name().to_owned(),
        metadata: vec![
            note("weights", origin.clone()),
            note("fingerprint", graph.fingerprint().to_string()),
            note("folded", args.fold.to_string()),
        ],
    };
    let model = onnx::model(&graph, &weights, &options).map_err(|e| Failure::Input(e.into()))?;
    if model.is_too_large() && !args.external_data {
        let bytes = model.tensor_bytes();
        return Err(Failure::Input(
            anyhow::Error::from(onnx::OnnxError::from(OnnxErrorKind::TooLarge { bytes }))
                .context("--external-data is needed"),
        ));
    }
    let [bytes, data] = match args.external_data {
        true => model
            .save_beside(&args.out)
            .map_err(|e| Failure::Other(e.into()))?,
        false => [
            model
                .save(&args.out)
                .map_err(|e| Failure::Other(anyhow::anyhow!(e)))?,
            0,
        ],
    };
    let shown = args.out.display().to_string();
    if out.is_json() {
        out.json(&json!({
            "output": shown,
            "format": "onnx",
            "opset": onnx::OPSET,
            "ir_version": onnx::IR_VERSION,
            "nodes": model.nodes(),
            "params": model.parameters(),
            "folded": args.fold,
            "weights": origin,
            "bytes": bytes,
            "data_bytes": data,
        }))?;
    } else {
        out.text(&format!(
            "{shown}: ONNX operator set {}, {} nodes, {} params, {} bytes; weights: {origin}",
            onnx::OPSET,
            model.nodes(),
            grouped(model.parameters()),
            grouped(bytes + data),
        ))?;
    }
    Ok(Exit::Ok)
}

/// The weights, and where they come from.
fn numbers(args: &Args, graph: &Graph) -> Result<(Weights, String)> {
    let Some(path) = &args.weights else {
        let weights = Weights::initial(graph, args.seed);
        let weights = weights.map_err(|e| Failure::Input(e.into()))?;
        return Ok((weights, format!("random, seed {}", args.seed)));
    };
    let map = weights::read_map(&args.file, args.map.as_deref())?;
    let (header, fit) = weights::fit(graph, &args.file, path, map.as_ref())?;
    let weights = Weights::read(path, &header, &graph.parameters(), &fit);
    let weights = weights.map_err(|e| Failure::Other(e.into()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok((weights, name.into_owned()))
}
