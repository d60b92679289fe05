//! Assignments as JSON, `{decision id: value}`, and values given by hand.

use super::Space;
use super::ast::{DecisionId, Val};
use super::decision::{Assignment, Decision, Domain, INACTIVE};
use super::sample::Scratch;
use crate::base::diag::{Diagnostic, Diagnostics, nearest};
use crate::base::path::JsonPath;
use crate::expr::{Ref, Scalar, Scope};
use serde_json::{Map, Value};
use std::sync::OnceLock;

impl Space {
    /// The active decisions and their values: of a choice of nodes the label, of an expression what it amounts to.
    pub fn assignment_to_json(&self, assignment: &Assignment) -> Value {
        let mut vars = Vec::new();
        let known = self.vars(assignment, &mut vars).is_ok();
        let mut out = Map::new();
        for (id, index) in assignment.active() {
            let Some(decision) = self.decisions.get(id.0 as usize) else {
                continue;
            };
            let value = if known {
                self.value_json(decision, index, &vars)
            } else {
                self.text_json(decision, index)
            };
            out.insert(decision.id.to_string(), value);
        }
        Value::Object(out)
    }

    /// Reads `{decision id: value}`. Decisions with one value only need not be given.
    ///
    /// # Errors
    /// All of: ids that do not exist, values beyond their domain, missing and surplus ones, constraints not met.
    pub fn assignment_from_json(&self, json: &Value) -> Result<Assignment, Diagnostics> {
        let root = JsonPath::root();
        let Value::Object(object) = json else {
            return Err(Diagnostic::error(
                root,
                "an assignment is an object: {decision id: value}",
            )
            .into());
        };
        let pairs: Vec<(&str, Vec<Value>)> = object
            .iter()
            .map(|(id, v)| (&**id, vec![v.clone()]))
            .collect();
        let mut problems = Diagnostics::new();
        let wishes = self.read_values(&pairs, &mut problems);
        for (d, decision) in self
            .decisions
            .iter()
            .enumerate()
            .take(self.var_decisions as usize)
        {
            if wishes.get(d).copied().flatten().is_none() && !object.contains_key(&*decision.id) {
                problems.push(missing(decision));
            }
        }
        if problems.has_errors() {
            return Err(problems);
        }
        let mut values: Vec<u32> = wishes.iter().map(|w| w.unwrap_or(INACTIVE)).collect();
        let mut scratch = Scratch::default();
        if let Some(refusal) = self.refusal(&values, &mut scratch) {
            problems.push(self.blame(1, &[(refusal, 1)], &scratch.vars));
            return Err(problems);
        }
        let walked: Result<(), ()> = self.settle(&mut values, &mut scratch, |_, d| {
            let wish = wishes.get(d as usize).copied().flatten();
            if let (None, Some(decision)) = (wish, self.decisions.get(d as usize)) {
                problems.push(missing(decision));
            }
            Ok(wish.unwrap_or(0))
        });
        let surplus = self
            .decisions
            .iter()
            .zip(&values)
            .filter(|(d, v)| **v == INACTIVE && object.contains_key(&*d.id));
        for (decision, _) in surplus {
            let path = root.clone();
            let message = format!(
                "{:?} belongs to an option or a copy that is not there",
                &*decision.id
            );
            problems.push(Diagnostic::error(path, message).hint("leave it out"));
        }
        match walked {
            Ok(()) if !problems.has_errors() => Ok(Assignment(values)),
            _ => Err(problems),
        }
    }

