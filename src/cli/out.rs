//! Stdout for data, stderr for everything else, and how numbers are shown to a person.

use serde_json::Value;
use std::io::{IsTerminal, Write};

/// How stdout is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for a person.
    Table,
    /// One JSON document.
    Json,
}

/// Where a command writes.
#[derive(Debug)]
pub struct Out {
    format: Format,
    quiet: bool,
}

impl Out {
    /// Writes in `format`; `quiet` silences notes and progress.
    pub fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// True where stdout must be one JSON document.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The JSON document of this command; called once.
    pub fn json(&mut self, document: &Value) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut stdout, document)?;
        writeln!(stdout)?;
        stdout.flush()
    }

    /// Text on stdout.
    pub fn text(&mut self, text: &str) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    }

    /// A remark on stderr.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// An error on stderr.
    pub fn error(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// True where notes and progress are unwanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// True where somebody watches stderr.
    pub fn is_watched(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }
}

/// A table with a head; all columns but those in `left` are aligned to the right.
pub fn table(head: &[&str], left: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(|h| (*h).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|l| l.get(column))
            .map(|c| c.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..lines.first().map_or(0, Vec::len))
        .map(|c| width(c).unwrap_or(0))
        .collect();
    let line = |cells: &Vec<String>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if left.contains(&column) {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Things a second, whole ones where they are many.
pub fn rate(per_second: f64) -> String {
    match per_second {
        10.0.. => grouped(per_second as u64),
        _ => format!("{per_second:.2}"),
    }
}

/// `3525736` as `3,525,736`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits with a unit prefix: `2.18 G`.
pub fn scaled(value: f64) -> String {
    let steps = [
        (1e12, " T"),
        (1e9, " G"),
        (1e6, " M"),
        (1e3, " k"),
        (1.0, ""),
    ];
    let small = [(1e-3, " m"), (1e-6, " u"), (1e-9, " n")];
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    let (scale, prefix) = steps
        .iter()
        .chain(&small)
        .find(|(s, _)| size >= *s)
        .copied()
        .unwrap_or((1e-9, " n"));
    let x = value / scale;
    let digits = if x.abs() >= 99.95 {
        0
    } else if x.abs() >= 9.995 {
        1
    } else {
        2
    };
    format!("{x:.digits$}{prefix}")
}

/// Seconds as milliseconds with three significant digits or more.
pub fn ms(seconds: f64) -> String {
    let x = seconds * 1e3;
    let digits = if x >= 100.0 {
        0
    } else if x >= 10.0 {
        1
    } else if x >= 1.0 {
        2
    } else {
        3
    };
    format!("{x:.digits$}")
}

/// Joules as millijoules, as [`ms`].
pub fn mj(joules: f64) -> String {
    ms(joules)
}

/// A share as percent.
pub fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// A value that may be missing; `-` where it is.
pub fn or_dash(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_a_person() {
        assert_eq!(grouped(3_525_736), "3,525,736");
        assert_eq!(grouped(12), "12");
        assert_eq!(scaled(2_176_695_296.0), "2.18 G");
        assert_eq!(scaled(999_960.0), "1000 k");
        assert_eq!(scaled(0.0), "0");
        assert_eq!(ms(0.01234), "12.3");
        assert_eq!(ms(0.5), "500");
    }
}
