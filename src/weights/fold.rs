//! The deployed form of a net: batch norms folded into the convolution or linear layer before them, dead nodes dropped.

use super::values::{Values, Weights};
use crate::ir::ops::{BatchNorm, Conv, Linear};
use crate::ir::params::Param;
use crate::ir::{Graph, GraphBuilder, Op, ValueId};

/// How a parameter of the folded graph comes from those of the graph before, which are named by their number in
/// [`Graph::parameters`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recipe {
    /// As it is.
    Keep(usize),
    /// A layer's filters, each times the scale of its channel.
    Weight {
        /// The filters.
        weight: usize,
        /// The batch norm.
        norm: Norm,
    },
    /// A layer's bias in front of a batch norm.
    Bias {
        /// The layer's own, where it has one.
        bias: Option<usize>,
        /// The batch norm.
        norm: Norm,
    },
}

/// A batch norm that goes into a layer. Its scale is `weight / sqrt(running_var + eps)`, its shift
/// `bias - scale running_mean`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// The first of its four parameters: `weight, bias, running_mean, running_var`.
    pub first: usize,
    /// Added to the variance.
    pub eps: f64,
}

/// A graph without the batch norms that could be folded.
#[derive(Clone, Debug)]
pub struct Folded {
    /// The graph.
    pub graph: Graph,
    /// Where each of its parameters comes from.
    pub recipes: Vec<Recipe>,
}

/// For each layer the batch norm that alone reads it, and its eps.
fn pairs(graph: &Graph, live: &[bool]) -> Vec<Option<(ValueId, f64)>> {
    let mut uses = vec![0u32; graph.nodes().len()];
    let running = || graph.ids().filter(|id| live[id.index()]);
    let read = running().flat_map(|id| graph.inputs(id));
    for value in read.chain(graph.outputs()) {
        uses[value.index()] += 1;
    }
    let mut pairs = vec![None; graph.nodes().len()];
    for norm in running() {
        let Op::BatchNorm(BatchNorm { eps }) = graph.node(norm).op else {
            continue;
        };
        for &layer in graph.inputs(norm) {
            let folds = matches!(graph.node(layer).op, Op::Conv(_) | Op::Linear(_));
            if folds && uses[layer.index()] == 1 {
                pairs[layer.index()] = Some((norm, eps.0));
            }
        }
    }
    if graph.has_sharers() {
        // what several layers share is folded where the same norm follows all of them
        let norm_of = |layer: ValueId| {
            pairs[layer.index()].map(|(norm, eps): (_, f64)| (graph.owner(norm), eps.to_bits()))
        };
        let alike = |layer: &ValueId| {
            let mut users = running().filter(|id| graph.owner(*id) == graph.owner(*layer));
            users.all(|user| norm_of(user) == norm_of(*layer))
        };
        let layers = graph.ids().filter(|id| pairs[id.index()].is_some());
        let odd: Vec<ValueId> = layers.filter(|layer| !alike(layer)).collect();
        odd.iter().for_each(|layer| pairs[layer.index()] = None);
    }
    pairs
}

