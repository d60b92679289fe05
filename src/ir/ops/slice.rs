//! A range of channels.

use crate::ir::shape::{Shape, ShapeError};

/// Channels `begin..end`: `[c, h, w] -> [end - begin, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// First channel taken.
    pub begin: u32,
    /// First channel not taken.
    pub end: u32,
}

impl Slice {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        let channels = input.channels();
        if self.begin >= self.end || self.end > channels {
            return Err(ShapeError::SliceRange {
                begin: self.begin,
                end: self.end,
                channels,
            });
        }
        let taken = self.end - self.begin;
        Ok(match input {
            Shape::Map { h, w, .. } => Shape::Map { c: taken, h, w },
            Shape::Flat { .. } => Shape::Flat { n: taken },
        })
    }
}
