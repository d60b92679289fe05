//! A network on a device, as guidelines see it.

use crate::cost::{Bounds, Scratch, Totals};
use crate::device::{Cost, DeviceModel, KernelCost, PredictError, Prediction};
use crate::fuse::{Kernels, Place, fuse};
use crate::ir::{Graph, Op, ValueId};
use std::collections::BTreeSet;

/// A graph, its kernels on a device and what they cost.
#[derive(Debug)]
pub struct Network<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// By node: whether an output needs it.
    pub live: Vec<bool>,
    /// What it runs as.
    pub kernels: Kernels,
    /// By kernel: what it costs.
    pub costs: Vec<KernelCost>,
    /// What it costs together.
    pub prediction: Prediction,
    /// Its multiply-accumulates; `None` where they pass `u64`.
    pub macs: Option<u64>,
}

/// A place where a network goes against a guideline.
#[derive(Clone, Debug)]
pub struct Case {
    /// The nodes concerned.
    pub nodes: Vec<ValueId>,
    /// What is there, in a sentence without a full stop.
    pub seen: String,
    /// What could be done: the one that is fastest on the device is taken.
    pub remedies: Vec<Remedy>,
}

/// A rewritten network.
#[derive(Clone, Debug)]
pub struct Remedy {
    /// What was done, as a phrase.
    pub done: String,
    /// The network after it.
    pub graph: Graph,
}

/// Multiply-accumulates of what an output needs.
pub fn macs(graph: &Graph) -> Option<u64> {
    let totals = Totals::without_fields(graph, &mut Scratch::default());
    totals.ok().map(|t| t.macs)
}

impl<'a> Network<'a> {
    /// A network on a device.
    ///
    /// # Errors
    /// Where the batch is 0.
    pub fn on(graph: &'a Graph, model: &DeviceModel, batch: u32) -> Result<Self, PredictError> {
        let kernels = fuse(graph, model.rules());
        Ok(Self {
            live: graph.live(),
            costs: model.explain(&kernels.list, batch)?,
            prediction: model.predict(&kernels.list, batch)?,
            macs: macs(graph),
            kernels,
            graph,
        })
    }

    /// Whether an output needs a node.
    pub fn is_live(&self, id: ValueId) -> bool {
        self.live.get(id.index()).copied().unwrap_or(false)
    }

    /// The nodes that an output needs, in order.
    pub fn live_ids(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.graph.ids().filter(|id| self.is_live(*id))
    }

    /// The kernels that these nodes are part of, each once.
    pub fn kernels_of(&self, nodes: &[ValueId]) -> BTreeSet<usize> {
        let part = nodes
            .iter()
            .filter_map(|id| match self.kernels.places.get(id.index()) {
                Some(Place::Kernel(k)) => Some(*k as usize),
                _ => None,
            });
        let mut found: BTreeSet<usize> = part.collect();
        let owners = (0..).zip(&self.kernels.owners);
        found.extend(
            owners
                .filter(|(_, owner)| nodes.contains(owner))
                .map(|(k, _)| k),
        );
        found
    }

    /// What kernels cost together, and their launches alone.
    pub fn cost_of(&self, kernels: &BTreeSet<usize>) -> [Cost; 2] {
        let mut sums = [Cost::default(); 2];
        for kernel in kernels.iter().filter_map(|k| self.costs.get(*k)) {
            let parts = [kernel.cost.unwrap_or_default(), kernel.launch];
            for (sum, part) in sums.iter_mut().zip(parts) {
                sum.latency.0 += part.latency.0;
                sum.energy = match (sum.energy, part.energy) {
                    (Some(a), Some(b)) => Some(a + b),
                    (a, b) => a.or(b),
                };
            }
        }
        sums
    }
}

/// Elements that convolutions move, and the least that convolutions of their work could, with their groups and without.
pub fn access(graph: &Graph, nodes: &[ValueId]) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for id in nodes {
        let Op::Conv(conv) = &graph.node(*id).op else {
            continue;
        };
        let (input, output) = (graph.first_shape(*id), graph.shape(*id));
        let bounds = Bounds::of(conv, input, output);
        sums[0] += Totals::conv_mem_access(conv, input, output) as f64;
        sums[1] += bounds.mem_access_bound_elems;
        sums[2] += bounds.mem_access_bound_ungrouped_elems;
    }
    sums
}

/// A node's name; its number where it has none.
pub fn name(graph: &Graph, id: ValueId) -> String {
    match graph.name(id) {
        "" => format!("%{}", id.0),
        name => name.to_owned(),
    }
}

/// A few words for where nodes are: the common start of their names; where most of the network has that start, the parts
/// in which their names go on from it.
pub fn place(graph: &Graph, nodes: &[ValueId]) -> String {
    let names: Vec<String> = nodes.iter().map(|id| name(graph, *id)).collect();
    let parts: Vec<Vec<&str>> = names.iter().map(|n| n.split('.').collect()).collect();
    let Some(first) = parts.first() else {
        return String::new();
    };
    let same = |at: &usize| parts.iter().all(|p| p.get(*at) == first.get(*at));
    let shared = (0..first.len()).take_while(same).count();
    let start = first.get(..shared).unwrap_or_default().join(".");
    let inside = |n: &&String| n.starts_with(start.as_str());
    let all = graph.names().iter().filter(inside).count();
    if !start.is_empty() && 2 * all < graph.nodes().len() {
        return start;
    }
    let mut next: Vec<&str> = Vec::new();
    for part in parts.iter().filter_map(|p| p.get(shared).copied()) {
        if !next.contains(&part) {
            next.push(part);
        }
    }
    let with = |part: &&str| match start.as_str() {
        "" => (*part).to_owned(),
        start => format!("{start}.{part}"),
    };
    match next.as_slice() {
        [] => start,
        [_] | [_, _] => next.iter().map(with).collect::<Vec<_>>().join(", "),
        [first, .., last] => format!("{} to {}", with(first), with(last)),
    }
}

/// `1 convolution`, `3 convolutions`.
pub fn many(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// What is to be said where convolutions have become multiples of 4 wide that were not: runtimes that work in packs like
/// that by itself.
pub fn packs(before: &Graph, after: &Graph, convs: &[ValueId]) -> &'static str {
    let even = |graph: &Graph| {
        let wide = |id: &ValueId| [graph.first_shape(*id), graph.shape(*id)];
        let mut all = convs.iter().flat_map(wide);
        all.all(|shape| shape.channels().is_multiple_of(4))
    };
    match !even(before) && even(after) {
        true => " and now multiples of 4",
        false => "",
    }
}
