//! Why a net cannot be written.

use std::fmt;

/// An error of the ONNX emitter: what it is and, where one node is to blame, that node's name.
#[derive(Debug)]
pub struct OnnxError {
    node: Option<String>,
    kind: OnnxErrorKind,
}

/// The kinds of [`OnnxError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxErrorKind {
    /// A parameter without as many numbers as its shape has.
    #[error("parameter {name:?} needs {expected} numbers, got {got}")]
    Values {
        /// The parameter.
        name: String,
        /// What its shape has.
        expected: u64,
        /// What was given.
        got: usize,
    },
    /// A pick of a channel that is not there.
    #[error("the index picks channel {index} of {channels}")]
    Index {
        /// The channel.
        index: i64,
        /// How many there are.
        channels: u32,
    },
    /// A table that would be too large.
    #[error("its table of {elems} numbers is larger than the {most} that are written")]
    Table {
        /// Numbers in it.
        elems: u64,
        /// The most.
        most: u64,
    },
    /// A model past what one file of this format can hold.
    #[error(
        "{bytes} bytes are more than the 2 GiB of an ONNX file; put the weights beside it (external data)"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
}

impl OnnxError {
    pub(super) fn at(self, node: &str) -> Self {
        Self {
            node: Some(node.to_owned()),
            ..self
        }
    }

    /// What went wrong.
    pub fn kind(&self) -> &OnnxErrorKind {
        &self.kind
    }

    /// The node where it went wrong, if it was one.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }
}

impl From<OnnxErrorKind> for OnnxError {
    fn from(kind: OnnxErrorKind) -> Self {
        Self { node: None, kind }
    }
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "at {node}: {}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl std::error::Error for OnnxError {}
