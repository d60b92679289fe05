//! JSON text to a checked document, with all its problems at once. Written by hand over `serde_json::Value` with the
//! path in hand.
//!
//! Order: variables, inputs, constraints, budgets, the heads of declared blocks, the net, then the bodies of declared
//! blocks, users before the used, so that whether a decision is active depends on earlier decisions only.

mod blocks;
mod env;
mod forms;
mod holes;
mod node;
mod params;
mod repeat;
mod vars;

use super::ast::{Ast, Body, Condition, Declared, Input, Origin, Source, Val, Var};
use super::decision::{Assignment, Decision, Guard, Need, Step};
use super::{FORMAT, MAX_TEXT, Space, sample};
use crate::base::diag::{Diagnostic, Diagnostics, nearest};
use crate::base::locate;
use crate::base::path::JsonPath;
use crate::expr::{Interval, Scalar, Words};
use env::{Env, Place};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// The most outputs of a net.
const MAX_OUTPUTS: usize = 64;

/// Keys of the document itself.
const TOP_KEYS: [&str; 12] = [
    "$schema",
    "format",
    "name",
    "doc",
    "comment",
    "input",
    "vars",
    "constraints",
    "budgets",
    "blocks",
    "net",
    "outputs",
];

impl Space {
    /// Reads and checks a document. Which blocks, ops and parameters exist is checked one floor up.
    ///
    /// # Errors
    /// All problems, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Diagnostics> {
        if text.len() > MAX_TEXT {
            let message = format!(
                "the document has {} bytes; at most {MAX_TEXT} are read",
                text.len()
            );
            return Err(Diagnostic::error(JsonPath::root(), message).into());
        }
        let json: Value = serde_json::from_str(text).map_err(|e| locate::syntax_error(text, &e))?;
        let doubles = locate::duplicate_keys(text);
        if let Some(long) = locate::long_key(text) {
            return Err(long.into());
        }
        let text: Arc<str> = text.into();
        let (space, mut problems) = Parser::default().document(json, &text);
        problems.extend(doubles);
        let problems = locate::in_order(&text, problems);
        match space {
            Some(space) => problems.into_result(space),
            None => Err(problems),
        }
    }
}

/// All that is known of the document so far.
#[derive(Default)]
struct Parser {
    problems: Diagnostics,
    words: Words,
    origins: Vec<JsonPath>,
    decisions: Vec<Decision>,
    ids: HashSet<Box<str>>,
    guards: Vec<Guard>,
    steps: Vec<Step>,
    vars: Rc<HashMap<Box<str>, u32>>,
    /// Ends between which each variable lies, where they can be told.
    bounds: Vec<Option<Interval>>,
    inputs: HashMap<Box<str>, u32>,
    /// Heads of declared blocks, then with their bodies.
    blocks: Vec<Declared>,
    block_slots: HashMap<Box<str>, u32>,
    /// Guards under which each declared block is used.
    uses: Vec<Vec<u32>>,
    /// Memory and work spent on copies and paths, in rough bytes.
    spent: usize,
    /// True once the document has turned out too large or too wrong to go on with.
    drowned: bool,
}

/// The most problems that are told of at once.
const MAX_PROBLEMS: usize = 200;

/// The most that [`Parser::spent`] may reach: far beyond any document that people write.
const MAX_SPENT: usize = 256 << 20;

impl Parser {
    fn document(mut self, json: Value, text: &Arc<str>) -> (Option<Space>, Diagnostics) {
        self.guards.push(Guard {
            parent: 0,
            need: Need::Nothing,
        });
        let root = JsonPath::root();
        let Value::Object(top) = &json else {
            let message = format!("a document is an object, not {}", kind_of(&json));
            self.error(&root, message);
            return (None, self.problems);
        };
        self.known_keys(top, &root, &TOP_KEYS, "the document");
        self.format(top);
        let name = self
            .text_of(top, &root, "name")
            .unwrap_or_else(|| "net".into());
        for key in ["$schema", "doc", "comment"] {
            self.text_of(top, &root, key);
        }
        let (vars, var_order) = self.variables(top);
        let var_decisions = self.decisions.len() as u32;
        let constraints = self.constraints(top);
        let budgets = self.budgets(top);
        self.steps.clear();
        let inputs = self.net_inputs(top);
        self.block_heads(top);
        let net = self.net(top);
        self.block_bodies(top);
        let outputs = net
            .as_ref()
            .map(|net| self.outputs(top, net))
            .unwrap_or_default();
        if self.problems.has_errors() {
            return (None, self.problems);
        }
        let Some(net) = net else {
            return (None, self.problems);
        };
        let ast = Ast {
            name,
            inputs,
            vars,
            var_order,
            constraints,
            budgets,
            blocks: self.blocks,
            net,
            outputs,
            words: self.words,
            origins: self.origins,
        };
        let space = Space {
            ast,
            decisions: self.decisions,
            guards: self.guards,
            steps: self.steps,
            var_decisions,
            plan: OnceLock::new(),
            json: Arc::new(json),
            text: text.clone(),
        };
        let mut problems = self.problems;
        if space.decisions.is_empty() {
            let mut scratch = sample::Scratch::default();
            if let Some(refusal) = space.refusal(&Assignment::empty().0, &mut scratch) {
                problems.push(space.blame(1, &[(refusal, 1)], &scratch.vars));
            }
        }
        (Some(space), problems)
    }

