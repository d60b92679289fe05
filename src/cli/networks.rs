//! How the rows of a table name networks: by `arch`, by `space` and `choices`, or by `network` in an operator table.

use super::documents::Documents;
use super::failure::{Failure, Result};
use super::faults::Fault;
use super::files::Loaded;
use crate::analysis::parquet;
use crate::base::diag::nearest;
use crate::base::table::{Table, TableError};
use crate::blocks::Names;
use crate::calibrate::ops;
use crate::fuse::{FuseRules, Kernel, fuse};
use anyhow::anyhow;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

type Texts<'a> = &'a [Option<String>];
/// What each network of the operator tables is, or what is wrong with it.
type Operators = BTreeMap<String, std::result::Result<Arc<[Kernel]>, TableError>>;

/// The networks of a table's rows.
pub struct Networks<'a> {
    table: &'a Table,
    naming: Naming<'a>,
    batches: Option<Cow<'a, [Option<i64>]>>,
    batch: u32,
    rules: &'a FuseRules,
    documents: Documents,
    /// What was looked for in vain, by column and name: no file is read twice, no nearest name is sought twice.
    faulty: HashMap<(&'static str, String), Fault>,
}

/// What becomes of networks in operator tables that something is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The first is an error.
    Refused,
    /// Rows that name them have a fault.
    Kept,
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
        broken: Broken,
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
                let (sound, faults) = match broken {
                    Broken::Refused => (ops::networks(&table).map_err(input)?, BTreeMap::new()),
                    Broken::Kept => ops::sound_networks(&table).map_err(input)?,
                };
                let sound = sound.into_iter().map(|(name, list)| (name, Ok(list)));
                let faults = faults.into_iter().map(|(name, fault)| (name, Err(fault)));
                for (name, list) in sound.chain(faults) {
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
            faulty: HashMap::new(),
        })
    }

    /// All sound networks of the operator tables, also those that no row names.
    pub fn all(&self) -> Vec<(String, Arc<[Kernel]>)> {
        match &self.naming {
            Naming::Ops { kernels, .. } => {
                let all = kernels.iter();
                all.filter_map(|(n, k)| Some((n.clone(), Arc::clone(k.as_ref().ok()?))))
                    .collect()
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
        let found = self.look_up(row);
        found.map_err(|fault| fault.failure(self.table, row))
    }

    /// What one row calls its network; empty where it calls it nothing.
    pub fn name(&self, row: usize) -> String {
        match &self.naming {
            Naming::Ops { names, .. } => cell(names, row).unwrap_or_default().to_owned(),
            Naming::Files { arch, space } => match (arch.and_then(|a| cell(a, row)), *space) {
                (Some(file), _) => file.to_owned(),
                (None, Some((files, choices))) => {
                    let file = cell(files, row).unwrap_or_default();
                    let choices = cell(choices, row);
                    choices.map_or_else(|| file.to_owned(), |c| format!("{file} {c}"))
                }
                (None, None) => String::new(),
            },
        }
    }

    /// The network of one row, or what is wrong with it.
    pub fn look_up(&mut self, row: usize) -> std::result::Result<Network, Fault> {
        let empty = |column| Fault::cell(column, "nothing", "the name of a network");
        let batch = match self.batches.as_ref().and_then(|b| b.get(row).copied()) {
            None | Some(None) => self.batch,
            Some(Some(b)) => {
                let sound = u32::try_from(b).ok().filter(|b| (1..=65536).contains(b));
                sound.ok_or_else(|| Fault::cell("batch", b.to_string(), "1 to 65536"))?
            }
        };
        let name = self.name(row);
        let (column, file, choices) = match &self.naming {
            Naming::Ops {
                column,
                names,
                sizes,
                kernels,
                ..
            } => {
                let name = cell(names, row).ok_or_else(|| empty(column))?;
                let size = sizes.as_ref().and_then(|s| s.get(row).copied().flatten());
                let sized = size.map_or_else(|| name.to_owned(), |s| format!("{name}@{s}"));
                let key = (*column, sized);
                if let Some(fault) = self.faulty.get(&key) {
                    return Err(fault.clone());
                }
                let found = named(kernels, column, name, size).inspect_err(|fault| {
                    self.faulty.insert(key, fault.clone());
                })?;
                return Ok(Network {
                    name: name.to_owned(),
                    kernels: Arc::clone(found),
                    batch,
                });
            }
            Naming::Files { arch, space } => match (arch.and_then(|a| cell(a, row)), *space) {
                (Some(file), _) => ("arch", file, None),
                (None, Some((files, choices))) => {
                    let file = cell(files, row).ok_or_else(|| empty("space"))?;
                    ("space", file, cell(choices, row))
                }
                (None, None) => return Err(empty("arch")),
            },
        };
        let key = (column, file.to_owned());
        if let Some(fault) = self.faulty.get(&key) {
            return Err(fault.clone());
        }
        let Loaded { space, program, .. } = match self.documents.get(file) {
            Ok(loaded) => loaded,
            Err(failure) => {
                let fault = Fault::document(column, file, failure);
                self.faulty.insert(key, fault.clone());
                return Err(fault);
            }
        };
        let invalid = |problems| Fault::Document {
            file: file.to_owned(),
            choices: true,
            problems,
        };
        let json = serde_json::from_str(choices.unwrap_or("{}")).map_err(|e| {
            let got = choices.unwrap_or_default();
            Fault::cell("choices", got, "a JSON object of decisions").because(e.to_string())
        })?;
        let assignment = space.assignment_from_json(&json).map_err(invalid)?;
        let graph = program.lower(&assignment, Names::Off).map_err(invalid)?;
        Ok(Network {
            name,
            kernels: fuse(&graph, self.rules).list.into(),
            batch,
        })
    }
}

fn cell<'a>(texts: Texts<'a>, row: usize) -> Option<&'a str> {
    texts.get(row).and_then(|text| text.as_deref())
}

