//! The shipped networks.

use super::item;
use crate::measure::Item;
use serde_json::Value;

/// A network of `search_spaces/reference/index.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Where it is published.
    pub source: String,
    /// Its name there.
    pub name: String,
    /// The file beside the index.
    pub file: String,
    /// Its decisions.
    pub set: Value,
}

/// The networks of an index.
///
/// # Errors
/// What is wrong with it, in words.
pub fn listed(text: &str) -> Result<Vec<Listed>, String> {
    let list: Vec<Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let one = |v: &Value| {
        let text = |key: &str| v.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Listed {
            source: text("source")?,
            name: text("name")?,
            file: text("file")?,
            set: v
                .get("set")
                .cloned()
                .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        })
    };
    let all: Option<Vec<Listed>> = list.iter().map(one).collect();
    all.ok_or_else(|| "each network needs source, name and file".to_owned())
}

/// These networks, as files of `folder`. A family is a file: variants of one network are not held out apart.
pub fn reference(folder: &str, networks: &[Listed]) -> Vec<Item> {
    let one = |n: &Listed| {
        let family = n.file.trim_end_matches(".json");
        item(
            "reference",
            folder,
            &n.file,
            family,
            n.name.clone(),
            n.set.clone(),
        )
    };
    networks.iter().map(one).collect()
}
