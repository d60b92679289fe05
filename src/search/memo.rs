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

use super::evaluate::{Group, Memorised};
use crate::base::hash::{Chain, Fingerprint};
use crate::blocks::{
    self, Entry, Inside, MAX_PARTS, Part, PartId, PartKind, Parts, Program, Scene,
};
use crate::cost::{self, Totals};
use crate::device::{DeviceModel, Sum};
use crate::fuse::{self, Kernel, Merging, Open};
use crate::ir::graph::MAX_NODES;
use crate::ir::{Graph, Shape, ValueId, identity, ops::Op};
use crate::space::Assignment;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Parts made of parts are kept too where they have at most so many variants.
const KEPT_VARIANTS: u64 = 1 << 12;

/// All is forgotten when so many parts are kept: about 40 MB.
const MOST_KEPT: usize = 1 << 17;

/// The class under which inputs are kept.
const INPUT: u32 = 2 * MAX_PARTS as u32;

/// The class of ops and blocks that are known by their parameters.
const LISTED: u32 = INPUT + 1;

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
    table: HashMap<u128, u32, BuildHasherDefault<KeyHasher>>,
    records: Vec<Record>,
    /// So many a record as there are devices.
    sums: Vec<Sum>,
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

/// A part, or parts one after the other.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// The output's shape.
    shape: u32,
    /// The kernel before it, where it was worked out for one; its end, as far as it goes.
    open: u32,
    /// See [`fuse::Ends`].
    joins: bool,
    through: bool,
    entangled: bool,
    /// Nodes, edges and visits.
    size: u32,
    totals: Totals,
    /// The peak where the image is needed later; whether it is read.
    held: u64,
    reads: bool,
    /// The context before it, and of what comes next.
    context: u32,
    after: u32,
    chain: Chain,
}

#[derive(Debug, Default)]
struct Run {
    record: Record,
    sums: Vec<Sum>,
    /// Elements of the image, where it is in the context.
    image: u64,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            shape: 0,
            open: 0,
            joins: false,
            through: true,
            entangled: false,
            size: 0,
            totals: Totals::default(),
            held: 0,
            reads: false,
            context: 0,
            after: 0,
            chain: Chain::default(),
        }
    }
}

impl Run {
    fn start(&mut self, (shape, open, context): (u32, u32, u32), image: u64, devices: usize) {
        self.image = image;
        self.record = Record {
            shape,
            open,
            context,
            after: context,
            ..Record::default()
        };
        self.sums.clear();
        self.sums.resize(devices, Sum::default());
    }

