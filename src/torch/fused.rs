//! The folded net as a CPU runs it fastest: each node in the way that a trial found to be so, activations inside the
//! convolutions before them.

use super::error::{TorchError, TorchErrorKind};
use super::net::{Net, nhwc};
use super::plan::{Step, act_in_place};
use super::ways::{Site, Way};
use crate::ir::ops::Act;
use crate::ir::{Graph, Op, Shape};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// A net in that form. It takes the batch that it was made for.
#[derive(Debug)]
pub struct Fused {
    net: Net,
    joined: Joined,
}

/// Nodes that run in another way than step by step.
#[derive(Debug)]
pub(super) struct Joined {
    /// By node.
    ways: Vec<Option<Way>>,
    /// By node: whether the convolution before it does it.
    done: Vec<bool>,
}

impl Net {
    /// The same function with each node in the fastest of several ways, which is tried out with the threads that libtorch
    /// has now, for batches of `batch`. The net must be [`optimized`](Net::optimized) and on a CPU.
    ///
    /// Ways are oneDNN and XNNPACK, with filters laid out once and activations inside, and libtorch's usual one.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn fused(mut self, batch: u32) -> Result<Fused, TorchError> {
        if self.device() != Device::Cpu || !self.channels_last {
            let text = "only channels-last nets on a CPU can be fused".to_owned();
            return Err(TorchErrorKind::Libtorch(text).into());
        }
        let _guard = tch::no_grad_guard();
        let acts = acts_after(&self.graph);
        let nodes = self.graph.nodes().len();
        let mut joined = Joined {
            ways: Vec::new(),
            done: vec![false; nodes],
        };
        joined.ways.resize_with(nodes, || None);
        let mut values: Vec<Option<Tensor>> = Vec::new();
        values.resize_with(nodes, || None);
        let inputs = examples(&self.graph, batch, self.kind)?;
        // node by node on the values that it will get, as where they lie matters as well
        for step in self.plan.steps() {
            let at = step.node.index();
            let own = self.tensors.get(step.params.clone()).unwrap_or(&[]);
            let input = self.graph.inputs(step.node).first();
            if let Some(x) = input.and_then(|id| values.get(id.index())?.as_ref()) {
                let op = self.graph.node(step.node).op;
                let conv = matches!(op, Op::Conv(_));
                let act = acts.get(at).copied().flatten().filter(|_| conv);
                let site = Site {
                    op,
                    act: act.map(|(_, act)| act),
                    size: x.size(),
                    kind: self.kind,
                    leaves_map: step.leaves_map,
                };
                let x = x.shallow_clone();
                if let Some(way) = faster(&self.graph, &site, step, &x, own, &mut values)? {
                    joined.ways[at] = Some(way);
                    if let Some((act, _)) = act {
                        joined.done[act] = true;
                    }
                }
            }
            step.advance(&self.graph, own, &inputs, &mut values, Some(&joined))?;
        }
        // weights that their kernels have laid out for themselves need not be there twice
        let mut plain = vec![false; self.tensors.len()];
        for step in self.plan.steps() {
            if joined.ways[step.node.index()].is_none() {
                plain[step.params.clone()].fill(true);
            }
        }
        for (tensor, plain) in self.tensors.iter_mut().zip(plain) {
            if !plain {
                *tensor = Tensor::f_empty([0], (self.kind, Device::Cpu))?;
            }
        }
        Ok(Fused { net: self, joined })
    }
}

/// The fastest way of a node on `x`; `None` where that is the usual one.
fn faster(
    graph: &Graph,
    site: &Site,
    step: &Step,
    x: &Tensor,
    params: &[Tensor],
    values: &mut [Option<Tensor>],
) -> Result<Option<Way>, TorchError> {
    let mut ways = site.ways(params);
    // a way that libtorch turns down when it runs is none either
    ways.retain(|way| way.run(x).is_ok());
    if ways.is_empty() {
        return Ok(None);
    }
    let fastest = quickest(1 + ways.len(), |way| {
        let y = match way.checked_sub(1) {
            Some(way) => ways[way].run(x)?,
            None => {
                let y = step.run(graph, params, &[], values)?;
                match site.act {
                    Some(act) => act_in_place(act, y, &[])?,
                    None => y,
                }
            }
        };
        drop(y);
        Ok(())
    })?;
    Ok(fastest.checked_sub(1).map(|way| ways.swap_remove(way)))
}

