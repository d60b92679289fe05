//! Activations alive at each moment.
//!
//! Live nodes run one after the other in node order. A value takes its elements from the moment its node runs until
//! its last reader has run; network outputs stay to the end. While a node runs, its inputs and its output are both
//! there, with one exception: an element-wise op (batch norm, activation, sum, product, dropout, flatten) writes over
//! an input of its output's size that nobody reads afterwards. Weights are not activations.

use crate::ir::{Graph, Op};

/// Fills `last_use` with one more than the number of the last live reader of each value; `u32::MAX` for outputs and
/// 0 for dead nodes.
pub(super) fn last_uses(graph: &Graph, last_use: &mut Vec<u32>) {
    last_use.clear();
    last_use.resize(graph.nodes().len(), 0);
    for output in graph.outputs() {
        last_use[output.index()] = u32::MAX;
    }
    for id in graph.ids().rev() {
        if last_use[id.index()] != 0 {
            for input in graph.inputs(id) {
                if last_use[input.index()] == 0 {
                    last_use[input.index()] = id.0 + 1;
                }
            }
        }
    }
}

/// Runs the network on paper and returns the most elements alive at once. `alive` is called for each live node with the
/// elements alive while it runs. `held` is memory to work in.
///
/// Cannot overflow: at most 200,000 values of at most 2^40 elements.
pub(super) fn peak(
    graph: &Graph,
    last_use: &[u32],
    held: &mut Vec<u64>,
    mut alive: impl FnMut(usize, u64),
) -> u64 {
    held.clear();
    held.resize(graph.nodes().len(), 0);
    let (mut now, mut peak) = (0u64, 0u64);
    for (id, node) in graph.ids().zip(graph.nodes()) {
        let at = id.index();
        if last_use[at] == 0 {
            continue;
        }
        let size = node.shape.elems();
        let dies = |x: usize| last_use[x] == id.0 + 1;
        let inputs = graph.inputs(id);
        let reused = if element_wise(&node.op) {
            let fits = |x: usize| dies(x) && held[x] == size;
            inputs.iter().map(|x| x.index()).find(|x| fits(*x))
        } else {
            None
        };
        match reused {
            Some(x) => held[x] = 0,
            None => now += size,
        }
        held[at] = size;
        peak = peak.max(now);
        alive(at, now);
        for x in inputs.iter().map(|x| x.index()).filter(|x| dies(*x)) {
            now -= std::mem::take(&mut held[x]);
        }
    }
    peak
}

fn element_wise(op: &Op) -> bool {
    match op {
        Op::BatchNorm(_)
        | Op::Act(_)
        | Op::Add(_)
        | Op::Mul(_)
        | Op::Dropout(_)
        | Op::Flatten(_) => true,
        Op::Input { .. }
        | Op::Conv(_)
        | Op::LocalResponseNorm(_)
        | Op::L2Norm(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::AdaptiveAvgPool(_)
        | Op::GlobalPool(_)
        | Op::Upsample(_)
        | Op::Linear(_)
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Shuffle(_)
        | Op::Transpose(_)
        | Op::Pad(_)
        | Op::Gather(_)
        | Op::ChannelConv(_)
        | Op::Zero => false,
    }
}
