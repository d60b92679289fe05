//! The deployed form of a net: batch norms folded into the convolution or linear layer before them, dead nodes dropped.

use super::error::TorchError;
use super::net::Net;
use crate::weights::{Norm, Recipe, fold};
use tch::{Kind, Tensor};

impl Net {
    /// The same function with fewer steps, for timing and deployment: [`fold`]ed, and feature maps and filters laid out
    /// channels-last, which is what libtorch's CPU convolutions work in.
    ///
    /// With scale `s = weight / sqrt(running_var + eps)`, filters become `s w` and the bias `s (b - running_mean) + bias`,
    /// worked out in double precision. Outputs differ by rounding only.
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
        let folded = fold(self.graph());
        let tensors = folded.recipes.iter().map(|recipe| self.cook(recipe));
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        let params = folded.parameters();
        Net::assemble(folded.graph, params, tensors, self.device(), channels_last)
    }

    /// A parameter of the folded net. Recipes name parameters of this one, so they are there.
    fn cook(&self, recipe: &Recipe) -> Result<Tensor, TorchError> {
        let double = |at: usize| self.tensors[at].f_to_kind(Kind::Double);
        let scale = |norm: Norm| -> Result<Tensor, TorchError> {
            let spread = double(norm.first + 3)?.f_add_scalar(norm.eps)?.f_sqrt()?;
            Ok(double(norm.first)?.f_div(&spread)?)
        };
        Ok(match *recipe {
            Recipe::Keep(at) => self.tensors[at].shallow_clone(),
            Recipe::Weight { weight, norm } => {
                let weight = double(weight)?;
                let mut ones = vec![1; weight.dim()];
                ones[0] = -1;
                let scaled = weight.f_mul(&scale(norm)?.f_reshape(ones)?)?;
                scaled.f_to_kind(Kind::Float)?
            }
            Recipe::Bias { bias, norm } => {
                let mean = double(norm.first + 2)?;
                let shift = match bias {
                    Some(bias) => double(bias)?.f_sub(&mean)?,
                    None => mean.f_neg()?,
                };
                let bias = shift
                    .f_mul(&scale(norm)?)?
                    .f_add(&double(norm.first + 1)?)?;
                bias.f_to_kind(Kind::Float)?
            }
        })
    }
}
