//! Floor 5: from measurements to device profiles.
//!
//! A [`Sample`] is a network as kernels and what it cost. [`fit()`] finds the rates that explain the samples: least
//! squares on the relative error, no rate below 0, pulled gently towards prior rates where the data cannot tell, far-off
//! rows counting less. Each fit is repeated with groups of samples held out; the errors on those go into the profile.
//!
//! [`public`] makes the shipped profiles from the public tables, [`transfer`] fills the kinds that a device's networks do
//! not have.
//!
//! Invariants: the same tables give the same bytes; a group is never split between fit and test.

pub mod arm;
pub mod beside;
pub mod doubts;
pub mod error;
pub mod few;
pub mod fit;
pub mod gpu;
pub mod help;
pub mod help_cpus;
pub mod hosted;
pub mod interval;
pub mod joint;
pub mod linear;
pub mod more;
pub mod nasbench;
pub mod nnls;
pub mod ops;
pub mod own;
pub mod paddle;
pub mod page;
pub mod peers;
pub mod priors;
pub mod public;
pub mod report;
pub mod residuals;
pub mod sample;
pub mod shapes;
pub mod told;
pub mod torch_gpus;
pub mod transfer;
pub mod vulkan;

pub use error::CalibrateError;
pub use few::{fit_own, own_sample};
pub use fit::{Fitted, Options, fit};
pub use own::{Measured, fit_with_operators};
pub use public::About;
pub use sample::Sample;
