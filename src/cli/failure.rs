//! How a command ends.

use super::out::Out;
use crate::base::diag::{Diagnostic, Diagnostics, Severity};
use crate::base::file::FileError;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit codes. Scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// Something failed: a file, a device, a library.
    Failure = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// The input does not make sense; diagnostics say where and why.
    Invalid = 3,
    /// No network in the space meets the limits.
    Infeasible = 4,
    /// Interrupted; the same command with `--resume` goes on.
    Interrupted = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not end well.
#[derive(Debug)]
pub enum Failure {
    /// Documents with problems: file and what is wrong with it.
    Invalid(Vec<(String, Diagnostics)>),
    /// Input that is no document of ours (a table, a weights file) and does not make sense.
    Input(anyhow::Error),
    /// Options that contradict each other.
    Usage(String),
    /// Nothing meets the limits; the text says which limit turned down how many.
    Infeasible(String),
    /// Stopped by the user; the text says how to go on.
    Interrupted(String),
    /// Anything else.
    Other(anyhow::Error),
}

/// What a command returns.
pub type Result<T = Exit> = std::result::Result<T, Failure>;

impl Failure {
    /// One document with problems.
    pub fn invalid(file: &str, problems: Diagnostics) -> Self {
        Failure::Invalid(vec![(file.to_owned(), problems)])
    }

    fn exit(&self) -> Exit {
        match self {
            Failure::Invalid(_) | Failure::Input(_) => Exit::Invalid,
            Failure::Usage(_) => Exit::Usage,
            Failure::Infeasible(_) => Exit::Infeasible,
            Failure::Interrupted(_) => Exit::Interrupted,
            // a table that is no table is input that makes no sense
            Failure::Other(error) if damaged(error) => Exit::Invalid,
            Failure::Other(_) => Exit::Failure,
        }
    }

    /// Tells the user, and says how to exit. A closed stdout is the reader's good right.
    pub fn report(&self, out: &mut Out) -> Exit {
        if let Failure::Other(error) = self {
            let closed = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
            if error.chain().filter_map(|c| c.downcast_ref()).any(closed) {
                return Exit::Ok;
            }
        }
        let exit = self.exit();
        if out.is_json() {
            let mut document = json!({"error": {"exit": exit as u8, "message": self.message()}});
            if let Failure::Invalid(files) = self {
                document["error"]["files"] = files.iter().map(|(f, d)| file_json(f, d)).collect();
            }
            let _ = out.json(&document);
        }
        out.error(&self.text());
        exit
    }

    /// What the user is told.
    pub fn text(&self) -> String {
        match self {
            Failure::Invalid(files) => {
                let texts: Vec<String> =
                    files.iter().map(|(file, d)| d.render(Some(file))).collect();
                texts.join("\n\n")
            }
            Failure::Interrupted(text) => text.clone(),
            _ => format!("error: {}", self.message()),
        }
    }

    /// What it is in JSON, where `files` has the details of documents.
    pub fn message(&self) -> String {
        match self {
            Failure::Invalid(files) => {
                let problems = || files.iter().flat_map(|(_, d)| d.iter());
                let first = problems().next();
                let first = first.map_or("invalid input", |d| d.message.as_str());
                match problems().count() {
                    0 | 1 => first.to_owned(),
                    n => format!("{first} (and {} more)", n - 1),
                }
            }
            Failure::Input(error) | Failure::Other(error) => chain(error),
            Failure::Usage(text) | Failure::Infeasible(text) | Failure::Interrupted(text) => {
                // diagnostics that were rendered say so themselves
                text.strip_prefix("error: ").unwrap_or(text).to_owned()
            }
        }
    }
}

fn damaged(error: &anyhow::Error) -> bool {
    let mut files = error.chain().filter_map(|c| c.downcast_ref::<FileError>());
    files.any(FileError::is_damaged)
}

/// An error and its causes, without causes that have been told already.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Diagnostics of one file as JSON.
pub fn file_json(file: &str, problems: &Diagnostics) -> Value {
    let items: Vec<Value> = problems.iter().map(diagnostic_json).collect();
    json!({"file": file, "ok": !problems.has_errors(), "diagnostics": items})
}

fn diagnostic_json(d: &Diagnostic) -> Value {
    let related: Vec<Value> = d
        .related
        .iter()
        .map(|(path, label)| json!({"path": path.to_string(), "label": label}))
        .collect();
    let fits: Vec<Value> = d
        .fits
        .iter()
        .map(|change| {
            change
                .iter()
                .map(|f| (f.at.clone(), f.value.clone()))
                .collect()
        })
        .collect();
    json!({
        "severity": match d.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "path": d.path.to_string(),
        "line": d.location.map(|l| l.line),
        "column": d.location.map(|l| l.column),
        "message": d.message,
        "notes": d.notes,
        "related": related,
        "hints": d.hints,
        "fits": fits,
    })
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Other(error.into())
    }
}
