//! Pooling and resizing.

use super::conv::conv_size;
use crate::ir::shape::{Shape, ShapeError};

/// Max pooling, PyTorch's `MaxPool2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool {
    /// Window height and width.
    pub kernel_size: [u32; 2],
    /// Step along height and width.
    pub stride: [u32; 2],
    /// Padding on each side; at most half the window.
    pub padding: [u32; 2],
    /// Whether the output size is rounded up: a last window that starts in the input or the left padding counts even if
    /// it ends beyond the right padding.
    pub ceil_mode: bool,
}

/// Average pooling, PyTorch's `AvgPool2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AvgPool {
    /// Window height and width.
    pub kernel_size: [u32; 2],
    /// Step along height and width.
    pub stride: [u32; 2],
    /// Zeros on each side; at most half the window.
    pub padding: [u32; 2],
    /// Whether the output size is rounded up.
    pub ceil_mode: bool,
    /// Whether padding zeros count in the divisor. What a window of ceil mode has beyond the padding never counts.
    pub count_include_pad: bool,
}

impl MaxPool {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        pooled(
            "max_pool",
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
        )
    }
}

impl AvgPool {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        pooled(
            "avg_pool",
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
        )
    }
}

fn pooled(
    op: &'static str,
    input: Shape,
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: [u32; 2],
    ceil: bool,
) -> Result<Shape, ShapeError> {
    let Shape::Map { c, h, w } = input else {
        return Err(ShapeError::NeedsMap { op, got: input });
    };
    let axis = |i: usize, size: u32| {
        let (k, s, p) = (kernel[i], stride[i], padding[i]);
        if p > k / 2 {
            return Err(ShapeError::PaddingTooLarge {
                op,
                padding: p,
                kernel: k,
            });
        }
        let whole_windows = conv_size(op, size, k, s, p, 1);
        if !ceil {
            return whole_windows;
        }
        // Windows start every `s` while they lie, if only in part, in the padded input; the last one counts only if it
        // starts in the input or the left padding. A window larger than the padded input by less than `s` is one.
        let whole = match whole_windows {
            Ok(n) => n,
            Err(ShapeError::WindowTooLarge { kernel, .. })
                if kernel < u64::from(size) + 2 * u64::from(p) + u64::from(s) =>
            {
                return Ok(1);
            }
            Err(other) => return Err(other),
        };
        let room = u64::from(size) + 2 * u64::from(p) - u64::from(k);
        let next_start = u64::from(whole) * u64::from(s);
        let extra = room % u64::from(s) != 0 && next_start < u64::from(size) + u64::from(p);
        Ok(whole + u32::from(extra))
    };
    Ok(Shape::Map {
        c,
        h: axis(0, h)?,
        w: axis(1, w)?,
    })
}

/// What a global pool takes of each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// The mean.
    Avg = 0,
    /// The maximum.
    Max = 1,
}

impl PoolKind {
    pub(super) fn global_name(self) -> &'static str {
        match self {
            PoolKind::Avg => "global_avg_pool",
            PoolKind::Max => "global_max_pool",
        }
    }
}

/// Pools each channel to one number: `[c, h, w] -> [c, 1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalPool {
    /// Mean or maximum.
    pub kind: PoolKind,
}

impl GlobalPool {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        match input {
            Shape::Map { c, .. } => Ok(Shape::Map { c, h: 1, w: 1 }),
            Shape::Flat { .. } => Err(ShapeError::NeedsMap {
                op: self.kind.global_name(),
                got: input,
            }),
        }
    }
}

/// Average pooling to a given height and width, PyTorch's `AdaptiveAvgPool2d`: `[c, h, w] -> [c, size]`.
///
/// Output row `i` is the mean of the rows from `floor(i h / h')` up to `ceil((i + 1) h / h')`, that one left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdaptiveAvgPool {
    /// Height and width of the output.
    pub size: [u32; 2],
}

impl AdaptiveAvgPool {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        match input {
            Shape::Map { c, .. } => Ok(Shape::Map {
                c,
                h: self.size[0],
                w: self.size[1],
            }),
            Shape::Flat { .. } => Err(ShapeError::NeedsMap {
                op: "adaptive_avg_pool",
                got: input,
            }),
        }
    }

    /// Elements in all windows together.
    pub(super) fn taps(&self, input: Shape) -> u64 {
        let (h, w) = input.hw();
        let along = |old: u32, new: u32| u64::from(old) + u64::from(new) - u64::from(gcd(old, new));
        let rows = along(h, self.size[0]).saturating_mul(along(w, self.size[1]));
        u64::from(input.channels()).saturating_mul(rows)
    }

    /// The largest window on a map of this height and width. The cast is safe: no window is larger than the map.
    pub fn window(&self, (h, w): (u32, u32)) -> [u32; 2] {
        let along = |old: u32, new: u32| {
            let reach = u64::from(old) + u64::from(new) - u64::from(gcd(old, new));
            reach.div_ceil(u64::from(new.max(1))) as u32
        };
        [along(h, self.size[0]), along(w, self.size[1])]
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How new pixels are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpsampleMode {
    /// The nearest old pixel, PyTorch's `nearest`.
    Nearest = 0,
    /// Bilinear, PyTorch's `align_corners=False`.
    Bilinear = 1,
    /// Bilinear with old corners on new corners, PyTorch's `align_corners=True`.
    BilinearCorners = 2,
}

/// Resizes to a fixed height and width: `[c, h, w] -> [c, size]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Upsample {
    /// New height and width.
    pub size: [u32; 2],
    /// How new pixels are made.
    pub mode: UpsampleMode,
}

impl Upsample {
    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        match input {
            Shape::Map { c, .. } => Ok(Shape::Map {
                c,
                h: self.size[0],
                w: self.size[1],
            }),
            Shape::Flat { .. } => Err(ShapeError::NeedsMap {
                op: "upsample",
                got: input,
            }),
        }
    }

    pub(super) fn ops_per_elem(&self) -> u64 {
        match self.mode {
            UpsampleMode::Nearest => 0,
            UpsampleMode::Bilinear | UpsampleMode::BilinearCorners => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(n: u32, k: u32, s: u32, p: u32, ceil_mode: bool) -> Option<u32> {
        let pool = MaxPool {
            kernel_size: [k; 2],
            stride: [s; 2],
            padding: [p; 2],
            ceil_mode,
        };
        let out = pool.infer(Shape::Map { c: 1, h: n, w: n });
        out.ok().map(|shape| shape.hw().0)
    }

    #[test]
    fn sizes_as_pytorch_gives_them() {
        // the pools of ResNet and VoVNet
        assert_eq!(size(112, 3, 2, 1, false), Some(56));
        assert_eq!(size(112, 3, 2, 0, true), Some(56));
        assert_eq!(size(56, 3, 2, 0, true), Some(28));
        assert_eq!(size(109, 3, 2, 0, true), Some(54));
        assert_eq!(size(112, 3, 2, 1, true), Some(57));
        // a window that would start in the right padding does not count
        assert_eq!(size(4, 2, 2, 1, true), Some(3));
        assert_eq!(size(3, 3, 3, 1, true), Some(2));
        assert_eq!(size(2, 2, 3, 1, true), Some(1));
        // one short window
        assert_eq!(size(1, 2, 2, 0, true), Some(1));
        assert_eq!(size(2, 5, 4, 0, true), Some(1));
        assert_eq!(size(2, 5, 3, 0, true), None);
        assert_eq!(size(1, 2, 2, 0, false), None);
        // more padding than half a window
        assert_eq!(size(8, 3, 1, 2, false), None);
    }
}
