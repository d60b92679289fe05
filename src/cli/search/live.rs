//! How far a search is, for whoever waits: a live line on a terminal, a line now and then elsewhere, and events in a file
//! for programs.

use crate::base::memory::peak_bytes;
use crate::cli::failure::Result;
use crate::cli::out::{Out, grouped, mj, ms, rate, scaled};
use crate::cli::progress::line;
use crate::search::metric::{Metric, Unit};
use crate::search::objective::Problem;
use crate::search::{Outcome, Phase, Progress, Watch};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LIVE_EVERY: Duration = Duration::from_millis(250);
const EVENT_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Rates are over the last so many seconds, and over so many tellings at least.
const RATE_OVER: Duration = Duration::from_secs(15);
const RATE_OVER_LEAST: usize = 8;

/// How people without a terminal are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    None,
    Text,
    Json,
}

/// What a phase took.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Spent {
    /// Its name.
    pub phase: &'static str,
    /// By the clock.
    pub time_s: f64,
    /// The most memory that was resident until its end, where the system tells.
    pub peak_bytes: Option<u64>,
}

/// Tells how far a search is.
pub struct Live<'a> {
    problem: &'a Problem,
    /// Hidden where nobody watches.
    bar: ProgressBar,
    watched: bool,
    lines: Lines,
    started: Instant,
    /// Milliseconds since the start from which on there is something to tell.
    due: AtomicU64,
    state: Mutex<State>,
}

struct State {
    events: Option<File>,
    phase: Phase,
    /// When it began; `None` before the first.
    began: Option<Duration>,
    spent: Vec<Spent>,
    /// Trials by time, within the phase.
    pace: VecDeque<(Instant, u64)>,
    next_event: Duration,
    next_line: Duration,
}

impl<'a> Live<'a> {
    /// For a search that is about to start. Events are added to the file's end.
    pub fn new(out: &Out, problem: &'a Problem, events: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Self {
            problem,
            bar: line(out),
            watched: out.is_watched(),
            lines: match (out.is_watched() || out.is_quiet(), out.is_json()) {
                (true, _) => Lines::None,
                (false, false) => Lines::Text,
                (false, true) => Lines::Json,
            },
            started: Instant::now(),
            due: AtomicU64::new(0),
            state: Mutex::new(State {
                events: events.map(open).transpose()?,
                phase: Phase::Reading,
                began: None,
                spent: Vec::new(),
                pace: VecDeque::new(),
                next_event: Duration::ZERO,
                next_line: LINE_EVERY,
            }),
        })
    }

    /// The live line, for whoever prints beside it.
    pub fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // whoever panicked left nothing half done
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears the live line, and tells programs how the search ended.
    pub fn end(&self, found: std::result::Result<&Outcome, &impl ToString>) {
        self.bar.finish_and_clear();
        let time = self.started.elapsed();
        let mut state = self.state();
        state.close(time);
        let spent = &state.spent;
        let event = match found {
            Ok(outcome) => json!({
                "event": "end", "time_s": seconds(time), "stop": outcome.stop.name(),
                "trials": outcome.trials.len(), "feasible": outcome.tally.feasible, "replayed": outcome.tally.replayed,
                "front": outcome.front.len(), "hypervolume": outcome.hypervolume,
                "expected_gain_left": outcome.gain_left, "phases": spent,
            }),
            Err(error) => json!({
                "event": "end", "time_s": seconds(time), "stop": "failed", "error": error.to_string(), "phases": spent,
            }),
        };
        state.event(&event);
    }

    /// What each phase took, once the search has ended.
    pub fn spent(&self) -> Vec<Spent> {
        self.state().spent.clone()
    }

    /// Takes down what came after the search.
    #[cfg(feature = "torch")]
    pub fn took(&self, phase: &'static str, began: Instant) {
        self.state().spent.push(Spent {
            phase,
            time_s: seconds(began.elapsed()),
            peak_bytes: peak_bytes(),
        });
    }

    fn event(&self, time: Duration, phase: Phase, progress: &Progress, pace: &Pace) -> Value {
        let objectives = self.problem.objectives.iter().zip(&progress.best);
        let best: Map<String, Value> = objectives
            .map(|(o, x)| (o.metric.to_string(), json!(x)))
            .collect();
        json!({
            "event": "progress", "time_s": seconds(time), "phase": phase.name(),
            "trials": progress.trials, "budget": progress.budget, "feasible": progress.feasible,
            "replayed": progress.replayed, "front": progress.front, "hypervolume": progress.hypervolume,
            "best": best, "per_second": pace.rate, "remaining_s": pace.left,
            "expected_gain_left": progress.gain_left.filter(|g| g.is_finite()),
        })
    }

    fn text(&self, progress: &Progress, pace: &Pace) -> String {
        let mut parts = vec![grouped(progress.trials)];
        if let Some(pace) = pace.rate {
            parts.push(format!("{}/s", rate(pace)));
        }
        parts.extend(pace.left.map(|left| format!("{} left", span(left))));
        parts.push(format!("front {}", grouped(progress.front)));
        parts.extend(progress.hypervolume.map(|v| format!("hypervolume {v:.3}")));
        let first = self.problem.objectives.first().zip(progress.best.first());
        parts.extend(first.map(|(o, x)| format!("{} {}", o.metric, shown(&o.metric, *x))));
        parts.join(", ")
    }
}

