//! Initial weights, from streams of our own: libtorch's global generator is shared by all threads.

use super::error::{TorchError, TorchErrorKind};
use crate::base::rng;
use crate::ir::params::{Param, Role};
use crate::ir::{Graph, Op, ops::Act};
use rand_distr::{Distribution, StandardNormal};
use tch::{Kind, Tensor};

/// A runnable net may not have more parameters than this (8 GiB of them).
pub(super) const MAX_PARAMS: u64 = 1 << 31;

/// The value of one parameter before anything was learnt.
///
/// Convolution: Kaiming normal for rectified units, fan-out, so the standard deviation is
/// `sqrt(2 groups / (out_channels kh kw))`. Linear: normal of standard deviation 0.01. Batch norm: scale 1, shift 0,
/// mean 0, variance 1. PReLU: 0.25. Factors of an L2 norm: 1. Filter along the channels: normal of standard
/// deviation `sqrt(1 / kernel_size)`. Index of a gather: channels in their order, from the first again where there are no
/// more. Biases: 0.
///
/// Normal draws come from the stream of (seed, parameter name), so they depend on nothing else in the net.
pub(super) fn initial(graph: &Graph, param: &Param, seed: u64) -> Result<Tensor, TorchError> {
    let sd = match (param.role, graph.node(param.node).op) {
        (Role::Weight, Op::Conv(k)) => {
            let fan_out = f64::from(k.out_channels) / f64::from(k.groups)
                * f64::from(k.kernel_size[0])
                * f64::from(k.kernel_size[1]);
            (2.0 / fan_out).sqrt()
        }
        (Role::Weight, Op::Linear(_)) => 0.01,
        (Role::Weight, Op::ChannelConv(k)) => (1.0 / f64::from(k.kernel_size)).sqrt(),
        (Role::Index, _) => return identity(graph, param),
        (Role::Weight, Op::Act(Act::Prelu)) => return constant(param, 0.25),
        (Role::Weight | Role::RunningVar, _) => return constant(param, 1.0),
        (Role::Bias | Role::RunningMean, _) => return constant(param, 0.0),
    };
    let elems = usize::try_from(param.elems()).map_err(|_| TorchErrorKind::TooLarge {
        params: param.elems(),
        limit: MAX_PARAMS,
    })?;
    let mut rng = rng::stream(seed, &format!("init {}", param.name), 0);
    let values: Vec<f32> = (0..elems)
        .map(|_| {
            let draw: f64 = StandardNormal.sample(&mut rng);
            (sd * draw) as f32
        })
        .collect();
    Ok(Tensor::f_from_slice(&values)?.f_reshape(sizes(param))?)
}

fn identity(graph: &Graph, param: &Param) -> Result<Tensor, TorchError> {
    let input = graph.inputs(param.node).first();
    let channels = input.map_or(1, |x| graph.shape(*x).channels());
    let index: Vec<i64> = (0..param.elems())
        .map(|k| (k % u64::from(channels.max(1))) as i64)
        .collect();
    Ok(Tensor::f_from_slice(&index)?)
}

fn constant(param: &Param, value: f64) -> Result<Tensor, TorchError> {
    Ok(Tensor::f_full(
        sizes(param),
        value,
        (Kind::Float, tch::Device::Cpu),
    )?)
}

pub(super) fn sizes(param: &Param) -> Vec<i64> {
    param.shape.iter().copied().map(i64::from).collect()
}
