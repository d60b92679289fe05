//! Rates for kinds that a device's networks do not have.
//!
//! Rule: between two runtimes on the same core type, what a kind costs relative to an anchor kind is the same. The anchor
//! of convolutions is the dense 1x1 convolution, of everything else the relu; both are compared at one
//! reference kernel. Energy: the transferred time draws the power that the anchor draws.
//!
//! It is a rule of thumb: no table has measured it, so the profile says `transferred`, and the interval widens.

use super::fit::short;
use super::priors::RateTable;
use crate::device::{KindProfile, Law, Rates, Support};
use crate::fuse::{Kernel, KernelKind, Window, WorkClass};
use crate::ir::Shape;
use std::collections::BTreeMap;

/// Added to the interval's half width where all of the time is transferred: a factor of 1.65 either way.
pub const TRANSFERRED_LOG: f64 = 0.5;

/// Added for each factor e that kernels lie beyond the largest seen.
pub const FAR_LOG: f64 = 0.1;

/// The kind whose ratio carries another over.
pub fn anchor(kind: KernelKind) -> KernelKind {
    match kind.class() {
        WorkClass::Conv | WorkClass::Depthwise => KernelKind::Conv1x1,
        WorkClass::ElementWise | WorkClass::DataMovement => KernelKind::Act,
    }
}

/// The kernel at which anchors are compared: 64 channels of 28 by 28.
pub fn reference(kind: KernelKind) -> Kernel {
    let map = Shape::Map {
        c: 64,
        h: 28,
        w: 28,
    };
    let elems = map.elems();
    let dense = matches!(kind.class(), WorkClass::Conv | WorkClass::Depthwise);
    let taps = if kind == KernelKind::Conv3x3 { 9 } else { 1 };
    Kernel {
        kind,
        input: map,
        output: map,
        window: Window::default(),
        macs: if dense { taps * 64 * elems } else { 0 },
        elems_in: elems,
        elems_out: elems,
        weights: if dense { taps * 64 * 64 } else { 0 },
        act: None,
        fused_norm: false,
        fused_add: false,
    }
}

fn cost(rates: &[f64; Rates::COUNT], kernel: &Kernel, law: &Law) -> f64 {
    let units = law.work(kernel, 1.0, f64::INFINITY);
    rates.iter().zip(units).map(|(r, u)| r * u).sum()
}

/// Adds to `kinds` every kind that `source` knows and they do not.
///
/// `known` says which kinds `source` has rates for; `laws` are those of `source` and of `kinds`; `from` names it.
pub fn fill(
    kinds: &mut BTreeMap<KernelKind, KindProfile>,
    source: &RateTable,
    laws: [&Law; 2],
    known: impl Fn(KernelKind) -> bool,
    from: &str,
) {
    let fitted = kinds.clone();
    for kind in KernelKind::ALL.iter().copied() {
        let anchor = anchor(kind);
        let Some(own) = fitted.get(&anchor) else {
            continue;
        };
        let told = |k: KernelKind| fitted.get(&k).is_some_and(|k| k.support == Support::Fitted);
        if told(kind) || !known(kind) || !known(anchor) {
            continue;
        }
        let at = reference(anchor);
        let (there, here) = (
            cost(&source.rates[anchor.index()], &at, laws[0]),
            cost(&own.latency_s.to_array(), &at, laws[1]),
        );
        if there <= 0.0 || here <= 0.0 {
            continue;
        }
        let ratio = here / there;
        let mut rates = source.rates[kind.index()].map(|r| r * ratio);
        // what lies beyond the caches costs every kind that streams the same
        let streams = kind.class() != WorkClass::Conv;
        rates[Rates::SPILLED] = if streams {
            own.latency_s.per_elem_spilled
        } else {
            0.0
        };
        let power = own
            .energy_j
            .map(|joules| cost(&joules.to_array(), &at, laws[1]) / here);
        let profile = KindProfile {
            support: Support::Transferred {
                from: from.to_owned(),
                rule: format!("cost relative to {} is the same", anchor.name()),
            },
            seen: None,
            latency_s: Rates::from_array(rates.map(short)),
            energy_j: power.map(|watts| Rates::from_array(rates.map(|r| short(r * watts)))),
            host_s: own.host_s,
        };
        kinds.insert(kind, profile);
    }
}

/// How far off the rule is where it can be checked: for kinds that both have and whose number differs from network to
/// network, the logarithm of the cost that the rule makes up over the cost that was fitted, at the reference kernel.
pub fn misses(kinds: &BTreeMap<KernelKind, KindProfile>, source: &RateTable) -> Vec<f64> {
    use KernelKind::{Add, AvgPool, Conv3x3, Mul};
    let here = |kind: KernelKind| {
        let fitted = kinds.get(&kind).filter(|k| k.seen.is_some())?;
        Some(cost(
            &fitted.latency_s.to_array(),
            &reference(kind),
            &Law::PLAIN,
        ))
    };
    let there = |kind: KernelKind| cost(&source.rates[kind.index()], &reference(kind), &Law::NCNN);
    let miss = |kind: &KernelKind| {
        let anchor = anchor(*kind);
        let made = here(anchor)? * there(*kind) / there(anchor);
        let fitted = here(*kind)?;
        (made > 0.0 && fitted > 0.0).then(|| (made / fitted).ln())
    };
    [Conv3x3, AvgPool, Add, Mul]
        .iter()
        .filter_map(miss)
        .collect()
}

/// Gives kinds without rates those of a sibling that does much the same.
pub fn fill_siblings(kinds: &mut BTreeMap<KernelKind, KindProfile>) {
    use KernelKind::{
        Concat, Conv1x1, Conv3x3, Conv3x3Strided, ConvOther, Copy, Grouped, Grouped1x1, LayerNorm,
        Other, Shuffle,
    };
    for (kind, sibling) in [
        (Shuffle, Copy),
        (Copy, Concat),
        (Shuffle, Copy),
        (Grouped1x1, Conv1x1),
        (Grouped, Conv3x3),
        (ConvOther, Conv3x3Strided),
        (LayerNorm, Other),
    ] {
        if kinds.contains_key(&kind) {
            continue;
        }
        if let Some(like) = kinds.get(&sibling).cloned() {
            let support = Support::Transferred {
                from: sibling.name().to_owned(),
                rule: "costs the same".to_owned(),
            };
            let profile = KindProfile {
                support,
                seen: None,
                ..like
            };
            kinds.insert(kind, profile);
        }
    }
}