/// The same function with fewer steps: each batch norm that alone reads a convolution or a linear layer goes into that
/// layer's weights and bias, and dead nodes go away. A layer whose weights several nodes share is folded where the same
/// batch norm follows all of them, and stays shared. Inputs stay, read or not.
pub fn fold(old: &Graph) -> Folded {
    let live = old.live();
    let pairs = pairs(old, &live);
    let mut folded = vec![false; old.nodes().len()];
    for (norm, _) in pairs.iter().flatten() {
        folded[norm.index()] = true;
    }
    let params = old.parameters();
    let mut first: Vec<Option<usize>> = vec![None; old.nodes().len()];
    for (at, param) in params.iter().enumerate() {
        first[param.node.index()].get_or_insert(at);
    }
    // nodes with parameters have a first one
    let first_of = |id: ValueId| first[old.owner(id).index()].unwrap_or(0);
    let own = |id: ValueId| {
        let owner = old.owner(id);
        let from = first_of(id);
        let count = params.iter().skip(from).take_while(|p| p.node == owner);
        (
            from,
            if first[owner.index()].is_some() {
                count.count()
            } else {
                0
            },
        )
    };
    let mut builder = GraphBuilder::new(true);
    let mut recipes = Vec::new();
    let mut moved = vec![ValueId(0); old.nodes().len()];
    // by owner of parameters: the new node that owns them
    let mut owners: Vec<Option<ValueId>> = vec![None; old.nodes().len()];
    let stays = |id: &ValueId| live[id.index()] || matches!(old.node(*id).op, Op::Input { .. });
    for id in old.ids().filter(stays) {
        if let (true, [layer]) = (folded[id.index()], old.inputs(id)) {
            moved[id.index()] = moved[layer.index()];
            continue;
        }
        let inputs: Vec<ValueId> = old.inputs(id).iter().map(|x| moved[x.index()]).collect();
        let known = owners[old.owner(id).index()].filter(|_| old.node(id).op.learns());
        let (from, count) = own(id);
        let (op, own) = match (pairs[id.index()], old.node(id).op) {
            (Some((norm, eps)), op @ (Op::Conv(_) | Op::Linear(_))) => {
                let first = first_of(norm);
                let norm = Norm { first, eps };
                let bias = (count > 1).then_some(from + 1);
                let weight = Recipe::Weight { weight: from, norm };
                let op = match op {
                    Op::Conv(k) => Op::Conv(Conv { bias: true, ..k }),
                    Op::Linear(l) => Op::Linear(Linear { bias: true, ..l }),
                    op => op,
                };
                (op, vec![weight, Recipe::Bias { bias, norm }])
            }
            (_, op) => (op, (from..from + count).map(Recipe::Keep).collect()),
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
                recipes.extend(own);
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
    Folded { graph, recipes }
}

/// The numbers of a norm: scale and shift of each channel.
fn affine(norm: Norm, old: &Weights) -> Vec<(f64, f64)> {
    let of = |k: usize| old.0.get(norm.first + k).map_or(&[][..], Values::reals);
    let (weight, bias, mean, var) = (of(0), of(1), of(2), of(3));
    let channel = |(((w, b), m), v): (((&f32, &f32), &f32), &f32)| {
        let scale = f64::from(*w) / (f64::from(*v) + norm.eps).sqrt();
        (scale, f64::from(*b) - scale * f64::from(*m))
    };
    let all = weight.iter().zip(bias).zip(mean).zip(var);
    all.map(channel).collect()
}

impl Folded {
    /// The weights of the folded graph, worked out in double precision.
    pub fn weights(&self, old: &Weights) -> Weights {
        let get = |at: usize| old.0.get(at).map_or(&[][..], Values::reals);
        let cook = |recipe: &Recipe| match *recipe {
            Recipe::Keep(at) => old.0.get(at).cloned().unwrap_or(Values::Real(Vec::new())),
            Recipe::Weight { weight, norm } => {
                let (weight, norm) = (get(weight), affine(norm, old));
                let filter = (weight.len() / norm.len().max(1)).max(1);
                let filters = weight.chunks(filter).zip(norm);
                let scaled = filters.flat_map(|(filter, (scale, _))| {
                    filter.iter().map(move |w| (scale * f64::from(*w)) as f32)
                });
                Values::Real(scaled.collect())
            }
            Recipe::Bias { bias, norm } => {
                let own = bias.map_or(&[][..], get);
                let norm = affine(norm, old).into_iter().enumerate();
                let bias = norm.map(|(c, (scale, shift))| {
                    let own = own.get(c).copied().unwrap_or(0.0);
                    (scale * f64::from(own) + shift) as f32
                });
                Values::Real(bias.collect())
            }
        };
        Weights(self.recipes.iter().map(cook).collect())
    }

    /// The parameters of the folded graph.
    pub fn parameters(&self) -> Vec<Param> {
        self.graph.parameters()
    }
}
