//! Whether a file holds what a net needs.

use super::header::Header;
use super::map::{NameMap, Names};
use crate::base::diag::{Diagnostics, nearest};
use crate::ir::params::{Param, Role};
use std::collections::HashSet;
use std::fmt;

/// The most problems that are told one by one, and get a hint.
pub const MOST_TOLD: usize = 20;

/// Where one parameter comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in the file.
    pub in_file: String,
    /// True where axes of size 1 stand elsewhere in the file.
    pub reshape: bool,
}

/// A file that fits a net.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// For each parameter, in the order of the net.
    pub sources: Vec<Source>,
    /// Tensors of the file that are of no concern.
    pub ignored: usize,
}

/// Why a file does not fit.
#[derive(Clone, Debug)]
pub enum FitError {
    /// The map does not fit the net.
    Map(Diagnostics),
    /// The file does not: parameters in execution order, then what the file has too many.
    File(Vec<Problem>),
}

/// One tensor that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Problem {
    /// The file lacks it.
    Missing {
        /// Our name.
        name: String,
        /// Its name in the file.
        in_file: String,
        /// A tensor of the file that nothing takes and whose name is near.
        near: Option<String>,
    },
    /// The net has no such tensor.
    Surplus {
        /// Its name in the file.
        in_file: String,
    },
    /// Of another shape.
    Shape {
        /// Our name.
        name: String,
        /// Its name in the file.
        in_file: String,
        /// What the net needs.
        expected: Vec<u64>,
        /// What the file has.
        got: Vec<u64>,
    },
    /// Another kind of numbers.
    Kind {
        /// Our name.
        name: String,
        /// Its name in the file.
        in_file: String,
        /// What it must hold.
        expected: &'static str,
        /// What it holds.
        got: String,
    },
}

impl Problem {
    /// Our name of the tensor, or the file's where we have none.
    pub fn name(&self) -> &str {
        match self {
            Problem::Missing { name, .. }
            | Problem::Shape { name, .. }
            | Problem::Kind { name, .. } => name,
            Problem::Surplus { in_file } => in_file,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let also = |name: &str, in_file: &str| match name == in_file {
            true => String::new(),
            false => format!(" (in the file {in_file:?})"),
        };
        match self {
            Problem::Missing {
                name,
                in_file,
                near,
            } => {
                write!(f, "missing {name:?}{}", also(name, in_file))?;
                match near {
                    Some(near) => write!(f, "; the file has {near:?}"),
                    None => Ok(()),
                }
            }
            Problem::Surplus { in_file } => write!(f, "surplus {in_file:?}"),
            Problem::Shape {
                name,
                in_file,
                expected,
                got,
            } => write!(
                f,
                "misshapen {name:?}{}: expected {expected:?}, got {got:?}",
                also(name, in_file)
            ),
            Problem::Kind {
                name,
                in_file,
                expected,
                got,
            } => {
                let also = also(name, in_file);
                write!(f, "{name:?}{also} holds {got}, expected {expected}")
            }
        }
    }
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FitError::Map(problems) => write!(f, "the map does not fit the net:\n{problems}"),
            FitError::File(problems) => f.write_str(&describe(problems)),
        }
    }
}

/// How many problems there are and the first few of them, a line each; one alone stands without a count.
pub fn describe(problems: &[Problem]) -> String {
    if let [one] = problems {
        return one.to_string();
    }
    let mut text = format!("{} problems:", problems.len());
    for problem in problems.iter().take(MOST_TOLD) {
        text.push_str(&format!("\n  {problem}"));
    }
    if let Some(more) = problems.len().checked_sub(MOST_TOLD).filter(|n| *n > 0) {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

impl std::error::Error for FitError {}

/// Whether names, shapes and kinds of a file are those that parameters need. PyTorch's counters `num_batches_tracked`
/// are of no concern.
///
/// # Errors
/// All that does not fit.
pub fn check(params: &[Param], header: &Header, map: Option<&NameMap>) -> Result<Fit, FitError> {
    let names = match map {
        Some(map) => map.names(params, Some(header)).map_err(FitError::Map)?,
        None => Names {
            in_file: params.iter().map(|p| p.name.clone()).collect(),
            reshape: vec![false; params.len()],
            used: Vec::new(),
        },
    };
    let wanted: HashSet<&str> = names.in_file.iter().map(String::as_str).collect();
    let free: Vec<&str> = header
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !wanted.contains(name))
        .collect();
    let (ignored, surplus): (Vec<&str>, Vec<&str>) = free.into_iter().partition(|name| {
        let counter = name.rsplit('.').next() == Some("num_batches_tracked");
        counter || map.is_some_and(|map| map.ignores(name))
    });
    let mut problems = Vec::new();
    let mut sources = Vec::with_capacity(params.len());
    for ((param, in_file), may_reshape) in params.iter().zip(names.in_file).zip(names.reshape) {
        let name = param.name.clone();
        let Some(info) = header.get(&in_file) else {
            let near = (problems.len() < MOST_TOLD)
                .then(|| nearest(&in_file, surplus.iter().copied()).map(str::to_owned));
            problems.push(Problem::Missing {
                name,
                in_file,
                near: near.flatten(),
            });
            continue;
        };
        let expected: Vec<u64> = param.shape.iter().map(|d| u64::from(*d)).collect();
        let reshape = expected != info.shape;
        if reshape && !(may_reshape && without_ones(&expected) == without_ones(&info.shape)) {
            problems.push(Problem::Shape {
                name,
                in_file,
                expected,
                got: info.shape.clone(),
            });
        } else if !info.dtype.holds(param.role) {
            problems.push(Problem::Kind {
                name,
                in_file,
                expected: match param.role {
                    Role::Index => "whole numbers",
                    _ => "floating-point numbers",
                },
                got: info.dtype_name.to_string(),
            });
        } else {
            sources.push(Source { in_file, reshape });
        }
    }
    problems.extend(surplus.into_iter().map(|name| Problem::Surplus {
        in_file: name.to_owned(),
    }));
    match problems.is_empty() {
        true => Ok(Fit {
            sources,
            ignored: ignored.len(),
        }),
        false => Err(FitError::File(problems)),
    }
}

/// A shape without axes of size 1: what moving them about leaves as it is.
fn without_ones(shape: &[u64]) -> Vec<u64> {
    shape.iter().copied().filter(|d| *d != 1).collect()
}
