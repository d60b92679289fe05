//! The least memory access that a convolution of given work can have.

/// Lower bound on the elements a convolution moves, at `macs` multiply-accumulates on a map of `pixels` pixels with a
/// kernel of `taps` taps (`kh * kw`): `2 sqrt(pixels macs / taps) + macs / pixels`.
///
/// Met when input and output have the same width, at stride 1 and without groups; it is why equal widths are fast.
/// Zero where nothing is computed.
///
/// # Source
/// VoVNet, arXiv 1904.09730, equation 1 and the text after it; with one tap it is guideline G1 of ShuffleNetV2,
/// arXiv 1807.11164, section 2. From `(a + b) / 2 >= sqrt(a b)`.
///
/// ```
/// use blocksmith::cost::mem_access_lower_bound;
/// // 1x1, 56x56 pixels, 128 to 128 channels: 2 * 3136 * 128 + 128 * 128
/// let bound = mem_access_lower_bound(3136 * 128 * 128, 3136, 1);
/// assert_eq!(bound.round(), 819_200.0);
/// ```
pub fn mem_access_lower_bound(macs: u64, pixels: u64, taps: u64) -> f64 {
    if macs == 0 || pixels == 0 || taps == 0 {
        return 0.0;
    }
    let (b, hw, k) = (macs as f64, pixels as f64, taps as f64);
    2.0 * (hw * b / k).sqrt() + b / hw
}
