//! The forms that a scalar can have: literal, expression, choice, range, distribution, `each`, list.

use super::env::{Env, Place};
use super::{Parser, kind_of};
use crate::base::diag::{Diagnostic, nearest};
use crate::base::path::JsonPath;
use crate::expr::{Expr, Names, ParseErrorKind, Ref, Scalar, function_names};
use crate::space::ast::{Condition, Val};
use crate::space::decision::{Domain, Item, Law, Weights};
use rand_distr::{LogNormal, Normal, Poisson};
use serde_json::{Map, Number, Value};

/// The most bytes of a word.
const MAX_WORD: usize = 256;

/// The most items of a list.
const MAX_LIST: usize = 64;

/// The most names that one is looked for among, to guess what was meant.
pub(super) const MAX_LOOKED_THROUGH: usize = 2000;

/// The most values of a grid of real numbers.
const MAX_REALS: f64 = 100_000.0;

impl Parser {
    /// A scalar of any form; a list of such where `lists` says so.
    pub(super) fn value(
        &mut self,
        value: &Value,
        path: &JsonPath,
        env: &Env,
        lists: bool,
    ) -> Option<Val> {
        if self.drowned {
            return None;
        }
        match value {
            Value::Bool(_) | Value::Number(_) | Value::String(_) => self.plain(value, path, env),
            Value::Array(items) if lists => {
                if items.is_empty() || items.len() > MAX_LIST {
                    self.error(
                        path,
                        format!("a list has 1 to {MAX_LIST} items, not {}", items.len()),
                    );
                    return None;
                }
                let numbered = items.iter().enumerate();
                let vals: Vec<Option<Val>> = numbered
                    .map(|(k, item)| self.value(item, &path.index(k), env, false))
                    .collect();
                vals.into_iter().collect::<Option<Vec<_>>>().map(Val::List)
            }
            Value::Object(object) if object.contains_key("each") => self
                .each(object, path, env, |parser, item, path, env| {
                    parser.value(item, path, env, lists)
                })
                .map(|(level, items)| Val::Each { level, items }),
            Value::Object(object) => {
                let domain = self.domain(object, path, env)?;
                self.hole(domain, path, None, env).map(super::holes::as_val)
            }
            Value::Null | Value::Array(_) => {
                self.error(path, format!("expected a value, not {}", kind_of(value)));
                None
            }
        }
    }

    /// A literal or an expression.
    fn plain(&mut self, value: &Value, path: &JsonPath, env: &Env) -> Option<Val> {
        match value {
            Value::Bool(x) => Some(Val::Lit(Scalar::Bool(*x))),
            Value::Number(x) => self.number(x, path).map(Val::Lit),
            Value::String(text) => match text.strip_prefix('=') {
                Some(expr) => self.expr(expr, path, env).map(|e| Val::Expr(Box::new(e))),
                None if text.is_empty() || text.len() > MAX_WORD => {
                    self.error(
                        path,
                        format!("a word has 1 to {MAX_WORD} bytes, not {}", text.len()),
                    );
                    None
                }
                None => Some(Val::Lit(Scalar::Word(self.words.add(text)))),
            },
            _ => None,
        }
    }

    pub(super) fn number(&mut self, number: &Number, path: &JsonPath) -> Option<Scalar> {
        if let Some(x) = number.as_i64() {
            return Some(Scalar::Int(x));
        }
        // Written without a point, yet no i64: too large. The reader turns the even larger ones into reals.
        let whole = number.is_u64() || number.as_f64().is_some_and(|x| x.abs() >= 9.2e18);
        match number.as_f64() {
            Some(x) if !whole => Some(Scalar::Real(x)),
            _ => {
                self.error(path, format!("the number {number} is too large"));
                None
            }
        }
    }

    /// An expression without its `=`.
    pub(super) fn expr(&mut self, text: &str, path: &JsonPath, env: &Env) -> Option<Expr> {
        let mut names = Names {
            slots: &env.names,
            i: env.repeat,
            input: env.input,
            words: &mut self.words,
        };
        let error = match Expr::parse(text, &mut names) {
            Ok(expr) => return Some(expr),
            Err(error) => error,
        };
        let start = usize::from(error.span().start);
        let column = text.get(..start).map_or(0, |before| before.chars().count()) + 1;
        let shown = if text.len() > 200 {
            "the expression".to_owned()
        } else {
            format!("{text:?}")
        };
        let mut diagnostic = Diagnostic::error(path.clone(), error.to_string())
            .note(format!("in {shown}, at character {column}"));
        diagnostic.hints.extend(self.way_out(error.kind(), env));
        self.report(diagnostic);
        None
    }

