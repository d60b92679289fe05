//! Plain tables: named columns of one type each, every cell may be missing. What measurements, predictions and search
//! results look like between the floors; only `analysis` knows polars.
//!
//! Invariants: names are unique; all columns have the same length. A missing cell is `None`, never 0.

use rayon::prelude::*;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Rows that are turned into text in one go, and how often before they are written.
const CSV_ROWS: usize = 256;
const CSV_PARTS: usize = 64;

/// One column's cells.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Real numbers.
    Real(Vec<Option<f64>>),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// True or false.
    Bool(Vec<Option<bool>>),
    /// Text.
    Text(Vec<Option<String>>),
}

impl Column {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Real(v) => v.len(),
            Self::Int(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// True where there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Real(_) => "real",
            Self::Int(_) => "int",
            Self::Bool(_) => "bool",
            Self::Text(_) => "text",
        }
    }

    /// The cells at `rows`, in that order; a row that is not there becomes a missing cell.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        fn pick<T: Clone>(cells: &[Option<T>], rows: &[usize]) -> Vec<Option<T>> {
            rows.iter()
                .map(|&r| cells.get(r).cloned().flatten())
                .collect()
        }
        match self {
            Self::Real(v) => Self::Real(pick(v, rows)),
            Self::Int(v) => Self::Int(pick(v, rows)),
            Self::Bool(v) => Self::Bool(pick(v, rows)),
            Self::Text(v) => Self::Text(pick(v, rows)),
        }
    }

    /// `n` missing cells of the same type.
    fn missing(&self, n: usize) -> Self {
        self.take(&vec![usize::MAX; n])
    }

    /// These cells and then those of `other`; `None` where the types differ. A column in which nothing is present is of
    /// any type.
    fn then(self, other: Self) -> Option<Self> {
        if self.is_vacant() {
            let mut cells = other.missing(self.len());
            return cells.extend(other).then_some(cells);
        }
        let mut cells = self;
        match other.is_vacant() {
            true => {
                let none = cells.missing(other.len());
                cells.extend(none)
            }
            false => cells.extend(other),
        }
        .then_some(cells)
    }

    fn is_vacant(&self) -> bool {
        match self {
            Self::Real(v) => v.iter().all(Option::is_none),
            Self::Int(v) => v.iter().all(Option::is_none),
            Self::Bool(v) => v.iter().all(Option::is_none),
            Self::Text(v) => v.iter().all(Option::is_none),
        }
    }

    fn extend(&mut self, other: Self) -> bool {
        match (self, other) {
            (Self::Real(a), Self::Real(b)) => a.extend(b),
            (Self::Int(a), Self::Int(b)) => a.extend(b),
            (Self::Bool(a), Self::Bool(b)) => a.extend(b),
            (Self::Text(a), Self::Text(b)) => a.extend(b),
            _ => return false,
        }
        true
    }

    /// Adds the text of one cell for CSV; nothing where it is missing.
    fn push_cell(&self, row: usize, out: &mut String) {
        fn add<T: fmt::Display>(cells: &[Option<T>], row: usize, out: &mut String) {
            if let Some(Some(value)) = cells.get(row) {
                // a string takes all
                let _ = write!(out, "{value}");
            }
        }
        match self {
            Self::Real(v) => add(v, row, out),
            Self::Int(v) => add(v, row, out),
            Self::Bool(v) => add(v, row, out),
            Self::Text(v) => {
                if let Some(Some(text)) = v.get(row) {
                    out.push_str(&quoted(text));
                }
            }
        }
    }
}

/// A CSV field, in quotes where it needs them (and where it is empty, so that it is not taken for missing).
fn quoted(text: &str) -> Cow<'_, str> {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

macro_rules! from_vec {
    ($($variant:ident $ty:ty),*) => { $(
        impl From<Vec<$ty>> for Column {
            fn from(cells: Vec<$ty>) -> Self { Self::$variant(cells.into_iter().map(Some).collect()) }
        }
        impl From<Vec<Option<$ty>>> for Column {
            fn from(cells: Vec<Option<$ty>>) -> Self { Self::$variant(cells) }
        }
    )* };
}
from_vec!(Real f64, Int i64, Bool bool, Text String);

/// What is wrong with a table, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("table {table}, column \"{column}\": {kind}")]
pub struct TableError {
    table: String,
    column: String,
    kind: TableErrorKind,
}

impl TableError {
    /// The table's name: most often its file.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The column's name.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// What it is.
    pub fn kind(&self) -> &TableErrorKind {
        &self.kind
    }
}

