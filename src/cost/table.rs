//! Counts of a network, in total and node by node.

use super::bound::Bounds;
use super::field::{self, Field};
use super::memory;
use crate::ir::ops::{Act, Conv};
use crate::ir::{Graph, Node, Op, Shape, ValueId};
use serde::Serialize;

/// How much of the input one output element sees, along height and width.
///
/// # Units
/// Input pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Visible {
    /// Pixels of the input that can reach it: the whole input after a global pool, and never more than the input.
    pub receptive_field: [u64; 2],
    /// The extent of its sliding windows alone, padding included: what papers quote for a feature map.
    pub sliding_field: [u64; 2],
}

/// Counts of a whole network for one sample. Dead nodes count in `params` and `running_stat_elems` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Learnable scalars of all nodes, shared ones once.
    pub params: u64,
    /// Learnable scalars of the nodes that an output needs.
    pub params_live: u64,
    /// Multiply-accumulates of convolutions and linear layers.
    pub macs: u64,
    /// Multiply-accumulates of convolutions.
    pub macs_conv: u64,
    /// Multiply-accumulates of linear layers.
    pub macs_linear: u64,
    /// Elements of the outputs of all convolutions: the "activations" of RegNet and G-GhostNet.
    pub conv_out_elems: u64,
    /// Elements that the convolutions read, write and weigh with, each once: see [`Totals::conv_mem_access`].
    pub mem_access_elems: u64,
    /// Convolutions of any kind.
    pub n_conv: u64,
    /// Convolutions whose input channels have filters of their own.
    pub n_conv_depthwise: u64,
    /// Convolutions in groups that are not depthwise.
    pub n_conv_grouped: u64,
    /// Linear layers.
    pub n_linear: u64,
    /// Batch norms.
    pub n_batchnorm: u64,
    /// Numbers that are kept with the weights but not learnt, of all nodes, shared ones once: running means and variances
    /// of batch norms, indices of gathers.
    pub running_stat_elems: u64,
    /// Most activation elements alive at once; the module `memory` has the rules.
    pub peak_activation_elems: u64,
    /// What an output sees; the larger where there are several.
    #[serde(flatten)]
    pub visible: Visible,
}

/// Memory that [`Totals::of`] works in; it grows to the largest graph seen and is then reused.
#[derive(Debug, Default)]
pub struct Scratch {
    last_use: Vec<u32>,
    held: Vec<u64>,
    fields: Vec<Field>,
}

impl Totals {
    /// Counts a graph. Linear in nodes and edges; allocates nothing once `scratch` has grown.
    ///
    /// # Errors
    /// Where a count passes `u64`; the error names the node.
    pub fn of(graph: &Graph, scratch: &mut Scratch) -> Result<Self, CostError> {
        let mut t = Self::without_fields(graph, scratch)?;
        let extent = field::fields(graph, &scratch.last_use, &mut scratch.fields);
        for output in graph.outputs() {
            let seen = visible(scratch.fields[output.index()], extent);
            t.visible = t.visible.larger(seen);
        }
        Ok(t)
    }

