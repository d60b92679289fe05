//! Fully connected layers and what leads to them.

use crate::ir::shape::{MAX_WEIGHTS, Shape, ShapeError};

/// Fully connected layer, PyTorch's `Linear`: `[n] -> [out_features]`, weight `[out_features, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Output length.
    pub out_features: u32,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Linear {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        match input {
            Shape::Flat { .. } if self.out_features == 0 => Err(ShapeError::Zero {
                op: "linear",
                what: "out_features",
            }),
            Shape::Flat { .. } if self.macs(input) > MAX_WEIGHTS => {
                Err(ShapeError::TooManyWeights { op: "linear" })
            }
            Shape::Flat { .. } => Ok(Shape::Flat {
                n: self.out_features,
            }),
            Shape::Map { .. } => Err(ShapeError::NeedsFlat {
                op: "linear",
                got: input,
            }),
        }
    }

    pub(super) fn params(&self, input: Shape) -> u64 {
        let out = u64::from(self.out_features);
        input
            .elems()
            .saturating_mul(out)
            .saturating_add(if self.bias { out } else { 0 })
    }

    pub(super) fn macs(&self, input: Shape) -> u64 {
        input.elems().saturating_mul(u64::from(self.out_features))
    }
}

/// A map as a vector in channel, row, column order: `[c, h, w] -> [c h w]`. Moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flatten;

impl Flatten {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        match u32::try_from(input.elems()) {
            Ok(n) => Ok(Shape::Flat { n }),
            Err(_) => Err(ShapeError::TooLarge { shape: input }),
        }
    }
}
