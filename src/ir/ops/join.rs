//! Ops that join values: sum, product, concatenation.

use crate::ir::shape::{Shape, ShapeError};

/// Element-wise sum of two values or more. An axis of 1 is broadcast; beside a map a vector counts as `[n, 1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Add;

/// Element-wise product of two values or more. An axis of 1 is broadcast; beside a map a vector counts as `[n, 1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mul;

/// Concatenation along the channels, in the order of the inputs; one input passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat;

pub(super) fn infer_broadcast(op: &'static str, inputs: &[Shape]) -> Result<Shape, ShapeError> {
    let (first, rest) = match inputs {
        [first, rest @ ..] if !rest.is_empty() => (*first, rest),
        _ => {
            return Err(ShapeError::Arity {
                op,
                expected: "2 or more",
                got: inputs.len(),
            });
        }
    };
    let axis = |a: u32, b: u32| match (a, b) {
        _ if a == b => Some(a),
        (1, n) | (n, 1) => Some(n),
        _ => None,
    };
    let dims = |shape: Shape| match shape {
        Shape::Map { c, h, w } => [c, h, w],
        Shape::Flat { n } => [n, 1, 1],
    };
    rest.iter().try_fold(first, |left, &right| {
        let joined = match (left, right) {
            (Shape::Flat { n }, Shape::Flat { n: n2 }) => axis(n, n2).map(|n| Shape::Flat { n }),
            _ => {
                let ([c, h, w], [c2, h2, w2]) = (dims(left), dims(right));
                axis(c, c2)
                    .zip(axis(h, h2))
                    .zip(axis(w, w2))
                    .map(|((c, h), w)| Shape::Map { c, h, w })
            }
        };
        joined.ok_or(ShapeError::Mismatch { op, left, right })
    })
}

impl Concat {
    pub(super) fn infer(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let (&first, rest) = inputs.split_first().ok_or(ShapeError::Arity {
            op: "concat",
            expected: "1 or more",
            got: 0,
        })?;
        rest.iter().try_fold(first, |left, &right| {
            let too_large = ShapeError::TooLarge { shape: left };
            match (left, right) {
                (
                    Shape::Map { c, h, w },
                    Shape::Map {
                        c: c2,
                        h: h2,
                        w: w2,
                    },
                ) if (h, w) == (h2, w2) => Ok(Shape::Map {
                    c: c.checked_add(c2).ok_or(too_large)?,
                    h,
                    w,
                }),
                (Shape::Flat { n }, Shape::Flat { n: n2 }) => Ok(Shape::Flat {
                    n: n.checked_add(n2).ok_or(too_large)?,
                }),
                _ => Err(ShapeError::Mismatch {
                    op: "concat",
                    left,
                    right,
                }),
            }
        })
    }
}
