//! The nets that a command line asks for.

use super::Args;
use crate::blocks::Names;
use crate::cli::documents::Documents;
use crate::cli::draws::distinct;
use crate::cli::failure::{Failure, Result};
use crate::cli::files::{Loaded, load, read_text, the_only};
use crate::cli::out::Out;
use crate::cost::Counts;
use crate::ir::Graph;
use crate::measure::{Item, suite};
use crate::space::Assignment;
use anyhow::anyhow;
use std::collections::HashSet;
use std::path::Path;

/// The graph of an item, with names.
pub fn graph(item: &Item, documents: &mut Documents) -> Result<Graph> {
    let file = item.arch.as_deref().or(item.space.as_deref());
    let file = file.ok_or_else(|| Failure::Other(anyhow!("a net without a file")))?;
    let Loaded { space, program, .. } = documents.get(file)?;
    let invalid = |d| Failure::invalid(&format!("{file}, {}", item.name), d);
    let assignment = match &item.choices {
        None => Assignment::empty(),
        Some(text) => {
            let json = serde_json::from_str(text)?;
            space.assignment_from_json(&json).map_err(invalid)?
        }
    };
    program.lower(&assignment, Names::On).map_err(invalid)
}

/// All nets, in the order of the command line.
pub fn items(args: &Args, documents: &mut Documents, out: &Out) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for file in &args.files {
        items.push(one(file, &args.sets)?);
    }
    for space in &args.space {
        items.extend(samples(space, args, out)?);
    }
    for name in &args.suite {
        let folder = |inner: &str| args.spaces.join(inner).display().to_string();
        match name.as_str() {
            "ops" => items.extend(suite::ops(&folder("ops"), args.ops_count, args.seed)),
            "guidelines" => items.extend(suite::guidelines(&folder("guidelines"))),
            _ => items.extend(reference(&folder("reference"), args, documents)?),
        }
    }
    match items.is_empty() {
        true => Err(Failure::Usage(
            "nothing to measure: give files, --space or --suite".to_owned(),
        )),
        false => Ok(items),
    }
}

/// A file, by its path alone where it has no decisions.
fn one(path: &Path, sets: &[String]) -> Result<Item> {
    let loaded = load(path, sets)?;
    let assignment = the_only(&loaded.file, &loaded.space)?
        .ok_or_else(|| crate::cli::files::none(&loaded.file))?;
    let name = loaded.space.name().to_owned();
    let family = Some(family(&loaded.file));
    let file = Some(loaded.file.clone());
    Ok(match loaded.space.decisions().is_empty() {
        true => Item {
            name,
            arch: file,
            family,
            ..Item::default()
        },
        false => {
            let choices = loaded.space.assignment_to_json(&assignment).to_string();
            Item {
                name,
                space: file,
                choices: Some(choices),
                family,
                ..Item::default()
            }
        }
    })
}

fn family(file: &str) -> String {
    let stem = Path::new(file).file_stem();
    stem.map_or_else(|| file.to_owned(), |s| s.to_string_lossy().into_owned())
}

/// The networks that `sample` writes for the same seed.
fn samples(path: &Path, args: &Args, out: &Out) -> Result<Vec<Item>> {
    let loaded = load(path, &args.sets)?;
    let mut items = Vec::new();
    distinct(&loaded, args.count, args.seed, out, |assignment, _| {
        items.push(Item {
            name: format!("{} {}", loaded.space.name(), items.len()),
            space: Some(loaded.file.clone()),
            choices: Some(loaded.space.assignment_to_json(assignment).to_string()),
            family: Some(family(&loaded.file)),
            ..Item::default()
        });
        Ok(())
    })?;
    Ok(items)
}

/// Shipped networks up to a size, each once however many sources list it.
fn reference(folder: &str, args: &Args, documents: &mut Documents) -> Result<Vec<Item>> {
    let index = Path::new(folder).join("index.json");
    let text = read_text(&index)?;
    let listed = suite::listed(&text)
        .map_err(|why| Failure::Input(anyhow!("{}: {why}", index.display())))?;
    let mut items = suite::reference(folder, &listed);
    let mut seen = HashSet::new();
    let mut problem = None;
    items.retain(|item| {
        let mut small_and_new = || -> Result<bool> {
            let graph = graph(item, documents)?;
            let macs = Counts::of(&graph)?.totals.macs;
            let small = macs as f64 <= args.max_gmacs * 1e9;
            Ok(small && seen.insert(graph.fingerprint()))
        };
        small_and_new().unwrap_or_else(|failure| {
            problem.get_or_insert(failure);
            false
        })
    });
    match problem {
        Some(failure) => Err(failure),
        None => Ok(items),
    }
}
