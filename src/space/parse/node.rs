//! Bodies and nodes.

use super::env::{self, Env, Instance};
use super::holes::hole_at;
use super::{Parser, kind_of};
use crate::base::diag::{Diagnostic, nearest};
use crate::base::path::JsonPath;
use crate::space::ast::{Arg, Body, ChoiceOption, Kind, Node, Source};
use crate::space::decision::{Domain, Need};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// Keys of a node that say what it is; exactly one stands in each.
const KINDS: [&str; 5] = ["op", "block", "body", "choice", "each"];

/// Keys that any node may have. None of them can name a parameter.
pub(super) const COMMON: [&str; 8] = [
    "id", "from", "over", "when", "repeat", "vary", "doc", "comment",
];

/// True for a key that means something in every node.
pub(super) fn is_reserved(key: &str) -> bool {
    COMMON.contains(&key) || KINDS.contains(&key) || matches!(key, "as" | "weights")
}

/// What a node stands among.
struct Siblings<'a> {
    /// Ids of nodes before it.
    before: HashMap<&'a str, u32>,
    /// Ids of all nodes of the body.
    all: HashMap<&'a str, usize>,
    /// Named inputs of the body.
    inputs: &'a HashMap<Box<str>, u32>,
}

/// Where in its body a node stands.
#[derive(Clone, Copy)]
struct Seat {
    index: usize,
    /// True for an option of a choice.
    option: bool,
}

/// `x[1]` as `x` and `1`.
pub(super) fn split_place(text: &str) -> (&str, Option<&str>) {
    match text.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
        Some((name, inside)) => (name, Some(inside)),
        None => (text, None),
    }
}

/// The result of `node` that stands in brackets.
pub(super) fn result_at(node: u32, inside: &str) -> Option<Source> {
    match (inside, inside.parse::<u32>()) {
        ("*", _) => Some(Source::Copies(node)),
        (_, Ok(k)) if k < 1000 && inside == k.to_string() => Some(Source::Copy(node, k)),
        _ => None,
    }
}

/// The id of a node as written; of an `each` the one that all its items have.
fn id_of(node: &Value) -> Option<&str> {
    match node.get("each").and_then(Value::as_array) {
        Some(each) => {
            let id = id_of(each.first()?)?;
            each.iter()
                .all(|item| id_of(item) == Some(id))
                .then_some(id)
        }
        None => node.get("id")?.as_str(),
    }
}

impl Parser {
    /// A list of nodes.
    pub(super) fn body(
        &mut self,
        value: &Value,
        path: &JsonPath,
        env: &Env,
        inputs: &HashMap<Box<str>, u32>,
    ) -> Option<Body> {
        let Some(list) = value.as_array().filter(|l| !l.is_empty()) else {
            self.error(path, "a body is a list of nodes, at least one");
            return None;
        };
        let mut siblings = Siblings {
            before: HashMap::new(),
            all: HashMap::new(),
            inputs,
        };
        for (k, node) in list.iter().enumerate() {
            let Some(id) = id_of(node) else { continue };
            if let Some(first) = siblings.all.get(id) {
                let diagnostic = Diagnostic::error(
                    path.index(k).key("id"),
                    format!("the id {id:?} stands twice in one body"),
                )
                .related(path.index(*first), "the first one");
                self.report(diagnostic);
            } else if inputs.contains_key(id) {
                self.error(
                    &path.index(k).key("id"),
                    format!("{id:?} is the name of an input already"),
                );
            } else {
                siblings.all.insert(id, k);
            }
        }
        let mut nodes = Vec::with_capacity(list.len());
        for (index, node) in list.iter().enumerate() {
            nodes.push(self.node(
                node,
                &path.index(index),
                env,
                &siblings,
                Seat {
                    index,
                    option: false,
                },
            ));
            if let Some(id) = id_of(node) {
                siblings.before.insert(id, index as u32);
            }
        }
        let origin = self.origin(path);
        let nodes: Option<Vec<Node>> = nodes.into_iter().collect();
        Some(Body {
            nodes: nodes?,
            origin,
        })
    }