    fn error(&mut self, path: &JsonPath, message: impl Into<String>) {
        self.report(Diagnostic::error(path.clone(), message));
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.drowned {
            return;
        }
        self.problems.push(diagnostic);
        if self.problems.len() >= MAX_PROBLEMS {
            let message = format!("{MAX_PROBLEMS} problems; the rest is not looked at");
            self.problems
                .push(Diagnostic::error(JsonPath::root(), message));
            self.drowned = true;
        }
    }

    /// Counts work; beyond [`MAX_SPENT`] the document is refused and nothing more of it is read.
    fn spend(&mut self, path: &JsonPath, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > MAX_SPENT {
            self.error(
                path,
                "the document is too large: too many nodes, or too many copies of varied repeats",
            );
            self.drowned = true;
        }
    }

    fn error_hint(&mut self, path: &JsonPath, message: impl Into<String>, hint: Option<String>) {
        let mut diagnostic = Diagnostic::error(path.clone(), message);
        diagnostic.hints.extend(hint);
        self.report(diagnostic);
    }

    fn origin(&mut self, path: &JsonPath) -> Origin {
        self.spend(path, 64 + env::size_of(path));
        self.origins.push(path.clone());
        Origin((self.origins.len() - 1) as u32)
    }

    /// An error for each key of an object that is not among `known`.
    fn known_keys(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        known: &[&str],
        what: &str,
    ) {
        for key in object.keys().filter(|k| !known.contains(&k.as_str())) {
            if self.drowned {
                return;
            }
            let hint = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            self.error_hint(
                &path.key(key),
                format!("no key {key:?} in {what}"),
                Some(hint),
            );
        }
    }

    /// The text under a key, where there is one.
    fn text_of(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        key: &str,
    ) -> Option<Box<str>> {
        match object.get(key)? {
            Value::String(text) => Some(text.as_str().into()),
            other => {
                self.error(
                    &path.key(key),
                    format!("{key:?} is a text, not {}", kind_of(other)),
                );
                None
            }
        }
    }

    fn format(&mut self, top: &Map<String, Value>) {
        let path = JsonPath::root().key("format");
        match top.get("format") {
            Some(Value::String(text)) if text == FORMAT => {}
            Some(other) => {
                let message = format!("this program reads format {FORMAT:?}, not {other}");
                self.error(&path, message);
            }
            None => {
                let hint = format!("add \"format\": {FORMAT:?}");
                self.error_hint(&path, "the document names no format", Some(hint));
            }
        }
    }

    fn constraints(&mut self, top: &Map<String, Value>) -> Vec<Condition> {
        let path = JsonPath::root().key("constraints");
        let mut env = Env::root(self.vars.clone(), Place::Vars);
        env.input = false;
        self.conditions(top.get("constraints"), &path, &env)
    }

    /// A list of bare expressions.
    fn conditions(&mut self, list: Option<&Value>, path: &JsonPath, env: &Env) -> Vec<Condition> {
        let Some(list) = list else { return Vec::new() };
        let Value::Array(list) = list else {
            self.error(
                path,
                format!("expected a list of expressions, not {}", kind_of(list)),
            );
            return Vec::new();
        };
        let numbered = list.iter().enumerate();
        numbered
            .filter_map(|(k, item)| self.condition(item, &path.index(k), env))
            .collect()
    }

    fn budgets(&mut self, top: &Map<String, Value>) -> Vec<(Box<str>, f64)> {
        let path = JsonPath::root().key("budgets");
        let mut budgets = Vec::new();
        let Some(value) = top.get("budgets") else {
            return budgets;
        };
        let Value::Object(object) = value else {
            self.error(
                &path,
                format!("\"budgets\" is an object, not {}", kind_of(value)),
            );
            return budgets;
        };
        for (metric, limit) in object {
            match limit.as_f64().filter(|x| *x > 0.0 && x.is_finite()) {
                Some(limit) => budgets.push((metric.as_str().into(), limit)),
                None => self.error(
                    &path.key(metric),
                    format!("a budget is a number above 0, not {limit}"),
                ),
            }
        }
        budgets
    }

