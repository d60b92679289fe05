//! Costs of the parts of nets, each worked out once.
//!
//! A net of a space is a chain of parts ([`Parts`]), and all that is counted and predicted of it adds up along the
//! chain: counts and costs are whole numbers, the peak is the largest, the identity is a chain itself. So what a part
//! costs, given its input's shape and the values of its decisions, is kept under just these; a net costs a look-up for
//! each of its parts.
//!
//! A kernel may reach over a seam (a norm after a convolution): a part that would join the kernel before it is worked
//! out once more for each such kernel, and kept under that too.
//!
//! Parts may read the network's input, the image. It is alive until its last reader has run, so a part has two peaks: one
//! with the image kept for later. Equal ops on it merge under some rules, wherever they stand: what there is already is
//! part of the [`Context`] that a part is worked out in.
//!
//! Invariant: what is put together here equals, to the bit, what the whole graph gives. Where that is not sure (a limit
//! is near, a part cannot be built, constants cross a seam) there is no answer, and the caller lowers the whole net.

mod table;

use self::table::{Ends, Figures, Slot, Table};
use super::evaluate::{Counted, Group, Memorised};
use crate::base::hash::{Chain, Fingerprint};
use crate::blocks::{
    self, Entry, Inside, MAX_PARTS, Part, PartId, PartKind, Parts, Program, Scene, Weighed,
};
use crate::cost::{self, Totals};
use crate::device::{DeviceModel, Sum};
use crate::fuse::{self, Kernel, Merging, Open};
use crate::ir::graph::MAX_NODES;
use crate::ir::{Graph, Shape, ValueId, identity, ops::Op};
use crate::space::Assignment;
use std::collections::HashMap;

/// All is forgotten when so many parts are kept: some 40 MB on two devices.
const MOST_KEPT: usize = 1 << 17;

/// After so many look-ups it is asked whether keeping was worth it.
const TRIAL: u32 = 1 << 14;

/// The class under which inputs are kept.
const INPUT: u32 = 2 * MAX_PARTS as u32;

/// The class of ops and blocks that are known by their parameters.
const LISTED: u32 = INPUT + 1;

/// The class of nets that only the whole graph tells of.
const WHOLE: u32 = INPUT + 2;

/// Nodes and visits up to which no limit of lowering can be near.
const SMALL: usize = MAX_NODES / 16;

/// What is known of the parts of one program on some devices. Belongs to one thread.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// Which [`super::evaluate::Costs`] it holds for.
    pub owner: u64,
    /// Parts looked for: found, and worked out because they were not there.
    found: u64,
    worked_out: u64,
    shapes: Vec<Shape>,
    shape_ids: HashMap<Shape, u32>,
    /// By shape: the identity of an input of it.
    heads: Vec<Chain>,
    table: Table,
    /// By part: whether it is worth keeping.
    worth: Vec<Worth>,
    /// Whether nets come apart so often that trying is worth it, and whether whole nets come again.
    apart: Worth,
    again: Worth,
    /// Identities of nets that are kept whole, in place of a shape.
    prints: Vec<Fingerprint>,
    /// Kernels that a part ends in and a later one could join, by group of devices; the first is none at all.
    opens: Vec<Box<[Option<Open>]>>,
    open_ids: HashMap<Box<[Option<Open>]>, u32>,
    /// The first is no context at all: that of parts which do not see the image.
    contexts: Vec<Context>,
    /// Ops on the image: rules, the number of the op before, the op.
    merging: Vec<(usize, Option<u32>, Op)>,
    /// The net being put together.
    net: Run,
    scene: Scene,
}

/// What parts that see the image depend on besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Context {
    /// The image's shape.
    image: u32,
    /// Whether the value that goes in is the image.
    start: bool,
    /// Ops on the image that come before, sorted.
    merging: Vec<u32>,
}

/// No key has room for more.
const MOST_CONTEXTS: usize = 1 << 9;

/// Whether looking for something has paid so far.
#[derive(Clone, Copy, Debug, Default)]
struct Worth {
    tries: u32,
    found: u32,
    given_up: bool,
}

impl Worth {
    /// Counts a try. Gives up where fewer than one in `pays` of many tries are found.
    fn tried(&mut self, found: bool, pays: u32) {
        self.tries += 1;
        self.found += u32::from(found);
        if self.tries == TRIAL {
            *self = Self {
                given_up: self.found < TRIAL / pays,
                ..Self::default()
            };
        }
    }
}

/// A part, or parts one after the other.
#[derive(Debug, Default)]
struct Run {
    shape: u32,
    open: u32,
    after: u16,
    ends: Ends,
    figures: Figures,
    sums: Vec<Sum>,
    /// Elements of the image, where it is in the context.
    image: u64,
}

