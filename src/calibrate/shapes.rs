//! What of their shapes makes single kinds dearer, found on operators alone.
//!
//! For each kind that enough operators are of, [`Effects`] are changed one at a time, and a change stays where those
//! operators are predicted better from each other with it. Networks have no part in it, so that errors on them stay honest.

use super::fit::{Options, solve};
use super::priors::{EffectTable, Work};
use super::sample::Sample;
use crate::base::stats::mean;
use crate::device::{Effects, Law};
use crate::fuse::KernelKind;
use rayon::prelude::*;

/// Fewer operators of a kind than this say nothing of its shapes.
pub const MIN_ROWS: usize = 8;

/// A change stays where it takes this share of the error away.
const GAIN: f64 = 0.03;

/// Rounds over all changes.
const ROUNDS: usize = 3;

/// Units of work of each sample.
pub fn works(samples: &[Sample], cache_elems: f64, law: &Law, effects: &EffectTable) -> Vec<Work> {
    let of = |s: &Sample| Work::with(&s.kernels, s.batch, cache_elems, law, effects);
    samples.iter().map(of).collect()
}

/// Mean error of `rows` predicted from each other in `parts`.
pub fn cross(
    works: &[Work],
    costs: &[f64],
    rows: &[usize],
    parts: usize,
    options: &Options,
) -> f64 {
    let mut misses = Vec::with_capacity(rows.len());
    for part in 0..parts {
        let mut keep = vec![false; works.len()];
        let (test, train): (Vec<_>, Vec<_>) = rows
            .iter()
            .enumerate()
            .partition(|(at, _)| at % parts == part);
        for (_, row) in &train {
            keep[**row] = true;
        }
        let table = solve(works, costs, |i| keep[i], &options.prior, options);
        misses.extend(
            test.iter()
                .map(|(_, row)| (table.cost(&works[**row]) / costs[**row]).ln().abs()),
        );
    }
    mean(&misses).unwrap_or(f64::INFINITY)
}

/// The effects of each kind that single operators show.
pub fn find(operators: &[&Sample], options: &Options) -> EffectTable {
    let options = &Options {
        weights: Vec::new(),
        ..options.clone()
    };
    let kind_of = |sample: &Sample| {
        let mut kinds = sample.kernels.iter().map(|k| options.law.kind(k));
        let first = kinds.next()?;
        kinds.all(|k| k == first).then_some(first)
    };
    let found = KernelKind::ALL.par_iter().map(|kind| {
        let rows = operators.iter().filter(|r| kind_of(r) == Some(*kind));
        let rows: Vec<Sample> = rows.copied().cloned().collect();
        // a processor learns the signs of a small map by heart when it sees them again and again, as in no network: what
        // small maps of PReLU take in a loop says nothing of shapes
        match rows.len() < MIN_ROWS || *kind == KernelKind::ActLearned {
            true => Effects::NONE,
            false => of_kind(*kind, &rows, options),
        }
    });
    let mut table = [Effects::NONE; KernelKind::COUNT];
    for (effects, found) in table.iter_mut().zip(found.collect::<Vec<_>>()) {
        *effects = found;
    }
    table
}

fn of_kind(kind: KernelKind, rows: &[Sample], options: &Options) -> Effects {
    let times: Vec<f64> = rows.iter().map(|r| r.latency_s).collect();
    let all: Vec<usize> = (0..rows.len()).collect();
    let cache = options.cache_elems.unwrap_or(f64::INFINITY);
    let error = |effects: &Effects| {
        let mut table = [Effects::NONE; KernelKind::COUNT];
        table[kind.index()] = *effects;
        let works = works(rows, cache, &options.law, &table);
        cross(&works, &times, &all, 5, options)
    };
    let mut best = (error(&Effects::NONE), Effects::NONE);
    for _ in 0..ROUNDS {
        let before = best.1;
        for change in CHANGES {
            // the value of this change that errs least
            let mut own = best;
            for value in 0..VALUES {
                let mut effects = best.1;
                if !change(&mut effects, value) || effects == best.1 {
                    continue;
                }
                let error = error(&effects);
                if error < own.0 {
                    own = (error, effects);
                }
            }
            if own.0 < best.0 * (1.0 - GAIN) {
                best = own;
            }
        }
        if best.1 == before {
            break;
        }
    }
    best.1
}