/// The ways in which a column can be wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TableErrorKind {
    /// There is no column of that name.
    #[error("not there; the columns are {}", .known.join(", "))]
    Missing {
        /// The columns that are there.
        known: Vec<String>,
    },
    /// The file has it in a type that tables do not know.
    #[error("is of type {kind}, which is not read; write it as text, numbers or booleans")]
    Unread {
        /// The type.
        kind: String,
    },
    /// A second column of that name.
    #[error("given twice")]
    Repeated,
    /// The column holds something else.
    #[error("expected {expected}, got {got}")]
    Type {
        /// The type asked for.
        expected: &'static str,
        /// The type it has.
        got: &'static str,
    },
    /// The column is longer or shorter than the others.
    #[error("has {got} rows where the table has {expected}")]
    Length {
        /// Rows of the table.
        expected: usize,
        /// Rows of the column.
        got: usize,
    },
    /// A cell that has to be there is not.
    #[error("row {row} is empty")]
    Empty {
        /// The row, from 0.
        row: usize,
    },
    /// A cell that cannot be.
    #[error("row {row} holds {got}, expected {expected}")]
    Value {
        /// The row, from 0.
        row: usize,
        /// What it holds.
        got: String,
        /// What it may.
        expected: String,
    },
}

/// Named columns of equal length.
///
/// ```
/// use blocksmith::base::table::Table;
/// let mut table = Table::new("example");
/// table.push("params", vec![10_i64, 20])?;
/// table.push("latency_s", vec![Some(0.5), None])?;
/// assert_eq!(table.reals("params")?.as_ref(), [Some(10.0), Some(20.0)]);
/// let problem = table.all_reals("latency_s").unwrap_err().to_string();
/// assert_eq!(problem, "table example, column \"latency_s\": row 1 is empty");
/// # Ok::<(), blocksmith::base::table::TableError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    name: String,
    rows: usize,
    columns: Vec<(String, Column)>,
    /// Names and types.
    left_out: Vec<(String, String)>,
}

