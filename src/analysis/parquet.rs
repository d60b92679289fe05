//! Parquet files to and from [`Table`]s. Numbers are widened to `f64` and `i64`; files are written with zstd, atomically.

use crate::base::csv;
use crate::base::file::{FileError, write_atomically};
use crate::base::parts::Parts;
use crate::base::table::{Column, Table};
use polars::prelude::{
    ArrowDataType, BooleanChunked, Column as Series, DataFrame, DataType, Float64Chunked,
    Int64Chunked, IntoColumn, NewChunkedArray, PolarsError, StringChunked,
};
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::ParquetWriter;
use rayon::prelude::*;
use std::fs::File;
use std::io;
use std::path::Path;

/// Reads a Parquet file, or CSV where its name ends so. The table is named by its path, so that errors name the file.
/// Columns of types that a table does not know (dates, lists, categories) are left out, and the table says which.
///
/// # Errors
/// A file that cannot be read or is no Parquet file.
pub fn read(path: &Path) -> Result<Table, FileError> {
    if csv::is_csv(path) {
        return csv::read(path);
    }
    let failed = |e: io::Error| FileError::new("cannot read", path, e);
    let file = File::open(path).map_err(failed)?;
    let damaged = |e: PolarsError| failed(io::Error::new(io::ErrorKind::InvalidData, plain(e)));
    let mut table = Table::new(path.display().to_string());
    let mut reader = ParquetReader::new(file);
    let mut known = Vec::new();
    // before anything is read: of some types polars has no code here
    for (place, field) in reader.schema().map_err(damaged)?.iter_values().enumerate() {
        match is_known(&field.dtype) {
            true => known.push(place),
            false => table.leave_out(field.name.as_str(), type_name(&field.dtype)),
        }
    }
    let reader = reader.with_projection(Some(known));
    let frame = reader.finish().map_err(damaged)?;
    for series in frame.columns() {
        let column = column(series).map_err(failed)?;
        table
            .push(series.name().as_str(), column)
            .map_err(|e| failed(io::Error::new(io::ErrorKind::InvalidData, e)))?;
    }
    Ok(table)
}

/// Rows of a group in the files written: few enough for a group to be small in memory, many enough to compress well.
const GROUP_ROWS: usize = 1 << 16;

/// Writes a Parquet file (zstd), or CSV where its name ends so, atomically. The same table gives the same bytes.
///
/// # Errors
/// What the system says; an old file of that name is untouched then.
pub fn write(table: &Table, path: &Path) -> Result<(), FileError> {
    write_parts(&Parts::of(table), path)
}

/// As [`write()`], a part at a time: while one is compressed and written, the next is made.
///
/// # Errors
/// As [`write()`], or the columns do not make a table.
pub fn write_parts(table: &Parts<'_>, path: &Path) -> Result<(), FileError> {
    if csv::is_csv(path) {
        return write_atomically(path, |out| table.write_csv(out));
    }
    let mut ranges = table.ranges(GROUP_ROWS);
    let mut make = || {
        let part = ranges.next().map(|rows| table.part(rows));
        part.map(|part| frame(part.map_err(io::Error::other)?))
            .transpose()
    };
    write_atomically(path, |out| {
        let mut next = make()?;
        let Some(first) = &next else { return Ok(()) };
        let writer = ParquetWriter::new(out).batched(first.schema());
        let mut writer = writer.map_err(plain)?;
        while let Some(part) = next {
            let (written, made) = rayon::join(|| writer.write_batch(&part), &mut make);
            written.map_err(plain)?;
            next = made?;
        }
        writer.finish().map_err(plain)?;
        Ok(())
    })
}

fn frame(table: Table) -> io::Result<DataFrame> {
    let (rows, columns) = (table.rows(), table.into_columns());
    let columns = columns.into_par_iter().map(|(name, c)| series(&name, &c));
    DataFrame::new(rows, columns.collect()).map_err(plain)
}

/// A polars error as an I/O error with polars' text.
fn plain(error: PolarsError) -> io::Error {
    io::Error::other(error.to_string())
}

fn is_known(kind: &ArrowDataType) -> bool {
    use ArrowDataType as A;
    let text = matches!(kind, A::Utf8 | A::LargeUtf8 | A::Utf8View);
    let real = matches!(kind, A::Float32 | A::Float64);
    let signed = matches!(kind, A::Int8 | A::Int16 | A::Int32 | A::Int64);
    let whole = signed || matches!(kind, A::UInt8 | A::UInt16 | A::UInt32 | A::UInt64);
    text || real || whole || matches!(kind, A::Null | A::Boolean)
}

