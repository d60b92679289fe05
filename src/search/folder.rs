//! The folder of a run.
//!
//! | file | what |
//! |---|---|
//! | `run.json` | what was searched, how, and how it ended |
//! | `space.json` | the space, as it was read |
//! | `journal.jsonl` | every trial as it was judged |
//! | `known.jsonl` | what was carried over, where the run started from another ([`known`](super::known)) |
//! | `trials.parquet` | a row a trial, in the order of their numbers |
//! | `front.parquet` | the same columns: the front, best first objective first; where objectives are weighed, best score first |
//! | `evaluator.log`, `evaluator.json` | what an evaluator said on stderr, and its command |
//! | `front/001-trial-17.json` | the archs of the front; they stand alone |
//!
//! Each file but the journal is written beside and renamed. Trials, front and archs hold nothing of the moment: the same
//! search writes the same bytes.

use super::driver::{Run, Settings, space_fingerprint};
use super::journal::{self, Start};
use super::objective::Problem;
use super::outcome::Outcome;
use super::progress::Phase;
use super::sheet::Sheet;
use crate::base::diag::Diagnostics;
use crate::base::file::{FileError, sync_folder, write_atomically};
use crate::base::parts::Parts;
use crate::space::Space;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a table to a file: Parquet where the program has it, [`csv`] otherwise.
pub type WriteTable<'a> = &'a dyn Fn(&Parts<'_>, &Path) -> Result<(), FileError>;

/// Archs written at most: the front of a large run may have thousands.
pub const MAX_ARCHS: usize = 1000;

/// What can go wrong with the folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file or folder cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// A trial of the front does not bind.
    #[error("trial {trial} of the front cannot be written as an arch: {problems}")]
    Bind {
        /// The trial.
        trial: usize,
        /// Why.
        problems: Diagnostics,
    },
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    extension: &'static str,
}

/// Writes a table as CSV, for programs without Parquet.
///
/// # Errors
/// What the system says.
pub fn csv(table: &Parts<'_>, path: &Path) -> Result<(), FileError> {
    write_atomically(path, |out| table.write_csv(out))
}

impl Folder {
    /// The folder at `path`, made if it is not there. `extension` is that of the tables.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, extension: &'static str) -> Result<Self, FolderError> {
        fs::create_dir_all(path).map_err(|e| FileError::new("cannot make", path, e))?;
        Ok(Self {
            path: path.to_path_buf(),
            extension,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal, to be searched with.
    pub fn journal(&self) -> PathBuf {
        journal_of(&self.path)
    }

    /// What was carried over from another run, where this one started from it.
    pub fn known(&self) -> PathBuf {
        known_of(&self.path)
    }

    /// The table of all trials.
    pub fn trials(&self) -> PathBuf {
        self.path.join(format!("trials.{}", self.extension))
    }

    /// The table of the front.
    pub fn front(&self) -> PathBuf {
        self.path.join(format!("front.{}", self.extension))
    }

    /// Writes everything but the journal. Gives the paths of the archs, in the order of the front.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn write(
        &self,
        space: &Space,
        problem: &Problem,
        settings: &Settings,
        header: &Value,
        outcome: &Outcome,
        write_table: WriteTable<'_>,
    ) -> Result<Vec<PathBuf>, FolderError> {
        let text = |name: &str, text: &str| {
            let path = self.path.join(name);
            write_atomically(&path, |out| out.write_all(text.as_bytes()))
        };
        text("space.json", space.text())?;
        let sheet = Sheet::new(&outcome.trials, space, &outcome.metrics);
        write_table(&sheet.parts(None, "trials"), &self.trials())?;
        let front = sheet.parts(Some(&outcome.front), "front");
        write_table(&front, &self.front())?;
        let archs = self.archs(space, outcome)?;
        let run = summary(space, problem, settings, header, outcome);
        text("run.json", &format!("{run:#}\n"))?;
        Ok(archs)
    }

    /// Writes the archs into a new folder, which then takes the place of the old one.
    fn archs(&self, space: &Space, outcome: &Outcome) -> Result<Vec<PathBuf>, FolderError> {
        let (folder, part) = (self.path.join("front"), self.path.join("front.part"));
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |e: io::Error| FileError::new("cannot write", &path, e)
        };
        remove(&part).map_err(failed(&part))?;
        fs::create_dir(&part).map_err(failed(&part))?;
        let write = |(rank, &trial): (usize, &usize)| {
            let Some(assignment) = outcome.trials.assignment(trial) else {
                return Ok(None);
            };
            let arch = space
                .bind(&assignment)
                .map_err(|problems| FolderError::Bind { trial, problems })?;
            let name = format!("{:03}-trial-{trial}.json", rank + 1);
            let path = part.join(&name);
            let text = arch.to_text();
            fs::write(&path, text).map_err(failed(&path))?;
            Ok(Some(folder.join(name)))
        };
        let best = outcome.front.par_iter().take(MAX_ARCHS).enumerate();
        let written: Vec<Result<Option<PathBuf>, FolderError>> = best.map(write).collect();
        let paths: Vec<Option<PathBuf>> = written.into_iter().collect::<Result<_, _>>()?;
        let paths = paths.into_iter().flatten().collect();
        remove(&folder).map_err(failed(&folder))?;
        fs::rename(&part, &folder).map_err(failed(&folder))?;
        sync_folder(&folder).map_err(failed(&folder))?;
        Ok(paths)
    }
}

