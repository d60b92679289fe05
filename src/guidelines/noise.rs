//! How far a predicted saving can be off.
//!
//! A saving is the difference of two predictions by the same rates. What runs in both networks is wrong by the same amount
//! and cancels; what runs in one of them does not. So the kernels that only the one or only the other has are added up by
//! class of work (convolution, depthwise, data movement, element-wise), and each of these sums is taken to be off by a
//! factor of its own. How large that factor is follows from the profile's interval: such errors in the classes of the
//! network, independent of each other, would have to make the interval that the whole network has.
//!
//! Sums of kernels with transferred rates are off by the factor that the profile states for these: what is removed saves
//! between one part in that factor of its predicted cost and that factor times it.

use super::network::Network;
use crate::device::KernelCost;
use crate::fuse::Kernel;
use std::collections::HashMap;

/// Seconds and joules by class of work with fitted rates; last those with transferred rates.
type Sums = [[f64; 2]; CLASSES + 1];

const CLASSES: usize = 4;

fn add(sums: &mut Sums, kernel: &Kernel, cost: &KernelCost) {
    let class = match cost.transferred {
        true => CLASSES,
        false => kernel.kind.class() as usize,
    };
    if let (Some(cost), Some(sum)) = (cost.cost, sums.get_mut(class)) {
        sum[0] += cost.latency.0;
        sum[1] += cost.energy.map_or(0.0, |e| e.0);
    }
}

/// Cost of the kernels that `network` has more of than `other`.
fn alone(network: &Network<'_>, other: &Network<'_>) -> Sums {
    let mut shared: HashMap<&Kernel, usize> = HashMap::new();
    for kernel in &other.kernels.list {
        *shared.entry(kernel).or_default() += 1;
    }
    let mut sums = Sums::default();
    for (kernel, cost) in network.kernels.list.iter().zip(&network.costs) {
        match shared.get_mut(kernel) {
            Some(left) if *left > 0 => *left -= 1,
            _ => add(&mut sums, kernel, cost),
        }
    }
    sums
}

fn squares(sums: &[[f64; 2]], what: usize) -> f64 {
    sums.iter().map(|s| s[what] * s[what]).sum()
}

/// By how much less a saving may be than predicted and by how much more: in seconds, then in joules. Transferred rates
/// are off by a factor of e to the `transferred_log`.
pub fn widths(before: &Network<'_>, after: &Network<'_>, transferred_log: f64) -> [[f64; 2]; 2] {
    let mut all = Sums::default();
    for (kernel, cost) in before.kernels.list.iter().zip(&before.costs) {
        add(&mut all, kernel, cost);
    }
    let (gone, new) = (alone(before, after), alone(after, before));
    let log = |of: fn(&Network<'_>) -> Option<(f64, f64)>| {
        let one =
            |n: &Network<'_>| of(n).map_or(0.0, |(mid, lo)| (mid / lo.max(f64::MIN_POSITIVE)).ln());
        one(before).max(one(after))
    };
    let logs = [
        log(|n| Some((n.prediction.latency.0, n.prediction.latency_lo.0))),
        log(|n| Some((n.prediction.energy?.0, n.prediction.energy_lo?.0))),
    ];
    let carried = transferred_log.exp();
    let off = |what: usize| {
        let total: f64 = all.iter().map(|s| s[what]).sum();
        let spread = (squares(&all, what).sqrt() / total.max(f64::MIN_POSITIVE)).max(0.1);
        let factor = logs[what] / spread;
        let fitted = squares(&gone[..CLASSES], what) + squares(&new[..CLASSES], what);
        let fitted = factor * factor * fitted;
        let (gone, new) = (gone[CLASSES][what], new[CLASSES][what]);
        let (small, large) = (1.0 - 1.0 / carried, carried - 1.0);
        [
            (fitted + (gone * small).powi(2) + (new * large).powi(2)).sqrt(),
            (fitted + (gone * large).powi(2) + (new * small).powi(2)).sqrt(),
        ]
    };
    [off(0), off(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceModel;
    use crate::ir::{Graph, text};

    /// Two convolutions, and node 2 between them.
    fn net(node: &str) -> Graph {
        let text = format!(
            "%0 input 64x56x56 : in\n%1 conv 64x56x56 (%0) k3 p1 : a\n%2 {node} : r\n%3 conv 64x56x56 (%2) k3 p1 : b\noutput %3\n"
        );
        text::parse(&text).unwrap()
    }

    /// Two convolutions and a relu that runs by itself; what differs is told apart from what cancels.
    #[test]
    fn what_runs_in_both_networks_cancels() {
        let with = net("relu 64x56x56 (%1)");
        let without = net("dropout 64x56x56 (%1)");
        let model = DeviceModel::find("rtx3090-torch").unwrap();
        let [before, after] = [&with, &without].map(|g| Network::on(g, &model, 1).unwrap());
        assert_eq!(widths(&before, &before, 0.5), [[0.0; 2]; 2]);
        let [[half, more], joules] = widths(&before, &after, 0.5);
        assert_eq!((half, joules), (more, [0.0; 2]));
        // by hand: convolutions and element-wise work of the first, the factor that makes its interval, times the relu
        let cost = |k: usize| before.costs[k].cost.unwrap().latency.0;
        let (convs, relu) = (cost(0) + cost(2), cost(1));
        let p = &before.prediction;
        let log = (p.latency_hi.0 / p.latency.0).ln();
        let log = log.max((after.prediction.latency_hi.0 / after.prediction.latency.0).ln());
        let factor = log * (convs + relu) / convs.hypot(relu);
        assert!((half / (factor * relu) - 1.0).abs() < 1e-9, "{half}");
    }
    /// The Pi's cells have no shuffle: between a part of its predicted cost and a multiple of it is saved without one.
    #[test]
    fn transferred_rates_are_off_by_their_own_factor() {
        let with = net("shuffle 64x56x56 (%1) g4");
        let without = net("dropout 64x56x56 (%1)");
        let model = DeviceModel::find("pi5-onnx").unwrap();
        let [before, after] = [&with, &without].map(|g| Network::on(g, &model, 1).unwrap());
        assert!(before.costs[1].transferred);
        let shuffle = before.costs[1].cost.unwrap().latency.0;
        let [[less, more], _] = widths(&before, &after, 3f64.ln());
        assert!(
            (less / shuffle - 2.0 / 3.0).abs() < 1e-6,
            "{less} {shuffle}"
        );
        assert!((more / shuffle - 2.0).abs() < 1e-6, "{more} {shuffle}");
        let [[less, more], _] = widths(&after, &before, 3f64.ln());
        assert!((less / shuffle - 2.0).abs() < 1e-6, "{less}");
        assert!((more / shuffle - 2.0 / 3.0).abs() < 1e-6, "{more}");
    }
}
