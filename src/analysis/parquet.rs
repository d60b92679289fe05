//! Parquet files to and from [`Table`]s. Numbers are widened to `f64` and `i64`; files are written with zstd, atomically.

use crate::base::csv;
use crate::base::file::{FileError, write_atomically};
use crate::base::table::{Column, Table};
use polars::prelude::{
    BooleanChunked, Column as Series, DataFrame, DataType, Float64Chunked, Int64Chunked,
    IntoColumn, NewChunkedArray, PolarsError, StringChunked,
};
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::ParquetWriter;
use std::fs::File;
use std::io;
use std::path::Path;

/// Reads a Parquet file, or CSV where its name ends so. The table is named by its path, so that errors name the file.
///
/// # Errors
/// A file that cannot be read or is no Parquet file, a column of a type that a table does not know.
pub fn read(path: &Path) -> Result<Table, FileError> {
    if csv::is_csv(path) {
        return csv::read(path);
    }
    let failed = |e: io::Error| FileError::new("cannot read", path, e);
    let file = File::open(path).map_err(failed)?;
    let damaged = |e: PolarsError| failed(io::Error::new(io::ErrorKind::InvalidData, plain(e)));
    let frame = ParquetReader::new(file).finish().map_err(damaged)?;
    let mut table = Table::new(path.display().to_string());
    for series in frame.columns() {
        let column = column(series).map_err(failed)?;
        table
            .push(series.name().as_str(), column)
            .map_err(|e| failed(io::Error::new(io::ErrorKind::InvalidData, e)))?;
    }
    Ok(table)
}

/// Writes a Parquet file (zstd), or CSV where its name ends so, atomically. The same table gives the same bytes.
///
/// # Errors
/// What the system says; an old file of that name is untouched then.
pub fn write(table: &Table, path: &Path) -> Result<(), FileError> {
    if csv::is_csv(path) {
        return write_atomically(path, |out| table.write_csv(out));
    }
    let columns = table.columns().map(|(name, c)| series(name, c)).collect();
    write_atomically(path, |out| {
        let mut frame = DataFrame::new(table.rows(), columns).map_err(plain)?;
        ParquetWriter::new(out).finish(&mut frame).map_err(plain)?;
        Ok(())
    })
}

/// A polars error as an I/O error with polars' text.
fn plain(error: PolarsError) -> io::Error {
    io::Error::other(error.to_string())
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
        Column::Real(v) => Float64Chunked::from_slice_options(name, v).into_column(),
        Column::Int(v) => Int64Chunked::from_slice_options(name, v).into_column(),
        Column::Bool(v) => BooleanChunked::from_slice_options(name, v).into_column(),
        Column::Text(v) => {
            StringChunked::from_iter_options(name, v.iter().map(Option::as_deref)).into_column()
        }
    }
}
