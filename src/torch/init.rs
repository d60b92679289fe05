//! Initial weights as tensors. They come from streams of our own: libtorch's global generator is shared by all threads.

use super::error::TorchError;
use crate::ir::Graph;
use crate::ir::params::Param;
use crate::weights::{Values, initial as values};
use tch::Tensor;

pub(super) use crate::weights::MAX_PARAMS;

/// The value of one parameter before anything was learnt, as [`crate::weights::initial`] gives it.
pub(super) fn initial(graph: &Graph, param: &Param, seed: u64) -> Result<Tensor, TorchError> {
    Ok(match values(graph, param, seed) {
        Values::Real(values) => Tensor::f_from_slice(&values)?.f_reshape(sizes(param))?,
        Values::Index(values) => Tensor::f_from_slice(&values)?,
    })
}

pub(super) fn sizes(param: &Param) -> Vec<i64> {
    param.shape.iter().copied().map(i64::from).collect()
}
