//! The verifier. A graph from the builder holds all of this by construction; it is checked after every rewrite, after
//! reading the text form, and in tests after every lowering.
//!
//! Invariants:
//! 1. There are at most [`MAX_NODES`] nodes, and at least one output.
//! 2. A node's inputs stand before it.
//! 3. A node's stored shape is the one its op infers from its inputs' shapes.
//! 4. Outputs are nodes of the graph.
//! 5. The network's inputs are numbered 0, 1, ... and each number has one node.
//! 6. Where names are kept there is one a node; two nodes never share a name, and a node with parameters has one that is
//!    not empty, because it is the prefix of their keys.
//! 7. Names of inputs and outputs, where they are kept, are one each and differ.
//! 8. Origins, where they are kept, exist.
//! 9. A node that has the parameters of another names an earlier one that owns parameters, and they fit it.

use super::graph::{Graph, MAX_NODES, ValueId};
use super::ops::Op;
use super::shape::{Shape, ShapeError};
use std::collections::HashMap;

/// One broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Too many nodes.
    #[error("{got} nodes where {MAX_NODES} are allowed")]
    TooManyNodes {
        /// Nodes there are.
        got: usize,
    },
    /// No output.
    #[error("the network has no output")]
    NoOutput,
    /// A node reads a value that is not made before it.
    #[error("%{} reads %{}, which is not made before it", node.0, input.0)]
    Order {
        /// The reader.
        node: ValueId,
        /// What it reads.
        input: ValueId,
    },
    /// The op does not fit its inputs.
    #[error("%{}: {error}", node.0)]
    Op {
        /// The node.
        node: ValueId,
        /// What does not fit.
        error: ShapeError,
    },
    /// A wrong shape is stored.
    #[error("%{} says {stored} and makes {inferred}", node.0)]
    Shape {
        /// The node.
        node: ValueId,
        /// The shape that stands there.
        stored: Shape,
        /// The shape it has.
        inferred: Shape,
    },
    /// An output that is no node.
    #[error("output {place} is %{}, which is not in the graph", value.0)]
    UnknownOutput {
        /// Place among the outputs.
        place: usize,
        /// The value.
        value: ValueId,
    },
    /// Two input nodes with one number.
    #[error("%{} and %{} are both input {index}", first.0, second.0)]
    InputTwice {
        /// The number.
        index: u32,
        /// The first node.
        first: ValueId,
        /// The second node.
        second: ValueId,
    },
    /// A number without an input node.
    #[error("input {index} is missing")]
    InputMissing {
        /// The number.
        index: u32,
    },
    /// Another number of names than of what they name.
    #[error("{got} names for {expected} {what}")]
    NameCount {
        /// What is named.
        what: &'static str,
        /// Things there are.
        expected: usize,
        /// Names there are.
        got: usize,
    },
    /// A name that stands twice.
    #[error("two {what} are named \"{name}\"")]
    NameTwice {
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Parameters without a name.
    #[error("%{} has parameters and no name", node.0)]
    Nameless {
        /// The node.
        node: ValueId,
    },
    /// Parameters that are not there, or do not fit.
    #[error("%{} cannot have the parameters of %{}", node.0, owner.0)]
    Sharing {
        /// The node.
        node: ValueId,
        /// The node that it names.
        owner: ValueId,
    },
    /// An origin outside the table.
    #[error("%{} has origin {origin} of {count}", node.0)]
    Origin {
        /// The node.
        node: ValueId,
        /// Its origin.
        origin: u32,
        /// Origins there are.
        count: usize,
    },
}

