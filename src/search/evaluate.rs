//! What a network costs: counted and predicted here for every candidate, in parallel; what only a run can tell is asked
//! of an evaluator.

use super::metric::{COUNTS, Metric};
use crate::base::hash::{Fingerprint, Hasher};
use crate::blocks::{self, Names, Program};
use crate::cost::{self, Totals};
use crate::device::DeviceModel;
use crate::fuse::{self, FuseRules, Kernel, KernelKind};
use crate::ir::identity;
use crate::space::ast::DecisionId;
use crate::space::{Assignment, Space};
use std::sync::atomic::AtomicBool;

/// The identity of an assignment within its space.
pub fn key(assignment: &Assignment, space: &Space) -> u128 {
    let mut hasher = Hasher::new();
    for d in 0..space.decisions().len() as u32 {
        let position = assignment.get(DecisionId(d)).unwrap_or(u32::MAX);
        hasher.bytes(&position.to_le_bytes());
    }
    hasher.finish().0
}

/// Why an assignment is no network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Unbuildable(Box<str>);

/// Counts and predictions of the networks of a space.
#[derive(Clone, Debug)]
pub struct Costs<'a> {
    program: &'a Program,
    devices: &'a [DeviceModel],
    /// Devices that fuse alike share the kernels.
    groups: Vec<(&'a FuseRules, Vec<usize>)>,
    metrics: Vec<Metric>,
}

/// Working memory of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    lowering: blocks::Scratch,
    totals: cost::Scratch,
    fusion: fuse::Scratch,
    kernels: Vec<Kernel>,
    identity: identity::Scratch,
}

impl<'a> Costs<'a> {
    /// Of this program on these devices.
    pub fn new(program: &'a Program, devices: &'a [DeviceModel]) -> Self {
        let mut groups: Vec<(&FuseRules, Vec<usize>)> = Vec::new();
        let mut metrics = COUNTS.to_vec();
        for (index, device) in devices.iter().enumerate() {
            match groups
                .iter_mut()
                .find(|(rules, _)| *rules == device.rules())
            {
                Some((_, members)) => members.push(index),
                None => groups.push((device.rules(), vec![index])),
            }
            metrics.push(Metric::Latency(device.name().into()));
            metrics.push(Metric::Energy(device.name().into()));
        }
        Self {
            program,
            devices,
            groups,
            metrics,
        }
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
        let graph = (self.program)
            .lower_into(&mut scratch.lowering, assignment, Names::Off)
            .map_err(|e| Unbuildable(first_line(&e.render(None)).into()))?;
        let totals = Totals::without_fields(graph, &mut scratch.totals)
            .map_err(|e| Unbuildable(e.to_string().into()))?;
        let mut values = vec![f64::NAN; self.metrics.len() + extra].into_boxed_slice();
        let counts = [
            totals.params,
            totals.macs,
            totals.conv_out_elems,
            totals.mem_access_elems,
            totals.peak_activation_elems.saturating_mul(4),
        ];
        for (place, count) in values.iter_mut().zip(counts) {
            *place = count as f64;
        }
        for (rules, members) in &self.groups {
            fuse::fuse_into(graph, rules, &mut scratch.fusion, &mut scratch.kernels);
            for &member in members {
                let Some(device) = self.devices.get(member) else {
                    continue;
                };
                let Ok(fast) = device.predict_fast(&scratch.kernels, 1) else {
                    continue;
                };
                if fast.uncovered_kernels > 0 {
                    continue;
                }
                let at = COUNTS.len() + 2 * member;
                if let Some([latency, energy]) = values.get_mut(at..at + 2) {
                    *latency = fast.latency.0;
                    *energy = fast.energy.map_or(f64::NAN, |e| e.0);
                }
            }
        }
        Ok((graph.fingerprint_with(&mut scratch.identity), values))
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
            .predict(&kernels.list, 1)
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
