//! What a search is to minimise, maximise and keep within: `min latency_s@DEVICE`, `max accuracy`, `params<=5M`.

use super::metric::{Known, Metric, Unit};
use crate::base::diag::{Diagnostic, Diagnostics};
use crate::base::path::JsonPath;
use std::fmt;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// Less is better.
    Min,
    /// More is better.
    Max,
}

/// A metric to be made small or large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// Which way is better.
    pub sense: Sense,
    /// Of what.
    pub metric: Metric,
}

/// The side of a bound that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The value itself and less.
    AtMost,
    /// The value itself and more.
    AtLeast,
}

/// What a network must keep within to be any use.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What is limited.
    pub metric: Metric,
    /// On which side.
    pub bound: Bound,
    /// By how much, in the metric's own unit.
    pub value: f64,
}

impl Objective {
    /// Reads `min METRIC` or `max METRIC`.
    ///
    /// # Errors
    /// What is wrong with it, and a way out.
    pub fn parse(text: &str, known: &Known<'_>) -> Result<Self, Box<Diagnostic>> {
        let mut words = text.split_whitespace();
        let (sense, name) = match (words.next(), words.next(), words.next()) {
            (Some("min"), Some(name), None) => (Sense::Min, name),
            (Some("max"), Some(name), None) => (Sense::Max, name),
            _ => {
                let message = format!("expected \"min METRIC\" or \"max METRIC\", got \"{text}\"");
                let problem = Diagnostic::error(JsonPath::root(), message);
                return Err(Box::new(problem.hint("for example \"min macs\"")));
            }
        };
        let metric = Metric::parse(name, known)?;
        Ok(Self { sense, metric })
    }

    /// The value turned so that less is better; NaN where it is missing.
    pub fn cost(&self, value: f64) -> f64 {
        match self.sense {
            Sense::Min => value,
            Sense::Max => -value,
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sense = match self.sense {
            Sense::Min => "min",
            Sense::Max => "max",
        };
        write!(f, "{sense} {}", self.metric)
    }
}

impl Limit {
    /// Reads `METRIC<=VALUE` or `METRIC>=VALUE`; the value may have a unit (`50ms`, `20 mJ`, `5M`).
    ///
    /// # Errors
    /// What is wrong with it, and a way out.
    pub fn parse(text: &str, known: &Known<'_>) -> Result<Self, Box<Diagnostic>> {
        let error = |message: String| Diagnostic::error(JsonPath::root(), message);
        let sides = [("<=", Bound::AtMost), (">=", Bound::AtLeast)];
        let split = |(sign, bound)| {
            text.split_once(sign)
                .map(|(a, b)| (a.trim(), bound, b.trim()))
        };
        let Some((name, bound, value)) = sides.into_iter().find_map(split) else {
            let problem = error(format!(
                "expected \"METRIC<=VALUE\" or \"METRIC>=VALUE\", got \"{text}\""
            ));
            return Err(Box::new(problem.hint("for example \"params<=5M\"")));
        };
        let metric = Metric::parse(name, known)?;
        let value = quantity(value, metric.unit()).map_err(|(message, hint)| {
            let mut problem = error(message).hint(hint);
            // a misspelt name is taken for the evaluator's, whose metrics have no seconds
            let ours = Known {
                evaluator: false,
                ..*known
            };
            if let Err(unknown) = Metric::parse(name, &ours) {
                problem = unknown.hints.into_iter().fold(problem, Diagnostic::hint);
            }
            Box::new(problem)
        })?;
        Ok(Self {
            metric,
            bound,
            value,
        })
    }

    /// Whether a value keeps within. A missing one does not.
    pub fn holds(&self, value: f64) -> bool {
        match self.bound {
            Bound::AtMost => value <= self.value,
            Bound::AtLeast => value >= self.value,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.bound {
            Bound::AtMost => "<=",
            Bound::AtLeast => ">=",
        };
        write!(f, "{}{sign}{}", self.metric, self.value)
    }
}

/// A number with an optional unit; otherwise what is wrong and a way out.
fn quantity(text: &str, unit: Unit) -> Result<f64, (String, String)> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|x| x.is_finite());
    if let Some(x) = number(text) {
        return Ok(x);
    }
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic() || c == '%');
    let (digits, suffix) = (digits.trim_end(), &text[digits.len()..]);
    let known = unit.suffixes();
    let factor = known.iter().find(|(s, _)| *s == suffix).map(|(_, f)| f);
    match (number(digits), factor) {
        (Some(x), Some(factor)) => Ok(x * factor),
        (Some(_), None) => {
            let names: Vec<&str> = known.iter().map(|(s, _)| *s).collect();
            let hint = format!(
                "known here are {}; or write the plain number",
                names.join(", ")
            );
            Err((format!("unknown unit \"{suffix}\" in \"{text}\""), hint))
        }
        (None, _) => Err((
            format!("expected a number, got \"{text}\""),
            "for example 5e6, 5M, 50ms, 20mJ".into(),
        )),
    }
}

