//! `vars`: in any order, evaluated so that each comes after those that it reads.

use super::env::{self, Env, Place};
use super::{Parser, Variables, kind_of};
use crate::base::diag::Diagnostic;
use crate::base::path::JsonPath;
use crate::expr::{Interval, Ref};
use crate::space::ast::{Val, Var};
use crate::space::decision::Domain;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::rc::Rc;

impl Parser {
    pub(super) fn variables(&mut self, top: &Map<String, Value>) -> Variables {
        let path = JsonPath::root().key("vars");
        let Some(value) = top.get("vars") else {
            return Variables::default();
        };
        let Value::Object(object) = value else {
            self.error(
                &path,
                format!("\"vars\" is an object, not {}", kind_of(value)),
            );
            return Variables::default();
        };
        for name in object.keys().filter(|name| !env::is_variable(name)) {
            let hint = "a name is letters, digits and _, starts with a letter, and is not i, in, true or false";
            self.error_hint(
                &path.key(name),
                format!("{name:?} cannot name a variable"),
                Some(hint.into()),
            );
        }
        let slots: HashMap<Box<str>, u32> = object
            .keys()
            .enumerate()
            .map(|(slot, name)| (name.as_str().into(), slot as u32))
            .collect();
        self.vars = Rc::new(slots);
        let env = Env::root(self.vars.clone(), Place::Vars);
        let mut vars = Vec::new();
        for (name, value) in object {
            let path = path.key(name);
            let origin = self.origin(&path);
            // A variable that is wrong still has its slot, so that the rest can be checked.
            let val = self.variable(name, value, &path, &env);
            let val = val.unwrap_or(Val::Lit(crate::expr::Scalar::Int(1)));
            vars.push(Var {
                name: name.as_str().into(),
                val,
                origin,
            });
        }
        let order = self.var_order(&vars);
        self.bounds = vec![None; vars.len()];
        for &slot in &order {
            let bounds = vars
                .get(slot as usize)
                .and_then(|v| self.bounds_of(&v.val, &env));
            if let Some(place) = self.bounds.get_mut(slot as usize) {
                *place = bounds;
            }
        }
        (vars, order)
    }

    fn variable(&mut self, name: &str, value: &Value, path: &JsonPath, env: &Env) -> Option<Val> {
        match value {
            Value::Object(object) => {
                let domain = self.domain(object, path, env)?;
                let hole = self.hole(domain, path, Some(name), env)?;
                Some(super::holes::as_val(hole))
            }
            _ => self.value(value, path, env, false),
        }
    }

    /// Slots in an order in which each comes after those it reads; a circle is an error.
    fn var_order(&mut self, vars: &[Var]) -> Vec<u32> {
        let reads: Vec<Vec<u32>> = vars.iter().map(|v| self.reads(&v.val)).collect();
        let mut order = Vec::with_capacity(vars.len());
        // 0 not seen, 1 on the way, 2 done. A stack of its own: chains may be long.
        let mut state = vec![0u8; vars.len()];
        for start in 0..vars.len() as u32 {
            let mut way: Vec<(u32, usize)> = Vec::new();
            let mut enter = Some(start);
            loop {
                if let Some(slot) = enter.take() {
                    match state.get_mut(slot as usize) {
                        Some(s @ 0) => {
                            *s = 1;
                            way.push((slot, 0));
                        }
                        Some(1) => self.circle(vars, &way, slot),
                        _ => {}
                    }
                }
                let Some((slot, next)) = way.last_mut() else {
                    break;
                };
                enter = reads
                    .get(*slot as usize)
                    .and_then(|r| r.get(*next))
                    .copied();
                *next += 1;
                if enter.is_none() {
                    if let Some(state) = state.get_mut(*slot as usize) {
                        *state = 2;
                    }
                    order.push(*slot);
                    way.pop();
                }
            }
        }
        order
    }

    fn circle(&mut self, vars: &[Var], way: &[(u32, usize)], back: u32) {
        let name = |slot: u32| vars.get(slot as usize).map_or("", |v| &*v.name);
        let from = way.iter().position(|(slot, _)| *slot == back).unwrap_or(0);
        let mut names: Vec<&str> = way.iter().skip(from).map(|(slot, _)| name(*slot)).collect();
        names.push(name(back));
        let path = JsonPath::root().key("vars").key(name(back));
        let message = format!(
            "variables read each other in a circle: {}",
            names.join(" -> ")
        );
        self.report(Diagnostic::error(path, message));
    }

    /// The variables that a value reads.
    fn reads(&self, val: &Val) -> Vec<u32> {
        let slots = |val: &Val| match val {
            Val::Expr(expr) => expr
                .refs()
                .filter_map(|r| match r {
                    Ref::Slot(slot) => Some(slot),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        match val {
            Val::Hole(hole) => match self.decisions.get(hole.0 as usize).map(|d| &*d.domain) {
                Some(Domain::Items { items, .. }) => {
                    items.iter().flat_map(|item| slots(&item.val)).collect()
                }
                _ => Vec::new(),
            },
            other => slots(other),
        }
    }

    /// Ends between which a value lies, where they can be told.
    pub(super) fn bounds_of(&self, val: &Val, env: &Env) -> Option<Interval> {
        let point = |x: f64| Interval { low: x, high: x };
        match val {
            Val::Lit(x) => x.real().map(point),
            Val::Expr(expr) => expr.bounds(&|r| self.bounds_of_name(r, env)),
            Val::Hole(hole) => match &*self.decisions.get(hole.0 as usize)?.domain {
                Domain::Items { items, .. } => {
                    let all: Option<Vec<Interval>> =
                        items.iter().map(|i| self.bounds_of(&i.val, env)).collect();
                    all?.into_iter().reduce(Interval::join)
                }
                Domain::Options { .. } => None,
                grid => {
                    let end = |k: u32| grid.literal(k).and_then(|x| x.real());
                    Some(Interval {
                        low: end(0)?,
                        high: end(grid.count().checked_sub(1)?)?,
                    })
                }
            },
            Val::Each { items, .. } => {
                let all: Option<Vec<Interval>> =
                    items.iter().map(|i| self.bounds_of(i, env)).collect();
                all?.into_iter().reduce(Interval::join)
            }
            Val::List(_) => None,
        }
    }

    fn bounds_of_name(&self, name: Ref, env: &Env) -> Option<Interval> {
        use crate::space::ast::DeclaredKind as K;
        match (name, env.place) {
            (Ref::Slot(slot), Place::Block(block)) => {
                match &self
                    .blocks
                    .get(block as usize)?
                    .params
                    .get(slot as usize)?
                    .kind
                {
                    K::Int { min, max } if *min > i64::MIN && *max < i64::MAX => Some(Interval {
                        low: *min as f64,
                        high: *max as f64,
                    }),
                    K::Real { min, max } if min.is_finite() && max.is_finite() => Some(Interval {
                        low: *min,
                        high: *max,
                    }),
                    _ => None,
                }
            }
            (Ref::Slot(slot), _) => self.bounds.get(slot as usize).copied().flatten(),
            (Ref::I, _) => env.i_max.map(|high| Interval { low: 0.0, high }),
            (Ref::In(_), _) => None,
        }
    }
}
