//! Forms in which a net is deployed beside the folded one: other number formats, other layouts, TorchScript.

use super::error::{TorchError, TorchErrorKind};
use super::net::Net;
use crate::ir::params::Role;
use tch::{CModule, IValue, Kind, Tensor};

impl Net {
    /// The same net with feature maps and filters channels-last or channels-first.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn laid_out(&self, channels_last: bool) -> Result<Net, TorchError> {
        let _guard = tch::no_grad_guard();
        let same = self.tensors.iter().map(Tensor::shallow_clone).collect();
        let graph = self.graph().clone();
        let mut net = Net::assemble(
            graph,
            self.params.clone(),
            same,
            self.device(),
            channels_last,
        )?;
        if !channels_last {
            for tensor in &mut net.tensors {
                *tensor = tensor.f_contiguous()?;
            }
        }
        net.kind = self.kind;
        Ok(net)
    }

    /// The same net with weights and values of another floating-point kind. Inputs of other kinds are converted.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn to_kind(mut self, kind: Kind) -> Result<Net, TorchError> {
        let _guard = tch::no_grad_guard();
        for (param, tensor) in self.params.iter().zip(&mut self.tensors) {
            if param.role != Role::Index {
                *tensor = tensor.f_to_kind(kind)?;
            }
        }
        self.kind = kind;
        Ok(self)
    }

    /// The net as TorchScript, traced on `inputs` (as [`prepare`](Self::prepare) gives them), weights as constants. It takes
    /// inputs of that shape, kind and layout only.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn frozen(self, inputs: &[Tensor]) -> Result<Frozen, TorchError> {
        let inputs: Vec<Tensor> = inputs.iter().map(Tensor::shallow_clone).collect();
        // a trace that fails leaves the tracer of its thread in use: that thread must be one that ends
        let traced = std::thread::spawn(move || {
            let _guard = tch::no_grad_guard();
            let mut failed = None;
            let mut forward = |xs: &[Tensor]| match self.forward(xs) {
                Ok(outputs) => outputs,
                Err(error) => {
                    failed = Some(error);
                    Vec::new()
                }
            };
            let traced = CModule::create_by_tracing("net", "forward", &inputs, &mut forward);
            match failed {
                Some(error) => Err(error),
                None => Ok(traced?),
            }
        });
        let module = match traced.join() {
            Ok(module) => module?,
            Err(_) => {
                let text = "the trace broke off".to_owned();
                return Err(TorchErrorKind::Libtorch(text).into());
            }
        };
        Ok(Frozen { module })
    }
}

/// A net as TorchScript.
#[derive(Debug)]
pub struct Frozen {
    module: CModule,
}

impl Frozen {
    /// Runs it.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let _guard = tch::no_grad_guard();
        let inputs = inputs.iter().map(|x| IValue::Tensor(x.shallow_clone()));
        let output = self.module.forward_is(&inputs.collect::<Vec<_>>())?;
        let mut tensors = Vec::new();
        collect(output, &mut tensors);
        Ok(tensors)
    }
}

fn collect(value: IValue, tensors: &mut Vec<Tensor>) {
    match value {
        IValue::Tensor(tensor) => tensors.push(tensor),
        IValue::TensorList(list) => tensors.extend(list),
        IValue::Tuple(values) | IValue::GenericList(values) => {
            for value in values {
                collect(value, tensors);
            }
        }
        _ => {}
    }
}
