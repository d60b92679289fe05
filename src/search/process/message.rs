//! The lines between a search and its evaluator.

use crate::blocks::{Names, Program};
use crate::search::evaluate::Asked;
use crate::search::metric::Metric;
use serde_json::{Map, Value, json};

/// Bytes of a line that are shown to a person.
const SHOWN: usize = 120;

/// A question as a line, with its end.
pub(super) fn question(program: &Program, asked: &Asked<'_>) -> Result<Vec<u8>, String> {
    let space = program.space();
    let failed = |why: String| format!("trial {} cannot be put into words: {why}", asked.trial);
    let arch = space.bind(asked.assignment);
    let arch = arch.map_err(|d| failed(d.render(None)))?;
    let graph = program.lower(asked.assignment, Names::On);
    let graph = graph.map_err(|d| failed(d.render(None)))?;
    let line = json!({
        "id": asked.trial,
        "assignment": space.assignment_to_json(asked.assignment),
        "arch": arch.space().json(),
        "graph": graph.to_string(),
    });
    Ok(format!("{line}\n").into_bytes())
}

/// What an evaluator says of a question.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// Numbers by name.
    Metrics(Map<String, Value>),
    /// Why there are none.
    Error(String),
}

/// Whose answer a line is, and what it says; or why it is none.
pub(super) fn answer(line: &str) -> Result<(u64, Told), &'static str> {
    let value: Value = serde_json::from_str(line)
        .or_else(|_| serde_json::from_str(&without_nan(line)))
        .map_err(|_| "no JSON")?;
    let Value::Object(mut fields) = value else {
        return Err("no JSON object");
    };
    let id = fields.get("id").ok_or("no id")?;
    let id = id.as_u64().ok_or("its id is no whole number")?;
    let told = match (fields.remove("error"), fields.remove("metrics")) {
        (Some(Value::String(why)), _) => Told::Error(why),
        (Some(Value::Null) | None, Some(Value::Object(metrics))) => Told::Metrics(metrics),
        (Some(Value::Null) | None, Some(_)) => {
            Told::Error("the answer's metrics are no object".into())
        }
        (Some(Value::Null) | None, None) => {
            Told::Error("the answer has neither metrics nor error".into())
        }
        (Some(why), _) => Told::Error(why.to_string()),
    };
    Ok((id, told))
}

/// A value for each metric, NaN for those after the first `needed` that are not told.
pub(super) fn values(
    told: &Map<String, Value>,
    metrics: &[Metric],
    needed: usize,
) -> Result<Vec<f64>, String> {
    let of = |(place, metric): (usize, &Metric)| {
        let name = metric.name();
        match told.get(name) {
            Some(Value::Number(x)) => Ok(x.as_f64().unwrap_or(f64::NAN)),
            None | Some(Value::Null) if place >= needed => Ok(f64::NAN),
            Some(Value::Null) => Err(format!("\"{name}\" is null or not a number (NaN)")),
            Some(other) => Err(format!("\"{name}\" is {other}, not a number")),
            None if told.is_empty() => Err(format!("no \"{name}\": the answer has no metrics")),
            None => {
                let names: Vec<&str> = told.keys().map(String::as_str).collect();
                Err(format!(
                    "no \"{name}\" among the metrics: {}",
                    names.join(", ")
                ))
            }
        }
    };
    metrics.iter().enumerate().map(of).collect()
}

/// The text with `null` for each `NaN` and `Infinity` outside strings: what other languages write for them is no JSON.
fn without_nan(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let (mut rest, mut inside) = (line, false);
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"]
            .into_iter()
            .find(|w| !inside && rest.starts_with(w));
        if let Some(word) = word {
            text.push_str("null");
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        let mut step = c.len_utf8();
        if inside && c == '\\' {
            step += rest.chars().nth(1).map_or(0, char::len_utf8);
        }
        inside ^= c == '"';
        text.push_str(rest.get(..step).unwrap_or_default());
        rest = rest.get(step..).unwrap_or_default();
    }
    text
}

/// The start of a text in quotes, without what a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("\"{}...\"", text.get(..end).unwrap_or_default()),
        None => format!("\"{text}\""),
    }
}

/// A text in one line, without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    let plain = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    plain.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(line: &str) -> Map<String, Value> {
        match answer(line).unwrap() {
            (17, Told::Metrics(metrics)) => metrics,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_are_read_and_other_lines_are_not() {
        assert_eq!(
            metrics(r#"{"metrics": {"a": 0.5}, "id": 17, "note": 1}"#)["a"],
            0.5
        );
        let error = |line| match answer(line) {
            Ok((17, Told::Error(why))) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(error(r#"{"id": 17, "error": "why"}"#), "why");
        assert_eq!(
            error(r#"{"id": 17, "error": {"code": 1}, "metrics": {"a": 1}}"#),
            r#"{"code":1}"#
        );
        assert!(error(r#"{"id": 17, "accuracy": 0.5}"#).contains("neither"));
        assert!(error(r#"{"id": 17, "metrics": [0.5]}"#).contains("no object"));
        for (line, why) in [
            ("", "no JSON"),
            ("Epoch 1/10", "no JSON"),
            (r#"{"id": 17, "metrics": {"a": 0."#, "no JSON"),
            ("17", "no JSON object"),
            (r#"{"metrics": {"a": 1}}"#, "no id"),
            (
                r#"{"id": "17", "metrics": {"a": 1}}"#,
                "its id is no whole number",
            ),
            (r#"{"id": -1, "metrics": {}}"#, "its id is no whole number"),
        ] {
            assert_eq!(answer(line), Err(why), "{line}");
        }
    }

    #[test]
    fn what_is_no_number_is_missing() {
        let told = metrics(
            r#"{"id": 17, "metrics": {"a": NaN, "b": -Infinity, "c\"NaN": 1, "NaN": Infinity}}"#,
        );
        let expected = json!({"a": null, "b": null, "c\"NaN": 1, "NaN": null});
        assert_eq!(Value::from(told), expected);
    }

    #[test]
    fn needed_metrics_are_numbers_and_others_may_be_missing() {
        let names = ["accuracy", "loss"].map(|n| Metric::Other(n.into()));
        let of = |text: &str| values(&metrics(text), &names, 1);
        let told = of(r#"{"id": 17, "metrics": {"loss": 2, "accuracy": 0.5}}"#);
        assert_eq!(told, Ok(vec![0.5, 2.0]));
        let told = of(r#"{"id": 17, "metrics": {"accuracy": 0.5}}"#).unwrap();
        assert!(told[0] == 0.5 && told[1].is_nan());
        let why = |text: &str| of(text).unwrap_err();
        assert!(why(r#"{"id": 17, "metrics": {"acc": 1, "loss": 1}}"#).ends_with("acc, loss"));
        assert!(why(r#"{"id": 17, "metrics": {"accuracy": NaN}}"#).contains("NaN"));
        assert!(why(r#"{"id": 17, "metrics": {"accuracy": "high"}}"#).contains("\"high\", not a"));
        assert!(why(r#"{"id": 17, "metrics": {"accuracy": 1, "loss": true}}"#).contains("true"));
    }

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(shown(" a\u{1b}[2Jb\n"), "\"a [2Jb\"");
        assert_eq!(shown(&"ä".repeat(500)).chars().count(), SHOWN + 5);
    }
}
