//! Initial weights, from streams of our own: the same with and without libtorch, and on any number of threads.

use super::values::Values;
use crate::base::rng;
use crate::ir::params::{Param, Role};
use crate::ir::{Graph, Op, ops::Act};
use rand_distr::{Distribution, StandardNormal};

/// The value of one parameter before anything was learnt.
///
/// Convolution: Kaiming normal for rectified units, fan-out, so the standard deviation is
/// `sqrt(2 groups / (out_channels kh kw))`. Linear: normal of standard deviation 0.01. Batch norm: scale 1, shift 0,
/// mean 0, variance 1. PReLU: 0.25. Factors of an L2 norm: 1. Filter along the channels: normal of standard
/// deviation `sqrt(1 / kernel_size)`. Index of a gather: channels in their order, from the first again where there are no
/// more. Biases: 0.
///
/// Normal draws come from the stream of (seed, parameter name), so they depend on nothing else in the net.
pub fn initial(graph: &Graph, param: &Param, seed: u64) -> Values {
    let elems = param.elems();
    let constant = |value: f32| Values::Real((0..elems).map(|_| value).collect());
    let sd = match (param.role, graph.node(param.node).op) {
        (Role::Weight, Op::Conv(k)) => {
            let fan_out = f64::from(k.out_channels) / f64::from(k.groups)
                * f64::from(k.kernel_size[0])
                * f64::from(k.kernel_size[1]);
            (2.0 / fan_out).sqrt()
        }
        (Role::Weight, Op::Linear(_)) => 0.01,
        (Role::Weight, Op::ChannelConv(k)) => (1.0 / f64::from(k.kernel_size)).sqrt(),
        (Role::Index, _) => {
            let input = graph.inputs(param.node).first();
            let channels = input.map_or(1, |x| graph.shape(*x).channels());
            let at = |k: u64| (k % u64::from(channels.max(1))) as i64;
            return Values::Index((0..elems).map(at).collect());
        }
        (Role::Weight, Op::Act(Act::Prelu)) => return constant(0.25),
        (Role::Weight | Role::RunningVar, _) => return constant(1.0),
        (Role::Bias | Role::RunningMean, _) => return constant(0.0),
    };
    let mut rng = rng::stream(seed, &format!("init {}", param.name), 0);
    let draw = |_| {
        let draw: f64 = StandardNormal.sample(&mut rng);
        (sd * draw) as f32
    };
    Values::Real((0..elems).map(draw).collect())
}
