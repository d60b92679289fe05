//! The seam between measuring and what runs the nets: a file a runtime.

use super::window::Timed;
use crate::ir::Graph;

/// Number format of weights and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bit.
    Fp32,
    /// 16 bit with the exponent of fp32.
    Bf16,
    /// 16 bit, IEEE.
    Fp16,
}

impl Precision {
    /// As in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        }
    }
}

/// Order of the axes of feature maps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFormat {
    /// Channel by channel.
    Nchw,
    /// Pixel by pixel.
    Nhwc,
}

impl MemoryFormat {
    /// As in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nchw => "nchw",
            Self::Nhwc => "nhwc",
        }
    }
}

/// In which form a net runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Op by op, as trained.
    Eager,
    /// Batch norms folded into the layers before them, dead nodes dropped.
    Folded,
    /// Folded, each layer in the fastest of several ways, activations inside convolutions.
    Fused,
    /// Folded, and traced to TorchScript with its weights as constants.
    Frozen,
}

impl Form {
    /// As in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eager => "eager",
            Self::Folded => "folded",
            Self::Fused => "fused",
            Self::Frozen => "frozen",
        }
    }
}

/// Why a net does not run, in the runtime's words.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RuntimeError(Box<dyn std::error::Error + Send + Sync>);

impl RuntimeError {
    /// An error of the runtime.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// A net that is ready to run, its input with it.
pub trait Loaded {
    /// One forward pass, from the call until the results are there.
    ///
    /// # Errors
    /// Where the runtime refuses.
    fn run(&mut self) -> Result<Timed, RuntimeError>;
}

/// What runs nets.
pub trait Runtime {
    /// As in tables: `torch`.
    fn name(&self) -> &'static str;
    /// Its release.
    fn version(&self) -> String;
    /// A net of `graph` with random weights and random input of the batch.
    ///
    /// # Errors
    /// Where the runtime cannot hold or run it.
    fn load(&mut self, graph: &Graph) -> Result<Box<dyn Loaded>, RuntimeError>;
}
