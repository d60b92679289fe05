//! Floor 4: what the four guidelines of ShuffleNetV2 find in a network, and what following them would save on a device.
//!
//! Each guideline is a file that finds where a network goes against it and rewrites the network as the paper's own
//! experiment does: [`balance`] (G1) equal widths, [`groups`] (G2) fewer groups, [`fragments`] (G3) one convolution in the
//! place of many, [`element_wise`] (G4) no activations and shortcuts. The first three keep the multiply-accumulates. A
//! [`Finding`] is the difference between two predictions, that of the network and that of the rewritten network; there is
//! no formula for what a remedy saves.
//!
//! A remedy says how fast the same work could be. Whether the rewritten network is as accurate, only training tells.
//!
//! Depthwise convolutions are groups of one channel, and G2 leaves them alone: without groups, equal work would leave the
//! square root of their channels. The paper counts them among element-wise work, as they move much and compute little, and
//! keeps them; so does G4, which lists no depthwise convolution as they cannot go without the network losing its
//! filters.
//!
//! Invariants: a rewritten graph passes the verifier and has the outputs of the original in name and shape; its
//! multiply-accumulates are those of the original within one in a hundred; findings are sorted by what they save.
//!
//! # Source
//! ShuffleNetV2, arXiv 1807.11164, section 2, tables 1 to 4.

pub mod balance;
mod change;
mod edit;
pub mod element_wise;
mod finding;
pub mod fragments;
pub mod groups;
mod network;
mod noise;
mod region;
mod widths;

pub use change::Change;
pub use edit::{Edit, Edited};
pub use finding::{Finding, Saving, Verdict, find};
pub use network::{Case, Network, Remedy};
pub use widths::{Part, Widths};

/// A guideline: how to find what goes against it, and what to do about it.
#[derive(Debug)]
pub struct Guideline {
    /// `G1` to `G4`.
    pub name: &'static str,
    /// What it is about, in a word or two.
    pub title: &'static str,
    /// Where a network goes against it, with rewritten networks for each place.
    pub cases: fn(&Network<'_>) -> Vec<Case>,
}

/// The guidelines, one line each.
pub static GUIDELINES: &[&Guideline] = &[
    &balance::GUIDELINE,
    &groups::GUIDELINE,
    &fragments::GUIDELINE,
    &element_wise::GUIDELINE,
];
