//! Convolution.

use crate::ir::shape::{MAX_WEIGHTS, Shape, ShapeError};

/// 2-D convolution with zero padding, PyTorch's `Conv2d`.
///
/// # Shapes
/// `[c, h, w] -> [out_channels, h', w']`, `h' = floor((h + 2 p - d (k - 1) - 1) / s) + 1`; weight
/// `[out_channels, c / groups, kh, kw]`. Depthwise is `groups = c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Output channels.
    pub out_channels: u32,
    /// Kernel height and width.
    pub kernel_size: [u32; 2],
    /// Step along height and width.
    pub stride: [u32; 2],
    /// Zeros added on each side, along height and width.
    pub padding: [u32; 2],
    /// Distance between kernel taps.
    pub dilation: [u32; 2],
    /// Groups that input and output channels are cut into.
    pub groups: u32,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv {
    /// A square convolution without bias that keeps height and width at stride 1 (padding `d (k - 1) / 2`).
    pub fn same(out_channels: u32, kernel_size: u32, stride: u32) -> Self {
        let padding = kernel_size.saturating_sub(1) / 2;
        Self {
            out_channels,
            kernel_size: [kernel_size; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            groups: 1,
            bias: false,
        }
    }

    /// The same with groups.
    #[must_use]
    pub fn grouped(self, groups: u32) -> Self {
        Self { groups, ..self }
    }

    /// The same with dilation, and the padding that keeps height and width at stride 1.
    #[must_use]
    pub fn dilated(self, dilation: u32) -> Self {
        let padding = self
            .kernel_size
            .map(|k| dilation.saturating_mul(k.saturating_sub(1)) / 2);
        Self {
            dilation: [dilation; 2],
            padding,
            ..self
        }
    }

    /// The same with a bias.
    #[must_use]
    pub fn biased(self) -> Self {
        Self { bias: true, ..self }
    }

    pub(super) fn infer(&self, input: Shape) -> Result<Shape, ShapeError> {
        let Shape::Map { c, h, w } = input else {
            return Err(ShapeError::NeedsMap {
                op: "conv",
                got: input,
            });
        };
        if self.out_channels == 0 {
            return Err(ShapeError::Zero {
                op: "conv",
                what: "out_channels",
            });
        }
        if self.groups == 0 {
            return Err(ShapeError::Zero {
                op: "conv",
                what: "groups",
            });
        }
        for (what, value) in [("in_channels", c), ("out_channels", self.out_channels)] {
            if value % self.groups != 0 {
                return Err(ShapeError::Indivisible {
                    op: "conv",
                    what,
                    by: "groups",
                    value,
                    divisor: self.groups,
                });
            }
        }
        if self.weights(input) > MAX_WEIGHTS {
            return Err(ShapeError::TooManyWeights { op: "conv" });
        }
        let axis = |i: usize, size: u32| {
            conv_size(
                "conv",
                size,
                self.kernel_size[i],
                self.stride[i],
                self.padding[i],
                self.dilation[i],
            )
        };
        Ok(Shape::Map {
            c: self.out_channels,
            h: axis(0, h)?,
            w: axis(1, w)?,
        })
    }

    /// Weights without bias. Exact where inference has accepted the input; it saturates on the way there.
    pub fn weights(&self, input: Shape) -> u64 {
        let per_group = u64::from(input.channels() / self.groups.max(1));
        let [kh, kw] = self.kernel_size.map(u64::from);
        u64::from(self.out_channels)
            .saturating_mul(per_group)
            .saturating_mul(kh.saturating_mul(kw))
    }

    pub(super) fn params(&self, input: Shape) -> u64 {
        let bias = if self.bias {
            u64::from(self.out_channels)
        } else {
            0
        };
        self.weights(input).saturating_add(bias)
    }

    pub(super) fn macs(&self, input: Shape, output: Shape) -> u64 {
        let (h, w) = output.hw();
        self.weights(input)
            .saturating_mul(u64::from(h) * u64::from(w))
    }

    /// True where each input channel has filters of its own.
    pub fn is_depthwise(&self, in_channels: u32) -> bool {
        self.groups > 1
            && self.groups == in_channels
            && self.out_channels.is_multiple_of(in_channels)
    }
}

/// Output size of a convolution along one axis.
pub(super) fn conv_size(
    op: &'static str,
    size: u32,
    kernel: u32,
    stride: u32,
    padding: u32,
    dilation: u32,
) -> Result<u32, ShapeError> {
    for (what, value) in [
        ("kernel_size", kernel),
        ("stride", stride),
        ("dilation", dilation),
    ] {
        if value == 0 {
            return Err(ShapeError::Zero { op, what });
        }
    }
    let window = u64::from(dilation) * u64::from(kernel - 1) + 1;
    let padded = u64::from(size) + 2 * u64::from(padding);
    let Some(room) = padded.checked_sub(window) else {
        return Err(ShapeError::WindowTooLarge {
            op,
            kernel: window,
            input: size,
            padding,
        });
    };
    let out = room / u64::from(stride) + 1;
    u32::try_from(out).map_err(|_| ShapeError::WindowTooLarge {
        op,
        kernel: window,
        input: size,
        padding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Op;

    #[test]
    fn resnet_stem_by_hand() {
        let (conv, image) = (
            Conv::same(64, 7, 2),
            Shape::Map {
                c: 3,
                h: 224,
                w: 224,
            },
        );
        let out = conv.infer(image).unwrap();
        assert_eq!(
            out,
            Shape::Map {
                c: 64,
                h: 112,
                w: 112
            }
        );
        let work = Op::from(conv).work(&[image], out);
        assert_eq!((work.elems_weight, work.macs), (9_408, 118_013_952));
    }

    #[test]
    fn dilation_keeps_the_size_with_its_padding() {
        let x = Shape::Map { c: 8, h: 5, w: 9 };
        for (k, d) in [(3, 1), (3, 4), (5, 3), (7, 2)] {
            let conv = Conv::same(8, k, 1).dilated(d);
            assert_eq!(conv.infer(x), Ok(x), "kernel {k} dilation {d}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let x = Shape::Map {
            c: 1 << 20,
            h: 2,
            w: 2,
        };
        let wide = Conv::same((1 << 20) + 1, 1, 1).infer(x);
        assert_eq!(wide, Err(ShapeError::TooManyWeights { op: "conv" }));
        let huge = Conv {
            kernel_size: [u32::MAX; 2],
            padding: [u32::MAX; 2],
            ..Conv::same(1, 1, 1)
        };
        assert!(huge.infer(x).is_err());
        let padded = Conv {
            padding: [u32::MAX; 2],
            ..Conv::same(1, 1, 1)
        };
        assert!(
            Op::from(padded)
                .infer(&[Shape::Map { c: 1, h: 1, w: 1 }])
                .is_err()
        );
    }
}
