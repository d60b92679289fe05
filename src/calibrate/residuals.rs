//! What is left over: errors on kinds of kernels that a fit never saw, and pictures of errors by group.

use super::arm::{self, Boards};
use super::interval::{LEVEL, miss, pooled_quantile};
use super::joint;
use super::transfer::TRANSFERRED_LOG;
use crate::base::stats::{median, quantile};
use crate::device::Law;
use crate::fuse::KernelKind;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A network with a kind of kernel that the fit never saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Strange {
    /// The kind.
    pub kind: KernelKind,
    /// The network.
    pub network: String,
    /// Predicted and measured seconds.
    pub pair: (f64, f64),
    /// Half width of the table's interval as for any network.
    pub half: f64,
    /// What is added to it for the share of the time that carried rates predict.
    pub widened: f64,
}

/// For each kind that some networks have and most have not: those networks predicted by a fit to the others. The rates of
/// the kind are then those that are likely on any board.
pub fn kinds_left_out(boards: &Boards) -> Vec<Strange> {
    let mut having: BTreeMap<KernelKind, BTreeSet<&str>> = BTreeMap::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for sample in boards.tables.iter().flat_map(|t| &t.samples) {
        names.insert(&sample.network);
        for kernel in sample.kernels.iter() {
            let with = having.entry(Law::NCNN.kind(kernel)).or_default();
            with.insert(&sample.network);
        }
    }
    having.retain(|_, with| 2 * with.len() <= names.len());
    let held = boards.held_out();
    let misses: Vec<(usize, &str, f64)> = held.iter().map(|(t, n, p)| (*t, *n, miss(p))).collect();
    let one = |(kind, with): (&KernelKind, &BTreeSet<&str>)| {
        let joint = boards.without_networks(|n| with.contains(n));
        let mut found = Vec::new();
        for (number, table) in boards.tables.iter().enumerate() {
            let others = || misses.iter().filter(|(_, n, _)| !with.contains(n));
            let own: Vec<f64> = (others().filter(|(t, _, _)| *t == number))
                .map(|m| m.2)
                .collect();
            let all: Vec<f64> = others().map(|m| m.2).collect();
            let half = pooled_quantile(&own, &all, LEVEL);
            let rates = boards.columns.table(&joint.logs[number]);
            for sample in table
                .samples
                .iter()
                .filter(|s| with.contains(s.network.as_str()))
            {
                let work = arm::work(sample);
                let costs = boards.columns.costs(&work);
                let seconds = joint::predict(&costs, &joint.logs[number]).exp();
                let of_kind = work.0[kind.index()].iter().zip(rates.rates[kind.index()]);
                let share = of_kind.map(|(u, r)| u * r).sum::<f64>() / seconds;
                found.push(Strange {
                    kind: *kind,
                    network: sample.network.clone(),
                    pair: (seconds, sample.latency_s),
                    half,
                    widened: TRANSFERRED_LOG * share,
                });
            }
        }
        found
    };
    having.par_iter().flat_map(one).collect()
}

/// Errors by group as a picture: a line from the tenth to the ninetieth part of a group's rows, a dot at its middle; the
/// groups that are farthest off first, at most so many.
pub fn picture(title: &str, misses: &[(&str, f64)], most: usize) -> String {
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (group, miss) in misses {
        groups.entry(group).or_default().push(*miss);
    }
    let mean = |v: &Vec<f64>| v.iter().map(|m| m.abs()).sum::<f64>() / v.len() as f64;
    let mut groups: Vec<(&str, Vec<f64>)> = groups.into_iter().collect();
    groups.sort_by(|a, b| mean(&b.1).total_cmp(&mean(&a.1)));
    groups.truncate(most);
    let (left, wide, row) = (190.0, 440.0, 18.0);
    // from half to twice as long as measured
    let reach = std::f64::consts::LN_2;
    let x = |log: f64| left + wide * (log.clamp(-reach, reach) + reach) / (2.0 * reach);
    let height = 70.0 + row * groups.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"700\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"700\" height=\"{height}\" fill=\"white\"/>\n<text x=\"10\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    let bottom = height - 28.0;
    for percent in [-50, -25, -10, 0, 10, 25, 50, 100] {
        let at = x((1.0 + f64::from(percent) / 100.0).ln());
        let stroke = if percent == 0 { "#555" } else { "#ddd" };
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"32\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"{stroke}\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" font-size=\"10\">{percent:+} %</text>",
            bottom + 14.0
        );
    }
    for (i, (group, misses)) in groups.iter().enumerate() {
        let y = 44.0 + row * i as f64;
        let at = |q: f64| x(quantile(misses, q).unwrap_or(0.0));
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{group} ({})</text><line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#4477aa\" stroke-width=\"4\"/><circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#cc3311\"/>",
            left - 8.0,
            y + 4.0,
            misses.len(),
            at(0.1),
            at(0.9),
            x(median(misses).unwrap_or(0.0)),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::picture;

    #[test]
    fn the_farthest_group_stands_first_and_dots_stand_at_medians() {
        let rows = [("near", 0.01), ("far", 0.5), ("far", 0.5), ("mid", -0.2)];
        let svg = picture("t", &rows, 2);
        let (far, mid) = (
            svg.find(">far (2)<").unwrap(),
            svg.find(">mid (1)<").unwrap(),
        );
        assert!(far < mid && !svg.contains("near"), "{svg}");
        // 0 stands in the middle of 190 to 630; half of ln 2 stands half way to the right end
        let half = picture("t", &[("a", 0.5 * std::f64::consts::LN_2)], 1);
        assert!(half.contains("cx=\"520.0\""), "{half}");
        assert!(half.contains("x1=\"410.0\" y1=\"32\""), "{half}");
    }
}
