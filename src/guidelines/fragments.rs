//! G3: many small operators in the place of a large one leave a parallel device idle and cost a launch each.
//!
//! Found: blocks of four and more convolutions and pools between a value and the one in which its paths meet again, by
//! size of map (the paper counts 13 in a block of NASNet-A and 2 or 3 in one of ResNet); and, where launches take a fifth
//! of their time, rows of four convolutions and dense layers in a row with as many. Remedy: one convolution in the place
//! of each, its kernel the largest in it, its norm and activation kept, and its width scaled so that the network has the
//! work it had: table 3 read from right to left.

use super::network::{Case, Network, Remedy, macs, many};
use super::region::{Region, appending, regions, rows};
use super::widths::{Part, Widths};
use super::{Guideline, edit::Edit, element_wise, finding::same_work};
use crate::ir::ops::{BatchNorm, Conv};
use crate::ir::{Op, Shape, ValueId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The guideline.
pub static GUIDELINE: Guideline = Guideline {
    name: "G3",
    title: "fragments",
    cases,
};

/// Convolutions and pools that make a block fragmented.
const FRAGMENTS: usize = 4;

/// The share of its time above which launches make convolutions in a row fragments.
const LAUNCHES: f64 = 0.2;

/// A fragmented block.
struct Block<'a> {
    region: &'a Region,
    fragments: usize,
    conv: Conv,
}

fn cases(network: &Network<'_>) -> Vec<Case> {
    let (forks, rows) = (regions(network), rows(network, FRAGMENTS));
    let small = |r: &Region| fragments(network, r);
    let dense = appending(network, &forks, FRAGMENTS, small);
    let mut taken: BTreeSet<ValueId> = BTreeSet::new();
    let mut by_size: BTreeMap<((u32, u32), &str), Vec<Block<'_>>> = BTreeMap::new();
    let forks = forks.iter().map(|r| ("block", r, fragments(network, r)));
    let waiting = |r: &&Region| waits(network, r);
    let dense = dense.iter().filter(waiting);
    let dense = dense.map(|r| ("stretch", r, fragments(network, r)));
    let rows = rows.iter().filter(waiting).map(|r| ("row", r, FRAGMENTS));
    for (what, region, fragments) in forks.chain(dense).chain(rows) {
        if fragments < FRAGMENTS || region.nodes.iter().any(|n| taken.contains(n)) {
            continue;
        }
        if let Some(conv) = one_for_all(network, region) {
            taken.extend(&region.nodes);
            let size = network.graph.shape(region.exit).hw();
            let block = Block {
                region,
                fragments,
                conv,
            };
            by_size.entry((size, what)).or_default().push(block);
        }
    }
    let cases = by_size.iter_mut().rev();
    cases
        .filter_map(|((_, what), blocks)| {
            blocks.sort_by_key(|b| b.region.exit);
            case(network, what, blocks)
        })
        .collect()
}

/// Whether launches take a part of a region's time that counts.
fn waits(network: &Network<'_>, region: &Region) -> bool {
    let nodes: Vec<ValueId> = region.nodes.iter().copied().collect();
    let [cost, launches] = network.cost_of(&network.kernels_of(&nodes));
    launches.latency.0 > LAUNCHES * cost.latency.0
}

fn is_fragment(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv(_) | Op::MaxPool(_) | Op::AvgPool(_) | Op::AdaptiveAvgPool(_) | Op::GlobalPool(_)
    )
}

/// Convolutions and pools of a block, but a lone convolution that only brings its input to the width of its sum; 0 for
/// what is a stage of blocks.
fn fragments(network: &Network<'_>, region: &Region) -> usize {
    let graph = network.graph;
    let inner = region.nodes.iter().filter(|id| **id != region.exit);
    let residual = inner.filter(|id| element_wise::shortcuts(network, **id).is_some());
    if residual.count() > 1 {
        return 0;
    }
    let all = region
        .nodes
        .iter()
        .filter(|id| is_fragment(&graph.node(**id).op));
    all.count() - usize::from(has_projection(network, region))
}

/// Whether one operand of the sum that a block ends in, and no other, is one convolution of the block's input.
fn has_projection(network: &Network<'_>, region: &Region) -> bool {
    let graph = network.graph;
    let operands = match graph.node(region.exit).op {
        Op::Add(_) => graph.inputs(region.exit),
        _ => &[],
    };
    let lone = operands.iter().filter(|operand| {
        let mut at = **operand;
        let mut convs = 0;
        while at != region.entry {
            let node = &graph.node(at).op;
            convs += usize::from(matches!(node, Op::Conv(_)));
            match graph.inputs(at) {
                [input] if convs < 2 => at = *input,
                _ => return false,
            }
        }
        convs == 1
    });
    lone.count() == 1
}

