//! The least memory access that a convolution of given work can have.

use crate::ir::Shape;
use crate::ir::ops::Conv;
use serde::Serialize;

/// Lower bound on the elements a convolution moves, at `macs` multiply-accumulates, with maps of `pixels` pixels before
/// and after it, a kernel of `taps` taps (`kh * kw`) and `groups` groups:
/// `2 sqrt(pixels_in macs groups / taps) + macs / pixels_out`.
///
/// Met when input and output are equally large; at stride 1 these are equal widths, which is why those are fast. The
/// second term is the weights. Zero where nothing is computed.
///
/// # Source
/// VoVNet, arXiv 1904.09730, equation 1 and the text after it; with one tap it is guideline G1 of ShuffleNetV2,
/// arXiv 1807.11164, section 2, and with groups G2's. From `(a + b) / 2 >= sqrt(a b)`. The papers write it for stride 1;
/// here a strided input counts with its own pixels.
///
/// ```
/// use blocksmith::cost::mem_access_lower_bound;
/// // 1x1, 56x56 pixels, 128 to 128 channels: 2 * 3136 * 128 + 128 * 128
/// let bound = mem_access_lower_bound(3136 * 128 * 128, [3136, 3136], 1, 1);
/// assert_eq!(bound.round(), 819_200.0);
/// // G2: 8 groups of 360 channels; about the same work, 2 * 3136 * 360 + 360 * 360 / 8
/// let grouped = mem_access_lower_bound(3136 * 360 * 360 / 8, [3136, 3136], 1, 8);
/// assert_eq!(grouped.round(), 2_274_120.0);
/// ```
pub fn mem_access_lower_bound(macs: u64, pixels: [u64; 2], taps: u64, groups: u64) -> f64 {
    let [before, after] = pixels;
    if macs == 0 || before == 0 || after == 0 || taps == 0 || groups == 0 {
        return 0.0;
    }
    let [b, before, after] = [macs, before, after].map(|n| n as f64);
    2.0 * (before * b * groups as f64 / taps as f64).sqrt() + b / after
}

/// The least that convolutions of the same work, maps and kernels could move.
///
/// # Units
/// Elements, as memory access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bounds {
    /// With the groups that they have: the widths alone are free.
    pub mem_access_bound_elems: f64,
    /// Without groups: what is above this is the price of groups and of unequal widths.
    pub mem_access_bound_ungrouped_elems: f64,
}

impl Bounds {
    /// The bounds of one convolution.
    pub fn of(conv: &Conv, input: Shape, output: Shape) -> Self {
        let pixels = [input, output].map(|shape| {
            let (h, w) = shape.hw();
            u64::from(h) * u64::from(w)
        });
        let [kh, kw] = conv.kernel_size.map(u64::from);
        let macs = conv.weights(input).saturating_mul(pixels[1]);
        let bound = |groups| mem_access_lower_bound(macs, pixels, kh * kw, groups);
        Self {
            mem_access_bound_elems: bound(u64::from(conv.groups)),
            mem_access_bound_ungrouped_elems: bound(1),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.mem_access_bound_elems += other.mem_access_bound_elems;
        self.mem_access_bound_ungrouped_elems += other.mem_access_bound_ungrouped_elems;
    }
}
