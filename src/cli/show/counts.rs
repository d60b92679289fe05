//! What is counted, as JSON and as text.

use crate::cli::out::{grouped, percent, scaled, table};
use crate::cost::{Bounds, Counts};
use crate::ir::{Graph, Op};
use serde_json::{Value, json};
use std::fmt::Write;

/// Bytes of an activation: 32-bit floats.
const BYTES: u64 = 4;

/// The largest part of the nodes that one row of a table of blocks should stand for.
const LARGE_BLOCK: f64 = 0.6;

/// Most activation bytes alive at once.
pub fn peak_bytes(counts: &Counts) -> u64 {
    counts.totals.peak_activation_elems * BYTES
}

/// The totals, under the names of the contract.
pub fn totals_json(name: &str, graph: &Graph, counts: &Counts) -> Value {
    let mut document = json!({"name": name});
    let outputs = graph.outputs().iter().map(|o| {
        let name = graph.name(*o);
        json!({"name": name, "shape": graph.shape(*o).to_string()})
    });
    let more = json!({
        "peak_activation_bytes": peak_bytes(counts),
        "outputs": outputs.collect::<Vec<_>>(),
    });
    let parts = [json!(counts.totals), json!(counts.bounds), more];
    for part in parts {
        if let (Some(out), Value::Object(part)) = (document.as_object_mut(), part) {
            out.extend(part);
        }
    }
    document
}

/// A row a node.
pub fn layers_json(counts: &Counts) -> Value {
    let row = |layer: &crate::cost::Layer| {
        let mut row = json!(layer);
        row["inputs"] = layer.inputs.iter().map(|s| json!(s.to_string())).collect();
        row["output"] = json!(layer.output.to_string());
        let bound = |of: fn(Bounds) -> f64| json!(layer.bounds.map(of));
        row["mem_access_bound_elems"] = bound(|b| b.mem_access_bound_elems);
        row["mem_access_bound_ungrouped_elems"] = bound(|b| b.mem_access_bound_ungrouped_elems);
        row
    };
    counts.layers.iter().map(row).collect()
}

/// The least depth at which no block has most of the nodes; 1 where there is none.
pub fn depth(counts: &Counts) -> usize {
    let parts = |name: &str| name.matches('.').count() + 1;
    let deepest = counts.layers.iter().map(|l| parts(&l.name)).max();
    let most = counts.layers.len() as f64 * LARGE_BLOCK;
    let small = |depth: &usize| {
        let blocks = counts.by_block(*depth);
        blocks.iter().all(|b| b.nodes as f64 <= most)
    };
    (1..=deepest.unwrap_or(1)).find(small).unwrap_or(1)
}

/// A figure, or nothing for 0.
fn some(n: u64) -> String {
    if n > 0 { grouped(n) } else { String::new() }
}

/// A bound and how far above it the memory access lies; nothing where there is none.
fn bound(moved: u64, bound: f64) -> [String; 2] {
    if bound > 0.0 {
        [
            grouped(bound.round() as u64),
            format!("{:.2}", moved as f64 / bound),
        ]
    } else {
        Default::default()
    }
}

/// A row a block.
pub fn block_table(counts: &Counts, depth: usize) -> String {
    let rows = counts.by_block(depth).into_iter().map(|b| {
        let [least, ratio] = bound(b.conv_mem_access_elems, b.bounds.mem_access_bound_elems);
        let share = if b.macs > 0 {
            percent(b.macs_share)
        } else {
            String::new()
        };
        vec![
            b.name,
            b.nodes.to_string(),
            some(b.params),
            some(b.macs),
            share,
            some(b.conv_mem_access_elems),
            least,
            ratio,
        ]
    });
    let head = [
        "block",
        "nodes",
        "params",
        "MACs",
        "%",
        "conv access",
        "bound",
        "x",
    ];
    table(&head, &[0], rows)
}

/// A row a node.
pub fn layer_table(graph: &Graph, counts: &Counts) -> String {
    let rows = graph
        .nodes()
        .iter()
        .zip(&counts.layers)
        .map(|(node, layer)| {
            let mut op = op_text(&node.op, layer.inputs.first().map_or(0, |x| x.channels()));
            if !layer.live {
                op.push_str(" (never runs)");
            }
            let share = if layer.macs > 0 {
                percent(layer.macs_share)
            } else {
                String::new()
            };
            let least = layer.bounds.map_or(0.0, |b| b.mem_access_bound_elems);
            let [least, ratio] = bound(layer.mem_access_elems, least);
            vec![
                layer.name.clone(),
                op,
                layer.output.to_string(),
                some(layer.params),
                some(layer.macs),
                share,
                some(layer.mem_access_elems),
                least,
                ratio,
            ]
        });
    let head = [
        "node",
        "op",
        "output",
        "params",
        "MACs",
        "%",
        "mem access",
        "bound",
        "x",
    ];
    table(&head, &[0, 1], rows)
}

