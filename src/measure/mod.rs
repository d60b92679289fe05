//! Floor 4: what a net really takes on this machine, in time and in energy.
//!
//! A [`window`](window::window) is one stretch of runs of one net. A [`Session`] measures many nets in several rounds,
//! each in an order of its own, until the best two windows of a net agree: on a machine that others use too, the quietest
//! window is what repeats. What it finds are [`Record`]s, which a caller keeps as they come, and which [`rows`] turns
//! into a table.
//!
//! Invariants: a row never rests on a window that was not finished; energy that was not measured is null, with a note
//! that says why; nothing here estimates.

pub mod energy;
pub mod host;
pub mod meter;
#[cfg(feature = "onnxruntime")]
pub mod onnxruntime;
mod row;
mod runtime;
mod session;
pub mod suite;
#[cfg(feature = "torch")]
mod torch;
mod window;

pub use row::{Context, Row, rows, table};
pub use runtime::{Form, Loaded, MemoryFormat, Precision, Runtime, RuntimeError};
pub use session::{Failed, IdleRecord, Item, Plan, Record, Session, WindowRecord};
#[cfg(feature = "torch")]
pub use torch::{Measurement, TorchRuntime, TorchSetup, device_name, measure_net};
pub use window::{Sampling, Timed, Window, WindowOptions, sample, window};
