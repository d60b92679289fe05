//! Declared blocks: heads first, so that the net can use them; bodies after it, users before the used.

use super::env::{self, Env, Place};
use super::{Parser, kind_of, node};
use crate::base::diag::{Diagnostic, nearest};
use crate::base::path::JsonPath;
use crate::expr::Scalar;
use crate::space::ast::{Arg, Body, Declared, DeclaredKind, Kind, Misfit, Param};
use crate::space::decision::Need;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// The kind of a parameter that is wrong: nothing is held against it.
const UNKNOWN: DeclaredKind = DeclaredKind::Word { of: Vec::new() };

/// The most parameters of a declared block, and words of one of them.
const MAX_PARAMS: usize = 256;

impl Parser {
    /// Names, parameters and documentation of all declared blocks.
    pub(super) fn block_heads(&mut self, top: &Map<String, Value>) {
        let path = JsonPath::root().key("blocks");
        let Some(value) = top.get("blocks") else {
            return;
        };
        let Value::Object(object) = value else {
            self.error(
                &path,
                format!("\"blocks\" is an object, not {}", kind_of(value)),
            );
            return;
        };
        for (name, value) in object {
            if self.drowned {
                return;
            }
            let path = path.key(name);
            if !env::is_name(name) {
                let hint =
                    Some("a name is letters, digits, _ and -, and starts with a letter".into());
                self.error_hint(&path, format!("{name:?} cannot name a block"), hint);
            }
            let nothing = Map::new();
            let declared = match value {
                Value::Object(declared) => declared,
                other => {
                    self.error(
                        &path,
                        format!("a declared block is an object, not {}", kind_of(other)),
                    );
                    &nothing
                }
            };
            self.known_keys(
                declared,
                &path,
                &["doc", "comment", "params", "require", "body"],
                "a declared block",
            );
            let doc = self.text_of(declared, &path, "doc");
            self.text_of(declared, &path, "comment");
            let params = self.params(declared, &path);
            let origin = self.origin(&path);
            let body = Body {
                nodes: Vec::new(),
                origin,
            };
            self.block_slots
                .insert(name.as_str().into(), self.blocks.len() as u32);
            self.uses.push(Vec::new());
            let name = name.as_str().into();
            self.blocks.push(Declared {
                name,
                doc,
                params,
                require: Vec::new(),
                body,
                origin,
            });
        }
    }

    fn params(&mut self, declared: &Map<String, Value>, path: &JsonPath) -> Vec<Param> {
        let path = path.key("params");
        let Some(value) = declared.get("params") else {
            return Vec::new();
        };
        let Value::Object(object) = value else {
            self.error(
                &path,
                format!("\"params\" is an object, not {}", kind_of(value)),
            );
            return Vec::new();
        };
        if object.len() > MAX_PARAMS {
            self.error(
                &path,
                format!(
                    "a block has at most {MAX_PARAMS} parameters, not {}",
                    object.len()
                ),
            );
            return Vec::new();
        }
        let mut params = Vec::new();
        for (name, value) in object {
            let path = path.key(name);
            if !env::is_variable(name) || node::is_reserved(name) {
                let hint = "a name is letters, digits and _, starts with a letter, and means nothing else in a node";
                self.error_hint(
                    &path,
                    format!("{name:?} cannot name a parameter"),
                    Some(hint.into()),
                );
            }
            params.push(self.param(name, value, &path));
        }
        params
    }