    /// `[c, h, w]`, or an object of such.
    fn net_inputs(&mut self, top: &Map<String, Value>) -> Vec<Input> {
        let path = JsonPath::root().key("input");
        let mut inputs = Vec::new();
        match top.get("input") {
            Some(shape @ Value::Array(_)) => inputs.extend(self.net_input("in", shape, &path)),
            Some(Value::Object(named)) if !named.is_empty() => {
                for (name, shape) in named {
                    let path = path.key(name);
                    if !env::is_name(name) || name == "in" {
                        let hint = "a name is letters, digits, _ and -, starts with a letter, and is not \"in\"";
                        let message = format!("{name:?} cannot name an input");
                        self.error_hint(&path, message, Some(hint.into()));
                    }
                    self.inputs
                        .insert(name.as_str().into(), inputs.len() as u32);
                    inputs.extend(self.net_input(name, shape, &path));
                }
            }
            Some(_) => self.error(
                &path,
                "\"input\" is [channels, height, width], or an object of named inputs",
            ),
            None => {
                let hint = Some("add \"input\": [3, 224, 224]".into());
                self.error_hint(&path, "the document names no input", hint);
            }
        }
        inputs
    }

    fn net_input(&mut self, name: &str, shape: &Value, path: &JsonPath) -> Option<Input> {
        let Some([c, h, w]) = shape.as_array().map(Vec::as_slice) else {
            self.error(path, "an input is [channels, height, width]");
            return None;
        };
        let env = Env::root(self.vars.clone(), Place::Net);
        let side = |parser: &mut Self, k: usize, value: &Value| {
            let path = path.index(k);
            let val = parser.value(value, &path, &env, false)?;
            parser.check_literals(&val, &path, |x| match x {
                Scalar::Int(x) if x >= 1 => None,
                other => Some((other, "a side of the input is a whole number from 1")),
            });
            Some(val)
        };
        let shape: [Option<Val>; 3] = [side(self, 0, c), side(self, 1, h), side(self, 2, w)];
        let origin = self.origin(path);
        let [Some(c), Some(h), Some(w)] = shape else {
            return None;
        };
        Some(Input {
            name: name.into(),
            shape: [c, h, w],
            origin,
        })
    }

    fn net(&mut self, top: &Map<String, Value>) -> Option<Body> {
        let path = JsonPath::root().key("net");
        let Some(net) = top.get("net") else {
            self.error_hint(
                &path,
                "the document has no net",
                Some("add \"net\": [ …nodes… ]".into()),
            );
            return None;
        };
        let env = Env::root(self.vars.clone(), Place::Net);
        let inputs = std::mem::take(&mut self.inputs);
        self.body(net, &path, &env, &inputs)
    }

    /// What `outputs` names.
    fn outputs(&mut self, top: &Map<String, Value>, net: &Body) -> Vec<Source> {
        let path = JsonPath::root().key("outputs");
        let Some(value) = top.get("outputs") else {
            return vec![Source::Node(net.nodes.len().saturating_sub(1) as u32)];
        };
        let Some(list) = value.as_array().filter(|l| !l.is_empty()) else {
            self.error(
                &path,
                "\"outputs\" is a list of ids of nodes of the net, at least one",
            );
            return Vec::new();
        };
        if list.len() > MAX_OUTPUTS {
            self.error(
                &path,
                format!(
                    "a net has at most {MAX_OUTPUTS} outputs, not {}",
                    list.len()
                ),
            );
            return Vec::new();
        }
        let mut found = Vec::new();
        for (k, item) in list.iter().enumerate() {
            let path = path.index(k);
            let Some(text) = item.as_str() else {
                let kind = kind_of(item);
                self.error(&path, format!("an output is the id of a node, not {kind}"));
                continue;
            };
            let (id, inside) = node::split_place(text);
            let position = net.nodes.iter().position(|n| n.id.as_deref() == Some(id));
            let Some(at) = position else {
                let ids = net.nodes.iter().filter_map(|n| n.id.as_deref());
                let near = nearest(id, ids.take(forms::MAX_LOOKED_THROUGH));
                let hint = near.map(|near| format!("did you mean {near:?}?"));
                let message = format!("the net has no node with the id {id:?}");
                self.error_hint(&path, message, hint);
                continue;
            };
            let at = at as u32;
            let source = match inside {
                None => Some(Source::Node(at)),
                Some(inside) => node::result_at(at, inside).or_else(|| self.no_result(text, &path)),
            };
            let same = |a: &Source, b: &Source| match (a, b) {
                (Source::Copies(a), Source::Copy(b, _)) => a == b,
                (Source::Copy(a, _), Source::Copies(b)) => a == b,
                (a, b) => a == b,
            };
            let Some(source) = source else { continue };
            if found.iter().any(|before| same(before, &source)) {
                self.error(&path, format!("{text:?} is named twice"));
            } else {
                found.push(source);
            }
        }
        found
    }
}

/// The kind of a JSON value, for messages.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A variable list and the order to evaluate it in.
type Variables = (Vec<Var>, Vec<u32>);
