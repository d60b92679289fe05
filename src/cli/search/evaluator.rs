//! `search --evaluator`: its options, and how it is run for them.

use crate::base::diag::nearest;
use crate::blocks::Program;
use crate::cli::failure::{Failure, Result};
use crate::cli::out::{Out, grouped};
use crate::search::folder::RunError;
use crate::search::metric::{COUNTS, Known, Metric};
use crate::search::objective::Problem;
use crate::search::process::{self, Options, Process};
use crate::search::{SearchError, SearcherDef};
use anyhow::anyhow;
use indicatif::ProgressBar;
use std::path::Path;
use std::time::Duration;

/// Options of an evaluator.
#[derive(Debug, clap::Args)]
pub struct Evaluator {
    /// A command that tells what only a run can, as accuracy; the shell takes it. It is started once, reads questions
    /// and prints answers, a JSON object a line: `{"id": 17, "assignment": {...}, "arch": {...}}` in,
    /// `{"id": 17, "metrics": {"accuracy": 0.93}}` or `{"id": 17, "error": "why"}` out (docs/evaluator.md). A metric of an
    /// objective or a limit that is neither a count nor a prediction is the evaluator's: `--objective 'max accuracy'`.
    #[arg(long, value_name = "CMD")]
    evaluator: Option<String>,
    /// A further metric of the evaluator, to be kept in the tables; may be missing in an answer.
    #[arg(long = "metric", value_name = "NAME", requires = "evaluator")]
    metrics: Vec<String>,
    /// Questions that may be open at a time. The result does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "evaluator", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// How long an answer may take, the start of the evaluator included: `90s`, `20m`, `1.5h`. Then the evaluator is killed
    /// and started again. Any time where it is left out.
    #[arg(long, value_name = "DURATION", requires = "evaluator", value_parser = duration)]
    timeout: Option<Duration>,
    /// How often a network is asked about again when the evaluator died or hung on it.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "evaluator")]
    retries: u32,
    /// Ends the search when so many trials in a row failed alike: the first ones in any way, later ones because the
    /// evaluator died or hung. 0: never.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "evaluator")]
    max_failures: usize,
    /// Networks chosen at a time from what is known by then; what the algorithm says (8 for guided) where it is left out. No
    /// more than these can be in flight. Belongs to the run: another number is another search.
    #[arg(long, value_name = "N", requires = "evaluator", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: Option<u32>,
}

impl Evaluator {
    /// True where there is one.
    pub fn is_given(&self) -> bool {
        self.evaluator.is_some()
    }

    /// How many are asked for at a time, where that was said.
    pub fn batch(&self) -> Option<usize> {
        self.batch.map(|n| n as usize)
    }

    /// What it tells: the metrics that the problem needs of it, then further ones.
    pub fn metrics(&self, problem: &Problem) -> Result<Vec<Metric>> {
        let metrics = process::metrics(problem, &self.more()?);
        if self.is_given() && metrics.is_empty() {
            return Err(Failure::Usage(
                "--evaluator has nothing to tell: name a metric of it, as in --objective 'max accuracy'; --metric NAME only \
                 keeps one"
                    .to_owned(),
            ));
        }
        Ok(metrics)
    }

    /// The evaluator, not yet started. Notes go to stderr, past the bar.
    pub fn process<'a>(
        &self,
        program: &'a Program,
        problem: &Problem,
        algorithm: &SearcherDef,
        folder: &Path,
        bar: &'a ProgressBar,
        out: &'a Out,
    ) -> Result<Option<Process<'a>>> {
        let Some(command) = &self.evaluator else {
            return Ok(None);
        };
        let more = self.more()?;
        for metric in process::needed(problem) {
            let names = COUNTS.iter().map(Metric::name);
            if let Some(near) = nearest(metric.name(), names.chain(["latency_s", "energy_j"])) {
                out.note(&format!(
                    "note: \"{metric}\" is taken for a metric of the evaluator; did you mean \"{near}\"?"
                ));
            }
        }
        let batch = self.batch().unwrap_or(algorithm.evaluated_batch);
        if self.in_flight as usize > batch {
            out.note(&format!(
                "note: {} chooses {batch} networks at a time, so no more are in flight; --batch {} chooses more, each from \
                 less knowledge",
                algorithm.name, self.in_flight
            ));
        }
        let options = Options {
            command: command.clone(),
            in_flight: self.in_flight as usize,
            timeout: self.timeout,
            retries: self.retries,
            max_failures: self.max_failures,
            folder: folder.to_path_buf(),
        };
        let tell = move |text: &str| bar.suspend(|| out.note(text));
        Ok(Some(Process::new(program, problem, &more, options, tell)?))
    }

    fn more(&self) -> Result<Vec<Metric>> {
        let known = Known {
            devices: &[],
            device: None,
            evaluator: true,
        };
        let metric = |name: &String| match Metric::parse(name, &known) {
            Ok(metric @ Metric::Other(_)) => Ok(metric),
            Ok(_) => Err(Failure::Usage(format!(
                "--metric {name}: it is in the tables without an evaluator"
            ))),
            Err(_) => Err(Failure::Usage(format!(
                "--metric {name}: a name of letters, digits and _ - . @ is expected"
            ))),
        };
        self.metrics.iter().map(metric).collect()
    }
}

/// What became of the evaluator, where that is worth a line.
pub fn remarks(process: &Process<'_>) -> Option<String> {
    let lives = process.lives();
    let mut parts = Vec::new();
    let mut part = |count: u64, one: &str, more: &str| match count {
        0 => {}
        1 => parts.push(one.to_owned()),
        n => parts.push(format!("{} {more}", grouped(n))),
    };
    part(lives.deaths.into(), "died once", "times died");
    part(lives.timeouts.into(), "hung once", "times hung");
    part(
        lives.strays,
        "printed one line that was no answer",
        "lines that were no answers",
    );
    (!parts.is_empty()).then(|| {
        let log = process.log().display();
        format!("the evaluator: {}; see {log}", parts.join(", "))
    })
}

/// An evaluator that failed leaves a run that may go on; a space without a sample is told as `sample` tells it.
pub fn failure(error: RunError, file: &str, resume: &str) -> Failure {
    match error {
        RunError::Search(SearchError::Sample(error)) => {
            Failure::Infeasible(error.diagnostic().render(Some(file)))
        }
        RunError::Search(error @ SearchError::Evaluator(_)) => Failure::Other(anyhow!(
            "{error}\nall that was answered before is kept. When it is mended, go on with:\n  {resume} --resume"
        )),
        other => other.into(),
    }
}

/// A time with its unit.
fn duration(text: &str) -> std::result::Result<Duration, String> {
    let expected = || "expected a time with its unit: 500ms, 90s, 20m, 1.5h, 2d".to_owned();
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text
        .split_at_checked(split.unwrap_or(text.len()))
        .ok_or_else(expected)?;
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.trim().parse().map_err(|_| expected())?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("expected a time above zero".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("500ms", 0.5),
            ("90s", 90.0),
            ("1.5h", 5400.0),
            (" 20 m ", 1200.0),
            ("2d", 172_800.0),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
        for text in ["", "90", "s", "0s", "-3s", "1e300h", "3 weeks", "1h30m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
