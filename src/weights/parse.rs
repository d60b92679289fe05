//! Name maps from JSON, with all their problems.

use super::map::{Form, Rule, Rules, Variant, with_hint};
use super::pattern::{Pattern, Tables, Template};
use crate::base::diag::{Diagnostic, Diagnostics, nearest};
use crate::base::path::JsonPath;
use crate::expr::Scalar;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where rules stand.
const SECTIONS: [&str; 2] = ["names", "optional"];

/// The most rules with placeholders; plain names are without such a bound.
const MAX_RULES: usize = 1000;

/// The keys of a map with rules.
const KEYS: [&str; 8] = [
    "doc", "names", "optional", "tables", "variants", "ignore", "reshape", "order",
];

/// The most variants of a map.
const MAX_VARIANTS: usize = 64;

/// A map from JSON.
pub(super) fn read(json: &Value) -> (Form, Diagnostics) {
    let mut problems = Diagnostics::new();
    let root = JsonPath::root();
    let empty = Map::new();
    let object = json.as_object().unwrap_or_else(|| {
        problems.push(Diagnostic::error(
            root.clone(),
            format!("a name map is an object, got {}", kind(json)),
        ));
        &empty
    });
    if !SECTIONS
        .iter()
        .any(|k| object.get(*k).is_some_and(Value::is_object))
    {
        let mut names = BTreeMap::new();
        for (name, value) in object {
            match value {
                Value::String(text) => {
                    names.insert(name.clone(), text.clone());
                }
                other => problems.push(
                    Diagnostic::error(root.key(name), format!("expected a name in the file, got {}", kind(other)))
                        .hint("a map is {our name: name in the file}, or has its rules under \"names\" and \"optional\""),
                ),
            }
        }
        return (Form::Plain(names), problems);
    }
    for key in object.keys().filter(|k| !KEYS.contains(&k.as_str())) {
        let problem = Diagnostic::error(root.key(key), format!("no key {key:?} in a name map"));
        problems.push(with_hint(problem, nearest(key, KEYS)));
    }
    let variants = read_variants(object, &mut problems);
    let any_order = match object.get("order") {
        None => false,
        Some(Value::String(s)) if s == "any" => true,
        Some(_) => {
            let message = "the one value of \"order\" is \"any\"; leave it out for growing numbers";
            problems.push(Diagnostic::error(root.key("order"), message));
            false
        }
    };
    if let Some(doc) = object.get("doc").filter(|d| !d.is_string()) {
        problems.push(Diagnostic::error(
            root.key("doc"),
            format!("expected a text, got {}", kind(doc)),
        ));
    }
    let mut texts = |key: &str| read_texts(object.get(key), &root.key(key), &mut problems);
    let (ignore, reshape) = (texts("ignore"), texts("reshape"));
    let rules = Rules {
        variants,
        ignore,
        reshape,
        any_order,
    };
    (Form::Rules(rules), problems)
}

/// The rules once for each of `variants`, whose tables stand in for those of the map, or once.
fn read_variants(object: &Map<String, Value>, problems: &mut Diagnostics) -> Vec<Variant> {
    let root = JsonPath::root();
    let common = read_tables(object.get("tables"), &root.key("tables"), problems);
    let at = root.key("variants");
    let mut all = Vec::new();
    match object.get("variants") {
        None => all.push(common),
        Some(Value::Array(items)) if (1..=MAX_VARIANTS).contains(&items.len()) => {
            for (i, item) in items.iter().enumerate() {
                let mut tables = common.clone();
                add_tables(Some(item), &at.index(i), &mut tables, problems);
                all.push(tables);
            }
        }
        Some(other) => {
            let message = format!(
                "expected a list of 1 to {MAX_VARIANTS} objects of tables, got {}",
                kind(other)
            );
            problems.push(Diagnostic::error(at, message));
        }
    }
    let mut variants = Vec::new();
    for tables in all {
        let mut found = Diagnostics::new();
        variants.push(read_rules(object, tables, &mut found));
        // what is wrong in all variants is told once
        let fresh: Vec<_> = found
            .into_iter()
            .filter(|d| !problems.iter().any(|p| p == d))
            .collect();
        fresh.into_iter().for_each(|d| problems.push(d));
    }
    variants
}

