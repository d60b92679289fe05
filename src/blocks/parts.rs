//! The parts that the nets of a program are made of: stretches of nodes with one value going in and one coming out.
//!
//! A part's graph depends on its input's shape and on the values of *its* decisions alone, so whoever counts many nets
//! of one space need lower each part only once ([`Program::lower_part`]). Nodes at which nothing earlier is read any
//! more cut a body into parts; a choice, an inline body, a repeat and a declared block have parts of their own. What
//! names mean within a declared block is known to a [`Scene`].
//!
//! Invariants:
//! - Besides the value that goes in, a part may read the network's input, which all parts see.
//! - A net is the parts of [`Parts::root`], one after the other.
//! - Parts of one [`class`](Part::class) with equal values of their decisions, equal inputs, and within a declared block
//!   equal scenes, have equal graphs.

mod seen;

pub use self::seen::weighed;

use self::seen::Seen;
use super::program::{Body, Kind, Node, Program, Slot};
use super::registry::BlockDef;
use super::scene::Scene;
use super::walk::MAX_DEPTH;
use crate::space::Assignment;
use crate::space::ast::{Condition, Hole, Origin, Repeat, Source, Val};
use std::collections::HashMap;

/// A space with more parts is counted net by net.
pub const MAX_PARTS: usize = 4096;

/// Copies of a varied repeat that have parts of their own.
const MAX_COPIES: u32 = 64;

/// The position of a decision, and what its value counts in the number of a setting of several.
pub type Weighed = (u32, u64);

/// The number of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartId(pub u32);

/// All parts of a program's nets.
#[derive(Clone, Debug)]
pub struct Parts<'p> {
    program: &'p Program,
    list: Vec<Part<'p>>,
    root: PartId,
    input: Box<[Weighed]>,
}

/// One part.
#[derive(Clone, Debug)]
pub struct Part<'p> {
    /// Parts of one class are made alike. Below twice [`MAX_PARTS`].
    pub class: u32,
    /// The decisions that it depends on. `None` where there are more than 2^64 settings of them.
    pub decisions: Option<Box<[Weighed]>>,
    /// What it is.
    pub kind: PartKind<'p>,
    /// Whether it reads the network's input besides the value that goes in.
    pub sided: bool,
    pub(super) place: Surroundings,
}

impl Part<'_> {
    /// Whether it lies within a declared block, where a [`Scene`] tells what it depends on besides its decisions.
    pub fn called(&self) -> bool {
        self.place.called
    }

    pub(super) fn copies(&self) -> &[u32] {
        &self.place.copies
    }
}

/// What a part is.
#[derive(Clone, Debug)]
pub enum PartKind<'p> {
    /// Nodes to be lowered together.
    Nodes(Stretch<'p>),
    /// One op or block of the lists, within a declared block.
    Listed(Listed<'p>),
    /// What a declared block is made of.
    Call(Call<'p>),
    /// Parts one after the other.
    Chain(Box<[PartId]>),
    /// The part of the option taken.
    Choice(Options<'p>),
    /// So many parts, one after the other.
    Repeat(Copies<'p>),
    /// The part, or nothing.
    When(Guarded<'p>),
}

/// Nodes to be lowered together: all from one place of a body to another, or one copy of one node.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'p> {
    pub(super) nodes: &'p [Node],
    pub(super) first: usize,
    pub(super) one_copy: bool,
    pub(super) given: Given,
}

/// The inputs of a body or a node: the value that goes through all parts, or the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// The one value.
    Run,
    /// The value, then the network's input.
    Both,
    /// The network's input; at the start of the net that is the value.
    Image,
}

/// An op or block of the lists, and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'p> {
    pub(super) def: &'static BlockDef,
    pub(super) args: &'p [Slot],
    pub(super) given: Given,
}

/// A use of a declared block.
#[derive(Clone, Copy, Debug)]
pub struct Call<'p> {
    pub(super) block: usize,
    pub(super) args: &'p [Option<(Val, Origin)>],
    pub(super) body: PartId,
}

impl Call<'_> {
    /// The part that is the block's body.
    pub fn body(&self) -> PartId {
        self.body
    }
}

