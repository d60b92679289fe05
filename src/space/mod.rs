//! Floor 2: JSON documents, the decisions in them, and what is drawn from them.
//!
//! A [`Space`] is a checked document. Its decisions are numbered and finite; an [`Assignment`] gives each active one a
//! value; [`Space::bind`] writes the values into the document, and what has no decision left is an [`Arch`]. Which
//! blocks and ops there are is not known here.
//!
//! Invariants:
//! - Decisions are in such an order that whether one is active depends on earlier ones only; those of `vars` come first.
//! - An assignment has values for the active decisions and for no others.
//! - Binding an arch gives the same arch; an arch prints and parses back to itself.

mod arch;
mod assign;
pub mod ast;
mod bind;
mod decision;
mod draw;
mod explain;
mod iterate;
mod parse;
mod print;
mod sample;
pub mod schema;
pub mod signature;
mod value;

pub use arch::Arch;
pub use decision::{Assignment, Decision, Domain, Item, Law, MAX_REDRAWS, Weights};
pub use draw::Draws;
pub use iterate::{Assignments, Size};
pub use print::pretty;
pub use sample::{MAX_TRIES, SampleError};
pub use value::{Context, ValueError};

use crate::base::diag::{Diagnostics, Location};
use crate::base::locate;
use crate::base::path::JsonPath;
use ast::{Ast, DecisionId, Origin};
use decision::{Guard, Step};
use std::sync::{Arc, OnceLock};

/// The format that documents name.
pub const FORMAT: &str = "blocksmith/1";

/// The most bytes of a document.
pub const MAX_TEXT: usize = 16 << 20;

/// The most decisions of a document.
pub const MAX_DECISIONS: usize = 50_000;

/// The most copies that a varied repeat can have.
pub const MAX_COPIES: u32 = 1000;

/// A checked document.
#[derive(Clone, Debug)]
pub struct Space {
    ast: Ast,
    decisions: Vec<Decision>,
    guards: Vec<Guard>,
    /// In the order of drawing, without those of `vars`.
    steps: Vec<Step>,
    /// The first so many decisions are those of `vars`.
    var_decisions: u32,
    /// Made with the first draw.
    plan: OnceLock<draw::Plan>,
    json: Arc<serde_json::Value>,
    text: Arc<str>,
}

impl Space {
    /// The checked document, to be lowered.
    pub fn ast(&self) -> &Ast {
        &self.ast
    }

    /// The name of the document.
    pub fn name(&self) -> &str {
        &self.ast.name
    }

    /// All decisions.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// How many of the decisions, the first ones, are those of `vars`: only they can break a constraint.
    pub fn var_decisions(&self) -> usize {
        self.var_decisions as usize
    }

    /// The decision with this id.
    pub fn decision(&self, id: &str) -> Option<DecisionId> {
        self.decisions
            .iter()
            .position(|d| &*d.id == id)
            .map(|d| DecisionId(d as u32))
    }

    /// The document as it was read.
    pub fn json(&self) -> &serde_json::Value {
        &self.json
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The path of a place; the root for one of another document.
    pub fn path(&self, origin: Origin) -> JsonPath {
        self.ast
            .origins
            .get(origin.0 as usize)
            .cloned()
            .unwrap_or_default()
    }

    /// Fills in line and column of diagnostics about this document and sorts them by place.
    pub fn locate(&self, diagnostics: Diagnostics) -> Diagnostics {
        locate::in_order(&self.text, diagnostics)
    }

    /// Line and column of a path in the text; of what holds it where it is not there.
    pub fn location(&self, path: &JsonPath) -> Option<Location> {
        let mut one = Diagnostics::from(crate::base::diag::Diagnostic::error(path.clone(), ""));
        locate::locate(&self.text, &mut one);
        one.iter().next().and_then(|d| d.location)
    }
}
