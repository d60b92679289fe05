//! Why rows of a table have no network: in full for each row, and counted by cause for all of them.

use super::failure::Failure;
use crate::base::diag::{Diagnostic, Diagnostics, Severity, first_few};
use crate::base::table::{Table, TableError, TableErrorKind};
use std::collections::{BTreeMap, BTreeSet};

/// Why a row has no network.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A cell that names none.
    Cell {
        /// Its column.
        column: &'static str,
        /// What it holds.
        got: String,
        /// What it may.
        expected: String,
        /// What more there is to say of it; may be empty.
        why: String,
        /// What cells like this one may hold, and why they do not, where that is more general.
        kind: Option<String>,
    },
    /// A document that is none, or choices that its space does not have.
    Document {
        /// Its file.
        file: String,
        /// True where it is the choices.
        choices: bool,
        /// What is wrong.
        problems: Diagnostics,
    },
    /// Operators that are none.
    Operators {
        /// Their network.
        network: String,
        /// The first of them.
        error: Box<TableError>,
    },
}

impl Fault {
    /// A cell that holds something else than it may.
    pub fn cell(column: &'static str, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Fault::Cell {
            column,
            got: got.into(),
            expected: expected.into(),
            why: String::new(),
            kind: None,
        }
    }

    /// The same with more to say.
    #[must_use]
    pub fn because(mut self, more: impl Into<String>) -> Self {
        if let Fault::Cell { why, .. } = &mut self {
            *why = more.into();
        }
        self
    }

    /// The same, counted with those of its kind.
    #[must_use]
    pub fn like(mut self, of: impl Into<String>) -> Self {
        if let Fault::Cell { kind, .. } = &mut self {
            *kind = Some(of.into());
        }
        self
    }

    /// A document that was not read or not understood.
    pub fn document(column: &'static str, file: &str, failure: Failure) -> Self {
        let cause = match failure {
            Failure::Invalid(files) => {
                let problems = files.into_iter().flat_map(|(_, problems)| problems);
                let mut all = Diagnostics::new();
                problems.for_each(|p| all.push(p));
                return Fault::Document {
                    file: file.to_owned(),
                    choices: false,
                    problems: all,
                };
            }
            Failure::Other(ref why) => why.root_cause().to_string(),
            ref other => other.message(),
        };
        // a file that cannot be read is one that the table should not name
        let expected = "the path of a document";
        Fault::cell(column, file, expected)
            .because(failure.message())
            .like(format!("{expected} ({cause})"))
    }

    /// The fault as the end of a command.
    pub fn failure(self, table: &Table, row: usize) -> Failure {
        match self {
            Fault::Cell {
                column,
                got,
                expected,
                why,
                ..
            } => {
                let expected = expected + &bracketed(&why);
                Failure::Input(table.wrong(column, row, &got, &expected).into())
            }
            Fault::Document {
                file,
                choices: true,
                problems,
            } => Failure::invalid(&format!("{file}, row {row} of {}", table.name()), problems),
            Fault::Document { file, problems, .. } => Failure::invalid(&file, problems),
            Fault::Operators { error, .. } => Failure::Input((*error).into()),
        }
    }

    /// What is wrong, in one line that needs nothing beside it.
    pub fn reason(&self) -> String {
        one_line(&match self {
            Fault::Cell {
                column,
                got,
                expected,
                why,
                ..
            } => format!(
                "column \"{column}\" holds {got}, expected {expected}{}",
                bracketed(why)
            ),
            Fault::Document { file, problems, .. } => first(problems, Some(file)),
            Fault::Operators { network, error } => format!("network \"{network}\": {error}"),
        })
    }

    /// What is wrong without what is of this row or network alone: rows that say the same here lack the same.
    fn cause(&self) -> String {
        one_line(&match self {
            Fault::Cell {
                column,
                expected,
                kind,
                ..
            } => {
                let expected = kind.as_ref().unwrap_or(expected);
                format!("column \"{column}\": expected {expected}")
            }
            Fault::Document { problems, .. } => first(problems, None),
            Fault::Operators { error, .. } => {
                let place = format!("table {}, column \"{}\"", error.table(), error.column());
                match error.kind() {
                    // each of another network is another number
                    TableErrorKind::Value { got, .. } if got.parse::<f64>().is_ok() => {
                        format!("{place}: numbers that cannot be")
                    }
                    TableErrorKind::Value { got, expected, .. } => {
                        format!("{place}: {got}, expected {expected}")
                    }
                    _ => error.to_string(),
                }
            }
        })
    }
}