/// What a part is made of under an assignment.
#[derive(Clone, Copy, Debug)]
pub enum Inside<'t, 'p> {
    /// These, one after the other.
    Chain(&'t [PartId]),
    /// So many copies; the last part stands for all that follow.
    Copies(&'t [PartId], u32),
    /// A part seen from within a declared block.
    Call(&'t Call<'p>),
}

/// A choice of parts.
#[derive(Clone, Debug)]
pub struct Options<'p> {
    pub(super) hole: &'p Hole,
    pub(super) options: Box<[PartId]>,
}

/// Copies of a part.
#[derive(Clone, Debug)]
pub struct Copies<'p> {
    pub(super) repeat: &'p Repeat,
    /// The part of each copy; the last one stands for all that follow.
    pub(super) copies: Box<[PartId]>,
}

/// A part under a condition.
#[derive(Clone, Debug)]
pub struct Guarded<'p> {
    pub(super) condition: &'p Condition,
    pub(super) part: PartId,
}

/// The copies of the varied repeats around a place, and `i` there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Surroundings {
    pub copies: Box<[u32]>,
    pub i: Option<i64>,
    /// Bodies and choices around it.
    pub depth: u32,
    /// Whether it lies within a declared block that has parts: copies are then those within the block.
    pub called: bool,
}

impl<'p> Parts<'p> {
    /// The parts of a program; `None` where its nets do not come apart: several inputs or outputs, or too many parts.
    pub fn of(program: &'p Program) -> Option<Self> {
        let ast = program.space().ast();
        let last = program.net.nodes.len().checked_sub(1)?;
        if ast.inputs.len() != 1 || ast.outputs.as_slice() != [Source::Node(last as u32)] {
            return None;
        }
        let mut maker = Maker {
            program,
            list: Vec::new(),
            classes: HashMap::new(),
        };
        let root = maker.chain(&program.net, &Surroundings::default(), Given::Image)?;
        let mut seen = Seen::default();
        for val in ast.inputs.iter().flat_map(|input| &input.shape) {
            seen.val(program, val, &[], true);
        }
        Some(Self {
            program,
            list: maker.list,
            root,
            input: seen.weighed(program)?,
        })
    }

    /// The decisions that the input's shape depends on, as those of a [`Part`].
    pub fn input(&self) -> &[Weighed] {
        &self.input
    }

    /// Whether any part reads the network's input besides the value that goes in.
    pub fn sided(&self) -> bool {
        self.part(self.root).is_some_and(|part| part.sided)
    }

    /// The part that is the whole net.
    pub fn root(&self) -> PartId {
        self.root
    }

    /// What a part is made of under an assignment; `None` of nodes to be lowered, of a choice (see
    /// [`taken`](Self::taken)), and where the assignment gives no answer.
    pub fn inside<'t>(
        &'t self,
        part: &'t Part<'p>,
        assignment: &Assignment,
        scene: &mut Scene,
    ) -> Option<Inside<'t, 'p>> {
        let at = (self.program, assignment);
        let copies = &*part.place.copies;
        match &part.kind {
            PartKind::Nodes(_) | PartKind::Listed(_) | PartKind::Choice(_) => None,
            PartKind::Chain(parts) => Some(Inside::Chain(parts)),
            PartKind::Call(call) => Some(Inside::Call(call)),
            PartKind::When(Guarded { condition, part }) => {
                scene.need_vars(at)?;
                let scope = scene.context(at, copies, None).scope;
                let met = condition.expr.eval_bool(&scope).ok()?;
                let parts = std::slice::from_ref(part);
                Some(Inside::Chain(parts.get(..usize::from(met))?))
            }
            PartKind::Repeat(Copies { repeat, copies: of }) => {
                if !matches!(repeat.count, Val::Lit(_)) {
                    scene.need_vars(at)?;
                }
                let count = scene.context(at, copies, None).scalar(&repeat.count);
                let most = repeat.vary.map_or(1 << 16, |vary| i64::from(vary.max));
                let count = count.ok()?.int().filter(|k| (0..=most).contains(k))?;
                Some(Inside::Copies(of, count as u32))
            }
        }
    }

    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The part that stands there: of a choice what it takes. `None` where it takes nothing.
    pub fn taken(&self, mut id: PartId, assignment: &Assignment) -> Option<PartId> {
        while let part = self.part(id)?
            && let PartKind::Choice(Options { hole, options }) = &part.kind
        {
            let mut hole = *hole;
            let option = loop {
                match hole {
                    Hole::One(id) => break assignment.get(*id)?,
                    Hole::Each { level, items } => {
                        let copy = *part.place.copies.get(*level as usize)?;
                        hole = items.get(copy as usize)?;
                    }
                }
            };
            id = *options.get(option as usize)?;
        }
        Some(id)
    }

    /// A part.
    pub fn part(&self, id: PartId) -> Option<&Part<'p>> {
        self.list.get(id.0 as usize)
    }
}

