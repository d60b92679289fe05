//! What the evaluator of an earlier run told, for a run that starts from it.
//!
//! An answer belongs to a network, and a network is its fingerprint: whatever else differs between two runs, an answer of
//! one holds for the other. Counts and predictions are not carried over, for they are worked out in a microsecond and
//! depend on devices. Nor is a failure: it may not come again.
//!
//! What is carried over is written to a file of the new run's folder, so that a resumed run has it too and the old folder
//! may go. The file has the lines of a journal.

use super::driver::space_fingerprint;
use super::journal::{self, Journal, JournalError};
use super::metric::Metric;
use super::record;
use crate::base::file::{FileError, write_atomically};
use crate::base::hash::{ByKey, Fingerprint, Hasher};
use crate::space::{Assignment, Space};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// The format that headers name.
pub const FORMAT: &str = "blocksmith-known/1";

/// Why nothing can be carried over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownError {
    /// A file cannot be read, or is damaged.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The new file cannot be written.
    #[error("{0}")]
    File(#[from] FileError),
}

/// Answers by network.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The evaluator's metrics.
    metrics: Vec<String>,
    places: ByKey<usize>,
    rows: Vec<Told>,
}

#[derive(Clone, Debug)]
struct Told {
    fingerprint: Fingerprint,
    /// In this space; `None` where it was found in another.
    assignment: Option<Assignment>,
    values: Box<[f64]>,
}

impl Known {
    /// All that the run in folder `old` knows, what it had carried over itself included. Answers that have none of
    /// `metrics` are left out. Nothing there is changed; somebody may be searching there.
    ///
    /// # Errors
    /// The journal there cannot be read, or is damaged.
    pub fn gather(old: &Path, space: &Space, metrics: &[Metric]) -> Result<Self, KnownError> {
        let mut known = Self {
            metrics: metrics.iter().map(ToString::to_string).collect(),
            ..Self::default()
        };
        let journal = super::folder::journal_of(old);
        known.take_in(&journal, space)?;
        let before = super::folder::known_of(old);
        if before.exists() {
            known.take_in(&before, space)?;
        }
        Ok(known)
    }

    /// What was carried over to the run whose file this is.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or was carried over for other metrics.
    pub fn read(path: &Path, space: &Space, metrics: &[Metric]) -> Result<Self, KnownError> {
        let mut known = Self {
            metrics: metrics.iter().map(ToString::to_string).collect(),
            ..Self::default()
        };
        let count = known.take_in(path, space)?;
        if count != Some(known.rows.len() as u64) {
            let what = format!(
                "it has {} answers for {}, which is not what was carried over",
                known.rows.len(),
                known.metrics.join(", ")
            );
            return Err(JournalError::unfit(path, 1, what).into());
        }
        Ok(known)
    }

    /// Takes in the rows of a file; gives what its header says of their number.
    fn take_in(&mut self, path: &Path, space: &Space) -> Result<Option<u64>, JournalError> {
        let mut header = Header::default();
        Journal::look_into(path, |line, text| {
            if line == 0 {
                header = Header::read(text, &self.metrics, space)?;
            } else if !header.places.is_empty() {
                self.add(record::read_old(text)?, &header, space);
            }
            Ok(())
        })?;
        Ok(header.count)
    }

    fn add(&mut self, old: record::Old, header: &Header, space: &Space) {
        let value = |place: &usize| old.metrics.get(*place).copied().flatten();
        let values = header.places.iter().map(|p| value(p).unwrap_or(f64::NAN));
        let values: Box<[f64]> = values.collect();
        if old.failed || values.iter().all(|x| x.is_nan()) {
            return;
        }
        let place = self.rows.len();
        if *self.places.entry(old.fingerprint.0).or_insert(place) == place {
            let choices = old.choices.filter(|_| header.same_space);
            self.rows.push(Told {
                fingerprint: old.fingerprint,
                assignment: choices
                    .map(Assignment::from_positions)
                    .filter(|a| space.is_valid(a)),
                values,
            });
        }
    }

    /// Writes it to a file of a run.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path, space: &Space) -> Result<(), FileError> {
        let header = json!({
            "format": FORMAT,
            "space": space_fingerprint(space).to_string(),
            "metrics": self.metrics,
            "count": self.rows.len(),
        });
        let rows = self
            .rows
            .iter()
            .map(|t| record::write_told(t.fingerprint, t.assignment.as_ref(), &t.values, space));
        let lines = journal::framed(&header, rows);
        write_atomically(path, |out| out.write_all(&lines))
    }

    /// The identity of all of it.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Hasher::new();
        self.metrics.iter().for_each(|metric| hasher.text(metric));
        for told in &self.rows {
            hasher.bytes(&told.fingerprint.0.to_le_bytes());
            for value in &told.values {
                hasher.u64(value.to_bits());
            }
        }
        hasher.finish()
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The networks in the order of the run that they come from, those of them that are members of the space.
    pub fn assignments(&self) -> Vec<Assignment> {
        let each = self.rows.iter().filter_map(|t| t.assignment.clone());
        each.collect()
    }

    /// What the evaluator told of a network: a value for each of its metrics, NaN where one is missing.
    pub fn answer(&self, fingerprint: Fingerprint) -> Option<&[f64]> {
        let place = *self.places.get(&fingerprint.0)?;
        self.rows.get(place).map(|told| &*told.values)
    }
}

/// What the first line says.
#[derive(Default)]
struct Header {
    /// Where the metrics stand in a row; empty where one does not.
    places: Vec<usize>,
    same_space: bool,
    count: Option<u64>,
}

impl Header {
    fn read(text: &str, metrics: &[String], space: &Space) -> Result<Self, String> {
        let header: Value =
            serde_json::from_str(&format!("{{{text}}}")).map_err(|e| e.to_string())?;
        let field = |name: &str| header.get(name).unwrap_or(&Value::Null);
        if !field("format")
            .as_str()
            .is_some_and(|f| [journal::FORMAT, FORMAT].contains(&f))
        {
            return Err(format!("its format is {}", field("format")));
        }
        let names = field("metrics").as_array().map_or(&[][..], Vec::as_slice);
        let place = |metric: &String| names.iter().position(|n| n.as_str() == Some(metric));
        let places: Option<Vec<usize>> = metrics.iter().map(place).collect();
        Ok(Self {
            places: places.unwrap_or_default(),
            same_space: *field("space") == space_fingerprint(space).to_string(),
            count: field("count").as_u64(),
        })
    }
}