/// An op's name; of a convolution kernel, stride, dilation and groups as well: `conv 3x3/2 d2 g4`, `dw 3x3`.
fn op_text(op: &Op, channels: u32) -> String {
    let Op::Conv(conv) = op else {
        return op.name().to_owned();
    };
    let depthwise = conv.is_depthwise(channels);
    let [kh, kw] = conv.kernel_size;
    let mut text = format!("{} {kh}x{kw}", if depthwise { "dw" } else { "conv" });
    let side = |[h, w]: [u32; 2]| {
        if h == w {
            h.to_string()
        } else {
            format!("{h}x{w}")
        }
    };
    if conv.stride != [1, 1] {
        let _ = write!(text, "/{}", side(conv.stride));
    }
    if conv.dilation != [1, 1] {
        let _ = write!(text, " d{}", side(conv.dilation));
    }
    if conv.groups > 1 && !depthwise {
        let _ = write!(text, " g{}", conv.groups);
    }
    text
}

/// The totals.
pub fn totals_text(name: &str, graph: &Graph, counts: &Counts) -> String {
    let t = &counts.totals;
    let mut text = format!("{name}\n");
    let mut line = |label: &str, value: String, note: String| {
        let value = format!("{value:<17}{note}");
        let _ = writeln!(text, "  {label:<18}{}", value.trim_end());
    };
    let never = t.params - t.params_live;
    let note = match never {
        0 => String::new(),
        n => format!("{} of them never run", grouped(n)),
    };
    line("parameters", grouped(t.params), note);
    line(
        "MACs",
        grouped(t.macs),
        format!(
            "{} in convolutions, {} in linear layers",
            scaled(t.macs_conv as f64),
            scaled(t.macs_linear as f64)
        ),
    );
    line(
        "convolutions",
        grouped(t.n_conv),
        format!(
            "{} depthwise, {} more in groups",
            t.n_conv_depthwise, t.n_conv_grouped
        ),
    );
    line(
        "conv outputs",
        grouped(t.conv_out_elems),
        "elements".to_owned(),
    );
    line(
        "memory access",
        grouped(t.mem_access_elems),
        "elements, convolutions".to_owned(),
    );
    let least = counts.bounds.mem_access_bound_elems;
    let [figure, ratio] = bound(t.mem_access_elems, least);
    if !figure.is_empty() {
        let note = format!("elements; {ratio} times that are moved");
        line("its lower bound", figure, note);
    }
    let [free, ratio] = bound(
        t.mem_access_elems,
        counts.bounds.mem_access_bound_ungrouped_elems,
    );
    if t.n_conv_depthwise + t.n_conv_grouped > 0 && !free.is_empty() {
        let note = format!("elements; {ratio} times that are moved");
        line("  without groups", free, note);
    }
    line(
        "peak activations",
        format!("{}B", scaled(peak_bytes(counts) as f64)),
        "in fp32".to_owned(),
    );
    let [h, w] = t.visible.receptive_field;
    line("receptive field", format!("{h} x {w}"), String::new());
    for (i, output) in graph.outputs().iter().enumerate() {
        let label = if i == 0 { "output" } else { "" };
        let label = if graph.outputs().len() > 1 && i == 0 {
            "outputs"
        } else {
            label
        };
        let name = graph.name(*output).to_owned();
        line(label, graph.shape(*output).to_string(), name);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ops::Conv;

    #[test]
    fn convolutions_say_what_they_are() {
        let text = |conv: Conv, channels| op_text(&conv.into(), channels);
        assert_eq!(text(Conv::same(8, 3, 2), 3), "conv 3x3/2");
        assert_eq!(text(Conv::same(8, 3, 1).grouped(8), 8), "dw 3x3");
        assert_eq!(text(Conv::same(8, 1, 1).grouped(4), 8), "conv 1x1 g4");
        let odd = Conv {
            kernel_size: [3, 1],
            stride: [1, 2],
            ..Conv::same(8, 3, 1).dilated(2)
        };
        assert_eq!(text(odd, 8), "conv 3x1/1x2 d2");
    }
}
