//! What of a kernel's shape makes the work of one kind dearer.

use super::profile::Rates;
use crate::fuse::{Kernel, KernelKind, WorkClass};
use serde::{Deserialize, Serialize};

/// Factors on the work of one kind of kernel, beside what the [`Law`](super::Law) says of all kinds. They stand on its main
/// work: multiply-accumulates, where there are none elements read and written.
///
/// Channels are those of one group; a depthwise convolution and all that does not multiply go through all of theirs side
/// by side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Effects {
    /// Input channels at which it runs at half speed.
    pub half_in: f64,
    /// Output channels at which it does.
    pub half_out: f64,
    /// Output pixels at which it does.
    pub half_pixels: f64,
    /// Output channels are counted up to whole vectors of so many; 0 or 1 where that does not matter.
    pub lanes: u32,
    /// Channels that are no multiple of this pay `unpacked`; 0 or 1 where that does not matter.
    pub pack: u32,
    /// Factor where input or output channels are no multiple of `pack`.
    pub unpacked: f64,
    /// Factor where it steps over pixels.
    pub strided: f64,
    /// Factor where its taps are apart.
    pub dilated: f64,
    /// Factor where an activation has weights of its own (PReLU).
    pub learned: f64,
    /// Factor where the input has at most [`SMALL`](Self::SMALL) elements.
    pub small: f64,
    /// Factor on its launch there.
    pub small_launch: f64,
    /// Each group is a launch of its own.
    pub group_launches: bool,
}

impl Default for Effects {
    fn default() -> Self {
        Self::NONE
    }
}

impl Effects {
    /// No effect.
    pub const NONE: Effects = Effects {
        half_in: 0.0,
        half_out: 0.0,
        half_pixels: 0.0,
        lanes: 0,
        pack: 0,
        unpacked: 1.0,
        strided: 1.0,
        dilated: 1.0,
        learned: 1.0,
        small: 1.0,
        small_launch: 1.0,
        group_launches: false,
    };

