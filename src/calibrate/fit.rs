//! The fit, its cross-validation and the profile made of both.

use super::error::CalibrateError;
use super::linear::dot;
use super::nnls::Normal;
use super::priors::{RateTable, Runtime, Work};
use super::sample::Sample;
use crate::base::stats::{kendall_tau, mean, median};
use crate::device::{HeldOut, Interval, KindProfile, Law, Quantity, Rates, Seen, Support};
use crate::fuse::KernelKind;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Fewer samples than this are no fit.
pub const MIN_SAMPLES: usize = 3;

/// Share of held-out groups that intervals cover.
pub const LEVEL: f64 = super::interval::LEVEL;

/// The least that a kind may cost, over what is likely. Not more: on the Pi sums cost an eighth of what is likely.
pub const LEAST: f64 = 0.02;

/// How to fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Rates before any data. Their common scale is fitted first, then one factor for each kind.
    pub prior: RateTable,
    /// Power of each sort of work before any energy data, over that of a multiply-accumulate.
    pub power: [f64; Rates::COUNT],
    /// How strongly the factors of kinds are pulled towards 1: weakly, for the prior knows how the rates of a kind go
    /// together better than how kinds do.
    pub kind_pull: f64,
    /// Whether each kind gets a factor before each rate does.
    pub kinds_first: bool,
    /// The least factor of a kind. No work is free: where samples would have a kind at less, its time went to what it
    /// always comes with, so that they cannot tell.
    pub least: f64,
    /// What each sample counts, by its number; 1 where the list ends.
    pub weights: Vec<f64>,
    /// How the runtime turns shapes into work.
    pub law: Law,
    /// How strongly rates are pulled towards the prior: the square of (expected relative error of a sample / expected
    /// relative error of a prior rate).
    pub pull: f64,
    /// Relative errors beyond this count linearly, not squared.
    pub huber: f64,
    /// Kinds whose rates keep their prior ratio to another kind's, because the samples cannot tell them apart.
    pub tied: Vec<(KernelKind, KernelKind)>,
    /// Elements that the near caches hold.
    pub cache_elems: Option<f64>,
    /// Parts that groups are dealt into for cross-validation; each group its own part where there are fewer.
    pub folds: usize,
    /// What was held out, in words, for the profile.
    pub method: String,
}

impl Options {
    /// Defaults for these prior rates.
    pub fn new(prior: Runtime) -> Self {
        Self {
            prior: prior.time,
            power: prior.power,
            kind_pull: 0.0002,
            kinds_first: true,
            least: LEAST,
            weights: Vec::new(),
            law: Law::PLAIN,
            pull: 0.0025,
            huber: 0.05,
            tied: Vec::new(),
            cache_elems: None,
            folds: 10,
            method: "groups held out in 10 parts".to_owned(),
        }
    }
}

/// A fit and what it is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Seconds.
    pub latency: RateTable,
    /// Joules; `None` where not all samples have energy.
    pub energy: Option<RateTable>,
    /// What the samples had of each kind, by [`KernelKind::index`].
    pub seen: Vec<Option<Seen>>,
    /// Errors on held-out groups.
    pub held_out: Vec<HeldOut>,
    /// Half widths from the same errors; those of transfer are 0.
    pub interval: Interval,
    /// Samples, groups, networks.
    pub counts: [u32; 3],
    /// Smallest and largest batch.
    pub batch: [u32; 2],
    /// Shortest and longest time of one sample.
    pub range_s: [f64; 2],
}