    /// Adds what comes next; `None` where it cannot be told from the two alone.
    fn push(&mut self, next: &Record, sums: &[Sum]) -> Option<()> {
        let own = &mut self.record;
        own.size = own.size.checked_add(next.size + 8)?;
        if own.size as usize > SMALL || own.entangled {
            return None;
        }
        own.shape = next.shape;
        if own.through {
            own.joins = next.joins;
        }
        if !next.through {
            own.open = next.open;
            own.through = false;
        }
        own.entangled = next.entangled;
        let before = match next.reads {
            true => own.held,
            false => own.totals.peak_activation_elems,
        };
        own.totals = own.totals.then(&next.totals)?;
        let peak = next.totals.peak_activation_elems;
        own.totals.peak_activation_elems = before.max(peak);
        own.held = own.held.max(match next.context {
            0 => peak.checked_add(self.image)?,
            _ => next.held,
        });
        own.reads |= next.reads;
        if next.context != 0 {
            own.after = next.after;
        }
        own.chain = own.chain.then(next.chain);
        for (sum, more) in self.sums.iter_mut().zip(sums) {
            *sum += *more;
        }
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
    pub fn net(mut self, assignment: &Assignment) -> Option<(Fingerprint, Totals, &'s [Sum])> {
        if self.memo.records.len() > MOST_KEPT {
            self.memo.forget();
        }
        let shape = self.input(assignment)?;
        self.memo.scene.start();
        let context = self.memo.context(Context {
            image: shape,
            start: true,
            merging: Vec::new(),
        })?;
        let image = self.memo.shapes.get(shape as usize)?.elems();
        let mut net = std::mem::take(&mut self.memo.net);
        net.start((shape, 0, context), image, self.devices.len());
        let done = self.add(self.parts.root(), assignment, &mut net);
        self.memo.net = net;
        done?;
        let memo: &'s Memo = self.memo;
        let net = &memo.net;
        if memo.contexts.get(net.record.after as usize)?.start {
            return None;
        }
        let head = *memo.heads.get(shape as usize)?;
        let mut totals = net.record.totals;
        // the input alone, where there is nothing else
        let input = memo.shapes.get(shape as usize)?.elems();
        totals.peak_activation_elems = totals.peak_activation_elems.max(input);
        let fingerprint = identity::of_chain(head.then(net.record.chain));
        Some((fingerprint, totals, &net.sums))
    }

    /// The shape of the input.
    fn input(&mut self, assignment: &Assignment) -> Option<u32> {
        let key = key(INPUT, (0, 0, 0), self.parts.input(), assignment);
        if let Some(shape) = self.memo.table.get(&key) {
            return Some(*shape);
        }
        let shape = self.program.input_shape(self.lowering, assignment).ok()?;
        let shape = self.memo.shape(shape);
        self.memo.table.insert(key, shape);
        Some(shape)
    }

    /// Adds a part to what comes before it.
    fn add(&mut self, id: PartId, assignment: &Assignment, run: &mut Run) -> Option<()> {
        let part = self.parts.part(id)?;
        let joins = self.add_after(part, 0, assignment, run)?;
        match joins {
            true => self
                .add_after(part, run.record.open, assignment, run)
                .map(|_| ()),
            false => Some(()),
        }
    }

    /// Adds a part that follows this open kernel; or tells that it would join the one that the run ends in, and adds
    /// nothing.
    fn add_after(
        &mut self,
        part: &Part<'_>,
        open: u32,
        assignment: &Assignment,
        run: &mut Run,
    ) -> Option<bool> {
        let joins = |record: &Record| open == 0 && record.joins && run.record.open != 0;
        let context = match part.sided || self.memo.contexts.get(run.record.after as usize)?.start {
            true => run.record.after,
            false => 0,
        };
        let at = (run.record.shape, open, context);
        let key = self.key(part, at, assignment);
        if let Some(key) = key
            && let Some(found) = self.memo.table.get(&key)
        {
            let found = *found;
            self.memo.found += 1;
            let (record, sums) = self.memo.kept(found)?;
            if joins(record) {
                return Some(true);
            }
            return run.push(record, sums).map(|()| false);
        }
        let nodes = matches!(part.kind, PartKind::Nodes(_) | PartKind::Listed(_));
        if key.is_none() && !nodes {
            return self.each(part, assignment, run).map(|()| false);
        }
        self.memo.worked_out += 1;
        let mut own = Run::default();
        let image = if context == 0 { 0 } else { run.image };
        own.start(at, image, self.devices.len());
        match nodes {
            true => self.count(part, assignment, &mut own)?,
            false => self.each(part, assignment, &mut own)?,
        }
        if let Some(key) = key {
            let place = self.memo.records.len() as u32;
            self.memo.records.push(own.record);
            self.memo.sums.extend_from_slice(&own.sums);
            self.memo.table.insert(key, place);
        }
        if joins(&own.record) {
            return Some(true);
        }
        run.push(&own.record, &own.sums).map(|()| false)
    }

    /// What a part is kept under, with the shape and the open kernel before it; `None` where it is not kept.
    fn key(
        &mut self,
        part: &Part<'_>,
        at: (u32, u32, u32),
        assignment: &Assignment,
    ) -> Option<u128> {
        if !part.called() {
            let nodes = matches!(part.kind, PartKind::Nodes(_));
            let keeps = nodes || part.combinations <= KEPT_VARIANTS;
            let decisions = part.decisions.as_deref().filter(|_| keeps)?;
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
                let shape = *self.memo.shapes.get(run.record.shape as usize)?;
                let at = (self.program, assignment);
                self.memo.scene.enter(at, part, call, shape)?;
                self.add(call.body(), assignment, run)?;
                self.memo.scene.leave();
                Some(())
            }
        }
    }

