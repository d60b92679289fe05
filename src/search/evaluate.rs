//! What a network costs: counted and predicted here for every candidate, in parallel; what only a run can tell is asked
//! of an evaluator.

use super::among::Members;
use super::memo::{self, Counter, Memo};
use super::metric::{COUNTS, Metric};
use crate::base::hash::{ByKey, Fingerprint};
use crate::blocks::{self, Names, Parts, Program, Weighed};
use crate::cost::{self, Totals};
use crate::device::{DeviceModel, Sum};
use crate::fuse::{self, FuseRules, Kernel, KernelKind};
use crate::ir::identity;
use crate::space::{Assignment, Space};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The identity of an assignment within its space.
pub fn key(assignment: &Assignment, space: &Space) -> u128 {
    let count = space.decisions().len();
    let positions = assignment.positions().iter().copied();
    key_of(
        positions.chain(std::iter::repeat(u32::MAX)).take(count),
        count,
    )
}

/// As [`key`], of the positions of all `count` decisions.
pub(super) fn key_of(positions: impl Iterator<Item = u32>, count: usize) -> u128 {
    let length = 4 * count;
    let mut few = [0; 512];
    let mut many = Vec::new();
    let bytes = match few.get_mut(..length) {
        Some(bytes) => bytes,
        None => {
            many.resize(length, 0);
            &mut many[..]
        }
    };
    for (place, position) in bytes.chunks_exact_mut(4).zip(positions) {
        place.copy_from_slice(&position.to_le_bytes());
    }
    Fingerprint::of(bytes).0
}

/// Why an assignment is no network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Unbuildable(Box<str>);

/// Networks by the [`key`] of their assignment: identity, and values of the metrics.
pub type Networks = ByKey<(Fingerprint, Box<[f64]>)>;

/// Counts and predictions of the networks of a space.
#[derive(Debug)]
pub struct Costs<'a> {
    program: &'a Program,
    devices: &'a [DeviceModel],
    groups: Vec<Group<'a>>,
    metrics: Vec<Metric>,
    /// What nets are put together from, where they come apart.
    parts: Option<Parts<'a>>,
    /// The only networks that there are, where they were given.
    only: Option<Networks>,
    /// The only assignments that may be proposed, where a table limits the search.
    members: Option<Members>,
    /// All decisions, unless they have too many settings to be numbered.
    decisions: Option<Box<[Weighed]>>,
    /// Tells what one set of costs has memorised from what another has.
    number: u64,
    /// Working memories that no thread has at the moment.
    idle: Mutex<Vec<Scratch>>,
}

/// A working memory on loan from [`Costs::scratch`]; what it has memorised is there for the next borrower.
#[derive(Debug)]
pub struct Lease<'c> {
    idle: &'c Mutex<Vec<Scratch>>,
    scratch: Scratch,
}

impl Deref for Lease<'_> {
    type Target = Scratch;
    fn deref(&self) -> &Scratch {
        &self.scratch
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Scratch {
        &mut self.scratch
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // a thread that panicked holding the lock left the list as it was
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(std::mem::take(&mut self.scratch));
    }
}

/// The counts that are metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub params: u64,
    pub macs: u64,
    pub conv_out_elems: u64,
    pub mem_access_elems: u64,
    pub peak_activation_elems: u64,
}

impl From<&Totals> for Counted {
    fn from(totals: &Totals) -> Self {
        Self {
            params: totals.params,
            macs: totals.macs,
            conv_out_elems: totals.conv_out_elems,
            mem_access_elems: totals.mem_access_elems,
            peak_activation_elems: totals.peak_activation_elems,
        }
    }
}

impl Counted {
    /// Those of a net that runs this one and then another on its only output, where one value alone is alive between the
    /// two; `None` where a count passes `u64`.
    pub fn and(&self, next: &Self) -> Option<Self> {
        Some(Self {
            params: self.params.checked_add(next.params)?,
            macs: self.macs.checked_add(next.macs)?,
            conv_out_elems: self.conv_out_elems.checked_add(next.conv_out_elems)?,
            mem_access_elems: self.mem_access_elems.checked_add(next.mem_access_elems)?,
            peak_activation_elems: self.peak_activation_elems.max(next.peak_activation_elems),
        })
    }
}

/// What is memorised of the parts of nets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memorised {
    /// Parts, each with what goes in.
    pub parts: usize,
    /// The memory they take, about.
    pub bytes: usize,
    /// How often a part that was looked for was there.
    pub found: u64,
    /// How often it was not, and was lowered, or put together from smaller ones.
    pub worked_out: u64,
}

/// Devices that fuse alike share the kernels.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub rules: &'a FuseRules,
    pub members: Vec<usize>,
}

/// Working memory of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    lowering: blocks::Scratch,
    totals: cost::Scratch,
    fusion: fuse::Scratch,
    kernels: Vec<Kernel>,
    identity: identity::Scratch,
    memo: Memo,
}