/// Fits rates to samples, and says how good they are on groups that the fit does not see.
///
/// # Errors
/// Where there are too few samples.
pub fn fit(what: &str, samples: &[Sample], options: &Options) -> Result<Fitted, CalibrateError> {
    if samples.len() < MIN_SAMPLES {
        return Err(CalibrateError::TooFew {
            what: what.to_owned(),
            needed: MIN_SAMPLES,
            got: samples.len(),
        });
    }
    let cache = options.cache_elems.unwrap_or(f64::INFINITY);
    let works: Vec<Work> = samples
        .par_iter()
        .map(|s| Work::of(&s.kernels, s.batch, cache, &options.law))
        .collect();
    let groups: BTreeSet<&str> = samples.iter().map(|s| s.group.as_str()).collect();
    let fold_of: BTreeMap<&str, usize> = groups
        .iter()
        .enumerate()
        .map(|(i, g)| (*g, i % options.folds.max(2)))
        .collect();
    let folds: Vec<usize> = samples.iter().map(|s| fold_of[s.group.as_str()]).collect();

    let times: Vec<f64> = samples.iter().map(|s| s.latency_s).collect();
    let latency = solve(&works, &times, |_| true, &options.prior, options);
    let (held, q) = cross(samples, &works, &times, &folds, &options.prior, options);
    let mut held_out = vec![HeldOut {
        quantity: Quantity::Latency,
        ..held
    }];
    let mut interval = Interval {
        level: LEVEL,
        latency_log: q,
        energy_log: None,
        transferred_log: 0.0,
        far_log: 0.0,
    };
    let energies: Option<Vec<f64>> = samples.iter().map(|s| s.energy_j).collect();
    let energy = energies.map(|energies| {
        let prior = &powered(&latency, options);
        let (held, q) = cross(samples, &works, &energies, &folds, prior, options);
        held_out.push(HeldOut {
            quantity: Quantity::Energy,
            ..held
        });
        interval.energy_log = Some(q);
        solve(&works, &energies, |_| true, prior, options)
    });
    let seen = seen(samples, &options.law);
    Ok(Fitted {
        energy,
        held_out,
        interval,
        ..Fitted::of(samples, latency, seen, errors(&[], &[], ""), 0.0)
    })
}

/// Rates of energy before energy data: those of time, at the powers of the options.
pub fn powered(latency: &RateTable, options: &Options) -> RateTable {
    let mut table = latency.clone();
    for rates in &mut table.rates {
        for (rate, power) in rates.iter_mut().zip(options.power) {
            *rate *= power;
        }
    }
    table
}

/// The rates that explain `costs` best, over the samples that `keep` lets in: first a factor for each kind, where
/// the options say so, then one for each rate.
pub fn solve(
    works: &[Work],
    costs: &[f64],
    keep: impl Fn(usize) -> bool,
    prior: &RateTable,
    options: &Options,
) -> RateTable {
    let rows: Vec<usize> = (0..works.len()).filter(|i| keep(*i)).collect();
    if !options.kinds_first {
        return refine(works, costs, &rows, prior, options, false);
    }
    let by_kind = refine(works, costs, &rows, prior, options, true);
    refine(works, costs, &rows, &by_kind, options, false)
}

