//! G4: element-wise work moves much and computes little.
//!
//! Found: activations, norms, sums and shuffles that the runtime runs as kernels of their own, kind by kind. What it lets
//! ride along with a convolution costs next to nothing and is not listed. Remedy: the network without them, as in table 4
//! of the paper: activations, norms and shuffles go, a sum goes where one side of it is the other side's own input (a
//! shortcut). A norm right after a convolution can be folded into it, which changes nothing in what is computed.
//! Concatenations, slices and gates carry widths and meaning that a network cannot do without; they stay, and are in
//! the split by class of work.

use super::network::{Case, Network, Remedy, many};
use super::{Guideline, edit::Edit, finding::same_work};
use crate::fuse::Place;
use crate::ir::{Op, ValueId};
use std::collections::BTreeMap;

/// The guideline.
pub static GUIDELINE: Guideline = Guideline {
    name: "G4",
    title: "element-wise work",
    cases,
};

/// Kinds of work, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Folded,
    Norm,
    Act,
    Shortcut,
    Shuffle,
}

impl Kind {
    fn what(self) -> &'static str {
        match self {
            Kind::Folded => "norm after a convolution",
            Kind::Norm => "norm",
            Kind::Act => "activation",
            Kind::Shortcut => "shortcut's sum",
            Kind::Shuffle => "channel shuffle",
        }
    }

    fn seen(self, n: usize) -> String {
        let runs = if n == 1 {
            "runs as a kernel of its own"
        } else {
            "run as kernels of their own"
        };
        let what = match (self, n) {
            (Kind::Folded, 2..) => format!("{n} norms after convolutions"),
            (Kind::Shortcut, 2..) => format!("{n} sums of shortcuts"),
            _ => many(n, self.what()),
        };
        format!("{what} {runs}")
    }

    fn done(self) -> &'static str {
        match self {
            Kind::Folded => "folded into the convolutions, which computes the same",
            Kind::Norm => "without them",
            Kind::Act => "without activations there",
            Kind::Shortcut => "without these shortcuts",
            Kind::Shuffle => "without shuffles",
        }
    }
}

fn cases(network: &Network<'_>) -> Vec<Case> {
    let mut by_kind: BTreeMap<Kind, Vec<ValueId>> = BTreeMap::new();
    let mut edits: BTreeMap<Kind, Edit> = BTreeMap::new();
    for id in network.live_ids().filter(|id| runs_alone(network, *id)) {
        if let Some(kind) = remove(network, id, &mut edits) {
            by_kind.entry(kind).or_default().push(id);
        }
    }
    let case = |(kind, nodes): (Kind, Vec<ValueId>)| {
        let graph = edits.get(&kind)?.apply(network.graph).ok()?.graph;
        let done = kind.done().to_owned();
        same_work(&graph, network.macs?).then(|| Case {
            seen: kind.seen(nodes.len()),
            nodes,
            remedies: vec![Remedy { done, graph }],
        })
    };
    by_kind.into_iter().filter_map(case).collect()
}

/// Whether a kernel was started for this node.
fn runs_alone(network: &Network<'_>, id: ValueId) -> bool {
    match network.kernels.places.get(id.index()) {
        Some(Place::Kernel(kernel)) => network.kernels.owners.get(*kernel as usize) == Some(&id),
        _ => false,
    }
}

/// Takes the node out, where it is of a kind that can go.
fn remove(network: &Network<'_>, id: ValueId, edits: &mut BTreeMap<Kind, Edit>) -> Option<Kind> {
    let graph = network.graph;
    let first = *graph.inputs(id).first()?;
    let kind = match graph.node(id).op {
        Op::BatchNorm(_) => {
            let conv = matches!(graph.node(first).op, Op::Conv(_));
            let readers = network
                .live_ids()
                .filter(|r| graph.inputs(*r).contains(&first));
            match conv && readers.count() == 1 {
                true => Kind::Folded,
                false => Kind::Norm,
            }
        }
        Op::Act(_) => Kind::Act,
        Op::Shuffle(_) => Kind::Shuffle,
        Op::Add(_) => {
            let left = shortcuts(network, id)?;
            let edit = edits.entry(Kind::Shortcut).or_default();
            match left.as_slice() {
                [only] => drop(edit.gone.insert(id, *only)),
                _ => drop(edit.inputs.insert(id, left)),
            }
            return Some(Kind::Shortcut);
        }
        _ => return None,
    };
    edits.entry(kind).or_default().gone.insert(id, first);
    Some(kind)
}

/// What is left of the operands of a sum without those that others of them are made from; `None` where there are no
/// such, or it is no sum.
pub(super) fn shortcuts(network: &Network<'_>, sum: ValueId) -> Option<Vec<ValueId>> {
    let graph = network.graph;
    if !matches!(graph.node(sum).op, Op::Add(_)) {
        return None;
    }
    let operands = graph.inputs(sum);
    let whole = |x: &ValueId| graph.shape(*x) == graph.shape(sum);
    let mut left: Vec<ValueId> = Vec::new();
    for operand in operands {
        let mut others = operands.iter().filter(|o| *o != operand);
        let feeds = others.any(|other| is_made_from(network, *other, *operand));
        if !(whole(operand) && feeds) {
            left.push(*operand);
        }
    }
    let sound = left.len() > 1 || left.iter().all(whole);
    (sound && !left.is_empty() && left.len() < operands.len()).then_some(left)
}

fn is_made_from(network: &Network<'_>, value: ValueId, source: ValueId) -> bool {
    let graph = network.graph;
    let mut open = vec![value];
    let mut seen = std::collections::HashSet::new();
    while let Some(at) = open.pop() {
        if at == source {
            return true;
        }
        if at > source && seen.insert(at) {
            open.extend(graph.inputs(at));
        }
    }
    false
}