    fn node(
        &mut self,
        value: &Value,
        path: &JsonPath,
        env: &Env,
        siblings: &Siblings<'_>,
        seat: Seat,
    ) -> Option<Node> {
        self.spend(path, 64 * env.instances.len());
        if self.drowned {
            return None;
        }
        let Value::Object(object) = value else {
            self.error(path, format!("a node is an object, not {}", kind_of(value)));
            return None;
        };
        let mut kinds = KINDS.into_iter().filter(|k| object.contains_key(*k));
        let (kind, second) = (kinds.next(), kinds.next());
        let Some(kind) = kind else {
            let hint = match object.keys().find_map(|key| nearest(key, KINDS)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "a node has \"op\", \"block\", \"body\" or \"choice\"".into(),
            };
            self.error_hint(path, "this node does not say what it is", Some(hint));
            return None;
        };
        if let Some(second) = second {
            self.error(path, format!("{kind:?} and {second:?} stand in one node"));
            return None;
        }
        if kind == "each" {
            return self.each_node(object, path, env, siblings, seat);
        }
        for key in ["doc", "comment"] {
            self.text_of(object, path, key);
        }
        let id = self.id(object, path);
        let over = object.contains_key("over");
        for key in ["from", "repeat"] {
            if over && object.contains_key(key) {
                let hint = "put the node into a body of its own: {\"over\": …, \"body\": [{…}]}";
                let hint = (key == "repeat").then(|| hint.to_owned());
                let message = format!("\"over\" and {key:?} stand in one node");
                self.error_hint(&path.key(key), message, hint);
            }
        }
        let (from, from_origin) = self.sources(object, path, siblings, seat);
        let (when, inside) = self.when(object, path, env);
        let (repeat, inside) = self.repeat(object, path, &inside);
        let kind = match kind {
            "op" | "block" => self.unit(object, path, kind, &inside, seat),
            _ => {
                let mut known = COMMON.to_vec();
                known.push(kind);
                known.extend(seat.option.then_some("as"));
                known.extend((kind == "choice").then_some("weights"));
                self.known_keys(object, path, &known, &format!("a node with {kind:?}"));
                let inner = object.get(kind).unwrap_or(&Value::Null);
                match kind {
                    "body" => self
                        .body(inner, &path.key("body"), &inside, &HashMap::new())
                        .map(Kind::Body),
                    _ => self.choice(object, inner, path, id.as_deref(), &inside),
                }
            }
        };
        let origin = self.origin(path);
        let name = id.clone().unwrap_or_else(|| seat.index.to_string().into());
        Some(Node {
            origin,
            name,
            id,
            from: from?,
            over,
            from_origin,
            when,
            repeat,
            kind: kind?,
        })
    }

    fn id(&mut self, object: &Map<String, Value>, path: &JsonPath) -> Option<Box<str>> {
        let id = self.text_of(object, path, "id")?;
        if !env::is_name(&id) || &*id == "in" {
            let hint = "an id is letters, digits, _ and -, starts with a letter, and is not \"in\"";
            self.error_hint(
                &path.key("id"),
                format!("{id:?} cannot be an id"),
                Some(hint.into()),
            );
        }
        Some(id)
    }

    /// `{"each": […]}` where a node stands.
    fn each_node(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        env: &Env,
        siblings: &Siblings<'_>,
        seat: Seat,
    ) -> Option<Node> {
        let (level, nodes) = self.each(object, path, env, |parser, item, path, env| {
            parser.node(item, path, env, siblings, seat)
        })?;
        let first = nodes.first()?;
        let (name, from, over) = (first.name.clone(), first.from.clone(), first.over);
        let id = first
            .id
            .clone()
            .filter(|id| nodes.iter().all(|n| n.id.as_ref() == Some(id)));
        let origin = self.origin(path);
        let kind = Kind::Each { level, nodes };
        Some(Node {
            origin,
            name,
            id,
            from,
            over,
            from_origin: origin,
            when: None,
            repeat: None,
            kind,
        })
    }

