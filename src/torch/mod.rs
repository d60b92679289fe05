//! Floor 3: runnable nets. Any graph becomes a [`Net`] on libtorch, through tch's fallible calls only.
//!
//! Invariants: parameters carry the names and shapes of [`Graph::parameters`](crate::ir::Graph::parameters), in that order; nothing here records
//! gradients; a net always runs in eval mode; initial weights depend on the seed and the parameter's name alone.
//! A [`Net`] is `Send` but not `Sync`, as tch's tensors are: one net a thread.

mod deploy;
mod error;
mod fused;
mod init;
mod net;
mod optimize;
mod plan;
mod script;
mod self_test;
mod ways;
mod weights;

pub use deploy::Frozen;
pub use error::{TorchError, TorchErrorKind};
pub use fused::Fused;
pub use net::{Net, parse_device};
pub use self_test::{SelfTest, libtorch_version, self_test};
pub use tch::{Device, Tensor};
pub use weights::{RunSummary, read_tensors, run, write_tensors};
