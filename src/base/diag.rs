//! Diagnostics: what a person is told about a document that they wrote. All problems at once, each with its JSON
//! path, the line and column where the text is known, the value's ancestry, and a way out.

use super::path::JsonPath;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The document cannot be used.
    Error,
    /// It can be used, but most likely does not say what was meant.
    Warning,
}

/// A place in a text, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where, as a path into the document.
    pub path: JsonPath,
    /// Where in the text, once known.
    pub location: Option<Location>,
    /// What is wrong, in one line, lower-case.
    pub message: String,
    /// Where the value came from: `72 % 16 is 8; out_channels is "=3*w2" with w2 = 24`.
    pub notes: Vec<String>,
    /// Other places that have a part in it.
    pub related: Vec<(JsonPath, String)>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Changes that have been tried and help, each of several values that are set together.
    pub fits: Vec<Vec<Fit>>,
}

/// One value that would fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Where: a path into the document, or `in.c`, `in.h`, `in.w` for the first input of the node in question.
    pub at: String,
    /// What to put there; `null` where something is to be left out.
    pub value: serde_json::Value,
}

impl Fit {
    /// `value` at `at`.
    pub fn new(at: String, value: serde_json::Value) -> Self {
        Self { at, value }
    }
}

impl Diagnostic {
    /// An error at `path`.
    pub fn error(path: JsonPath, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path,
            location: None,
            message: message.into(),
            notes: Vec::new(),
            related: Vec::new(),
            hints: Vec::new(),
            fits: Vec::new(),
        }
    }

    /// A warning at `path`.
    pub fn warning(path: JsonPath, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, message)
        }
    }

    /// Adds a line on where the value came from.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a place that has a part in it.
    #[must_use]
    pub fn related(mut self, path: JsonPath, label: impl Into<String>) -> Self {
        self.related.push((path, label.into()));
        self
    }

    /// The text for a person; `file` is put before line and column.
    pub fn render(&self, file: Option<&str>) -> String {
        use fmt::Write;
        let mut text = String::new();
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = write!(text, "{kind}: {}", self.message);
        let path = self.path.to_string();
        let place = match (self.location, file) {
            (Some(l), Some(file)) => format!("({file}:{}:{})", l.line, l.column),
            (Some(l), None) => format!("(line {}, column {})", l.line, l.column),
            (None, Some(file)) => format!("({file})"),
            (None, None) => String::new(),
        };
        let at = [path, place]
            .into_iter()
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>();
        if !at.is_empty() {
            let _ = write!(text, "\n  at {}", at.join("   "));
        }
        for note in &self.notes {
            let _ = write!(text, "\n  {note}");
        }
        for (path, label) in &self.related {
            let _ = write!(text, "\n  see {path}: {label}");
        }
        for hint in &self.hints {
            let _ = write!(text, "\n  hint: {hint}");
        }
        text
    }
}

/// All problems of one document, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of another's.
    pub fn extend(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }

    /// True where there are none at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True where at least one is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// The problems, to fill in locations.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Diagnostic> {
        self.0.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// `Ok(value)` where there are no errors (warnings are dropped), the diagnostics otherwise.
    pub fn into_result<T>(self, value: T) -> Result<T, Diagnostics> {
        if self.has_errors() {
            Err(self)
        } else {
            Ok(value)
        }
    }

    /// The text for a person, problems separated by an empty line.
    pub fn render(&self, file: Option<&str>) -> String {
        self.0
            .iter()
            .map(|d| d.render(file))
            .collect::<Vec<_>>()
            .join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(None))
    }
}

impl std::error::Error for Diagnostics {}

/// The word of `known` nearest to `word`, if it is near enough to be what was meant.
///
/// ```
/// use blocksmith::base::diag::nearest;
/// assert_eq!(nearest("layer", ["layers", "depth"]), Some("layers"));
/// assert_eq!(nearest("xyz", ["layers", "depth"]), None);
/// ```
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(64).collect();
    let limit = (word.len() / 3).max(1);
    known
        .into_iter()
        .map(|k| (edit_distance(&word, k), k))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, k)| k)
}

/// The first three of some names, and how many more there are.
///
/// ```
/// use blocksmith::base::diag::first_few;
/// let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
/// assert_eq!(first_few(&names), "a, b, c and 2 more");
/// assert_eq!(first_few(&names[..2]), "a, b");
/// ```
pub fn first_few(names: &[String]) -> String {
    const NAMED: usize = 3;
    let first = names.get(..NAMED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn edit_distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            next[j] = (row[j] + 1).min(next[j - 1] + 1).min(row[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}
