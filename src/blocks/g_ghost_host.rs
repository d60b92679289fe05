//! The residual blocks that a G-Ghost stage is made of.

use super::lower::{Lower, LowerError, LowerErrorKind, divisible};
use super::regnetx_block::{fits, regnetx_block};
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, Conv};

/// The words for them, in the order of [`Host`].
pub(super) const HOSTS: &[&str] = &["regnetx", "basic", "bottleneck"];

const RELU: Option<Act> = Some(Act::Relu);

/// A kind of residual block, apart from its width and stride.
#[derive(Clone, Copy)]
pub(super) enum Host {
    /// RegNetX's, with so many channels in a group.
    RegnetX { group_width: u32 },
    /// ResNet's two 3x3 convolutions.
    Basic,
    /// ResNet's bottleneck, a quarter wide inside.
    Bottleneck { stride_in_1x1: bool },
}

impl Host {
    /// The host of that position in [`HOSTS`], checked against the stage's width; slots to blame: width, group width.
    pub(super) fn new(
        word: usize,
        (width_slot, width): (usize, u32),
        (group_slot, group_width): (usize, Option<u32>),
        stride_in_1x1: bool,
    ) -> Result<Self, LowerError> {
        let host = match (word, group_width) {
            (0, Some(group_width)) => {
                fits(width_slot, "out_channels", width, group_width)?;
                return Ok(Host::RegnetX { group_width });
            }
            (0, None) => {
                let kind = LowerErrorKind::Conflict("needs group_width with host regnetx");
                return Err(LowerError::from(kind).on(group_slot));
            }
            (1, _) => Host::Basic,
            _ => Host::Bottleneck { stride_in_1x1 },
        };
        let what = ("out_channels", width);
        divisible(
            Some(width_slot),
            what,
            0,
            ("what the host expands by", host.unit(width)),
        )?;
        Ok(host)
    }

    /// What the width of a block, at most `width`, is a multiple of.
    pub(super) fn unit(self, width: u32) -> u32 {
        match self {
            Host::RegnetX { group_width } => group_width.min(width).max(1),
            Host::Basic => 1,
            Host::Bottleneck { .. } => 4,
        }
    }

    /// The same host with groups a quarter smaller, as the released code narrows RegNetX.
    pub(super) fn narrowed(self) -> Self {
        match self {
            Host::RegnetX { group_width } => Host::RegnetX {
                group_width: (group_width * 3 / 4).max(1),
            },
            other => other,
        }
    }

    /// A block `out` wide, a multiple of [`unit`](Self::unit); named in the present scope.
    pub(super) fn lower(
        self,
        l: &mut Lower,
        x: ValueId,
        out: u32,
        stride: u32,
    ) -> Result<ValueId, LowerError> {
        let y = match self {
            Host::RegnetX { group_width } => return regnetx_block(l, x, out, group_width, stride),
            Host::Basic => {
                let y = l.conv_bn("a", Conv::same(out, 3, stride), RELU, x)?;
                l.conv_bn("b", Conv::same(out, 3, 1), None, y)?
            }
            Host::Bottleneck { stride_in_1x1 } => {
                let (first, second) = match stride_in_1x1 {
                    true => (stride, 1),
                    false => (1, stride),
                };
                let y = l.conv_bn("a", Conv::same(out / 4, 1, first), RELU, x)?;
                let y = l.conv_bn("b", Conv::same(out / 4, 3, second), RELU, y)?;
                l.conv_bn("c", Conv::same(out, 1, 1), None, y)?
            }
        };
        let shortcut = if stride != 1 || l.channels(x) != out {
            l.conv_bn("shortcut", Conv::same(out, 1, stride), None, x)?
        } else {
            x
        };
        let y = l.push("add", Add, &[y, shortcut])?;
        l.push("relu", Act::Relu, &[y])
    }
}