/// What a class is made of: the first node, how many, whether one copy of it, and where that matters, where.
type Class = (*const Node, usize, bool, Surroundings);

struct Maker<'p> {
    program: &'p Program,
    list: Vec<Part<'p>>,
    classes: HashMap<Class, u32>,
}

impl<'p> Maker<'p> {
    /// A body with these inputs.
    fn chain(&mut self, body: &'p Body, place: &Surroundings, given: Given) -> Option<PartId> {
        let nodes = &body.nodes;
        // the earliest node that those after a place read, 0 for the value that the body is given
        let mut earliest = nodes.len() + 1;
        let mut ends = Vec::new();
        for (k, node) in nodes.iter().enumerate().rev() {
            if earliest > k {
                ends.push(k);
            }
            earliest = earliest.min(reads(node, given));
        }
        ends.reverse();
        let mut parts = Vec::with_capacity(ends.len());
        let mut first = 0;
        for end in ends {
            let (Some(node), Some(range)) = (nodes.get(end), nodes.get(..=end)) else {
                return None;
            };
            let own = takes(node, first, given).filter(|_| first == end);
            parts.push(if let Some(own) = own {
                self.node(node, place, own)?
            } else {
                let stretch = Stretch {
                    nodes: range,
                    first,
                    one_copy: false,
                    given,
                };
                let within = range.get(first..)?;
                let start = first == 0 && given == Given::Image;
                let sided = !start && within.iter().any(|node| reads_image(node, given));
                self.add(PartKind::Nodes(stretch), within, false, (place, sided))?
            });
            first = end + 1;
        }
        match parts.as_slice() {
            [only] => Some(*only),
            _ => {
                let sided = self.sided(&parts);
                self.add(PartKind::Chain(parts.into()), nodes, false, (place, sided))
            }
        }
    }

    fn sided(&self, parts: &[PartId]) -> bool {
        let sided = |id: &PartId| self.list.get(id.0 as usize).is_some_and(|part| part.sided);
        parts.iter().any(sided)
    }

    /// A node with these inputs.
    fn node(&mut self, node: &'p Node, place: &Surroundings, given: Given) -> Option<PartId> {
        if let Kind::Each { level, nodes } = &node.kind {
            let copy = place.copies.get(*level as usize)?;
            return self.node(nodes.get(*copy as usize)?, place, given);
        }
        if let Some(condition) = &node.when {
            let part = self.repeated(node, place, given)?;
            let sided = self.sided(&[part]);
            let kind = PartKind::When(Guarded { condition, part });
            return self.add(kind, std::slice::from_ref(node), false, (place, sided));
        }
        self.repeated(node, place, given)
    }