    /// Lowers, counts, fuses and predicts nodes.
    fn count(&mut self, part: &Part<'_>, assignment: &Assignment, own: &mut Run) -> Option<()> {
        let input = *self.memo.shapes.get(own.record.shape as usize)?;
        let before = self.memo.opens.get(own.record.open as usize).cloned();
        let context = self.memo.contexts.get(own.record.context as usize)?.clone();
        let sees = own.record.context != 0;
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
        let record = &mut own.record;
        record.size = u32::try_from(4 * visits).ok()?;
        record.shape = self.memo.shape(graph.shape(output));
        let image = sees.then_some(ValueId(u32::from(!context.start)));
        (record.totals, record.held, record.reads) =
            Totals::of_part(graph, image, self.counting).ok()?;
        let cut = (!context.start).then_some(ValueId(0));
        let (chain, first) = graph.chain(cut, self.identity);
        record.chain = chain;
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
            record.joins |= ends.joins;
            record.entangled |= ends.entangled;
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
            record.entangled |= *through.get_or_insert(ends.through) != ends.through;
            open.push(ends.open);
            for member in &group.members {
                let device = self.devices.get(*member)?;
                let known = before.map_or(Sum::default(), |b| device.sum(&[b.kernel], 1));
                *own.sums.get_mut(*member)? = device.sum(self.kernels, 1).without(known)?;
            }
        }
        record.through = through.unwrap_or(output.0 == 0);
        if !record.through {
            record.open = self.memo.open(open.into());
        }
        after.merging.sort_unstable();
        after.merging.dedup();
        record.after = match sees && (after.start || self.parts.sided()) {
            true => self.memo.context(after)?,
            false => 0,
        };
        Some(())
    }
}

impl Memo {
    /// Empties it, for another owner too.
    pub fn forget(&mut self) {
        *self = Self {
            owner: self.owner,
            ..Self::default()
        };
    }

    /// What it holds.
    pub fn memorised(&self) -> Memorised {
        let record =
            size_of::<Record>() + size_of::<Sum>() * self.sums.len() / self.records.len().max(1);
        Memorised {
            parts: self.records.len(),
            bytes: self.records.capacity() * record
                + self.table.capacity() * size_of::<(u128, u32, u8)>(),
            found: self.found,
            worked_out: self.worked_out,
        }
    }

    fn kept(&self, place: u32) -> Option<(&Record, &[Sum])> {
        let record = self.records.get(place as usize)?;
        let devices = self.sums.len() / self.records.len().max(1);
        let first = place as usize * devices;
        Some((record, self.sums.get(first..first + devices)?))
    }

    /// The number of a context.
    fn context(&mut self, context: Context) -> Option<u32> {
        if self.contexts.is_empty() {
            self.contexts.push(Context::default());
        }
        // few in any space
        let place = self.contexts.iter().skip(1).position(|c| *c == context);
        let place = place.map_or(self.contexts.len(), |k| k + 1);
        if place == self.contexts.len() {
            self.contexts.push(context);
        }
        (place < MOST_CONTEXTS).then_some(place as u32)
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

/// A class, a shape, an open kernel, a context, and the values of decisions as one number in mixed radix.
fn key(
    class: u32,
    (shape, open, context): (u32, u32, u32),
    decisions: &[(u32, u64)],
    assignment: &Assignment,
) -> u128 {
    let values = assignment.positions();
    let packed = decisions.iter().fold(0u64, |packed, (d, radix)| {
        // no value is the largest position, and becomes 0
        let value = values.get(*d as usize).map_or(0, |v| v.wrapping_add(1));
        packed.wrapping_mul(*radix).wrapping_add(u64::from(value))
    });
    // shapes and kernels number less than 2^20, as they come with records, of which there are `MOST_KEPT`
    let around = u128::from(context) << 118 | u128::from(class) << 104;
    around | u128::from(open) << 84 | u128::from(shape) << 64 | u128::from(packed)
}

/// Mixes the 128 bits of a key.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(*byte));
        }
    }

    fn write_u128(&mut self, key: u128) {
        let (low, high) = (key as u64, (key >> 64) as u64);
        let product = u128::from(low ^ self.0 ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(high ^ 0xd6e8_feb8_6659_fd93);
        let folded = (product as u64) ^ (product >> 64) as u64;
        self.0 = folded.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ folded >> 32;
    }
}