    /// As [`of`](Self::of), but for what an output sees: that stays 0. A search has no use for it.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn without_fields(graph: &Graph, scratch: &mut Scratch) -> Result<Self, CostError> {
        memory::last_uses(graph, &mut scratch.last_use);
        let mut t = Totals {
            peak_activation_elems: memory::peak(
                graph,
                &scratch.last_use,
                &mut scratch.held,
                |_, _| (),
            ),
            ..Totals::default()
        };
        for (id, node) in graph.ids().zip(graph.nodes()) {
            let live = scratch.last_use[id.index()] != 0;
            let input = graph
                .inputs(id)
                .first()
                .map_or(node.shape, |x| graph.shape(*x));
            t.add(node, input, live, !graph.is_sharer(id))
                .map_err(|kind| CostError::new(graph, id, kind))?;
        }
        if graph.has_sharers() {
            t.params_live = params_live(graph, &scratch.last_use);
        }
        Ok(t)
    }

    /// As [`without_fields`](Self::without_fields), of a part of a network; also the peak where this value stays alive
    /// all the time, for what comes later, and whether the part reads it.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_part(
        graph: &Graph,
        stays: Option<ValueId>,
        scratch: &mut Scratch,
    ) -> Result<(Self, u64, bool), CostError> {
        let totals = Self::without_fields(graph, scratch)?;
        let last_use = stays.and_then(|id| scratch.last_use.get_mut(id.index()));
        let Some(last_use) = last_use else {
            return Ok((totals, totals.peak_activation_elems, false));
        };
        let read = *last_use != 0;
        *last_use = u32::MAX;
        let peak = memory::peak(graph, &scratch.last_use, &mut scratch.held, |_, _| ());
        Ok((totals, peak, read))
    }

    /// Elements one convolution moves when a cache holds each once: input, output and weights; a bias is not counted.
    ///
    /// # Source
    /// "MAC" of ShuffleNetV2 (arXiv 1807.11164, section 2) and of VoVNet (arXiv 1904.09730, equation 1); with a stride,
    /// the input's own size stands for the input.
    pub fn conv_mem_access(conv: &Conv, input: Shape, output: Shape) -> u64 {
        (input.elems() + output.elems()).saturating_add(conv.weights(input))
    }

    fn add(
        &mut self,
        node: &Node,
        input: Shape,
        live: bool,
        owns: bool,
    ) -> Result<(), CostErrorKind> {
        let params = match &node.op {
            Op::Conv(conv) => {
                if live {
                    let depthwise = conv.is_depthwise(input.channels());
                    self.n_conv += 1;
                    self.n_conv_depthwise += u64::from(depthwise);
                    self.n_conv_grouped += u64::from(conv.groups > 1 && !depthwise);
                    let (h, w) = node.shape.hw();
                    let macs = conv
                        .weights(input)
                        .checked_mul(u64::from(h) * u64::from(w))
                        .ok_or(CostErrorKind::Macs)?;
                    add(&mut self.macs, macs, CostErrorKind::Macs)?;
                    self.macs_conv += macs; // never more than `macs`
                    add(
                        &mut self.conv_out_elems,
                        node.shape.elems(),
                        CostErrorKind::ConvOutElems,
                    )?;
                    add(
                        &mut self.mem_access_elems,
                        Self::conv_mem_access(conv, input, node.shape),
                        CostErrorKind::MemAccess,
                    )?;
                }
                node.op.params(input)
            }
            Op::Linear(linear) => {
                if live {
                    self.n_linear += 1;
                    let macs = input
                        .elems()
                        .checked_mul(u64::from(linear.out_features))
                        .ok_or(CostErrorKind::Macs)?;
                    add(&mut self.macs, macs, CostErrorKind::Macs)?;
                    self.macs_linear += macs;
                }
                node.op.params(input)
            }
            Op::BatchNorm(_) => {
                self.n_batchnorm += u64::from(live);
                let params = if owns { node.op.params(input) } else { 0 };
                // mean and variance: as many as scale and shift
                add(
                    &mut self.running_stat_elems,
                    params,
                    CostErrorKind::RunningStats,
                )?;
                params
            }
            Op::Act(Act::Prelu) | Op::L2Norm(_) | Op::ChannelConv(_) => node.op.params(input),
            Op::Gather(gather) => {
                let kept = if owns { gather.channels } else { 0 };
                return add(
                    &mut self.running_stat_elems,
                    kept.into(),
                    CostErrorKind::RunningStats,
                );
            }
            Op::Input { .. }
            | Op::Act(_)
            | Op::LocalResponseNorm(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::AdaptiveAvgPool(_)
            | Op::GlobalPool(_)
            | Op::Upsample(_)
            | Op::Add(_)
            | Op::Mul(_)
            | Op::Concat(_)
            | Op::Slice(_)
            | Op::Shuffle(_)
            | Op::Transpose(_)
            | Op::Pad(_)
            | Op::Flatten(_)
            | Op::Dropout(_)
            | Op::Zero => return Ok(()),
        };
        if !owns {
            return Ok(());
        }
        add(&mut self.params, params, CostErrorKind::Params)?;
        if live {
            self.params_live += params; // never more than `params`
        }
        Ok(())
    }
}

/// Learnable scalars that a live node works with, shared ones once.
fn params_live(graph: &Graph, last_use: &[u32]) -> u64 {
    let mut used = vec![false; graph.nodes().len()];
    for id in graph.ids().filter(|id| last_use[id.index()] != 0) {
        used[graph.owner(id).index()] = true;
    }
    let owners = graph.ids().filter(|id| used[id.index()]);
    // never more than all parameters, whose sum was checked
    owners
        .map(|id| graph.node(id).op.params(graph.first_shape(id)))
        .sum()
}

fn add(sum: &mut u64, more: u64, kind: CostErrorKind) -> Result<(), CostErrorKind> {
    *sum = sum.checked_add(more).ok_or(kind)?;
    Ok(())
}

fn visible(field: Field, extent: [u32; 2]) -> Visible {
    Visible {
        receptive_field: field.within(extent),
        sliding_field: field.sliding(),
    }
}

