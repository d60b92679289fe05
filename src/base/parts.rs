//! Tables that are made a part at a time: a million rows need not be in memory at once to be written.

use super::table::{Table, TableError};
use std::io::{self, Write};
use std::ops::Range;

/// Rows of a part of a CSV file.
const CSV_ROWS: usize = 1 << 14;

/// A table that makes its rows when they are asked for.
pub struct Parts<'a> {
    rows: usize,
    part: Box<dyn Fn(Range<usize>) -> Result<Table, TableError> + Sync + 'a>,
}

impl<'a> Parts<'a> {
    /// Of so many rows. `part` makes those of a range as a table; names and types of the columns have to be the same for
    /// each range, also for an empty one.
    pub fn new(
        rows: usize,
        part: impl Fn(Range<usize>) -> Result<Table, TableError> + Sync + 'a,
    ) -> Self {
        let part = Box::new(part);
        Self { rows, part }
    }

    /// Of a table that is there.
    pub fn of(table: &'a Table) -> Self {
        Self::new(table.rows(), |rows| {
            Ok(table.take(&rows.collect::<Vec<_>>()))
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The ranges of parts of at most `length` rows, in order; a table without rows has one, which is empty.
    pub fn ranges(&self, length: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, length) = (self.rows, length.max(1));
        let count = rows.div_ceil(length).max(1);
        (0..count).map(move |k| k * length..rows.min((k + 1) * length))
    }

    /// The rows of a range.
    ///
    /// # Errors
    /// The columns do not make a table.
    pub fn part(&self, rows: Range<usize>) -> Result<Table, TableError> {
        (self.part)(rows)
    }

    /// Writes all rows as [`Table::write_csv`] does.
    ///
    /// # Errors
    /// What the writer says, or the columns do not make a table.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        for rows in self.ranges(CSV_ROWS) {
            let first = rows.start == 0;
            let part = self.part(rows).map_err(io::Error::other)?;
            match first {
                true => part.write_csv(out)?,
                false => part.write_csv_rows(out)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_whole() {
        for rows in [0, 1, CSV_ROWS, 2 * CSV_ROWS + 1] {
            let mut table = Table::new("t");
            let words = (0..rows).map(|k| (k % 3 > 0).then(|| format!("w{k}")));
            table
                .push("k", (0..rows as i64).collect::<Vec<_>>())
                .unwrap();
            table.push("word", words.collect::<Vec<_>>()).unwrap();
            let parts = Parts::of(&table);
            let (mut whole, mut joined) = (Vec::new(), Vec::new());
            table.write_csv(&mut whole).unwrap();
            parts.write_csv(&mut joined).unwrap();
            assert!(whole == joined, "{rows} rows");
            for length in [1, 5, 1000].into_iter().filter(|n| rows / n < 20_000) {
                let ranges: Vec<_> = parts.ranges(length).collect();
                assert!(ranges.iter().all(|r| r.len() <= length));
                assert_eq!(ranges.first().unwrap().start, 0);
                assert_eq!(ranges.last().unwrap().end, rows);
                assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
            }
        }
    }
}
