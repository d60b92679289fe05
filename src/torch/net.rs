//! A graph with weights, ready to run.

use super::error::{TorchError, TorchErrorKind};
use super::fused::Joined;
use super::init::{MAX_PARAMS, initial, sizes};
use super::plan::Plan;
use crate::ir::params::{Param, Role};
use crate::ir::{Graph, Shape};
use rayon::prelude::*;
use std::collections::HashSet;
use tch::{Device, Kind, Tensor};

/// A runnable net in eval mode, fp32 unless [told otherwise](Net::to_kind). It never records gradients.
///
/// ```no_run
/// use blocksmith::ir::{GraphBuilder, Op, Shape, ops::Conv};
/// use blocksmith::torch::{Device, Net, Tensor};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(true);
/// let shape = Shape::Map { c: 3, h: 8, w: 8 };
/// let x = b.push(Op::Input { index: 0, shape }, &[])?;
/// let y = b.push_named(Conv::same(4, 3, 2), &[x], || "stem".to_owned())?;
/// let net = Net::build(&b.finish(&[y]), Device::Cpu, 1)?;
/// assert_eq!(net.parameters()[0].name, "stem.weight");
/// let image = Tensor::f_zeros([1, 3, 8, 8], (tch::Kind::Float, Device::Cpu))?;
/// assert_eq!(net.forward(&[image])?[0].size(), [1, 4, 4, 4]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Net {
    pub(super) graph: Graph,
    pub(super) params: Vec<Param>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) channels_last: bool,
    pub(super) kind: Kind,
    pub(super) plan: Plan,
    device: Device,
}

impl Net {
    /// A net with initial weights drawn from `seed`.
    ///
    /// Same seed, same weights, on any thread count and device: each parameter has a stream of its own, keyed by seed
    /// and name. Convolutions: Kaiming normal, fan-out per group; linear layers: normal, standard deviation 0.01;
    /// batch norm: 1, 0, 0, 1; PReLU: 0.25; biases: 0.
    ///
    /// # Errors
    /// Where two parameters share a name, there are more than 2^31 of them, or the device cannot hold them.
    pub fn build(graph: &Graph, device: Device, seed: u64) -> Result<Net, TorchError> {
        let params = graph.parameters();
        check(&params)?;
        let tensors = params
            .par_iter()
            .map(|param| initial(graph, param, seed))
            .collect::<Result<Vec<_>, _>>()?;
        Net::assemble(graph.clone(), params, tensors, device, false)
    }

    /// `tensors` in the order and shapes of `params`.
    pub(super) fn assemble(
        graph: Graph,
        params: Vec<Param>,
        tensors: Vec<Tensor>,
        device: Device,
        channels_last: bool,
    ) -> Result<Net, TorchError> {
        let _guard = tch::no_grad_guard();
        let tensors = tensors
            .iter()
            .map(|t| match channels_last && t.dim() == 4 {
                true => nhwc(&t.f_to_device(device)?),
                false => Ok(t.f_to_device(device)?),
            })
            .collect::<Result<Vec<_>, TorchError>>()?;
        Ok(Net {
            plan: Plan::new(&graph, &params),
            graph,
            params,
            tensors,
            channels_last,
            kind: Kind::Float,
            device,
        })
    }

    /// The parameters in execution order, running statistics and the parameters of dead nodes included.
    pub fn parameters(&self) -> &[Param] {
        &self.params
    }

    /// Learnable scalars as libtorch counts them: the elements of every weight and bias tensor.
    pub fn param_count(&self) -> u64 {
        let learnable = self
            .params
            .iter()
            .zip(&self.tensors)
            .filter(|(p, _)| p.role.is_learnable());
        learnable.map(|(_, t)| t.numel() as u64).sum()
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&Tensor> {
        let at = self.params.iter().position(|p| p.name == name)?;
        self.tensors.get(at)
    }

    /// All parameters with their values, in execution order.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let names = self.params.iter().map(|p| p.name.as_str());
        names.zip(&self.tensors)
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The graph that it runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Shapes of one sample of each input, by input number.
    pub fn input_shapes(&self) -> Vec<Shape> {
        self.graph.input_shapes()
    }

    /// Runs the net on a batch and gives its outputs in the order of the document. A value is dropped after its last use.
    ///
    /// # Shapes
    /// Each input `[batch, c, h, w]` (`[batch, n]` for a vector), each output likewise. Inputs of another precision or
    /// on another device are converted.
    ///
    /// # Errors
    /// Where the inputs do not fit, or libtorch refuses (memory, most likely).
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        self.forward_with(inputs, None)
    }