fn refine(
    works: &[Work],
    costs: &[f64],
    rows: &[usize],
    prior: &RateTable,
    options: &Options,
    by_kind: bool,
) -> RateTable {
    let ratios: Vec<f64> = rows
        .iter()
        .map(|i| costs[*i] / prior.cost(&works[*i]).max(f64::MIN_POSITIVE))
        .collect();
    let prior = prior.scaled(median(&ratios).unwrap_or(1.0));
    // the column that a rate belongs to
    let leader = |kind: usize, rate: usize| {
        let tie = options.tied.iter().find(|(k, _)| k.index() == kind);
        let led = tie.map(|(_, to)| to.index());
        let kind = led
            .filter(|to| by_kind || prior.rates[*to][rate] > 0.0)
            .unwrap_or(kind);
        (kind, if by_kind { 0 } else { rate })
    };
    // unknowns are factors of the prior rates that any sample uses; tied kinds share theirs
    let mut columns: Vec<(usize, usize)> = Vec::new();
    for (kind, rates) in prior.rates.iter().enumerate() {
        for (rate, value) in rates.iter().enumerate() {
            if *value > 0.0 && rows.iter().any(|i| works[*i].0[kind][rate] > 0.0) {
                columns.push(leader(kind, rate));
            }
        }
    }
    columns.sort_unstable();
    columns.dedup();
    let column_of: BTreeMap<(usize, usize), usize> =
        columns.iter().enumerate().map(|(i, c)| (*c, i)).collect();
    let constant = columns.len();
    let row = |i: usize| -> Vec<f64> {
        let mut row = vec![0.0; constant + 1];
        for (kind, rates) in prior.rates.iter().enumerate() {
            for (rate, value) in rates.iter().enumerate() {
                if let Some(column) = column_of.get(&leader(kind, rate)) {
                    row[*column] += value * works[i].0[kind][rate] / costs[i];
                }
            }
        }
        row[constant] = prior.constant / costs[i];
        row
    };
    let matrix: Vec<Vec<f64>> = rows.iter().map(|i| row(*i)).collect();
    let pull = if by_kind {
        options.kind_pull
    } else {
        options.pull
    };
    // of a kind the unknown is what it costs beyond the least
    let mut least = vec![if by_kind { options.least } else { 0.0 }; constant];
    least.push(0.0);
    let own = |i: &usize| options.weights.get(*i).copied().unwrap_or(1.0);
    let own: Vec<f64> = rows.iter().map(own).collect();
    let mut weights = own.clone();
    let mut factors = vec![1.0; constant + 1];
    for _ in 0..6 {
        let mut normal = Normal::new(constant + 1);
        for (a, weight) in matrix.iter().zip(&weights) {
            normal.add(a, 1.0 - dot(a, &least), *weight);
        }
        for (i, least) in least.iter().enumerate() {
            normal.pull(i, 1.0 - least, pull);
        }
        let beyond = normal.solve();
        factors = beyond.iter().zip(&least).map(|(b, l)| b + l).collect();
        for ((a, own), weight) in matrix.iter().zip(&own).zip(&mut weights) {
            let miss = dot(a, &factors) - 1.0;
            *weight = own * (options.huber / miss.abs().max(1e-12)).min(1.0);
        }
    }
    // kinds and rates that no sample uses keep their prior: the caller decides what becomes of them
    let mut table = prior.clone();
    for (kind, rates) in table.rates.iter_mut().enumerate() {
        for (rate, value) in rates.iter_mut().enumerate() {
            if let Some(column) = column_of.get(&leader(kind, rate)) {
                *value *= factors[*column];
            }
        }
    }
    table.constant *= factors.last().copied().unwrap_or(1.0);
    if by_kind {
        for (column, (factor, least)) in columns.iter().zip(factors.iter().zip(&least)) {
            table.guessed[column.0] = *factor <= least * (1.0 + 1e-9);
        }
    }
    for (kind, _) in &columns {
        if table.rates[*kind].iter().all(|r| *r == 0.0) {
            table.rates[*kind] = prior.rates[*kind].map(|r| r * options.least);
            table.guessed[*kind] = true;
        }
    }
    table
}

