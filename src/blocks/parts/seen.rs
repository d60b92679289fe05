//! What a stretch of a document depends on: decisions, the copy of a repeat.

use super::Weighed;
use crate::blocks::program::{Kind, Node, Program, Slot};
use crate::expr::{Expr, Ref};
use crate::space::ast::{Hole, Val};
use crate::space::{Decision, Domain};

/// All decisions, weighed; `None` where they have more than 2^64 settings.
pub fn weighed(decisions: &[Decision]) -> Option<Box<[Weighed]>> {
    weigh(
        decisions
            .iter()
            .enumerate()
            .map(|(d, decision)| (d as u32, decision)),
    )
}

fn weigh<'d>(decisions: impl Iterator<Item = (u32, &'d Decision)>) -> Option<Box<[Weighed]>> {
    let mut settings = Some(1u64);
    let weighed = decisions.map(|(d, decision)| {
        let weight = settings?;
        // no value is one of them
        settings = weight.checked_mul(u64::from(decision.count()) + 1);
        Some((d, weight))
    });
    let weighed = weighed.collect::<Option<Box<[_]>>>()?;
    settings.map(|_| weighed)
}

/// What a stretch of the document depends on.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// In the order of the document, each once.
    decisions: Vec<u32>,
    /// Whether `i` of a repeat is read, be it an inner one's.
    pub i: bool,
    /// Whether copies differ by more than the values of their decisions.
    pub by_copy: bool,
}

impl Seen {
    /// The decisions, weighed; `None` where they have too many settings.
    pub fn weighed(&self, program: &Program) -> Option<Box<[Weighed]>> {
        let decisions = program.space().decisions();
        let seen = self.decisions.iter();
        weigh(seen.filter_map(|d| Some((*d, decisions.get(*d as usize)?))))
    }

    /// `net`: whether names mean variables, and not parameters of a declared block.
    pub fn node(&mut self, program: &Program, node: &Node, copies: &[u32], net: bool) {
        if let Some(when) = &node.when {
            self.expr(program, &when.expr, net);
        }
        if let Some(repeat) = &node.repeat {
            self.val(program, &repeat.count, copies, net);
        }
        self.one_copy(program, node, copies, net);
    }

    /// All but condition and number of copies.
    pub fn one_copy(&mut self, program: &Program, node: &Node, copies: &[u32], net: bool) {
        match &node.kind {
            Kind::Listed { args, .. } => {
                for arg in args {
                    if let Slot::Open(open) = arg {
                        self.val(program, &open.val, copies, net);
                    }
                }
            }
            Kind::Declared { block, args } => {
                for (val, _) in args.iter().flatten() {
                    self.val(program, val, copies, net);
                }
                for node in program.blocks.get(*block).iter().flat_map(|b| &b.nodes) {
                    // levels of varied repeats start again in a declared block
                    let mut inner = Self::default();
                    inner.node(program, node, &[], false);
                    inner.decisions.iter().for_each(|d| self.decision(*d));
                }
            }
            Kind::Body(body) => {
                (body.nodes.iter()).for_each(|n| self.node(program, n, copies, net))
            }
            Kind::Choice { hole, options } => {
                self.hole(hole, copies);
                (options.iter()).for_each(|n| self.node(program, n, copies, net));
            }
            Kind::Each { level, nodes } => {
                self.by_copy = true;
                match copies.get(*level as usize) {
                    Some(k) => nodes
                        .get(*k as usize)
                        .into_iter()
                        .for_each(|n| self.node(program, n, copies, net)),
                    None => (nodes.iter()).for_each(|n| self.node(program, n, copies, net)),
                }
            }
        }
    }

    fn decision(&mut self, d: u32) {
        if !self.decisions.contains(&d) {
            self.decisions.push(d);
        }
    }

    fn expr(&mut self, program: &Program, expr: &Expr, net: bool) {
        for name in expr.refs() {
            match name {
                Ref::I => self.i = true,
                Ref::In(_) => {}
                Ref::Slot(slot) if net => {
                    if let Some(var) = program.space().ast().vars.get(slot as usize) {
                        self.val(program, &var.val, &[], true);
                    }
                }
                Ref::Slot(_) => {}
            }
        }
    }

    fn hole(&mut self, hole: &Hole, copies: &[u32]) {
        match hole {
            Hole::One(id) => self.decision(id.0),
            Hole::Each { level, items } => match copies.get(*level as usize) {
                Some(k) => items
                    .get(*k as usize)
                    .into_iter()
                    .for_each(|hole| self.hole(hole, copies)),
                None => items.iter().for_each(|hole| self.hole(hole, copies)),
            },
        }
    }

    pub fn val(&mut self, program: &Program, val: &Val, copies: &[u32], net: bool) {
        match val {
            Val::Lit(_) => {}
            Val::Expr(expr) => self.expr(program, expr, net),
            Val::Hole(id) => {
                self.decision(id.0);
                let decision = program.space().decisions().get(id.0 as usize);
                if let Some(Domain::Items { items, .. }) = decision.map(Decision::domain) {
                    for item in items {
                        self.val(program, &item.val, copies, net);
                    }
                }
            }
            Val::Each { level, items } => {
                self.by_copy |= !items.iter().all(|item| alike(program, item, items.first()));
                match copies.get(*level as usize) {
                    Some(k) => items
                        .get(*k as usize)
                        .into_iter()
                        .for_each(|v| self.val(program, v, copies, net)),
                    None => items.iter().for_each(|v| self.val(program, v, copies, net)),
                }
            }
            Val::List(items) => items.iter().for_each(|v| self.val(program, v, copies, net)),
        }
    }
}

/// Whether two items of an `each` are holes of one domain, so that the same position means the same.
fn alike(program: &Program, item: &Val, first: Option<&Val>) -> bool {
    let domain = |val: &Val| match val {
        Val::Hole(id) => {
            let decision = program.space().decisions().get(id.0 as usize);
            decision.map(|d| std::ptr::from_ref(d.domain()))
        }
        _ => None,
    };
    let own = domain(item);
    own.is_some() && own == first.and_then(domain)
}
