//! Integration tests, one binary: each further one would link everything again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod claims;
#[cfg(feature = "cli")]
mod cli;
mod counts;
mod device;
mod diagnostics;
mod draws;
mod evaluators;
mod expressions;
mod families;
mod few;
mod floors;
mod fuse;
mod graph;
mod guidelines;
mod help;
mod hostile;
mod library;
mod meters;
mod naive;
mod networks;
mod onnx;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod operators;
mod oracle;
mod over;
mod parts;
mod props;
mod python;
mod random;
mod registry;
mod schema;
mod search;
mod space;
mod spaces;
mod suites;
mod tables;
#[cfg(feature = "torch")]
mod torch;
mod weights;