    /// A hint for an expression that is none.
    fn way_out(&self, kind: &ParseErrorKind, env: &Env) -> Option<String> {
        // Among very many names none is looked for.
        let few = env.names.len() <= MAX_LOOKED_THROUGH;
        let own = env.names.keys().map(|k| &**k).filter(|_| few);
        let inputs = ["in.c", "in.h", "in.w"].into_iter().filter(|_| env.input);
        let copy = ["i"].into_iter().filter(|_| env.repeat);
        Some(match kind {
            ParseErrorKind::UnknownName(name) => {
                let mut known: Vec<&str> = own.chain(inputs).chain(copy).collect();
                known.sort_unstable();
                let of_document = matches!(env.place, Place::Block(_)) && self.vars.contains_key(name);
                match nearest(name, known.iter().copied()) {
                    _ if of_document => {
                        format!("a declared block sees its own parameters only; give it {name:?} as one")
                    }
                    Some(near) => format!("did you mean {near:?}?"),
                    None if known.is_empty() => format!("a word is written '{name}'"),
                    None => {
                        let more = if known.len() > 12 { ", …" } else { "" };
                        known.truncate(12);
                        format!("known names: {}{more}; a word is written '{name}'", known.join(", "))
                    }
                }
            }
            ParseErrorKind::UnknownFunction(name) => match nearest(name, function_names()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("functions: {}", function_names().collect::<Vec<_>>().join(", ")),
            },
            ParseErrorKind::SingleEqual => "\"==\" compares; the \"=\" before an expression stands at its start, and not at all in \"when\", \"require\" and \"constraints\"".into(),
            ParseErrorKind::Chained => "write a < b && b < c".into(),
            ParseErrorKind::NoInput if env.place == Place::Net => {
                "\"in.c\" stands in parameters of nodes and in declared blocks".into()
            }
            _ => return None,
        })
    }

    /// A bare expression that is true or false.
    pub(super) fn condition(
        &mut self,
        value: &Value,
        path: &JsonPath,
        env: &Env,
    ) -> Option<Condition> {
        if self.drowned {
            return None;
        }
        let Value::String(text) = value else {
            self.error(
                path,
                format!("expected an expression, not {}", kind_of(value)),
            );
            return None;
        };
        let expr = self.expr(text, path, env)?;
        Some(Condition {
            expr,
            origin: self.origin(path),
        })
    }

