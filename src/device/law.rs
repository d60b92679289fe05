//! How a runtime turns a kernel's shape into work.

use super::effects::Effects;
use super::profile::Rates;
use crate::fuse::{Kernel, KernelKind, WorkClass};
use serde::{Deserialize, Serialize};

/// What of a kernel's shape costs a runtime work beyond the plain counts. All off is the plain counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Law {
    /// Dense 3x3 convolutions of stride 1 multiply tiles, not pixels: the cheapest of F(6,3), F(4,3) and F(2,3), whole
    /// tiles only, so that small maps profit less.
    pub winograd: bool,
    /// A grouped convolution runs as one dense convolution a group, each with a launch of its own.
    pub group_launches: bool,
    /// Grouped convolutions have code of their own, which few channels or pixels do not slow.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub groups_apart: bool,
    /// An activation with weights (PReLU) is a kind of its own, [`KernelKind::ActLearned`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub learned_apart: bool,
    /// Channels that are a multiple of this are packed; the others pay [`Rates::per_unpacked`]. 0 where it does not matter.
    pub pack: u32,
    /// Input channels (of one group) at which a dense convolution runs at half speed.
    pub half_in: f64,
    /// Output channels (of one group) at which it does.
    pub half_out: f64,
    /// Output pixels at which it does.
    pub half_pixels: f64,
}

impl Law {
    /// No effect of shape.
    pub const PLAIN: Law = Law {
        winograd: false,
        group_launches: false,
        groups_apart: false,
        learned_apart: false,
        pack: 0,
        half_in: 0.0,
        half_out: 0.0,
        half_pixels: 0.0,
    };

    /// ncnn on Arm: packs of four channels, Winograd, group after group.
    pub const NCNN: Law = Law {
        winograd: true,
        group_launches: true,
        groups_apart: false,
        learned_apart: false,
        pack: 4,
        half_in: 3.0,
        half_out: 3.0,
        half_pixels: 12.0,
    };

    /// PyTorch on GPUs in half precision: matrix units take 16 channels at once.
    pub const TENSOR_CORES: Law = Law {
        winograd: false,
        group_launches: false,
        groups_apart: true,
        learned_apart: false,
        pack: 16,
        half_in: 16.0,
        half_out: 16.0,
        half_pixels: 0.0,
    };

    /// The kind whose rates a kernel costs.
    pub fn kind(&self, kernel: &Kernel) -> KernelKind {
        if self.learned_apart && kernel.kind == KernelKind::Act && kernel.weights > 0 {
            return KernelKind::ActLearned;
        }
        if !self.group_launches {
            return kernel.kind;
        }
        match kernel.kind {
            KernelKind::Grouped1x1 => KernelKind::Conv1x1,
            KernelKind::Grouped => {
                let window = &kernel.window;
                match () {
                    () if window.kernel_size != [3; 2] || window.dilation != [1; 2] => {
                        KernelKind::ConvOther
                    }
                    () if window.stride == [1; 2] => KernelKind::Conv3x3,
                    () => KernelKind::Conv3x3Strided,
                }
            }
            kind => kind,
        }
    }

    /// The units of work of one launch on a batch, in the order of [`Rates::to_array`].
    ///
    /// `cache_elems` is infinite where the device model has no such limit.
    pub fn work(&self, kernel: &Kernel, batch: f64, cache_elems: f64) -> [f64; Rates::COUNT] {
        let (read, written) = (kernel.elems_in as f64, kernel.elems_out as f64);
        let moved = read + written;
        let (height, width) = kernel.output.hw();
        let columns = f64::from(width.max(1));
        let mut macs = kernel.macs as f64;
        let row_work = if kernel.macs > 0 { macs } else { written };
        let (mut launches, mut unpacked) = (1.0, 0.0);
        let dense = kernel.kind.class() == WorkClass::Conv && kernel.kind != KernelKind::Linear;
        if dense {
            let groups = kernel.window.groups.max(1);
            let channels = [kernel.input.channels(), kernel.output.channels()];
            let [cin, cout] = channels.map(|c| (c / groups).max(1));
            let image = kernel.kind == KernelKind::ConvFirst;
            let apart = self.groups_apart && groups > 1;
            if !apart && self.half_in + self.half_out + self.half_pixels > 0.0 {
                let pixels = batch * f64::from(height.max(1)) * columns;
                let slow =
                    (1.0 + self.half_out / f64::from(cout)) * (1.0 + self.half_pixels / pixels);
                macs *= slow;
                if !image {
                    macs *= 1.0 + self.half_in / f64::from(cin);
                }
            }
            let whole = |c: u32| self.pack < 2 || c.is_multiple_of(self.pack);
            if !whole(cout) || !(image || whole(cin)) {
                unpacked = macs;
            }
            if self.group_launches {
                launches = f64::from(groups);
            }
            if self.winograd && self.kind(kernel) == KernelKind::Conv3x3 {
                macs *= tiled(height.max(1), width.max(1));
            }
        }
        [
            batch * macs,
            batch * row_work / columns,
            batch * read,
            batch * written,
            batch * (moved - cache_elems).max(0.0),
            kernel.weights as f64,
            launches,
            batch * unpacked,
        ]
    }

