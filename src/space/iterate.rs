//! All assignments in order, and how many there are.

use super::Space;
use super::ast::{DecisionId, Val};
use super::decision::{Assignment, Domain, INACTIVE, Need};
use super::sample::Scratch;
use crate::expr::{Ref, Scalar, Scope};

/// How many assignments a space has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Their number.
    pub count: f64,
    /// True where it takes account of constraints and of all conditions. Otherwise it is a bound from above: there are
    /// too many variables to try them all.
    pub exact: bool,
}

/// The most settings of variables that are tried to count assignments.
const MAX_COUNTED: f64 = 100_000.0;

/// The most values of a repeat that are told apart in counting.
const MAX_TOLD: u32 = 10_000;

impl Space {
    /// All assignments that meet the constraints, in lexicographic order of the positions of their values. Each network
    /// that the space describes comes once. Mind [`Space::size`].
    pub fn assignments(&self) -> Assignments<'_> {
        Assignments {
            space: self,
            values: Vec::new(),
            scratch: Scratch::default(),
            state: State::Start,
        }
    }

    /// How many assignments there are.
    pub fn size(&self) -> Size {
        let tree = Tree::new(self);
        let needed = self.needed_decisions();
        let choices = |d: &u32| {
            self.decisions.get(*d as usize).map_or(1.0, |d| {
                if d.fixed.is_some() {
                    1.0
                } else {
                    f64::from(d.count())
                }
            })
        };
        let all: Vec<u32> = (0..self.var_decisions).collect();
        let free: f64 = all
            .iter()
            .filter(|d| !needed.contains(d))
            .map(choices)
            .product();
        let tried: f64 = needed.iter().map(choices).product();
        if tried * (1.0 + self.guards.len() as f64 / 100.0) > MAX_COUNTED {
            let mut counter = Counter {
                space: self,
                tree: &tree,
                vars: None,
                exact: false,
            };
            return Size {
                count: free * tried * counter.under(0),
                exact: false,
            };
        }
        let mut values: Vec<u32> = vec![INACTIVE; self.decisions.len()];
        for d in &all {
            let first = self.first(*d);
            if let Some(place) = values.get_mut(*d as usize) {
                *place = first;
            }
        }
        let mut scratch = Scratch::default();
        let mut size = Size {
            count: 0.0,
            exact: true,
        };
        loop {
            if self.refusal(&values, &mut scratch).is_none() {
                let mut counter = Counter {
                    space: self,
                    tree: &tree,
                    vars: Some(&scratch.vars),
                    exact: true,
                };
                size.count += free * counter.under(0);
                size.exact &= counter.exact;
            }
            if !self.step(&mut values, &needed) {
                return size;
            }
        }
    }

    /// The first value of a decision.
    fn first(&self, d: u32) -> u32 {
        self.decisions
            .get(d as usize)
            .and_then(|d| d.fixed)
            .unwrap_or(0)
    }

    /// Turns some decisions to their next setting, the last one fastest; false after the last setting.
    fn step(&self, values: &mut [u32], among: &[u32]) -> bool {
        for &d in among.iter().rev() {
            let Some((value, decision)) = values
                .get_mut(d as usize)
                .zip(self.decisions.get(d as usize))
            else {
                continue;
            };
            if decision.fixed.is_none() && *value + 1 < decision.count() {
                *value += 1;
                return true;
            }
            *value = decision.fixed.unwrap_or(0);
        }
        false
    }

    /// Decisions of `vars` that constraints and conditions depend on, in order.
    fn needed_decisions(&self) -> Vec<u32> {
        let mut needed = vec![false; self.ast.vars.len()];
        let mark = |expr: &crate::expr::Expr, needed: &mut Vec<bool>| {
            for r in expr.refs() {
                if let Ref::Slot(slot) = r
                    && let Some(place) = needed.get_mut(slot as usize)
                {
                    *place = true;
                }
            }
        };
        let items = |hole: &DecisionId, needed: &mut Vec<bool>| {
            if let Some(Domain::Items { items, .. }) =
                self.decisions.get(hole.0 as usize).map(|d| &*d.domain)
            {
                for item in items {
                    if let Val::Expr(expr) = &item.val {
                        mark(expr, needed);
                    }
                }
            }
        };
        self.ast
            .constraints
            .iter()
            .for_each(|c| mark(&c.expr, &mut needed));
        for guard in &self.guards {
            match &guard.need {
                Need::When { expr, .. } => mark(expr, &mut needed),
                Need::Copies {
                    count: Val::Expr(expr),
                    ..
                } => mark(expr, &mut needed),
                Need::Copies {
                    count: Val::Hole(hole),
                    ..
                } => items(hole, &mut needed),
                _ => {}
            }
        }
        // Those that others read come earlier, so one pass from the back is enough.
        let mut decisions = Vec::new();
        for &slot in self.ast.var_order.iter().rev() {
            let Some(var) = self.ast.vars.get(slot as usize) else {
                continue;
            };
            if !needed.get(slot as usize).is_some_and(|n| *n) {
                continue;
            }
            match &var.val {
                Val::Expr(expr) => mark(expr, &mut needed),
                Val::Hole(hole) => {
                    decisions.push(hole.0);
                    items(hole, &mut needed);
                }
                _ => {}
            }
        }
        decisions.sort_unstable();
        decisions
    }
}