/// What a search is after.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Problem {
    /// At least one; a front is over all of them.
    pub objectives: Vec<Objective>,
    /// All must hold.
    pub limits: Vec<Limit>,
    /// Of an objective's metric: the value from which on it is worth something. Hypervolumes are measured from there.
    pub references: Vec<(Metric, f64)>,
    /// By objective: what it weighs where one number is to rank the front, in parts of 1; empty where nobody said so.
    pub weights: Vec<f64>,
}

impl Problem {
    /// Reads objectives and limits; `budgets` are those of the space and limit from above. A limit that a person gave
    /// takes the place of the space's budget of the same metric.
    ///
    /// # Errors
    /// All problems at once; among them: no objective, and the same metric as an objective twice.
    pub fn parse(
        objectives: &[String],
        limits: &[String],
        budgets: &[(Box<str>, f64)],
        known: &Known<'_>,
    ) -> Result<Self, Diagnostics> {
        let (mut problem, mut wrong) = (Self::default(), Diagnostics::new());
        for text in objectives {
            match Objective::parse(text, known) {
                Ok(new) if problem.objectives.iter().any(|o| o.metric == new.metric) => {
                    let message = format!("\"{}\" is an objective already", new.metric);
                    wrong.push(Diagnostic::error(JsonPath::root(), message));
                }
                Ok(new) => problem.objectives.push(new),
                Err(problem) => wrong.push(problem.note(format!("in objective \"{text}\""))),
            }
        }
        if objectives.is_empty() {
            let problem = Diagnostic::error(JsonPath::root(), "a search needs an objective");
            wrong.push(problem.hint("for example \"min latency_s@DEVICE\" or \"min macs\""));
        }
        for text in limits {
            match Limit::parse(text, known) {
                Ok(limit) => problem.limits.push(limit),
                Err(problem) => wrong.push(problem.note(format!("in limit \"{text}\""))),
            }
        }
        for (name, value) in budgets {
            let of_space = match Metric::parse(name, known) {
                Ok(metric) => Limit {
                    metric,
                    bound: Bound::AtMost,
                    value: *value,
                },
                Err(mut problem) => {
                    problem.path = JsonPath::root().key("budgets").key(name);
                    wrong.push(*problem);
                    continue;
                }
            };
            let given = (problem.limits.iter())
                .any(|l| l.metric == of_space.metric && l.bound == of_space.bound);
            if !given {
                problem.limits.push(of_space);
            }
        }
        wrong.into_result(problem)
    }

    /// With reference points, each `METRIC=VALUE`; the value may have a unit.
    ///
    /// # Errors
    /// All problems at once; among them a metric that is no objective.
    pub fn with_references(
        mut self,
        texts: &[String],
        known: &Known<'_>,
    ) -> Result<Self, Diagnostics> {
        let mut wrong = Diagnostics::new();
        for text in texts {
            match self.reference(text, known) {
                Ok(reference) => self.references.push(reference),
                Err(problem) => wrong.push(problem.note(format!("in reference \"{text}\""))),
            }
        }
        wrong.into_result(self)
    }

    fn reference(&self, text: &str, known: &Known<'_>) -> Result<(Metric, f64), Box<Diagnostic>> {
        let error = |message: String| Diagnostic::error(JsonPath::root(), message);
        let Some((name, value)) = text.split_once('=') else {
            let problem = error(format!("expected \"METRIC=VALUE\", got \"{text}\""));
            return Err(Box::new(problem.hint("for example \"accuracy=0.5\"")));
        };
        let metric = Metric::parse(name.trim(), known)?;
        if self.objectives.iter().all(|o| o.metric != metric) {
            let problem = error(format!("\"{metric}\" is no objective"));
            let names: Vec<String> = self
                .objectives
                .iter()
                .map(|o| o.metric.to_string())
                .collect();
            return Err(Box::new(
                problem.hint(format!("objectives: {}", names.join(", "))),
            ));
        }
        let value = quantity(value.trim(), metric.unit())
            .map_err(|(message, hint)| Box::new(error(message).hint(hint)))?;
        Ok((metric, value))
    }

    /// The devices that objectives and limits name, each once, in order.
    pub fn devices(&self) -> Vec<&str> {
        let mut devices: Vec<&str> = Vec::new();
        let objectives = self.objectives.iter().map(|o| &o.metric);
        for metric in objectives.chain(self.limits.iter().map(|l| &l.metric)) {
            if let Some(device) = metric.device().filter(|d| !devices.contains(d)) {
                devices.push(device);
            }
        }
        devices
    }

