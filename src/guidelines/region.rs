//! Parts of a network with one entry and one exit: between a value that several nodes read and the one in which their paths
//! meet again, and convolutions in a row.

use super::network::Network;
use crate::ir::{Op, ValueId};
use std::collections::BTreeSet;

/// A part of a network with one entry and one exit.
#[derive(Clone, Debug)]
pub struct Region {
    /// The value that it reads; not part of it.
    pub entry: ValueId,
    /// The node that all its paths end in; part of it.
    pub exit: ValueId,
    /// Its nodes.
    pub nodes: BTreeSet<ValueId>,
}

/// By node: the live nodes that read it, each once, in order.
fn readers(network: &Network<'_>) -> Vec<Vec<usize>> {
    let graph = network.graph;
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes().len()];
    for id in network.live_ids() {
        for input in graph.inputs(id) {
            if let Some(list) = readers.get_mut(input.index())
                && list.last() != Some(&id.index())
            {
                list.push(id.index());
            }
        }
    }
    readers
}

/// Rows of so many convolutions, with the norms and activations that follow them, which nothing else reads. What is left
/// at the end of a longer row is in none.
pub fn rows(network: &Network<'_>, convs: usize) -> Vec<Region> {
    let graph = network.graph;
    let readers = readers(network);
    let mut found = Vec::new();
    let mut seen: BTreeSet<ValueId> = BTreeSet::new();
    for start in network.live_ids() {
        let is_conv = |id: ValueId| matches!(graph.node(id).op, Op::Conv(_));
        if !is_conv(start) || seen.contains(&start) {
            continue;
        }
        let (mut nodes, mut count) = (vec![start], 1);
        let mut at = start;
        loop {
            let next = match readers.get(at.index()).map(Vec::as_slice) {
                Some([one]) if !graph.outputs().contains(&at) => Some(ValueId(*one as u32)),
                _ => None,
            };
            let follows = |id: &ValueId| {
                matches!(
                    graph.node(*id).op,
                    Op::Conv(_) | Op::BatchNorm(_) | Op::Act(_)
                )
            };
            let next = next.filter(follows);
            if count == convs && next.is_none_or(is_conv) {
                let entry = nodes.first().and_then(|first| graph.inputs(*first).first());
                let whole: BTreeSet<ValueId> = nodes.drain(..).collect();
                found.extend(entry.map(|entry| Region {
                    entry: *entry,
                    exit: at,
                    nodes: whole,
                }));
                count = 0;
            }
            let Some(next) = next else { break };
            count += usize::from(is_conv(next));
            seen.insert(next);
            nodes.push(next);
            at = next;
        }
    }
    found
}

/// All regions that begin where a value has several readers, small ones first.
pub fn regions(network: &Network<'_>) -> Vec<Region> {
    let graph = network.graph;
    let count = graph.nodes().len();
    let readers = readers(network);
    let meets = meeting_points(network, &readers);
    let mut found: Vec<Region> = Vec::new();
    for entry in network.live_ids() {
        let forks = readers.get(entry.index()).is_some_and(|r| r.len() > 1);
        let exit = meets.get(entry.index()).copied().unwrap_or(count);
        if !forks || exit >= count {
            continue;
        }
        let mut nodes = BTreeSet::new();
        let mut closed = true;
        for at in entry.index() + 1..=exit {
            let id = ValueId(at as u32);
            let inputs = graph.inputs(id);
            let inside = |x: &ValueId| *x == entry || nodes.contains(x);
            if network.is_live(id) && inputs.iter().any(inside) {
                closed &= inputs.iter().all(inside);
                nodes.insert(id);
            }
        }
        if closed {
            let exit = ValueId(exit as u32);
            found.push(Region { entry, exit, nodes });
        }
    }
    found.sort_by_key(|r| (r.nodes.len(), r.exit));
    found
}

/// Regions in a row that each append to what they read (layers of a dense block), put together until they have `least` of
/// what `count` counts in each.
pub fn appending(
    network: &Network<'_>,
    all: &[Region],
    least: usize,
    count: impl Fn(&Region) -> usize,
) -> Vec<Region> {
    let graph = network.graph;
    let appends = |r: &&Region| {
        matches!(graph.node(r.exit).op, Op::Concat(_)) && graph.inputs(r.exit).contains(&r.entry)
    };
    let mut layers: Vec<&Region> = all.iter().filter(appends).collect();
    layers.sort_by_key(|r| r.entry);
    let mut found = Vec::new();
    let mut open: Option<(Region, usize)> = None;
    for layer in layers {
        let more = count(layer);
        let (mut region, so_far) = match open.take() {
            Some((before, n)) if before.exit == layer.entry => (before, n),
            _ => {
                let empty = Region {
                    nodes: BTreeSet::new(),
                    ..layer.clone()
                };
                (empty, 0)
            }
        };
        region.exit = layer.exit;
        region.nodes.extend(&layer.nodes);
        if so_far + more >= least {
            found.push(region);
        } else {
            open = Some((region, so_far + more));
        }
    }
    found
}

/// By node: the first node that all paths from it to an output pass; one past the last where there is none.
fn meeting_points(network: &Network<'_>, readers: &[Vec<usize>]) -> Vec<usize> {
    let graph = network.graph;
    let end = graph.nodes().len();
    let mut meets = vec![end; end];
    for id in graph.ids().rev().filter(|id| network.is_live(*id)) {
        let mut point: Option<usize> = graph.outputs().contains(&id).then_some(end);
        for reader in readers.get(id.index()).into_iter().flatten() {
            let mut a = point.unwrap_or(*reader);
            let mut b = *reader;
            while a != b {
                // the nearer one moves on; a meeting point lies behind its node
                let nearer = if a < b { &mut a } else { &mut b };
                *nearer = meets.get(*nearer).copied().unwrap_or(end);
            }
            point = Some(a);
        }
        if let Some(slot) = meets.get_mut(id.index()) {
            *slot = point.unwrap_or(end);
        }
    }
    meets
}