/// What a part is worked out for: the shape of what goes in, the open kernel, the context.
type At = (u32, u32, u16);

impl Run {
    fn start(&mut self, (shape, open, context): At, image: u64, devices: usize) {
        (self.shape, self.open, self.after) = (shape, open, context);
        self.ends = Ends::default();
        self.ends.set(Ends::SEES, context != 0);
        self.figures = Figures::default();
        self.image = image;
        self.sums.clear();
        self.sums.resize(devices, Sum::default());
    }

    /// Adds what comes next; `None` where it cannot be told from the two alone.
    fn push(&mut self, next: &Slot, (more, sums): (&Figures, &[Sum])) -> Option<()> {
        // sums and figures lie apart: both are fetched at once
        for (sum, more) in self.sums.iter_mut().zip(sums) {
            *sum += *more;
        }
        let own = &mut self.figures;
        own.size = own.size.checked_add(more.size + 8)?;
        if own.size as usize > SMALL || self.ends.has(Ends::ENTANGLED) {
            return None;
        }
        self.shape = next.shape;
        if self.ends.has(Ends::THROUGH) {
            self.ends.set(Ends::JOINS, next.ends.has(Ends::JOINS));
        }
        if !next.ends.has(Ends::THROUGH) {
            self.open = next.open;
            self.ends.set(Ends::THROUGH, false);
        }
        let entangled = next.ends.has(Ends::ENTANGLED);
        self.ends.or(Ends::ENTANGLED, entangled);
        let before = match next.ends.has(Ends::READS) {
            true => own.held,
            false => own.counted.peak_activation_elems,
        };
        let peak = more.counted.peak_activation_elems;
        own.counted = own.counted.and(&more.counted)?;
        own.counted.peak_activation_elems = before.max(peak);
        own.held = own.held.max(match next.ends.has(Ends::SEES) {
            false => peak.checked_add(self.image)?,
            true => more.held,
        });
        self.ends.or(Ends::READS, next.ends.has(Ends::READS));
        if next.ends.has(Ends::SEES) {
            self.after = next.after;
        }
        own.chain = own.chain.then(more.chain);
        Some(())
    }
}

/// What the parts are counted with.
pub(super) struct Counter<'a, 's> {
    pub program: &'a Program,
    pub parts: &'s Parts<'a>,
    pub devices: &'a [DeviceModel],
    pub groups: &'s [Group<'a>],
    pub memo: &'s mut Memo,
    pub lowering: &'s mut blocks::Scratch,
    pub counting: &'s mut cost::Scratch,
    pub fusion: &'s mut fuse::Scratch,
    pub kernels: &'s mut Vec<Kernel>,
    pub identity: &'s mut identity::Scratch,
}