    fn repeated(&mut self, node: &'p Node, place: &Surroundings, given: Given) -> Option<PartId> {
        let Some(repeat) = &node.repeat else {
            return self.one(node, place, given);
        };
        let copies = match repeat.vary {
            Some(vary) => Some(vary.max),
            // a scene tells copies apart
            None if place.called => Some(1),
            None => {
                let mut seen = Seen::default();
                seen.one_copy(self.program, node, &place.copies, true);
                // copies that cannot tell their number are all alike
                if seen.i {
                    self.most(&repeat.count)
                } else {
                    Some(1)
                }
            }
        };
        let Some(copies) = copies.filter(|n| *n <= MAX_COPIES) else {
            // condition and input have been looked at already; with two inputs the net is left whole
            if given != Given::Run {
                return None;
            }
            let stretch = Stretch {
                nodes: std::slice::from_ref(node),
                first: 0,
                one_copy: false,
                given,
            };
            return self.add(
                PartKind::Nodes(stretch),
                stretch.nodes,
                false,
                (place, false),
            );
        };
        let parts = (0..copies).map(|k| {
            let mut inner = place.clone();
            if repeat.vary.is_some() {
                let mut copies = inner.copies.into_vec();
                copies.push(k);
                inner.copies = copies.into();
            }
            inner.i = Some(i64::from(k));
            self.one(node, &inner, given)
        });
        let copies = parts.collect::<Option<Box<[PartId]>>>()?;
        let sided = self.sided(&copies);
        let kind = PartKind::Repeat(Copies { repeat, copies });
        self.add(kind, std::slice::from_ref(node), false, (place, sided))
    }

    /// The most copies that a count can amount to, where that is plain.
    fn most(&self, count: &Val) -> Option<u32> {
        let most = match count {
            Val::Lit(count) => count.int()?,
            Val::Hole(id) => {
                let domain = self
                    .program
                    .space()
                    .decisions()
                    .get(id.0 as usize)?
                    .domain();
                let values = (0..domain.count()).map(|k| domain.literal(k)?.int());
                values.collect::<Option<Vec<_>>>()?.into_iter().max()?
            }
            Val::Expr(_) | Val::Each { .. } | Val::List(_) => return None,
        };
        u32::try_from(most).ok()
    }

    /// One copy of a node.
    fn one(&mut self, node: &'p Node, place: &Surroundings, given: Given) -> Option<PartId> {
        let inside = Surroundings {
            depth: place.depth + 1,
            ..place.clone()
        };
        if inside.depth > MAX_DEPTH {
            return None;
        }
        let one = std::slice::from_ref(node);
        match &node.kind {
            Kind::Body(body) => self.chain(body, &inside, given),
            Kind::Choice { hole, options } => {
                let option = |option: &'p Node| match takes(option, 0, given) {
                    Some(own) => self.node(option, &inside, own),
                    None => {
                        let stretch = Stretch {
                            nodes: std::slice::from_ref(option),
                            first: 0,
                            one_copy: false,
                            given,
                        };
                        let at = (&inside, reads_image(option, given));
                        self.add(PartKind::Nodes(stretch), stretch.nodes, false, at)
                    }
                };
                let options = options
                    .iter()
                    .map(option)
                    .collect::<Option<Box<[PartId]>>>()?;
                let sided = self.sided(&options);
                let kind = PartKind::Choice(Options { hole, options });
                self.add(kind, one, true, (place, sided))
            }
            Kind::Listed { def, args } if place.called => {
                let sided = given == Given::Both;
                let kind = PartKind::Listed(Listed { def, args, given });
                self.add(kind, one, true, (place, sided))
            }
            Kind::Declared { block, args } => {
                let (program, mark) = (self.program, self.list.len());
                let inside = Surroundings {
                    depth: place.depth + 1,
                    called: true,
                    ..Surroundings::default()
                };
                let body = program.blocks.get(*block)?;
                if let Some(body) = self.chain(body, &inside, given) {
                    let block = *block;
                    let sided = self.sided(&[body]);
                    let kind = PartKind::Call(Call { block, args, body });
                    return self.add(kind, one, true, (place, sided));
                }
                self.list.truncate(mark);
                self.one_copy(node, place, given)
            }
            Kind::Listed { .. } | Kind::Each { .. } => self.one_copy(node, place, given),
        }
    }

    /// One copy of a node, to be lowered as it is.
    fn one_copy(&mut self, node: &'p Node, place: &Surroundings, given: Given) -> Option<PartId> {
        let stretch = Stretch {
            nodes: std::slice::from_ref(node),
            first: 0,
            one_copy: true,
            given,
        };
        let sided = given == Given::Both;
        self.add(
            PartKind::Nodes(stretch),
            stretch.nodes,
            true,
            (place, sided),
        )
    }

    fn add(
        &mut self,
        kind: PartKind<'p>,
        nodes: &'p [Node],
        one_copy: bool,
        (place, sided): (&Surroundings, bool),
    ) -> Option<PartId> {
        if self.list.len() >= MAX_PARTS {
            return None;
        }
        let mut seen = Seen::default();
        for node in nodes {
            if one_copy {
                seen.one_copy(self.program, node, &place.copies, !place.called);
            } else {
                seen.node(self.program, node, &place.copies, !place.called);
            }
        }
        // copies whose decisions are alike are one class: what they depend on are the values, which make the key
        let own = Surroundings {
            copies: match seen.by_copy {
                true => place.copies.clone(),
                false => Box::default(),
            },
            i: place.i.filter(|_| seen.i),
            ..*place
        };
        let class = match &kind {
            // an inner part of another kind has the same nodes
            PartKind::Nodes(_) => {
                let next = self.classes.len() as u32;
                if next >= MAX_PARTS as u32 {
                    return None;
                }
                let key = (nodes.as_ptr(), nodes.len(), one_copy, own);
                *self.classes.entry(key).or_insert(next)
            }
            _ => (MAX_PARTS + self.list.len()) as u32,
        };
        self.list.push(Part {
            class,
            decisions: seen.weighed(self.program),
            kind,
            sided,
            place: place.clone(),
        });
        Some(PartId(self.list.len() as u32 - 1))
    }
}

