//! Profiles from one's own measurements.
//!
//! Without a profile to start from, rates are fitted as those of the Raspberry Pi are, from likely rates of the runtime.
//! With one, the new device is placed beside it: every rate is that of the known device times the ratio of speeds, and moves
//! away only as far as the measurements push. Where many profiles of the same runtime ship, the new device is placed in the
//! middle of all of them instead, and may differ from it the way they differ from each other. Networks that known devices
//! measured themselves need no rates: on boards they follow from what [`peers`](super::peers) says, beside one known device from what
//! [`beside`] says.

use super::arm::TRUST;
use super::error::CalibrateError;
use super::fit::{self, Fitted, MIN_SAMPLES, errors, seen, short};
use super::hosted::{self, Hosted};
use super::interval;
use super::joint::{self, Belief, Columns, Family, Row};
use super::peers::{Board, MIN_SHOTS, Peers};
use super::priors::{self, EffectTable, RateTable, Work};
use super::public::About;
use super::sample::Sample;
use super::{beside, told, transfer};
use crate::device::{BUILT_IN, Effects, HeldOut, Known, Law, Profile, Quantity, Rates, signature};
use crate::fuse::{Kernel, KernelKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Shipped profiles of one runtime, from which on they are a family.
const FAMILY: usize = 8;

/// What one's own rows are worth: the errors of good ones, and how far a rate may be from where it starts.
pub const BELIEF: Belief = Belief {
    noise: 0.05,
    ..Belief::DEFAULT
};

/// A profile from one's own measurements, network by network. `runtime` has the likely rates to start from where there is
/// no `init`; of `init` the fusion rules and the law are kept. `others` are networks that the profile should know where
/// known devices measured them; their times are not read.
///
/// # Errors
/// Where there are too few samples.
pub fn fit_own(
    about: About<'_>,
    samples: &[Sample],
    init: Option<&Profile>,
    runtime: priors::Runtime,
    others: &[Sample],
) -> Result<Profile, CalibrateError> {
    if let Some(init) = init
        && let Some(start) = Hosted::of(init)
    {
        let mut profile = hosted::fit_own(about, samples, init, &start)?;
        started_from(&mut profile, samples, init);
        return Ok(profile);
    }
    let (fitted, mut kinds, known) = match init {
        None => {
            let options = fit::Options {
                pull: 0.02,
                huber: 0.05,
                cache_elems: about.cache_elems,
                law: about.law,
                method: "networks held out in up to 10 parts".to_owned(),
                ..fit::Options::new(runtime)
            };
            let fitted = fit::fit(about.name, samples, &options)?;
            let kinds = fitted.kinds();
            (fitted, kinds, Vec::new())
        }
        Some(init) => {
            let (fitted, known) = adapt(&about, samples, init, others)?;
            let kinds = fitted.kinds();
            (fitted, kinds, known)
        }
    };
    if let Some(init) = init {
        let has = |k: KernelKind| init.kernels.contains_key(&k);
        transfer::fill(&mut kinds, &rates_of(init), [&init.law; 2], has, &init.name);
        // where no anchor says how a kind changes, it changes as the fit has it: not one is lost
        let lost: Vec<bool> = (KernelKind::ALL.iter())
            .map(|k| has(*k) && !kinds.contains_key(k))
            .collect();
        for (kind, mut carried) in fitted.carried(&lost, &init.name) {
            let joules = fitted.energy.as_ref();
            carried.energy_j = joules.map(|e| Rates::from_array(e.rates[kind.index()].map(short)));
            kinds.insert(kind, carried);
        }
    }
    let mut profile = about.profile(&fitted, kinds);
    profile.known = known;
    if let Some(init) = init {
        profile.effects = init.effects.clone();
        started_from(&mut profile, samples, init);
    }
    Ok(profile)
}

/// Says where a profile comes from that started from another, and which of its kinds its own rows tell.
fn started_from(profile: &mut Profile, samples: &[Sample], init: &Profile) {
    told::mark(profile, samples, &init.name);
    profile.provenance.notes.insert(
        0,
        format!(
            "started from {} ({}; {}): rates keep to it where the rows do not tell",
            init.name, init.hardware, init.runtime
        ),
    );
}

/// A known device: its rates, and the networks that it measured itself.
#[derive(Clone, Debug)]
pub struct Member {
    /// Seconds.
    pub rates: RateTable,
    /// Its networks.
    pub known: Vec<Known>,
}

/// Where a new device is looked for.
#[derive(Clone, Debug)]
pub struct Start {
    columns: Columns,
    family: Family,
    law: Law,
    effects: EffectTable,
    cache_elems: f64,
    /// By signature.
    known: BTreeMap<u64, Known>,
    /// The one device beside which the new one is placed: logarithms of its column factors.
    alone: Option<Vec<f64>>,
    peers: Option<(Peers, u32)>,
}

/// Fewer networks than this that a known device measured too place no device beside it.
const MIN_BESIDE: usize = 8;

impl Start {
    /// Around one profile, or among `family`, profiles of the same runtime, where they are many.
    pub fn new(init: &Profile, family: &[Member]) -> Self {
        let own = Member {
            rates: rates_of(init),
            known: init.known.clone(),
        };
        Self {
            effects: priors::effects_of(init),
            ..Self::of(&own, family, init.law, init.cache_elems)
        }
    }

    /// A board of so many threads among peers.
    #[must_use]
    pub fn among(self, peers: Peers, threads: u32) -> Self {
        let peers = Some((peers, threads));
        Self { peers, ..self }
    }

    /// As [`new`](Self::new), from parts.
    pub fn of(init: &Member, family: &[Member], law: Law, cache_elems: Option<f64>) -> Self {
        let columns = Columns::single(init.rates.clone());
        let alone = std::slice::from_ref(init);
        let many = family.len() >= FAMILY;
        let members = if many { family } else { alone };
        let logs: Vec<Vec<f64>> = members.iter().map(|m| columns.logs(&m.rates)).collect();
        let family = if many {
            Family::of(&logs)
        } else {
            Family::of_one(columns.logs(&init.rates))
        };
        Self {
            alone: (!many).then(|| columns.logs(&init.rates)),
            columns,
            family,
            law,
            effects: [Effects::NONE; KernelKind::COUNT],
            cache_elems: cache_elems.unwrap_or(f64::INFINITY),
            known: shared(members),
            peers: None,
        }
    }

    /// For each network asked for that known devices measured: the logarithm of its time and the half width around it.
    pub fn recall(&self, shots: &[&Sample], asked: &[&Sample]) -> Vec<Option<(f64, f64)>> {
        let from_peers = self.peers.as_ref().and_then(|(peers, threads)| {
            let mut board = Board {
                chip: String::new(),
                threads: *threads,
                logs: vec![None; peers.networks.len()],
            };
            for shot in shots.iter().filter(|s| s.batch == 1) {
                if let Some(i) = peers.find(signature(&shot.kernels)) {
                    board.logs[i] = Some(shot.latency_s.ln());
                }
            }
            let enough = board.logs.iter().flatten().count() >= MIN_SHOTS;
            let times = enough.then(|| peers.predict(&board))?;
            let spread = peers.spread * peers.scale(&board);
            let one = |s: &&Sample| {
                let (log, sd) =
                    times[peers.find(signature(&s.kernels)).filter(|_| s.batch == 1)?];
                Some((log, spread * sd))
            };
            Some(asked.iter().map(one).collect())
        });
        let beside = || {
            let alone = self.alone.as_ref()?;
            let there = |s: &Sample| -> Option<f64> {
                let known = self.known.get(&signature(&s.kernels))?;
                let work = self.work(s);
                let rates = joint::predict(&self.columns.costs(&work), alone);
                Some(rates + known.log_ratio / TRUST)
            };
            let facts = |s: &Sample, log: f64| beside::facts(&s.kernels, s.batch, log.exp());
            let measured = shots.iter().filter_map(|s| {
                let log = there(s)?;
                Some((facts(s, log), s.latency_s.ln() - log))
            });
            let measured: Vec<_> = measured.collect();
            if measured.len() < MIN_BESIDE {
                return None;
            }
            let logs: Vec<Option<f64>> = asked.iter().map(|s| there(s)).collect();
            let found = asked.iter().zip(&logs);
            let wanted: Vec<_> = found.filter_map(|(s, l)| Some(facts(s, (*l)?))).collect();
            let mut ratios = beside::ratios(&measured, &wanted).into_iter();
            let one = |log: Option<f64>| {
                let log = log?;
                let (ratio, sd) = ratios.next()?;
                Some((log + ratio, beside::Z80 * sd))
            };
            Some(logs.into_iter().map(one).collect())
        };
        let found = from_peers.or_else(beside);
        found.unwrap_or_else(|| vec![None; asked.len()])
    }

    /// Latency and signature as the fit takes them; what is known of a network is taken out of its time.
    fn row(&self, sample: &Sample) -> Row {
        Row {
            device: 0,
            costs: self.columns.costs(&self.work(sample)),
            log: sample.latency_s.ln() - self.miss(&sample.kernels),
        }
    }

    fn work(&self, sample: &Sample) -> Work {
        let (kernels, batch) = (&sample.kernels, sample.batch);
        Work::with(kernels, batch, self.cache_elems, &self.law, &self.effects)
    }

    fn miss(&self, kernels: &[Kernel]) -> f64 {
        let known = self.known.get(&signature(kernels));
        known.map_or(0.0, |k| k.log_ratio)
    }

    /// Predicted seconds of `tested` by a device of which `shots` are measured.
    pub fn predict(&self, shots: &[&Sample], tested: &[&Sample]) -> Vec<f64> {
        let rows: Vec<Row> = shots.iter().map(|s| self.row(s)).collect();
        let logs = joint::adapt(&rows, &self.family, &BELIEF);
        let rates = |s: &Sample| joint::predict(&self.row(s).costs, &logs) + self.miss(&s.kernels);
        let recalled = self.recall(shots, tested);
        let one =
            |(s, known): (&&Sample, Option<(f64, f64)>)| known.map_or_else(|| rates(s), |k| k.0);
        let all = tested.iter().zip(recalled);
        all.map(|pair| one(pair).exp()).collect()
    }
}

/// What several devices say of a network that they measured: the mean, less where they are few.
fn shared(members: &[Member]) -> BTreeMap<u64, Known> {
    // a known device's miss is one draw around the network's own with as much again of the device's
    const PRIOR: f64 = 1.0;
    let mut sums: BTreeMap<u64, (Known, f64)> = BTreeMap::new();
    for known in members.iter().flat_map(|m| &m.known) {
        let entry = sums.entry(known.signature);
        let (sum, count) = entry.or_insert_with(|| {
            let none = Known {
                log_ratio: 0.0,
                ..known.clone()
            };
            (none, 0.0)
        });
        sum.log_ratio += known.log_ratio;
        *count += 1.0;
    }
    let one = members.len() == 1;
    let mean = |(signature, (mut known, count)): (u64, (Known, f64))| {
        let shrunk = if one { count } else { count + PRIOR };
        known.log_ratio = short(known.log_ratio / shrunk);
        (signature, known)
    };
    sums.into_iter().map(mean).collect()
}

/// The shipped profiles of the same runtime and law.
pub fn family_of(init: &Profile) -> Vec<Member> {
    let shipped = BUILT_IN.iter();
    let profiles = shipped.filter_map(|b| Profile::parse(b.text, b.name).ok());
    let same = profiles
        .filter(|p| (&p.runtime, &p.law, &p.effects) == (&init.runtime, &init.law, &init.effects));
    let member = |p: Profile| Member {
        rates: rates_of(&p),
        known: p.known,
    };
    same.map(member).collect()
}

fn adapt(
    about: &About<'_>,
    samples: &[Sample],
    init: &Profile,
    others: &[Sample],
) -> Result<(Fitted, Vec<Known>), CalibrateError> {
    if samples.len() < MIN_SAMPLES {
        return Err(CalibrateError::TooFew {
            what: about.name.to_owned(),
            needed: MIN_SAMPLES,
            got: samples.len(),
        });
    }
    let mut start = Start::new(init, &family_of(init));
    if let Some(peers) = Peers::shipped_for(init) {
        start = start.among(peers, about.threads.or(init.threads).unwrap_or(1));
    }
    let rows: Vec<Row> = samples.iter().map(|s| start.row(s)).collect();
    let logs = joint::adapt(&rows, &start.family, &BELIEF);
    let latency = start.columns.table(&logs);
    let times: Vec<f64> = samples.iter().map(|s| s.latency_s).collect();
    let of = |index: &[usize]| -> Vec<&Sample> { index.iter().map(|i| &samples[*i]).collect() };
    let (held_out, own_width) = folds(samples, &times, |fit, test| {
        start.predict(&of(fit), &of(test))
    });
    // a network that nobody measured has the rates alone
    let (_, width) = folds(samples, &times, |fit, test| {
        let kept: Vec<Row> = fit.iter().map(|i| rows[*i].clone()).collect();
        let logs = joint::adapt(&kept, &start.family, &BELIEF);
        let one = |i: &usize| joint::predict(&rows[*i].costs, &logs).exp();
        test.iter().map(one).collect()
    });
    let seen = seen(samples, &init.law);
    let mut fitted = Fitted::of(samples, latency, seen, held_out, width);
    let energies: Option<Vec<f64>> = samples.iter().map(|s| s.energy_j).collect();
    if let Some(energies) = energies {
        // joules start where the known device has them, else at one power
        let prior = energy_of(init).unwrap_or_else(|| rates_of(init));
        let columns = Columns::single(prior.clone());
        let family = Family::of_one(columns.logs(&prior));
        let rows: Vec<Row> = (samples.iter().zip(&energies))
            .map(|(s, joules)| Row {
                device: 0,
                costs: columns.costs(&start.work(s)),
                log: joules.max(f64::MIN_POSITIVE).ln(),
            })
            .collect();
        let logs = joint::adapt(&rows, &family, &BELIEF);
        let (held, width) = folds(samples, &energies, |fit, test| {
            let kept: Vec<Row> = fit.iter().map(|i| rows[*i].clone()).collect();
            let logs = joint::adapt(&kept, &family, &BELIEF);
            test.iter()
                .map(|i| joint::predict(&rows[*i].costs, &logs).exp())
                .collect()
        });
        fitted.held_out.push(HeldOut {
            quantity: Quantity::Energy,
            ..held
        });
        fitted.interval.energy_log = Some(width);
        fitted.energy = Some(columns.table(&logs));
    }
    let shots: Vec<&Sample> = samples.iter().collect();
    let asked: Vec<&Sample> = others.iter().collect();
    let recalled = start.recall(&shots, &asked);
    let mut known = start.known.clone();
    for (other, recalled) in others.iter().zip(recalled) {
        let Some((log, half)) = recalled else {
            continue;
        };
        let signature = signature(&other.kernels);
        let rates = joint::predict(&start.row(other).costs, &logs);
        let recalled = Known {
            network: other.network.clone(),
            signature,
            log_ratio: short(log - rates),
            half_log: Some(short(half)),
        };
        known.insert(signature, recalled);
    }
    for (sample, row) in samples.iter().zip(&rows) {
        let miss = start.miss(&sample.kernels) + row.log - joint::predict(&row.costs, &logs);
        let own = Known {
            half_log: Some(own_width),
            ..super::arm::known(sample, miss)
        };
        known.insert(own.signature, own);
    }
    Ok((fitted, known.into_values().collect()))
}

/// Errors and half width on networks held out in up to ten parts.
fn folds(
    samples: &[Sample],
    costs: &[f64],
    predict: impl Fn(&[usize], &[usize]) -> Vec<f64>,
) -> (HeldOut, f64) {
    const PARTS: usize = 10;
    let names: BTreeSet<&str> = samples.iter().map(|s| s.network.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let part = |s: &Sample| names.binary_search(&s.network.as_str()).unwrap_or(0) % PARTS;
    let parts: Vec<usize> = samples.iter().map(part).collect();
    let (mut pairs, mut groups) = (Vec::new(), Vec::new());
    for part in 0..PARTS.min(names.len()) {
        let (test, fit): (Vec<usize>, Vec<usize>) =
            (0..samples.len()).partition(|i| parts[*i] == part);
        if fit.is_empty() {
            continue;
        }
        for (i, predicted) in test.iter().zip(predict(&fit, &test)) {
            let n = f64::from(samples[*i].batch.max(1));
            pairs.push((predicted / n, costs[*i] / n));
            groups.push(samples[*i].network.as_str());
        }
    }
    let misses: Vec<f64> = pairs.iter().map(|(p, m)| (p / m).ln().abs()).collect();
    let width = interval::conformal_quantile(&misses, interval::LEVEL);
    let held = errors(&pairs, &groups, "networks held out in up to 10 parts");
    (held, short(width))
}

/// The latency rates of a profile.
pub fn rates_of(profile: &Profile) -> RateTable {
    let mut table = RateTable::zero();
    table.constant = profile.latency_constant_s;
    for (kind, rates) in &profile.kernels {
        table.rates[kind.index()] = rates.latency_s.to_array();
    }
    table
}

fn energy_of(profile: &Profile) -> Option<RateTable> {
    let mut table = RateTable::zero();
    table.constant = profile.energy_constant_j?;
    for (kind, rates) in &profile.kernels {
        table.rates[kind.index()] = rates.energy_j?.to_array();
    }
    Some(table)
}

/// A sample of one's own from its parts.
pub fn own_sample(
    network: &str,
    kernels: Arc<[Kernel]>,
    batch: u32,
    latency_s: f64,
    energy_j: Option<f64>,
) -> Sample {
    Sample {
        network: network.to_owned(),
        group: network.to_owned(),
        kernels,
        batch,
        latency_s,
        energy_j,
    }
}