impl<'s> Counter<'_, 's> {
    /// Identity, counts and costs (by device) of a net; `None` where only the whole graph can tell.
    pub fn net(mut self, assignment: &Assignment) -> Option<(Fingerprint, Counted, &'s [Sum])> {
        if self.memo.apart.given_up {
            return None;
        }
        self.memo.make_room(self.devices.len());
        let mut net = std::mem::take(&mut self.memo.net);
        let told = self.run(assignment, &mut net);
        self.memo.net = net;
        self.memo.apart.tried(told.is_some(), 8);
        let (fingerprint, counted) = told?;
        let memo: &'s Memo = self.memo;
        Some((fingerprint, counted, &memo.net.sums))
    }

    fn run(&mut self, assignment: &Assignment, net: &mut Run) -> Option<(Fingerprint, Counted)> {
        let shape = self.input(assignment)?;
        self.memo.scene.start();
        let context = self.memo.context(Context {
            image: shape,
            start: true,
            merging: Vec::new(),
        })?;
        let image = self.memo.shapes.get(shape as usize)?.elems();
        net.start((shape, 0, context), image, self.devices.len());
        self.add(self.parts.root(), assignment, net)?;
        if self.memo.contexts.get(usize::from(net.after))?.start {
            return None;
        }
        let head = *self.memo.heads.get(shape as usize)?;
        let mut counted = net.figures.counted;
        // the input alone, where there is nothing else
        counted.peak_activation_elems = counted.peak_activation_elems.max(image);
        Some((identity::of_chain(head.then(net.figures.chain)), counted))
    }

    /// The shape of the input.
    fn input(&mut self, assignment: &Assignment) -> Option<u32> {
        let key = key(INPUT, (0, 0, 0), self.parts.input(), assignment);
        if let Some(slot) = self.memo.table.find(key) {
            return Some(slot.shape);
        }
        let shape = self.program.input_shape(self.lowering, assignment).ok()?;
        let shape = self.memo.shape(shape);
        let slot = Slot::new((shape, 0, 0), Ends::default());
        (self.memo.table).keep(key, slot, Figures::default(), &[]);
        Some(shape)
    }

    /// Adds a part to what comes before it.
    fn add(&mut self, id: PartId, assignment: &Assignment, run: &mut Run) -> Option<()> {
        let id = self.parts.taken(id, assignment)?;
        match self.add_after(id, 0, assignment, run)? {
            true => (self.add_after(id, run.open, assignment, run)).map(|_| ()),
            false => Some(()),
        }
    }

    /// Adds a part that follows this open kernel; or tells that it would join the one that the run ends in, and adds
    /// nothing.
    fn add_after(
        &mut self,
        id: PartId,
        open: u32,
        assignment: &Assignment,
        run: &mut Run,
    ) -> Option<bool> {
        let part = self.parts.part(id)?;
        let starts = |memo: &Memo| memo.contexts.get(usize::from(run.after)).map(|c| c.start);
        let context = match part.sided || starts(self.memo)? {
            true => run.after,
            false => 0,
        };
        let at = (run.shape, open, context);
        let joining = open == 0 && run.open != 0;
        let nodes = matches!(part.kind, PartKind::Nodes(_) | PartKind::Listed(_));
        let key = self.key((id, part), at, assignment);
        if let Some(key) = key {
            let found = self.memo.table.find(key);
            if !nodes && let Some(worth) = self.memo.worth.get_mut(id.0 as usize) {
                worth.tried(found.is_some(), 4);
            }
            if let Some(slot) = found {
                self.memo.found += 1;
                if joining && slot.ends.has(Ends::JOINS) {
                    return Some(true);
                }
                return run
                    .push(slot, self.memo.table.figures(slot)?)
                    .map(|()| false);
            }
        } else if !nodes {
            return self.each(part, assignment, run).map(|()| false);
        }
        self.memo.worked_out += 1;
        let mut own = Run::default();
        let image = if context == 0 { 0 } else { run.image };
        own.start(at, image, self.devices.len());
        match nodes {
            true => self.count(part, at, assignment, &mut own)?,
            false => self.each(part, assignment, &mut own)?,
        }
        let slot = Slot::new((own.shape, own.open, own.after), own.ends);
        if let Some(key) = key {
            (self.memo.table).keep(key, slot, own.figures, &own.sums);
        }
        if joining && own.ends.has(Ends::JOINS) {
            return Some(true);
        }
        run.push(&slot, (&own.figures, &own.sums)).map(|()| false)
    }

    /// What a part is kept under, with the shape and the open kernel before it; `None` where it is not kept.
    fn key(
        &mut self,
        (id, part): (PartId, &Part<'_>),
        at: At,
        assignment: &Assignment,
    ) -> Option<u128> {
        if !part.called() {
            let decisions = part.decisions.as_deref()?;
            let given_up = |w: &Worth| w.given_up;
            if self.memo.worth.get(id.0 as usize).is_some_and(given_up) {
                return None;
            }
            return Some(key(part.class, at, decisions, assignment));
        }
        let scene = &mut self.memo.scene;
        let (within, own) = match &part.kind {
            PartKind::Nodes(_) => {
                let decisions = part.decisions.as_deref()?;
                (scene.digest(), key(part.class, at, decisions, assignment))
            }
            PartKind::Listed(listed) => {
                let within = scene.resolve((self.program, assignment), part, listed)?;
                (within, key(LISTED, at, &[], assignment))
            }
            _ => return None,
        };
        let mut bytes = [0; 32];
        let (first, second) = bytes.split_at_mut(16);
        first.copy_from_slice(&within.to_le_bytes());
        second.copy_from_slice(&own.to_le_bytes());
        // the highest bit tells these from keys of numbers
        Some(Fingerprint::of(&bytes).0 | 1 << 127)
    }

    /// Adds what a part is made of.
    fn each(&mut self, part: &Part<'_>, assignment: &Assignment, run: &mut Run) -> Option<()> {
        let parts = self.parts;
        match parts.inside(part, assignment, &mut self.memo.scene)? {
            Inside::Chain(parts) => parts
                .iter()
                .try_for_each(|id| self.add(*id, assignment, run)),
            Inside::Copies(copies, count) => {
                let (last, outer) = (copies.len().saturating_sub(1), self.memo.scene.copy(None));
                for k in 0..count {
                    self.memo.scene.copy(Some(i64::from(k)));
                    let copy = *copies.get((k as usize).min(last))?;
                    self.add(copy, assignment, run)?;
                }
                self.memo.scene.copy(outer);
                Some(())
            }
            Inside::Call(call) => {
                let shape = *self.memo.shapes.get(run.shape as usize)?;
                let at = (self.program, assignment);
                self.memo.scene.enter(at, part, call, shape)?;
                self.add(call.body(), assignment, run)?;
                self.memo.scene.leave();
                Some(())
            }
        }
    }

    /// Lowers, counts, fuses and predicts nodes.
    fn count(
        &mut self,
        part: &Part<'_>,
        (shape, open, context): At,
        assignment: &Assignment,
        own: &mut Run,
    ) -> Option<()> {
        let input = *self.memo.shapes.get(shape as usize)?;
        let before = self.memo.opens.get(open as usize).cloned();
        let sees = context != 0;
        let context = self.memo.contexts.get(usize::from(context))?.clone();
        let image = match part.sided && !context.start {
            true => Some(*self.memo.shapes.get(context.image as usize)?),
            false => None,
        };
        let entry = Entry {
            shape: input,
            image,
            start: context.start,
            scene: &self.memo.scene,
        };
        let graph: &Graph = match &part.kind {
            PartKind::Nodes(stretch) => (self.program)
                .lower_part(self.lowering, assignment, (part, stretch), entry)
                .ok()?,
            PartKind::Listed(listed) => self.program.lower_listed(self.lowering, listed, entry)?,
            _ => return None,
        };
        let output = *graph.outputs().first()?;
        let visits = graph.nodes().len() + graph.edge_count();
        own.figures.size = u32::try_from(4 * visits).ok()?;
        own.shape = self.memo.shape(graph.shape(output));
        let image = sees.then_some(ValueId(u32::from(!context.start)));
        let (totals, held, reads) = Totals::of_part(graph, image, self.counting).ok()?;
        own.figures.counted = Counted::from(&totals);
        own.figures.held = held;
        own.ends.set(Ends::READS, reads);
        let cut = (!context.start).then_some(ValueId(0));
        let (chain, first) = graph.chain(cut, self.identity);
        own.figures.chain = chain;
        let same = output.0 == 0;
        if !first && !same {
            return None;
        }
        let mut after = Context {
            start: context.start && same,
            ..context.clone()
        };
        let (mut open, mut through) = (Vec::with_capacity(self.groups.len()), None);
        for (k, group) in self.groups.iter().enumerate() {
            let before = before.as_ref().and_then(|groups| groups.get(k)?.as_ref());
            fuse::fuse_after(graph, group.rules, before, self.fusion, self.kernels);
            let ends = self.fusion.ends(graph, self.kernels);
            own.ends.or(Ends::JOINS, ends.joins);
            own.ends.or(Ends::ENTANGLED, ends.entangled);
            if let Some(image) = image.filter(|_| self.parts.sided()) {
                let merging = self.fusion.merging(graph, group.rules, image)?;
                let known = self.memo.known(k, graph, &merging)?;
                // equal ones that come before make these kernels
                for (found, number) in merging.iter().zip(&known).rev() {
                    match context.merging.contains(number) {
                        true => drop(
                            found
                                .kernel
                                .map(|kernel| self.kernels.remove(kernel as usize)),
                        ),
                        false => after.merging.push(*number),
                    }
                }
            }
            // what is another name under some rules only has no simple end
            let differs = *through.get_or_insert(ends.through) != ends.through;
            own.ends.or(Ends::ENTANGLED, differs);
            open.push(ends.open);
            for member in &group.members {
                let device = self.devices.get(*member)?;
                let known =
                    before.map_or(Sum::default(), |b| device.sum(&[b.kernel], device.batch()));
                *own.sums.get_mut(*member)? =
                    device.sum(self.kernels, device.batch()).without(known)?;
            }
        }
        let through = through.unwrap_or(output.0 == 0);
        own.ends.set(Ends::THROUGH, through);
        if !through {
            own.open = self.memo.open(open.into());
        }
        after.merging.sort_unstable();
        after.merging.dedup();
        own.after = match sees && (after.start || self.parts.sided()) {
            true => self.memo.context(after)?,
            false => 0,
        };
        Some(())
    }
}