/// Checks all invariants and returns every violation, nodes first.
///
/// # Errors
/// The violations, at least one.
pub fn verify(graph: &Graph) -> Result<(), Vec<Violation>> {
    let mut found = Vec::new();
    let count = graph.nodes().len();
    if count > MAX_NODES {
        found.push(Violation::TooManyNodes { got: count });
    }
    for node in graph.ids() {
        check_node(graph, node, &mut found);
    }
    check_inputs(graph, &mut found);
    if graph.outputs().is_empty() {
        found.push(Violation::NoOutput);
    }
    for (place, &value) in graph.outputs().iter().enumerate() {
        if value.index() >= count {
            found.push(Violation::UnknownOutput { place, value });
        }
    }
    let (inputs, outputs) = (graph.input_count(), graph.outputs().len());
    check_names("nodes", graph.names(), count, &mut found);
    check_names("inputs", graph.input_names(), inputs, &mut found);
    check_names("outputs", graph.output_names(), outputs, &mut found);
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn check_node(graph: &Graph, node: ValueId, found: &mut Vec<Violation>) {
    let (inputs, at) = (graph.inputs(node), graph.node(node));
    let late = inputs.iter().filter(|input| **input >= node);
    let orders = late.map(|&input| Violation::Order { node, input });
    let before = found.len();
    found.extend(orders);
    let mut params = 0;
    if found.len() == before {
        let shapes: Vec<Shape> = inputs.iter().map(|x| graph.shape(*x)).collect();
        match at.op.infer(&shapes) {
            Ok(inferred) if inferred == at.shape => {}
            Ok(inferred) => found.push(Violation::Shape {
                node,
                stored: at.shape,
                inferred,
            }),
            Err(error) => found.push(Violation::Op { node, error }),
        }
        params = at.op.params(shapes.first().copied().unwrap_or(at.shape));
    }
    if !graph.names().is_empty() && params > 0 && graph.name(node).is_empty() {
        found.push(Violation::Nameless { node });
    }
    if graph.is_sharer(node) {
        let owner = graph.owner(node);
        let sound = owner < node
            && before == found.len()
            && !graph.is_sharer(owner)
            && graph.fits_weights(node, owner);
        if !sound {
            found.push(Violation::Sharing { node, owner });
        }
    }
    let origins = graph.origin_count();
    if origins > 0 && at.origin as usize >= origins {
        found.push(Violation::Origin {
            node,
            origin: at.origin,
            count: origins,
        });
    }
}

fn check_inputs(graph: &Graph, found: &mut Vec<Violation>) {
    let mut nodes: HashMap<u32, ValueId> = HashMap::new();
    for (second, node) in graph.ids().zip(graph.nodes()) {
        if let Op::Input { index, .. } = node.op
            && let Some(first) = nodes.insert(index, second)
        {
            found.push(Violation::InputTwice {
                index,
                first,
                second,
            });
        }
    }
    let missing = (0..nodes.len() as u32).filter(|index| !nodes.contains_key(index));
    found.extend(missing.map(|index| Violation::InputMissing { index }));
}

fn check_names(what: &'static str, names: &[String], expected: usize, found: &mut Vec<Violation>) {
    if names.is_empty() {
        return;
    }
    let got = names.len();
    if got != expected {
        found.push(Violation::NameCount {
            what,
            expected,
            got,
        });
    }
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut told = "";
    for pair in sorted.windows(2) {
        if let [a, b] = pair
            && a == b
            && *a != told
        {
            told = a; // the empty name is not one
            found.push(Violation::NameTwice {
                what,
                name: told.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::text;

    fn violations(text: &str) -> Vec<String> {
        match text::parse(text) {
            Ok(_) => Vec::new(),
            Err(text::TextError {
                kind: text::TextErrorKind::Invalid(all),
                ..
            }) => all.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_sound_graph_passes() {
        let sound = "%0 input 3x8x8 : x\n%1 conv 4x8x8 (%0) k3 p1 : a\noutput %1\n";
        assert_eq!(violations(sound), Vec::<String>::new());
    }

    #[test]
    fn shared_parameters_are_earlier_owned_and_fitting() {
        let with = |line: &str| {
            let text = format!(
                "%0 input 3x8x8 : x\n%1 conv 3x8x8 (%0) k1 : a\n%2 conv 3x8x8 (%1) k1 of%1 : b\n{line}\noutput %1\n"
            );
            violations(&text)
        };
        assert_eq!(with("%3 conv 3x8x8 (%0) k1 of%1 : c"), Vec::<String>::new());
        for (line, owner) in [
            ("%3 conv 3x8x8 (%0) k1 of%2 : c", 2), // which owns none
            ("%3 conv 3x8x8 (%0) k1 of%3 : c", 3),
            ("%3 conv 3x8x8 (%0) k1 of%900 : c", 900),
            ("%3 conv 3x8x8 (%0) k1 of%0 : c", 0),
            ("%3 conv 3x8x8 (%0) k1 bias of%1 : c", 1),
            ("%3 conv 3x8x8 (%0) k3 p1 of%1 : c", 1),
            ("%3 conv 6x8x8 (%0) k1 of%1 : c", 1),
            ("%3 batch_norm 3x8x8 (%0) of%1 : c", 1),
            ("%3 relu 3x8x8 (%0) of%1 : c", 1),
        ] {
            let told = format!("%3 cannot have the parameters of %{owner}");
            assert_eq!(with(line), [told], "{line}");
        }
    }

    #[test]
    fn all_violations_come_together() {
        let broken = "%0 input 3x8x8 : x\n\
                      %1 conv 4x9x9 (%0) k3 p1 : a\n\
                      %2 relu 4x8x8 (%3) : b\n\
                      %3 add 4x9x9 (%1) : b\n\
                      %4 input 1x1x1 : y\n\
                      %5 input 1x1x1 i2 : z\n\
                      %6 linear 9 (%0) : \"\"\n\
                      output %7\n";
        assert_eq!(
            violations(broken),
            [
                "%1 says 4x9x9 and makes 4x8x8",
                "%2 reads %3, which is not made before it",
                "%3: add takes 2 or more inputs, got 1",
                "%6: linear needs a vector, got a map of 3x8x8; put a global pool and a flatten before it",
                "%6 has parameters and no name",
                "%0 and %4 are both input 0",
                "input 1 is missing",
                "output 0 is %7, which is not in the graph",
                "two nodes are named \"b\"",
            ]
        );
        assert_eq!(
            violations("%0 input 1x1x1\n"),
            ["the network has no output"]
        );
    }
}
