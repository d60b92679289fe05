//! A graph as Graphviz text: `dot -Tsvg`.

use super::graph::Graph;
use std::fmt::Write;

/// The graph in the DOT language: a box a node with its op, shape and name; dead nodes dashed, outputs with a thick
/// border.
///
/// ```
/// let graph = blocksmith::ir::text::parse("%0 input 3x8x8 : x\n%1 relu 3x8x8 (%0) : y\noutput %1").unwrap();
/// assert!(blocksmith::ir::dot::print(&graph).contains("n0 -> n1"));
/// ```
pub fn print(graph: &Graph) -> String {
    let mut out = String::from("digraph net {\n  node [shape=box, fontname=\"sans-serif\"];\n");
    let live = graph.live();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        let label = format!("{}\\n{}", node.op.name(), node.shape);
        let name = graph.name(id).replace('\\', "\\\\").replace('"', "\\\"");
        let style = match (live.get(id.index()), graph.outputs().contains(&id)) {
            (_, true) => ", penwidth=3",
            (Some(true), false) => "",
            _ => ", style=dashed",
        };
        // writing to a string cannot fail
        let _ = writeln!(out, "  n{} [label=\"{label}\\n{name}\"{style}];", id.0);
        for input in graph.inputs(id) {
            let _ = writeln!(out, "  n{} -> n{};", input.0, id.0);
        }
    }
    out.push_str("}\n");
    out
}