/// What stands under each guard, and which guards each decision settles.
struct Tree {
    decisions: Vec<Vec<u32>>,
    guards: Vec<Vec<u32>>,
    settled: Vec<Vec<u32>>,
}

impl Tree {
    fn new(space: &Space) -> Self {
        let mut tree = Self {
            decisions: vec![Vec::new(); space.guards.len()],
            guards: vec![Vec::new(); space.guards.len()],
            settled: vec![Vec::new(); space.decisions.len()],
        };
        for (d, decision) in space
            .decisions
            .iter()
            .enumerate()
            .skip(space.var_decisions as usize)
        {
            if let Some(list) = tree.decisions.get_mut(decision.guard as usize) {
                list.push(d as u32);
            }
        }
        for (g, guard) in space.guards.iter().enumerate().skip(1) {
            let list = match &guard.need {
                Need::Took { hole, .. }
                | Need::Copies {
                    count: Val::Hole(hole),
                    ..
                } => tree.settled.get_mut(hole.0 as usize),
                _ => tree.guards.get_mut(guard.parent as usize),
            };
            if let Some(list) = list {
                list.push(g as u32);
            }
        }
        tree
    }
}

struct Counter<'a> {
    space: &'a Space,
    tree: &'a Tree,
    /// The variables; without them every condition counts as met.
    vars: Option<&'a [Scalar]>,
    exact: bool,
}

