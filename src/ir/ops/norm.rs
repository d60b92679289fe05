//! Normalisations and dropout.

use crate::ir::shape::{Shape, ShapeError};

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
        in_range("batch_norm", "eps", self.eps.0, 1).and(Ok(input))
    }
}

impl Dropout {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        in_range("dropout", "p", self.p.0, 1).and(Ok(input))
    }
}

/// `Ok` where `value` is a number from 0 to `most`.
pub(super) fn in_range(
    op: &'static str,
    what: &'static str,
    value: f64,
    most: u32,
) -> Result<(), ShapeError> {
    if (0.0..=f64::from(most)).contains(&value) {
        return Ok(());
    }
    Err(ShapeError::OutOfRange {
        op,
        what,
        most,
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

/// Local response normalisation across channels, PyTorch's `LocalResponseNorm`:
/// `y_c = x_c / (k + alpha / size * sum of x_j^2)^beta` over the `size` channels around `c`, of which `size / 2` (rounded
/// down) come before it; channels that are not there are zeros.
///
/// # Source
/// AlexNet, section 3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalResponseNorm {
    /// Channels in the sum.
    pub size: u32,
    /// Weight of the mean of squares.
    pub alpha: Real,
    /// Exponent.
    pub beta: Real,
    /// Added to the weighted mean.
    pub k: Real,
}

impl LocalResponseNorm {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        let op = "local_response_norm";
        if self.size == 0 {
            return Err(ShapeError::Zero { op, what: "size" });
        }
        for (what, value) in [("alpha", self.alpha), ("beta", self.beta), ("k", self.k)] {
            in_range(op, what, value.0, 1000)?;
        }
        match input {
            Shape::Map { .. } => Ok(input),
            Shape::Flat { .. } => Err(ShapeError::NeedsMap { op, got: input }),
        }
    }
}

/// Each pixel's channels scaled to Euclidean length 1, then each channel by a learnable factor:
/// `y_c = weight_c x_c / max(|x|, eps)`. Parameter `weight`, `[c]`.
///
/// # Source
/// ParseNet, arXiv 1506.04579, section 3.3; SSD uses it on its first map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct L2Norm {
    /// The least length that is divided by.
    pub eps: Real,
}

impl L2Norm {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        in_range("l2_norm", "eps", self.eps.0, 1)?;
        match input {
            Shape::Map { .. } => Ok(input),
            Shape::Flat { .. } => Err(ShapeError::NeedsMap {
                op: "l2_norm",
                got: input,
            }),
        }
    }
}

impl Default for L2Norm {
    fn default() -> Self {
        Self { eps: Real(1e-12) }
    }
}
