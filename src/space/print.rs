//! Documents as text that people like to read, and their fingerprints.

use super::Space;
use crate::base::hash::{Fingerprint, Hasher};
use serde_json::Value;

/// Longer lines are broken.
const WIDTH: usize = 110;

/// JSON with two spaces a level, in which objects and lists that fit stand on one line. Ends with a line end.
///
/// ```
/// let text = blocksmith::space::pretty(&serde_json::json!({"input": [3, 224, 224], "net": [{"op": "relu"}]}));
/// assert_eq!(text, "{\n  \"input\": [3, 224, 224],\n  \"net\": [{\"op\": \"relu\"}]\n}\n");
/// ```
pub fn pretty(document: &Value) -> String {
    let mut out = String::new();
    write(document, 0, 0, true, &mut out);
    out.push('\n');
    out
}

/// Writes a value that starts `used` characters into its line.
fn write(value: &Value, indent: usize, used: usize, broken: bool, out: &mut String) {
    let before = out.len();
    if !broken && flat(value, WIDTH.saturating_sub(used), out) {
        return;
    }
    out.truncate(before);
    let inner = indent + 2;
    let line = |first: bool, out: &mut String| {
        out.push_str(if first { "\n" } else { ",\n" });
        out.extend(std::iter::repeat_n(' ', inner));
    };
    match value {
        Value::Object(object) if !object.is_empty() => {
            out.push('{');
            for (k, (key, value)) in object.iter().enumerate() {
                line(k == 0, out);
                let start = out.len();
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                // One more character for the comma.
                let used = inner + (out.len() - start) + 1;
                write(value, inner, used, false, out);
            }
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            out.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (k, value) in items.iter().enumerate() {
                line(k == 0, out);
                write(value, inner, inner + 1, false, out);
            }
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Writes a value on one line; false, with some of it written, where it is longer than `room`.
fn flat(value: &Value, room: usize, out: &mut String) -> bool {
    let end = out.len() + room;
    match value {
        Value::Object(object) => {
            out.push('{');
            for (k, (key, value)) in object.iter().enumerate() {
                out.push_str(if k == 0 { "" } else { ", " });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                if out.len() > end || !flat(value, end - out.len(), out) {
                    return false;
                }
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (k, value) in items.iter().enumerate() {
                out.push_str(if k == 0 { "" } else { ", " });
                if out.len() > end || !flat(value, end - out.len(), out) {
                    return false;
                }
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
    out.len() <= end
}

impl Space {
    /// The document as text.
    pub fn to_text(&self) -> String {
        pretty(&self.json)
    }

    /// The identity of the document: not of its spaces and line ends, nor of `doc`, `comment` and `$schema`; of the
    /// order of keys, for decisions are numbered by it; and of what has been fixed.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Hasher::new();
        hasher.text("space");
        feed(&self.json, None, &mut hasher);
        for (d, decision) in self.decisions.iter().enumerate() {
            if let Some(fixed) = decision.fixed {
                hasher.u64(d as u64);
                hasher.u64(u64::from(fixed));
            }
        }
        hasher.finish()
    }
}

/// Feeds a value; `key` is the one it stands under. Depth is bounded by the reader.
fn feed(value: &Value, key: Option<&str>, hasher: &mut Hasher) {
    match value {
        Value::Object(object) => {
            let named = matches!(
                key,
                Some("vars" | "budgets" | "params" | "blocks" | "input")
            );
            let said = |key: &str, value: &Value| {
                named || !(value.is_string() && matches!(key, "doc" | "comment" | "$schema"))
            };
            let members: Vec<_> = object.iter().filter(|(k, v)| said(k, v)).collect();
            hasher.text("{");
            hasher.u64(members.len() as u64);
            for (key, value) in members {
                hasher.text(key);
                feed(value, Some(key), hasher);
            }
        }
        Value::Array(items) => {
            hasher.text("[");
            hasher.u64(items.len() as u64);
            items.iter().for_each(|item| feed(item, None, hasher));
        }
        other => hasher.text(&other.to_string()),
    }
}