/// The kernels of a network that a row calls by name, and by size where it gives one.
fn named<'k>(
    operators: &'k Operators,
    column: &'static str,
    name: &str,
    size: Option<i64>,
) -> std::result::Result<&'k Arc<[Kernel]>, Fault> {
    let wrong = |expected: String| Fault::cell(column, format!("\"{name}\""), expected);
    let sound = |(key, kernels): (&str, &'k std::result::Result<_, TableError>)| {
        kernels.as_ref().map_err(|error| Fault::Operators {
            network: key.to_owned(),
            error: Box::new(error.clone()),
        })
    };
    let exact = size.map(|s| format!("{name}@{s}"));
    for key in exact.iter().map(String::as_str).chain([name]) {
        if let Some(found) = operators.get(key) {
            return sound((key, found));
        }
    }
    let start = format!("{name}@");
    let sized: Vec<_> = operators
        .range(start.clone()..)
        .map_while(|(key, list)| Some((key.strip_prefix(&start)?, key.as_str(), list)))
        .collect();
    match (sized.as_slice(), size) {
        ([], _) => {
            let known = operators.keys().map(|k| k.split('@').next().unwrap_or(k));
            let hint = nearest(name, known);
            let hint = hint.map_or(String::new(), |near| format!("did you mean \"{near}\"?"));
            Err(wrong("a network of the operator tables".to_owned()).because(hint))
        }
        ([(_, key, only)], None) => sound((key, only)),
        (all, asked) => {
            let sizes: Vec<_> = all.iter().map(|(size, ..)| *size).collect();
            let sizes = sizes.join(", ");
            let (expected, kind) = match asked {
                Some(asked) => (
                    format!(
                        "with an img_size of {sizes}, which the operator tables have, not {asked}"
                    ),
                    "an img_size that the operator tables have",
                ),
                None => (
                    format!("a column img_size beside it: the operator tables have {sizes}"),
                    "a column img_size beside it",
                ),
            };
            Err(wrong(expected).like(kind))
        }
    }
}
