//! `show`: where a network's parameters, arithmetic, memory, time and energy go.

use super::failure::{Exit, Result};
use super::files::{device, load_net};
use super::out::{Out, grouped, mj, ms, percent, scaled, table};
use crate::cost::Counts;
use crate::device::{DeviceModel, Prediction};
use crate::fuse::{Kernels, fuse};
use crate::ir::Graph;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Per-node table and totals of one network, with predicted latency and energy on the devices named.
///
/// `macs` are multiply-accumulates of convolutions and linear layers. `conv_out_elems` and `mem_access_elems` are sums
/// over convolutions (elements read + written + weights). Predictions come with an interval and the profile's error
/// on networks that it never saw.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An arch, or a space whose decisions are all fixed with --set.
    file: PathBuf,
    /// Fixes a decision of a space.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
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
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let (loaded, graph) = load_net(&args.file, &args.sets)?;
    let counts = Counts::of(&graph)?;
    let mut predictions = Vec::new();
    for name in &args.devices {
        let model = device(name)?;
        let kernels = fuse(&graph, model.rules());
        let prediction = model.predict(&kernels.list, args.batch)?;
        predictions.push(OnDevice {
            model,
            kernels,
            prediction,
        });
    }
    if out.is_json() {
        let mut document = counts_json(loaded.space.name(), &counts);
        let devices: Map<String, Value> = predictions
            .iter()
            .map(|p| {
                (
                    p.model.name().to_owned(),
                    prediction_json(&p.model, &p.prediction),
                )
            })
            .collect();
        document["devices"] = Value::Object(devices);
        document["batch"] = json!(args.batch);
        if args.params {
            document["parameters"] = graph
                .parameters()
                .iter()
                .map(|p| json!({"name": p.name, "shape": p.shape}))
                .collect();
        }
        out.json(&document)?;
        return Ok(Exit::Ok);
    }
    let mut parts = vec![
        layer_table(&counts, args.blocks),
        totals_text(loaded.space.name(), &counts),
    ];
    for p in &predictions {
        parts.push(p.text(&graph, args.batch)?);
    }
    if args.params {
        let rows = graph
            .parameters()
            .into_iter()
            .map(|p| vec![p.name, format!("{:?}", p.shape)]);
        parts.push(table(&["parameter", "shape"], &[0, 1], rows));
    }
    out.text(&parts.join("\n\n"))?;
    Ok(Exit::Ok)
}

/// Bytes of an activation: 32-bit floats.
const BYTES: u64 = 4;

/// Counts as JSON, under the names of the contract.
pub fn counts_json(name: &str, counts: &Counts) -> Value {
    let mut document = json!({"name": name});
    let totals = json!(counts.totals);
    if let (Some(out), Value::Object(totals)) = (document.as_object_mut(), totals) {
        out.extend(totals);
        out.insert(
            "peak_activation_bytes".into(),
            json!(counts.totals.peak_activation_elems * BYTES),
        );
    }
    let layers = counts.layers.iter().map(|layer| {
        let mut row = json!(layer);
        row["inputs"] = layer.inputs.iter().map(|s| json!(s.to_string())).collect();
        row["output"] = json!(layer.output.to_string());
        row
    });
    document["layers"] = layers.collect();
    document
}

/// A prediction as JSON, with the profile's own errors beside it.
pub fn prediction_json(model: &DeviceModel, p: &Prediction) -> Value {
    let by_class: Map<String, Value> = p
        .by_class
        .named()
        .iter()
        .map(|(name, cost)| {
            (
                (*name).to_owned(),
                json!({"latency_s": cost.latency, "energy_j": cost.energy}),
            )
        })
        .collect();
    json!({
        "latency_s": p.latency, "latency_lo_s": p.latency_lo, "latency_hi_s": p.latency_hi,
        "energy_j": p.energy, "energy_lo_j": p.energy_lo, "energy_hi_j": p.energy_hi,
        "by_class": by_class,
        "uncovered": p.uncovered.iter().map(|k| k.name()).collect::<Vec<_>>(),
        "uncovered_share": p.uncovered_share,
        "transferred_share": p.transferred_share,
        "interval_level": model.profile().interval.level,
        "held_out": model.profile().held_out,
    })
}

fn layer_table(counts: &Counts, by_block: bool) -> String {
    if by_block {
        let rows = counts.by_block(1).into_iter().map(|b| {
            vec![
                b.name,
                b.nodes.to_string(),
                grouped(b.params),
                grouped(b.macs),
                percent(b.macs_share),
                grouped(b.mem_access_elems),
            ]
        });
        return table(
            &["block", "nodes", "params", "MACs", "%", "mem access"],
            &[0],
            rows,
        );
    }
    let rows = counts.layers.iter().map(|layer| {
        let op = if layer.live {
            layer.op.to_owned()
        } else {
            format!("{} (never runs)", layer.op)
        };
        let moved = if layer.mem_access_elems > 0 {
            grouped(layer.mem_access_elems)
        } else {
            String::new()
        };
        let some = |n: u64| if n > 0 { grouped(n) } else { String::new() };
        let share = if layer.macs > 0 {
            percent(layer.macs_share)
        } else {
            String::new()
        };
        vec![
            layer.name.clone(),
            op,
            layer.output.to_string(),
            some(layer.params),
            some(layer.macs),
            share,
            moved,
        ]
    });
    table(
        &["node", "op", "output", "params", "MACs", "%", "mem access"],
        &[0, 1],
        rows,
    )
}