/// The first word of a type, as Arrow has it: `Date32`, `LargeList`.
fn type_name(kind: &ArrowDataType) -> String {
    let text = format!("{kind:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or_default()
        .to_owned()
}

fn column(series: &Series) -> io::Result<Column> {
    let unknown = || {
        let (name, kind) = (series.name(), series.dtype());
        let text = format!("column \"{name}\" is of type {kind}, which tables do not know");
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let cast = |to: &DataType| series.strict_cast(to).map_err(plain);
    Ok(match series.dtype() {
        DataType::Boolean => Column::Bool(series.bool().map_err(plain)?.iter().collect()),
        DataType::String => Column::Text(
            (series.str().map_err(plain)?.iter())
                .map(|x| x.map(str::to_owned))
                .collect(),
        ),
        DataType::Float32 | DataType::Float64 => {
            let wide = cast(&DataType::Float64)?;
            Column::Real(wide.f64().map_err(plain)?.iter().collect())
        }
        t if t.is_integer() => {
            let wide = cast(&DataType::Int64)?;
            Column::Int(wide.i64().map_err(plain)?.iter().collect())
        }
        // a column in which nothing is present
        DataType::Null => Column::Real(vec![None; series.len()]),
        _ => return Err(unknown()),
    })
}

fn series(name: &str, column: &Column) -> Series {
    let name = name.into();
    match column {
        Column::Real(v) => {
            let cells = v.iter().map(|x| x.unwrap_or_default()).collect();
            let present = gaps(v).then(|| v.iter().map(Option::is_some).collect());
            Float64Chunked::from_vec_validity(name, cells, present).into_column()
        }
        Column::Int(v) => {
            let cells = v.iter().map(|x| x.unwrap_or_default()).collect();
            let present = gaps(v).then(|| v.iter().map(Option::is_some).collect());
            Int64Chunked::from_vec_validity(name, cells, present).into_column()
        }
        Column::Bool(v) => BooleanChunked::from_slice_options(name, v).into_column(),
        Column::Text(v) => {
            StringChunked::from_iter_options(name, v.iter().map(Option::as_deref)).into_column()
        }
    }
}

fn gaps<T>(cells: &[Option<T>]) -> bool {
    cells.iter().any(Option::is_none)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of more than two groups, with gaps that are regular, rare, everywhere, and nowhere.
    fn example() -> Table {
        let rows = 2 * GROUP_ROWS + 17;
        let some = |every: usize, k: usize| k % every != every - 1;
        let mut table = Table::new("example");
        let ints = (0..rows).map(|k| some(3, k).then_some((k * k) as i64 - 500));
        let rare = (0..rows).map(|k| some(rows - 3, k).then_some(k as f64 / 7.0));
        let bools = (0..rows).map(|k| some(5, k).then_some(k % 7 < 3));
        let words = (0..rows).map(|k| some(4, k).then(|| format!("word {}", k % 11)));
        let unlike = (0..rows).map(|k| format!("{:032x}", k * 0x9e37_79b9));
        table.push("int", ints.collect::<Vec<_>>()).unwrap();
        table.push("rare", rare.collect::<Vec<_>>()).unwrap();
        table.push("none", Column::Real(vec![None; rows])).unwrap();
        table
            .push("full", (0..rows as i64).collect::<Vec<_>>())
            .unwrap();
        table.push("flag", bools.collect::<Vec<_>>()).unwrap();
        table.push("word", words.collect::<Vec<_>>()).unwrap();
        table.push("unlike", unlike.collect::<Vec<_>>()).unwrap();
        table
    }

    /// Written by Python's polars 2.1.0: texts, categories, dates, lists, times, whole numbers.
    #[test]
    fn columns_of_other_types_are_left_out_and_named() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/types.parquet");
        let table = read(&path).unwrap();
        let names: Vec<&str> = table.columns().map(|(name, _)| name).collect();
        assert_eq!(names, ["arch", "batch"]);
        assert_eq!(table.all_texts("arch").unwrap(), ["a.json", "b.json"]);
        assert_eq!(table.all_ints("batch").unwrap(), [1, 2]);
        let left: Vec<&str> = table
            .left_out()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(left, ["kind", "day", "sizes", "when"]);
        let error = table.texts("kind").unwrap_err().to_string();
        assert!(
            error.contains("column \"kind\": is of type Dictionary"),
            "{error}"
        );
        assert!(
            table
                .texts("other")
                .unwrap_err()
                .to_string()
                .contains("not there")
        );
    }

    #[test]
    fn parts_are_read_as_the_table_that_they_make() {
        let folder = tempfile::tempdir().unwrap();
        let whole = example();
        let files = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let path = folder.path().join(format!("{threads}.parquet"));
            let pool = pool.build().unwrap();
            pool.install(|| write_parts(&Parts::of(&whole), &path))
                .unwrap();
            let found = read(&path).unwrap();
            assert_eq!(found.rows(), whole.rows());
            for ((name, found), (expected, column)) in found.columns().zip(whole.columns()) {
                assert_eq!(name, expected);
                assert!(found == column, "column {name}");
            }
            std::fs::read(&path).unwrap()
        });
        assert!(files[0] == files[1]);
    }

    #[test]
    fn a_table_without_rows_keeps_its_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        write(&example().take(&[]), &path).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.rows(), 0);
        let columns = found.columns().map(|(name, c)| (name, c.kind()));
        let expected = example();
        assert!(columns.eq(expected.columns().map(|(name, c)| (name, c.kind()))));
    }

    #[test]
    fn a_part_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        write(&example().take(&[0, 1]), &path).unwrap();
        let old = std::fs::read(&path).unwrap();
        let whole = example();
        let parts = Parts::new(whole.rows(), |rows| match rows.start {
            0 => Ok(whole.take(&rows.collect::<Vec<_>>())),
            start => Err(whole.wrong("int", start, "nothing", "something")),
        });
        let error = write_parts(&parts, &path).unwrap_err().to_string();
        assert!(error.contains("row 65536 holds nothing"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), old);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
