//! Decisions: one for each copy of the varied repeats around a hole.

use super::Parser;
use super::env::{self, Env, Instance};
use crate::base::diag::Diagnostic;
use crate::base::path::JsonPath;
use crate::expr::Scalar;
use crate::space::MAX_DECISIONS;
use crate::space::ast::{DecisionId, Hole, Val};
use crate::space::decision::{Decision, Domain, Guard, Need, Step};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A hole as a value.
pub(super) fn as_val(hole: Hole) -> Val {
    match hole {
        Hole::One(id) => Val::Hole(id),
        Hole::Each { level, items } => Val::Each {
            level,
            items: items.into_iter().map(as_val).collect(),
        },
    }
}

/// The hole of one instance: the leaf that its copies lead to.
pub(super) fn hole_at<'h>(hole: &'h Hole, copies: &[u32]) -> Option<&'h DecisionId> {
    match hole {
        Hole::One(id) => Some(id),
        Hole::Each { level, items } => {
            hole_at(items.get(*copies.get(*level as usize)? as usize)?, copies)
        }
    }
}

/// The value of one instance: the leaf that its copies lead to.
pub(super) fn val_at<'v>(val: &'v Val, copies: &[u32]) -> Option<&'v Val> {
    match val {
        Val::Each { level, items } => {
            val_at(items.get(*copies.get(*level as usize)? as usize)?, copies)
        }
        other => Some(other),
    }
}

impl Parser {
    /// New decisions with this domain, one for each copy. `id` is their name, their path where there is none or where
    /// another has that name.
    pub(super) fn hole(
        &mut self,
        domain: Domain,
        path: &JsonPath,
        id: Option<&str>,
        env: &Env,
    ) -> Option<Hole> {
        if self.decisions.len() + env.instances.len() > MAX_DECISIONS {
            let message =
                format!("more than {MAX_DECISIONS} decisions, copies of varied repeats included");
            self.error(path, message);
            self.drowned = true;
            return None;
        }
        let origin = self.origin(path);
        let domain = Arc::new(domain);
        let mut ids = Vec::with_capacity(env.instances.len());
        for instance in env.instances.iter() {
            let copies = env.open_copies(instance);
            let short = id.map(|id| {
                copies
                    .iter()
                    .fold(id.to_owned(), |id, (_, copy)| format!("{id}[{copy}]"))
            });
            let name = match short.filter(|s| !self.ids.contains(s.as_str())) {
                Some(short) => short,
                None => env::path_of_copy(path, &copies).to_string(),
            };
            self.spend(path, 128 + 2 * name.len());
            self.ids.insert(name.as_str().into());
            let decision = self.decisions.len() as u32;
            self.steps.push(Step::Decide(decision));
            self.decisions.push(Decision {
                id: name.into(),
                origin,
                domain: domain.clone(),
                guard: instance.guard,
                fixed: None,
            });
            ids.push((instance, DecisionId(decision)));
        }
        Some(tree(&ids, env, 0))
    }

    /// A new guard below another.
    pub(super) fn guard(&mut self, parent: u32, need: Need) -> u32 {
        let guard = self.guards.len() as u32;
        self.spend(&JsonPath::root(), 128);
        self.guards.push(Guard { parent, need });
        self.steps.push(Step::Guard(guard));
        guard
    }

    /// The items of an `each`, item `k` read inside copy `k` of the repeat it belongs to.
    pub(super) fn each<T>(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        env: &Env,
        mut read: impl FnMut(&mut Self, &Value, &JsonPath, &Env) -> Option<T>,
    ) -> Option<(u32, Vec<T>)> {
        self.known_keys(object, path, &["each", "doc", "comment"], "an \"each\"");
        let at = path.key("each");
        let Some(level) = env.open_level() else {
            let hint = Some("give the node around it \"repeat\" and \"vary\": true".into());
            self.error_hint(path, "\"each\" stands inside a varied repeat only", hint);
            return None;
        };
        let Some(list) = object
            .get("each")
            .and_then(Value::as_array)
            .filter(|l| !l.is_empty())
        else {
            self.error(&at, "\"each\" is a list with an item for each copy");
            return None;
        };
        let copies = env
            .instances
            .iter()
            .filter_map(|i| i.copies.get(level))
            .max()
            .map_or(0, |k| k + 1);
        if !env.instances.is_empty() && list.len() > copies as usize {
            self.error(
                &at,
                format!("{} items for at most {copies} copies", list.len()),
            );
            return None;
        }
        let mut items = Vec::new();
        for (k, item) in list.iter().enumerate() {
            self.spend(path, 16 * env.instances.len());
            if self.drowned {
                return None;
            }
            items.push(read(
                self,
                item,
                &at.index(k),
                &env.in_copy(level, k as u32),
            ));
        }
        let items: Option<Vec<T>> = items.into_iter().collect();
        Some((level as u32, items?))
    }

    /// Holds the literals of a value against `wrong`, which gives the one that does not fit and why.
    pub(super) fn check_literals(
        &mut self,
        val: &Val,
        path: &JsonPath,
        wrong: impl Fn(Scalar) -> Option<(Scalar, &'static str)> + Copy,
    ) {
        let mut found = Vec::new();
        self.literals(val, &mut |x| found.extend(wrong(x)));
        if let Some((value, why)) = found.first() {
            let shown = value.show(&self.words);
            self.report(Diagnostic::error(
                path.clone(),
                format!("{why}, not {shown}"),
            ));
        }
    }

    /// Calls `see` with the literals that a value can be: of a grid its ends.
    pub(super) fn literals(&self, val: &Val, see: &mut dyn FnMut(Scalar)) {
        match val {
            Val::Lit(x) => see(*x),
            Val::Expr(_) => {}
            Val::Hole(hole) => {
                let Some(decision) = self.decisions.get(hole.0 as usize) else {
                    return;
                };
                let count = decision.domain.count();
                let ends = [0, count.saturating_sub(1)];
                let range = match &*decision.domain {
                    Domain::Items { .. } => 0..count,
                    _ => 0..0,
                };
                let some = if range.is_empty() {
                    ends.to_vec()
                } else {
                    range.collect()
                };
                some.into_iter()
                    .filter_map(|k| decision.domain.literal(k))
                    .for_each(see);
            }
            Val::Each { items, .. } | Val::List(items) => {
                items.iter().for_each(|item| self.literals(item, see))
            }
        }
    }
}

/// The holes of all instances, nested as the open levels are. A place without any instance is never read.
fn tree(ids: &[(&Instance, DecisionId)], env: &Env, from: usize) -> Hole {
    let open = (from..env.levels.len()).find(|l| env.levels.get(*l).is_some_and(|l| !l.fixed));
    let (level, id) = match (open, ids.first()) {
        (None, Some((_, id))) => return Hole::One(*id),
        (None, None) | (Some(_), None) => (0, None),
        (Some(level), Some(id)) => (level, Some(id)),
    };
    let mut items = Vec::new();
    if id.is_some() {
        let copy =
            |entry: &(&Instance, DecisionId)| entry.0.copies.get(level).map_or(0, |c| *c as usize);
        for group in ids.chunk_by(|a, b| copy(a) == copy(b)) {
            let at = group.first().map_or(0, copy);
            items.resize_with(at, || Hole::Each {
                level: level as u32,
                items: Vec::new(),
            });
            items.push(tree(group, env, level + 1));
        }
    }
    Hole::Each {
        level: level as u32,
        items,
    }
}
