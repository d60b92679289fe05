//! What a guideline finds, weighed on a device.

use super::change::{Change, changes, widths};
use super::network::{Case, Network, Remedy, macs, name, place};
use super::{Edit, GUIDELINES, Guideline, noise};
use crate::device::{Cost, DeviceModel, PredictError};
use crate::ir::{Graph, Op};

/// Networks of more nodes than this are not rewritten: a person reads no findings about them.
const MAX_NODES: usize = 5000;

/// A saving below this part of the whole is not worth a line.
pub const SMALL: f64 = 0.01;

/// What a remedy saves of a quantity: present prediction less that of the rewritten network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saving {
    /// The network as it is, in seconds or joules.
    pub before: f64,
    /// The rewritten network.
    pub after: f64,
    /// By how much less may be saved, and by how much more.
    pub off: [f64; 2],
}

impl Saving {
    /// What is saved; below 0 where the remedy costs.
    pub fn saved(&self) -> f64 {
        self.before - self.after
    }

    /// The least that is saved at the level of the profile's intervals.
    pub fn lo(&self) -> f64 {
        self.saved() - self.off[0]
    }

    /// The most.
    pub fn hi(&self) -> f64 {
        self.saved() + self.off[1]
    }
}

/// What a finding comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The remedy saves time, by more than the model's error.
    Saves,
    /// The remedy's saving, or its cost, is smaller than the model's error.
    WithinError,
    /// The remedy saves or costs less than one part in a hundred.
    Small,
    /// The remedy costs time, by more than the model's error.
    Costs,
    /// The device has no rates for some of the work, so nothing is known.
    Unknown,
}

impl Verdict {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Saves => "saves",
            Verdict::WithinError => "within_error",
            Verdict::Small => "small",
            Verdict::Costs => "costs",
            Verdict::Unknown => "unknown",
        }
    }
}

/// A place where a network goes against a guideline, and what the remedy would save on a device.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The guideline.
    pub guideline: &'static Guideline,
    /// Where, in few words.
    pub at: String,
    /// The nodes concerned, by name.
    pub nodes: Vec<String>,
    /// What is there, in a sentence without a full stop.
    pub seen: String,
    /// What the remedy does, as a phrase.
    pub done: String,
    /// What the kernels of these nodes cost now.
    pub cost: Cost,
    /// Multiply-accumulates before and after.
    pub macs: [u64; 2],
    /// Time of one run of the batch.
    pub latency: Saving,
    /// Energy of it; `None` where the device has none.
    pub energy: Option<Saving>,
    /// What it comes to.
    pub verdict: Verdict,
    /// The rewritten network.
    pub remedied: Graph,
    /// What of it is not as it was, node by node.
    pub changes: Vec<Change>,
    /// The widths and groups of its changed convolutions, in words.
    pub widths: Vec<String>,
}

/// All findings on a device, the largest saving of time first.
///
/// # Errors
/// Where the batch is 0.
pub fn find(graph: &Graph, model: &DeviceModel, batch: u32) -> Result<Vec<Finding>, PredictError> {
    // what never runs would tie widths together for nothing
    let pruned = without_dead(graph);
    let graph = pruned.as_ref().unwrap_or(graph);
    let network = Network::on(graph, model, batch)?;
    let mut found = Vec::new();
    let Some(work) = network.macs.filter(|_| graph.nodes().len() <= MAX_NODES) else {
        return Ok(found);
    };
    for guideline in GUIDELINES {
        for case in (guideline.cases)(&network) {
            found.extend(weigh(guideline, case, &network, work, (model, batch))?);
        }
    }
    found.sort_by(|a, b| b.latency.saved().total_cmp(&a.latency.saved()));
    Ok(found)
}

/// The graph without the nodes that no output needs; `None` where it has none.
fn without_dead(graph: &Graph) -> Option<Graph> {
    let nodes = graph.ids().zip(graph.live());
    let dead = nodes.filter(|(id, live)| !live && !matches!(graph.node(*id).op, Op::Input { .. }));
    let mut edit = Edit::default();
    edit.dropped.extend(dead.map(|(id, _)| id));
    (!edit.dropped.is_empty()).then(|| edit.apply(graph).ok().map(|e| e.graph))?
}

/// The finding of a case: its fastest remedy.
fn weigh(
    guideline: &'static Guideline,
    case: Case,
    before: &Network<'_>,
    work: u64,
    (model, batch): (&DeviceModel, u32),
) -> Result<Option<Finding>, PredictError> {
    let mut best: Option<(Remedy, Saving, Option<Saving>, u64, bool)> = None;
    // a network that was measured itself is predicted with a factor, which holds for what it becomes as well
    let factor = model.correction(&before.kernels.list);
    for remedy in case.remedies {
        let after = Network::on(&remedy.graph, model, batch)?;
        let Some(after_work) = after.macs else {
            continue;
        };
        let carried = model.profile().interval.transferred_log;
        let [off, off_energy] = noise::widths(before, &after, carried);
        let latency = Saving {
            before: before.prediction.latency.0,
            after: after.prediction.latency.0 * factor / model.correction(&after.kernels.list),
            off,
        };
        let both = before.prediction.energy.zip(after.prediction.energy);
        let energy = both.map(|(now, then)| Saving {
            before: now.0,
            after: then.0,
            off: off_energy,
        });
        let known = before.prediction.uncovered.is_empty() && after.prediction.uncovered.is_empty();
        if best.as_ref().is_none_or(|b| latency.after < b.1.after) {
            best = Some((remedy, latency, energy, after_work, known));
        }
    }
    let Some((remedy, latency, energy, after_work, known)) = best else {
        return Ok(None);
    };
    let graph = before.graph;
    let [cost, _] = before.cost_of(&before.kernels_of(&case.nodes));
    Ok(Some(Finding {
        guideline,
        at: place(graph, &case.nodes),
        nodes: case.nodes.iter().map(|id| name(graph, *id)).collect(),
        seen: case.seen,
        done: remedy.done,
        cost,
        macs: [work, after_work],
        verdict: verdict(&latency, known),
        latency,
        energy,
        changes: changes(graph, &remedy.graph),
        widths: widths(graph, &remedy.graph),
        remedied: remedy.graph,
    }))
}

fn verdict(saving: &Saving, known: bool) -> Verdict {
    let saved = saving.saved();
    match () {
        () if !known => Verdict::Unknown,
        () if saved.abs() < SMALL * saving.before => Verdict::Small,
        () if saving.lo() <= 0.0 && saving.hi() >= 0.0 => Verdict::WithinError,
        () if saved > 0.0 => Verdict::Saves,
        () => Verdict::Costs,
    }
}

/// Whether a rewritten network has the work of another, within one in a hundred.
pub fn same_work(graph: &Graph, work: u64) -> bool {
    macs(graph).is_some_and(|m| m.abs_diff(work) as f64 <= 0.01 * work as f64)
}
