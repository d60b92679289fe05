//! Where the networks of a measured space lie, so that its like have the interval of that space and others do not.

use super::law::Law;
use crate::fuse::{Kernel, KernelKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A space whose networks were measured.
///
/// Other networks of it are predicted as well as those that were held out; a network that only resembles them may be
/// much further off. So all of a network must lie where the fitted ones do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its name.
    pub space: String,
    /// Fewest and most kernels of each kind in one network; of kinds that are not here a network has none.
    pub kernels: BTreeMap<KernelKind, [u32; 2]>,
    /// Fewest and most multiply-accumulates of a network.
    pub macs: [u64; 2],
    /// Fewest and most elements that the kernels of a network read and write.
    pub elems: [u64; 2],
    /// Half width of the interval on its networks that were held out, a natural logarithm, by batch.
    pub half_log: BTreeMap<u32, f64>,
}

/// What of a network a region knows.
struct Extent {
    kernels: BTreeMap<KernelKind, u32>,
    macs: u64,
    elems: u64,
}

impl Extent {
    fn of(kernels: &[Kernel], law: &Law) -> Self {
        let mut extent = Extent {
            kernels: BTreeMap::new(),
            macs: 0,
            elems: 0,
        };
        for kernel in kernels {
            *extent.kernels.entry(law.kind(kernel)).or_default() += 1;
            extent.macs = extent.macs.saturating_add(kernel.macs);
            let moved = kernel.elems_in.saturating_add(kernel.elems_out);
            extent.elems = extent.elems.saturating_add(moved);
        }
        extent
    }
}

fn widen<T: Ord + Copy>(range: &mut [T; 2], by: T) {
    *range = [range[0].min(by), range[1].max(by)];
}

fn holds<T: Ord>(range: &[T; 2], what: &T) -> bool {
    range[0] <= *what && *what <= range[1]
}

impl Region {
    /// The region of these networks; `None` of none.
    pub fn of<'a>(
        space: &str,
        networks: impl Iterator<Item = &'a [Kernel]>,
        law: &Law,
        half_log: BTreeMap<u32, f64>,
    ) -> Option<Self> {
        let mut region: Option<Self> = None;
        for extent in networks.map(|n| Extent::of(n, law)) {
            let region = region.get_or_insert_with(|| Self {
                space: space.to_owned(),
                kernels: extent.kernels.iter().map(|(k, n)| (*k, [*n; 2])).collect(),
                macs: [extent.macs; 2],
                elems: [extent.elems; 2],
                half_log: half_log.clone(),
            });
            for (kind, range) in &mut region.kernels {
                widen(range, extent.kernels.get(kind).copied().unwrap_or(0));
            }
            for (kind, n) in extent.kernels {
                // the networks before it had none
                region.kernels.entry(kind).or_insert([0, n]);
            }
            widen(&mut region.macs, extent.macs);
            widen(&mut region.elems, extent.elems);
        }
        region
    }

    /// The half width of a network of this space at a batch among those held out; the larger of both neighbours between two
    /// of them. `None` of any other.
    pub fn half(&self, kernels: &[Kernel], batch: u32, law: &Law) -> Option<f64> {
        let below = self.half_log.range(..=batch).next_back()?.1;
        let above = self.half_log.range(batch..).next()?.1;
        let extent = Extent::of(kernels, law);
        let known = extent.kernels.keys().all(|k| self.kernels.contains_key(k));
        let number = |k: &KernelKind| extent.kernels.get(k).copied().unwrap_or(0);
        let within = known
            && self
                .kernels
                .iter()
                .all(|(k, range)| holds(range, &number(k)))
            && holds(&self.macs, &extent.macs)
            && holds(&self.elems, &extent.elems);
        within.then_some(below.max(*above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::{FuseRules, fuse};
    use crate::ir::text;

    fn net(width: u32, act: &str) -> Vec<Kernel> {
        let text = format!(
            "%0 input 3x32x32 : in\n%1 conv {width}x32x32 (%0) k3 p1 : a\n{act}%3 conv 8x32x32 (%2) k1 : b\noutput %3\n"
        )
        .replace("WIDTH", &width.to_string());
        fuse(&text::parse(&text).unwrap(), &FuseRules::eager()).list
    }

    #[test]
    fn only_what_lies_within_in_all_respects_is_of_the_space() {
        let relu = "%2 relu WIDTHx32x32 (%1) : r\n";
        let fitted = [net(8, relu), net(32, relu)];
        let halves = BTreeMap::from([(1, 0.3), (64, 0.05)]);
        let region = Region::of("s", fitted.iter().map(Vec::as_slice), &Law::PLAIN, halves);
        let region = region.unwrap();
        let half = |net: &[Kernel], batch| region.half(net, batch, &Law::PLAIN);
        assert_eq!(half(&net(16, relu), 1), Some(0.3));
        assert_eq!(half(&net(16, relu), 64), Some(0.05));
        // between two batches the less certain of both; beyond them nothing is known
        assert_eq!(half(&net(16, relu), 8), Some(0.3));
        assert_eq!(half(&net(16, relu), 65), None);
        // wider, narrower, another kind of kernel, one kernel less
        assert_eq!(half(&net(33, relu), 1), None);
        assert_eq!(half(&net(7, relu), 1), None);
        assert_eq!(half(&net(16, "%2 silu WIDTHx32x32 (%1) : r\n"), 1), None);
        assert_eq!(half(&net(16, "%2 dropout WIDTHx32x32 (%1) : r\n"), 1), None);
    }
}
