//! Suites: lists of nets that are worth measuring together. The nets themselves are spaces under `search_spaces/`.

mod guidelines;
mod ops;
mod reference;

pub use guidelines::{GUIDELINES, Guideline, Line, guidelines};
pub use ops::ops;
pub use reference::{Listed, listed, reference};

use super::session::Item;
use serde_json::Value;

/// A net of a space by its decisions.
fn item(suite: &str, folder: &str, file: &str, family: &str, name: String, choices: Value) -> Item {
    Item {
        name,
        arch: None,
        space: Some(match folder.is_empty() {
            true => file.to_owned(),
            false => format!("{}/{file}", folder.trim_end_matches('/')),
        }),
        choices: Some(choices.to_string()),
        suite: Some(suite.to_owned()),
        family: Some(family.to_owned()),
    }
}