impl<'a> Costs<'a> {
    /// Of this program on these devices.
    pub fn new(program: &'a Program, devices: &'a [DeviceModel]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut metrics = COUNTS.to_vec();
        for (index, device) in devices.iter().enumerate() {
            let alike = groups.iter_mut().find(|g| g.rules == device.rules());
            match alike {
                Some(group) => group.members.push(index),
                None => groups.push(Group {
                    rules: device.rules(),
                    members: vec![index],
                }),
            }
            metrics.push(Metric::Latency(device.name().into()));
            metrics.push(Metric::Energy(device.name().into()));
        }
        Self {
            program,
            devices,
            groups,
            metrics,
            parts: Parts::of(program),
            only: None,
            members: None,
            decisions: blocks::weighed(program.space().decisions()),
            number: COUNT.fetch_add(1, Ordering::Relaxed),
            idle: Mutex::default(),
        }
    }

    /// A working memory that an earlier loan has filled, or a new one.
    pub fn scratch(&self) -> Lease<'_> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Lease {
            scratch: idle.pop().unwrap_or_default(),
            idle: &self.idle,
        }
    }

    /// The same where only some networks can be had, those of a table: by the [`key`] of the assignment their identity,
    /// and their counts and predictions as that table has them. All others cannot be built.
    #[must_use]
    pub fn only(mut self, networks: Networks) -> Self {
        self.only = Some(networks);
        self
    }

    /// The same where only the members of a table may be proposed. All others cannot be built.
    #[must_use]
    pub fn among(mut self, members: Members) -> Self {
        self.members = Some(members);
        self
    }

    /// The only assignments that may be proposed, where a table limits the search.
    pub fn members(&self) -> Option<&Members> {
        self.members.as_ref()
    }

    /// The program that builds networks.
    pub fn program(&self) -> &'a Program {
        self.program
    }

    /// What the working memories hold that no thread has at the moment.
    pub fn memorised(&self) -> Memorised {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let each = idle.iter().filter(|s| s.memo.owner == self.number);
        each.fold(Memorised::default(), |sum, scratch| {
            let own = scratch.memo.memorised();
            Memorised {
                parts: sum.parts + own.parts,
                bytes: sum.bytes + own.bytes,
                found: sum.found + own.found,
                worked_out: sum.worked_out + own.worked_out,
            }
        })
    }

    /// The space.
    pub fn space(&self) -> &'a Space {
        self.program.space()
    }

    /// The devices.
    pub fn devices(&self) -> &'a [DeviceModel] {
        self.devices
    }

    /// What is counted and predicted, in the order of the values.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The identity of the network, and a value for each metric with room for `extra` more behind them. NaN where the
    /// device's profile has no energy, or does not cover a kernel: a sum without it would be too small.
    ///
    /// # Errors
    /// The assignment cannot be built, or its counts are absurd.
    pub fn of(
        &self,
        assignment: &Assignment,
        extra: usize,
        scratch: &mut Scratch,
    ) -> Result<(Fingerprint, Box<[f64]>), Unbuildable> {
        let members = self.members.as_ref();
        if members.is_some_and(|m| !m.contains(key(assignment, self.space()))) {
            return Err(Unbuildable("it is not in the table of candidates".into()));
        }
        if let Some(only) = &self.only {
            let found = only.get(&key(assignment, self.space()));
            let (fingerprint, metrics) =
                found.ok_or_else(|| Unbuildable("it is not in the table of networks".into()))?;
            let mut values = metrics.to_vec();
            values.resize(self.metrics.len() + extra, f64::NAN);
            return Ok((*fingerprint, values.into()));
        }
        match self.of_parts(assignment, extra, scratch) {
            Some(found) => Ok(found),
            None => self.of_net(assignment, extra, scratch),
        }
    }

    /// As [`of`](Self::of), from what is memorised of the net's parts; `None` where only the whole graph can tell.
    pub fn of_parts(
        &self,
        assignment: &Assignment,
        extra: usize,
        scratch: &mut Scratch,
    ) -> Option<(Fingerprint, Box<[f64]>)> {
        let parts = self.parts.as_ref()?;
        self.own(scratch);
        let counter = Counter {
            program: self.program,
            parts,
            devices: self.devices,
            groups: &self.groups,
            memo: &mut scratch.memo,
            lowering: &mut scratch.lowering,
            counting: &mut scratch.totals,
            fusion: &mut scratch.fusion,
            kernels: &mut scratch.kernels,
            identity: &mut scratch.identity,
        };
        let (fingerprint, counted, sums) = counter.net(assignment)?;
        Some((fingerprint, self.values(&counted, sums, extra)))
    }

    /// Has a working memory forget what it knows of other costs.
    fn own(&self, scratch: &mut Scratch) {
        if scratch.memo.owner != self.number {
            let parts = self.parts.as_ref().map_or(0, Parts::count);
            (scratch.memo).reset(self.number, (self.devices.len(), parts));
        }
    }

    /// As [`of`](Self::of), from the whole graph, or from what is memorised of the same net.
    fn of_net(
        &self,
        assignment: &Assignment,
        extra: usize,
        scratch: &mut Scratch,
    ) -> Result<(Fingerprint, Box<[f64]>), Unbuildable> {
        self.own(scratch);
        let key = self.decisions.as_deref();
        let key = key.map(|decisions| memo::whole_key(decisions, assignment));
        if let Some((fingerprint, counted, sums)) = key.and_then(|key| scratch.memo.whole(key)) {
            return Ok((fingerprint, self.values(&counted, sums, extra)));
        }
        let (fingerprint, counted, sums) = self.whole(assignment, scratch)?;
        if let Some(key) = key {
            (scratch.memo).keep_whole(key, fingerprint, counted, &sums);
        }
        Ok((fingerprint, self.values(&counted, &sums, extra)))
    }

    /// As [`of`](Self::of), from the whole graph and nothing memorised: slower, and the same to the bit.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_whole(
        &self,
        assignment: &Assignment,
        extra: usize,
        scratch: &mut Scratch,
    ) -> Result<(Fingerprint, Box<[f64]>), Unbuildable> {
        let (fingerprint, counted, sums) = self.whole(assignment, scratch)?;
        Ok((fingerprint, self.values(&counted, &sums, extra)))
    }

    fn whole(
        &self,
        assignment: &Assignment,
        scratch: &mut Scratch,
    ) -> Result<(Fingerprint, Counted, Vec<Sum>), Unbuildable> {
        let graph = (self.program)
            .lower_into(&mut scratch.lowering, assignment, Names::Off)
            .map_err(|e| Unbuildable(first_line(&e.render(None)).into()))?;
        let totals = Totals::without_fields(graph, &mut scratch.totals)
            .map_err(|e| Unbuildable(e.to_string().into()))?;
        let mut sums = vec![Sum::default(); self.devices.len()];
        for group in &self.groups {
            fuse::fuse_into(
                graph,
                group.rules,
                &mut scratch.fusion,
                &mut scratch.kernels,
            );
            for &member in &group.members {
                if let (Some(device), Some(sum)) = (self.devices.get(member), sums.get_mut(member))
                {
                    *sum = device.sum(&scratch.kernels, device.batch());
                }
            }
        }
        let fingerprint = graph.fingerprint_with(&mut scratch.identity);
        Ok((fingerprint, Counted::from(&totals), sums))
    }

    fn values(&self, counted: &Counted, sums: &[Sum], extra: usize) -> Box<[f64]> {
        let mut values = Vec::with_capacity(self.metrics.len() + extra);
        let counts = [
            counted.params,
            counted.macs,
            counted.conv_out_elems,
            counted.mem_access_elems,
            counted.peak_activation_elems.saturating_mul(4),
        ];
        values.extend(counts.map(|count| count as f64));
        for (device, sum) in self.devices.iter().zip(sums) {
            let fast = device.total(*sum);
            let known = |value: f64| match fast.uncovered_kernels {
                0 => value,
                _ => f64::NAN,
            };
            values.push(known(fast.latency.0));
            values.push(known(fast.energy.map_or(f64::NAN, |e| e.0)));
        }
        values.resize(self.metrics.len() + extra, f64::NAN);
        values.into()
    }

    /// The kernels of a network that a device's profile does not cover.
    pub fn uncovered(&self, assignment: &Assignment, device: &str) -> Vec<KernelKind> {
        let graph = self.program.lower(assignment, Names::Off);
        let device = self.devices.iter().find(|d| d.name() == device);
        let (Ok(graph), Some(device)) = (graph, device) else {
            return Vec::new();
        };
        let kernels = fuse::fuse(&graph, device.rules());
        device
            .predict(&kernels.list, device.batch())
            .map_or_else(|_| Vec::new(), |p| p.uncovered)
    }
}

