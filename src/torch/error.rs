//! What can go wrong between a graph and its output.

use crate::base::diag::Diagnostics;
use crate::ir::Shape;
use crate::weights::{Problem, describe};
use std::fmt;
use std::path::{Path, PathBuf};

/// An error of this floor: what it is and, where one node is to blame, that node's name.
#[derive(Debug)]
pub struct TorchError {
    node: Option<String>,
    kind: Box<TorchErrorKind>,
}

/// The kinds of [`TorchError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchErrorKind {
    /// libtorch refused; the first line of its message.
    #[error("libtorch: {0}")]
    Libtorch(String),
    /// Wrong number of inputs.
    #[error("the net takes {expected} inputs, got {got}")]
    InputCount {
        /// How many it takes.
        expected: usize,
        /// How many it was given.
        got: usize,
    },
    /// An input of the wrong shape.
    #[error("{name} must be [batch, {}], got {got:?}", list(*expected))]
    InputShape {
        /// Which input.
        name: String,
        /// One sample's shape.
        expected: Shape,
        /// What was there, batch included.
        got: Vec<i64>,
    },
    /// Inputs disagree about the batch.
    #[error("{name} has a batch of {got}, the inputs before it have {expected}")]
    Batch {
        /// Which input.
        name: String,
        /// The first input's batch.
        expected: i64,
        /// This one's.
        got: i64,
    },
    /// A tensor that is not made of floating-point numbers.
    #[error("{name} must hold floating-point numbers, got {got}")]
    NotFloat {
        /// The tensor.
        name: String,
        /// What it holds.
        got: String,
    },
    /// Two nodes of one name.
    #[error("two parameters are named {name:?}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// More parameters than a runnable net may have.
    #[error("{params} parameters are more than the {limit} that a runnable net may have")]
    TooLarge {
        /// How many there are.
        params: u64,
        /// How many there may be.
        limit: u64,
    },
    /// Tensors of a file do not fit the net; all of them, in execution order.
    #[error("{} does not fit the net: {}", path.display(), describe(problems))]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// A name map does not fit the net.
    #[error("the map does not fit the net:\n{0}")]
    Map(Diagnostics),
    /// A file that cannot be opened.
    #[error("cannot open {}: {message}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A file that is damaged or no file of its kind.
    #[error("cannot read {}: {message}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {message}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A device that is not there, or not one.
    #[error("no device {name:?}: {why}")]
    Device {
        /// As the user wrote it.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// A tensor operation gave the wrong numbers.
    #[error("self-test of {what}: expected {expected:?}, got {got:?}")]
    SelfTest {
        /// Which part.
        what: &'static str,
        /// Numbers worked out by hand.
        expected: Vec<f32>,
        /// Numbers from libtorch.
        got: Vec<f32>,
    },
}

fn list(shape: Shape) -> String {
    match shape {
        Shape::Map { c, h, w } => format!("{c}, {h}, {w}"),
        Shape::Flat { n } => n.to_string(),
    }
}

impl TorchError {
    /// What went wrong.
    pub fn kind(&self) -> &TorchErrorKind {
        &self.kind
    }

    /// The node where it went wrong, if it was one.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    pub(super) fn at(self, node: &str) -> Self {
        Self {
            node: Some(node.to_owned()),
            ..self
        }
    }

    /// True where what the user gave does not fit (exit code 3), false where the machine failed.
    pub fn is_input(&self) -> bool {
        match *self.kind {
            TorchErrorKind::InputCount { .. }
            | TorchErrorKind::InputShape { .. }
            | TorchErrorKind::Batch { .. }
            | TorchErrorKind::NotFloat { .. }
            | TorchErrorKind::DuplicateName { .. }
            | TorchErrorKind::TooLarge { .. }
            | TorchErrorKind::Weights { .. }
            | TorchErrorKind::Map(_)
            | TorchErrorKind::Read { .. } => true,
            TorchErrorKind::Libtorch(_)
            | TorchErrorKind::Open { .. }
            | TorchErrorKind::Write { .. }
            | TorchErrorKind::Device { .. }
            | TorchErrorKind::SelfTest { .. } => false,
        }
    }

    pub(super) fn open(path: &Path, message: impl fmt::Display) -> Self {
        let (path, message) = (path.to_owned(), first_line(&message.to_string()));
        TorchErrorKind::Open { path, message }.into()
    }

    pub(super) fn read(path: &Path, message: impl fmt::Display) -> Self {
        let (path, message) = (path.to_owned(), first_line(&message.to_string()));
        TorchErrorKind::Read { path, message }.into()
    }

    pub(super) fn write(path: &Path, message: impl fmt::Display) -> Self {
        let (path, message) = (path.to_owned(), first_line(&message.to_string()));
        TorchErrorKind::Write { path, message }.into()
    }
}

impl From<TorchErrorKind> for TorchError {
    fn from(kind: TorchErrorKind) -> Self {
        Self {
            node: None,
            kind: Box::new(kind),
        }
    }
}

impl From<tch::TchError> for TorchError {
    fn from(error: tch::TchError) -> Self {
        let text = match error {
            tch::TchError::Torch(text) => text,
            other => other.to_string(),
        };
        TorchErrorKind::Libtorch(first_line(&text)).into()
    }
}

impl fmt::Display for TorchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "at {node}: {}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl std::error::Error for TorchError {}

/// The rest of a C++ message is a stack of frames that says nothing to a user.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}
