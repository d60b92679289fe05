//! G2: groups widen a convolution at equal work, and what is wider moves more.
//!
//! Found: convolutions in groups that are not depthwise, by size of map. Remedy: the groups are put together (all, or
//! two, four, eight ... at a time, whichever is fastest) and the widths that these convolutions read and write scaled down
//! to the network's work, as in table 2 of the paper. For a ResNeXt that gives the ResNet of the same work.

use super::network::{Case, Network, Remedy, access, many, packs};
use super::widths::{Part, Widths};
use super::{Guideline, edit::Edit, finding::same_work};
use crate::ir::ops::Conv;
use crate::ir::{Op, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// The guideline.
pub static GUIDELINE: Guideline = Guideline {
    name: "G2",
    title: "groups",
    cases,
};

fn cases(network: &Network<'_>) -> Vec<Case> {
    let graph = network.graph;
    let mut by_size: BTreeMap<(u32, u32), Vec<(ValueId, Conv)>> = BTreeMap::new();
    for id in network.live_ids() {
        if let Op::Conv(conv) = graph.node(id).op
            && conv.groups > 1
            && !conv.is_depthwise(graph.first_shape(id).channels())
        {
            by_size
                .entry(graph.shape(id).hw())
                .or_default()
                .push((id, conv));
        }
    }
    let cases = by_size.values().rev();
    cases.filter_map(|convs| case(network, convs)).collect()
}

fn case(network: &Network<'_>, convs: &[(ValueId, Conv)]) -> Option<Case> {
    let graph = network.graph;
    let nodes: Vec<ValueId> = convs.iter().map(|c| c.0).collect();
    let [moved, _, free] = access(graph, &nodes);
    let groups: Vec<u32> = convs.iter().map(|c| c.1.groups).collect();
    let seen = format!(
        "{} in {} move {:.2} times the least that their work needs without",
        many(nodes.len(), "convolution"),
        groups_text(&groups),
        moved / free.max(1.0),
    );
    let most = groups.iter().copied().max().unwrap_or(1);
    // all groups put together first: where two remedies are equally fast, the simpler one stays
    let mut together = vec![most];
    together.extend((1..16).map(|i| 1 << i).filter(|n| *n < most));
    let remedies: Vec<Remedy> = together
        .into_iter()
        .filter_map(|n| remedy(network, convs, n))
        .collect();
    (!remedies.is_empty()).then_some(Case {
        nodes,
        seen,
        remedies,
    })
}

/// `8 groups`, `8 to 48 groups`.
fn groups_text(groups: &[u32]) -> String {
    let (low, high) = (groups.iter().min(), groups.iter().max());
    match (low, high) {
        (Some(1), Some(1)) => "1 group".to_owned(),
        (Some(low), Some(high)) if low == high => format!("{low} groups"),
        (Some(low), Some(high)) => format!("{low} to {high} groups"),
        _ => String::new(),
    }
}

/// The network with `together` groups put together, or as many as there are.
fn remedy(network: &Network<'_>, convs: &[(ValueId, Conv)], together: u32) -> Option<Remedy> {
    let work = network.macs?;
    let mut edit = Edit::default();
    let mut groups = Vec::new();
    for (id, conv) in convs {
        let fewer = match conv.groups.is_multiple_of(together) {
            true => conv.groups / together,
            false if together > conv.groups => 1,
            false => return None,
        };
        groups.push(fewer);
        edit.ops.insert(*id, conv.grouped(fewer).into());
    }
    let denser = edit.apply(network.graph).ok()?.graph;
    let widths = Widths::of(&denser);
    let mut free: BTreeSet<Part> = BTreeSet::new();
    for (id, _) in convs {
        let input = denser.inputs(*id).first().map(|x| widths.parts(*x));
        let touched = widths
            .parts(*id)
            .into_iter()
            .chain(input.unwrap_or_default());
        free.extend(touched.filter(|p| widths.is_free(*p)));
    }
    let free: Vec<Part> = free.into_iter().collect();
    let width = |part: Part, knob: f64| f64::from(widths.width(part)) * knob;
    let graph = widths.fit(&free, width, work)?;
    if !same_work(&graph, work) {
        return None;
    }
    let nodes: Vec<ValueId> = convs.iter().map(|c| c.0).collect();
    let wide = |of: &crate::ir::Graph| {
        let all = convs
            .iter()
            .map(|(id, _)| f64::from(of.shape(*id).channels()));
        all.sum::<f64>()
    };
    let done = format!(
        "{}, widths times {:.2}{}",
        groups_text(&groups),
        wide(&graph) / wide(network.graph).max(1.0),
        packs(network.graph, &graph, &nodes),
    );
    Some(Remedy { done, graph })
}
