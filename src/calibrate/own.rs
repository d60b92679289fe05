//! Profiles from one's own rows where single operators are among them: what the operators alone say of networks, and what
//! all rows but those of a family say of that family.

use super::error::CalibrateError;
use super::fit::{self, Fitted, errors, group_quantile, seen, short, solve};
use super::priors::{self, Work};
use super::public::{About, counts};
use super::sample::Sample;
use crate::base::stats::mean;
use crate::device::{HeldOut, Law, Profile, Provenance, Quantity};
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

/// Ways in which a CPU library may turn shapes into work; the one that errs least on operators held out is taken.
const LAWS: [Law; 8] = [
    Law::PLAIN,
    law(8, 0.0, 0.0, 0.0),
    law(16, 0.0, 0.0, 0.0),
    law(0, 4.0, 4.0, 8.0),
    law(8, 4.0, 4.0, 8.0),
    law(16, 4.0, 4.0, 8.0),
    law(16, 8.0, 8.0, 24.0),
    law(16, 16.0, 16.0, 48.0),
];

const fn law(pack: u32, half_in: f64, half_out: f64, half_pixels: f64) -> Law {
    Law {
        pack,
        half_in,
        half_out,
        half_pixels,
        ..Law::PLAIN
    }
}

/// Fewer operators than this say nothing of their own.
pub const MIN_OPERATORS: usize = 30;

/// A profile from rows among which are operators, with its errors on networks by split.
///
/// # Errors
/// Where there are too few rows.
pub fn fit_with_operators(
    about: About<'_>,
    rows: &[Measured],
    runtime: priors::Runtime,
) -> Result<Profile, CalibrateError> {
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
    let options = |law| fit::Options {
        pull: 0.02,
        huber: 0.05,
        cache_elems: about.cache_elems,
        law,
        ..fit::Options::new(runtime.clone())
    };
    let times: Vec<f64> = samples.iter().map(|s| s.latency_s).collect();
    let judged = LAWS.par_iter().map(|law| {
        let options = options(*law);
        let works = works(&samples, &options);
        let error = cross(&works, &times, &operators, 5, &options);
        (error, *law)
    });
    let best = judged.collect::<Vec<_>>().into_iter();
    let best = best.min_by(|a, b| a.0.total_cmp(&b.0));
    let options = options(best.map_or(about.law, |(_, law)| law));
    let works = works(&samples, &options);
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
            held_out.push(errors(&pairs, &groups, method));
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
                    ..errors(&pairs, &groups, method)
                });
            }
        }
        fitted.interval.energy_log = Some(short(last));
        fitted.energy = Some(solve(&works, &energies, |_| true, &prior, &joules));
    }
    let kinds = fitted.kinds();
    let provenance = Provenance {
        data: about.provenance.data.clone(),
        origin: about.provenance.origin.clone(),
        licence: about.provenance.licence.clone(),
        date: about.provenance.date.clone(),
        notes: about.provenance.notes.clone(),
        ..counts(&fitted)
    };
    let about = About {
        provenance,
        law: options.law,
        ..about
    };
    Ok(about.profile(&fitted, kinds))
}

fn works(samples: &[Sample], options: &fit::Options) -> Vec<Work> {
    let cache = options.cache_elems.unwrap_or(f64::INFINITY);
    let of = |s: &Sample| Work::of(&s.kernels, s.batch, cache, &options.law);
    samples.iter().map(of).collect()
}

/// Mean error of `rows` predicted from each other in `parts`.
fn cross(
    works: &[Work],
    costs: &[f64],
    rows: &[usize],
    parts: usize,
    options: &fit::Options,
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
    let alone = solve(
        works,
        costs,
        |i| operator.contains(&i),
        &options.prior,
        options,
    );
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
            "networks predicted from single operators alone",
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
    use crate::fuse::{FuseRules, Kernel, KernelKind, Window};
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
            rows.push(row(&format!("op {i}"), "conv", vec![op], &truth, true));
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
            threads: 1,
            precision: "fp32",
            rules: FuseRules::eager(),
            law: Law::PLAIN,
            cache_elems: Some(1e5),
            provenance: Provenance {
                data: String::new(),
                origin: String::new(),
                licence: String::new(),
                date: None,
                networks: 0,
                rows: 0,
                groups: 0,
                notes: Vec::new(),
            },
        };
        let profile = fit_with_operators(about(), &rows, runtime.clone()).unwrap();
        assert_eq!(profile.held_out.len(), 2);
        for held in &profile.held_out {
            assert_eq!((held.rows, held.groups), (12, 3));
            assert!(held.mape < 0.03, "{held:?}");
        }
        for slow in rows.iter_mut().filter(|r| r.sample.group == "b") {
            slow.sample.latency_s *= 3.0;
        }
        let profile = fit_with_operators(about(), &rows, runtime.clone()).unwrap();
        let mape = profile.held_out[0].mape;
        // two thirds exact, one third predicted at a third of what it takes
        assert!((mape - 2.0 / 9.0).abs() < 0.03, "{mape}");
        let few = fit_with_operators(about(), &rows[20..], runtime);
        assert!(few.unwrap_err().to_string().contains("30"));
    }
}