    /// A parameter. One that is wrong need not be given, so that its uses are not found wrong as well.
    fn param(&mut self, name: &str, value: &Value, path: &JsonPath) -> Param {
        const TYPES: [&str; 4] = ["int", "real", "bool", "word"];
        let origin = self.origin(path);
        let mut param = Param {
            name: name.into(),
            kind: UNKNOWN,
            default: Some(Scalar::Bool(false)),
            doc: None,
            origin,
        };
        let Value::Object(object) = value else {
            self.error(
                path,
                format!(
                    "a parameter is an object like {{\"type\": \"int\"}}, not {}",
                    kind_of(value)
                ),
            );
            return param;
        };
        param.doc = self.text_of(object, path, "doc");
        let word = object.get("type").and_then(Value::as_str).unwrap_or("");
        let own: &[&str] = match word {
            "int" | "real" => &["type", "default", "doc", "min", "max"],
            "word" => &["type", "default", "doc", "of"],
            "bool" => &["type", "default", "doc"],
            other => {
                let hint = match nearest(other, TYPES) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "types: int, real, bool, word".into(),
                };
                let message = match object.get("type") {
                    Some(got) => format!("no type {got}"),
                    None => "the parameter has no \"type\"".into(),
                };
                self.error_hint(&path.key("type"), message, Some(hint));
                return param;
            }
        };
        self.known_keys(object, path, own, &format!("a parameter of type {word:?}"));
        param.kind = match word {
            "int" => {
                let min = self
                    .end(object, path, "min", |x| x.int())
                    .unwrap_or(i64::MIN);
                let max = self
                    .end(object, path, "max", |x| x.int())
                    .unwrap_or(i64::MAX);
                if min > max {
                    self.error(path, "\"min\" is above \"max\"");
                }
                DeclaredKind::Int { min, max }
            }
            "real" => {
                let min = self
                    .end(object, path, "min", |x| x.real())
                    .unwrap_or(f64::NEG_INFINITY);
                let max = self
                    .end(object, path, "max", |x| x.real())
                    .unwrap_or(f64::INFINITY);
                if min > max {
                    self.error(path, "\"min\" is above \"max\"");
                }
                DeclaredKind::Real { min, max }
            }
            "word" => DeclaredKind::Word {
                of: self.of(object, path),
            },
            _ => DeclaredKind::Bool,
        };
        param.default = None;
        let at = path.key("default");
        let default = match object.get("default") {
            None => None,
            Some(Value::Bool(x)) => Some(Scalar::Bool(*x)),
            Some(Value::Number(x)) => self.number(x, &at),
            Some(Value::String(text)) if !text.starts_with('=') => {
                Some(Scalar::Word(self.words.add(text)))
            }
            Some(other) => {
                self.error(&at, format!("a default is a literal, not {other}"));
                None
            }
        };
        if let Some(default) = default {
            match param.check(default) {
                Ok(default) => param.default = Some(default),
                Err(misfit) => {
                    param.default = Some(default);
                    let message = self.misfit(&param, default, misfit);
                    self.error(&at, message);
                }
            }
        }
        param
    }

    fn end<T>(
        &mut self,
        object: &Map<String, Value>,
        path: &JsonPath,
        key: &str,
        take: fn(Scalar) -> Option<T>,
    ) -> Option<T> {
        let value = object.get(key)?;
        let number = match value {
            Value::Number(x) => self.number(x, &path.key(key)).and_then(take),
            _ => None,
        };
        if number.is_none() {
            self.error(
                &path.key(key),
                format!("{key:?} is a number of the parameter's type, not {value}"),
            );
        }
        number
    }

    fn of(&mut self, object: &Map<String, Value>, path: &JsonPath) -> Vec<crate::expr::Word> {
        let at = path.key("of");
        let list = object
            .get("of")
            .and_then(Value::as_array)
            .filter(|l| !l.is_empty());
        let Some(list) = list else {
            self.error(&at, "\"of\" lists the words of the parameter, at least one");
            return Vec::new();
        };
        if list.len() > MAX_PARAMS {
            self.error(
                &at,
                format!(
                    "a parameter has at most {MAX_PARAMS} words, not {}",
                    list.len()
                ),
            );
            return Vec::new();
        }
        let mut words = Vec::new();
        for (k, item) in list.iter().enumerate() {
            match item
                .as_str()
                .filter(|t| !t.is_empty() && !t.starts_with('='))
                .map(|t| self.words.add(t))
            {
                Some(word) if words.contains(&word) => {
                    self.error(&at.index(k), format!("{item} stands twice"))
                }
                Some(word) => words.push(word),
                None => self.error(&at.index(k), format!("expected a word, not {item}")),
            }
        }
        words
    }

    /// Why a value does not fit a parameter, in words.
    fn misfit(&self, param: &Param, value: Scalar, misfit: Misfit) -> String {
        crate::space::explain::misfit(&self.words, param, value, misfit)
    }

    /// A node that uses a declared block: its arguments by slot.
    pub(super) fn declared_use(
        &mut self,
        block: u32,
        args: Vec<Arg>,
        path: &JsonPath,
        env: &Env,
    ) -> Option<Kind> {
        let slot = block as usize;
        if let Some(uses) = self.uses.get_mut(slot) {
            uses.extend(env.instances.iter().map(|i| i.guard));
        }
        let (name, params) = self
            .blocks
            .get(slot)
            .map(|b| (b.name.clone(), b.params.clone()))?;
        let mut by_slot: Vec<Option<Arg>> = vec![None; params.len()];
        let mut complete = true;
        for arg in args {
            let key = self.words.text(arg.key).to_owned();
            let at = path.key(&key);
            let Some(k) = params.iter().position(|p| *p.name == *key) else {
                let hint = match nearest(&key, params.iter().map(|p| &*p.name)) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None if params.is_empty() => "the block has no parameters".into(),
                    None => {
                        let known: Vec<&str> = params.iter().map(|p| &*p.name).collect();
                        format!("parameters: {}", known.join(", "))
                    }
                };
                self.error_hint(&at, format!("no key {key:?} in block {name:?}"), Some(hint));
                complete = false;
                continue;
            };
            let mut wrong = Vec::new();
            let param = params.get(k)?;
            if param.kind != UNKNOWN {
                self.literals(&arg.val, &mut |x| {
                    wrong.extend(param.check(x).err().map(|m| (x, m)));
                });
            }
            if let Some((value, misfit)) = wrong.first() {
                let message = self.misfit(param, *value, *misfit);
                let see = self
                    .origins
                    .get(param.origin.0 as usize)
                    .cloned()
                    .unwrap_or_default();
                self.report(Diagnostic::error(at, message).related(see, "the parameter"));
                complete = false;
            }
            if let Some(place) = by_slot.get_mut(k) {
                *place = Some(arg);
            }
        }
        for (param, arg) in params.iter().zip(&by_slot) {
            // A key that is there but wrong has been told of.
            if arg.is_none() && param.default.is_none() && complete {
                let see = self
                    .origins
                    .get(param.origin.0 as usize)
                    .cloned()
                    .unwrap_or_default();
                let message = format!("block {name:?} needs {:?}", &*param.name);
                self.report(Diagnostic::error(path.clone(), message).related(see, "the parameter"));
            }
        }
        Some(Kind::Declared {
            block,
            args: by_slot,
        })
    }

    /// Reads `require` and `body` of all declared blocks.
    pub(super) fn block_bodies(&mut self, top: &Map<String, Value>) {
        let Some(Value::Object(object)) = top.get("blocks") else {
            return;
        };
        let path = JsonPath::root().key("blocks");
        let entries: Vec<(&String, &Value)> = object.iter().collect();
        for block in self.users_first(&entries) {
            let Some((name, Value::Object(declared))) = entries.get(block as usize) else {
                continue;
            };
            let path = path.key(name);
            let Some(head) = self.blocks.get(block as usize) else {
                continue;
            };
            let slots: HashMap<Box<str>, u32> = head
                .params
                .iter()
                .enumerate()
                .map(|(k, p)| (p.name.clone(), k as u32))
                .collect();
            let uses = self.uses.get(block as usize).cloned().unwrap_or_default();
            let guard = if uses.contains(&0) {
                0
            } else {
                self.guard(0, Need::Any(uses))
            };
            let env = Env::guarded(Rc::new(slots), Place::Block(block), guard);
            let require = self.conditions(declared.get("require"), &path.key("require"), &env);
            let body = match declared.get("body") {
                Some(body) => self.body(body, &path.key("body"), &env, &HashMap::new()),
                None => {
                    self.error(&path, format!("the block {name:?} has no \"body\""));
                    None
                }
            };
            if let Some(head) = self.blocks.get_mut(block as usize) {
                head.require = require;
                head.body.nodes = body.map(|b| b.nodes).unwrap_or_default();
            }
        }
    }

    /// Declared blocks such that each comes before those it uses; a circle is an error.
    fn users_first(&mut self, entries: &[(&String, &Value)]) -> Vec<u32> {
        let used: Vec<Vec<u32>> = entries
            .iter()
            .map(|(_, declared)| {
                let mut names = Vec::new();
                used_blocks(declared.get("body").unwrap_or(&Value::Null), &mut names);
                names
                    .iter()
                    .filter_map(|name| self.block_slots.get(*name).copied())
                    .collect()
            })
            .collect();
        let mut order = Vec::new();
        // 0 not seen, 1 on the way, 2 done.
        let mut state = vec![0u8; used.len()];
        for start in 0..used.len() as u32 {
            let mut way: Vec<(u32, usize)> = Vec::new();
            let mut enter = Some(start);
            loop {
                if let Some(block) = enter.take() {
                    match state.get_mut(block as usize) {
                        Some(s @ 0) => {
                            *s = 1;
                            way.push((block, 0));
                        }
                        Some(1) => {
                            let from = way.iter().position(|(b, _)| *b == block).unwrap_or(0);
                            let names = way.iter().skip(from).map(|(b, _)| *b).chain([block]);
                            let names: Vec<String> = names
                                .filter_map(|b| {
                                    entries.get(b as usize).map(|(name, _)| (*name).clone())
                                })
                                .collect();
                            let name = names.first().map_or("", |n| n);
                            let path = JsonPath::root().key("blocks").key(name);
                            self.error(
                                &path,
                                format!(
                                    "declared blocks use each other in a circle: {}",
                                    names.join(" -> ")
                                ),
                            );
                        }
                        _ => {}
                    }
                }
                let Some((block, next)) = way.last_mut() else {
                    break;
                };
                enter = used
                    .get(*block as usize)
                    .and_then(|u| u.get(*next))
                    .copied();
                *next += 1;
                if enter.is_none() {
                    if let Some(state) = state.get_mut(*block as usize) {
                        *state = 2;
                    }
                    order.push(*block);
                    way.pop();
                }
            }
        }
        order.reverse();
        order
    }
}

/// The names of all blocks that nodes in a value use. The reader has bounded the depth.
fn used_blocks<'v>(value: &'v Value, names: &mut Vec<&'v str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| used_blocks(item, names)),
        Value::Object(object) => {
            names.extend(object.get("block").and_then(Value::as_str));
            object.values().for_each(|value| used_blocks(value, names));
        }
        _ => {}
    }
}
