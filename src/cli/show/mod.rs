//! `show`: where a network's parameters, arithmetic, memory, time and energy go; several networks side by side.

mod blocks;
mod compare;
mod counts;
mod device;
mod findings;

use super::failure::{Exit, Failure, Result};
use super::files;
use super::out::{Out, table};
use crate::cost::Counts;
use crate::ir::Graph;
use crate::space::Space;
use blocks::Blocks;
use device::OnDevice;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Per-node table and totals of one network, with predicted latency and energy on the devices named; or several
/// networks side by side.
///
/// MACs are multiply-accumulates of convolutions and linear layers. Conv outputs and memory access are sums over
/// convolutions (elements read + written + weights); beside each stands the least that a convolution of its work could
/// move. Predictions come with an interval and the profile's error on networks that it never saw, are split by class of work
/// and by block, and end in what the guidelines G1 to G4 of ShuffleNetV2 find: what is there, and the time and energy
/// that the remedy would save, by predicting the rewritten network.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An arch, or a space whose decisions are all fixed with --set. Several are put side by side.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Fixes a decision of a space. With several files: in all that have it.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    /// Puts the values of this decision side by side; all others must be fixed.
    #[arg(long, value_name = "DECISION", conflicts_with_all = ["params", "blocks"])]
    compare: Option<String>,
    /// Device to predict for: a name from `blocksmith devices`, or a profile file.
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// Samples at once, for the predictions; counts are always of one sample.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Adds parameter names and shapes, in execution order.
    #[arg(long)]
    params: bool,
    /// A row a block instead of a row a node.
    #[arg(long)]
    blocks: bool,
    /// Parts of a node's name that make the name of its block. Left out: so many that no block has most of the nodes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    depth: Option<u32>,
}

/// A network with its counts and predictions.
struct Network {
    /// The name of its document.
    name: String,
    graph: Graph,
    counts: Counts,
    devices: Vec<OnDevice>,
}

impl Network {
    fn of(name: &str, graph: Graph, args: &Args) -> Result<Self> {
        let counts = Counts::of(&graph)?;
        let on = |name: &String| OnDevice::predict(name, &graph, args.batch);
        Ok(Self {
            name: name.to_owned(),
            counts,
            devices: args.devices.iter().map(on).collect::<Result<_>>()?,
            graph,
        })
    }

    /// All but the rows of the nodes, under the names of the contract.
    fn json(&self, batch: u32) -> Value {
        let mut document = counts::totals_json(&self.name, &self.graph, &self.counts);
        let of = |d: &OnDevice| (d.name().to_owned(), d.json(&self.counts.totals));
        let devices: Map<String, Value> = self.devices.iter().map(of).collect();
        document["devices"] = Value::Object(devices);
        document["batch"] = json!(batch);
        document
    }
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let pairs = files::pairs(&args.sets)?;
    if let (Some(decision), [file]) = (&args.compare, args.files.as_slice()) {
        let loaded = files::read(file)?.fix(&pairs)?;
        return compare::decision(args, &loaded, decision, out);
    }
    if args.compare.is_some() {
        return Err(Failure::Usage(
            "--compare takes one FILE; several files stand side by side without it".into(),
        ));
    }
    if let [file] = args.files.as_slice() {
        let (loaded, graph) = files::load_net(file, &args.sets)?;
        one(args, &loaded.space, graph, out)?;
        return Ok(Exit::Ok);
    }
    if args.params || args.blocks {
        let text =
            "--params and --blocks show one FILE; several stand side by side by their totals";
        return Err(Failure::Usage(text.into()));
    }
    let loaded = args.files.iter().map(|f| files::read(f));
    compare::documents(args, loaded.collect::<Result<_>>()?, &pairs, out)
}

/// One network in full.
fn one(args: &Args, space: &Space, graph: Graph, out: &mut Out) -> Result<()> {
    let net = Network::of(space.name(), graph, args)?;
    let depth = args
        .depth
        .map_or_else(|| counts::depth(&net.counts), |n| n as usize);
    let kinds = blocks::kinds(space, &net.graph, depth);
    let by_block = |device| Blocks::of(device, &net.graph, &net.counts, &kinds, depth);
    if out.is_json() {
        let mut document = net.json(args.batch);
        for device in &net.devices {
            let part = &mut document["devices"][device.name()];
            part["by_block"] = by_block(device)?.json();
            part["findings"] = findings::json(&device.findings(&net.graph)?);
        }
        document["layers"] = counts::layers_json(&net.counts);
        if args.params {
            document["parameters"] = net
                .graph
                .parameters()
                .iter()
                .map(|p| json!({"name": p.name, "shape": p.shape}))
                .collect();
        }
        return Ok(out.json(&document)?);
    }
    let mut parts = vec![
        if args.blocks {
            counts::block_table(&net.counts, depth)
        } else {
            counts::layer_table(&net.graph, &net.counts)
        },
        counts::totals_text(&net.name, &net.graph, &net.counts),
    ];
    for device in &net.devices {
        parts.push(device.text(&net.counts.totals));
        parts.push(by_block(device)?.text());
        parts.push(findings::text(&device.findings(&net.graph)?));
    }
    if args.params {
        let rows = net.graph.parameters().into_iter();
        let rows = rows.map(|p| vec![p.name, format!("{:?}", p.shape)]);
        parts.push(table(&["parameter", "shape"], &[0, 1], rows));
    }
    Ok(out.text(&parts.join("\n\n"))?)
}