    /// As [`work`](Self::work), of a kind with effects of its own.
    pub fn work_with(
        &self,
        effects: &Effects,
        kernel: &Kernel,
        batch: f64,
        cache_elems: f64,
    ) -> [f64; Rates::COUNT] {
        let mut units = self.work(kernel, batch, cache_elems);
        effects.apply(kernel, batch, &mut units);
        units
    }
}

/// Multiplications of the cheapest Winograd tiling for each one of the direct convolution.
fn tiled(height: u32, width: u32) -> f64 {
    let tiles = |side: u32| u64::from(height.div_ceil(side)) * u64::from(width.div_ceil(side));
    let least = (64 * tiles(6)).min(36 * tiles(4)).min(16 * tiles(2));
    least as f64 / (9 * u64::from(height) * u64::from(width)) as f64
}

#[cfg(test)]
mod tests {
    use super::{Law, tiled};
    use crate::device::Rates;
    use crate::fuse::{Kernel, KernelKind, Window};
    use crate::ir::Shape;

    #[test]
    fn tiles_are_counted_whole() {
        // 12x12: 4 tiles of 6x6 cost 64 each, of 144 pixels with 9 taps
        assert_eq!(tiled(12, 12), 256.0 / 1296.0);
        // 7x7: 4 tiles of 6x6 (256), of 4x4 (144), 16 of 2x2 (256)
        assert_eq!(tiled(7, 7), 144.0 / 441.0);
        assert_eq!(tiled(1, 1), 16.0 / 9.0);
    }

    fn conv(kind: KernelKind, cin: u32, cout: u32, groups: u32, size: u32) -> Kernel {
        let map = |c| Shape::Map { c, h: 4, w: 8 };
        Kernel {
            kind,
            input: map(cin),
            output: map(cout),
            window: Window {
                kernel_size: [size; 2],
                groups,
                ..Window::default()
            },
            macs: 1000,
            elems_in: map(cin).elems(),
            elems_out: map(cout).elems(),
            weights: 50,
            act: None,
            fused_norm: false,
            fused_add: false,
        }
    }

    #[test]
    fn units_by_hand() {
        let plain = conv(KernelKind::Conv1x1, 6, 8, 1, 1);
        let units = Law::PLAIN.work(&plain, 2.0, 400.0);
        // 6*32 read, 8*32 written, 448 - 400 beyond the cache
        assert_eq!(units, [2000.0, 250.0, 384.0, 512.0, 96.0, 50.0, 1.0, 0.0]);
        let units = Law::NCNN.work(&plain, 1.0, f64::INFINITY);
        let macs = 1000.0 * (1.0 + 3.0 / 8.0) * (1.0 + 12.0 / 32.0) * (1.0 + 3.0 / 6.0);
        assert!((units[0] - macs).abs() < 1e-9);
        // six channels are no whole pack
        assert!((units[Rates::UNPACKED] - macs).abs() < 1e-9);
        let act = conv(KernelKind::Act, 8, 8, 1, 1);
        assert_eq!(Law::PLAIN.kind(&act), KernelKind::Act);
        let apart = Law {
            learned_apart: true,
            ..Law::PLAIN
        };
        assert_eq!(apart.kind(&act), KernelKind::ActLearned);
        let relu = Kernel { weights: 0, ..act };
        assert_eq!(apart.kind(&relu), KernelKind::Act);
        let grouped = conv(KernelKind::Grouped, 16, 16, 4, 3);
        assert_eq!(Law::NCNN.kind(&grouped), KernelKind::Conv3x3);
        assert_eq!(Law::PLAIN.kind(&grouped), KernelKind::Grouped);
        let units = Law::NCNN.work(&grouped, 1.0, f64::INFINITY);
        assert_eq!((units[6], units[Rates::UNPACKED]), (4.0, 0.0));
        let shape = (1.0 + 3.0 / 4.0) * (1.0 + 3.0 / 4.0) * (1.0 + 12.0 / 32.0);
        // 6 and 8 channels beside 16, and no whole 16; groups pay for the latter alone
        let units = Law::TENSOR_CORES.work(&plain, 3.0, f64::INFINITY);
        let macs = 3000.0 * (1.0 + 16.0 / 6.0) * (1.0 + 16.0 / 8.0);
        assert!((units[0] - macs).abs() < 1e-9 && units[Rates::UNPACKED] == units[0]);
        let units = Law::TENSOR_CORES.work(&grouped, 3.0, f64::INFINITY);
        assert_eq!(
            (units[0], units[Rates::UNPACKED], units[6]),
            (3000.0, 3000.0, 1.0)
        );
        let wide = conv(KernelKind::Grouped, 64, 64, 4, 3);
        let units = Law::TENSOR_CORES.work(&wide, 3.0, f64::INFINITY);
        assert_eq!((units[0], units[Rates::UNPACKED]), (3000.0, 0.0));
        let units = Law::NCNN.work(&grouped, 1.0, f64::INFINITY);
        // 4x8 pixels: 2 tiles of 4x4 (72) are cheaper than 2 of 6x6 (128) and 8 of 2x2 (128), of 288
        assert!((units[0] - 1000.0 * shape * 72.0 / 288.0).abs() < 1e-9);
    }
}