impl Visible {
    fn larger(self, other: Self) -> Self {
        let max = |a: [u64; 2], b: [u64; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        Self {
            receptive_field: max(self.receptive_field, other.receptive_field),
            sliding_field: max(self.sliding_field, other.sliding_field),
        }
    }
}

/// Counts of one node for one sample. All but `params` are zero where nothing needs the node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The node's name; empty where the graph was built without.
    pub name: String,
    /// The op's name.
    pub op: &'static str,
    /// Whether an output needs it.
    pub live: bool,
    /// Shapes of its inputs.
    pub inputs: Vec<Shape>,
    /// Shape of its output.
    pub output: Shape,
    /// Learnable scalars; 0 where they are those of an earlier node.
    pub params: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Other arithmetic.
    pub other_ops: u64,
    /// Elements read, written and weighed with. For a convolution as [`Totals::conv_mem_access`] says; for the others
    /// with all their parameters.
    pub mem_access_elems: u64,
    /// The least that a convolution of its work could move; `None` for other ops.
    #[serde(skip)]
    pub bounds: Option<Bounds>,
    /// Activation elements alive while it runs.
    pub alive_elems: u64,
    /// Its part of the network's parameters, 0 to 1; 0 in a network without.
    pub params_share: f64,
    /// Its part of the network's multiply-accumulates, 0 to 1; 0 in a network without.
    pub macs_share: f64,
    /// What one of its output elements sees.
    #[serde(flatten)]
    pub visible: Visible,
}

/// Sums over the nodes whose names start alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BlockRow {
    /// The common start of the names, without the last dot.
    pub name: String,
    /// Nodes summed.
    pub nodes: usize,
    /// Learnable scalars.
    pub params: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Elements read, written and weighed with.
    pub mem_access_elems: u64,
    /// Of those, the convolutions'.
    pub conv_mem_access_elems: u64,
    /// The least that its convolutions could move.
    #[serde(flatten)]
    pub bounds: Bounds,
    /// Part of the network's multiply-accumulates, 0 to 1; 0 in a network without.
    pub macs_share: f64,
}

/// Counts of a network with a row a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// The sums.
    pub totals: Totals,
    /// The sums of the bounds of all convolutions, to be held against `totals.mem_access_elems`.
    pub bounds: Bounds,
    /// A row a node, in the graph's order.
    pub layers: Vec<Layer>,
}

impl Counts {
    /// Counts a graph.
    ///
    /// # Errors
    /// Where a count passes `u64`; the error names the node.
    pub fn of(graph: &Graph) -> Result<Self, CostError> {
        let mut scratch = Scratch::default();
        let totals = Totals::of(graph, &mut scratch)?;
        let mut alive = vec![0; graph.nodes().len()];
        memory::peak(
            graph,
            &scratch.last_use,
            &mut scratch.held,
            |node, elems| alive[node] = elems,
        );
        let extent = largest_input(graph, &scratch.last_use);
        let share = |part: u64, all: u64| match all {
            0 => 0.0,
            _ => part as f64 / all as f64,
        };
        let mut layers = Vec::with_capacity(graph.nodes().len());
        let mut sum = Bounds::default();
        for (id, node) in graph.ids().zip(graph.nodes()) {
            let inputs: Vec<Shape> = graph.inputs(id).iter().map(|x| graph.shape(*x)).collect();
            let first = inputs.first().copied().unwrap_or(node.shape);
            let live = scratch.last_use[id.index()] != 0;
            let params = match graph.is_sharer(id) {
                true => 0,
                false => node.op.params(first),
            };
            let work = if live {
                node.op.work(&inputs, node.shape)
            } else {
                Default::default()
            };
            if work.other_ops == u64::MAX {
                return Err(CostError::new(graph, id, CostErrorKind::OtherOps));
            }
            let (mem_access_elems, bounds) = match &node.op {
                Op::Conv(conv) if live => (
                    Totals::conv_mem_access(conv, first, node.shape),
                    Some(Bounds::of(conv, first, node.shape)),
                ),
                _ => (work.elems_in + work.elems_out + work.elems_weight, None),
            };
            sum.add(bounds.unwrap_or_default());
            layers.push(Layer {
                name: graph.name(id).to_owned(),
                op: node.op.name(),
                live,
                output: node.shape,
                params,
                macs: work.macs,
                other_ops: work.other_ops,
                mem_access_elems,
                bounds,
                alive_elems: alive[id.index()],
                params_share: share(params, totals.params),
                macs_share: share(work.macs, totals.macs),
                visible: visible(scratch.fields[id.index()], extent),
                inputs,
            });
        }
        Ok(Self {
            totals,
            bounds: sum,
            layers,
        })
    }