    /// A node with `op` or `block`: everything else in it is a parameter.
    fn unit(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        kind: &str,
        env: &Env,
        seat: Seat,
    ) -> Option<Kind> {
        let at = path.key(kind);
        let name = match object.get(kind) {
            Some(Value::String(name)) if !name.is_empty() => name.as_str(),
            other => {
                let got = other
                    .filter(|v| !v.is_string())
                    .map_or("an empty text", kind_of);
                self.error(&at, format!("{kind:?} is the name of one, not {got}"));
                return None;
            }
        };
        let block = if kind == "block" {
            self.block_slots.get(name).copied()
        } else {
            None
        };
        let env = env.with_input();
        let mut args = Vec::with_capacity(object.len());
        let mut complete = true;
        for (key, value) in object {
            let own = key == kind || COMMON.contains(&key.as_str()) || (key == "as" && seat.option);
            if own {
                continue;
            }
            let at = path.key(key);
            if is_reserved(key) {
                self.error(&at, format!("{key:?} has no meaning in this node"));
                continue;
            }
            match self.value(value, &at, &env, block.is_none()) {
                Some(val) => args.push(Arg {
                    key: self.words.add(key),
                    val,
                    origin: self.origin(&at),
                }),
                None => complete = false,
            }
        }
        if let Some(block) = block {
            return self
                .declared_use(block, args, path, &env)
                .filter(|_| complete);
        }
        let name = self.words.add(name);
        complete.then_some(match kind {
            "op" => Kind::Op { op: name, args },
            _ => Kind::Block { block: name, args },
        })
    }

    /// A choice of nodes.
    fn choice(
        &mut self,
        object: &Map<String, Value>,
        inner: &Value,
        path: &JsonPath,
        id: Option<&str>,
        env: &Env,
    ) -> Option<Kind> {
        let at = path.key("choice");
        let list = self.items(inner, &at)?;
        let weights = self.weights(object, path, list.len());
        let labels = self.labels(list, &at);
        let domain = Domain::Options {
            labels: labels.clone(),
            weights: weights?,
        };
        let hole = self.hole(domain, path, id, env)?;
        let none = HashMap::new();
        let mut options = Vec::with_capacity(list.len());
        for (k, (value, label)) in list.iter().zip(labels).enumerate() {
            let taken = |instance: &Instance| {
                let Some(decision) = hole_at(&hole, &instance.copies) else {
                    return instance.clone();
                };
                let need = Need::Took {
                    hole: *decision,
                    option: k as u32,
                };
                Instance {
                    guard: self.guard(instance.guard, need),
                    ..instance.clone()
                }
            };
            let instances: Vec<Instance> = env.instances.iter().map(taken).collect();
            let env = Env {
                instances: Rc::new(instances),
                ..env.clone()
            };
            let siblings = Siblings {
                before: HashMap::new(),
                all: HashMap::new(),
                inputs: &none,
            };
            let seat = Seat {
                index: 0,
                option: true,
            };
            let node = self.node(value, &at.index(k), &env, &siblings, seat);
            options.push(node.map(|node| ChoiceOption { label, node }));
        }
        let options: Option<Vec<ChoiceOption>> = options.into_iter().collect();
        Some(Kind::Choice {
            hole,
            options: options?,
        })
    }

