//! A document with nothing left to decide.

use super::Space;
use crate::base::diag::{Diagnostic, Diagnostics};
use crate::base::hash::Fingerprint;
use crate::base::path::JsonPath;

/// A [`Space`] proven to have no decision left: one network.
#[derive(Clone, Debug)]
pub struct Arch(Space);

impl Arch {
    /// Reads an arch.
    ///
    /// # Errors
    /// All problems of the text; also that something is left to decide.
    pub fn parse(text: &str) -> Result<Self, Diagnostics> {
        Self::try_from(Space::parse(text)?)
    }

    /// The document, to be lowered with an empty assignment.
    pub fn space(&self) -> &Space {
        &self.0
    }

    /// The document as text: parses to an equal arch.
    pub fn to_text(&self) -> String {
        self.0.to_text()
    }

    /// See [`Space::fingerprint`].
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }
}

impl TryFrom<Space> for Arch {
    type Error = Diagnostics;

    fn try_from(space: Space) -> Result<Self, Diagnostics> {
        let Some(first) = space.decisions.first() else {
            return Ok(Self(space));
        };
        let message = match space.decisions.len() {
            1 => format!("this is a space: {:?} is left to decide", first.id()),
            n => format!(
                "this is a space: {n} decisions are left, {:?} for one",
                first.id()
            ),
        };
        let path = space
            .decisions
            .first()
            .map_or_else(JsonPath::root, |d| space.path(d.origin));
        Err(space.locate(Diagnostic::error(path, message).into()))
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}