fn bracketed(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!(" ({text})"),
    }
}

/// The first error of a file and how many problems there are beside it; without the file what other files may say, too.
fn first(problems: &Diagnostics, file: Option<&str>) -> String {
    let is_error = |d: &&Diagnostic| d.severity == Severity::Error;
    let Some(first) = problems.iter().find(is_error).or(problems.iter().next()) else {
        return file.unwrap_or("document").to_owned();
    };
    let mut text = match (file, first.location) {
        (Some(file), Some(l)) => format!("{file}:{}:{}: {}", l.line, l.column, first.message),
        (Some(file), None) => format!("{file}: {}", first.message),
        (None, _) => first.message.clone(),
    };
    let path = first.path.to_string();
    if !path.is_empty() {
        text += &format!(", at {path}");
    }
    let related = first.related.iter();
    let related = related.map(|(path, label)| format!("see {path}: {label}"));
    let notes = first.notes.iter().cloned().chain(related);
    for part in notes.chain(first.hints.iter().cloned()) {
        text += "; ";
        text += &part;
    }
    match problems.len() {
        0 | 1 => text,
        n => format!("{text} (and {})", counted(n - 1, "more problem")),
    }
}

/// Lines as parts of one.
fn one_line(text: &str) -> String {
    let parts = text.lines().map(str::trim).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("; ")
}

/// A name that fits in a line.
fn short(name: &str) -> String {
    const LONG: usize = 60;
    match name.char_indices().nth(LONG) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or(name)),
    }
}

/// Networks that rows name, each where it comes first.
#[derive(Debug, Default)]
pub struct Named {
    places: Vec<String>,
    known: BTreeSet<String>,
}

impl Named {
    /// Another row.
    pub fn add(&mut self, row: usize, network: &str) {
        if self.known.insert(network.to_owned()) {
            self.places.push(format!("{} (row {row})", short(network)));
        }
    }

    /// The first few, and how many more there are.
    pub fn few(&self) -> String {
        first_few(&self.places)
    }
}

/// Rows without a network, by cause.
#[derive(Debug, Default)]
pub struct Tally {
    rows: usize,
    causes: BTreeMap<String, Cause>,
}

/// Rows that lack the same.
#[derive(Debug)]
struct Cause {
    /// Which.
    rows: Vec<usize>,
    /// What the first one is told.
    reason: String,
    /// Whether all are told that.
    one_reason: bool,
    networks: Named,
}

impl Tally {
    /// Counts a row, which names `network`.
    pub fn add(&mut self, row: usize, network: &str, fault: &Fault) {
        self.rows += 1;
        let reason = fault.reason();
        let cause = self.causes.entry(fault.cause()).or_insert_with(|| Cause {
            rows: Vec::new(),
            reason: reason.clone(),
            one_reason: true,
            networks: Named::default(),
        });
        cause.rows.push(row);
        cause.one_reason &= cause.reason == reason;
        cause.networks.add(row, network);
    }

    /// How many rows were counted.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A line a cause, those of most rows first; the last line says what was left out.
    pub fn lines(&self) -> String {
        const TOLD: usize = 5;
        // such as those that repeat all choices of a row
        const LONG_REASON: usize = 240;
        let mut all: Vec<_> = self.causes.iter().collect();
        all.sort_by_key(|(_, cause)| (std::cmp::Reverse(cause.rows.len()), cause.rows.first()));
        let line = |(text, cause): &(&String, &Cause)| {
            let rows = counted(cause.rows.len(), "row");
            if cause.one_reason && cause.reason.len() <= LONG_REASON {
                let places: Vec<_> = cause.rows.iter().map(usize::to_string).collect();
                let s = if places.len() == 1 { "" } else { "s" };
                return format!("  {rows}: {} (row{s} {})", cause.reason, first_few(&places));
            }
            format!("  {rows}: {text}: {}", cause.networks.few())
        };
        let mut lines: Vec<String> = all.iter().take(TOLD).map(line).collect();
        let rest = all.get(TOLD..).unwrap_or_default();
        if !rest.is_empty() {
            let rows = rest.iter().map(|(_, cause)| cause.rows.len()).sum();
            lines.push(format!(
                "  {}: {}",
                counted(rows, "more row"),
                counted(rest.len(), "other reason")
            ));
        }
        lines.join("\n")
    }
}