    /// What the options are called: `as`, else the op or block, else the kind; with `@index` where two are equal.
    fn labels(&mut self, list: &[Value], at: &JsonPath) -> Vec<Box<str>> {
        let mut given: HashMap<&str, usize> = HashMap::new();
        let mut plain = Vec::with_capacity(list.len());
        for (k, option) in list.iter().enumerate() {
            let label = match option.get("as") {
                Some(Value::String(label)) => {
                    let path = at.index(k).key("as");
                    if !env::is_name(label) {
                        let hint = Some(
                            "a label is letters, digits, _ and -, and starts with a letter".into(),
                        );
                        self.error_hint(&path, format!("{label:?} cannot be a label"), hint);
                    }
                    if let Some(first) = given.insert(label, k) {
                        self.error(
                            &path,
                            format!("option {first} has the label {label:?} already"),
                        );
                    }
                    label.as_str()
                }
                Some(other) => {
                    self.error(
                        &at.index(k).key("as"),
                        format!("\"as\" is a text, not {}", kind_of(other)),
                    );
                    "body"
                }
                None => {
                    let word = ["block", "op"]
                        .iter()
                        .find_map(|k| option.get(*k)?.as_str());
                    word.unwrap_or(if option.get("choice").is_some() {
                        "choice"
                    } else {
                        "body"
                    })
                }
            };
            plain.push(label);
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        plain
            .iter()
            .for_each(|label| *counts.entry(label).or_default() += 1);
        let label = |k: usize, label: &&str| {
            let named = list.get(k).is_some_and(|o| o.get("as").is_some());
            if counts.get(label).is_some_and(|n| *n > 1) && !named {
                format!("{label}@{k}").into()
            } else {
                Box::from(*label)
            }
        };
        plain.iter().enumerate().map(|(k, l)| label(k, l)).collect()
    }

    /// What a node takes as inputs.
    fn sources(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        siblings: &Siblings<'_>,
        seat: Seat,
    ) -> (Option<Vec<Source>>, crate::space::ast::Origin) {
        let before = match seat.index.checked_sub(1) {
            Some(before) => Source::Node(before as u32),
            None => Source::AllInputs,
        };
        let key = if object.contains_key("over") {
            "over"
        } else {
            "from"
        };
        let at = path.key(key);
        let (texts, single) = match object.get(key) {
            None => {
                let origin = self.origin(path);
                return (Some(vec![before]), origin);
            }
            Some(Value::Array(list)) if !list.is_empty() => (list.as_slice(), false),
            Some(text @ Value::String(_)) => (std::slice::from_ref(text), true),
            Some(other) => {
                let message = format!(
                    "{key:?} names a node or a list of nodes, not {}",
                    kind_of(other)
                );
                self.error(&at, message);
                (&[] as &[Value], false)
            }
        };
        let mut found = Vec::with_capacity(texts.len());
        for (k, item) in texts.iter().enumerate() {
            let at = if single { at.clone() } else { at.index(k) };
            let source = match item.as_str() {
                Some(text) => self.source(text, &at, siblings, seat),
                None => {
                    self.error(
                        &at,
                        format!("expected the id of a node, not {}", kind_of(item)),
                    );
                    None
                }
            };
            found.push(source);
        }
        let origin = self.origin(&at);
        let sources: Option<Vec<Source>> = found.into_iter().collect();
        (sources.filter(|s| !s.is_empty()), origin)
    }

    pub(super) fn no_result<T>(&mut self, text: &str, at: &JsonPath) -> Option<T> {
        let hint =
            "the results of a node that has several are \"x[0]\", \"x[1]\", all of them \"x[*]\"";
        self.error_hint(at, format!("{text:?} names no result"), Some(hint.into()));
        None
    }

    fn source(
        &mut self,
        text: &str,
        at: &JsonPath,
        siblings: &Siblings<'_>,
        seat: Seat,
    ) -> Option<Source> {
        let (name, suffix) = split_place(text);
        if name == "in" {
            return match suffix.map(|s| (s, s.parse::<u32>())) {
                None => Some(Source::Input(0)),
                Some(("*", _)) => Some(Source::AllInputs),
                Some((_, Ok(k))) if k < 1000 => Some(Source::Input(k)),
                Some((other, _)) => {
                    self.error(
                        at,
                        format!("\"in[{other}]\" names no input; \"in[0]\" and \"in[*]\" do"),
                    );
                    None
                }
            };
        }
        match (siblings.inputs.get(name), siblings.before.get(name), suffix) {
            (Some(input), _, None) => return Some(Source::Input(*input)),
            (_, Some(node), None) => return Some(Source::Node(*node)),
            (_, Some(node), Some(suffix)) => {
                return result_at(*node, suffix).or_else(|| self.no_result(text, at));
            }
            (Some(_), ..) => return self.no_result(text, at),
            (None, None, _) => {}
        }
        let later = siblings.all.get(name).is_some_and(|at| *at >= seat.index);
        let few = siblings.before.len() <= super::forms::MAX_LOOKED_THROUGH;
        let mut known: Vec<&str> = siblings.before.keys().copied().filter(|_| few).collect();
        known.extend(siblings.inputs.keys().map(|k| &**k));
        known.push("in");
        known.sort_unstable();
        let (message, hint) = match nearest(name, known.iter().copied()) {
            _ if later => (format!("{name:?} does not come before this node"), None),
            Some(near) => (
                format!("no node {name:?} in this body"),
                Some(format!("did you mean {near:?}?")),
            ),
            None => {
                let hint = "a body sees its own nodes and its inputs: in, in[1]".to_owned();
                (format!("no node {name:?} in this body"), Some(hint))
            }
        };
        self.error_hint(at, message, hint);
        None
    }
}
