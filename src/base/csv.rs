//! CSV files as tables: what a build without Parquet writes, and every build with tables reads.

use super::file::{FileError, write_atomically};
use super::table::{Column, Table};
use std::io::{self, Write};
use std::path::Path;

/// Endings of names of columns that hold numbers with a unit; in such a column without a cell nothing says so but its name.
const UNITS: &[&str] = &["_s", "_j", "_w", "_c", "_share", "_1m"];

/// True for files that end in `.csv`.
pub fn is_csv(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("csv"))
}

/// Reads a file as [`Table::write_csv`] writes it. A column is of the narrowest type that all its cells have; an empty cell
/// is missing, `""` an empty text.
///
/// # Errors
/// A file that cannot be read, rows of different lengths, a quote that does not end, two columns of one name.
pub fn read(path: &Path) -> Result<Table, FileError> {
    let failed = |e: io::Error| FileError::new("cannot read", path, e);
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse(&path.display().to_string(), &text)
        .map_err(|why| failed(io::Error::new(io::ErrorKind::InvalidData, why)))
}

/// Writes a table, behind the rows that the file has where it is there with the same columns.
///
/// # Errors
/// What the system says, or other columns; an old file is untouched then.
pub fn append(table: &Table, path: &Path) -> Result<(), FileError> {
    let failed = |e: io::Error| FileError::new("cannot add to", path, e);
    let mut new = Vec::new();
    table.write_csv(&mut new).map_err(failed)?;
    let old = match path.exists() {
        true => std::fs::read(path).map_err(failed)?,
        false => Vec::new(),
    };
    let head = |bytes: &[u8]| {
        bytes
            .iter()
            .position(|b| *b == b'\n')
            .map_or(0, |at| at + 1)
    };
    let rows = match old.is_empty() {
        true => &new[..],
        false if old[..head(&old)] == new[..head(&new)] => &new[head(&new)..],
        false => return Err(failed(io::Error::other("it has other columns"))),
    };
    write_atomically(path, |out| {
        out.write_all(&old)?;
        out.write_all(rows)
    })
}

/// A field, and whether it stood in quotes.
type Field = (String, bool);

fn records(text: &str) -> Result<Vec<Vec<Field>>, String> {
    let mut records = vec![vec![Field::default()]];
    let mut chars = text.chars().peekable();
    let mut inside = false;
    while let Some(c) = chars.next() {
        let count = records.len();
        let Some(record) = records.last_mut() else {
            break;
        };
        let Some(field) = record.last_mut() else {
            break;
        };
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                chars.next();
                field.0.push('"');
            }
            '"' if inside => inside = false,
            '"' if field.0.is_empty() => (inside, field.1) = (true, true),
            '"' => return Err(format!("row {count}: a quote within a field")),
            ',' if !inside => record.push(Field::default()),
            '\r' if !inside && chars.peek() == Some(&'\n') => {}
            '\n' if !inside => records.push(vec![Field::default()]),
            c => field.0.push(c),
        }
    }
    if inside {
        return Err("a quote does not end".to_owned());
    }
    // the line break at the end begins no row
    records.pop_if(|last| matches!(last.as_slice(), [(text, false)] if text.is_empty()));
    Ok(records)
}

fn parse(name: &str, text: &str) -> Result<Table, String> {
    let mut records = records(text)?.into_iter();
    let head = records.next().ok_or("it is empty")?;
    let mut columns: Vec<Vec<Option<Field>>> = vec![Vec::new(); head.len()];
    for (number, record) in (2..).zip(records) {
        if record.len() != head.len() {
            let (got, want) = (record.len(), head.len());
            return Err(format!("row {number} has {got} cells, the head has {want}"));
        }
        for (column, field) in columns.iter_mut().zip(record) {
            let there = field.1 || !field.0.is_empty();
            column.push(there.then_some(field));
        }
    }
    let mut table = Table::new(name);
    for ((head, _), cells) in head.into_iter().zip(columns) {
        let column = typed(&head, cells);
        table.push(&head, column).map_err(|e| e.to_string())?;
    }
    Ok(table)
}

fn typed(name: &str, cells: Vec<Option<Field>>) -> Column {
    fn all<T: std::str::FromStr>(cells: &[Option<Field>]) -> Option<Vec<Option<T>>> {
        let cell = |cell: &Option<Field>| match cell {
            None => Some(None),
            Some((_, true)) => None,
            Some((text, false)) => text.parse().ok().map(Some),
        };
        cells.iter().map(cell).collect()
    }
    if cells.iter().all(Option::is_none) && UNITS.iter().any(|u| name.ends_with(u)) {
        return Column::Real(vec![None; cells.len()]);
    }
    if cells.iter().any(Option::is_some) {
        if let Some(cells) = all(&cells) {
            return Column::Int(cells);
        }
        if let Some(cells) = all(&cells) {
            return Column::Real(cells);
        }
        if let Some(cells) = all(&cells) {
            return Column::Bool(cells);
        }
    }
    Column::Text(cells.into_iter().map(|c| c.map(|(text, _)| text)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("t");
        table.push("n", vec![Some(1), None]).unwrap();
        table
            .push("latency_s", vec![Some(0.5), Some(1e-3)])
            .unwrap();
        let words = ["a, \"b\"\nc", ""].map(|w| Some(w.to_owned())).to_vec();
        table.push("word", words).unwrap();
        table.push("flag", vec![Some(true), None]).unwrap();
        table.push("energy_j", vec![None::<f64>; 2]).unwrap();
        table
    }

    #[test]
    fn what_is_written_is_read_and_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        append(&table(), &path).unwrap();
        let columns = |t: &Table| -> Vec<(String, Column)> {
            t.columns()
                .map(|(n, c)| (n.to_owned(), c.clone()))
                .collect()
        };
        assert_eq!(columns(&read(&path).unwrap()), columns(&table()));
        append(&table(), &path).unwrap();
        assert_eq!(read(&path).unwrap().rows(), 4);
        let mut other = Table::new("t");
        other.push("n", vec![Some(1)]).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(append(&other, &path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn damaged_files_are_told() {
        let told = |text: &str| parse("t", text).unwrap_err();
        assert_eq!(told(""), "it is empty");
        assert_eq!(told("a,b\n1\n"), "row 2 has 1 cells, the head has 2");
        assert_eq!(told("a\n\"x\n"), "a quote does not end");
        assert!(told("a,a\n1,2\n").contains("a"));
        assert!(parse("t", "a,b\r\n1,x\r\n").is_ok());
    }
}