    /// What an evaluator must answer: metrics that are neither counted nor predicted.
    pub fn asked_of_evaluator(&self) -> Vec<&Metric> {
        let objectives = self.objectives.iter().map(|o| &o.metric);
        let mut metrics: Vec<&Metric> = objectives
            .chain(self.limits.iter().map(|l| &l.metric))
            .filter(|m| matches!(m, Metric::Other(_)))
            .collect();
        metrics.sort_unstable();
        metrics.dedup();
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICES: [&str; 2] = ["pi5-onnx", "pi5-litert"];
    const KNOWN: Known<'static> = Known {
        devices: &DEVICES,
        device: None,
        evaluator: false,
    };

    fn limit(text: &str) -> Limit {
        Limit::parse(text, &KNOWN).unwrap()
    }

    fn told(text: &str) -> String {
        Limit::parse(text, &KNOWN).unwrap_err().render(None)
    }

    #[test]
    fn units_mean_what_they_say() {
        assert_eq!(limit("params<=5e6").value, 5e6);
        assert_eq!(limit("params <= 5M").value, 5e6);
        assert_eq!(limit("latency_s@pi5-onnx<=50ms").value, 0.05);
        assert_eq!(limit("latency_s@pi5-onnx<=50 ms").value, 0.05);
        assert_eq!(limit("energy_j@pi5-onnx>=20mJ").value, 0.02);
        assert_eq!(limit("peak_activation_bytes<=2MiB").value, 2_097_152.0);
        assert!(told("latency_s@pi5-onnx<=5M").contains("unknown unit \"M\""));
        assert!(told("params<=20ms").contains("unknown unit \"ms\""));
        assert!(told("params<=much").contains("expected a number"));
        assert!(told("params<=").contains("expected a number"));
        assert!(told("params<=inf").contains("expected a number"));
        assert!(told("params=5").contains("METRIC<=VALUE"));
        assert!(told("params<=5µ").contains("unknown unit \"µ\""));
    }

    #[test]
    fn a_limit_includes_its_value_and_refuses_what_is_missing() {
        let limit = limit("params<=5");
        assert!(limit.holds(5.0) && !limit.holds(5.1) && !limit.holds(f64::NAN));
        assert_eq!(limit.to_string(), "params<=5");
    }

    #[test]
    fn unknown_names_get_the_nearest() {
        assert!(told("parms<=5").contains("did you mean \"params\"?"));
        assert!(told("latency_s@pi5-onx<=5").contains("did you mean \"latency_s@pi5-onnx\"?"));
        assert!(told("latency@pi5-onnx<=5").contains("did you mean \"latency_s@pi5-onnx\"?"));
        assert!(told("latency_s<=5").contains("needs a device"));
        assert!(told("params@pi5-onnx<=5").contains("same on every device"));
        assert!(told("accuracy>=0.9").contains("no metric \"accuracy\""));
        let known = Known {
            evaluator: true,
            device: Some("pi5-onnx"),
            ..KNOWN
        };
        let misspelt = Limit::parse("latency<=5ms", &known)
            .unwrap_err()
            .render(None);
        assert!(
            misspelt.contains("did you mean \"latency_s@pi5-onnx\"?"),
            "{misspelt}"
        );
        let objective = Objective::parse("max accuracy", &known).unwrap();
        assert_eq!(objective.metric, Metric::Other("accuracy".into()));
        assert_eq!(objective.cost(0.9), -0.9);
        let objective = Objective::parse(" min  latency_s ", &known).unwrap();
        assert_eq!(objective.to_string(), "min latency_s@pi5-onnx");
    }

    #[test]
    fn all_problems_at_once_and_budgets_give_way_to_limits() {
        let text = |t: &[&str]| t.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let budgets = [("params".into(), 6e6), ("macs".into(), 9e8)];
        let objectives = text(&["min latency_s@pi5-onnx"]);
        let problem =
            Problem::parse(&objectives, &text(&["params<=5M"]), &budgets, &KNOWN).unwrap();
        let limits: Vec<String> = problem.limits.iter().map(ToString::to_string).collect();
        assert_eq!(limits, ["params<=5000000", "macs<=900000000"]);
        assert_eq!(problem.devices(), ["pi5-onnx"]);

        let objectives = text(&["fast", "min macs", "max macs"]);
        let budgets = [("flops".into(), 1.0)];
        let wrong = Problem::parse(&objectives, &text(&["x"]), &budgets, &KNOWN).unwrap_err();
        assert_eq!(wrong.len(), 4);
        assert!(wrong.render(None).contains("at budgets.flops"));
        let wrong = Problem::parse(&[], &[], &[], &KNOWN).unwrap_err();
        assert!(wrong.render(None).contains("needs an objective"));
    }
}