    /// What `choice`, `range` and `dist` may draw.
    pub(super) fn domain(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        env: &Env,
    ) -> Option<Domain> {
        const FORMS: [&str; 3] = ["choice", "range", "dist"];
        let mut forms = FORMS.into_iter().filter(|f| object.contains_key(*f));
        let (form, second) = (forms.next(), forms.next());
        let Some(form) = form else {
            let near = object.keys().find_map(|key| nearest(key, FORMS));
            let hint = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => "an object here is {\"choice\": …}, {\"range\": …} or {\"dist\": …}".into(),
            };
            self.error_hint(
                path,
                "expected a value, not an object of this kind",
                Some(hint),
            );
            return None;
        };
        if let Some(second) = second {
            self.error(path, format!("{form:?} and {second:?} stand in one object"));
            return None;
        }
        let known: &[&str] = if form == "choice" {
            &["choice", "weights", "doc", "comment"]
        } else {
            &[form, "doc", "comment"]
        };
        self.known_keys(object, path, known, &format!("a {form}"));
        let inner = object.get(form)?;
        let at = path.key(form);
        match form {
            "choice" => self.scalar_choice(object, inner, path, &at, env),
            _ => match inner {
                Value::Object(inner) if form == "range" => self.range(inner, &at),
                Value::Object(inner) => self.dist(inner, &at),
                other => {
                    self.error(
                        &at,
                        format!("{form:?} is an object, not {}", kind_of(other)),
                    );
                    None
                }
            },
        }
    }

    fn scalar_choice(
        &mut self,
        object: &Map<String, Value>,
        inner: &Value,
        path: &JsonPath,
        at: &JsonPath,
        env: &Env,
    ) -> Option<Domain> {
        let list = self.items(inner, at)?;
        let weights = self.weights(object, path, list.len());
        let mut items: Vec<Item> = Vec::with_capacity(list.len());
        let mut complete = true;
        let mut seen: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        for (k, value) in list.iter().enumerate() {
            let at = at.index(k);
            if !matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_)) {
                let message = format!(
                    "an item of this choice is a literal or an expression, not {}",
                    kind_of(value)
                );
                self.error(&at, message);
                complete = false;
                continue;
            }
            if let Some(first) = seen.insert(value.to_string(), k) {
                let hint = Some("to draw one more often, use \"weights\"".into());
                self.error_hint(&at, format!("item {k} is the same as item {first}"), hint);
            }
            match self.plain(value, &at, env) {
                Some(val) => {
                    let settled =
                        |r: Ref| matches!(r, Ref::Slot(_)) && !matches!(env.place, Place::Block(_));
                    let by_text = matches!(&val, Val::Expr(e) if !e.refs().all(settled));
                    items.push(Item { val, by_text });
                }
                None => complete = false,
            }
        }
        complete.then_some(Domain::Items {
            items,
            weights: weights?,
        })
    }

    /// The items of a choice.
    pub(super) fn items<'v>(&mut self, value: &'v Value, at: &JsonPath) -> Option<&'v [Value]> {
        match value {
            Value::Array(items) if !items.is_empty() => Some(items),
            Value::Array(_) => {
                self.error(at, "a choice needs at least one item");
                None
            }
            other => {
                self.error(at, format!("\"choice\" is a list, not {}", kind_of(other)));
                None
            }
        }
    }

    /// The weights of a choice of `count`.
    pub(super) fn weights(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        count: usize,
    ) -> Option<Weights> {
        let Some(value) = object.get("weights") else {
            return Some(Weights::new(None));
        };
        let at = path.key("weights");
        let Value::Array(list) = value else {
            self.error(
                &at,
                format!("\"weights\" is a list of numbers, not {}", kind_of(value)),
            );
            return None;
        };
        if list.len() != count {
            self.error(&at, format!("{} weights for {count} items", list.len()));
            return None;
        }
        let mut weights = Vec::with_capacity(count);
        for (k, value) in list.iter().enumerate() {
            match value.as_f64().filter(|w| w.is_finite() && *w >= 0.0) {
                Some(weight) => weights.push(weight),
                None => self.error(
                    &at.index(k),
                    format!("a weight is a number from 0, not {value}"),
                ),
            }
        }
        let sum: f64 = weights.iter().sum();
        if weights.len() == count && !(sum > 0.0 && sum.is_finite()) {
            self.error(&at, "the weights add up to nothing that can be drawn by");
            return None;
        }
        (weights.len() == count).then(|| Weights::new(Some(&weights)))
    }

    /// A number under a key; an error where it must be there and is not.
    fn member(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        key: &str,
        must: bool,
    ) -> Option<Scalar> {
        match object.get(key) {
            Some(Value::Number(x)) => self.number(x, &path.key(key)),
            Some(other) => {
                self.error(
                    &path.key(key),
                    format!("{key:?} is a number, not {}", kind_of(other)),
                );
                None
            }
            None => {
                if must {
                    self.error(&path.key(key), format!("{key:?} is missing"));
                }
                None
            }
        }
    }

    fn range(&mut self, object: &Map<String, Value>, path: &JsonPath) -> Option<Domain> {
        self.known_keys(
            object,
            path,
            &["min", "max", "step", "doc", "comment"],
            "a range",
        );
        self.grid(object, path, Law::Uniform)
    }

    fn dist(&mut self, object: &Map<String, Value>, path: &JsonPath) -> Option<Domain> {
        const KINDS: [(&str, &[&str]); 4] = [
            ("normal", &["mean", "sigma"]),
            ("log_normal", &["median", "sigma"]),
            ("log_uniform", &[]),
            ("poisson", &["mean"]),
        ];
        let word = object.get("kind").and_then(Value::as_str);
        let Some((kind, own)) = KINDS.into_iter().find(|(kind, _)| Some(*kind) == word) else {
            let near = word.and_then(|w| nearest(w, KINDS.map(|k| k.0)));
            let hint = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => "kinds: normal, log_normal, log_uniform, poisson".into(),
            };
            let message = match object.get("kind") {
                Some(other) => format!("no distribution {other}"),
                None => "the distribution names no \"kind\"".into(),
            };
            self.error_hint(&path.key("kind"), message, Some(hint));
            return None;
        };
        let mut known = vec!["kind", "min", "max", "step", "doc", "comment"];
        known.extend(own);
        self.known_keys(object, path, &known, &format!("a {kind} distribution"));
        let numbers: Vec<Option<f64>> = own
            .iter()
            .map(|key| self.member(object, path, key, true).and_then(Scalar::real))
            .collect();
        let numbers: Option<Vec<f64>> = numbers.into_iter().collect();
        let ends = ["min", "max"].map(|key| object.get(key).and_then(Value::as_f64));
        let law = match (kind, numbers.as_deref()) {
            (_, None) => None,
            ("normal", Some([mean, sigma])) => Normal::new(*mean, *sigma)
                .ok()
                .filter(|_| *sigma > 0.0)
                .map(Law::Normal),
            ("log_normal", Some([median, sigma])) => LogNormal::new(median.ln(), *sigma)
                .ok()
                .filter(|_| *median > 0.0 && *sigma > 0.0)
                .map(Law::LogNormal),
            ("poisson", Some([mean])) => Poisson::new(*mean).ok().map(Law::Poisson),
            ("log_uniform", _) => match ends {
                [Some(min), Some(max)] if min > 0.0 && max > 0.0 => Some(Law::LogUniform {
                    low: min.ln(),
                    high: max.ln(),
                }),
                [Some(_), Some(_)] => None,
                _ => Some(Law::Uniform),
            },
            _ => None,
        };
        if law.is_none() && numbers.is_some() {
            let needs = match kind {
                "log_uniform" => "\"min\" above 0".to_owned(),
                "normal" => "a finite \"mean\" and a \"sigma\" above 0".to_owned(),
                _ => own
                    .iter()
                    .map(|key| format!("{key:?} above 0"))
                    .collect::<Vec<_>>()
                    .join(" and "),
            };
            self.error(path, format!("{kind} needs {needs}"));
        }
        // The grid is read even where the law is wrong: all problems at once.
        let grid = self.grid(object, path, law.unwrap_or(Law::Uniform))?;
        law?;
        let mut rng = crate::base::rng::stream(0, "space.dist", 0);
        if grid.draw(&mut rng).is_none() {
            self.error(
                path,
                format!(
                    "this {kind} distribution gives next to nothing between \"min\" and \"max\""
                ),
            );
            return None;
        }
        Some(grid)
    }

    /// `min`, `max` and `step` of a range or a distribution.
    fn grid(&mut self, object: &Map<String, Value>, path: &JsonPath, law: Law) -> Option<Domain> {
        let min = self.member(object, path, "min", true);
        let max = self.member(object, path, "max", true);
        let step = match object.contains_key("step") {
            true => self.member(object, path, "step", true)?,
            false => Scalar::Int(1),
        };
        let (min, max) = (min?, max?);
        if step.real().is_none_or(|x| x <= 0.0) {
            self.error(&path.key("step"), "\"step\" is above 0");
            return None;
        }
        if min.real() > max.real() {
            self.error(path, "\"min\" is above \"max\"");
            return None;
        }
        if let (Scalar::Int(min), Scalar::Int(max), Scalar::Int(step)) = (min, max, step) {
            let span = i128::from(max) - i128::from(min);
            let (last, off) = (span / i128::from(step), span % i128::from(step));
            if off != 0 {
                let below = i128::from(max) - off;
                self.off_grid(
                    path,
                    &max.to_string(),
                    &below.to_string(),
                    &(below + i128::from(step)).to_string(),
                );
                return None;
            }
            let Some(count) = u32::try_from(last + 1).ok().filter(|c| *c < u32::MAX / 2) else {
                self.error(
                    path,
                    format!("the grid has {} values, which is too many", last + 1),
                );
                return None;
            };
            return Some(Domain::Ints {
                min,
                step,
                count,
                law,
            });
        }
        let (min, max, step) = (min.real()?, max.real()?, step.real()?);
        let last = (max - min) / step;
        if !last.is_finite() || last >= MAX_REALS {
            self.error(
                path,
                format!("a grid of real numbers has at most {MAX_REALS} values"),
            );
            return None;
        }
        let digits = digits_of(min).max(digits_of(step));
        let value = |k: f64| {
            let x = min + k * step;
            format!("{x:.digits$}").parse().unwrap_or(x)
        };
        if (last - last.round()).abs() > 1e-6 {
            let (below, above) = (value(last.floor()), value(last.ceil()));
            self.off_grid(
                path,
                &format!("{max:?}"),
                &format!("{below:?}"),
                &format!("{above:?}"),
            );
            return None;
        }
        let values: Vec<f64> = (0..=last.round() as u32)
            .map(|k| value(f64::from(k)))
            .collect();
        if values.windows(2).any(|w| matches!(w, [a, b] if a >= b)) {
            self.error(path, "\"step\" is too small beside \"min\"");
            return None;
        }
        Some(Domain::Reals { values, step, law })
    }

    fn off_grid(&mut self, path: &JsonPath, max: &str, below: &str, above: &str) {
        let hint = Some(format!("nearest ends that are: {below} and {above}"));
        self.error_hint(
            &path.key("max"),
            format!("\"max\" {max} is not a whole number of steps from \"min\""),
            hint,
        );
    }
}

/// Digits after the point of the shortest text of a number.
fn digits_of(x: f64) -> usize {
    format!("{x}")
        .split_once('.')
        .map_or(0, |(_, digits)| digits.len())
        .min(300)
}
