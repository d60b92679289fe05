//! Parameters of declared blocks, and what the blocks require of them.

use super::env::{self, Env, Place};
use super::{Parser, kind_of, node};
use crate::base::diag::nearest;
use crate::base::path::JsonPath;
use crate::expr::Scalar;
use crate::space::ast::{DeclaredKind, Fallback, Param, Piece, Requirement};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// The kind of a parameter that is wrong: nothing is held against it.
pub(super) const UNKNOWN: DeclaredKind = DeclaredKind::Word { of: Vec::new() };

/// The most parameters of a declared block, and words of one of them.
const MAX_PARAMS: usize = 256;

/// The most bytes of a text with expressions in it.
const MAX_HINT: usize = 1024;

impl Parser {
    /// `params` of a declared block.
    pub(super) fn params(&mut self, declared: &Map<String, Value>, path: &JsonPath) -> Vec<Param> {
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
        let mut before: HashMap<Box<str>, u32> = HashMap::new();
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
            params.push(self.param(name, value, &path, &before));
            before.insert(name.as_str().into(), before.len() as u32);
        }
        params
    }

    /// A parameter. One that is wrong need not be given, so that its uses are not found wrong as well.
    /// `before` are those before it, which its default may name.
    fn param(
        &mut self,
        name: &str,
        value: &Value,
        path: &JsonPath,
        before: &HashMap<Box<str>, u32>,
    ) -> Param {
        const TYPES: [&str; 4] = ["int", "real", "bool", "word"];
        let origin = self.origin(path);
        let mut param = Param {
            name: name.into(),
            kind: UNKNOWN,
            default: Some(Fallback::Lit(Scalar::Bool(false))),
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
            Some(Value::String(text)) => match text.strip_prefix('=') {
                Some(text) => {
                    let block = Place::Block(self.blocks.len() as u32);
                    let env = Env::root(Rc::new(before.clone()), block);
                    // one that is wrong still makes the parameter one that may be left out
                    param.default = Some(match self.expr(text, &at, &env) {
                        Some(expr) => Fallback::Expr(Box::new(expr)),
                        None => Fallback::Lit(Scalar::Bool(false)),
                    });
                    None
                }
                None => Some(Scalar::Word(self.words.add(text))),
            },
            Some(other) => {
                self.error(
                    &at,
                    format!("a default is a literal or an expression, not {other}"),
                );
                None
            }
        };
        if let Some(default) = default {
            match param.check(default) {
                Ok(default) => param.default = Some(Fallback::Lit(default)),
                Err(misfit) => {
                    param.default = Some(Fallback::Lit(default));
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

    /// `require` of a declared block: expressions, bare or with a text on what would fit.
    pub(super) fn requirements(
        &mut self,
        list: Option<&Value>,
        path: &JsonPath,
        env: &Env,
    ) -> Vec<Requirement> {
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
            .filter_map(|(k, item)| self.requirement(item, &path.index(k), env))
            .collect()
    }

    fn requirement(&mut self, value: &Value, path: &JsonPath, env: &Env) -> Option<Requirement> {
        let Value::Object(object) = value else {
            let condition = self.condition(value, path, env)?;
            return Some(Requirement {
                condition,
                hint: Vec::new(),
            });
        };
        self.known_keys(object, path, &["that", "hint"], "a requirement");
        let hint = match self.text_of(object, path, "hint") {
            Some(text) => self.pieces(&text, &path.key("hint"), env),
            None => Vec::new(),
        };
        match object.get("that") {
            Some(that) => {
                let condition = self.condition(that, &path.key("that"), env)?;
                Some(Requirement { condition, hint })
            }
            None => {
                self.error(path, "the requirement has no \"that\"");
                None
            }
        }
    }

    /// A text with expressions in braces.
    fn pieces(&mut self, text: &str, path: &JsonPath, env: &Env) -> Vec<Piece> {
        if text.len() > MAX_HINT {
            self.error(
                path,
                format!("a hint has at most {MAX_HINT} bytes, not {}", text.len()),
            );
            return Vec::new();
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let Some((inside, after)) = after.split_once('}') else {
                self.error(path, "a brace is not closed");
                return pieces;
            };
            pieces.extend(self.expr(inside, path, env).map(Piece::Expr));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        pieces
    }
}
