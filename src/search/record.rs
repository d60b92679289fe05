//! Trials as rows of a journal, and the memory that a resumed run answers from.

use super::evaluate::{key, key_of};
use super::searcher::Trial;
use crate::base::hash::{ByKey, Fingerprint};
use crate::space::ast::DecisionId;
use crate::space::{Assignment, Space};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

/// A trial as the inside of a JSON object.
pub fn write(trial: &Trial, space: &Space) -> String {
    with_number(trial.number, write_rest(trial, space))
}

/// The number before what [`write_rest`] gave.
pub fn with_number(number: u64, mut rest: String) -> String {
    let mut start = String::with_capacity(32);
    start.push_str("\"trial\":");
    push_whole(number, &mut start);
    start.push(',');
    rest.insert_str(0, &start);
    rest
}

/// All but the number.
pub fn write_rest(trial: &Trial, space: &Space) -> String {
    let mut row =
        String::with_capacity(144 + 4 * space.decisions().len() + 20 * trial.metrics.len());
    push_choices(&trial.assignment, space, &mut row);
    row.push(',');
    push_identity(trial.fingerprint, &mut row);
    row.push(',');
    push_metrics(&trial.metrics, &mut row);
    if let Some(error) = &trial.error {
        let _ = write!(row, ",\"error\":{}", serde_json::Value::from(&**error));
    }
    row
}

fn push_choices(assignment: &Assignment, space: &Space, row: &mut String) {
    row.push_str("\"choices\":[");
    for d in 0..space.decisions().len() as u32 {
        if d != 0 {
            row.push(',');
        }
        match assignment.get(DecisionId(d)) {
            Some(position) => push_whole(u64::from(position), row),
            None => row.push_str("null"),
        }
    }
    row.push(']');
}

fn push_identity(fingerprint: Fingerprint, row: &mut String) {
    row.push_str("\"fingerprint\":\"");
    fingerprint.push_to(row);
    row.push('"');
}

fn push_metrics(metrics: &[f64], row: &mut String) {
    row.push_str("\"metrics\":[");
    for (i, &value) in metrics.iter().enumerate() {
        if i != 0 {
            row.push(',');
        }
        // counts are whole: digits alone, as the long way writes them too
        let whole = value as u64;
        if value > 0.0 && whole < 1 << 53 && whole as f64 == value {
            push_whole(whole, row);
        } else if value.is_finite() {
            let _ = write!(row, "{value}");
        } else {
            row.push_str("null");
        }
    }
    row.push(']');
}

/// The digits of a number: most of a journal is small ones.
fn push_whole(mut number: u64, row: &mut String) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        first -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(first..).unwrap_or(&[]);
    row.extend(digits.iter().map(|digit| char::from(*digit)));
}

/// The answer of an evaluator, for [`Known`](super::known::Known): as a trial, without its number and its other metrics.
pub fn write_told(
    fingerprint: Fingerprint,
    assignment: Option<&Assignment>,
    values: &[f64],
    space: &Space,
) -> String {
    let mut row = String::new();
    if let Some(assignment) = assignment {
        push_choices(assignment, space, &mut row);
        row.push(',');
    }
    push_identity(fingerprint, &mut row);
    row.push(',');
    push_metrics(values, &mut row);
    row
}

/// A row of any run, as far as it is of use to another.
#[derive(Debug)]
pub struct Old {
    /// Positions in the domains of that run's space, the largest number for none.
    pub choices: Option<Vec<u32>>,
    /// The identity of the graph.
    pub fingerprint: Fingerprint,
    /// In the order of that run's metrics.
    pub metrics: Vec<Option<f64>>,
    /// The evaluator had no answer.
    pub failed: bool,
}

/// Reads a trial, or what [`write_told`] gave.
///
/// # Errors
/// It is neither.
pub fn read_old(row: &str) -> Result<Old, String> {
    #[derive(Deserialize)]
    struct Any {
        choices: Option<Vec<Option<u32>>>,
        fingerprint: Fingerprint,
        metrics: Vec<Option<f64>>,
        error: Option<serde::de::IgnoredAny>,
    }
    let any: Any = serde_json::from_str(&format!("{{{row}}}")).map_err(|e| e.to_string())?;
    let choices = any
        .choices
        .map(|c| c.into_iter().map(|c| c.unwrap_or(u32::MAX)).collect());
    Ok(Old {
        choices,
        fingerprint: any.fingerprint,
        metrics: any.metrics,
        failed: any.error.is_some(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    trial: u64,
    choices: Vec<Option<u32>>,
    fingerprint: Fingerprint,
    metrics: Vec<Option<f64>>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
}

/// What the journal knows: answers by assignment.
#[derive(Debug, Default)]
pub struct Memory {
    places: ByKey<usize>,
    numbers: Vec<u64>,
    fingerprints: Vec<Fingerprint>,
    metrics: Vec<f64>,
    errors: HashMap<usize, Box<str>>,
    decision_count: usize,
    metric_count: usize,
}

/// One answer of the memory.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The trial's number.
    pub number: u64,
    /// The identity of its graph.
    pub fingerprint: Fingerprint,
    /// Its metrics.
    pub metrics: &'a [f64],
    /// Why the evaluator had no answer.
    pub error: Option<&'a str>,
}

impl Memory {
    /// Of rows with so many decisions and metrics.
    pub fn new(decision_count: usize, metric_count: usize) -> Self {
        Self {
            decision_count,
            metric_count,
            ..Self::default()
        }
    }

    /// Takes in a row of the journal.
    ///
    /// # Errors
    /// It is no row of this search, or its assignment was there before.
    pub fn read(&mut self, row: &str) -> Result<(), String> {
        let row = format!("{{{row}}}");
        let row: Row<'_> = serde_json::from_str(&row).map_err(|e| e.to_string())?;
        if row.choices.len() != self.decision_count || row.metrics.len() != self.metric_count {
            return Err("it has another number of decisions or metrics".into());
        }
        let positions = row.choices.iter().map(|choice| choice.unwrap_or(u32::MAX));
        let place = self.numbers.len();
        let key = key_of(positions, row.choices.len());
        if self.places.insert(key, place).is_some() {
            return Err("its assignment was there before".into());
        }
        self.numbers.push(row.trial);
        self.fingerprints.push(row.fingerprint);
        let metrics = row.metrics.iter().map(|x| x.unwrap_or(f64::NAN));
        self.metrics.extend(metrics);
        if let Some(error) = row.error {
            self.errors.insert(place, error.into());
        }
        Ok(())
    }

    /// How many answers there are.
    pub fn len(&self) -> u64 {
        self.numbers.len() as u64
    }

    /// The answer for an assignment.
    pub fn get(&self, assignment: &Assignment, space: &Space) -> Option<Known<'_>> {
        if self.numbers.is_empty() {
            return None;
        }
        let place = *self.places.get(&key(assignment, space))?;
        let first = place * self.metric_count;
        Some(Known {
            number: *self.numbers.get(place)?,
            fingerprint: *self.fingerprints.get(place)?,
            metrics: self.metrics.get(first..first + self.metric_count)?,
            error: self.errors.get(&place).map(|e| &**e),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::push_whole;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for k in 0..64 {
            for number in [0, 1 << k, (1 << k) - 1, u64::MAX >> k] {
                let mut row = String::from("x");
                push_whole(number, &mut row);
                assert_eq!(row, format!("x{number}"));
            }
        }
    }
}