/// The first line of a message, for counting it among others.
fn first_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let place = lines.next().unwrap_or_default();
    format!("{} {place}", first.trim_start_matches("error: "))
        .trim_end()
        .to_owned()
}

/// A network that an evaluator is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its number in the run.
    pub trial: u64,
    /// The values of its decisions.
    pub assignment: &'a Assignment,
    /// The identity of its graph.
    pub fingerprint: Fingerprint,
}

/// A value for each of the evaluator's metrics, NaN where it is missing; or why there are none.
pub type Answer = Result<Vec<f64>, String>;

/// Tells what cannot be predicted, accuracy above all. Answers belong to networks, not to moments: a resumed run takes
/// them from its journal instead of asking again.
pub trait Evaluate: Send {
    /// What it tells.
    fn metrics(&self) -> &[Metric];

    /// The command that answers, where it is one.
    fn command(&self) -> Option<&str> {
        None
    }

    /// Answers each of `asked` (by its position) in any order, as soon as it can. Returns early where `stop` is set or
    /// `answer` gives false.
    ///
    /// # Errors
    /// The evaluator as a whole has failed: it ended, or says what nobody understands.
    fn evaluate(
        &mut self,
        asked: &[Asked<'_>],
        stop: &AtomicBool,
        answer: &mut dyn FnMut(usize, Answer) -> bool,
    ) -> Result<(), String>;
}
