//! Documents by path.

use super::failure::Result;
use super::files::{Loaded, read};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

/// Documents that rows or items name again and again, each read once.
#[derive(Default)]
pub struct Documents(HashMap<String, Loaded>);

impl Documents {
    /// The document in a file.
    pub fn get(&mut self, file: &str) -> Result<&Loaded> {
        match self.0.entry(file.to_owned()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(read(Path::new(file))?)),
        }
    }
}