/// Predicts each part from the others.
fn cross(
    samples: &[Sample],
    works: &[Work],
    costs: &[f64],
    folds: &[usize],
    prior: &RateTable,
    options: &Options,
) -> (HeldOut, f64) {
    let parts: BTreeSet<usize> = folds.iter().copied().collect();
    let predicted: Vec<Vec<(usize, f64)>> = parts
        .into_par_iter()
        .map(|part| {
            let table = solve(works, costs, |i| folds[i] != part, prior, options);
            let held = (0..costs.len()).filter(|i| folds[*i] == part);
            held.map(|i| (i, table.cost(&works[i]))).collect()
        })
        .collect();
    let mut of: Vec<f64> = vec![0.0; costs.len()];
    for (i, cost) in predicted.into_iter().flatten() {
        of[i] = cost;
    }
    // for one sample of the batch, or tau would rank batches
    let per_sample = samples.iter().map(|s| f64::from(s.batch.max(1)));
    let pairs: Vec<(f64, f64)> = (of.iter().zip(costs).zip(per_sample))
        .map(|((predicted, measured), n)| (predicted / n, measured / n))
        .collect();
    let groups: Vec<&str> = samples.iter().map(|s| s.group.as_str()).collect();
    let mut held = errors(&pairs, &groups, &options.method);
    let width = group_quantile(&pairs, &groups, LEVEL);
    // each part against a width that it had no part in
    let misses: Vec<f64> = pairs.iter().map(|(p, m)| (p / m).ln().abs()).collect();
    let (mut inside, mut widths) = (0.0, 0.0);
    for part in folds.iter().copied().collect::<BTreeSet<usize>>() {
        let of = |own: bool| -> Vec<f64> {
            let all = misses.iter().zip(folds);
            all.filter(|(_, f)| (**f == part) == own)
                .map(|(e, _)| *e)
                .collect()
        };
        let half = super::interval::conformal_quantile(&of(false), LEVEL);
        let own = of(true);
        inside += own.iter().filter(|e| **e <= half).count() as f64;
        widths += own.len() as f64 * (half.exp() - (-half).exp());
    }
    let n = misses.len().max(1) as f64;
    held.coverage = Some(short(inside / n));
    held.width = Some(short(widths / n));
    (held, width)
}

/// Errors of (predicted, measured) pairs. The quantity is latency: change it where it is another.
pub fn errors(pairs: &[(f64, f64)], groups: &[&str], method: &str) -> HeldOut {
    let apes: Vec<f64> = pairs.iter().map(|(p, m)| (p / m - 1.0).abs()).collect();
    let within = apes.iter().filter(|e| **e <= 0.1).count();
    let groups: BTreeSet<&&str> = groups.iter().collect();
    HeldOut {
        quantity: Quantity::Latency,
        method: method.to_owned(),
        rows: pairs.len() as u32,
        groups: groups.len() as u32,
        mape: short(mean(&apes).unwrap_or(0.0)),
        median_ape: short(median(&apes).unwrap_or(0.0)),
        within_10: short(within as f64 / pairs.len().max(1) as f64),
        tau: kendall_tau(pairs).map(short),
        coverage: None,
        width: None,
    }
}

/// The quantile of absolute log errors where each group weighs the same, however many rows it has.
pub fn group_quantile(pairs: &[(f64, f64)], groups: &[&str], level: f64) -> f64 {
    let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
    for group in groups {
        *sizes.entry(group).or_default() += 1.0;
    }
    let mut errors: Vec<(f64, f64)> = pairs
        .iter()
        .zip(groups)
        .map(|((p, m), g)| ((p.max(1e-300) / m).ln().abs(), 1.0 / sizes[g]))
        .collect();
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all = sizes.len() as f64;
    let mut weight = 0.0;
    for (error, w) in &errors {
        weight += w;
        if weight >= level * all - 1e-9 {
            return short(*error);
        }
    }
    errors.last().map_or(0.0, |e| short(e.0))
}

/// The share of rows inside an interval that their own group had no part in, and its width over its middle; each group
/// weighs the same.
pub fn covered_by_others(pairs: &[(f64, f64)], groups: &[&str], level: f64) -> (f64, f64) {
    let names: BTreeSet<&str> = groups.iter().copied().collect();
    let (mut inside, mut widths) = (0.0, 0.0);
    for name in &names {
        let rows = || pairs.iter().zip(groups);
        let (others, theirs): (Vec<(f64, f64)>, Vec<&str>) =
            rows().filter(|(_, g)| *g != name).unzip();
        let own: Vec<(f64, f64)> = rows().filter(|(_, g)| *g == name).map(|r| *r.0).collect();
        let half = group_quantile(&others, &theirs, level);
        let (covered, wide) = super::interval::cover(&own, |_| half);
        inside += covered;
        widths += wide;
    }
    let n = names.len().max(1) as f64;
    (inside / n, widths / n)
}

/// Four significant digits: enough for a file, and the same on every machine.
pub fn short(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}