/// `1 row`, `2 rows`.
fn counted(n: usize, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::{Fault, Tally};
    use crate::base::diag::Diagnostic;
    use crate::base::path::JsonPath;
    use crate::base::table::Table;
    use crate::cli::failure::Failure;

    fn missing(file: &str) -> Fault {
        let error = std::io::Error::other("no such file");
        let failure = anyhow::Error::new(error).context(format!("cannot read {file}"));
        Fault::document("arch", file, Failure::Other(failure))
    }

    #[test]
    fn a_reason_is_one_line_that_needs_nothing_beside_it() {
        let fault = missing("a.json");
        let told =
            "holds a.json, expected the path of a document (cannot read a.json: no such file)";
        assert_eq!(fault.reason(), format!("column \"arch\" {told}"));
        let failure = fault.failure(&Table::new("t.csv"), 7).text();
        assert_eq!(
            failure,
            format!("error: table t.csv, column \"arch\": row 7 {told}")
        );
        let path = JsonPath::root().key("net").index(3);
        let problem = Diagnostic::error(path, "too\nwide")
            .note("72")
            .hint("try 64");
        let document = |problems: Vec<Diagnostic>| {
            let mut all = crate::base::diag::Diagnostics::new();
            problems.into_iter().for_each(|p| all.push(p));
            Fault::document("arch", "b.json", Failure::invalid("b.json", all)).reason()
        };
        let one = "b.json: too; wide, at net[3]; 72; try 64";
        assert_eq!(document(vec![problem.clone()]), one);
        let warning = Diagnostic::warning(JsonPath::root(), "never mind");
        let two = document(vec![warning, problem]);
        assert_eq!(two, format!("{one} (and 1 more problem)"));
    }

    #[test]
    fn rows_are_counted_by_what_they_lack() {
        let mut tally = Tally::default();
        for (row, file) in ["a", "b", "a", "c", "d", "e"].into_iter().enumerate() {
            tally.add(row, file, &missing(file));
        }
        for row in [6, 7, 8, 9] {
            let fault = Fault::cell("batch", "0", "1 to 65536");
            tally.add(row, "f", &fault);
        }
        let long = "x".repeat(300);
        tally.add(10, &long, &Fault::cell("choices", &*long, "an object"));
        assert_eq!(tally.rows(), 11);
        let lines = format!(
            "  6 rows: column \"arch\": expected the path of a document (no such file): \
             a (row 0), b (row 1), c (row 3) and 2 more\n  \
             4 rows: column \"batch\" holds 0, expected 1 to 65536 (rows 6, 7, 8 and 1 more)\n  \
             1 row: column \"choices\": expected an object: {}... (row 10)",
            "x".repeat(60)
        );
        assert_eq!(tally.lines(), lines);
        // what differs in numbers alone is one cause
        let mut sizes = Tally::default();
        for (row, size) in ["224", "256"].into_iter().enumerate() {
            let fault = Fault::cell("network", "net", size).like("a size");
            sizes.add(row, size, &fault);
        }
        let line = "  2 rows: column \"network\": expected a size: 224 (row 0), 256 (row 1)";
        assert_eq!(sizes.lines(), line);
        let table = Table::new("ops");
        let mut operators = Tally::default();
        for (row, (column, got)) in [
            ("op", "\"x\""),
            ("op", "\"x\""),
            ("macs", "8"),
            ("macs", "9"),
        ]
        .into_iter()
        .enumerate()
        {
            let network = format!("net{row}");
            let error = Box::new(table.wrong(column, row + 90, got, "that"));
            let fault = Fault::Operators {
                network: network.clone(),
                error,
            };
            operators.add(row, &network, &fault);
        }
        let lines = "  2 rows: table ops, column \"op\": \"x\", expected that: net0 (row 0), net1 (row 1)\n  \
                     2 rows: table ops, column \"macs\": numbers that cannot be: net2 (row 2), net3 (row 3)";
        assert_eq!(operators.lines(), lines);
        // a word on what is left out, the rarest and last
        for row in 11..16 {
            tally.add(row, "g", &Fault::cell("network", "n", format!("{row}")));
        }
        let lines = tally.lines();
        let last = lines.lines().last().unwrap();
        assert_eq!(last, "  3 more rows: 3 other reasons");
        assert!(lines.contains("expected 12 (row 12)"), "{lines}");
    }
}
