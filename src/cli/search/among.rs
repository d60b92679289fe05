//! `--among`: the table that limits a search.

use crate::base::table::Table;
use crate::cli::failure::{Failure, Result};
use crate::cli::out::{Out, grouped};
use crate::search::among::Members;
use crate::space::Space;
use std::path::Path;

/// The networks of the table at `path`. Rows that are none of the space are passed over with a note.
pub fn members(path: &Path, space: &Space, out: &Out) -> Result<Members> {
    let table = read(path, out)?;
    let members = Members::of(&table, space).map_err(|e| Failure::Input(e.into()))?;
    if let (count @ 1.., Some(why)) = &members.foreign {
        out.note(&format!(
            "note: {} of {} rows of {} are no networks of the space; {why}",
            grouped(*count as u64),
            grouped(table.rows() as u64),
            path.display()
        ));
    }
    Ok(members)
}

#[cfg(feature = "analysis")]
fn read(path: &Path, out: &Out) -> Result<Table> {
    crate::cli::files::read_table(path, out)
}

#[cfg(not(feature = "analysis"))]
fn read(path: &Path, _: &Out) -> Result<Table> {
    if !crate::base::csv::is_csv(path) {
        return Err(Failure::Usage(format!(
            "--among {}: this program reads CSV tables only",
            path.display()
        )));
    }
    Ok(crate::base::csv::read(path)?)
}
