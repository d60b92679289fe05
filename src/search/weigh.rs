//! One number for several objectives, where somebody says how much each weighs.
//!
//! The score of a network on the front is the sum of its objectives times their weights. Each objective counts from 0, its
//! best value on the front, to 1, its worst there, and the weights are scaled to a sum of 1, so that scores are from 0, best
//! in everything, to 1. No network that is not on the front has a better score than all that are. A network between two
//! others that lies in a dent of the front is the best for no weights: the front shows it, the score does not.
//!
//! # Source
//! Marler, Arora, "The weighted sum method for multi-objective optimization: new insights" (2010), with objectives scaled
//! between the ideal and the nadir point (their equation 3).

use super::metric::{Known, Metric};
use super::objective::Problem;
use crate::base::diag::{Diagnostic, Diagnostics};
use crate::base::path::JsonPath;

impl Problem {
    /// With weights, `METRIC=W,METRIC=W`; an objective that is not among them weighs nothing.
    ///
    /// # Errors
    /// All problems at once; among them a metric that is no objective, and weights that are negative or all 0.
    pub fn with_weights(mut self, text: &str, known: &Known<'_>) -> Result<Self, Diagnostics> {
        let mut wrong = Diagnostics::new();
        let mut weights: Vec<Option<f64>> = vec![None; self.objectives.len()];
        for part in text.split(',') {
            match self.weight(part, known) {
                Ok((objective, weight)) => match weights.get_mut(objective) {
                    Some(place @ None) => *place = Some(weight),
                    _ => wrong.push(problem(format!("\"{}\" is weighed twice", part.trim()))),
                },
                Err(problem) => wrong.push(problem.note(format!("in weight \"{}\"", part.trim()))),
            }
        }
        let sum: f64 = weights.iter().flatten().sum();
        let adds_up = sum > 0.0 && sum.is_finite();
        if !adds_up && !wrong.has_errors() {
            wrong.push(problem("the weights add up to nothing".to_owned()));
        }
        self.weights = weights.iter().map(|w| w.unwrap_or(0.0) / sum).collect();
        wrong.into_result(self)
    }

    fn weight(&self, part: &str, known: &Known<'_>) -> Result<(usize, f64), Box<Diagnostic>> {
        let Some((name, value)) = part.split_once('=') else {
            let problem = problem(format!("expected \"METRIC=W\", got \"{}\"", part.trim()));
            return Err(Box::new(problem.hint("for example \"accuracy=2,macs=1\"")));
        };
        let metric = Metric::parse(name.trim(), known)?;
        let Some(objective) = self.objectives.iter().position(|o| o.metric == metric) else {
            let names: Vec<String> = (self.objectives.iter())
                .map(|o| o.metric.to_string())
                .collect();
            let problem = problem(format!("\"{metric}\" is no objective"));
            return Err(Box::new(
                problem.hint(format!("objectives: {}", names.join(", "))),
            ));
        };
        let weight = value.trim().parse::<f64>().ok();
        match weight.filter(|w| *w >= 0.0 && w.is_finite()) {
            Some(weight) => Ok((objective, weight)),
            None => Err(Box::new(
                problem(format!(
                    "expected a weight of 0 or more, got \"{}\"",
                    value.trim()
                ))
                .hint("the sense of an objective is said by min and max"),
            )),
        }
    }
}

fn problem(message: String) -> Diagnostic {
    Diagnostic::error(JsonPath::root(), message)
}

/// The scores of points by these weights, less is better. Goals are turned so that less is better, too.
pub fn scores(points: &[&[f64]], weights: &[f64]) -> Vec<f64> {
    let mut scores = vec![0.0; points.len()];
    for (k, weight) in weights.iter().enumerate() {
        let values = || points.iter().map(|p| p.get(k).copied().unwrap_or(f64::NAN));
        let best = values().fold(f64::INFINITY, f64::min);
        let worst = values().fold(f64::NEG_INFINITY, f64::max);
        let extent = worst - best;
        if extent > 0.0 {
            let parts = scores.iter_mut().zip(values());
            parts.for_each(|(score, x)| *score += weight * (x - best) / extent);
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known<'static> = Known {
        devices: &[],
        device: None,
        evaluator: true,
    };

    fn weighed(text: &str) -> Result<Vec<f64>, String> {
        let objectives = ["max accuracy".to_owned(), "min macs".to_owned()];
        let problem = Problem::parse(&objectives, &[], &[], &KNOWN).unwrap();
        match problem.with_weights(text, &KNOWN) {
            Ok(problem) => Ok(problem.weights),
            Err(wrong) => Err(wrong.render(None)),
        }
    }

    #[test]
    fn weights_are_parts_of_one() {
        assert_eq!(weighed("accuracy=3, macs=1").unwrap(), [0.75, 0.25]);
        assert_eq!(weighed("macs=0.1").unwrap(), [0.0, 1.0]);
        for (text, told) in [
            ("macs", "METRIC=W"),
            ("params=1", "objectives: accuracy, macs"),
            ("macs=-1", "0 or more"),
            ("macs=nan", "0 or more"),
            ("macs=0,accuracy=0", "add up to nothing"),
            ("macs=1,macs=2", "weighed twice"),
            ("macs=1,fast=1", "no objective"),
        ] {
            let wrong = weighed(text).unwrap_err();
            assert!(wrong.contains(told), "{text}: {wrong}");
        }
    }

    #[test]
    fn scores_by_hand() {
        // accuracy from 0.9 (best) to 0.5, macs from 100 to 300: the middle one is at 1/4 and 1/2 of the way
        let points: [&[f64]; 4] = [
            &[-0.9, 300.0],
            &[-0.8, 200.0],
            &[-0.5, 100.0],
            &[-0.5, 150.0],
        ];
        let found = scores(&points, &[0.75, 0.25]);
        let expected = [0.25, 0.75 / 4.0 + 0.25 / 2.0, 0.75, 0.75 + 0.25 / 4.0];
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-12),
            "{found:?}"
        );
        // what all have in common decides nothing
        assert_eq!(scores(&[&[1.0, 2.0], &[1.0, 3.0]], &[0.9, 0.1]), [0.0, 0.1]);
    }
}