fn totals_text(name: &str, counts: &Counts) -> String {
    let t = &counts.totals;
    let mut text = format!("{name}\n");
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<22}{value}");
    };
    let never = t.params - t.params_live;
    let note = if never > 0 {
        format!("   ({} of them never run)", grouped(never))
    } else {
        String::new()
    };
    line("parameters", format!("{}{note}", grouped(t.params)));
    line(
        "MACs",
        format!(
            "{}   ({} in convolutions, {} in linear layers)",
            grouped(t.macs),
            scaled(t.macs_conv as f64),
            scaled(t.macs_linear as f64)
        ),
    );
    line(
        "convolutions",
        format!(
            "{}   ({} depthwise, {} grouped)",
            t.n_conv, t.n_conv_depthwise, t.n_conv_grouped
        ),
    );
    line(
        "conv outputs",
        format!("{} elements", grouped(t.conv_out_elems)),
    );
    line(
        "memory access",
        format!("{} elements, convolutions", grouped(t.mem_access_elems)),
    );
    line(
        "peak activations",
        format!(
            "{}B in fp32",
            scaled((t.peak_activation_elems * BYTES) as f64)
        ),
    );
    let [h, w] = t.visible.receptive_field;
    line("receptive field", format!("{h} x {w}"));
    text.trim_end().to_owned()
}

/// One device's view of the network.
struct OnDevice {
    model: DeviceModel,
    kernels: Kernels,
    prediction: Prediction,
}

impl OnDevice {
    fn text(&self, graph: &Graph, batch: u32) -> Result<String> {
        let (p, profile) = (&self.prediction, self.model.profile());
        let mut text = format!(
            "{} ({}, {}), batch {batch}\n",
            profile.name, profile.hardware, profile.runtime
        );
        let level = profile.interval.level * 100.0;
        let _ = writeln!(
            text,
            "  latency {} ms   {level:.0} % interval {} to {}{}",
            ms(p.latency.0),
            ms(p.latency_lo.0),
            ms(p.latency_hi.0),
            error_note(&self.model, "latency"),
        );
        match (p.energy, p.energy_lo, p.energy_hi) {
            (Some(e), Some(lo), Some(hi)) => {
                let _ = writeln!(
                    text,
                    "  energy  {} mJ   {level:.0} % interval {} to {}{}",
                    mj(e.0),
                    mj(lo.0),
                    mj(hi.0),
                    error_note(&self.model, "energy"),
                );
            }
            _ => text.push_str("  energy  not measured on this device\n"),
        }
        if p.transferred_share > 0.0 {
            let _ = writeln!(
                text,
                "  {} % of the time comes from rates carried over from a device of the same kind",
                percent(p.transferred_share)
            );
        }
        if !p.uncovered.is_empty() {
            let kinds: Vec<&str> = p.uncovered.iter().map(|k| k.name()).collect();
            let _ = writeln!(
                text,
                "  NOT COVERED: {} ({} % of the work), left out of the sums above",
                kinds.join(", "),
                percent(p.uncovered_share)
            );
        }
        let rows = p.by_class.named().map(|(name, cost)| {
            let energy = cost.energy.map_or_else(|| "-".to_owned(), |e| mj(e.0));
            vec![
                format!("  {name}"),
                ms(cost.latency.0),
                percent(cost.latency.0 / p.latency.0.max(f64::MIN_POSITIVE)),
                energy,
            ]
        });
        let _ = writeln!(
            text,
            "{}",
            table(&["  class of work", "ms", "%", "mJ"], &[0], rows)
        );
        text.push_str(&self.blocks(graph, batch)?);
        Ok(text.trim_end().to_owned())
    }

    /// Cost by the top-level node that asked for it.
    fn blocks(&self, graph: &Graph, batch: u32) -> Result<String> {
        let costs = self.model.explain(&self.kernels.list, batch)?;
        let mut blocks: BTreeMap<usize, (String, f64, f64)> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for (cost, owner) in costs.iter().zip(&self.kernels.owners) {
            let name = graph
                .name(*owner)
                .split('.')
                .next()
                .unwrap_or_default()
                .to_owned();
            let place = order.iter().position(|n| *n == name).unwrap_or_else(|| {
                order.push(name.clone());
                order.len() - 1
            });
            let entry = blocks.entry(place).or_insert((name, 0.0, 0.0));
            if let Some(cost) = cost.cost {
                entry.1 += cost.latency.0;
                entry.2 += cost.energy.map_or(0.0, |e| e.0);
            }
        }
        let total = self.prediction.latency.0.max(f64::MIN_POSITIVE);
        let has_energy = self.prediction.energy.is_some();
        let rows = blocks.into_values().map(|(name, time, energy)| {
            let energy = if has_energy {
                mj(energy)
            } else {
                "-".to_owned()
            };
            vec![format!("  {name}"), ms(time), percent(time / total), energy]
        });
        Ok(table(&["  block", "ms", "%", "mJ"], &[0], rows))
    }
}

/// The profile's own error for a quantity, in words.
fn error_note(model: &DeviceModel, quantity: &str) -> String {
    let found = model
        .profile()
        .held_out
        .iter()
        .find(|h| json!(h.quantity) == quantity);
    found.map_or_else(String::new, |h| {
        format!("; held-out error {} % ({})", percent(h.mape), h.method)
    })
}
