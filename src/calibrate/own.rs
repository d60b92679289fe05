//! Profiles from one's own rows where single operators are among them: what the operators alone say of networks, and what
//! all rows but those of a family say of that family.

use super::error::CalibrateError;
use super::fit::{self, Fitted, covered_by_others, errors, group_quantile, seen, short, solve};
use super::nasbench::A76_CACHE_ELEMS;
use super::priors::{self, Work};
use super::public::About;
use super::sample::Sample;
use super::shapes;
use crate::device::{Effects, HeldOut, Law, Profile, Quantity};
use crate::fuse::{Kernel, KernelKind};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// A measured row.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What was measured; its group is the family.
    pub sample: Sample,
    /// Whether it is a single operator.
    pub operator: bool,
}

/// Elements that near caches may hold; that which errs least on operators held out is taken.
const CACHES: [f64; 5] = [32_768.0, A76_CACHE_ELEMS, 262_144.0, 1e6, 4e6];

/// How strongly rates are pulled towards likely ones: hardly, for operators tell one rate from another.
const PULL: f64 = 1e-4;

/// A network is what the profile is for, and has caches and memory as they are in use.
fn weight(row: &Measured) -> f64 {
    if row.operator { 1.0 } else { 2.0 }
}

/// Fewer operators than this say nothing of their own.
pub const MIN_OPERATORS: usize = 30;

/// A profile from rows among which are operators, with its errors on networks by split.
///
/// # Errors
/// Where there are too few rows.
pub fn fit_with_operators(about: About<'_>, rows: &[Measured]) -> Result<Profile, CalibrateError> {
    let samples: Vec<Sample> = rows.iter().map(|r| r.sample.clone()).collect();
    let operators: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].operator).collect();
    let networks: Vec<usize> = (0..rows.len()).filter(|i| !rows[*i].operator).collect();
    let needed = MIN_OPERATORS;
    if operators.len() < needed {
        return Err(CalibrateError::TooFew {
            what: format!("{} (operators)", about.name),
            needed,
            got: operators.len(),
        });
    }
    // PReLU costs some runtimes many times what a comparison does: a kind of its own where enough operators show it
    let prelu = |k: &Kernel| k.kind == KernelKind::Act && k.weights > 0;
    let learned = |i: &&usize| samples[**i].kernels.iter().any(prelu);
    let about = About {
        law: Law {
            learned_apart: operators.iter().filter(learned).count() >= shapes::MIN_ROWS,
            ..about.law
        },
        ..about
    };
    let options = |cache_elems| fit::Options {
        pull: PULL,
        huber: 0.05,
        cache_elems: Some(cache_elems),
        law: about.law,
        kinds_first: false,
        weights: rows.iter().map(weight).collect(),
        ..fit::Options::new(priors::Runtime {
            time: priors::wide(),
            power: priors::ONE_POWER,
        })
    };
    let times: Vec<f64> = samples.iter().map(|s| s.latency_s).collect();
    let options = match about.cache_elems {
        None => fit::Options {
            cache_elems: None,
            ..options(f64::INFINITY)
        },
        Some(_) => {
            let judged = CACHES.par_iter().map(|cache| {
                let (options, none) = (options(*cache), [Effects::NONE; KernelKind::COUNT]);
                let works = shapes::works(&samples, *cache, &options.law, &none);
                (
                    shapes::cross(&works, &times, &operators, 5, &options),
                    *cache,
                )
            });
            let judged = judged.collect::<Vec<_>>().into_iter();
            let best = judged.min_by(|a, b| a.0.total_cmp(&b.0));
            options(best.map_or(A76_CACHE_ELEMS, |(_, cache)| cache))
        }
    };
    let alone: Vec<&Sample> = operators.iter().map(|i| &samples[*i]).collect();
    let effects = shapes::find(&alone, &options);
    let cache = options.cache_elems.unwrap_or(f64::INFINITY);
    let works = shapes::works(&samples, cache, &options.law, &effects);
    let latency = solve(&works, &times, |_| true, &options.prior, &options);

    let (mut held_out, mut width) = (Vec::new(), 0.0);
    for (method, predicted) in
        predictions(&samples, &works, &times, &operators, &networks, &options)
    {
        let pairs: Vec<(f64, f64)> = predicted
            .iter()
            .map(|(i, p)| {
                let batch = f64::from(samples[*i].batch.max(1));
                (p / batch, times[*i] / batch)
            })
            .collect();
        let groups: Vec<&str> = predicted
            .iter()
            .map(|(i, _)| samples[*i].group.as_str())
            .collect();
        if !pairs.is_empty() {
            width = group_quantile(&pairs, &groups, fit::LEVEL);
            held_out.push(judged(&pairs, &groups, method));
        }
    }
    let first = held_out.first().cloned();
    let first = first.unwrap_or_else(|| errors(&[], &[], "no networks among the rows"));
    let mut fitted = Fitted::of(
        &samples,
        latency,
        seen(&samples, &options.law),
        first,
        width,
    );
    fitted.held_out = held_out;
    let energies: Option<Vec<f64>> = samples.iter().map(|s| s.energy_j).collect();
    if let Some(energies) = energies {
        let prior = fit::powered(&fitted.latency, &options);
        let joules = fit::Options {
            prior: prior.clone(),
            ..options.clone()
        };
        let mut last = 0.0;
        for (method, predicted) in
            predictions(&samples, &works, &energies, &operators, &networks, &joules)
        {
            let pairs: Vec<(f64, f64)> =
                predicted.iter().map(|(i, p)| (*p, energies[*i])).collect();
            let groups: Vec<&str> = predicted
                .iter()
                .map(|(i, _)| samples[*i].group.as_str())
                .collect();
            if !pairs.is_empty() {
                last = group_quantile(&pairs, &groups, fit::LEVEL);
                fitted.held_out.push(HeldOut {
                    quantity: Quantity::Energy,
                    ..judged(&pairs, &groups, method)
                });
            }
        }
        fitted.interval.energy_log = Some(short(last));
        fitted.energy = Some(solve(&works, &energies, |_| true, &prior, &joules));
    }
    let kinds = fitted.kinds();
    let about = About {
        cache_elems: options.cache_elems,
        ..about
    };
    let mut profile = about.profile(&fitted, kinds);
    let changed = profile.kernels.keys().map(|k| (*k, effects[k.index()]));
    profile.effects = changed.filter(|(_, e)| !e.is_none()).collect();
    Ok(profile)
}