    /// Elements up to which libtorch leaves a dense convolution to its own loops instead of oneDNN.
    pub const SMALL: f64 = 20480.0;

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The numbers in it by name, for checks.
    pub fn numbers(&self) -> [(&'static str, f64); 9] {
        [
            ("half_in", self.half_in),
            ("half_out", self.half_out),
            ("half_pixels", self.half_pixels),
            ("unpacked", self.unpacked),
            ("strided", self.strided),
            ("dilated", self.dilated),
            ("learned", self.learned),
            ("small", self.small),
            ("small_launch", self.small_launch),
        ]
    }

    /// Changes the units of work of a launch on a batch.
    pub(super) fn apply(&self, kernel: &Kernel, batch: f64, units: &mut [f64; Rates::COUNT]) {
        let window = &kernel.window;
        let groups = match kernel.kind.class() {
            WorkClass::Conv => window.groups.max(1),
            _ => 1,
        };
        let [cin, cout] = [kernel.input.channels(), kernel.output.channels()];
        let [cin, cout] = [cin, cout].map(|c| (c / groups).max(1));
        let (height, width) = kernel.output.hw();
        let pixels = batch * f64::from(height.max(1)) * f64::from(width.max(1));
        let mut factor = (1.0 + self.half_in / f64::from(cin))
            * (1.0 + self.half_out / f64::from(cout))
            * (1.0 + self.half_pixels / pixels);
        if self.lanes > 1 {
            let counted = f64::from(cout.div_ceil(self.lanes)) * f64::from(self.lanes);
            factor *= counted / f64::from(cout);
        }
        let whole = |c: u32| self.pack < 2 || c.is_multiple_of(self.pack);
        if !(whole(cin) && whole(cout)) {
            factor *= self.unpacked;
        }
        if window.stride != [1; 2] {
            factor *= self.strided;
        }
        if window.dilation != [1; 2] {
            factor *= self.dilated;
        }
        if kernel.kind == KernelKind::Act && kernel.weights > 0 {
            factor *= self.learned;
        }
        if batch * kernel.elems_in as f64 <= Self::SMALL {
            factor *= self.small;
            units[Rates::LAUNCH] *= self.small_launch;
        }
        if self.group_launches {
            units[Rates::LAUNCH] *= f64::from(groups);
        }
        let main: &[usize] = match kernel.macs {
            0 => &[Rates::IN, Rates::OUT],
            _ => &[Rates::MAC, Rates::EDGE, Rates::UNPACKED],
        };
        for at in main {
            units[*at] *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Effects;
    use crate::device::{Law, Rates};
    use crate::fuse::{Kernel, KernelKind, Window};
    use crate::ir::Shape;

    fn kernel(groups: u32, stride: u32, dilation: u32) -> Kernel {
        let map = |c, side| Shape::Map {
            c,
            h: side,
            w: side,
        };
        let window = Window {
            kernel_size: [3; 2],
            stride: [stride; 2],
            dilation: [dilation; 2],
            groups,
        };
        Kernel {
            kind: KernelKind::of_conv(&window, 24, 40),
            input: map(24, 10),
            output: map(40, 5),
            window,
            macs: 216_000,
            elems_in: 2400,
            elems_out: 1000,
            weights: 8640,
            act: None,
            fused_norm: false,
            fused_add: false,
        }
    }

    #[test]
    fn factors_by_hand() {
        let law = Law::PLAIN;
        let plain = |k: &Kernel| law.work(k, 1.0, f64::INFINITY);
        let with = |e: &Effects, k: &Kernel| law.work_with(e, k, 1.0, f64::INFINITY);
        let dense = kernel(1, 2, 1);
        assert_eq!(with(&Effects::NONE, &dense), plain(&dense));
        let effects = Effects {
            half_in: 12.0,
            half_out: 10.0,
            half_pixels: 25.0,
            ..Effects::NONE
        };
        // (1 + 12/24) (1 + 10/40) (1 + 25/25)
        let units = with(&effects, &dense);
        assert_eq!(units[0], 216_000.0 * 3.75);
        assert_eq!(units[1..4], [plain(&dense)[1] * 3.75, 2400.0, 1000.0]);
        // 40 channels fill three vectors of 16; 24 are no multiple of 16; it steps; 2,400 elements are few
        let effects = Effects {
            lanes: 16,
            pack: 16,
            unpacked: 2.0,
            strided: 3.0,
            dilated: 100.0,
            small: 5.0,
            small_launch: 0.5,
            ..Effects::NONE
        };
        let units = with(&effects, &dense);
        assert_eq!(units[0], 216_000.0 * (48.0 / 40.0) * 2.0 * 3.0 * 5.0);
        assert_eq!(units[Rates::LAUNCH], 0.5);
        // in each of 8 groups 3 channels become 5
        let grouped = kernel(8, 1, 2);
        let effects = Effects {
            half_in: 3.0,
            dilated: 1.5,
            group_launches: true,
            ..Effects::NONE
        };
        let units = with(&effects, &grouped);
        assert_eq!(units[0], 216_000.0 * 2.0 * 1.5);
        assert_eq!(units[Rates::LAUNCH], 8.0);
        // what does not multiply has its elements as its work
        let relu = Kernel {
            kind: KernelKind::Act,
            window: Window::default(),
            macs: 0,
            ..kernel(1, 1, 1)
        };
        let effects = Effects {
            half_out: 40.0,
            learned: 3.0,
            ..Effects::NONE
        };
        let units = with(&effects, &relu);
        // the weights make it a PReLU
        assert_eq!(units[2..4], [2.0 * 3.0 * 2400.0, 2.0 * 3.0 * 1000.0]);
        let relu = Kernel { weights: 0, ..relu };
        assert_eq!(with(&effects, &relu)[2..4], [4800.0, 2000.0]);
    }
}
