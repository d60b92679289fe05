//! Writing an assignment into the document: JSON in, JSON out, order and everything else kept.
//!
//! A scalar hole becomes its value; a choice of nodes becomes a `body` with the one that was taken; a hole under a
//! varied repeat becomes an `each` with the values of its copies. Holes that nobody reads (under a false `when`, in an
//! unused declared block) get their first value: an arch has no holes at all.

use super::ast::{Arg, Body, ChoiceOption, Declared, Hole, Kind, Node, Val};
use super::decision::Assignment;
use super::{Arch, Space, assign, sample};
use crate::base::diag::{Diagnostic, Diagnostics};
use crate::base::path::JsonPath;
use crate::expr::Scalar;
use serde_json::{Map, Value};

impl Space {
    /// The network of an assignment. Binding an arch gives the same arch again.
    ///
    /// # Errors
    /// That the assignment is none of this space: values missing, surplus, beyond their domain, or against the
    /// constraints; also that an expression among the items of a choice amounts to what does not fit its place.
    pub fn bind(&self, assignment: &Assignment) -> Result<Arch, Diagnostics> {
        if !self.is_valid(assignment) {
            return Err(self.why_invalid(assignment));
        }
        let mut vars = Vec::new();
        if let Err((slot, error)) = self.vars(assignment, &mut vars) {
            return Err(self.locate(self.var_problem(slot, error).into()));
        }
        let binder = Binder {
            space: self,
            assignment,
            vars: &vars,
        };
        Arch::try_from(Space::parse(&super::pretty(&binder.document()))?)
    }

    fn why_invalid(&self, assignment: &Assignment) -> Diagnostics {
        let mut scratch = sample::Scratch::default();
        let fits = assignment.0.len() == self.decisions.len();
        let problem = match self.refusal(&assignment.0, &mut scratch) {
            Some(refusal) if fits => self.blame(1, &[(refusal, 1)], &scratch.vars),
            _ => Diagnostic::error(JsonPath::root(), "the assignment belongs to another space"),
        };
        self.locate(problem.into())
    }
}

struct Binder<'a> {
    space: &'a Space,
    assignment: &'a Assignment,
    vars: &'a [Scalar],
}

/// The copy of each varied repeat, where an `each` around has settled it.
type Copies = Vec<Option<u32>>;