impl Counter<'_> {
    /// How many ways there are to settle what stands under a guard that is met.
    fn under(&mut self, guard: u32) -> f64 {
        let tree = self.tree;
        let empty = Vec::new();
        let own = tree.decisions.get(guard as usize).unwrap_or(&empty);
        let below = tree.guards.get(guard as usize).unwrap_or(&empty);
        let mut ways = 1.0;
        for d in own {
            ways *= self.of_decision(*d);
        }
        for g in below {
            if self.is_met(*g) {
                let inside = self.under(*g);
                // Which uses of a declared block are there depends on more than variables.
                let any = self
                    .space
                    .guards
                    .get(*g as usize)
                    .is_some_and(|g| matches!(g.need, Need::Any(_)));
                self.exact &= !(any && inside != 1.0);
                ways *= inside;
            }
        }
        ways
    }

    fn of_decision(&mut self, d: u32) -> f64 {
        let tree = self.tree;
        let (Some(decision), Some(settled)) = (
            self.space.decisions.get(d as usize),
            tree.settled.get(d as usize),
        ) else {
            return 1.0;
        };
        let values = match decision.fixed {
            Some(fixed) => fixed..fixed + 1,
            None => 0..decision.count(),
        };
        let below: Vec<(u32, f64)> = settled.iter().map(|g| (*g, self.under(*g))).collect();
        if below.iter().all(|(_, ways)| *ways == 1.0) {
            return f64::from(values.end - values.start);
        }
        if values.end - values.start > MAX_TOLD {
            self.exact = false;
            return f64::from(values.end - values.start)
                * below.iter().map(|(_, ways)| ways).product::<f64>();
        }
        let mut sum = 0.0;
        for value in values {
            let met = below
                .iter()
                .filter(|(g, _)| self.is_settled(*g, decision.domain.expr(value), value));
            sum += met.map(|(_, ways)| ways).product::<f64>();
        }
        sum
    }

    /// Whether a decision with this value meets a guard that it settles.
    fn is_settled(&self, guard: u32, expr: Option<&crate::expr::Expr>, value: u32) -> bool {
        let Some(guard) = self.space.guards.get(guard as usize) else {
            return true;
        };
        match &guard.need {
            Need::Took { option, .. } => *option == value,
            Need::Copies {
                count: Val::Hole(hole),
                above,
                i,
            } => {
                let literal = || {
                    self.space
                        .decisions
                        .get(hole.0 as usize)?
                        .domain
                        .literal(value)
                };
                let count = match (expr, self.vars) {
                    (Some(expr), Some(vars)) => expr
                        .eval(&Scope {
                            i: *i,
                            ..Scope::of(vars)
                        })
                        .ok(),
                    (Some(_), None) => None,
                    (None, _) => literal(),
                };
                count
                    .and_then(Scalar::int)
                    .is_none_or(|count| count > i64::from(*above))
            }
            _ => true,
        }
    }

    fn is_met(&self, guard: u32) -> bool {
        let Some(guard) = self.space.guards.get(guard as usize) else {
            return true;
        };
        let scope = |i: &Option<i64>| {
            self.vars.map(|vars| Scope {
                i: *i,
                ..Scope::of(vars)
            })
        };
        match &guard.need {
            Need::When { expr, i } => scope(i)
                .and_then(|s| expr.eval_bool(&s).ok())
                .unwrap_or(true),
            Need::Copies {
                count: Val::Lit(count),
                above,
                ..
            } => count.int().is_none_or(|c| c > i64::from(*above)),
            Need::Copies {
                count: Val::Expr(expr),
                above,
                i,
            } => {
                let count = scope(i)
                    .and_then(|s| expr.eval(&s).ok())
                    .and_then(Scalar::int);
                count.is_none_or(|c| c > i64::from(*above))
            }
            Need::Any(uses) => !uses.is_empty(),
            _ => true,
        }
    }
}

enum State {
    Start,
    Going,
    Done,
}

/// See [`Space::assignments`].
pub struct Assignments<'a> {
    space: &'a Space,
    values: Vec<u32>,
    scratch: Scratch,
    state: State,
}

impl Assignments<'_> {
    /// Moves the decisions of the net on; false where they are at their last setting.
    fn step_net(&mut self) -> bool {
        let space = self.space;
        let from = space.var_decisions as usize;
        let can_step = |d: usize| {
            let value = self.values.get(d).copied().filter(|v| *v != INACTIVE);
            let decision = space.decisions.get(d);
            value
                .zip(decision)
                .is_some_and(|(v, d)| d.fixed.is_none() && v + 1 < d.count())
        };
        let Some(at) = (from..self.values.len()).rev().find(|d| can_step(*d)) else {
            return false;
        };
        if let Some(value) = self.values.get_mut(at) {
            *value += 1;
        }
        self.fill(at + 1);
        true
    }

    /// Gives all decisions from `from` on their first value.
    fn fill(&mut self, from: usize) {
        let space = self.space;
        let done: Result<(), std::convert::Infallible> =
            space.settle(&mut self.values, &mut self.scratch, |values, d| {
                let kept = values.get(d as usize).copied().unwrap_or(INACTIVE);
                Ok(if (d as usize) < from {
                    kept
                } else {
                    space.first(d)
                })
            });
        let Ok(()) = done;
    }
}

impl Iterator for Assignments<'_> {
    type Item = Assignment;

    fn next(&mut self) -> Option<Assignment> {
        let space = self.space;
        let vars: Vec<u32> = (0..space.var_decisions).collect();
        match self.state {
            State::Done => return None,
            State::Going => {
                if self.step_net() {
                    return Some(Assignment(self.values.clone()));
                }
                if !space.step(&mut self.values, &vars) {
                    self.state = State::Done;
                    return None;
                }
            }
            State::Start => {
                self.values = (0..space.decisions.len() as u32)
                    .map(|d| space.first(d))
                    .collect();
                self.state = State::Going;
            }
        }
        while space.refusal(&self.values, &mut self.scratch).is_some() {
            if !space.step(&mut self.values, &vars) {
                self.state = State::Done;
                return None;
            }
        }
        self.fill(space.var_decisions as usize);
        Some(Assignment(self.values.clone()))
    }
}