/// What samples have of each kind whose rates they cost.
pub fn seen(samples: &[Sample], law: &Law) -> Vec<Option<Seen>> {
    let mut seen = vec![None; KernelKind::COUNT];
    let mut networks: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); KernelKind::COUNT];
    for sample in samples {
        for kernel in sample.kernels.iter() {
            let entry = seen[law.kind(kernel).index()].get_or_insert(Seen {
                networks: 0,
                max_macs: 0,
                max_elems: 0,
            });
            entry.max_macs = entry.max_macs.max(kernel.macs);
            entry.max_elems = entry.max_elems.max(kernel.elems_in + kernel.elems_out);
            networks[law.kind(kernel).index()].insert(&sample.network);
        }
    }
    for (entry, networks) in seen.iter_mut().zip(networks) {
        if let Some(entry) = entry {
            entry.networks = networks.len() as u32;
        }
    }
    seen
}

/// Of a kind that the samples cannot tell from what it comes with.
fn least_likely() -> Support {
    Support::Transferred {
        from: "likely rates before any data".to_owned(),
        rule: "the networks cannot tell it from what it comes with, so it costs the least that is likely".to_owned(),
    }
}

impl Fitted {
    /// What a fit of the latency of these samples found elsewhere.
    pub fn of(
        samples: &[Sample],
        latency: RateTable,
        seen: Vec<Option<Seen>>,
        held_out: HeldOut,
        latency_log: f64,
    ) -> Self {
        let groups: BTreeSet<&str> = samples.iter().map(|s| s.group.as_str()).collect();
        let networks: BTreeSet<&str> = samples.iter().map(|s| s.network.as_str()).collect();
        let batches = || samples.iter().map(|s| s.batch);
        let times = samples
            .iter()
            .map(|s| s.latency_s / f64::from(s.batch.max(1)));
        let range = times.fold([f64::INFINITY, 0.0], |[short, long], t| {
            [t.min(short), t.max(long)]
        });
        Self {
            latency,
            energy: None,
            seen,
            held_out: vec![held_out],
            interval: Interval {
                level: LEVEL,
                latency_log: short(latency_log),
                energy_log: None,
                transferred_log: 0.0,
                far_log: 0.0,
            },
            counts: [samples.len(), groups.len(), networks.len()].map(|n| n as u32),
            batch: [batches().min().unwrap_or(1), batches().max().unwrap_or(1)],
            range_s: range.map(|t| if t.is_finite() { short(t) } else { 0.0 }),
        }
    }

    /// The kinds among `known` that the samples lack, with the rates that the fit has for them all the same.
    pub fn carried(&self, known: &[bool], from: &str) -> BTreeMap<KernelKind, KindProfile> {
        let lacking = KernelKind::ALL.iter().filter_map(|kind| {
            let i = kind.index();
            let wanted = known[i] && self.seen[i].is_none();
            wanted.then(|| {
                let support = Support::Transferred {
                    from: from.to_owned(),
                    rule: "rates go together as on other devices".to_owned(),
                };
                let profile = KindProfile {
                    support,
                    seen: None,
                    latency_s: Rates::from_array(self.latency.rates[i].map(short)),
                    energy_j: None,
                    host_s: 0.0,
                };
                (*kind, profile)
            })
        });
        lacking.collect()
    }

    /// The fitted kinds as a profile has them.
    pub fn kinds(&self) -> BTreeMap<KernelKind, KindProfile> {
        let shorten = |rates: [f64; Rates::COUNT]| Rates::from_array(rates.map(short));
        let fitted = KernelKind::ALL.iter().filter_map(|kind| {
            let i = kind.index();
            let seen = self.seen[i]?;
            let guessed = self.latency.guessed[i];
            let profile = KindProfile {
                support: if guessed {
                    least_likely()
                } else {
                    Support::Fitted
                },
                seen: (!guessed).then_some(seen),
                latency_s: shorten(self.latency.rates[i]),
                energy_j: self.energy.as_ref().map(|e| shorten(e.rates[i])),
                host_s: 0.0,
            };
            Some((*kind, profile))
        });
        fitted.collect()
    }
}