/// The earliest value that a node reads: 0 for the value that its body is given, else one more than the node's position;
/// the network's input is none of these.
fn reads(node: &Node, given: Given) -> usize {
    let own = node.from.iter().map(|source| match source {
        Source::Input(0) | Source::AllInputs if given == Given::Image => usize::MAX,
        Source::Input(1) if given == Given::Both => usize::MAX,
        Source::Input(_) | Source::AllInputs => 0,
        Source::Node(k) => *k as usize + 1,
        // results but the last come before what a cut lets through
        Source::Copies(k) | Source::Copy(k, _) => *k as usize,
    });
    let own = own.min().unwrap_or(0);
    match &node.kind {
        Kind::Each { nodes, .. } => {
            let items = nodes.iter().map(|node| reads(node, given));
            items.min().unwrap_or(0).min(own)
        }
        _ => own,
    }
}

/// Whether a node of a body with these inputs may read the network's input.
fn reads_image(node: &Node, given: Given) -> bool {
    let own = node.from.iter().any(|source| match source {
        Source::Input(k) => given == Given::Image || given == Given::Both && *k == 1,
        Source::AllInputs => given != Given::Run,
        _ => false,
    });
    match &node.kind {
        Kind::Each { nodes, .. } => own || nodes.iter().any(|node| reads_image(node, given)),
        _ => own,
    }
}

/// What a node takes that stands alone between two cuts, if that is the value and perhaps the network's input.
fn takes(node: &Node, first: usize, given: Given) -> Option<Given> {
    if let Kind::Each { nodes, .. } = &node.kind {
        let own = takes(nodes.first()?, first, given)?;
        let alike = nodes
            .iter()
            .all(|node| takes(node, first, given) == Some(own));
        return alike.then_some(own);
    }
    if node.over {
        return None;
    }
    let start = first == 0 && given == Given::Image;
    let run = |source: &Source| match source {
        Source::Node(k) => *k as usize + 1 == first,
        Source::Input(0) => (first == 0 && given != Given::Image) || start,
        _ => false,
    };
    let image = |source: &Source| match source {
        Source::Input(0) => given == Given::Image,
        Source::Input(1) => given == Given::Both,
        _ => false,
    };
    match &*node.from {
        [Source::AllInputs] if first == 0 && start => Some(Given::Run),
        [Source::AllInputs] if first == 0 => Some(given),
        [one] if run(one) => Some(Given::Run),
        [one, other] if run(one) && image(other) => Some(Given::Both),
        _ => None,
    }
}
