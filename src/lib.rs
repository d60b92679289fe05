//! blocksmith designs convolutional networks that are fast and frugal on real hardware.
//!
//! One pipeline, left to right, nothing flows back:
//!
//! ```text
//! search_spaces/*.json --parse--> Space --sample--> Assignment --bind--> Arch --lower--> Graph --fuse--> Kernels --device model--> Prediction
//!                                                                               |--torch--> runnable net --> measure
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

#[cfg(feature = "analysis")]
pub mod analysis;
pub mod base;
pub mod blocks;
pub mod calibrate;
#[cfg(feature = "cli")]
pub mod cli;
pub mod cost;
pub mod device;
pub mod emit;
pub mod expr;
pub mod fuse;
pub mod guidelines;
pub mod ir;
pub mod measure;
pub mod search;
pub mod space;
#[cfg(feature = "torch")]
pub mod torch;
pub mod weights;