/// One convolution from a region's entry to its exit; `None` where no convolution does that, or the region spans more
/// sizes of maps than those two.
fn one_for_all(network: &Network<'_>, region: &Region) -> Option<Conv> {
    let graph = network.graph;
    let (Shape::Map { h, w, .. }, Shape::Map { c, h: oh, w: ow }) =
        (graph.shape(region.entry), graph.shape(region.exit))
    else {
        return None;
    };
    let entry = graph.shape(region.entry);
    let (mut kernel, mut depthwise) = (1, true);
    for id in &region.nodes {
        let size = graph.shape(*id).hw();
        if ![(h, w), (oh, ow), (1, 1)].contains(&size) {
            return None;
        }
        if let Op::Conv(conv) = &graph.node(*id).op {
            kernel = kernel.max(conv.kernel_size[0]).max(conv.kernel_size[1]);
            depthwise &= conv.is_depthwise(graph.first_shape(*id).channels());
        }
    }
    let stride = h.div_ceil(oh.max(1)).max(1);
    // odd, so that its padding is even-handed
    let dense = Conv::same(c, kernel | 1, stride);
    // in the place of depthwise convolutions alone stands a depthwise one
    let conv = match depthwise && c.is_multiple_of(entry.channels()) {
        true => dense.grouped(entry.channels()),
        false => dense,
    };
    let made = Op::from(conv).infer(&[entry]).ok()?;
    (made == graph.shape(region.exit)).then_some(conv)
}

/// The convolution of a block with the norm and activation that the block has.
fn chain(network: &Network<'_>, block: &Block<'_>) -> Vec<Op> {
    let graph = network.graph;
    let mut ops = vec![block.conv.into()];
    let inside = || block.region.nodes.iter().map(|id| (id, graph.node(*id).op));
    if inside().any(|(_, op)| matches!(op, Op::BatchNorm(_))) {
        ops.push(BatchNorm::default().into());
    }
    let on_maps = |id: &ValueId| graph.shape(*id).hw() != (1, 1);
    let acts = inside().filter(|(id, op)| matches!(op, Op::Act(_)) && on_maps(id));
    let read = |id: ValueId| graph.inputs(id).contains(&block.region.exit);
    let follows = network
        .live_ids()
        .any(|id| read(id) && matches!(graph.node(id).op, Op::Act(_)));
    if !follows {
        ops.extend(acts.map(|(_, op)| op).next_back());
    }
    ops
}

fn case(network: &Network<'_>, what: &str, blocks: &[Block<'_>]) -> Option<Case> {
    let work = network.macs?;
    let mut edit = Edit::default();
    for block in blocks {
        let Region { entry, exit, nodes } = block.region;
        edit.chains.insert(*exit, (*entry, chain(network, block)));
        edit.dropped.extend(nodes.iter().filter(|n| *n != exit));
    }
    let merged = edit.apply(network.graph).ok()?;
    let widths = Widths::of(&merged.graph);
    let made = |b: &Block<'_>| merged.value(b.region.exit).map(|v| widths.parts(v));
    let parts = blocks.iter().filter_map(made).flatten();
    let free: BTreeSet<Part> = parts.filter(|p| widths.is_free(*p)).collect();
    let free: Vec<Part> = free.into_iter().collect();
    let width = |part: Part, knob: f64| f64::from(widths.width(part)) * knob;
    let graph = match macs(&merged.graph) == Some(work) {
        true => merged.graph.clone(),
        false => widths.fit(&free, width, work)?,
    };
    if !same_work(&graph, work) {
        return None;
    }
    let wide = |of: &crate::ir::Graph| {
        let exits = blocks.iter().filter_map(|b| merged.value(b.region.exit));
        exits
            .map(|id| f64::from(of.shape(id).channels()))
            .sum::<f64>()
    };
    let nodes: Vec<ValueId> = blocks
        .iter()
        .flat_map(|b| b.region.nodes.iter().copied())
        .collect();
    let kernels = network.kernels_of(&nodes);
    let [cost, launches] = network.cost_of(&kernels);
    let share = launches.latency.0 / cost.latency.0.max(f64::MIN_POSITIVE);
    let fragments: usize = blocks.iter().map(|b| b.fragments).sum();
    let kind = |b: &Block<'_>| {
        let k = b.conv.kernel_size[0];
        let depthwise = if b.conv.groups > 1 { " depthwise" } else { "" };
        format!("{k}x{k}{depthwise}")
    };
    let kinds: BTreeSet<String> = blocks.iter().map(kind).collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    let seen = format!(
        "{} with {} run as {} kernels; launches take {:.0} % of their time",
        match (what, blocks.len()) {
            ("stretch", 2..) => format!("{} stretches", blocks.len()),
            (what, n) => many(n, what),
        },
        match what {
            "row" => format!("{fragments} convolutions"),
            "stretch" => format!("{fragments} convolutions of dense layers"),
            _ => format!("{fragments} convolutions and pools"),
        },
        kernels.len(),
        100.0 * share,
    );
    let place = if blocks.len() == 1 {
        "its place"
    } else {
        "the place of each"
    };
    let mut done = format!("one {} convolution in {place}", kinds.join(" or "));
    let factor = wide(&graph) / wide(&merged.graph).max(1.0);
    if (factor - 1.0).abs() > 0.005 {
        let _ = write!(done, ", widths times {factor:.2}");
    }
    Some(Case {
        nodes,
        seen,
        remedies: vec![Remedy { done, graph }],
    })
}
