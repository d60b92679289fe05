//! What a net runs, step by step: live nodes only, with the moment at which each value is no longer needed.

use super::error::{TorchError, TorchErrorKind};
use super::fused::Joined;
use crate::ir::ops::{Act, ChannelConv, Conv, LocalResponseNorm, PoolKind, Real, UpsampleMode};
use crate::ir::params::Param;
use crate::ir::{Graph, Op, ValueId};
use std::ops::Range;
use tch::Tensor;

/// One node to run.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) node: ValueId,
    /// Its parameters, in the list of [`Graph::parameters`].
    pub(super) params: Range<usize>,
    /// Values that nobody reads after it.
    frees: Vec<ValueId>,
    /// Whether the first input may be overwritten: nobody else reads it and it is no view of another value.
    in_place: bool,
    /// Whether it is a convolution with a window that lies on padding alone.
    ///
    /// libtorch 2.11 runs channels-last maps on oneDNN's `brgemm_convolution_fwd`, whose `perform_outwork` reads address 0
    /// for some of them (18 to 3 channels in 3 groups on 12 x 1, kernel 1, stride 2, padding 2 x 3, with a bias).
    pub(super) leaves_map: bool,
}

/// The steps of a graph.
#[derive(Debug)]
pub(super) struct Plan {
    steps: Vec<Step>,
}

impl Plan {
    pub(super) fn new(graph: &Graph, params: &[Param]) -> Self {
        let live = graph.live();
        let is_live = |id: &ValueId| live[id.index()];
        let mut uses = vec![0usize; graph.nodes().len()];
        let mut last_use: Vec<Option<ValueId>> = vec![None; graph.nodes().len()];
        for id in graph.ids().filter(is_live) {
            for input in graph.inputs(id) {
                uses[input.index()] += 1;
                last_use[input.index()] = Some(id);
            }
        }
        for output in graph.outputs() {
            uses[output.index()] += 1;
            last_use[output.index()] = None;
        }
        let mut next = 0;
        let mut steps = Vec::new();
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(graph.nodes().len());
        for id in graph.ids() {
            let owned = params[next..].iter().take_while(|p| p.node == id).count();
            ranges.push(next..next + owned);
            next += owned;
            if !is_live(&id) {
                continue;
            }
            let range = ranges[graph.owner(id).index()].clone();
            let inputs = graph.inputs(id);
            let mut frees: Vec<ValueId> = inputs
                .iter()
                .copied()
                .filter(|input| last_use[input.index()] == Some(id))
                .collect();
            frees.sort_unstable();
            frees.dedup();
            let in_place = inputs.first().is_some_and(|first| {
                uses[first.index()] == 1
                    && is_fresh(graph, *first)
                    && graph.shape(*first) == graph.shape(id)
            });
            steps.push(Step {
                node: id,
                params: range,
                frees,
                in_place,
                leaves_map: match (graph.node(id).op, inputs.first()) {
                    (Op::Conv(conv), Some(x)) => leaves_map(&conv, graph.shape(*x).hw()),
                    _ => false,
                },
            });
        }
        Self { steps }
    }

    /// The steps in order.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Runs all steps, those that are `joined` as they are. `inputs` fit the graph, as the net has checked.
    pub(super) fn run(
        &self,
        graph: &Graph,
        params: &[Tensor],
        inputs: &[Tensor],
        joined: Option<&Joined>,
    ) -> Result<Vec<Tensor>, TorchError> {
        let mut values: Vec<Option<Tensor>> = Vec::new();
        values.resize_with(graph.nodes().len(), || None);
        for step in &self.steps {
            let own = &params[step.params.clone()];
            step.advance(graph, own, inputs, &mut values, joined)?;
        }
        // every output is live and is freed by nobody, so it is there
        let outputs = graph.outputs().iter();
        Ok(outputs
            .filter_map(|id| values[id.index()].as_ref().map(Tensor::shallow_clone))
            .collect())
    }
}

