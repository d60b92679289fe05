//! How the rows of a table name networks: by `arch`, by `space` and `choices`, or by `network` in an operator table.

use super::failure::{Failure, Result};
use super::files::load;
use crate::analysis::parquet;
use crate::base::table::Table;
use crate::blocks::{Names, Program};
use crate::calibrate::ops;
use crate::fuse::{FuseRules, Kernel, fuse};
use crate::space::Space;
use anyhow::anyhow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Texts<'a> = &'a [Option<String>];

/// The networks of a table's rows.
pub struct Networks<'a> {
    naming: Naming<'a>,
    batches: Option<&'a [Option<i64>]>,
    batch: u32,
    rules: &'a FuseRules,
    documents: HashMap<String, (Space, Program)>,
}

enum Naming<'a> {
    Ops {
        names: Texts<'a>,
        sizes: Option<&'a [Option<i64>]>,
        kernels: BTreeMap<String, Arc<[Kernel]>>,
    },
    Files {
        arch: Option<Texts<'a>>,
        space: Option<(Texts<'a>, Texts<'a>)>,
    },
}

/// One row's network.
pub struct Network {
    /// What names it.
    pub name: String,
    /// Its kernels.
    pub kernels: Arc<[Kernel]>,
    /// Samples at once.
    pub batch: u32,
}

/// A table that does not make sense.
pub fn input(error: impl Into<anyhow::Error>) -> Failure {
    Failure::Input(error.into())
}

impl<'a> Networks<'a> {
    /// The networks that the rows of `table` name. `batch` holds where the table has no such column.
    pub fn open(
        table: &'a Table,
        ops_tables: &[PathBuf],
        rules: &'a FuseRules,
        batch: u32,
    ) -> Result<Self> {
        let texts = |name: &str| {
            table
                .get(name)
                .map(|_| table.texts(name))
                .transpose()
                .map_err(input)
        };
        let ints = |name: &str| {
            table
                .get(name)
                .map(|_| table.ints(name))
                .transpose()
                .map_err(input)
        };
        let naming = if ops_tables.is_empty() {
            let arch = texts("arch")?;
            let space = texts("space")?;
            let space = match space {
                Some(space) => Some((space, table.texts("choices").map_err(input)?)),
                None => None,
            };
            if arch.is_none() && space.is_none() {
                let hint = "it needs a column `arch`, or `space` and `choices`, or --ops and a column `network`";
                return Err(input(anyhow!("{} names no networks: {hint}", table.name())));
            }
            Naming::Files { arch, space }
        } else {
            let names = table.texts("network").map_err(input)?;
            let mut kernels = BTreeMap::new();
            for path in ops_tables {
                kernels.extend(ops::networks(&parquet::read(path)?).map_err(input)?);
            }
            Naming::Ops {
                names,
                sizes: ints("img_size")?,
                kernels,
            }
        };
        Ok(Self {
            naming,
            batches: ints("batch")?,
            batch,
            rules,
            documents: HashMap::new(),
        })
    }

    /// The network of one row.
    pub fn get(&mut self, row: usize) -> Result<Network> {
        let empty = |what: &str| input(anyhow!("row {row}: {what} is empty"));
        let batch = match self.batches.and_then(|b| b.get(row).copied().flatten()) {
            None => self.batch,
            Some(b) => {
                let sound = u32::try_from(b).ok().filter(|b| (1..=65536).contains(b));
                sound.ok_or_else(|| input(anyhow!("row {row}: a batch of {b} makes no sense")))?
            }
        };
        let cell = |texts: Texts<'a>| texts.get(row).and_then(|t| t.as_deref());
        let (file, choices) = match &self.naming {
            Naming::Ops {
                names,
                sizes,
                kernels,
            } => {
                let name = cell(names).ok_or_else(|| empty("network"))?;
                let size = sizes.and_then(|s| s.get(row).copied().flatten());
                let sized = size.map(|s| format!("{name}@{s}"));
                let found = sized
                    .and_then(|s| kernels.get(&s))
                    .or_else(|| kernels.get(name));
                let kernels = found.ok_or_else(|| {
                    input(anyhow!(
                        "row {row}: no operator table has the network \"{name}\""
                    ))
                })?;
                return Ok(Network {
                    name: name.to_owned(),
                    kernels: Arc::clone(kernels),
                    batch,
                });
            }
            Naming::Files { arch, space } => match (arch.and_then(cell), *space) {
                (Some(file), _) => (file, None),
                (None, Some((files, choices))) => {
                    (cell(files).ok_or_else(|| empty("space"))?, cell(choices))
                }
                (None, None) => return Err(empty("arch")),
            },
        };
        if !self.documents.contains_key(file) {
            let loaded = load(Path::new(file), &[])?;
            self.documents
                .insert(file.to_owned(), (loaded.space, loaded.program));
        }
        let Some((space, program)) = self.documents.get(file) else {
            return Err(empty("space"));
        };
        let invalid = |d| Failure::invalid(&format!("{file}, row {row} of the table"), d);
        let json = serde_json::from_str(choices.unwrap_or("{}"))
            .map_err(|e| input(anyhow!("row {row}: `choices` is no JSON: {e}")))?;
        let assignment = space.assignment_from_json(&json).map_err(invalid)?;
        let graph = program.lower(&assignment, Names::Off).map_err(invalid)?;
        let name = choices.map_or_else(|| file.to_owned(), |c| format!("{file} {c}"));
        Ok(Network {
            name,
            kernels: fuse(&graph, self.rules).list.into(),
            batch,
        })
    }
}
