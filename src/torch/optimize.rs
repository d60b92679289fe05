//! The deployed form of a net: batch norms folded into the convolution or linear layer before them, dead nodes dropped.

use super::error::TorchError;
use super::net::Net;
use crate::ir::ops::{BatchNorm, Conv, Linear};
use crate::ir::{GraphBuilder, Op, ValueId};
use tch::{Kind, Tensor};

/// A layer whose only reader is a batch norm, and that batch norm.
struct Pair {
    layer: ValueId,
    norm: ValueId,
    eps: f64,
}

impl Net {
    /// The same function with fewer steps, for timing and deployment: each batch norm that alone reads a convolution
    /// or a linear layer goes into that layer's weights and bias, dead nodes go away, and feature maps and filters are
    /// laid out channels-last, which is what libtorch's CPU convolutions work in.
    ///
    /// With scale `s = weight / sqrt(running_var + eps)`, filters become `s w` and the bias `s (b - running_mean) + bias`,
    /// worked out in double precision. Outputs differ by rounding only. A layer whose weights several nodes share is
    /// folded where the same batch norm follows all of them, and stays shared.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn optimized(&self) -> Result<Net, TorchError> {
        self.optimized_with(true)
    }

    /// As [`optimized`](Self::optimized), with the layout of feature maps as told.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn optimized_with(&self, channels_last: bool) -> Result<Net, TorchError> {
        let _guard = tch::no_grad_guard();
        let pairs = self.pairs();
        let old = self.graph();
        let live = old.live();
        let mut builder = GraphBuilder::new(true);
        let mut tensors = Vec::new();
        let mut moved = vec![ValueId(0); old.nodes().len()];
        // by owner of parameters: the new node that owns them
        let mut owners: Vec<Option<ValueId>> = vec![None; old.nodes().len()];
        // an input that nothing reads stays: the net takes as many as before
        let stays = |id: &ValueId| live[id.index()] || matches!(old.node(*id).op, Op::Input { .. });
        for id in old.ids().filter(stays) {
            if let Some(pair) = pairs.iter().find(|p| p.norm == id) {
                moved[id.index()] = moved[pair.layer.index()];
                continue;
            }
            let inputs: Vec<ValueId> = old.inputs(id).iter().map(|x| moved[x.index()]).collect();
            let own = self.tensors_of(id);
            let known = owners[old.owner(id).index()].filter(|_| old.node(id).op.learns());
            let mut values = Vec::new();
            let op = match pairs.iter().find(|p| p.layer == id) {
                None => {
                    values.extend(own);
                    old.node(id).op
                }
                Some(pair) => {
                    values.extend(fold(&own, &self.tensors_of(pair.norm), pair.eps)?);
                    match old.node(id).op {
                        Op::Conv(k) => Op::Conv(Conv { bias: true, ..k }),
                        Op::Linear(l) => Op::Linear(Linear { bias: true, ..l }),
                        op => op,
                    }
                }
            };
            let name = match old.name(id) {
                "" => id.0.to_string(),
                name => name.to_owned(),
            };
            // a bias changes no shape, so what fitted before fits now
            if let Ok(new) = builder.push_named(op, &inputs, || name) {
                moved[id.index()] = new;
                // what is shared now was shared before
                if known.is_none_or(|owner| builder.share(new, owner).is_err()) {
                    owners[old.owner(id).index()] = Some(new);
                    tensors.extend(values);
                }
            }
        }
        builder.label(
            old.input_names().to_vec(),
            old.output_names().to_vec(),
            Vec::new(),
        );
        let outputs: Vec<ValueId> = old.outputs().iter().map(|o| moved[o.index()]).collect();
        let graph = builder.finish(&outputs);
        let params = graph.parameters();
        Net::assemble(graph, params, tensors, self.device(), channels_last)
    }

    fn pairs(&self) -> Vec<Pair> {
        let graph = self.graph();
        let live = graph.live();
        let mut uses = vec![0u32; graph.nodes().len()];
        for id in graph.ids().filter(|id| live[id.index()]) {
            for input in graph.inputs(id) {
                uses[input.index()] += 1;
            }
        }
        for output in graph.outputs() {
            uses[output.index()] += 1;
        }
        let mut pairs = Vec::new();
        for norm in graph.ids().filter(|id| live[id.index()]) {
            let Op::BatchNorm(BatchNorm { eps }) = graph.node(norm).op else {
                continue;
            };
            for &layer in graph.inputs(norm) {
                let folds = matches!(graph.node(layer).op, Op::Conv(_) | Op::Linear(_));
                if folds && uses[layer.index()] == 1 {
                    pairs.push(Pair {
                        layer,
                        norm,
                        eps: eps.0,
                    });
                }
            }
        }
        if graph.has_sharers() {
            let users = |owner: ValueId| {
                let of = graph.ids().filter(move |id| graph.owner(*id) == owner);
                of.filter(|id| live[id.index()])
            };
            let norm_of = |layer: ValueId| {
                let pair = pairs.iter().find(|p: &&Pair| p.layer == layer)?;
                Some((graph.owner(pair.norm), pair.eps.to_bits()))
            };
            let alike = |pair: &Pair| {
                let mut users = users(graph.owner(pair.layer));
                users.all(|user| norm_of(user) == norm_of(pair.layer))
            };
            let sound: Vec<bool> = pairs.iter().map(alike).collect();
            let mut sound = sound.into_iter();
            pairs.retain(|_| sound.next() == Some(true));
        }
        pairs
    }

    fn tensors_of(&self, id: ValueId) -> Vec<Tensor> {
        let owner = self.graph().owner(id);
        let own = self.params.iter().zip(&self.tensors);
        own.filter(|(p, _)| p.node == owner)
            .map(|(_, t)| t.shallow_clone())
            .collect()
    }
}

/// Weight and bias of the layer with the norm in them. `layer` is `[weight]` or `[weight, bias]`, `norm` is
/// `[weight, bias, running_mean, running_var]`: the order of `Graph::parameters`.
fn fold(layer: &[Tensor], norm: &[Tensor], eps: f64) -> Result<[Tensor; 2], TorchError> {
    let double = |t: &Tensor| t.f_to_kind(Kind::Double);
    let scale = double(&norm[0])?.f_div(&double(&norm[3])?.f_add_scalar(eps)?.f_sqrt()?)?;
    let mut ones = vec![1; layer[0].dim()];
    ones[0] = -1;
    let weight = double(&layer[0])?.f_mul(&scale.f_reshape(ones)?)?;
    let shift = match layer.get(1) {
        Some(bias) => double(bias)?.f_sub(&double(&norm[2])?)?,
        None => double(&norm[2])?.f_neg()?,
    };
    let bias = shift.f_mul(&scale)?.f_add(&double(&norm[1])?)?;
    Ok([weight.f_to_kind(Kind::Float)?, bias.f_to_kind(Kind::Float)?])
}