    /// Sums by the first `depth` parts of the names, in order of first appearance: with depth 1 a row a top-level node
    /// of the document.
    pub fn by_block(&self, depth: usize) -> Vec<BlockRow> {
        let mut rows: Vec<BlockRow> = Vec::new();
        let mut place = std::collections::HashMap::new();
        for layer in &self.layers {
            let name = match layer.name.match_indices('.').nth(depth.saturating_sub(1)) {
                Some((end, _)) => &layer.name[..end],
                None => layer.name.as_str(),
            };
            let at = *place.entry(name).or_insert_with(|| {
                rows.push(BlockRow {
                    name: name.to_owned(),
                    ..BlockRow::default()
                });
                rows.len() - 1
            });
            let row = &mut rows[at];
            row.nodes += 1;
            row.params += layer.params;
            row.macs += layer.macs;
            row.mem_access_elems += layer.mem_access_elems;
            if let Some(bounds) = layer.bounds {
                row.conv_mem_access_elems += layer.mem_access_elems;
                row.bounds.add(bounds);
            }
            row.macs_share += layer.macs_share;
        }
        rows
    }
}

fn largest_input(graph: &Graph, last_use: &[u32]) -> [u32; 2] {
    let live = graph.nodes().iter().zip(last_use).filter(|(_, u)| **u != 0);
    live.fold([0; 2], |most, (node, _)| match node.op {
        Op::Input { shape, .. } => {
            let (h, w) = shape.hw();
            [most[0].max(h), most[1].max(w)]
        }
        _ => most,
    })
}

/// A count that does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {kind} exceed 2^64", self.place())]
pub struct CostError {
    node: ValueId,
    name: String,
    /// What was counted.
    pub kind: CostErrorKind,
}

/// What was counted when the number no longer fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CostErrorKind {
    /// Parameters.
    #[error("parameters")]
    Params,
    /// Multiply-accumulates.
    #[error("multiply-accumulates")]
    Macs,
    /// Other arithmetic.
    #[error("operations")]
    OtherOps,
    /// Outputs of convolutions.
    #[error("convolution outputs")]
    ConvOutElems,
    /// Memory access.
    #[error("elements of memory access")]
    MemAccess,
    /// Running statistics.
    #[error("running statistics")]
    RunningStats,
}

impl CostError {
    fn new(graph: &Graph, node: ValueId, kind: CostErrorKind) -> Self {
        Self {
            node,
            name: graph.name(node).to_owned(),
            kind,
        }
    }

    /// The node at which the count passed the limit.
    pub fn node(&self) -> ValueId {
        self.node
    }