impl Table {
    /// A table without columns. The name stands in errors: for a file, its path.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Adds a column.
    ///
    /// # Errors
    /// A name that is there already, a length other than that of the columns before.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        cells: impl Into<Column>,
    ) -> Result<(), TableError> {
        let (name, cells) = (name.into(), cells.into());
        if self.get(&name).is_some() {
            return Err(self.error(&name, TableErrorKind::Repeated));
        }
        if !self.columns.is_empty() && cells.len() != self.rows {
            let kind = TableErrorKind::Length {
                expected: self.rows,
                got: cells.len(),
            };
            return Err(self.error(&name, kind));
        }
        self.rows = cells.len();
        self.columns.push((name, cells));
        Ok(())
    }

    /// Notes a column of the file that is of a type which tables do not know.
    pub fn leave_out(&mut self, name: impl Into<String>, kind: impl Into<String>) {
        self.left_out.push((name.into(), kind.into()));
    }

    /// Columns of the file that were not read: names and types.
    pub fn left_out(&self) -> &[(String, String)] {
        &self.left_out
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Names and columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.columns.iter().map(|(n, c)| (n.as_str(), c))
    }

    /// The column of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, c)| c)
    }

    /// The column of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn column(&self, name: &str) -> Result<&Column, TableError> {
        self.get(name).ok_or_else(|| {
            if let Some((_, kind)) = self.left_out.iter().find(|(n, _)| n == name) {
                let kind = kind.clone();
                return self.error(name, TableErrorKind::Unread { kind });
            }
            let known = self.columns.iter().map(|(n, _)| n.clone()).collect();
            self.error(name, TableErrorKind::Missing { known })
        })
    }

    /// A column of numbers; whole ones are widened.
    ///
    /// # Errors
    /// No such column, or not numbers.
    pub fn reals(&self, name: &str) -> Result<Cow<'_, [Option<f64>]>, TableError> {
        match self.column(name)? {
            Column::Real(v) => Ok(Cow::Borrowed(v)),
            Column::Int(v) => Ok(Cow::Owned(v.iter().map(|x| x.map(|x| x as f64)).collect())),
            other => Err(self.type_error(name, "real", other)),
        }
    }

    /// A column of whole numbers.
    ///
    /// # Errors
    /// No such column, or another type.
    pub fn ints(&self, name: &str) -> Result<&[Option<i64>], TableError> {
        match self.column(name)? {
            Column::Int(v) => Ok(v),
            other => Err(self.type_error(name, "int", other)),
        }
    }

    /// A column of whole numbers, which may be written as reals, as some tools do where cells are missing.
    ///
    /// # Errors
    /// No such column, another type, or the first number that is not whole.
    pub fn wholes(&self, name: &str) -> Result<Cow<'_, [Option<i64>]>, TableError> {
        let cells = match self.column(name)? {
            Column::Real(cells) => cells,
            _ => return self.ints(name).map(Cow::Borrowed),
        };
        // beyond 2^53 a real does not tell whole numbers apart
        let whole = |x: f64| x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0;
        let cell = |(row, x): (usize, &Option<f64>)| match *x {
            Some(x) if !whole(x) => Err(self.wrong(name, row, &x.to_string(), "a whole number")),
            x => Ok(x.map(|x| x as i64)),
        };
        cells.iter().enumerate().map(cell).collect()
    }

    /// A column of true and false.
    ///
    /// # Errors
    /// No such column, or another type.
    pub fn bools(&self, name: &str) -> Result<&[Option<bool>], TableError> {
        match self.column(name)? {
            Column::Bool(v) => Ok(v),
            other => Err(self.type_error(name, "bool", other)),
        }
    }

    /// A column of text.
    ///
    /// # Errors
    /// No such column, or another type.
    pub fn texts(&self, name: &str) -> Result<&[Option<String>], TableError> {
        match self.column(name)? {
            Column::Text(v) => Ok(v),
            other => Err(self.type_error(name, "text", other)),
        }
    }

    /// Numbers, none of them missing.
    ///
    /// # Errors
    /// As [`Table::reals`]; also the first missing cell.
    pub fn all_reals(&self, name: &str) -> Result<Vec<f64>, TableError> {
        self.full(name, self.reals(name)?.as_ref())
    }

    /// Whole numbers, none of them missing.
    ///
    /// # Errors
    /// As [`Table::ints`]; also the first missing cell.
    pub fn all_ints(&self, name: &str) -> Result<Vec<i64>, TableError> {
        self.full(name, self.ints(name)?)
    }

    /// True and false, none of them missing.
    ///
    /// # Errors
    /// As [`Table::bools`]; also the first missing cell.
    pub fn all_bools(&self, name: &str) -> Result<Vec<bool>, TableError> {
        self.full(name, self.bools(name)?)
    }

    /// Texts, none of them missing.
    ///
    /// # Errors
    /// As [`Table::texts`]; also the first missing cell.
    pub fn all_texts(&self, name: &str) -> Result<Vec<&str>, TableError> {
        let cells: Vec<Option<&str>> = self.texts(name)?.iter().map(Option::as_deref).collect();
        self.full(name, &cells)
    }

    /// Names and columns, in order, to be taken apart.
    pub fn into_columns(self) -> Vec<(String, Column)> {
        self.columns
    }

    /// The rows at `rows`, in that order.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            rows: rows.len(),
            columns: self
                .columns
                .iter()
                .map(|(n, c)| (n.clone(), c.take(rows)))
                .collect(),
            left_out: self.left_out.clone(),
        }
    }

    /// The rows of this table and then those of `other`, under this table's name. A column that one of them lacks is
    /// missing in its rows.
    ///
    /// # Errors
    /// A column of different types in the two.
    pub fn appended(&self, other: &Self) -> Result<Self, TableError> {
        let mut both = Self::new(self.name.clone());
        let own = self.columns.iter().map(|(name, _)| name);
        let new = other.columns.iter().map(|(name, _)| name);
        let new = new.filter(|name| self.get(name).is_none());
        for name in own.chain(new) {
            let (a, b) = (self.get(name), other.get(name));
            let first = a.cloned().or_else(|| Some(b?.missing(self.rows)));
            let second = b.cloned().or_else(|| Some(a?.missing(other.rows)));
            let (Some(first), Some(second)) = (first, second) else {
                continue;
            };
            let (expected, got) = (first.kind(), second.kind());
            let column = first.then(second);
            let column =
                column.ok_or_else(|| self.error(name, TableErrorKind::Type { expected, got }))?;
            both.push(name.clone(), column)?;
        }
        Ok(both)
    }

    /// Writes the table as CSV with a header line; a missing cell is empty, an empty text is `""`.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_csv(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let header: Vec<_> = self.columns.iter().map(|(n, _)| quoted(n)).collect();
        writeln!(out, "{}", header.join(","))?;
        self.write_csv_rows(out)
    }

    /// As [`write_csv`](Self::write_csv), without the header line.
    pub(super) fn write_csv_rows(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let text = |part: usize| {
            let mut text = String::with_capacity(CSV_ROWS * 16 * self.columns.len());
            for row in part * CSV_ROWS..self.rows.min((part + 1) * CSV_ROWS) {
                for (i, (_, column)) in self.columns.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    column.push_cell(row, &mut text);
                }
                text.push('\n');
            }
            text
        };
        // some parts at a time, so that threads share the work and memory stays small
        let parts: Vec<usize> = (0..self.rows.div_ceil(CSV_ROWS)).collect();
        for some in parts.chunks(CSV_PARTS) {
            let texts: Vec<String> = some.par_iter().map(|part| text(*part)).collect();
            for text in texts {
                out.write_all(text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// The error that a cell cannot be what it is.
    pub fn wrong(&self, column: &str, row: usize, got: &str, expected: &str) -> TableError {
        let (got, expected) = (got.to_owned(), expected.to_owned());
        self.error(column, TableErrorKind::Value { row, got, expected })
    }

    fn full<T: Copy>(&self, name: &str, cells: &[Option<T>]) -> Result<Vec<T>, TableError> {
        cells
            .iter()
            .enumerate()
            .map(|(row, cell)| cell.ok_or_else(|| self.error(name, TableErrorKind::Empty { row })))
            .collect()
    }

    fn type_error(&self, name: &str, expected: &'static str, got: &Column) -> TableError {
        let got = got.kind();
        self.error(name, TableErrorKind::Type { expected, got })
    }

    fn error(&self, column: &str, kind: TableErrorKind) -> TableError {
        TableError {
            table: self.name.clone(),
            column: column.into(),
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Table};

    fn example() -> Table {
        let mut table = Table::new("t.parquet");
        table.push("n", vec![1_i64, 2]).unwrap();
        table.push("x", vec![None, Some(0.5)]).unwrap();
        let words = vec![Some("a,\"b\"".to_string()), Some(String::new())];
        table.push("word", words).unwrap();
        table.push("flag", vec![Some(true), None]).unwrap();
        table
    }

    #[test]
    fn errors_name_table_and_column() {
        let mut table = example();
        let text = |e: super::TableError| e.to_string();
        assert_eq!(
            text(table.ints("m").unwrap_err()),
            "table t.parquet, column \"m\": not there; the columns are n, x, word, flag"
        );
        assert_eq!(
            text(table.ints("x").unwrap_err()),
            "table t.parquet, column \"x\": expected int, got real"
        );
        assert_eq!(
            text(table.push("n", vec![1.0, 2.0]).unwrap_err()),
            "table t.parquet, column \"n\": given twice"
        );
        assert_eq!(
            text(table.push("y", vec![1.0]).unwrap_err()),
            "table t.parquet, column \"y\": has 1 rows where the table has 2"
        );
        assert_eq!(
            text(table.all_bools("flag").unwrap_err()),
            "table t.parquet, column \"flag\": row 1 is empty"
        );
    }

    #[test]
    fn a_missing_cell_is_no_zero() {
        let table = example();
        assert_eq!(table.reals("n").unwrap().as_ref(), [Some(1.0), Some(2.0)]);
        assert_eq!(table.reals("x").unwrap().as_ref(), [None, Some(0.5)]);
        let mut csv = Vec::new();
        table.write_csv(&mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert_eq!(csv, "n,x,word,flag\n1,,\"a,\"\"b\"\"\",true\n2,0.5,\"\",\n");
    }

    #[test]
    fn whole_numbers_may_be_written_as_reals() {
        let mut table = example();
        table.push("r", vec![Some(3.0), None]).unwrap();
        table.push("far", vec![Some(0.0), Some(1e300)]).unwrap();
        assert_eq!(table.wholes("n").unwrap().as_ref(), [Some(1), Some(2)]);
        assert_eq!(table.wholes("r").unwrap().as_ref(), [Some(3), None]);
        let told = |name| table.wholes(name).unwrap_err().to_string();
        assert_eq!(
            told("x"),
            "table t.parquet, column \"x\": row 1 holds 0.5, expected a whole number"
        );
        assert!(told("far").contains("row 1 holds 1000000"));
        assert!(told("word").contains("expected int, got text"));
    }

    #[test]
    fn appended_rows_keep_every_column() {
        let mut more = Table::new("u.parquet");
        more.push("x", vec![2.5]).unwrap();
        more.push("flag", Column::Real(vec![None])).unwrap();
        more.push("note", vec!["late".to_owned()]).unwrap();
        let both = example().appended(&more).unwrap();
        assert_eq!((both.name(), both.rows()), ("t.parquet", 3));
        assert_eq!(both.ints("n").unwrap(), [Some(1), Some(2), None]);
        assert_eq!(
            both.reals("x").unwrap().as_ref(),
            [None, Some(0.5), Some(2.5)]
        );
        assert_eq!(both.bools("flag").unwrap(), [Some(true), None, None]);
        let notes = both.texts("note").unwrap();
        assert_eq!(notes, [None, None, Some("late".to_owned())]);
        let mut wrong = Table::new("w.parquet");
        wrong.push("x", vec!["word".to_owned()]).unwrap();
        let error = example().appended(&wrong).unwrap_err().to_string();
        let expected = "table t.parquet, column \"x\": expected real, got text";
        assert_eq!(error, expected);
    }

    #[test]
    fn take_reorders_all_columns() {
        let table = example().take(&[1, 1, 0]);
        assert_eq!(table.rows(), 3);
        assert_eq!(table.all_ints("n").unwrap(), [2, 2, 1]);
        assert_eq!(
            table.get("x"),
            Some(&Column::Real(vec![Some(0.5), Some(0.5), None]))
        );
    }
}