impl Memo {
    /// Empties it, for an owner with so many devices and parts.
    pub fn reset(&mut self, owner: u64, (devices, parts): (usize, usize)) {
        *self = Self {
            owner,
            table: Table::new(devices),
            worth: vec![Worth::default(); parts],
            ..Self::default()
        };
    }

    /// Forgets all that is kept where that is too much; what was worth keeping stays known.
    fn make_room(&mut self, devices: usize) {
        if self.table.len() > MOST_KEPT {
            *self = Self {
                owner: self.owner,
                table: Table::new(devices),
                worth: std::mem::take(&mut self.worth),
                apart: self.apart,
                again: self.again,
                found: self.found,
                worked_out: self.worked_out,
                ..Self::default()
            };
        }
    }

    /// A net that an earlier [`keep_whole`](Self::keep_whole) has kept.
    pub fn whole(&mut self, key: u128) -> Option<(Fingerprint, Counted, &[Sum])> {
        if self.again.given_up {
            return None;
        }
        let found = self.table.find(key);
        self.again.tried(found.is_some(), 32);
        let slot = found?;
        let (figures, sums) = self.table.figures(slot)?;
        self.found += 1;
        Some((
            *self.prints.get(slot.shape as usize)?,
            figures.counted,
            sums,
        ))
    }

