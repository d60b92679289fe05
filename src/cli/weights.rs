//! Weights and name maps as the command line takes them.

use super::failure::{Failure, Result};
use super::files::read_text;
use crate::base::diag::{Diagnostic, Diagnostics};
use crate::base::path::JsonPath;
use crate::ir::Graph;
use crate::weights::{Fit, FitError, Header, MOST_TOLD, NameMap, check};
use std::path::{Path, PathBuf};

/// `maps/SOURCE/` beside a document: a map for each source that its weights may come from.
fn shipped(file: &Path) -> Vec<String> {
    let Some((folder, name)) = file.parent().zip(file.file_name()) else {
        return Vec::new();
    };
    let sources = std::fs::read_dir(folder.join("maps"));
    let mut names: Vec<String> = (sources.into_iter().flatten().flatten())
        .filter(|source| source.path().join(name).is_file())
        .filter_map(|source| source.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The map that `--map` names: a file, or `maps/NAME/` beside the document, where a file of the document's own name is.
fn map_path(file: &Path, map: &str) -> Result<PathBuf> {
    let path = Path::new(map);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let shipped = shipped(file);
    match (
        shipped.iter().any(|s| s == map),
        file.parent().zip(file.file_name()),
    ) {
        (true, Some((folder, name))) => Ok(folder.join("maps").join(map).join(name)),
        _ if path.components().count() > 1 || path.extension().is_some() => Ok(path.to_owned()),
        _ => {
            let there = match shipped.as_slice() {
                [] => "there are none for it".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            let file = file.display();
            Err(Failure::Usage(format!(
                "--map {map} is neither a file nor a map shipped with {file}; {there}"
            )))
        }
    }
}

/// The map of `--map`, if there is one, and the file it came from.
pub fn read_map(file: &Path, map: Option<&str>) -> Result<Option<(String, NameMap)>> {
    let Some(map) = map else { return Ok(None) };
    let path = map_path(file, map)?;
    let shown = path.display().to_string();
    match NameMap::parse(&read_text(&path)?) {
        Ok(map) => Ok(Some((shown, map))),
        Err(problems) => Err(Failure::invalid(&shown, problems)),
    }
}

/// Whether the weights fit the net, names and shapes alone; the numbers are not read.
pub fn fit(
    graph: &Graph,
    file: &Path,
    weights: &Path,
    map: Option<&(String, NameMap)>,
) -> Result<(Header, Fit)> {
    let header = Header::read(weights).map_err(|e| match e.is_system() {
        true => Failure::Other(e.into()),
        false => Failure::Input(e.into()),
    })?;
    let params = graph.parameters();
    let problems = match check(&params, &header, map.map(|m| &m.1)) {
        Ok(fit) => return Ok((header, fit)),
        Err(FitError::Map(problems)) => {
            let file = map.map_or("", |m| &m.0);
            return Err(Failure::invalid(file, problems));
        }
        Err(FitError::File(problems)) => problems,
    };
    let first = problems.first().map(ToString::to_string);
    let message = format!(
        "the weights do not fit the net: {}",
        first.unwrap_or_default()
    );
    let mut problem = Diagnostic::error(JsonPath::root(), message);
    if problems.len() > 1 {
        problem = problem.note(format!("{} problems in all; the others:", problems.len()));
    }
    for other in problems.iter().skip(1).take(MOST_TOLD - 1) {
        problem = problem.note(other.to_string());
    }
    if let Some(more) = problems.len().checked_sub(MOST_TOLD).filter(|n| *n > 0) {
        problem = problem.note(format!("and {more} more"));
    }
    let shipped = shipped(file);
    if map.is_none() && !shipped.is_empty() {
        let options: Vec<String> = shipped.iter().map(|s| format!("--map {s}")).collect();
        problem = problem.hint(format!("weights of other packages: {}", options.join(", ")));
    }
    let shown = weights.display().to_string();
    Err(Failure::invalid(&shown, Diagnostics::from(problem)))
}
