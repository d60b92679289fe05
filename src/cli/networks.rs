//! How the rows of a table name networks: by `arch`, by `space` and `choices`, or by `network` in an operator table.

use super::documents::Documents;
use super::failure::{Failure, Result};
use super::files::Loaded;
use crate::analysis::parquet;
use crate::base::diag::nearest;
use crate::base::table::Table;
use crate::blocks::Names;
use crate::calibrate::ops;
use crate::fuse::{FuseRules, Kernel, fuse};
use anyhow::anyhow;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

type Texts<'a> = &'a [Option<String>];
type Operators = BTreeMap<String, Arc<[Kernel]>>;

/// The networks of a table's rows.
pub struct Networks<'a> {
    table: &'a Table,
    naming: Naming<'a>,
    batches: Option<Cow<'a, [Option<i64>]>>,
    batch: u32,
    rules: &'a FuseRules,
    documents: Documents,
}

enum Naming<'a> {
    Ops {
        column: &'static str,
        names: Texts<'a>,
        sizes: Option<Cow<'a, [Option<i64>]>>,
        kernels: Operators,
        strange: BTreeSet<String>,
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
        let wholes = |name: &str| {
            table
                .get(name)
                .map(|_| table.wholes(name))
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
            let column = match (table.get("network"), table.get("model")) {
                (None, Some(_)) => "model",
                _ => "network",
            };
            let names = table.texts(column).map_err(input)?;
            let mut kernels = BTreeMap::new();
            let mut strange = BTreeSet::new();
            for path in ops_tables {
                let table = parquet::read(path)?;
                strange.extend(ops::strange(&table).map_err(input)?);
                for (name, list) in ops::networks(&table).map_err(input)? {
                    if kernels.contains_key(&name) {
                        let path = path.display();
                        return Err(input(anyhow!(
                            "{path} has the network \"{name}\", which an operator table before it has, too"
                        )));
                    }
                    kernels.insert(name, list);
                }
            }
            Naming::Ops {
                column,
                names,
                sizes: wholes("img_size")?,
                kernels,
                strange,
            }
        };
        Ok(Self {
            table,
            naming,
            batches: wholes("batch")?,
            batch,
            rules,
            documents: Documents::default(),
        })
    }

    /// All networks of the operator tables, also those that no row names.
    pub fn all(&self) -> Vec<(String, Arc<[Kernel]>)> {
        match &self.naming {
            Naming::Ops { kernels, .. } => {
                let all = kernels.iter();
                all.map(|(n, k)| (n.clone(), Arc::clone(k))).collect()
            }
            Naming::Files { .. } => Vec::new(),
        }
    }

    /// What a reader should know of the operator tables: names of ATen that nothing is known of.
    pub fn doubt(&self) -> Option<String> {
        let Naming::Ops { strange, .. } = &self.naming else {
            return None;
        };
        let names: Vec<&str> = strange.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| format!("taken for `other`: {}", names.join(", ")))
    }

    /// The network of one row.
    pub fn get(&mut self, row: usize) -> Result<Network> {
        let table = self.table;
        let wrong = |column: &str, got: &str, expected: &str| {
            input(table.wrong(column, row, got, expected))
        };
        let empty = |column: &str| wrong(column, "nothing", "the name of a network");
        let batch = match self.batches.as_ref().and_then(|b| b.get(row).copied()) {
            None | Some(None) => self.batch,
            Some(Some(b)) => {
                let sound = u32::try_from(b).ok().filter(|b| (1..=65536).contains(b));
                sound.ok_or_else(|| wrong("batch", &b.to_string(), "1 to 65536"))?
            }
        };
        let cell = |texts: Texts<'a>| texts.get(row).and_then(|t| t.as_deref());
        let (file, choices) = match &self.naming {
            Naming::Ops {
                column,
                names,
                sizes,
                kernels,
                ..
            } => {
                let name = cell(names).ok_or_else(|| empty(column))?;
                let size = sizes.as_ref().and_then(|s| s.get(row).copied().flatten());
                let kernels = named(kernels, name, size)
                    .map_err(|expected| wrong(column, &format!("\"{name}\""), &expected))?;
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
        let column = match &self.naming {
            Naming::Files { arch, .. } if arch.and_then(cell).is_some() => "arch",
            _ => "space",
        };
        let unread = |error| match error {
            // a file that cannot be read is one that the table should not name
            Failure::Other(why) => {
                let expected = format!("the path of a document ({why:#})");
                wrong(column, file, &expected)
            }
            other => other,
        };
        let Loaded { space, program, .. } = self.documents.get(file).map_err(unread)?;
        let invalid = |d| Failure::invalid(&format!("{file}, row {row} of {}", table.name()), d);
        let json = serde_json::from_str(choices.unwrap_or("{}")).map_err(|e| {
            let expected = format!("a JSON object of decisions ({e})");
            wrong("choices", choices.unwrap_or_default(), &expected)
        })?;
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

/// The kernels of a network that a row calls by name, and by size where it gives one; else what would have been right.
fn named<'k>(
    kernels: &'k Operators,
    name: &str,
    size: Option<i64>,
) -> std::result::Result<&'k Arc<[Kernel]>, String> {
    let exact = size.and_then(|s| kernels.get(&format!("{name}@{s}")));
    if let Some(found) = exact.or_else(|| kernels.get(name)) {
        return Ok(found);
    }
    let start = format!("{name}@");
    let sized: Vec<_> = kernels
        .range(start.clone()..)
        .map_while(|(key, list)| Some((key.strip_prefix(&start)?, list)))
        .collect();
    match (sized.as_slice(), size) {
        ([], _) => {
            let known = kernels.keys().map(|k| k.split('@').next().unwrap_or(k));
            let hint = nearest(name, known);
            let hint = hint.map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
            Err(format!("a network of the operator tables{hint}"))
        }
        ([(_, only)], None) => Ok(only),
        (all, asked) => {
            let sizes: Vec<_> = all.iter().map(|(size, _)| *size).collect();
            let sizes = sizes.join(", ");
            Err(match asked {
                Some(asked) => {
                    format!(
                        "with an img_size of {sizes}, which the operator tables have, not {asked}"
                    )
                }
                None => format!("a column img_size beside it: the operator tables have {sizes}"),
            })
        }
    }
}
