//! Batch normalisation and dropout.

use crate::ir::shape::{Shape, ShapeError};
use std::ops::RangeInclusive;

/// A real parameter that compares and hashes by its bits.
#[derive(Clone, Copy, Debug)]
pub struct Real(pub f64);

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Real {}

impl std::hash::Hash for Real {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// Batch normalisation over the channels, with scale and shift, PyTorch's `BatchNorm2d` (`BatchNorm1d` on vectors).
///
/// Parameters `weight, bias`, running statistics `running_mean, running_var`, each `[c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: Real,
}

impl BatchNorm {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        in_range("batch_norm", "eps", self.eps.0, 0.0..=1.0).and(Ok(input))
    }
}

impl Dropout {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        in_range("dropout", "p", self.p.0, 0.0..=1.0).and(Ok(input))
    }
}

fn in_range(
    op: &'static str,
    what: &'static str,
    value: f64,
    range: RangeInclusive<f64>,
) -> Result<(), ShapeError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ShapeError::OutOfRange {
        op,
        what,
        value: Real(value),
    })
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { eps: Real(1e-5) }
    }
}

/// Dropout: drops elements in training, nothing at inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dropout {
    /// Share of elements dropped in training.
    pub p: Real,
}