/// Errors, and what the interval of the other groups covers.
fn judged(pairs: &[(f64, f64)], groups: &[&str], method: &str) -> HeldOut {
    let (inside, wide) = covered_by_others(pairs, groups, fit::LEVEL);
    HeldOut {
        coverage: Some(short(inside)),
        width: Some(short(wide)),
        ..errors(pairs, groups, method)
    }
}

type Predicted = (&'static str, Vec<(usize, f64)>);

/// Networks from the operators alone, and each family from all rows but its own.
fn predictions(
    samples: &[Sample],
    works: &[Work],
    costs: &[f64],
    operators: &[usize],
    networks: &[usize],
    options: &fit::Options,
) -> [Predicted; 2] {
    let operator: BTreeSet<usize> = operators.iter().copied().collect();
    let only = |i: usize| operator.contains(&i);
    let alone = solve(works, costs, only, &options.prior, options);
    let from_operators = networks.iter().map(|i| (*i, alone.cost(&works[*i])));
    let families: BTreeSet<&str> = networks
        .iter()
        .map(|i| samples[*i].group.as_str())
        .collect();
    let families: Vec<&str> = families.into_iter().collect();
    let left_out: Vec<Vec<(usize, f64)>> = families
        .par_iter()
        .map(|family| {
            let out = |i: usize| !operator.contains(&i) && samples[i].group == **family;
            let table = solve(works, costs, |i| !out(i), &options.prior, options);
            let own = networks.iter().filter(|i| out(**i));
            own.map(|i| (*i, table.cost(&works[*i]))).collect()
        })
        .collect();
    [
        (
            "networks predicted from operators and short chains of them alone",
            from_operators.collect(),
        ),
        (
            "each family predicted from operators and the other families",
            match families.len() {
                0 | 1 => Vec::new(),
                _ => left_out.concat(),
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::priors::RateTable;
    use crate::fuse::{FuseRules, Window};
    use crate::ir::Shape;
    use std::sync::Arc;

    fn conv(kernel: u32, cin: u32, cout: u32, side: u32) -> Kernel {
        let map = |c| Shape::Map {
            c,
            h: side,
            w: side,
        };
        let window = Window {
            kernel_size: [kernel; 2],
            ..Window::default()
        };
        let pixels = u64::from(side * side);
        let weights = u64::from(cin * cout * kernel * kernel);
        Kernel {
            kind: KernelKind::of_conv(&window, cin, cout),
            input: map(cin),
            output: map(cout),
            window,
            macs: weights * pixels,
            elems_in: u64::from(cin) * pixels,
            elems_out: u64::from(cout) * pixels,
            weights,
            act: None,
            fused_norm: false,
            fused_add: false,
        }
    }

    fn row(
        name: &str,
        family: &str,
        kernels: Vec<Kernel>,
        truth: &RateTable,
        operator: bool,
    ) -> Measured {
        let work = Work::of(&kernels, 1, 1e5, &Law::PLAIN);
        Measured {
            sample: Sample {
                network: name.to_owned(),
                group: family.to_owned(),
                kernels: Arc::from(kernels),
                batch: 1,
                latency_s: truth.cost(&work),
                energy_j: None,
            },
            operator,
        }
    }

    /// A made-up device whose rates are multiples of the prior ones: operators find them, and networks of both families
    /// follow. Where one family's rows are three times slower than its kernels say, only that family is missed.
    #[test]
    fn operators_alone_tell_networks_of_a_device_that_adds_up() {
        let runtime = priors::cpu();
        let mut truth = runtime.time.scaled(2e-12);
        for rate in &mut truth.rates[KernelKind::Conv3x3.index()] {
            *rate *= 0.5;
        }
        let mut rows = Vec::new();
        for i in 0..40u32 {
            let (kernel, side) = ([1, 3][i as usize % 2], [7, 14, 28, 56][i as usize / 2 % 4]);
            let op = conv(kernel, 8 + 8 * (i % 7), 16 + 8 * (i % 5), side);
            // some several times in a row, as in the suite, or what a run costs is no other thing than a launch
            let ops = vec![op; if i % 5 == 0 { 6 } else { 1 }];
            rows.push(row(&format!("op {i}"), "conv", ops, &truth, true));
        }
        for i in 0..12u32 {
            let family = ["a", "b", "c"][i as usize % 3];
            let net =
                (0..6 + i % 4).map(|k| conv([1, 3][k as usize % 2], 16 + 8 * k, 24 + 8 * i, 14));
            rows.push(row(
                &format!("net {i}"),
                family,
                net.collect(),
                &truth,
                false,
            ));
        }
        let about = || About {
            name: "made-up",
            hardware: "none",
            runtime: "torch",
            threads: Some(1),
            precision: Some("fp32"),
            rules: FuseRules::eager(),
            law: Law::PLAIN,
            cache_elems: Some(1e5),
            provenance: crate::device::Provenance::default(),
        };
        let profile = fit_with_operators(about(), &rows).unwrap();
        assert_eq!(profile.held_out.len(), 2);
        for held in &profile.held_out {
            assert_eq!((held.rows, held.groups), (12, 3));
            assert!(held.mape < 0.03, "{held:?}");
        }
        for slow in rows.iter_mut().filter(|r| r.sample.group == "b") {
            slow.sample.latency_s *= 3.0;
        }
        let profile = fit_with_operators(about(), &rows).unwrap();
        let mape = profile.held_out[0].mape;
        // two thirds exact, one third predicted at a third of what it takes
        assert!((mape - 2.0 / 9.0).abs() < 0.03, "{mape}");
        let few = fit_with_operators(about(), &rows[20..]);
        assert!(few.unwrap_err().to_string().contains("30"));
    }
}
