//! Declared blocks: heads first, so that the net can use them; bodies after it, users before the used.

use super::env::{self, Env, Place};
use super::params::UNKNOWN;
use super::{Parser, kind_of};
use crate::base::diag::{Diagnostic, nearest};
use crate::base::path::JsonPath;
use crate::expr::Scalar;
use crate::space::ast::{Arg, Body, Declared, Kind, Misfit, Param};
use crate::space::decision::Need;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// Keys of a declared block.
const KEYS: [&str; 9] = [
    "doc", "comment", "shapes", "formula", "source", "example", "params", "require", "body",
];

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
            self.known_keys(declared, &path, &KEYS, "a declared block");
            let doc = self.text_of(declared, &path, "doc");
            for key in ["comment", "shapes", "formula", "source"] {
                self.text_of(declared, &path, key);
            }
            if let Some(example) = declared.get("example").filter(|x| !x.is_object()) {
                let message = format!("\"example\" is a node, not {}", kind_of(example));
                self.error(&path.key("example"), message);
            }
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

    /// Why a value does not fit a parameter, in words.
    pub(super) fn misfit(&self, param: &Param, value: Scalar, misfit: Misfit) -> String {
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
            let require = self.requirements(declared.get("require"), &path.key("require"), &env);
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
