//! `when`, `repeat` and `vary`: what they say, and what they mean for the decisions inside.

use super::env::{Env, Instance, Level, Place};
use super::holes::val_at;
use super::{Parser, kind_of};
use crate::base::path::JsonPath;
use crate::expr::{Interval, Ref, Scalar};
use crate::space::ast::{Condition, Repeat, Val, Vary};
use crate::space::decision::Need;
use crate::space::{MAX_COPIES, MAX_DECISIONS};
use serde_json::{Map, Value};
use std::rc::Rc;
use std::sync::Arc;

impl Parser {
    /// The `when` of a node, and the place inside it.
    pub(super) fn when(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        env: &Env,
    ) -> (Option<Condition>, Env) {
        let Some(value) = object.get("when") else {
            return (None, env.clone());
        };
        let Some(condition) = self.condition(value, &path.key("when"), env) else {
            return (None, env.clone());
        };
        // Inside a declared block a condition is about its parameters, which differ from use to use.
        if matches!(env.place, Place::Block(_)) {
            return (Some(condition), env.clone());
        }
        let needs_copy = condition.expr.refs().any(|r| r == Ref::I);
        let expr = Arc::new(condition.expr.clone());
        let inside = |instance: &Instance| match (needs_copy, instance.i) {
            (true, None) => instance.clone(),
            (_, i) => {
                let guard = self.guard(
                    instance.guard,
                    Need::When {
                        expr: expr.clone(),
                        i,
                    },
                );
                Instance {
                    guard,
                    ..instance.clone()
                }
            }
        };
        let instances: Vec<Instance> = env.instances.iter().map(inside).collect();
        (
            Some(condition),
            Env {
                instances: Rc::new(instances),
                ..env.clone()
            },
        )
    }

    /// The `repeat` of a node, and the place inside it.
    pub(super) fn repeat(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        env: &Env,
    ) -> (Option<Repeat>, Env) {
        let vary = match object.get("vary") {
            None => false,
            Some(Value::Bool(vary)) => *vary,
            Some(other) => {
                self.error(
                    &path.key("vary"),
                    format!("\"vary\" is true or false, not {}", kind_of(other)),
                );
                false
            }
        };
        let Some(value) = object.get("repeat") else {
            if vary {
                let hint = Some("a node without \"repeat\" has one copy".into());
                self.error_hint(
                    &path.key("vary"),
                    "\"vary\" needs a \"repeat\" beside it",
                    hint,
                );
            }
            return (None, env.clone());
        };
        let at = path.key("repeat");
        // Even a count that is wrong makes `i` known inside.
        let mut inside = Env {
            repeat: true,
            i_max: None,
            ..env.clone()
        };
        let Some(count) = self.value(value, &at, env, false) else {
            return (None, inside);
        };
        self.check_literals(&count, &at, |x| match x {
            Scalar::Int(x) if x >= 0 => None,
            other => Some((other, "a repeat is a whole number from 0")),
        });
        let bounds = self.bounds_of(&count, env);
        inside.i_max = bounds.map(|b| (b.high - 1.0).max(0.0));
        let origin = self.origin(&at);
        if !vary {
            let instances: Vec<Instance> = env
                .instances
                .iter()
                .map(|i| self.copy_of(i, &count, 0, bounds, env))
                .collect();
            let instances = instances
                .into_iter()
                .map(|i| Instance { i: None, ..i })
                .collect();
            inside.instances = Rc::new(instances);
            return (
                Some(Repeat {
                    count,
                    origin,
                    vary: None,
                }),
                inside,
            );
        }
        let Some(max) = self.most_copies(bounds, &at, env) else {
            return (
                Some(Repeat {
                    count,
                    origin,
                    vary: None,
                }),
                inside,
            );
        };
        let mut instances = Vec::new();
        for instance in env.instances.iter() {
            let own = match val_at(&count, &instance.copies) {
                Some(Val::Lit(Scalar::Int(n))) => max.min(u32::try_from(*n).unwrap_or(0)),
                _ => max,
            };
            for k in 0..own {
                let mut copy = self.copy_of(instance, &count, k, bounds, env);
                copy.copies.push(k);
                copy.i = Some(i64::from(k));
                instances.push(copy);
            }
        }
        let level = env.levels.len();
        let mut levels = (*env.levels).clone();
        levels.push(Level {
            at: path.segments().len(),
            fixed: false,
        });
        inside.instances = Rc::new(instances);
        inside.levels = Rc::new(levels);
        (
            Some(Repeat {
                count,
                origin,
                vary: Some(Vary {
                    level: level as u32,
                    max,
                }),
            }),
            inside,
        )
    }

    /// The most copies that a varied repeat can have.
    fn most_copies(&mut self, bounds: Option<Interval>, at: &JsonPath, env: &Env) -> Option<u32> {
        let Some(bounds) = bounds else {
            let hint = Some("a choice, a range, or min(…, 8) around it settles that".into());
            self.error_hint(
                at,
                "cannot tell how many copies this varied repeat has at most",
                hint,
            );
            return None;
        };
        let max = bounds.high.floor().max(0.0);
        if max > f64::from(MAX_COPIES) || max * env.instances.len() as f64 > MAX_DECISIONS as f64 {
            self.error(at, format!("a varied repeat has at most {MAX_COPIES} copies, and {MAX_DECISIONS} with those around it; this one can have {max}"));
            return None;
        }
        Some(max as u32)
    }

    /// An instance inside copy `k` of a repeat: with a guard where that copy may be missing.
    fn copy_of(
        &mut self,
        instance: &Instance,
        count: &Val,
        k: u32,
        bounds: Option<Interval>,
        env: &Env,
    ) -> Instance {
        let sure = bounds.is_some_and(|b| b.low > f64::from(k));
        let told = match val_at(count, &instance.copies) {
            Some(Val::Expr(e)) => {
                let known =
                    |r: Ref| matches!(r, Ref::Slot(_)) || (r == Ref::I && instance.i.is_some());
                (!matches!(env.place, Place::Block(_)) && e.refs().all(known))
                    .then(|| Val::Expr(e.clone()))
            }
            Some(Val::Hole(hole)) => {
                let items = self
                    .decisions
                    .get(hole.0 as usize)
                    .map(|d| d.domain.clone());
                let all = items.is_some_and(|d| (0..d.count()).all(|k| d.expr(k).is_none()));
                let net = !matches!(env.place, Place::Block(_));
                (all || net).then_some(Val::Hole(*hole))
            }
            Some(Val::Lit(x)) => Some(Val::Lit(*x)),
            _ => None,
        };
        let mut inside = instance.clone();
        if let Some(count) = told.filter(|_| !sure) {
            inside.guard = self.guard(
                instance.guard,
                Need::Copies {
                    count,
                    above: k,
                    i: instance.i,
                },
            );
        }
        inside
    }
}