    fn place(&self) -> String {
        match self.name.as_str() {
            "" => format!("node %{}", self.node.0),
            name => format!("node %{} ({name})", self.node.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::GraphBuilder;
    use crate::ir::ops::{Add, BatchNorm, Flatten, GlobalPool, Linear, MaxPool, PoolKind, Shuffle};

    fn image(b: &mut GraphBuilder, c: u32, h: u32, w: u32) -> ValueId {
        let shape = Shape::Map { c, h, w };
        b.push_named(Op::Input { index: 0, shape }, &[], || "input".into())
            .unwrap()
    }

    #[test]
    fn counts_of_a_net_small_enough_for_paper() {
        let mut b = GraphBuilder::new(true);
        let x = image(&mut b, 3, 8, 8);
        let name = |s: &str| s.to_owned();
        let conv = b
            .push_named(Conv::same(4, 3, 2).biased(), &[x], || name("a.conv"))
            .unwrap();
        let bn = b
            .push_named(BatchNorm::default(), &[conv], || name("a.bn"))
            .unwrap();
        let act = b.push_named(Act::Prelu, &[bn], || name("a.act")).unwrap();
        let dw = b
            .push_named(Conv::same(4, 3, 1).grouped(4), &[act], || name("b.dw"))
            .unwrap();
        let pw = b
            .push_named(Conv::same(6, 1, 1).grouped(2), &[dw], || name("b.pw"))
            .unwrap();
        let dead = b
            .push_named(BatchNorm::default(), &[pw], || name("b.dead"))
            .unwrap();
        let _ = b
            .push_named(Act::Prelu, &[dead], || name("b.dead2"))
            .unwrap();
        let kind = PoolKind::Avg;
        let pool = b
            .push_named(GlobalPool { kind }, &[pw], || name("c"))
            .unwrap();
        let flat = b.push_named(Flatten, &[pool], || name("d")).unwrap();
        let linear = Linear {
            out_features: 10,
            bias: true,
        };
        let out = b.push_named(linear, &[flat], || name("e")).unwrap();
        let counts = Counts::of(&b.finish(&[out])).unwrap();
        let t = counts.totals;
        // conv 4*3*9 + 4, bn 8, prelu 4, dw 36, pw 6*2, linear 60 + 10; dead: bn 12, prelu 6
        assert_eq!(t.params_live, 112 + 8 + 4 + 36 + 12 + 70);
        assert_eq!(t.params, t.params_live + 18);
        assert_eq!(t.macs_conv, 108 * 16 + 36 * 16 + 12 * 16);
        assert_eq!((t.macs_linear, t.macs), (60, t.macs_conv + 60));
        assert_eq!(t.conv_out_elems, 64 + 64 + 96);
        // in + out + weights, the bias of the first left out
        let moved = (192 + 64 + 108) + (64 + 64 + 36) + (64 + 96 + 12);
        assert_eq!(t.mem_access_elems, moved);
        assert_eq!((t.n_conv, t.n_conv_depthwise, t.n_conv_grouped), (3, 1, 1));
        assert_eq!(
            (t.n_linear, t.n_batchnorm, t.running_stat_elems),
            (1, 1, 20)
        );
        // the first convolution holds input and output
        assert_eq!(t.peak_activation_elems, 192 + 64);
        assert_eq!(t.visible.receptive_field, [8, 8]);
        assert_eq!(t.visible.sliding_field, [7, 7]); // 3, then 2 * 2 more
        let rows = counts.by_block(1);
        let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["input", "a", "b", "c", "d", "e"]);
        assert_eq!((rows[1].params, rows[2].params), (124, 36 + 12 + 18));
        assert_eq!(rows[2].macs, 48 * 16);
        let shares: f64 = rows.iter().map(|r| r.macs_share).sum();
        assert!((shares - 1.0).abs() < 1e-12);
    }

    #[test]
    fn element_wise_ops_write_over_what_nobody_reads_again() {
        let mut b = GraphBuilder::new(false);
        let x = image(&mut b, 2, 4, 4);
        let act = b.push(Act::Relu, &[x]).unwrap(); // x is read again: a second buffer
        let twice = b.push(Add, &[act, act]).unwrap(); // in place
        let sum = b.push(Add, &[twice, x]).unwrap(); // in place
        let t = Totals::of(&b.finish(&[sum]), &mut Scratch::default()).unwrap();
        assert_eq!(t.peak_activation_elems, 64);
    }

    #[test]
    fn receptive_field_of_known_stacks() {
        // the trunk of ResNet-18 is known to see 435 pixels
        let mut b = GraphBuilder::new(false);
        let x = image(&mut b, 3, 224, 224);
        let mut x = b.push(Conv::same(64, 7, 2), &[x]).unwrap();
        let pool = MaxPool {
            kernel_size: [3; 2],
            stride: [2; 2],
            padding: [1; 2],
            ceil_mode: false,
        };
        x = b.push(pool, &[x]).unwrap();
        for (width, stride) in [
            (64, 1),
            (64, 1),
            (128, 2),
            (128, 1),
            (256, 2),
            (256, 1),
            (512, 2),
            (512, 1),
        ] {
            let a = b.push(Conv::same(width, 3, stride), &[x]).unwrap();
            let a = b.push(Conv::same(width, 3, 1), &[a]).unwrap();
            let skip = b.push(Conv::same(width, 1, stride), &[x]).unwrap();
            x = b.push(Add, &[a, skip]).unwrap();
        }
        let x = b.push(Shuffle { groups: 2 }, &[x]).unwrap();
        let t = Totals::of(&b.finish(&[x]), &mut Scratch::default()).unwrap();
        assert_eq!(t.visible.sliding_field, [435, 435]);
        assert_eq!(t.visible.receptive_field, [224, 224]);
    }

    #[test]
    fn too_much_work_names_its_node() {
        let mut b = GraphBuilder::new(true);
        let mut x = image(&mut b, 1 << 20, 1 << 10, 1 << 10);
        let conv = Conv::same(1 << 20, 1, 1);
        for i in 0..20 {
            x = b.push_named(conv, &[x], || format!("conv{i}")).unwrap();
        }
        // 2^60 a layer: the sixteenth passes 2^64
        let err = Totals::of(&b.finish(&[x]), &mut Scratch::default()).unwrap_err();
        assert_eq!((err.node().0, err.kind), (16, CostErrorKind::Macs));
        assert_eq!(
            err.to_string(),
            "node %16 (conv15): multiply-accumulates exceed 2^64"
        );
    }
}