    /// The same space with some decisions fixed, as `--set NAME=VALUE` asks. All decisions keep their ids and numbers;
    /// those that are fixed are drawn with that value only.
    ///
    /// # Errors
    /// All ids that do not exist and values beyond their domain.
    pub fn fix(&self, settings: &[(&str, &str)]) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::new();
        let spellings = |text: &str| match serde_json::from_str::<Value>(text) {
            Ok(value @ (Value::Number(_) | Value::Bool(_))) => vec![value, text.into()],
            Ok(Value::String(inner)) => vec![text.into(), inner.into()],
            _ => vec![Value::from(text)],
        };
        let pairs: Vec<(&str, Vec<Value>)> = settings
            .iter()
            .map(|(id, text)| (*id, spellings(text)))
            .collect();
        let wishes = self.read_values(&pairs, &mut problems);
        let mut fixed = self.clone();
        fixed.plan = OnceLock::new();
        for (decision, wish) in fixed.decisions.iter_mut().zip(wishes) {
            decision.fixed = wish;
        }
        problems.into_result(fixed)
    }

    /// The same space with one decision fixed to the value at `index` of its domain.
    #[must_use]
    pub fn fix_at(&self, decision: DecisionId, index: u32) -> Self {
        let mut fixed = self.clone();
        fixed.plan = OnceLock::new();
        if let Some(decision) = fixed.decisions.get_mut(decision.0 as usize) {
            decision.fixed = (index < decision.count()).then_some(index);
        }
        fixed
    }

    /// Positions of given values (any of the spellings of each) in their domains; those fixed already are given too.
    fn read_values(
        &self,
        pairs: &[(&str, Vec<Value>)],
        problems: &mut Diagnostics,
    ) -> Vec<Option<u32>> {
        let mut wishes: Vec<Option<u32>> = self
            .decisions
            .iter()
            .map(|d| d.fixed.or((d.count() == 1).then_some(0)))
            .collect();
        let mut open: Vec<(usize, &[Value])> = Vec::new();
        let numbers: std::collections::HashMap<&str, usize> = self
            .decisions
            .iter()
            .enumerate()
            .map(|(d, decision)| (&*decision.id, d))
            .collect();
        for (id, spellings) in pairs {
            let path = JsonPath::root();
            let Some(&d) = numbers.get(id) else {
                let near = nearest(id, self.decisions.iter().map(|d| &*d.id).take(1000));
                let hint = match near {
                    Some(near) => format!("did you mean {near:?}?"),
                    None if self.decisions.is_empty() => "nothing is left to decide".to_owned(),
                    None => {
                        let ids: Vec<&str> =
                            self.decisions.iter().map(|d| &*d.id).take(12).collect();
                        format!(
                            "decisions: {}{}",
                            ids.join(", "),
                            if self.decisions.len() > 12 {
                                ", …"
                            } else {
                                ""
                            }
                        )
                    }
                };
                problems.push(Diagnostic::error(path, format!("no decision {id:?}")).hint(hint));
                continue;
            };
            let Some(decision) = self.decisions.get(d) else {
                continue;
            };
            let found = spellings
                .iter()
                .find_map(|v| self.literal_position(decision, v));
            match (found, wishes.get_mut(d)) {
                (Some(index), _) if decision.fixed.is_some_and(|f| f != index) => {
                    problems.push(Diagnostic::error(
                        path,
                        format!("{id:?} is fixed to another value already"),
                    ));
                }
                (Some(index), Some(wish)) => *wish = Some(index),
                _ => open.push((d, spellings)),
            }
        }
        self.read_expressions(&open, &mut wishes, problems);
        wishes
    }

    /// What is no literal of its domain may be what one of its expressions amounts to, with the variables so far.
    fn read_expressions(
        &self,
        open: &[(usize, &[Value])],
        wishes: &mut [Option<u32>],
        problems: &mut Diagnostics,
    ) {
        let mut known: Vec<Option<Scalar>> = vec![None; self.ast.vars.len()];
        let mut vars: Vec<Scalar> = vec![Scalar::Int(0); self.ast.vars.len()];
        for &slot in &self.ast.var_order {
            let Some(var) = self.ast.vars.get(slot as usize) else {
                continue;
            };
            if let Val::Hole(DecisionId(d)) = var.val
                && let Some((_, spellings)) = open.iter().find(|(o, _)| *o == d as usize)
                && let Some(wish) = wishes.get_mut(d as usize)
            {
                *wish = self.resolved_position(d as usize, spellings, &known, &vars);
            }
            let scope = Scope::of(&vars);
            let value = match &var.val {
                Val::Lit(x) => Some(*x),
                Val::Expr(expr) if is_known(expr, &known) => expr.eval(&scope).ok(),
                Val::Hole(DecisionId(d)) => {
                    let index = wishes.get(*d as usize).copied().flatten();
                    let domain = self.decisions.get(*d as usize).map(|d| &d.domain);
                    index
                        .zip(domain)
                        .and_then(|(index, domain)| match domain.expr(index) {
                            Some(expr) if !is_known(expr, &known) => None,
                            Some(expr) => expr.eval(&scope).ok(),
                            None => domain.literal(index),
                        })
                }
                _ => None,
            };
            if let (Some(value), Some(k), Some(v)) = (
                value,
                known.get_mut(slot as usize),
                vars.get_mut(slot as usize),
            ) {
                (*k, *v) = (Some(value), value);
            }
        }
        for (d, spellings) in open {
            let Some(decision) = self.decisions.get(*d) else {
                continue;
            };
            if let Some(wish) = wishes.get_mut(*d)
                && wish.is_none()
            {
                *wish = self.resolved_position(*d, spellings, &known, &vars);
                if wish.is_none() {
                    let path = JsonPath::root();
                    let shown = spellings.first().map(Value::to_string).unwrap_or_default();
                    let message = format!("{shown} is no value of {:?}", &*decision.id);
                    problems.push(
                        Diagnostic::error(path, message).hint(self.values_of(decision, spellings)),
                    );
                }
            }
        }
    }

    fn resolved_position(
        &self,
        d: usize,
        spellings: &[Value],
        known: &[Option<Scalar>],
        vars: &[Scalar],
    ) -> Option<u32> {
        let decision = self.decisions.get(d)?;
        let Domain::Items { items, .. } = &*decision.domain else {
            return None;
        };
        let found = items.iter().position(|item| match &item.val {
            Val::Expr(expr) if !item.by_text && is_known(expr, known) => expr
                .eval(&Scope::of(vars))
                .is_ok_and(|value| spellings.iter().any(|s| self.is_value(value, s))),
            _ => false,
        });
        found.map(|k| k as u32)
    }

    /// The position of a literal, a label or the text of an expression.
    fn literal_position(&self, decision: &Decision, json: &Value) -> Option<u32> {
        let position = |found: Option<usize>| found.map(|k| k as u32);
        match &*decision.domain {
            Domain::Options { labels, .. } => {
                position(labels.iter().position(|l| json.as_str() == Some(l)))
            }
            Domain::Items { items, .. } => {
                // 0 and 0.0 may both be items; the one that is written the same way is meant.
                let literals = |fits: &dyn Fn(Scalar) -> bool| {
                    items
                        .iter()
                        .position(|i| matches!(i.val, Val::Lit(x) if fits(x)))
                };
                let literal = literals(&|x| self.scalar_json(x) == *json)
                    .or_else(|| literals(&|x| self.is_value(x, json)));
                let text = json.as_str().and_then(|t| t.strip_prefix('='));
                position(literal.or_else(|| {
                    items
                        .iter()
                        .position(|i| matches!(&i.val, Val::Expr(e) if Some(e.text()) == text))
                }))
            }
            Domain::Ints {
                min, step, count, ..
            } => {
                let value = match json.as_i64() {
                    Some(value) => i128::from(value),
                    None => json
                        .as_f64()
                        .filter(|x| x.fract() == 0.0 && x.abs() < 9e15)
                        .map(|x| x as i128)?,
                };
                let off = value - i128::from(*min);
                let k = off / i128::from(*step);
                (off >= 0 && off % i128::from(*step) == 0 && k < i128::from(*count))
                    .then_some(k as u32)
            }
            Domain::Reals { values, .. } => {
                let value = json.as_f64()?;
                position(values.iter().position(|x| *x == value))
            }
        }
    }

    /// True where a JSON value is this scalar; whole and real numbers are equal where their values are.
    fn is_value(&self, value: Scalar, json: &Value) -> bool {
        match value {
            Scalar::Int(x) => {
                json.as_i64() == Some(x) || (!json.is_i64() && json.as_f64() == Some(x as f64))
            }
            Scalar::Real(x) => json.as_f64() == Some(x),
            Scalar::Bool(x) => json.as_bool() == Some(x),
            Scalar::Word(x) => json.as_str() == Some(self.ast.words.text(x)),
        }
    }

    /// The values of a decision, for a hint.
    fn values_of(&self, decision: &Decision, asked: &[Value]) -> String {
        let list = |values: Vec<String>| match values.len() {
            0..=16 => format!("values: {}", values.join(", ")),
            n => format!(
                "values: {}, … ({n} of them)",
                values.get(..16).unwrap_or(&[]).join(", ")
            ),
        };
        let word = asked.iter().find_map(Value::as_str).unwrap_or("");
        let known: Vec<Value> = (0..decision.count().min(1000))
            .map(|k| self.text_json(decision, k))
            .collect();
        if let Some(near) = nearest(word, known.iter().filter_map(Value::as_str)) {
            return format!("did you mean {near:?}?");
        }
        match &*decision.domain {
            Domain::Ints {
                min, step, count, ..
            } => {
                let last = i128::from(*min) + i128::from(*step) * (i128::from(*count) - 1);
                format!("values: {min} to {last} in steps of {step}")
            }
            domain => list(
                (0..domain.count().min(17))
                    .map(|k| self.text_json(decision, k).to_string())
                    .collect(),
            ),
        }
    }

    /// A value for assignments. What an expression amounts to, unless another item is or amounts to the same.
    fn value_json(&self, decision: &Decision, index: u32, vars: &[Scalar]) -> Value {
        let plain = self.text_json(decision, index);
        let Domain::Items { items, .. } = &*decision.domain else {
            return plain;
        };
        let Some(item) = items.get(index as usize) else {
            return plain;
        };
        let Val::Expr(expr) = &item.val else {
            return plain;
        };
        let scope = Scope::of(vars);
        let Some(value) = expr.eval(&scope).ok().filter(|_| !item.by_text) else {
            return plain;
        };
        let json = self.scalar_json(value);
        let same = |other: &Val| match other {
            Val::Lit(x) => self.is_value(*x, &json),
            Val::Expr(e) => e.eval(&scope).is_ok_and(|x| self.is_value(x, &json)),
            _ => false,
        };
        let others = items
            .iter()
            .enumerate()
            .filter(|(k, i)| *k != index as usize && !i.by_text);
        let mut others = others.map(|(_, i)| &i.val);
        if others.any(same) { plain } else { json }
    }

    /// A value for assignments, expressions by their text.
    fn text_json(&self, decision: &Decision, index: u32) -> Value {
        let domain = &decision.domain;
        match (&**domain, domain.expr(index), domain.literal(index)) {
            (Domain::Options { labels, .. }, ..) => labels
                .get(index as usize)
                .map_or(Value::Null, |l| Value::from(&**l)),
            (_, Some(expr), _) => format!("={}", expr.text()).into(),
            (_, None, Some(value)) => self.scalar_json(value),
            (_, None, None) => Value::Null,
        }
    }

    /// A value for a bound document: expressions that variables settle as what they amount to, others as written.
    pub(super) fn bound_json(&self, decision: &Decision, index: u32, vars: &[Scalar]) -> Value {
        let by_text = match &*decision.domain {
            Domain::Items { items, .. } => items.get(index as usize).is_none_or(|i| i.by_text),
            _ => false,
        };
        match decision
            .domain
            .expr(index)
            .filter(|_| !by_text)
            .map(|e| e.eval(&Scope::of(vars)))
        {
            Some(Ok(value)) => self.scalar_json(value),
            _ => self.text_json(decision, index),
        }
    }

    fn scalar_json(&self, value: Scalar) -> Value {
        match value {
            Scalar::Int(x) => x.into(),
            Scalar::Real(x) => x.into(),
            Scalar::Bool(x) => x.into(),
            Scalar::Word(x) => self.ast.words.text(x).into(),
        }
    }
}

fn missing(decision: &Decision) -> Diagnostic {
    Diagnostic::error(
        JsonPath::root(),
        format!("no value for {:?}", &*decision.id),
    )
}

fn is_known(expr: &crate::expr::Expr, known: &[Option<Scalar>]) -> bool {
    expr.refs().all(
        |r| matches!(r, Ref::Slot(slot) if known.get(slot as usize).is_some_and(Option::is_some)),
    )
}

/// The first value of a hole that has no decision, for it is never read.
pub(super) fn first_of(json: &Value) -> Value {
    let first = json.get("choice").and_then(|c| c.get(0));
    let min = ["range", "dist"]
        .iter()
        .find_map(|form| json.get(form)?.get("min"));
    first.or(min).cloned().unwrap_or(Value::from(1))
}