/// True where the op writes memory of its own: not an input of the net, not a view.
fn is_fresh(graph: &Graph, id: ValueId) -> bool {
    match graph.node(id).op {
        Op::Input { .. } | Op::Slice(_) | Op::Transpose(_) | Op::Flatten(_) | Op::Dropout(_) => {
            false
        }
        Op::Concat(_) => graph.inputs(id).len() > 1,
        Op::Shuffle(s) => s.groups > 1,
        Op::Upsample(up) => {
            let before = graph.inputs(id).first().map(|x| graph.shape(*x).hw());
            before != Some((up.size[0], up.size[1]))
        }
        Op::Conv(_)
        | Op::BatchNorm(_)
        | Op::LocalResponseNorm(_)
        | Op::L2Norm(_)
        | Op::Act(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::AdaptiveAvgPool(_)
        | Op::GlobalPool(_)
        | Op::Pad(_)
        | Op::Gather(_)
        | Op::ChannelConv(_)
        | Op::Linear(_)
        | Op::Add(_)
        | Op::Mul(_)
        | Op::Zero => true,
    }
}

fn wide(pair: [u32; 2]) -> [i64; 2] {
    pair.map(i64::from)
}

/// Whether some window of the convolution lies on padding alone, on a map of these rows and columns.
fn leaves_map(conv: &Conv, (rows, columns): (u32, u32)) -> bool {
    let axis = |i: usize, size: u32| {
        let pairs = [conv.kernel_size, conv.stride, conv.padding, conv.dilation];
        let [kernel, stride, padding, dilation] = pairs.map(|pair| i64::from(pair[i]));
        let size = i64::from(size);
        let last = size + padding - dilation * (kernel - 1) - 1;
        let mut starts = (-padding..=last).step_by(stride.max(1) as usize);
        let on_map = |at: i64| (0..size).contains(&at);
        starts.any(|start| !(0..kernel).any(|tap| on_map(start + tap * dilation)))
    };
    axis(0, rows) || axis(1, columns)
}

impl Step {
    /// Runs it, as it is `joined` where it is, and frees what nobody reads after it.
    pub(super) fn advance(
        &self,
        graph: &Graph,
        params: &[Tensor],
        net_inputs: &[Tensor],
        values: &mut [Option<Tensor>],
        joined: Option<&Joined>,
    ) -> Result<(), TorchError> {
        let out = joined
            .and_then(|joined| joined.run(graph, self, values))
            .unwrap_or_else(|| self.run(graph, params, net_inputs, values))
            .map_err(|error| match graph.name(self.node) {
                "" => error,
                name => error.at(name),
            })?;
        for id in &self.frees {
            values[id.index()] = None;
        }
        values[self.node.index()] = Some(out);
        Ok(())
    }

    /// What it gives. Acts and sums may take their first value and write over it.
    pub(super) fn run(
        &self,
        graph: &Graph,
        params: &[Tensor],
        net_inputs: &[Tensor],
        values: &mut [Option<Tensor>],
    ) -> Result<Tensor, TorchError> {
        let ids = graph.inputs(self.node);
        let op = graph.node(self.node).op;
        if let Op::Input { index, .. } = op {
            let given = net_inputs.get(index as usize).map(Tensor::shallow_clone);
            return given.ok_or_else(|| {
                let expected = index as usize + 1;
                let got = net_inputs.len();
                TorchErrorKind::InputCount { expected, got }.into()
            });
        }
        let overwrites = self.in_place && matches!(op, Op::Act(_) | Op::Add(_));
        if overwrites && let Some(mut x) = values[ids[0].index()].take() {
            if let Op::Act(act) = op {
                return act_in_place(act, x, params);
            }
            for other in ids[1..].iter().filter_map(|id| values[id.index()].as_ref()) {
                x = x.f_add_(&spread(other, x.dim() == 4)?)?;
            }
            return Ok(x);
        }
        // inputs stand before their node, are live with it, and are freed after their last reader
        let xs: Vec<&Tensor> = ids
            .iter()
            .filter_map(|id| values[id.index()].as_ref())
            .collect();
        let x = xs[0];
        Ok(match op {
            Op::Input { .. } => x.shallow_clone(),
            Op::Conv(k) => {
                let [rows, columns] = wide(k.padding);
                let padded = match self.leaves_map {
                    true => Some(x.f_constant_pad_nd([columns, columns, rows, rows])?),
                    false => None,
                };
                let (x, padding) = match &padded {
                    Some(padded) => (padded, [0, 0]),
                    None => (x, [rows, columns]),
                };
                x.f_conv2d(
                    &params[0],
                    params.get(1),
                    wide(k.stride),
                    padding,
                    wide(k.dilation),
                    i64::from(k.groups),
                )?
            }
            Op::BatchNorm(bn) => x.f_batch_norm(
                Some(&params[0]),
                Some(&params[1]),
                Some(&params[2]),
                Some(&params[3]),
                false,
                0.0,
                bn.eps.0,
                true,
            )?,
            Op::LocalResponseNorm(norm) => local_response_norm(norm, x)?,
            Op::L2Norm(norm) => {
                let length = x
                    .f_square()?
                    .f_sum_dim_intlist([1].as_slice(), true, None)?;
                let unit = x.f_div(&length.f_sqrt()?.f_clamp_min(norm.eps.0)?)?;
                unit.f_mul(&params[0].f_reshape([1, -1, 1, 1])?)?
            }
            Op::Act(Act::LeakyRelu(slope)) => leaky_relu(x, slope)?,
            Op::Act(Act::Prelu) => x.f_prelu(&params[0])?,
            Op::Act(Act::Relu) => x.f_relu()?,
            Op::Act(Act::Relu6) => x.f_relu6()?,
            Op::Act(Act::Silu) => x.f_silu()?,
            Op::Act(Act::Hswish) => x.f_hardswish()?,
            Op::Act(Act::Sigmoid) => x.f_sigmoid()?,
            Op::Act(Act::Hsigmoid) => x.f_hardsigmoid()?,
            Op::Act(Act::Clip01) => x.f_clamp(0.0, 1.0)?,
            Op::MaxPool(p) => x.f_max_pool2d(
                wide(p.kernel_size),
                wide(p.stride),
                wide(p.padding),
                [1, 1],
                p.ceil_mode,
            )?,
            Op::AvgPool(p) => x.f_avg_pool2d(
                wide(p.kernel_size),
                wide(p.stride),
                wide(p.padding),
                p.ceil_mode,
                p.count_include_pad,
                None,
            )?,
            Op::AdaptiveAvgPool(p) => x.f_adaptive_avg_pool2d(wide(p.size))?,
            Op::GlobalPool(p) => match p.kind {
                PoolKind::Avg => x.f_adaptive_avg_pool2d([1, 1])?,
                PoolKind::Max => x.f_amax([2, 3].as_slice(), true)?,
            },
            Op::Upsample(up) => match up.mode {
                UpsampleMode::Nearest => x.f_upsample_nearest2d(wide(up.size), None, None)?,
                UpsampleMode::Bilinear => {
                    x.f_upsample_bilinear2d(wide(up.size), false, None, None)?
                }
                UpsampleMode::BilinearCorners => {
                    x.f_upsample_bilinear2d(wide(up.size), true, None, None)?
                }
            },
            Op::Linear(_) => x.f_linear(&params[0], params.get(1))?,
            Op::Add(_) => fold(&xs, Tensor::f_add)?,
            Op::Mul(_) => fold(&xs, Tensor::f_mul)?,
            Op::Concat(_) if xs.len() == 1 => x.shallow_clone(),
            Op::Concat(_) => Tensor::f_cat(&xs, 1)?,
            Op::Slice(s) => x.f_narrow(1, i64::from(s.begin), i64::from(s.end - s.begin))?,
            Op::Shuffle(s) if s.groups == 1 => x.shallow_clone(),
            Op::Shuffle(s) => x.f_channel_shuffle(i64::from(s.groups))?,
            Op::Transpose(_) => x.f_transpose(1, 2)?,
            Op::Gather(_) => x.f_index_select(1, &params[0])?,
            Op::ChannelConv(conv) => channel_conv(conv, x, &params[0])?,
            Op::Pad(p) => {
                // the last axis comes first
                let sides = [p.columns, p.rows, p.channels].map(wide);
                x.f_constant_pad_nd(sides.concat())?
            }
            Op::Flatten(_) => x.f_flatten(1, -1)?,
            Op::Dropout(_) => x.shallow_clone(),
            Op::Zero => x.f_zeros_like()?,
        })
    }
}

/// The activation over its own input, where libtorch has such a form.
pub(super) fn act_in_place(
    act: Act,
    mut x: Tensor,
    params: &[Tensor],
) -> Result<Tensor, TorchError> {
    Ok(match act {
        Act::Relu => x.f_relu_()?,
        Act::Relu6 => x.f_relu6_()?,
        Act::Silu => x.f_silu_()?,
        Act::Hswish => x.f_hardswish_()?,
        Act::Sigmoid => x.f_sigmoid_()?,
        Act::Hsigmoid => x.f_hardsigmoid_()?,
        Act::Clip01 => x.f_clamp_(0.0, 1.0)?,
        Act::Prelu => x.f_prelu(&params[0])?,
        Act::LeakyRelu(slope) => leaky_relu(&x, slope)?,
    })
}

/// tch's leaky relu has the slope of 0.01 alone. With a slope of 0 to 1 it is the larger of two.
fn leaky_relu(x: &Tensor, slope: Real) -> Result<Tensor, TorchError> {
    Ok(x.f_maximum(&x.f_mul_scalar(slope.0)?)?)
}

/// As PyTorch's functional form: the mean of squares over a window that slides along the channels.
fn local_response_norm(norm: LocalResponseNorm, x: &Tensor) -> Result<Tensor, TorchError> {
    let size = i64::from(norm.size);
    let squares = x.f_square()?.f_unsqueeze(1)?;
    let around = squares.f_constant_pad_nd([0, 0, 0, 0, size / 2, (size - 1) / 2])?;
    let mean = around.f_avg_pool3d([size, 1, 1], [1, 1, 1], [0, 0, 0], false, true, None)?;
    let base = mean.f_squeeze_dim(1)?.f_mul_scalar(norm.alpha.0)?;
    Ok(x.f_div(
        &base
            .f_add_scalar(norm.k.0)?
            .f_pow_tensor_scalar(norm.beta.0)?,
    )?)
}

/// Each pixel is a sequence of its channels.
fn channel_conv(conv: ChannelConv, x: &Tensor, weight: &Tensor) -> Result<Tensor, TorchError> {
    let pixels = x.f_permute([0, 2, 3, 1])?;
    let size = pixels.size();
    let rows = pixels.f_reshape([-1, 1, size[3]])?;
    let rows = rows.f_constant_pad_nd(wide(conv.reach()))?;
    let none: Option<Tensor> = None;
    let rows = rows.f_conv1d(weight, none, [1], [0], [1], 1)?;
    Ok(rows.f_reshape(size)?.f_permute([0, 3, 1, 2])?)
}

fn fold(
    xs: &[&Tensor],
    join: impl Fn(&Tensor, &Tensor) -> Result<Tensor, tch::TchError>,
) -> Result<Tensor, TorchError> {
    let map = xs.iter().any(|x| x.dim() == 4);
    // shape inference asks for two inputs or more
    let mut sum = join(&spread(xs[0], map)?, &spread(xs[1], map)?)?;
    for x in &xs[2..] {
        sum = join(&sum, &spread(x, map)?)?;
    }
    Ok(sum)
}

/// A vector beside a map: one value a channel.
fn spread(x: &Tensor, map: bool) -> Result<Tensor, tch::TchError> {
    match map && x.dim() == 2 {
        true => x.f_unsqueeze(-1)?.f_unsqueeze(-1),
        false => Ok(x.shallow_clone()),
    }
}
