//! Weights files and name maps, without libtorch: what `check --weights` rests on.

mod files;
mod maps;

use crate::spaces::{load, root};
use blocksmith::blocks::{Names, Program};
use blocksmith::ir::Graph;
use blocksmith::space::Space;
use blocksmith::weights::NameMap;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A safetensors file of these tensors whose numbers are a hole in the file: any size costs no disk.
pub fn hollow<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a str, Vec<u64>)>) {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, dtype, shape) in tensors {
        let bytes = match dtype {
            "F64" | "I64" => 8,
            "F32" => 4,
            _ => 2,
        };
        let from = end;
        end += shape.iter().product::<u64>() * bytes;
        let entry =
            serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [from, end]});
        assert!(header.insert(name.to_owned(), entry).is_none());
    }
    let text = Value::Object(header).to_string();
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    std::fs::write(path, &bytes).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(bytes.len() as u64 + end).unwrap();
}

/// A published network that has a shipped map.
pub struct Listed {
    pub source: String,
    pub name: String,
    pub map: PathBuf,
    pub graph: Graph,
}

/// Packages whose state dicts the shipped maps take.
pub const SOURCES: [&str; 3] = ["torchvision", "timm", "pytorchcv"];

pub fn read_map(path: &Path) -> NameMap {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    NameMap::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All networks of the index that come from one of the sources.
pub fn listed() -> Vec<Listed> {
    let folder = root().join("search_spaces/reference");
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let index: Vec<Value> = serde_json::from_str(&index).unwrap();
    let mut spaces: BTreeMap<String, (Space, Program)> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in index {
        let text = |key: &str| entry[key].as_str().unwrap().to_owned();
        let (source, file) = (text("source"), text("file"));
        if !SOURCES.contains(&source.as_str()) {
            continue;
        }
        let loaded = spaces.entry(file.clone());
        let (space, program) = loaded.or_insert_with(|| load(&folder.join(&file)));
        let assignment = space.assignment_from_json(&entry["set"]).unwrap();
        found.push(Listed {
            map: folder.join("maps").join(&source).join(&file),
            source,
            name: text("name"),
            graph: program.lower(&assignment, Names::On).unwrap(),
        });
    }
    found
}
