//! Ops that move elements and compute nothing: transposition and padding.

use crate::ir::shape::{Shape, ShapeError};

/// Swaps channels and rows: `[c, h, w] -> [h, c, w]`, PyTorch's `transpose(1, 2)` on a batch.
///
/// With it a convolution runs along the channels: of `[c, 1, 1]` it makes `[1, c, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transpose;

impl Transpose {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        match input {
            Shape::Map { c, h, w } => Ok(Shape::Map { c: h, h: c, w }),
            Shape::Flat { .. } => Err(ShapeError::NeedsMap {
                op: "transpose",
                got: input,
            }),
        }
    }

    /// True where the elements already lie in the order of the result.
    pub fn moves_nothing(&self, input: Shape) -> bool {
        input.channels() == 1 || input.hw().0 == 1
    }
}

/// Zeros around a map: `[c, h, w] -> [front + c + back, top + h + bottom, left + w + right]`, PyTorch's
/// `pad(x, (left, right, top, bottom, front, back))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Channels before the first and after the last.
    pub channels: [u32; 2],
    /// Rows above and below.
    pub rows: [u32; 2],
    /// Columns to the left and to the right.
    pub columns: [u32; 2],
}

impl Pad {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        let Shape::Map { c, h, w } = input else {
            return Err(ShapeError::NeedsMap {
                op: "pad",
                got: input,
            });
        };
        let axis = |n: u32, [before, after]: [u32; 2]| {
            let longer = n.checked_add(before).and_then(|n| n.checked_add(after));
            longer.ok_or(ShapeError::TooLarge { shape: input })
        };
        Ok(Shape::Map {
            c: axis(c, self.channels)?,
            h: axis(h, self.rows)?,
            w: axis(w, self.columns)?,
        })
    }
}
