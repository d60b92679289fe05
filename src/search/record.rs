//! Trials as rows of a journal, and the memory that a resumed run answers from.

use super::evaluate::key;
use super::searcher::Trial;
use crate::base::hash::{Fingerprint, Hasher};
use crate::space::Space;
use crate::space::ast::DecisionId;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

/// A trial as the inside of a JSON object.
pub fn write(trial: &Trial, space: &Space) -> String {
    with_number(trial.number, &write_rest(trial, space))
}

/// The number before what [`write_rest`] gave.
pub fn with_number(number: u64, rest: &str) -> String {
    format!("\"trial\":{number},{rest}")
}

/// All but the number.
pub fn write_rest(trial: &Trial, space: &Space) -> String {
    let mut row = String::with_capacity(256);
    row.push_str("\"choices\":[");
    for d in 0..space.decisions().len() as u32 {
        if d != 0 {
            row.push(',');
        }
        match trial.assignment.get(DecisionId(d)) {
            Some(position) => push_whole(u64::from(position), &mut row),
            None => row.push_str("null"),
        }
    }
    let _ = write!(
        row,
        "],\"fingerprint\":\"{}\",\"metrics\":[",
        trial.fingerprint
    );
    for (i, &value) in trial.metrics.iter().enumerate() {
        if i != 0 {
            row.push(',');
        }
        // counts are whole: digits alone, as the long way writes them too
        let whole = value as u64;
        if value > 0.0 && whole < 1 << 53 && whole as f64 == value {
            push_whole(whole, &mut row);
        } else if value.is_finite() {
            let _ = write!(row, "{value}");
        } else {
            row.push_str("null");
        }
    }
    row.push(']');
    if let Some(error) = &trial.error {
        let _ = write!(row, ",\"error\":{}", serde_json::Value::from(&**error));
    }
    row
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
    places: HashMap<u128, usize>,
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
        let mut hasher = Hasher::new();
        for choice in &row.choices {
            hasher.bytes(&choice.unwrap_or(u32::MAX).to_le_bytes());
        }
        let place = self.numbers.len();
        if self.places.insert(hasher.finish().0, place).is_some() {
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
    pub fn get(&self, assignment: &crate::space::Assignment, space: &Space) -> Option<Known<'_>> {
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