    pub(super) fn forward_with(
        &self,
        inputs: &[Tensor],
        joined: Option<&Joined>,
    ) -> Result<Vec<Tensor>, TorchError> {
        let _guard = tch::no_grad_guard();
        let inputs = self.prepare(inputs)?;
        let plan = &self.plan;
        let outputs = plan.run(&self.graph, &self.tensors, &inputs, joined)?;
        match self.channels_last {
            false => Ok(outputs),
            true => outputs.iter().map(|t| Ok(t.f_contiguous()?)).collect(),
        }
    }

    /// Inputs as the net runs on them: on its device, of its kind, in its layout. Ready inputs are left as they are.
    ///
    /// # Errors
    /// Where the inputs do not fit, or libtorch refuses.
    pub fn prepare(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let shapes = self.input_shapes();
        if shapes.len() != inputs.len() {
            return Err(TorchErrorKind::InputCount {
                expected: shapes.len(),
                got: inputs.len(),
            }
            .into());
        }
        let mut batch = None;
        let mut ready = Vec::with_capacity(inputs.len());
        for (i, (x, shape)) in inputs.iter().zip(shapes).enumerate() {
            let name = || numbered("input", i);
            let (size, kind) = (x.size(), x.f_kind()?);
            let sample = match shape {
                Shape::Map { c, h, w } => vec![i64::from(c), i64::from(h), i64::from(w)],
                Shape::Flat { n } => vec![i64::from(n)],
            };
            let n = match size.split_first() {
                Some((n, rest)) if *n > 0 && rest == sample => *n,
                _ => {
                    return Err(TorchErrorKind::InputShape {
                        name: name(),
                        expected: shape,
                        got: size,
                    }
                    .into());
                }
            };
            let first = *batch.get_or_insert(n);
            if n != first {
                return Err(TorchErrorKind::Batch {
                    name: name(),
                    expected: first,
                    got: n,
                }
                .into());
            }
            if !is_float(kind) {
                return Err(TorchErrorKind::NotFloat {
                    name: name(),
                    got: format!("{kind:?}"),
                }
                .into());
            }
            let x = x.f_to_device(self.device)?.f_to_kind(self.kind)?;
            ready.push(match self.channels_last && size.len() == 4 {
                true => nhwc(&x)?,
                false => x,
            });
        }
        Ok(ready)
    }

    /// Puts `value` in the place of parameter number `at`; shape and kind fit, as the caller has checked.
    pub(super) fn set(&mut self, at: usize, value: &Tensor) -> Result<(), TorchError> {
        let _guard = tch::no_grad_guard();
        let kind = match self.params[at].role {
            Role::Index => Kind::Int64,
            _ => self.kind,
        };
        let value = value.f_to_kind(kind)?.f_to_device(self.device)?;
        self.tensors[at] = match self.channels_last && value.dim() == 4 {
            true => nhwc(&value)?,
            false => value,
        };
        Ok(())
    }

    /// The shape that parameter number `at` must have.
    pub(super) fn sizes(&self, at: usize) -> Vec<i64> {
        sizes(&self.params[at])
    }
}

fn check(params: &[Param]) -> Result<(), TorchError> {
    let total = params.iter().fold(0u64, |n, p| n.saturating_add(p.elems()));
    if total > MAX_PARAMS {
        return Err(TorchErrorKind::TooLarge {
            params: total,
            limit: MAX_PARAMS,
        }
        .into());
    }
    let mut seen = HashSet::new();
    match params.iter().find(|p| !seen.insert(p.name.as_str())) {
        None => Ok(()),
        Some(twice) => Err(TorchErrorKind::DuplicateName {
            name: twice.name.clone(),
        }
        .into()),
    }
}

/// tch has no argument for memory formats; a copy of the permuted tensor has the strides of channels-last.
pub(super) fn nhwc(x: &Tensor) -> Result<Tensor, TorchError> {
    Ok(x.f_permute([0, 2, 3, 1])?
        .f_contiguous()?
        .f_permute([0, 3, 1, 2])?)
}

pub(super) fn is_float(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16
    )
}

/// `input`, `input1`, `input2`…
pub(super) fn numbered(what: &str, i: usize) -> String {
    match i {
        0 => what.to_owned(),
        _ => format!("{what}{i}"),
    }
}

/// The device that a user's word means: `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// Where the word is none of these, or this machine or build lacks the device.
pub fn parse_device(text: &str) -> Result<Device, TorchError> {
    let refuse = |why| {
        Err(TorchErrorKind::Device {
            name: text.to_owned(),
            why,
        }
        .into())
    };
    let number = match text {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        _ => text
            .strip_prefix("cuda:")
            .and_then(|n| n.parse::<u16>().ok()),
    };
    let Some(number) = number else {
        return refuse("devices are cpu, cuda and cuda:0, cuda:1 and so on");
    };
    if !tch::Cuda::is_available() {
        return refuse("this libtorch sees no CUDA device");
    }
    if i64::from(number) >= tch::Cuda::device_count() {
        return refuse("there are fewer CUDA devices than that");
    }
    Ok(Device::Cuda(usize::from(number)))
}
