//! Shapes of one sample, and what can be wrong with them.

use super::ops::Real;
use std::fmt;

/// The shape of a value for one sample; the batch axis is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A feature map: channels, height, width.
    Map {
        /// Channels.
        c: u32,
        /// Height.
        h: u32,
        /// Width.
        w: u32,
    },
    /// A vector, after flattening.
    Flat {
        /// Length.
        n: u32,
    },
}

/// No value may have more elements than this; a network that needs more is a mistake in its description.
pub const MAX_ELEMS: u64 = 1 << 40;

/// No node may have more weights than this. With it, parameter counts of whole networks fit `u64`.
pub const MAX_WEIGHTS: u64 = 1 << 40;

impl Shape {
    /// Elements of one sample. Never overflows: shapes above [`MAX_ELEMS`] are refused when they are made.
    pub fn elems(self) -> u64 {
        match self {
            Shape::Map { c, h, w } => u64::from(c) * u64::from(h) * u64::from(w),
            Shape::Flat { n } => u64::from(n),
        }
    }

    /// Channels of a map, or the length of a vector.
    pub fn channels(self) -> u32 {
        match self {
            Shape::Map { c, .. } => c,
            Shape::Flat { n } => n,
        }
    }

    /// Height and width; 1 x 1 for a vector.
    pub fn hw(self) -> (u32, u32) {
        match self {
            Shape::Map { h, w, .. } => (h, w),
            Shape::Flat { .. } => (1, 1),
        }
    }

    /// The shape itself, if it is neither empty nor absurd.
    pub(crate) fn checked(self) -> Result<Shape, ShapeError> {
        let factors = match self {
            Shape::Map { c, h, w } => [c, h, w],
            Shape::Flat { n } => [n, 1, 1],
        };
        let elems = factors
            .iter()
            .try_fold(1u64, |a, f| a.checked_mul(u64::from(*f)));
        match elems {
            Some(0) => Err(ShapeError::Empty { shape: self }),
            Some(n) if n <= MAX_ELEMS => Ok(self),
            _ => Err(ShapeError::TooLarge { shape: self }),
        }
    }
}

/// As a list: `[c, h, w]` or `[n]`.
impl serde::Serialize for Shape {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Shape::Map { c, h, w } => [c, h, w].serialize(s),
            Shape::Flat { n } => [n].serialize(s),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Map { c, h, w } => write!(f, "{c}x{h}x{w}"),
            Shape::Flat { n } => write!(f, "{n}"),
        }
    }
}

/// Why an op does not fit its inputs or its own parameters. Messages give what was expected and what was there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Wrong number of inputs.
    #[error("{op} takes {expected} inputs, got {got}")]
    Arity {
        /// The op.
        op: &'static str,
        /// How many it takes.
        expected: &'static str,
        /// How many it was given.
        got: usize,
    },
    /// A map was needed.
    #[error("{op} needs a feature map, got a vector of {got}")]
    NeedsMap {
        /// The op.
        op: &'static str,
        /// What was there.
        got: Shape,
    },
    /// A vector was needed.
    #[error("{op} needs a vector, got a map of {got}; put a global pool and a flatten before it")]
    NeedsFlat {
        /// The op.
        op: &'static str,
        /// What was there.
        got: Shape,
    },
    /// A parameter that must not be zero is.
    #[error("{op} needs {what} of at least 1")]
    Zero {
        /// The op.
        op: &'static str,
        /// The parameter.
        what: &'static str,
    },
    /// One number must be a multiple of another.
    #[error("{op} needs {what} divisible by {by}: {value} % {divisor} is {}", value % divisor)]
    Indivisible {
        /// The op.
        op: &'static str,
        /// What must be divisible.
        what: &'static str,
        /// By what.
        by: &'static str,
        /// Its value.
        value: u32,
        /// The divisor's value.
        divisor: u32,
    },
    /// The window is larger than the padded input.
    #[error(
        "{op} with an effective kernel of {kernel} does not fit an input of {input} with padding {padding}"
    )]
    WindowTooLarge {
        /// The op.
        op: &'static str,
        /// Effective kernel along the axis.
        kernel: u64,
        /// Input along the axis.
        input: u32,
        /// Padding on each side.
        padding: u32,
    },
    /// Pooling pads at most half a window.
    #[error("{op} pads by {padding}, but at most half its kernel of {kernel} is allowed")]
    PaddingTooLarge {
        /// The op.
        op: &'static str,
        /// Padding on each side.
        padding: u32,
        /// Kernel along the axis.
        kernel: u32,
    },
    /// Inputs that must agree do not.
    #[error("{op} cannot join {left} and {right}")]
    Mismatch {
        /// The op.
        op: &'static str,
        /// The first shape.
        left: Shape,
        /// The shape that does not fit it.
        right: Shape,
    },
    /// A slice outside its input.
    #[error("slice of channels {begin}..{end} does not lie within {channels} channels")]
    SliceRange {
        /// First channel taken.
        begin: u32,
        /// First channel not taken.
        end: u32,
        /// Channels there are.
        channels: u32,
    },
    /// A value without elements.
    #[error("a value of {shape} has no elements")]
    Empty {
        /// The shape.
        shape: Shape,
    },
    /// A value past [`MAX_ELEMS`].
    #[error("a value of {shape} has more than 2^40 elements")]
    TooLarge {
        /// The shape.
        shape: Shape,
    },
    /// A real parameter outside its range, or no number.
    #[error("{op} needs {what} between 0 and {most}, got {}", value.0)]
    OutOfRange {
        /// The op.
        op: &'static str,
        /// The parameter.
        what: &'static str,
        /// The largest allowed.
        most: u32,
        /// Its value.
        value: Real,
    },
    /// Two nodes that cannot have the same weights.
    #[error("the weights of {op} on {first} do not fit {other} on {again}")]
    OtherWeights {
        /// The op that owns them.
        op: &'static str,
        /// Its input.
        first: Shape,
        /// The op that was to share them.
        other: &'static str,
        /// Its input.
        again: Shape,
    },
    /// A node with weights that is there for one input and not for another.
    #[error("{op} has weights for one input that another has no use for")]
    LoneWeights {
        /// The op.
        op: &'static str,
    },
    /// More weights than [`MAX_WEIGHTS`].
    #[error("{op} has more than 2^40 weights")]
    TooManyWeights {
        /// The op.
        op: &'static str,
    },
    /// More nodes than a network may have.
    #[error("the network has more than {limit} nodes")]
    TooManyNodes {
        /// The limit.
        limit: usize,
    },
}