/// The one of `count` ways whose fastest run is the fastest. They run by turns.
fn quickest(
    count: usize,
    mut run: impl FnMut(usize) -> Result<(), TorchError>,
) -> Result<usize, TorchError> {
    let mut best = vec![f64::INFINITY; count];
    let began = Instant::now();
    for round in 0..MOST_TRIES {
        if round >= LEAST_TRIES && began.elapsed().as_secs_f64() > TRIAL_S {
            break;
        }
        for (way, best) in best.iter_mut().enumerate() {
            let start = Instant::now();
            run(way)?;
            *best = start.elapsed().as_secs_f64().min(*best);
        }
    }
    let order = |a: &usize, b: &usize| best[*a].total_cmp(&best[*b]);
    Ok((0..count).min_by(order).unwrap_or(0))
}

/// Runs of each way, by turns; the fastest counts. As many as fit into the time, within these bounds.
const LEAST_TRIES: usize = 2;
const MOST_TRIES: usize = 50;
const TRIAL_S: f64 = 0.01;

/// Inputs of ones.
fn examples(graph: &Graph, batch: u32, kind: Kind) -> Result<Vec<Tensor>, TorchError> {
    let like = |shape: Shape| -> Result<Tensor, TorchError> {
        let (h, w) = shape.hw();
        let size = [batch, shape.channels(), h, w].map(i64::from);
        match shape {
            Shape::Map { .. } => nhwc(&Tensor::f_ones(size, (kind, Device::Cpu))?),
            Shape::Flat { .. } => Ok(Tensor::f_ones(&size[..2], (kind, Device::Cpu))?),
        }
    };
    graph.input_shapes().into_iter().map(like).collect()
}

impl Fused {
    /// Runs it, as [`Net::forward`] does.
    ///
    /// # Errors
    /// Where the inputs do not fit, or libtorch refuses.
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let _guard = tch::no_grad_guard();
        self.net.forward_with(inputs, Some(&self.joined))
    }
}

impl Joined {
    /// What a step gives where it is one of these; `None` where it runs like any other.
    pub(super) fn run(
        &self,
        graph: &Graph,
        step: &Step,
        values: &mut [Option<Tensor>],
    ) -> Option<Result<Tensor, TorchError>> {
        let at = step.node.index();
        let input = graph.inputs(step.node).first()?.index();
        if self.done.get(at) == Some(&true) {
            return values.get_mut(input)?.take().map(Ok);
        }
        let way = self.ways.get(at)?.as_ref()?;
        Some(way.run(values.get(input)?.as_ref()?))
    }
}