pub(super) fn journal_of(folder: &Path) -> PathBuf {
    folder.join("journal.jsonl")
}

pub(super) fn known_of(folder: &Path) -> PathBuf {
    folder.join("known.jsonl")
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What `run.json` says.
pub fn summary(
    space: &Space,
    problem: &Problem,
    settings: &Settings,
    header: &Value,
    outcome: &Outcome,
) -> Value {
    let tally = &outcome.tally;
    let turned_down: Vec<Value> = (problem.limits.iter().zip(&tally.turned_down))
        .map(|(limit, count)| json!({"limit": limit.to_string(), "turned_down": count}))
        .collect();
    let missing: serde_json::Map<String, Value> = (outcome.metrics.iter().zip(&tally.missing))
        .filter(|(_, count)| **count > 0)
        .map(|(metric, count)| (metric.to_string(), (*count).into()))
        .collect();
    let weights: serde_json::Map<String, Value> = (problem.objectives.iter().zip(&problem.weights))
        .map(|(objective, weight)| (objective.metric.to_string(), (*weight).into()))
        .collect();
    json!({
        "format": "blocksmith-run/1",
        "name": space.name(),
        "space": space_fingerprint(space).to_string(),
        "budget": settings.trials(),
        "journal_format": journal::FORMAT,
        "run": header,
        "stop": outcome.stop.name(),
        "trials": outcome.trials.len(),
        "feasible": tally.feasible,
        "front": outcome.front.len(),
        "hypervolume": outcome.hypervolume,
        "weights": weights,
        "limits": turned_down,
        "missing": missing,
        "copies": tally.copies,
        "unasked": tally.unasked,
        "unbuildable": tally.unbuildable,
        "unbuildable_example": tally.unbuildable_example,
        "failed": tally.failed,
        "expected_gain_left": outcome.gain_left,
        "evaluator": outcome.evaluator,
    })
}

/// Searches in a folder: the journal, then all other files, also where the search was interrupted.
///
/// # Errors
/// Of the search, or of the files.
pub fn search(
    folder: &Folder,
    start: Start,
    run: Run<'_>,
    write_table: WriteTable<'_>,
) -> Result<(Outcome, Vec<PathBuf>), RunError> {
    let (space, problem, settings) = (run.costs.space(), run.problem, run.settings);
    let (header, watch) = (run.header(), run.watch);
    // the lock is held until all files are written: two that write tables here would mix theirs
    let (outcome, _held) = run.search_holding(Some((&folder.journal(), start)))?;
    watch.phase(Phase::Writing);
    let archs = folder.write(space, problem, &settings, &header, &outcome, write_table)?;
    Ok((outcome, archs))
}

/// What can keep a run from its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The search.
    #[error("{0}")]
    Search(#[from] super::driver::SearchError),
    /// Its files.
    #[error("{0}")]
    Folder(#[from] FolderError),
}
