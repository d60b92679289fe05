//! From an assignment to a graph: one pass over the resolved nodes. Without names it makes no string, reads no JSON,
//! and allocates nothing but the graph itself, whose memory the next one takes over.

mod lists;
mod part;
pub(super) mod shipped;
mod trial;

pub use part::Entry;

use super::args::{Arg, Args};
use super::check::{Literal, fit};
use super::diagnose::{self, Place};
use super::lower::Lower;
use super::program::{Body, Kind, Node, Open, Program, Slot};
use super::values::Values;
use crate::base::diag::{Diagnostic, Diagnostics};
use crate::expr::{Scalar, Scope};
use crate::ir::graph::GraphBuilder;
use crate::ir::ops::Op;
use crate::ir::{Graph, Shape, ValueId};
use crate::space::ast::{self, Origin, Source, Val};
use crate::space::signature::ParamKind;
use crate::space::{Assignment, Context, ValueError};

/// Whether nodes get names and origins: needed wherever a person or a file sees the graph, a cost in a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// With names.
    On,
    /// Without.
    Off,
}

/// Bodies within bodies, declared blocks included.
pub const MAX_DEPTH: u32 = 100;

/// Nodes of the document visited, and inputs gathered for them, while one graph is made.
pub const MAX_STEPS: u32 = 4_000_000;

/// Bytes of all names together.
const MAX_NAME_BYTES: usize = 64 << 20;

/// No op or block has more parameters.
pub(super) const MAX_PARAMS: usize = 16;

/// Memory that lowering reuses from one network to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    graph: Graph,
    prefix: String,
    slots: Vec<Scalar>,
    copies: Vec<u32>,
    results: Vec<Done>,
    kept: Vec<ValueId>,
    list: List,
    output_names: Vec<String>,
    /// What the walk over shipped blocks works in, where a block is lowered by itself.
    inner: Option<Box<Scratch>>,
}

impl Scratch {
    fn clear(&mut self) {
        self.slots.clear();
        self.copies.clear();
        self.results.clear();
        self.kept.clear();
        self.list = List::default();
        self.output_names.clear();
    }

    /// The last graph, taken out; its memory goes with it.
    pub fn take(&mut self) -> Graph {
        std::mem::take(&mut self.graph)
    }
}

impl Program {
    /// The network of an assignment.
    ///
    /// # Errors
    /// What does not fit, at the place of the document that asked for it. Lowering ends at the first such place, since
    /// what follows has no shape.
    pub fn lower(&self, assignment: &Assignment, names: Names) -> Result<Graph, Diagnostics> {
        let mut scratch = Scratch::default();
        self.walk(&mut scratch, assignment, names, true)?;
        Ok(scratch.take())
    }

    /// As [`lower`](Self::lower), in memory that is used again and again. What would fit is not looked for.
    ///
    /// # Errors
    /// As [`lower`](Self::lower).
    pub fn lower_into<'s>(
        &self,
        scratch: &'s mut Scratch,
        assignment: &Assignment,
        names: Names,
    ) -> Result<&'s Graph, Diagnostics> {
        self.walk(scratch, assignment, names, false)
    }

    fn walk<'s>(
        &self,
        scratch: &'s mut Scratch,
        assignment: &Assignment,
        names: Names,
        explain: bool,
    ) -> Result<&'s Graph, Diagnostics> {
        let named = names == Names::On;
        let graph = std::mem::take(&mut scratch.graph);
        let prefix = std::mem::take(&mut scratch.prefix);
        let builder = GraphBuilder::reuse(graph, named);
        scratch.clear();
        let mut walk = Walk {
            program: self,
            assignment,
            lower: Lower::new(builder, prefix),
            scratch,
            depth: 0,
            explain,
            shipped: false,
        };
        let outputs = walk.net();
        let (mut builder, prefix) = walk.lower.into_parts();
        scratch.prefix = prefix;
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(problem) => {
                scratch.graph = builder.finish(&[]);
                return Err(Diagnostics::from(*problem));
            }
        };
        if named {
            let ast = self.space.ast();
            let inputs = ast.inputs.iter().map(|i| i.name.to_string()).collect();
            let outputs = std::mem::take(&mut scratch.output_names);
            builder.label(inputs, outputs, ast.origins.clone());
        }
        scratch.graph = builder.finish(outputs.as_slice());
        Ok(&scratch.graph)
    }
}