    /// Keeps what a net costs that does not come apart.
    pub fn keep_whole(&mut self, key: u128, print: Fingerprint, counted: Counted, sums: &[Sum]) {
        self.worked_out += 1;
        if self.again.given_up {
            return;
        }
        self.make_room(sums.len());
        let figures = Figures {
            counted,
            ..Figures::default()
        };
        let slot = Slot::new((self.prints.len() as u32, 0, 0), Ends::default());
        self.prints.push(print);
        self.table.keep(key, slot, figures, sums);
    }

    /// What it holds.
    pub fn memorised(&self) -> Memorised {
        Memorised {
            parts: self.table.len(),
            bytes: self.table.bytes(),
            found: self.found,
            worked_out: self.worked_out,
        }
    }

    /// The number of a context.
    fn context(&mut self, context: Context) -> Option<u16> {
        if self.contexts.is_empty() {
            self.contexts.push(Context::default());
        }
        // few in any space
        let place = self.contexts.iter().skip(1).position(|c| *c == context);
        let place = place.map_or(self.contexts.len(), |k| k + 1);
        if place == self.contexts.len() {
            self.contexts.push(context);
        }
        (place < MOST_CONTEXTS).then_some(place as u16)
    }

    /// The numbers of ops on the image.
    fn known(&mut self, rules: usize, graph: &Graph, found: &[Merging]) -> Option<Vec<u32>> {
        let mut numbers: Vec<u32> = Vec::with_capacity(found.len());
        for (k, one) in found.iter().enumerate() {
            let before = found.get(..k)?.iter().position(|m| Some(m.node) == one.on);
            let before = before.and_then(|k| numbers.get(k).copied());
            let op = (rules, before, graph.node(one.node).op);
            let place = self.merging.iter().position(|known| *known == op);
            numbers.push(place.unwrap_or(self.merging.len()) as u32);
            if place.is_none() {
                self.merging.push(op);
            }
        }
        Some(numbers)
    }

    fn open(&mut self, open: Box<[Option<Open>]>) -> u32 {
        if open.iter().all(Option::is_none) {
            return 0;
        }
        if self.opens.is_empty() {
            self.opens.push(Box::default());
        }
        *self.open_ids.entry(open).or_insert_with_key(|open| {
            self.opens.push(open.clone());
            self.opens.len() as u32 - 1
        })
    }

    fn shape(&mut self, shape: Shape) -> u32 {
        *self.shape_ids.entry(shape).or_insert_with(|| {
            let input = Op::Input { index: 0, shape };
            self.heads.push(identity::of_input(&input, &mut Vec::new()));
            self.shapes.push(shape);
            self.shapes.len() as u32 - 1
        })
    }
}

/// What a whole net is kept under.
pub(super) fn whole_key(decisions: &[Weighed], assignment: &Assignment) -> u128 {
    key(WHOLE, (0, 0, 0), decisions, assignment)
}

/// A class, a shape, an open kernel, a context, and the values of decisions as one number in mixed radix.
fn key(
    class: u32,
    (shape, open, context): At,
    decisions: &[Weighed],
    assignment: &Assignment,
) -> u128 {
    let values = assignment.positions();
    let packed = decisions.iter().fold(0u64, |packed, (d, weight)| {
        // no value is the largest position, and becomes 0
        let value = values.get(*d as usize).map_or(0, |v| v.wrapping_add(1));
        packed.wrapping_add(weight.wrapping_mul(u64::from(value)))
    });
    // shapes and kernels number less than 2^20, as they come with records, of which there are `MOST_KEPT`
    let around = u128::from(context) << 118 | u128::from(class) << 104;
    around | u128::from(open) << 84 | u128::from(shape) << 64 | u128::from(packed)
}
