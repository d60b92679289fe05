//! Integration tests, one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fuse;
mod tables;
#[cfg(feature = "torch")]
mod torch;
