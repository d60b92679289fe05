//! Ops that see the channels as a sequence: a choice of them, and a convolution along them.

use crate::ir::shape::{Shape, ShapeError};

/// Channels picked by an index that belongs to the weights: output channel `k` is input channel `index[k]`, PyTorch's
/// `index_select(x, 1, index)`. One channel may be picked often.
///
/// The index is a buffer of `[channels]` whole numbers: kept with the weights, not learnt by gradient.
///
/// # Source
/// CondenseNet, arXiv 1711.09224, section 4.3: what learned group convolution leaves at inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// How many are picked.
    pub channels: u32,
}

impl Gather {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        if self.channels == 0 {
            return Err(ShapeError::Zero {
                op: "gather",
                what: "channels",
            });
        }
        Ok(match input {
            Shape::Map { h, w, .. } => Shape::Map {
                c: self.channels,
                h,
                w,
            },
            Shape::Flat { .. } => Shape::Flat { n: self.channels },
        })
    }
}

/// One filter that slides along the channels, without bias: `y_c = sum_j weight[j] x_(c + j - (k - 1) / 2)`, zeros beyond
/// the ends. Weight `[1, 1, kernel_size]`, as PyTorch's `Conv1d(1, 1, kernel_size)`.
///
/// Counts of convolutions, as papers and libraries give them, are about those over height and width; this is none of them.
///
/// # Source
/// ECA-Net, arXiv 1910.03151, section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelConv {
    /// Channels that the filter covers.
    pub kernel_size: u32,
}

impl ChannelConv {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        match input {
            _ if self.kernel_size == 0 => Err(ShapeError::Zero {
                op: "channel_conv",
                what: "kernel_size",
            }),
            Shape::Map { .. } => Ok(input),
            Shape::Flat { .. } => Err(ShapeError::NeedsMap {
                op: "channel_conv",
                got: input,
            }),
        }
    }

    /// Channels that the filter reaches before and after its own.
    pub fn reach(&self) -> [u32; 2] {
        [self.kernel_size.saturating_sub(1) / 2, self.kernel_size / 2]
    }
}
