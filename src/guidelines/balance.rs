//! G1: a convolution moves least where its input and output are equally wide.
//!
//! Found: dense convolutions that move a twentieth more than the least that their work needs (1:2 in the paper's table), by size of map. Remedy: every
//! width that such a convolution reads or writes is made the same, at the network's work; which is what table 1 of the
//! paper varies. Widths that cannot be chosen (the image, the outputs) and inputs that are concatenations stay as they are.

use super::network::{Case, Network, Remedy, access, many, packs};
use super::widths::{Part, Widths};
use super::{Guideline, finding::same_work};
use crate::ir::{Op, ValueId};
use std::collections::BTreeMap;

/// The guideline.
pub static GUIDELINE: Guideline = Guideline {
    name: "G1",
    title: "unequal widths",
    cases,
};

/// How much more than the least a convolution may move.
const TIMES_LEAST: f64 = 1.05;

/// A convolution between two widths.
struct Unequal {
    conv: ValueId,
    widths: [Part; 2],
}

fn cases(network: &Network<'_>) -> Vec<Case> {
    let graph = network.graph;
    let widths = Widths::of(graph);
    let mut by_size: BTreeMap<(u32, u32), Vec<Unequal>> = BTreeMap::new();
    for conv in network.live_ids() {
        let Op::Conv(k) = &graph.node(conv).op else {
            continue;
        };
        let [moved, least, _] = access(graph, &[conv]);
        if k.groups > 1 || moved < TIMES_LEAST * least {
            continue;
        }
        let input = graph
            .inputs(conv)
            .first()
            .and_then(|x| widths.only_free(*x));
        let Some((from, to)) = input.zip(widths.only_free(conv)) else {
            continue;
        };
        if from != to {
            let size = graph.first_shape(conv).hw();
            let widths = [from, to];
            by_size
                .entry(size)
                .or_default()
                .push(Unequal { conv, widths });
        }
    }
    // large maps first, as the network has them
    let cases = by_size.values().rev();
    cases
        .filter_map(|all| case(network, &widths, all))
        .collect()
}

/// Sets of parts that unequal convolutions tie together, and for each the width in the middle.
fn tied(widths: &Widths<'_>, all: &[Unequal]) -> BTreeMap<Part, f64> {
    let mut sets: Vec<Vec<Part>> = Vec::new();
    for unequal in all {
        let touches = |set: &Vec<Part>| unequal.widths.iter().any(|w| set.contains(w));
        let (joined, apart): (Vec<_>, Vec<_>) = sets.into_iter().partition(touches);
        let mut joined: Vec<Part> = joined.into_iter().flatten().collect();
        joined.extend(
            unequal
                .widths
                .iter()
                .filter(|w| !joined.contains(w))
                .copied()
                .collect::<Vec<_>>(),
        );
        sets = apart;
        sets.push(joined);
    }
    let mut middles = BTreeMap::new();
    for set in sets {
        let logs = set.iter().map(|p| f64::from(widths.width(*p)).ln());
        let middle = (logs.sum::<f64>() / set.len() as f64).exp();
        middles.extend(set.into_iter().map(|p| (p, middle)));
    }
    middles
}

fn case(network: &Network<'_>, widths: &Widths<'_>, all: &[Unequal]) -> Option<Case> {
    let graph = network.graph;
    let work = network.macs?;
    let middles = tied(widths, all);
    let free: Vec<Part> = middles.keys().copied().collect();
    let width = |part: Part, knob: f64| middles.get(&part).map_or(1.0, |m| m * knob);
    let remedied = widths.fit(&free, width, work)?;
    if !same_work(&remedied, work) {
        return None;
    }
    let nodes: Vec<ValueId> = all.iter().map(|u| u.conv).collect();
    let times = |of: &crate::ir::Graph| {
        let [moved, least, _] = access(of, &nodes);
        moved / least.max(1.0)
    };
    let pair = |id: &ValueId| {
        (
            graph.first_shape(*id).channels(),
            graph.shape(*id).channels(),
        )
    };
    let ratio = |(a, b): (u32, u32)| f64::from(a.max(b)) / f64::from(a.min(b).max(1));
    let worst = nodes
        .iter()
        .map(pair)
        .max_by(|a, b| ratio(*a).total_cmp(&ratio(*b)))?;
    // widths of the rewritten network: no node is gone, so numbers still hold
    let new = nodes.iter().flat_map(|id| {
        [
            remedied.first_shape(*id).channels(),
            remedied.shape(*id).channels(),
        ]
    });
    let (low, high) = new.fold((u32::MAX, 0), |(l, h), w| (l.min(w), h.max(w)));
    let seen = format!(
        "{} between widths as unlike as {} and {} (1:{:.1}) move {:.2} times the least",
        many(nodes.len(), "convolution"),
        worst.0.min(worst.1),
        worst.0.max(worst.1),
        ratio(worst),
        times(graph),
    );
    let wide = match low == high {
        true => format!("{low}"),
        false => format!("{low} to {high}"),
    };
    let packs = packs(graph, &remedied, &nodes);
    let done = format!("all {wide} wide{packs}, {:.2} times", times(&remedied));
    Some(Case {
        nodes,
        seen,
        remedies: vec![Remedy {
            done,
            graph: remedied,
        }],
    })
}
