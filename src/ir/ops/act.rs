//! Element-wise activations.

use super::norm::{Real, in_range};
use crate::ir::shape::{Shape, ShapeError};

/// Activations, named as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where positive, `a x` elsewhere; one learnable `a` a channel, parameter `weight`.
    Prelu,
    /// `x sigmoid(x)`.
    Silu,
    /// `x relu6(x + 3) / 6`.
    Hswish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `relu6(x + 3) / 6`.
    Hsigmoid,
    /// `x` where positive, `a x` elsewhere; `a` is fixed.
    LeakyRelu(Real),
    /// `min(max(x, 0), 1)`.
    Clip01,
}

/// The slope of a leaky relu that says none, PyTorch's.
pub const LEAKY_SLOPE: Real = Real(0.01);

impl Act {
    /// All of them, the leaky one with its usual slope.
    pub const ALL: [Act; 9] = [
        Act::Relu,
        Act::Relu6,
        Act::Prelu,
        Act::Silu,
        Act::Hswish,
        Act::Sigmoid,
        Act::Hsigmoid,
        Act::LeakyRelu(LEAKY_SLOPE),
        Act::Clip01,
    ];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Act::Relu => "relu",
            Act::Relu6 => "relu6",
            Act::Prelu => "prelu",
            Act::Silu => "silu",
            Act::Hswish => "hswish",
            Act::Sigmoid => "sigmoid",
            Act::Hsigmoid => "hsigmoid",
            Act::LeakyRelu(_) => "leaky_relu",
            Act::Clip01 => "clip01",
        }
    }

    /// The activation of that name.
    pub fn from_name(name: &str) -> Option<Act> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        if let Act::LeakyRelu(slope) = self {
            in_range("leaky_relu", "negative_slope", slope.0, 1)?;
        }
        Ok(input)
    }

    pub(super) fn tag(self) -> u64 {
        match self {
            Act::Relu => 0,
            Act::Relu6 => 1,
            Act::Prelu => 2,
            Act::Silu => 3,
            Act::Hswish => 4,
            Act::Sigmoid => 5,
            Act::Hsigmoid => 6,
            Act::LeakyRelu(_) => 7,
            Act::Clip01 => 8,
        }
    }
}
