//! What names mean while a net is put together from parts: variables, and within a declared block its parameters.
//!
//! A part of a declared block depends on what its names mean at the place of use, whatever decisions that came from. A
//! [`Scene`] follows a net from part to part and knows these values; [`Scene::resolve`] and [`Scene::digest`] turn them
//! into keys.

use super::args::Arg;
use super::check::fit;
use super::parts::{Call, Listed, Part};
use super::program::{Program, Slot};
use super::walk::{MAX_PARAMS, literal};
use crate::base::hash::Fingerprint;
use crate::expr::{Scalar, Scope};
use crate::ir::Shape;
use crate::space::ast::Fallback;
use crate::space::{Assignment, Context};

/// The values of names at a place of a net. Belongs to one thread.
#[derive(Debug, Default)]
pub struct Scene {
    slots: Vec<Scalar>,
    /// Whether the variables have their values.
    ready: bool,
    frame: Frame,
    outer: Vec<Frame>,
    args: Vec<Arg>,
    bytes: Vec<u8>,
}

/// A declared block, or the net around all.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// Where its slots begin.
    slots: usize,
    block: Option<usize>,
    /// The shape of the block's first input.
    entry: Option<Shape>,
    /// The copy of the innermost repeat.
    i: Option<i64>,
}

/// A program and the values of its decisions.
type At<'a> = (&'a Program, &'a Assignment);

impl Scene {
    /// Starts a net.
    pub fn start(&mut self) {
        self.slots.clear();
        self.outer.clear();
        self.ready = false;
        self.frame = Frame::default();
    }

    /// Sets the copy of the innermost repeat; gives the one before.
    pub fn copy(&mut self, i: Option<i64>) -> Option<i64> {
        std::mem::replace(&mut self.frame.i, i)
    }

    /// Steps into a use of a declared block whose input has this shape; `None` where it cannot be used so.
    pub fn enter(
        &mut self,
        at: At<'_>,
        part: &Part<'_>,
        call: &Call<'_>,
        shape: Shape,
    ) -> Option<()> {
        self.need_vars(at)?;
        let block = at.0.space().ast().blocks.get(call.block)?;
        let first = self.slots.len();
        let inner = Frame {
            slots: first,
            block: Some(call.block),
            entry: Some(shape),
            i: None,
        };
        for (param, arg) in block.params.iter().zip(call.args) {
            let value = match (arg, &param.default) {
                (Some((val, _)), _) => {
                    let context = self.context(at, part.copies(), Some(shape));
                    param.check(context.scalar(val).ok()?).ok()?
                }
                (None, Some(Fallback::Lit(x))) => *x,
                (None, Some(Fallback::Expr(expr))) => param
                    .check(expr.eval(&self.scope(&inner, None)).ok()?)
                    .ok()?,
                (None, None) => return None,
            };
            self.slots.push(value);
        }
        let scope = self.scope(&inner, None);
        for rule in &block.require {
            if !rule.condition.expr.eval_bool(&scope).ok()? {
                return None;
            }
        }
        self.outer.push(std::mem::replace(&mut self.frame, inner));
        Some(())
    }

    /// Steps out of it.
    pub fn leave(&mut self) {
        self.slots.truncate(self.frame.slots);
        self.frame = self.outer.pop().unwrap_or_default();
    }

    /// Works out the parameters of an op or block, and gives a key of both; `None` where one does not fit.
    pub fn resolve(&mut self, at: At<'_>, part: &Part<'_>, listed: &Listed<'_>) -> Option<u128> {
        self.args.clear();
        self.bytes.clear();
        let def = std::ptr::from_ref(listed.def) as usize;
        self.bytes.extend_from_slice(&def.to_le_bytes());
        for (slot, arg) in listed.args.iter().enumerate().take(MAX_PARAMS) {
            let value = match arg {
                Slot::Known(arg, _) => *arg,
                Slot::Open(open) => {
                    let param = listed.def.params.get(slot)?;
                    let context = self.context(at, part.copies(), None);
                    fit(param.kind, &open.words, literal(&context, &open.val).ok()?).ok()?
                }
            };
            let (tag, bits) = match value {
                Arg::Unset => (0, 0),
                Arg::Int(x) => (1, u64::from(x)),
                Arg::Real(x) => (2, x.to_bits()),
                Arg::Bool(x) => (3, u64::from(x)),
                Arg::Word(x) => (4, u64::from(x)),
                Arg::Pair([a, b]) => (5, u64::from(a) << 32 | u64::from(b)),
            };
            self.bytes.push(tag);
            self.bytes.extend_from_slice(&bits.to_le_bytes());
            self.args.push(value);
        }
        Some(Fingerprint::of(&self.bytes).0)
    }

    /// A key of all that names mean in the declared block at hand.
    pub fn digest(&mut self) -> u128 {
        let Self {
            slots,
            frame,
            bytes,
            ..
        } = self;
        bytes.clear();
        let mut put = |tag: u8, bits: u64| {
            bytes.push(tag);
            bytes.extend_from_slice(&bits.to_le_bytes());
        };
        for slot in slots.get(frame.slots..).unwrap_or(&[]) {
            match *slot {
                Scalar::Int(x) => put(1, x as u64),
                Scalar::Real(x) => put(2, x.to_bits()),
                Scalar::Bool(x) => put(3, u64::from(x)),
                Scalar::Word(x) => put(4, u64::from(x.0)),
            }
        }
        if let Some(i) = frame.i {
            put(5, i as u64);
        }
        if let Some(entry) = frame.entry {
            let flat = matches!(entry, Shape::Flat { .. });
            let axes = size(entry).map(|axis| axis as u64);
            axes.into_iter()
                .for_each(|axis| put(6 + u8::from(flat), axis));
        }
        Fingerprint::of(bytes).0
    }

    /// The parameters resolved last.
    pub(super) fn args(&self) -> &[Arg] {
        &self.args
    }

    /// Slots, copy, block and input's shape of the declared block at hand.
    pub(super) fn call(&self) -> (&[Scalar], Option<i64>, Option<usize>, Option<Shape>) {
        let Frame {
            slots,
            block,
            entry,
            i,
        } = self.frame;
        (self.slots.get(slots..).unwrap_or(&[]), i, block, entry)
    }

    /// Gives the variables their values.
    pub(super) fn need_vars(&mut self, (program, assignment): At<'_>) -> Option<()> {
        if !self.ready {
            program.space().vars(assignment, &mut self.slots).ok()?;
            self.ready = true;
        }
        Some(())
    }

    /// What values are read with; `own` is the input of the node that they belong to.
    pub(super) fn context<'a>(
        &'a self,
        (program, assignment): At<'a>,
        copies: &'a [u32],
        own: Option<Shape>,
    ) -> Context<'a> {
        Context {
            space: program.space(),
            assignment,
            scope: self.scope(&self.frame, own),
            copies,
        }
    }

    fn scope(&self, frame: &Frame, own: Option<Shape>) -> Scope<'_> {
        Scope {
            slots: self.slots.get(frame.slots..).unwrap_or(&[]),
            input: frame.entry.or(own).map(size),
            i: frame.i,
        }
    }
}

fn size(shape: Shape) -> [i64; 3] {
    let (h, w) = shape.hw();
    [shape.channels(), h, w].map(i64::from)
}
