//! Floor 4: what a net really takes on this machine.

mod window;

pub use window::{Measurement, Sampling, WindowOptions, measure_net, sample};
