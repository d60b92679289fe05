//! Channel shuffle.

use crate::ir::shape::{Shape, ShapeError};

/// Channel shuffle of ShuffleNet: with `c = groups * n`, the channels seen as `(groups, n)`, transposed, flattened.
///
/// Output channel `i * groups + j` is input channel `j * n + i`. The inverse is the shuffle with `c / groups` groups.
///
/// # Source
/// ShuffleNet, arXiv 1707.01083, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shuffle {
    /// Groups the channels come in.
    pub groups: u32,
}

impl Shuffle {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        let Shape::Map { c, .. } = input else {
            return Err(ShapeError::NeedsMap {
                op: "shuffle",
                got: input,
            });
        };
        match self.groups {
            0 => Err(ShapeError::Zero {
                op: "shuffle",
                what: "groups",
            }),
            g if c % g != 0 => Err(ShapeError::Indivisible {
                op: "shuffle",
                what: "channels",
                by: "groups",
                value: c,
                divisor: g,
            }),
            _ => Ok(input),
        }
    }
}
