//! Floor 3: what kernels cost on a device.
//!
//! A [`Profile`] is a file: cost rates for each kind of kernel, the rules by which the runtime fuses, where the figures come
//! from and how far off they were on networks that the fit had not seen. A [`DeviceModel`] is a profile made ready to
//! predict. The law is a sum over kernels, linear in what each does (MACs, elements moved, weights read, one launch) with
//! rates that are never negative, plus a constant; so every predicted millisecond belongs to a kernel and a reason. What a
//! kernel does depends on its shape as the runtime's [`Law`] has it, and the [`Effects`] of its kind where a profile tells them. A network that was measured itself is predicted by
//! what was measured: a factor over the whole sum, found by a [`signature()`] that is a sum over kernels too.
//!
//! Invariants: a kernel kind without rates is *uncovered*: reported by name and share, never silently zero.
//! [`DeviceModel::predict_fast`] equals [`DeviceModel::predict`] to the last bit.

mod effects;
mod error;
mod law;
mod model;
mod profile;
mod profiles;
mod region;

pub use effects::Effects;
pub use error::{DeviceError, DeviceErrorKind, PredictError};
pub use law::Law;
pub use model::{
    ByClass, Cost, DeviceModel, Fast, KernelCost, MAX_BATCH, Prediction, Sum, signature,
    split_batch,
};
pub use profile::{
    FORMAT, HeldOut, Interval, KindProfile, Known, Profile, Provenance, Quantity, Rates, Seen,
    Support,
};
pub use profiles::{BUILT_IN, BuiltIn};
pub use region::Region;
