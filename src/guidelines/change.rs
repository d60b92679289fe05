//! What a remedy changes, node by node: enough to build the rewritten network by hand.

use crate::ir::{Graph, Op, ValueId};
use std::collections::BTreeMap;

/// A node that a rewritten network has not as it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Left out. Who read it reads something else, which its readers say.
    Removed {
        /// Its name.
        node: String,
    },
    /// Another op or other inputs under the same name, or a new node.
    Node {
        /// Its name.
        node: String,
        /// What it is now.
        op: Op,
        /// What it reads now, by name.
        inputs: Vec<String>,
        /// What it was and read; `None` for a new node.
        was: Option<(Op, Vec<String>)>,
    },
}

/// All changes from one network to another, in the order of the new one, what is left out first. Nodes go by their names:
/// a graph without names has none to tell.
pub fn changes(before: &Graph, after: &Graph) -> Vec<Change> {
    if before.names().is_empty() || after.names().is_empty() {
        return Vec::new();
    }
    let old: BTreeMap<&str, ValueId> = before.ids().map(|id| (before.name(id), id)).collect();
    let new: BTreeMap<&str, ValueId> = after.ids().map(|id| (after.name(id), id)).collect();
    let gone = before.ids().map(|id| before.name(id));
    let gone = gone.filter(|name| !new.contains_key(name));
    let mut all: Vec<Change> = gone
        .map(|node| Change::Removed {
            node: node.to_owned(),
        })
        .collect();
    for id in after.ids() {
        let now = (after.node(id).op, read(after, id));
        let was = old.get(after.name(id));
        let was = was.map(|id| (before.node(*id).op, read(before, *id)));
        if was.as_ref() != Some(&now) {
            all.push(Change::Node {
                node: after.name(id).to_owned(),
                op: now.0,
                inputs: now.1,
                was,
            });
        }
    }
    all
}

fn read(graph: &Graph, id: ValueId) -> Vec<String> {
    let inputs = graph.inputs(id).iter();
    inputs.map(|x| graph.name(*x).to_owned()).collect()
}

/// The widths of a remedy in words: convolutions in a row, all of them changed, that have become alike are named by the
/// first and the last. Depthwise ones are as wide as what they read and not listed; nor is what only reads another node.
pub fn widths(before: &Graph, after: &Graph) -> Vec<String> {
    let old: BTreeMap<&str, ValueId> = before.ids().map(|id| (before.name(id), id)).collect();
    // runs of convolutions: first, last, how many, what they have become
    let mut runs: Vec<(&str, &str, usize, String)> = Vec::new();
    let mut open = false;
    for id in after.ids() {
        let Op::Conv(conv) = after.node(id).op else {
            continue;
        };
        if conv.groups > 1 && conv.is_depthwise(after.first_shape(id).channels()) {
            continue;
        }
        let name = after.name(id);
        let was = old.get(name).map(|id| before.node(*id).op);
        if was == Some(Op::Conv(conv)) {
            open = false;
            continue;
        }
        let mut now = format!("{} wide", conv.out_channels);
        if conv.groups > 1 {
            now.push_str(&format!(" in {} groups", conv.groups));
        }
        match runs.last_mut().filter(|run| open && run.3 == now) {
            Some(run) => (run.1, run.2) = (name, run.2 + 1),
            None => runs.push((name, name, 1, now)),
        }
        open = true;
    }
    let say = |(first, last, n, now): (&str, &str, usize, String)| match n {
        1 => format!("{first} {now}"),
        2 => format!("{first}, {last} {now}"),
        n => format!("the {n} from {first} to {last} {now}"),
    };
    runs.into_iter().map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::text;

    #[test]
    fn what_differs_is_told_by_name() {
        let before = text::parse(
            "%0 input 4x8x8 : in\n%1 conv 4x8x8 (%0) k1 : a\n%2 relu 4x8x8 (%1) : r\n\
             %3 conv 8x8x8 (%2) k1 : b\n%4 conv 8x8x8 (%3) k1 : c\noutput %4\n",
        );
        let after = text::parse(
            "%0 input 4x8x8 : in\n%1 conv 6x8x8 (%0) k1 : a\n%2 conv 6x8x8 (%1) k1 : b\n\
             %3 conv 8x8x8 (%2) k1 : c\noutput %3\n",
        );
        let (before, after) = (before.unwrap(), after.unwrap());
        let found = changes(&before, &after);
        let node = |c: &Change| match c {
            Change::Removed { node } => format!("-{node}"),
            Change::Node { node, inputs, .. } => format!("{node} {inputs:?}"),
        };
        let told: Vec<String> = found.iter().map(node).collect();
        assert_eq!(told, ["-r", "a [\"in\"]", "b [\"a\"]"]);
        assert_eq!(widths(&before, &after), ["a, b 6 wide"]);
        assert!(changes(&before, &before).is_empty());
        assert!(widths(&before, &before).is_empty());
    }
}
