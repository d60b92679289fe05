//! Reads documents, with `--set` applied.

use super::failure::{Failure, Result};
use crate::base::diag::nearest;
use crate::base::diag::{Diagnostic, Diagnostics};
use crate::base::path::JsonPath;
use crate::blocks::{Names, Program};
use crate::device::{BUILT_IN, DeviceErrorKind, DeviceModel};
use crate::ir::Graph;
use crate::space::Space;
use anyhow::Context;
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
    let file = path.display().to_string();
    let text = read_text(path)?;
    let problems = |d: Diagnostics| Failure::invalid(&file, d);
    let (space, program) = crate::blocks::load(&text).map_err(problems)?;
    if sets.is_empty() {
        return Ok(Loaded {
            file,
            space,
            program,
        });
    }
    let mut pairs = Vec::new();
    for set in sets {
        let (name, value) = set
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--set {set}: expected NAME=VALUE")))?;
        pairs.push((name.trim(), value.trim()));
    }
    let space = space.fix(&pairs).map_err(problems)?;
    let program = Program::compile(&space).map_err(problems)?;
    Ok(Loaded {
        file,
        space,
        program,
    })
}

/// As [`load`], and refuses what still has decisions. The graph has names.
pub fn load_net(path: &Path, sets: &[String]) -> Result<(Loaded, Graph)> {
    let loaded = load(path, sets)?;
    let invalid = |d| Failure::invalid(&loaded.file, loaded.space.locate(d));
    let mut assignments = loaded.space.assignments();
    let Some(assignment) = assignments.next() else {
        return Err(Failure::Infeasible(format!(
            "{}: the constraints turn down every network",
            loaded.file
        )));
    };
    if assignments.next().is_none() {
        let graph = loaded
            .program
            .lower(&assignment, Names::On)
            .map_err(invalid)?;
        return Ok((loaded, graph));
    }
    let decisions = loaded.space.decisions();
    let open = assignment
        .active()
        .filter_map(|(id, _)| decisions.get(id.0 as usize));
    let open: Vec<&str> = open
        .filter(|d| d.fixed().is_none() && d.count() > 1)
        .map(|d| d.id())
        .collect();
    let names = open.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    let more = if open.len() > 8 { ", ..." } else { "" };
    let problem = Diagnostic::error(
        JsonPath::root(),
        format!(
            "a single network is needed, but {} decisions are open: {names}{more}",
            open.len()
        ),
    )
    .hint("fix them with --set NAME=VALUE, or draw networks with `blocksmith sample`");
    Err(invalid(problem.into()))
}

/// The device of that name, or of that profile file.
pub fn device(name: &str) -> Result<DeviceModel> {
    DeviceModel::find(name).map_err(|error| match error.kind {
        DeviceErrorKind::Unknown { .. } => {
            let hint = nearest(name, BUILT_IN.iter().map(|b| b.name));
            let hint = hint.map_or_else(
                || "`blocksmith devices` lists what there is".to_owned(),
                |h| format!("did you mean \"{h}\"?"),
            );
            Failure::Usage(format!(
                "\"{name}\" is neither a shipped profile nor a file; {hint}"
            ))
        }
        DeviceErrorKind::Read { .. } => Failure::Other(error.into()),
        _ => Failure::Input(error.into()),
    })
}