fn read_rules(
    object: &Map<String, Value>,
    mut tables: Tables,
    problems: &mut Diagnostics,
) -> Variant {
    let mut rules = Vec::new();
    for section in SECTIONS {
        let Some(value) = object.get(section) else {
            continue;
        };
        let at = JsonPath::root().key(section);
        let Some(members) = value.as_object() else {
            let message = format!("expected an object, got {}", kind(value));
            problems.push(Diagnostic::error(at, message));
            continue;
        };
        if members.len() > MAX_RULES {
            let message = format!("{} rules; at most {MAX_RULES}", members.len());
            problems.push(Diagnostic::error(at, message));
            continue;
        }
        for (key, value) in members {
            let path = at.key(key);
            match rule(path.clone(), key, value, section == "optional", &mut tables) {
                Ok(rule) => rules.push(rule),
                Err(why) => problems.push(Diagnostic::error(path, why)),
            }
        }
    }
    Variant { rules, tables }
}

fn rule(
    path: JsonPath,
    key: &str,
    value: &Value,
    optional: bool,
    tables: &mut Tables,
) -> Result<Rule, String> {
    let (pattern, slots) = Pattern::parse(key, tables)?;
    let texts = match value {
        Value::Array(items) if !items.is_empty() => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut templates = Vec::new();
    for text in texts {
        let Value::String(text) = text else {
            let got = kind(text);
            return Err(format!("expected a name in the file or several, got {got}"));
        };
        let template = Template::parse(text, &pattern, &slots, &mut tables.words)?;
        templates.push(template);
    }
    Ok(Rule {
        path,
        key: key.into(),
        pattern,
        templates,
        optional,
    })
}

fn read_texts(json: Option<&Value>, at: &JsonPath, problems: &mut Diagnostics) -> Vec<String> {
    let items = match json {
        None => return Vec::new(),
        Some(Value::Array(items)) => items.as_slice(),
        Some(other) => {
            problems.push(Diagnostic::error(
                at.clone(),
                format!("expected a list of texts, got {}", kind(other)),
            ));
            return Vec::new();
        }
    };
    let mut texts = Vec::new();
    for (i, item) in items.iter().enumerate() {
        match item {
            Value::String(text) => texts.push(text.clone()),
            other => problems.push(Diagnostic::error(
                at.index(i),
                format!("expected a text, got {}", kind(other)),
            )),
        }
    }
    texts
}

/// `{"cb": {"conv": 0, "bn": 1}, "kind": ["basic", "bottleneck"]}`: what a placeholder may stand for and becomes. A
/// list's words become themselves.
fn read_tables(json: Option<&Value>, at: &JsonPath, problems: &mut Diagnostics) -> Tables {
    let mut tables = Tables::default();
    add_tables(json, at, &mut tables, problems);
    tables
}

fn add_tables(
    json: Option<&Value>,
    at: &JsonPath,
    tables: &mut Tables,
    problems: &mut Diagnostics,
) {
    let members = match json {
        None => return,
        Some(Value::Object(members)) => members,
        Some(other) => {
            let message = format!("expected an object of tables, got {}", kind(other));
            problems.push(Diagnostic::error(at.clone(), message));
            return;
        }
    };
    for (name, value) in members {
        let at = at.key(name);
        let mut table = Vec::new();
        match value {
            Value::Array(_) => {
                for word in read_texts(Some(value), &at, problems) {
                    let value = Scalar::Word(tables.words.add(&word));
                    table.push((word.into_boxed_str(), value));
                }
            }
            Value::Object(words) => {
                for (word, becomes) in words {
                    let value = match becomes {
                        Value::String(text) => Scalar::Word(tables.words.add(text)),
                        other => match other.as_i64().filter(|n| *n >= 0) {
                            Some(number) => Scalar::Int(number),
                            None => {
                                let message = format!(
                                    "expected a text or a whole number from 0, got {}",
                                    kind(other)
                                );
                                problems.push(Diagnostic::error(at.key(word), message));
                                continue;
                            }
                        },
                    };
                    table.push((word.as_str().into(), value));
                }
            }
            other => {
                let message = format!("expected an object or a list of texts, got {}", kind(other));
                problems.push(Diagnostic::error(at.clone(), message));
                continue;
            }
        }
        if table.is_empty() || table.iter().any(|(word, _)| word.is_empty()) {
            problems.push(Diagnostic::error(
                at,
                "a table needs words, and none of them empty",
            ));
        }
        table.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        tables.by_name.insert(name.as_str().into(), table);
    }
}

fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