/// For each node the activation that alone reads it and that a convolution can take in: its node and itself.
fn acts_after(graph: &Graph) -> Vec<Option<(usize, Act)>> {
    let live = graph.live();
    let mut uses = vec![0usize; graph.nodes().len()];
    let mut acts = vec![None; graph.nodes().len()];
    for output in graph.outputs() {
        uses[output.index()] += 1;
    }
    for id in graph.ids().filter(|id| live[id.index()]) {
        for input in graph.inputs(id) {
            uses[input.index()] += 1;
        }
        if let (Op::Act(act), Some(input)) = (graph.node(id).op, graph.inputs(id).first())
            && act != Act::Prelu
        {
            acts[input.index()] = Some((id.index(), act));
        }
    }
    for (act, uses) in acts.iter_mut().zip(uses) {
        if uses != 1 {
            *act = None;
        }
    }
    acts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ops::{Add, Concat, Conv, GlobalPool, Linear, Mul, PoolKind, Shuffle, Slice};
    use crate::ir::{GraphBuilder, ValueId};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A net of a dozen nodes drawn from `seed`, on odd maps, with a value read twice here and there.
    fn drawn(seed: u64) -> Graph {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut b = GraphBuilder::new(true);
        let [h, w] = [9, 14].map(|side| side + rng.random_range(0..3));
        let shape = Shape::Map { c: 3, h, w };
        let input = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
        let mut values = vec![b.push(Conv::same(8, 3, 2), &[input]).unwrap()];
        let acts: Vec<Act> = Act::ALL.into_iter().collect();
        for _ in 0..16 {
            let last = values[values.len() - 1];
            let c = b.shape(last).channels();
            let act = acts[rng.random_range(0..acts.len())];
            let k = [1, 3, 5][rng.random_range(0..3)];
            let mut one = |op: Op| b.push(op, &[last]).unwrap();
            values.push(match rng.random_range(0..10) {
                0 => one(Conv::same(c, k, 1).grouped(c).biased().into()),
                1 => one(Conv::same(6 + 2 * (c % 4), k, 1).into()),
                2 => one(Conv::same(c, k, 1)
                    .grouped(if c.is_multiple_of(2) { 2 } else { 1 })
                    .into()),
                3 | 4 => one(act.into()),
                5 if c.is_multiple_of(2) => one(Shuffle { groups: 2 }.into()),
                6 => one(Slice {
                    begin: c / 3,
                    end: c,
                }
                .into()),
                7 => {
                    let pool = one(GlobalPool {
                        kind: PoolKind::Avg,
                    }
                    .into());
                    let gate = b.push(Conv::same(c, 1, 1).biased(), &[pool]).unwrap();
                    let gate = b.push(Act::Hsigmoid, &[gate]).unwrap();
                    b.push(Mul, &[last, gate]).unwrap()
                }
                8 => {
                    let other = b.push(Conv::same(c, 3, 1), &[last]).unwrap();
                    b.push(Add, &[other, last]).unwrap()
                }
                _ => {
                    let other: ValueId = values[rng.random_range(0..values.len())];
                    b.push(Concat, &[last, other]).unwrap()
                }
            });
        }
        let last = values[values.len() - 1];
        let pool = b
            .push(
                GlobalPool {
                    kind: PoolKind::Avg,
                },
                &[last],
            )
            .unwrap();
        let flat = b.push(crate::ir::ops::Flatten, &[pool]).unwrap();
        let bias = seed.is_multiple_of(2);
        let out = b
            .push(
                Linear {
                    out_features: 5,
                    bias,
                },
                &[flat],
            )
            .unwrap();
        b.finish(&[out, last])
    }

    /// Whatever the trial chooses, the function stays the same, twice in a row and on other input than the trial had.
    #[test]
    fn drawn_nets_compute_what_they_did() {
        let mut ways = 0;
        for seed in 0..16 {
            let net = Net::build(&drawn(seed), Device::Cpu, seed).unwrap();
            let batch = 1 + seed % 3;
            let folded = net.optimized().unwrap();
            let size = match net.input_shapes()[0] {
                Shape::Map { c, h, w } => [c, h, w].map(i64::from),
                Shape::Flat { .. } => unreachable!(),
            };
            let size = [batch as i64, size[0], size[1], size[2]];
            let fused = folded.fused(batch as u32).unwrap();
            ways += fused.joined.ways.iter().flatten().count();
            for _ in 0..2 {
                let x = [Tensor::f_randn(size, (Kind::Float, Device::Cpu)).unwrap()];
                let want = net.forward(&x).unwrap();
                for (got, want) in fused.forward(&x).unwrap().iter().zip(&want) {
                    let off = f64::try_from((got - want).norm()).unwrap();
                    let all = f64::try_from(want.norm()).unwrap();
                    // some twenty layers of sums rounded to 24 bits
                    assert!(off <= 1e-5 * all, "{seed}: {:e}", off / all);
                }
            }
        }
        assert!(ways > 20, "{ways}");
    }
}