impl Binder<'_> {
    fn document(&self) -> Value {
        let ast = &self.space.ast;
        let json = &*self.space.json;
        let Value::Object(top) = json else {
            return json.clone();
        };
        let mut out = Map::new();
        for (key, value) in top {
            let bound = match (key.as_str(), value) {
                ("vars", Value::Object(vars)) => {
                    let bind = |name: &String, json: &Value| {
                        let var = ast.vars.iter().find(|v| *v.name == **name);
                        var.map_or_else(
                            || json.clone(),
                            |v| self.val(json, &v.val, &mut Copies::new()),
                        )
                    };
                    Value::Object(vars.iter().map(|(n, v)| (n.clone(), bind(n, v))).collect())
                }
                ("input", Value::Array(_)) => match ast.inputs.first() {
                    Some(input) => self.list(value, &input.shape, &mut Copies::new()),
                    None => value.clone(),
                },
                ("input", Value::Object(named)) => {
                    let pairs = named.iter().zip(&ast.inputs);
                    let bind = |((name, json), input): ((&String, &Value), &super::ast::Input)| {
                        (
                            name.clone(),
                            self.list(json, &input.shape, &mut Copies::new()),
                        )
                    };
                    Value::Object(pairs.map(bind).collect())
                }
                ("net", _) => self.body(value, &ast.net, &mut Copies::new()),
                ("blocks", Value::Object(blocks)) => {
                    let pairs = blocks.iter().zip(&ast.blocks);
                    Value::Object(
                        pairs
                            .map(|((name, json), b)| (name.clone(), self.declared(json, b)))
                            .collect(),
                    )
                }
                _ => value.clone(),
            };
            out.insert(key.clone(), bound);
        }
        Value::Object(out)
    }

    fn declared(&self, json: &Value, block: &Declared) -> Value {
        let mut out = json.clone();
        if let Some(body) = out.get_mut("body") {
            *body = self.body(body, &block.body, &mut Copies::new());
        }
        out
    }

    fn body(&self, json: &Value, body: &Body, copies: &mut Copies) -> Value {
        let Value::Array(list) = json else {
            return json.clone();
        };
        Value::Array(
            list.iter()
                .zip(&body.nodes)
                .map(|(json, node)| self.node(json, node, copies))
                .collect(),
        )
    }

    fn node(&self, json: &Value, node: &Node, copies: &mut Copies) -> Value {
        let Value::Object(object) = json else {
            return json.clone();
        };
        let mut out = Map::new();
        for (key, value) in object {
            let count = node.repeat.as_ref().map(|r| &r.count);
            let (key, bound) = match (key.as_str(), &node.kind, count) {
                ("as", ..) | ("weights", Kind::Choice { .. }, _) => continue,
                (
                    "id" | "from" | "over" | "when" | "vary" | "doc" | "comment" | "op" | "block",
                    ..,
                ) => (&**key, value.clone()),
                ("repeat", _, Some(count)) => ("repeat", self.val(value, count, copies)),
                ("body", Kind::Body(body), _) => ("body", self.body(value, body, copies)),
                ("choice", Kind::Choice { hole, options }, _) => (
                    "body",
                    Value::Array(vec![self.option(value, options, hole, copies)]),
                ),
                ("each", Kind::Each { level, nodes }, _) => {
                    let items = value.as_array().map_or(&[] as &[Value], |v| v);
                    let bind = |(k, (json, node)): (usize, (&Value, &Node))| {
                        inside(copies, *level, k as u32, |copies| {
                            self.node(json, node, copies)
                        })
                    };
                    (
                        "each",
                        Value::Array(items.iter().zip(nodes).enumerate().map(bind).collect()),
                    )
                }
                (key, Kind::Op { args, .. } | Kind::Block { args, .. }, _) => {
                    (key, self.arg(key, value, args.iter(), copies))
                }
                (key, Kind::Declared { args, .. }, _) => {
                    (key, self.arg(key, value, args.iter().flatten(), copies))
                }
                (key, ..) => (key, value.clone()),
            };
            out.insert(key.to_owned(), bound);
        }
        Value::Object(out)
    }

    fn arg<'b>(
        &self,
        key: &str,
        json: &Value,
        args: impl Iterator<Item = &'b Arg>,
        copies: &mut Copies,
    ) -> Value {
        let words = &self.space.ast.words;
        let mut args = args;
        match args.find(|a| words.text(a.key) == key) {
            Some(arg) => self.val(json, &arg.val, copies),
            None => json.clone(),
        }
    }

    /// The node that a choice took, or an `each` of them.
    fn option(
        &self,
        json: &Value,
        options: &[ChoiceOption],
        hole: &Hole,
        copies: &mut Copies,
    ) -> Value {
        let take = |option: u32, copies: &mut Copies| match (
            json.get(option as usize),
            options.get(option as usize),
        ) {
            (Some(json), Some(option)) => self.node(json, &option.node, copies),
            _ => json.clone(),
        };
        match hole {
            Hole::One(id) => take(self.assignment.get(*id).unwrap_or(0), copies),
            Hole::Each { level, items } => {
                let settled = copies.get(*level as usize).copied().flatten();
                match settled.map(|k| items.get(k as usize)) {
                    Some(Some(item)) => self.option(json, options, item, copies),
                    Some(None) => take(0, copies),
                    None if items.is_empty() => take(0, copies),
                    None => {
                        let count = last(items, |h| self.hole_is_read(h)) + 1;
                        let each = items.iter().take(count).enumerate().map(|(k, item)| {
                            inside(copies, *level, k as u32, |copies| {
                                self.option(json, options, item, copies)
                            })
                        });
                        serde_json::json!({ "each": each.collect::<Vec<Value>>() })
                    }
                }
            }
        }
    }

    fn list(&self, json: &Value, vals: &[Val], copies: &mut Copies) -> Value {
        let Value::Array(items) = json else {
            return json.clone();
        };
        Value::Array(
            items
                .iter()
                .zip(vals)
                .map(|(json, val)| self.val(json, val, copies))
                .collect(),
        )
    }

    fn val(&self, json: &Value, val: &Val, copies: &mut Copies) -> Value {
        match (json, val) {
            (Value::Array(_), Val::List(items)) => self.list(json, items, copies),
            (Value::Object(object), Val::Each { level, items }) if object.contains_key("each") => {
                let jsons = object
                    .get("each")
                    .and_then(Value::as_array)
                    .map_or(&[] as &[Value], |v| v);
                let bind = |(k, (json, val)): (usize, (&Value, &Val))| {
                    inside(copies, *level, k as u32, |copies| {
                        self.val(json, val, copies)
                    })
                };
                let each: Vec<Value> = jsons.iter().zip(items).enumerate().map(bind).collect();
                serde_json::json!({ "each": each })
            }
            (Value::Object(_), Val::Hole(_) | Val::Each { .. }) => self.scalar(json, val, copies),
            _ => json.clone(),
        }
    }

    /// The value of a hole, or an `each` of values.
    fn scalar(&self, json: &Value, val: &Val, copies: &mut Copies) -> Value {
        match val {
            Val::Hole(id) => {
                let decision = self.space.decisions.get(id.0 as usize);
                let index = self.assignment.get(*id).unwrap_or(0);
                decision.map_or(Value::Null, |d| self.space.bound_json(d, index, self.vars))
            }
            Val::Each { level, items } => {
                let settled = copies.get(*level as usize).copied().flatten();
                match settled.map(|k| items.get(k as usize)) {
                    Some(Some(item)) => self.scalar(json, item, copies),
                    Some(None) => assign::first_of(json),
                    None if items.is_empty() => assign::first_of(json),
                    None => {
                        let count = last(items, |v| self.val_is_read(v)) + 1;
                        let each = items.iter().take(count).enumerate().map(|(k, item)| {
                            inside(copies, *level, k as u32, |copies| {
                                self.scalar(json, item, copies)
                            })
                        });
                        serde_json::json!({ "each": each.collect::<Vec<Value>>() })
                    }
                }
            }
            _ => json.clone(),
        }
    }

    fn hole_is_read(&self, hole: &Hole) -> bool {
        match hole {
            Hole::One(id) => self.assignment.get(*id).is_some(),
            Hole::Each { items, .. } => items.iter().any(|h| self.hole_is_read(h)),
        }
    }

    fn val_is_read(&self, val: &Val) -> bool {
        match val {
            Val::Hole(id) => self.assignment.get(*id).is_some(),
            Val::Each { items, .. } => items.iter().any(|v| self.val_is_read(v)),
            _ => false,
        }
    }
}

/// The last position of what is read, 0 where nothing is.
fn last<T>(items: &[T], is_read: impl Fn(&T) -> bool) -> usize {
    items.iter().rposition(is_read).unwrap_or(0)
}

/// Runs `bind` with one level settled.
fn inside(
    copies: &mut Copies,
    level: u32,
    copy: u32,
    bind: impl FnOnce(&mut Copies) -> Value,
) -> Value {
    let level = level as usize;
    if copies.len() <= level {
        copies.resize(level + 1, None);
    }
    let before = copies.get(level).copied().flatten();
    if let Some(place) = copies.get_mut(level) {
        *place = Some(copy);
    }
    let value = bind(copies);
    if let Some(place) = copies.get_mut(level) {
        *place = before;
    }
    value
}