/// Sets one effect to its value of that number; false where it has no more.
type Change = fn(&mut Effects, usize) -> bool;

/// More than any effect has values.
const VALUES: usize = 28;

const HALVES: &[f64] = &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
const PIXELS: &[f64] = &[0.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
const FACTORS: &[f64] = &[0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0];
const LEARNED: &[f64] = &[
    1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0,
];
const LAUNCHES: &[f64] = &[0.0, 0.15, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0];

const CHANGES: &[Change] = &[
    |e, i| put(&mut e.group_launches, &[false, true], i),
    |e, i| put(&mut e.small_launch, LAUNCHES, i),
    |e, i| put(&mut e.small, FACTORS, i),
    |e, i| put(&mut e.half_out, HALVES, i),
    |e, i| put(&mut e.half_in, HALVES, i),
    |e, i| put(&mut e.half_pixels, PIXELS, i),
    |e, i| put(&mut e.lanes, &[0, 4, 8, 16, 32], i),
    |e, i| {
        // each factor with each pack
        e.pack = [4, 8, 16, 32][i % 4];
        put(
            &mut e.unpacked,
            &[1.2, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0],
            i / 4,
        )
    },
    |e, i| put(&mut e.learned, LEARNED, i),
    |e, i| put(&mut e.strided, FACTORS, i),
    |e, i| put(&mut e.dilated, FACTORS, i),
];

fn put<T: Copy>(place: &mut T, values: &[T], at: usize) -> bool {
    let value = values.get(at);
    if let Some(value) = value {
        *place = *value;
    }
    value.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::priors;
    use crate::fuse::{Kernel, Window};
    use crate::ir::Shape;
    use std::sync::Arc;

    fn operator(number: u32, groups: u32, kernel: u32, dilation: u32) -> Kernel {
        let (c, side) = (
            groups * (8 + 8 * (number % 5)),
            [7, 14, 28][number as usize % 3],
        );
        let map = Shape::Map {
            c,
            h: side,
            w: side,
        };
        let window = Window {
            kernel_size: [kernel; 2],
            dilation: [dilation; 2],
            groups,
            ..Window::default()
        };
        let weights = u64::from(kernel * kernel * c / groups) * u64::from(c);
        Kernel {
            kind: KernelKind::of_conv(&window, c, c),
            input: map,
            output: map,
            window,
            macs: weights * u64::from(side * side),
            elems_in: map.elems(),
            elems_out: map.elems(),
            weights,
            act: None,
            fused_norm: false,
            fused_add: false,
        }
    }

    /// A device on which dilated convolutions multiply at a third of the speed and each group of a 1x1 convolution is a launch.
    #[test]
    fn a_slow_shape_is_found_and_no_other() {
        let runtime = priors::cpu();
        let truth = runtime.time.scaled(0.4);
        let options = Options {
            pull: 1e-4,
            kinds_first: false,
            ..Options::new(runtime)
        };
        let mut samples = Vec::new();
        for number in 0..40 {
            let mut kernel = match number % 2 {
                0 => operator(
                    number,
                    1,
                    [5, 3][number as usize / 2 % 2],
                    1 + number / 2 % 2,
                ),
                _ => operator(number, [2, 4, 8][number as usize / 2 % 3], 1, 1),
            };
            let (macs, groups) = (kernel.macs, kernel.window.groups);
            if kernel.window.dilation == [2; 2] {
                kernel.macs *= 3;
            }
            let work = Work::of(&[kernel], 1, f64::INFINITY, &options.law);
            kernel.macs = macs;
            let mut latency_s = truth.cost(&work);
            if kernel.kind == KernelKind::Grouped1x1 {
                latency_s += f64::from(groups - 1) * truth.rates[kernel.kind.index()][6];
            }
            samples.push(Sample {
                network: number.to_string(),
                group: String::new(),
                kernels: Arc::from([kernel]),
                batch: 1,
                latency_s,
                energy_j: None,
            });
        }
        let rows: Vec<&Sample> = samples.iter().collect();
        let found = find(&rows, &options);
        let dilated = found[KernelKind::ConvOther.index()].dilated;
        assert!((2.5..=4.0).contains(&dilated), "{dilated}");
        assert!(found[KernelKind::Grouped1x1.index()].group_launches);
        assert!(found[KernelKind::Conv3x3.index()].is_none());
    }
}
