//! Reads documents, with `--set` applied.

use super::failure::{Failure, Result};
use crate::base::diag::Diagnostic;
use crate::base::diag::nearest;
use crate::base::path::JsonPath;
use crate::blocks::{Names, Program};
use crate::device::{BUILT_IN, DeviceErrorKind, DeviceModel};
use crate::ir::Graph;
use crate::space::{Assignment, Space};
use anyhow::Context;
use std::io::ErrorKind;
use std::path::Path;

/// A document that was read, parsed and compiled.
pub struct Loaded {
    /// The file, as the user wrote it.
    pub file: String,
    /// The document.
    pub space: Space,
    /// Its compiled form.
    pub program: Program,
}

/// The text of a document. Bytes that are no UTF-8 are a problem of the document, not of the file system.
pub fn read_text(path: &Path) -> Result<String> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let problem = Diagnostic::error(
            JsonPath::root(),
            format!("not UTF-8: the byte at offset {at} is part of no character"),
        );
        Failure::invalid(&file, problem.into())
    })
}

/// Reads a document and fixes the decisions that `sets` names (`NAME=VALUE`).
pub fn load(path: &Path, sets: &[String]) -> Result<Loaded> {
    read(path)?.fix(&pairs(sets)?)
}

/// Reads a document.
pub fn read(path: &Path) -> Result<Loaded> {
    let file = path.display().to_string();
    let text = read_text(path)?;
    let (space, program) = crate::blocks::load(&text).map_err(|d| Failure::invalid(&file, d))?;
    Ok(Loaded {
        file,
        space,
        program,
    })
}

/// Names and values of `NAME=VALUE`.
pub fn pairs<'a>(sets: &'a [String]) -> Result<Vec<(&'a str, &'a str)>> {
    let pair = |set: &'a String| match set.split_once('=') {
        Some((name, value)) => Ok((name.trim(), value.trim())),
        None => Err(Failure::Usage(format!("--set {set}: expected NAME=VALUE"))),
    };
    let pairs: Vec<_> = sets.iter().map(pair).collect::<Result<_>>()?;
    for (i, (name, _)) in pairs.iter().enumerate() {
        if pairs.iter().take(i).any(|(earlier, _)| earlier == name) {
            return Err(Failure::Usage(format!("--set {name} is given twice")));
        }
    }
    Ok(pairs)
}

impl Loaded {
    /// The same with some decisions fixed.
    pub fn fix(self, pairs: &[(&str, &str)]) -> Result<Self> {
        if pairs.is_empty() {
            return Ok(self);
        }
        let problems = |d| Failure::invalid(&self.file, d);
        let space = self.space.fix(pairs).map_err(problems)?;
        let program = Program::compile(&space).map_err(problems)?;
        Ok(Self {
            space,
            program,
            ..self
        })
    }
}

/// As [`load`], and refuses what still has decisions. The graph has names.
pub fn load_net(path: &Path, sets: &[String]) -> Result<(Loaded, Graph)> {
    let loaded = load(path, sets)?;
    let assignment = the_only(&loaded.file, &loaded.space)?.ok_or_else(|| none(&loaded.file))?;
    let graph = lower(&loaded, &assignment)?;
    Ok((loaded, graph))
}

/// A network of a document; the graph has names.
pub fn lower(loaded: &Loaded, assignment: &Assignment) -> Result<Graph> {
    let invalid = |d| Failure::invalid(&loaded.file, loaded.space.locate(d));
    loaded.program.lower(assignment, Names::On).map_err(invalid)
}

/// No network meets the constraints of a document.
pub fn none(file: &str) -> Failure {
    Failure::Infeasible(format!("{file}: the constraints turn down every network"))
}

/// The only assignment of a space; `None` where the constraints turn it down.
pub fn the_only(file: &str, space: &Space) -> Result<Option<Assignment>> {
    let mut assignments = space.assignments();
    let Some(assignment) = assignments.next() else {
        return Ok(None);
    };
    if assignments.next().is_none() {
        return Ok(Some(assignment));
    }
    let decisions = space.decisions();
    let open = assignment
        .active()
        .filter_map(|(id, _)| decisions.get(id.0 as usize));
    let open: Vec<&str> = open
        .filter(|d| d.fixed().is_none() && d.count() > 1)
        .map(|d| d.id())
        .collect();
    let names = open.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    let more = if open.len() > 8 { ", ..." } else { "" };
    let are = if open.len() == 1 {
        "decision is"
    } else {
        "decisions are"
    };
    let problem = Diagnostic::error(
        JsonPath::root(),
        format!(
            "a single network is needed, but {} {are} open: {names}{more}",
            open.len()
        ),
    )
    .hint(match open.as_slice() {
        [one] => format!(
            "fix it with --set NAME=VALUE, or see its values side by side with `blocksmith show {file} --compare {one}`"
        ),
        _ => "fix them with --set NAME=VALUE, or draw networks with `blocksmith sample`".to_owned(),
    });
    Err(Failure::invalid(file, space.locate(problem.into())))
}

/// A Parquet or CSV file; a note names the columns that are of types which tables do not know.
#[cfg(feature = "analysis")]
pub fn read_table(path: &Path, out: &super::out::Out) -> Result<crate::base::table::Table> {
    let table = crate::analysis::parquet::read(path)?;
    let names = table.left_out().iter();
    let names: Vec<String> = names
        .map(|(name, kind)| format!("\"{name}\" ({kind})"))
        .collect();
    if !names.is_empty() {
        out.note(&format!(
            "note: {}: left out, for tables know text, numbers and booleans: {}",
            path.display(),
            names.join(", ")
        ));
    }
    Ok(table)
}

/// The device of that name, or of that profile file.
pub fn device(name: &str) -> Result<DeviceModel> {
    DeviceModel::find(name).map_err(|error| match error.kind {
        DeviceErrorKind::Unknown { .. } => {
            let hint = match alike(name).as_slice() {
                [] => "`blocksmith devices` lists what there is".to_owned(),
                [one] => format!("did you mean \"{one}\"?"),
                several => format!("did you mean one of {}?", several.join(", ")),
            };
            Failure::Usage(format!(
                "\"{name}\" is neither a shipped profile nor a file; {hint}"
            ))
        }
        // bytes that are no text
        DeviceErrorKind::Read { error: ref e, .. } if e.kind() == ErrorKind::InvalidData => {
            Failure::Input(error.into())
        }
        DeviceErrorKind::Read { .. } => Failure::Other(error.into()),
        _ => Failure::Input(error.into()),
    })
}

/// Shipped profiles that a name may be meant for: that of the same letters, those that it begins, else the nearest.
fn alike(name: &str) -> Vec<&'static str> {
    let name = name.to_lowercase();
    let shipped = || BUILT_IN.iter().map(|b| b.name);
    if let Some(same) = shipped().find(|known| *known == name) {
        return vec![same];
    }
    let begun = shipped().filter(|known| name.len() > 1 && known.starts_with(&name));
    let begun: Vec<_> = begun.collect();
    match begun.is_empty() {
        true => nearest(&name, shipped()).into_iter().collect(),
        false => begun,
    }
}