impl Watch for Live<'_> {
    fn is_due(&self) -> bool {
        self.started.elapsed().as_millis() as u64 >= self.due.load(Ordering::Relaxed)
    }

    fn progress(&self, progress: &Progress) {
        let time = self.started.elapsed();
        let mut state = self.state();
        let pace = state.pace(progress);
        if self.watched {
            self.bar.set_length(progress.budget);
            self.bar.set_position(progress.trials);
            self.bar.set_message(self.text(progress, &pace));
        }
        if time >= state.next_event {
            let event = self.event(time, state.phase, progress, &pace);
            state.event(&event);
            state.next_event = time + EVENT_EVERY;
        }
        if time >= state.next_line {
            match self.lines {
                Lines::None => {}
                Lines::Text => tell(&format!(
                    "{}, of {}: {}",
                    state.phase.name(),
                    grouped(progress.budget),
                    self.text(progress, &pace)
                )),
                Lines::Json => {
                    tell(&(self.event(time, state.phase, progress, &pace)).to_string());
                }
            }
            state.next_line = time + LINE_EVERY;
        }
        let next = match (self.watched, &state.events) {
            (true, _) => LIVE_EVERY,
            (false, Some(_)) => EVENT_EVERY,
            (false, None) => LINE_EVERY,
        };
        let next = (time + next).as_millis() as u64;
        self.due.store(next, Ordering::Relaxed);
    }

    fn phase(&self, phase: Phase) {
        let time = self.started.elapsed();
        let mut state = self.state();
        state.close(time);
        state.began = Some(time);
        state.phase = phase;
        state.pace.clear();
        let style = match phase {
            Phase::Replaying | Phase::Searching => "{prefix} {percent:>2} %: {wide_msg}",
            Phase::Reading | Phase::Writing => "{prefix} {spinner} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            self.bar.set_style(style);
        }
        self.bar.set_prefix(phase.name());
        self.bar.set_message("");
        let event = json!({"event": "phase", "time_s": seconds(time), "phase": phase.name(), "peak_bytes": peak_bytes()});
        state.event(&event);
        // of what takes long the end is announced too
        if time >= LINE_EVERY {
            match self.lines {
                Lines::None => {}
                Lines::Text => tell(phase.name()),
                Lines::Json => tell(&event.to_string()),
            }
        }
    }
}

/// How fast it goes.
struct Pace {
    rate: Option<f64>,
    left: Option<f64>,
}

impl State {
    /// Takes down what the phase that ends now has taken.
    fn close(&mut self, now: Duration) {
        if let Some(began) = self.began.take() {
            self.spent.push(Spent {
                phase: self.phase.name(),
                time_s: seconds(now.saturating_sub(began)),
                peak_bytes: peak_bytes(),
            });
        }
    }

    fn event(&mut self, event: &Value) {
        let Some(file) = &mut self.events else { return };
        // nobody reads on where the file is gone; the search is worth more than its events
        if writeln!(file, "{event}").is_err() {
            self.events = None;
        }
    }

    fn pace(&mut self, progress: &Progress) -> Pace {
        let now = Instant::now();
        self.pace.push_back((now, progress.trials));
        let is_old = |(at, _): &(Instant, u64)| now.duration_since(*at) > RATE_OVER;
        while self.pace.len() > RATE_OVER_LEAST && self.pace.get(1).is_some_and(is_old) {
            self.pace.pop_front();
        }
        let rate = self.pace.front().and_then(|(from, trials)| {
            let seconds = now.duration_since(*from).as_secs_f64();
            let done = progress.trials.saturating_sub(*trials);
            (seconds > 0.0 && done > 0).then(|| done as f64 / seconds)
        });
        let left = progress.budget.saturating_sub(progress.trials) as f64;
        Pace {
            rate,
            left: rate.map(|rate| left / rate),
        }
    }
}

fn tell(line: &str) {
    // a closed stderr is nobody's business
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

/// A value of a metric in the unit that people use.
fn shown(metric: &Metric, value: f64) -> String {
    match metric.unit() {
        Unit::Seconds => format!("{} ms", ms(value)),
        Unit::Joules => format!("{} mJ", mj(value)),
        _ if metric.is_whole() => scaled(value),
        _ => format!("{value:.4}"),
    }
}

/// A time that people wait.
fn span(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..=99 => format!("{s} s"),
        100..=5999 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn times_for_a_person() {
        let each = [0.4, 99.0, 100.0, 3700.0, 7265.0].map(span);
        assert_eq!(
            each,
            ["0 s", "99 s", "1 min 40 s", "61 min 40 s", "2 h 1 min"]
        );
    }
}