type Outcome<T> = Result<T, Box<Diagnostic>>;

/// Where in the kept values those of a list are.
#[derive(Clone, Copy, Debug, Default)]
struct List {
    first: u32,
    count: u32,
}

/// The result of a node, and all of them where it has several.
#[derive(Clone, Copy, Debug)]
struct Done {
    value: ValueId,
    list: List,
}

impl Done {
    fn one(value: ValueId) -> Self {
        let list = List::default();
        Self { value, list }
    }
}

/// What names and numbers of copies mean at a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// First slot of the scope.
    slots: usize,
    /// Which declared block's body this is.
    pub block: Option<usize>,
    /// The first input of the declared block, which `in` means.
    input: Option<ValueId>,
    /// Copy number of the innermost repeat.
    i: Option<i64>,
    /// First level of varied repeats.
    copies: usize,
}

struct Walk<'p, 's> {
    program: &'p Program,
    assignment: &'s Assignment,
    lower: Lower,
    scratch: &'s mut Scratch,
    depth: u32,
    /// Whether to look for what would fit where something does not.
    explain: bool,
    /// Whether the program is that of the shipped blocks: its places are none of the document, whose node made it walk.
    shipped: bool,
}

impl<'p> Walk<'p, '_> {
    fn net(&mut self) -> Outcome<Values> {
        let program = self.program;
        let ast = program.space.ast();
        let frame = self.outermost(None)?;
        let mut inputs = Values::new();
        for (index, input) in (0u32..).zip(&ast.inputs) {
            let shape = self.input(input, &frame)?;
            self.lower.builder.origin = input.origin.0;
            let pushed = self
                .lower
                .push(&input.name, Op::Input { index, shape }, &[]);
            let pushed = pushed.map_err(|error| {
                self.place(&frame, input.origin)
                    .block("input", None, &error)
            });
            inputs.push(pushed?);
        }
        let base = self.scratch.results.len();
        self.nodes(&program.net, inputs.as_slice(), &frame)?;
        self.outputs(base)
    }

    /// The scope of the net, its variables evaluated.
    fn outermost(&mut self, i: Option<i64>) -> Outcome<Frame> {
        let space = &self.program.space;
        if let Err((slot, error)) = space.vars(self.assignment, &mut self.scratch.slots) {
            return Err(Box::new(space.var_problem(slot, error)));
        }
        Ok(Frame {
            slots: 0,
            block: None,
            input: None,
            i,
            copies: 0,
        })
    }

    /// The shape of one input of the net.
    fn input(&self, input: &ast::Input, frame: &Frame) -> Outcome<Shape> {
        let mut axes = [0u32; 3];
        for (axis, val) in axes.iter_mut().zip(&input.shape) {
            let value = self.scalar(val, frame, None, input.origin, "input")?;
            let kind = ParamKind::Int {
                min: 1,
                max: super::registry::MAX_INT,
            };
            let Ok(Arg::Int(size)) = fit(kind, &[], Literal::One(value)) else {
                return Err(self.place(frame, input.origin).size(value));
            };
            *axis = size;
        }
        let [c, h, w] = axes;
        Ok(Shape::Map { c, h, w })
    }

    /// Lowers the nodes of a body; their results stay on the stack.
    fn nodes(&mut self, body: &'p Body, inputs: &[ValueId], frame: &Frame) -> Outcome<()> {
        let base = self.scratch.results.len();
        for node in &body.nodes {
            let done = self.node(node, inputs, base, frame)?;
            self.scratch.results.push(done);
        }
        Ok(())
    }

    /// The result of a body's last node.
    fn body(
        &mut self,
        body: &'p Body,
        inputs: &[ValueId],
        frame: &Frame,
        origin: Origin,
    ) -> Outcome<ValueId> {
        self.deeper(frame, origin)?;
        let (base, kept) = (self.scratch.results.len(), self.scratch.kept.len());
        self.nodes(body, inputs, frame)?;
        let last = self.scratch.results.last().map(|done| done.value);
        self.scratch.results.truncate(base);
        self.settle(kept);
        self.depth -= 1;
        last.or_else(|| inputs.first().copied())
            .ok_or_else(|| self.place(frame, origin).no_input())
    }

    fn deeper(&mut self, frame: &Frame, origin: Origin) -> Outcome<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.place(frame, origin).too_deep());
        }
        Ok(())
    }

    fn step(&mut self, count: usize, frame: &Frame, origin: Origin) -> Outcome<()> {
        let lower = &mut self.lower;
        lower.steps = lower.steps.saturating_add(count as u32);
        if lower.steps > MAX_STEPS || lower.name_bytes > MAX_NAME_BYTES {
            return Err(self.place(frame, origin).too_many());
        }
        Ok(())
    }

    /// The inputs that a node names, into `found`.
    fn gather(
        &mut self,
        node: &Node,
        inputs: &[ValueId],
        base: usize,
        frame: &Frame,
        found: &mut Values,
    ) -> Outcome<()> {
        for source in &node.from {
            let done = |k: u32| self.scratch.results.get(base + k as usize).copied();
            match *source {
                Source::Input(k) => match inputs.get(k as usize) {
                    Some(x) => found.push(*x),
                    None => {
                        let place = self.place(frame, node.from_origin);
                        return Err(place.missing_input(k, inputs.len()));
                    }
                },
                Source::AllInputs => found.extend(inputs),
                Source::Node(k) => {
                    if let Some(done) = done(k) {
                        found.push(done.value);
                    }
                }
                Source::Copies(k) => {
                    if let Some(done) = done(k) {
                        found.extend(self.listed(done.list));
                    }
                }
                Source::Copy(k, place) => {
                    let list = done(k).map(|done| done.list).unwrap_or_default();
                    match self.listed(list).get(place as usize) {
                        Some(x) => found.push(*x),
                        None => {
                            let at = self.place(frame, node.from_origin);
                            return Err(at.missing_result(place, list.count));
                        }
                    }
                }
            }
            self.step(found.as_slice().len(), frame, node.origin)?;
        }
        Ok(())
    }

    fn node(
        &mut self,
        node: &'p Node,
        inputs: &[ValueId],
        base: usize,
        frame: &Frame,
    ) -> Outcome<Done> {
        if let Kind::Each { level, nodes } = &node.kind {
            let item = self
                .context(frame, None)
                .item(*level, nodes)
                .map_err(|error| self.place(frame, node.origin).value("each", error))?;
            return self.node(item, inputs, base, frame);
        }
        let mut given = Values::new();
        self.gather(node, inputs, base, frame, &mut given)?;
        let first = given.as_slice().first().copied();
        self.scratch.list = List::default();
        let passed = |walk: &Self| {
            first
                .map(Done::one)
                .ok_or_else(|| walk.place(frame, node.origin).no_input())
        };
        if let Some(when) = &node.when {
            let scope = self.context(frame, None).scope;
            match when.expr.eval_bool(&scope) {
                Ok(true) => {}
                Ok(false) => return passed(self),
                Err(error) => {
                    let place = self.place(frame, when.origin);
                    return Err(place.value("when", error.into()));
                }
            }
        }
        if node.over {
            return self.over(node, given.as_slice(), frame);
        }
        let Some(repeat) = &node.repeat else {
            let mark = self.lower.enter(&node.name, None);
            let value = self.one(node, given.as_slice(), frame)?;
            self.lower.leave(mark);
            let list = self.scratch.list;
            return Ok(match list.count {
                0 => self.keep(node, value, list),
                _ => Done { value, list },
            });
        };
        let count = self.scalar(&repeat.count, frame, None, repeat.origin, "repeat")?;
        let most = repeat
            .vary
            .map_or(i64::from(MAX_STEPS), |v| i64::from(v.max));
        let count = match count.int() {
            Some(count) if (0..=most).contains(&count) => count as u32,
            _ => {
                return Err(self
                    .place(frame, repeat.origin)
                    .count(&repeat.count, count, most));
            }
        };
        let Some(mut value) = first else {
            return passed(self);
        };
        let mut done = Done::one(value);
        for k in 0..count {
            let mut inner = Frame {
                i: Some(i64::from(k)),
                ..*frame
            };
            let (around, kept) = (self.scratch.copies.len(), self.scratch.kept.len());
            if repeat.vary.is_some() {
                self.scratch.copies.push(k);
            }
            given.set_first(value);
            let mark = self.lower.enter(&node.name, Some(k));
            inner.slots = frame.slots;
            value = self.one(node, given.as_slice(), &inner)?;
            self.lower.leave(mark);
            self.scratch.copies.truncate(around);
            // the list of a repeated node is that of its copies, each by its last result
            self.scratch.kept.truncate(kept);
            done = self.keep(node, value, done.list);
        }
        self.scratch.list = List::default();
        Ok(done)
    }

    /// One copy of a node.
    fn one(&mut self, node: &'p Node, inputs: &[ValueId], frame: &Frame) -> Outcome<ValueId> {
        self.step(1, frame, node.origin)?;
        let first = inputs.first().copied();
        match &node.kind {
            Kind::Listed { def, args } => {
                let mut values = [Arg::Unset; MAX_PARAMS];
                let own = frame.block.is_none().then_some(first).flatten();
                for (slot, (value, arg)) in values.iter_mut().zip(args).enumerate() {
                    *value = match arg {
                        Slot::Known(arg, _) => *arg,
                        Slot::Open(open) => self.open(open, frame, own, (def, slot))?,
                    };
                }
                if !self.shipped {
                    self.lower.builder.origin = node.origin.0;
                }
                let before = self.lower.builder.len();
                self.lower.results.clear();
                let made = (def.lower)(&mut self.lower, &Args::new(&values), inputs);
                if !self.lower.results.is_empty() {
                    self.take_results();
                }
                if self.lower.builder.is_named() {
                    let made = self.lower.builder.len() - before;
                    self.lower.name_bytes += made * self.lower.name_len();
                }
                made.map_err(|error| {
                    let (val, origin) = match error.slot.and_then(|slot| args.get(slot)) {
                        Some(Slot::Open(open)) => (Some(&open.val), open.origin),
                        Some(Slot::Known(_, Some(origin))) => (None, *origin),
                        Some(Slot::Known(_, None)) | None => (None, node.origin),
                    };
                    let name = error.slot.and_then(|slot| def.params.get(slot));
                    let param = name.map(|p| (p.name, val));
                    let mut place = self.place(frame, origin);
                    place.scope.input = self.context(frame, own).scope.input;
                    let mut problem = place.block(def.name, param, &error);
                    if self.explain && !error.is_too_many() {
                        let path = |slot: usize| match (args.get(slot), def.params.get(slot)) {
                            (Some(Slot::Open(open)), _) => self.program.space.path(open.origin),
                            (Some(Slot::Known(_, Some(origin))), _) => {
                                self.program.space.path(*origin)
                            }
                            (_, Some(param)) => {
                                self.program.space.path(node.origin).key(param.name)
                            }
                            (_, None) => self.program.space.path(node.origin),
                        };
                        let failed = trial::Listed {
                            def,
                            values: &values,
                            inputs,
                        };
                        self.mend_listed(&failed, path, &error, &mut problem);
                    }
                    problem
                })
            }
            Kind::Declared { block, args } => self.call(node, *block, args, inputs, frame),
            Kind::Body(body) => self.body(body, inputs, frame, node.origin),
            Kind::Choice { hole, options } => {
                let option = self
                    .context(frame, None)
                    .option(hole)
                    .map_err(|error| self.place(frame, node.origin).value("choice", error))?;
                let Some(option) = options.get(option as usize) else {
                    return Err(self.place(frame, node.origin).no_option(option));
                };
                self.deeper(frame, node.origin)?;
                let (base, kept) = (self.scratch.results.len(), self.scratch.kept.len());
                let done = self.node(option, inputs, base, frame)?;
                self.settle(kept);
                self.depth -= 1;
                Ok(done.value)
            }
            // resolved before the node's inputs were
            Kind::Each { .. } => first.ok_or_else(|| self.place(frame, node.origin).no_input()),
        }
    }

    /// A declared block.
    fn call(
        &mut self,
        node: &'p Node,
        block: usize,
        args: &'p [Option<(Val, Origin)>],
        inputs: &[ValueId],
        frame: &Frame,
    ) -> Outcome<ValueId> {
        let program = self.program;
        let Some(declared) = program.space.ast().blocks.get(block) else {
            return Err(self.place(frame, node.origin).no_input());
        };
        let first = inputs.first().copied();
        let own = frame.block.is_none().then_some(first).flatten();
        let base = self.scratch.slots.len();
        let inner = Frame {
            slots: base,
            block: Some(block),
            input: first,
            i: None,
            copies: self.scratch.copies.len(),
        };
        for (param, arg) in declared.params.iter().zip(args) {
            let value = match arg {
                Some((val, origin)) => {
                    let value = self.scalar(val, frame, own, *origin, &param.name)?;
                    param.check(value).map_err(|misfit| {
                        let message = program.space.misfit(param, value, misfit);
                        let mut place = self.place(frame, *origin);
                        place.scope.input = self.context(frame, own).scope.input;
                        place.declared(&param.name, val, message)
                    })?
                }
                None => self.fallback(param, &inner, node.origin)?,
            };
            self.scratch.slots.push(value);
        }
        let mut result = self.inside(block, inputs, &inner, node.origin);
        if let Err(problem) = &mut result
            && self.explain
            && frame.block.is_none()
        {
            let values: Vec<Scalar> = self.scratch.slots.get(base..).unwrap_or(&[]).to_vec();
            let given = values.get(..declared.params.len()).unwrap_or(&values);
            self.mend_declared(block, inputs, (given, args), node.origin, problem);
        }
        self.scratch.slots.truncate(base);
        result
    }

    /// The body of a declared block, whose arguments `inner` holds.
    fn inside(
        &mut self,
        block: usize,
        inputs: &[ValueId],
        inner: &Frame,
        origin: Origin,
    ) -> Outcome<ValueId> {
        let program = self.program;
        let (Some(declared), Some(body)) = (
            program.space.ast().blocks.get(block),
            program.blocks.get(block),
        ) else {
            return Err(self.place(inner, origin).no_input());
        };
        self.require(declared, inner, origin)
            .map_err(|(_, problem)| problem)?;
        self.body(body, inputs, inner, origin)
            .map_err(|mut problem| {
                if problem.related.len() < 4 {
                    let path = program.space.path(origin);
                    let slots = self.scratch.slots.get(inner.slots..).unwrap_or(&[]);
                    let with = diagnose::arguments(&program.space, declared, slots);
                    problem
                        .related
                        .push((path, format!("block {} is used here{with}", declared.name)));
                }
                problem
            })
    }

    fn input_shape(&self, x: ValueId) -> [i64; 3] {
        let shape = self.lower.shape(x);
        let (h, w) = shape.hw();
        [shape.channels(), h, w].map(i64::from)
    }

    /// What values at this place are read with; `own` is the input that `in` means where it means the node's own.
    #[inline(always)]
    fn context(&self, frame: &Frame, own: Option<ValueId>) -> Context<'_> {
        let input = frame.input.or(own).map(|x| self.input_shape(x));
        Context {
            space: &self.program.space,
            assignment: self.assignment,
            scope: Scope {
                slots: self.scratch.slots.get(frame.slots..).unwrap_or(&[]),
                input,
                i: frame.i,
            },
            copies: self.scratch.copies.get(frame.copies..).unwrap_or(&[]),
        }
    }

    fn scalar(
        &self,
        val: &Val,
        frame: &Frame,
        own: Option<ValueId>,
        origin: Origin,
        key: &str,
    ) -> Outcome<Scalar> {
        self.context(frame, own)
            .scalar(val)
            .map_err(|error| self.place(frame, origin).value(key, error))
    }

    /// The value of an open parameter, checked.
    fn open(
        &self,
        open: &Open,
        frame: &Frame,
        own: Option<ValueId>,
        (def, slot): (&super::registry::BlockDef, usize),
    ) -> Outcome<Arg> {
        let Some(param) = def.params.get(slot) else {
            return Ok(Arg::Unset);
        };
        let context = self.context(frame, own);
        let failed = |error| self.place(frame, open.origin).value(param.name, error);
        let value = literal(&context, &open.val).map_err(failed)?;
        fit(param.kind, &open.words, value).map_err(|misfit| {
            let mut place = self.place(frame, open.origin);
            place.scope.input = context.scope.input;
            place.misfit(def, param, &open.val, value, misfit)
        })
    }

    fn place(&self, frame: &Frame, origin: Origin) -> Place<'_> {
        let context = self.context(frame, None);
        Place {
            space: &self.program.space,
            assignment: self.assignment,
            block: frame.block,
            scope: context.scope,
            copies: context.copies,
            origin,
        }
    }
}

/// What a parameter of the lists is given.
pub(super) fn literal(context: &Context<'_>, val: &Val) -> Result<Literal, ValueError> {
    match context.leaf(val)? {
        Val::List(items) => match items.as_slice() {
            [a, b] => Ok(Literal::Two(context.scalar(a)?, context.scalar(b)?)),
            _ => Err(ValueError::List),
        },
        val => Ok(Literal::One(context.scalar(val)?)),
    }
}
