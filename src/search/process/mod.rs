//! An evaluator that is a process of its own: JSON lines out, JSON lines in (docs/evaluator.md).
//!
//! Invariants:
//! - A question is answered once: with the first thing that the process says of it, or with why all tries failed.
//! - Nobody is blamed for another's fault: where a process dies with several questions open, each of them is asked alone.
//! - Failures in a row are held back until something succeeds, so that what a broken evaluator did to them is not kept.
//! - What starts is killed with all that it started, however this process ends, but by `kill -9`.

mod log;
mod message;
mod round;
mod worker;

pub use worker::kill_all;

use super::evaluate::{Answer, Asked, Evaluate};
use super::metric::Metric;
use super::objective::Problem;
use crate::base::file::FileError;
use crate::blocks::Program;
use log::Log;
use message::{Told, plain, shown};
use round::{Open, Round};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use worker::{Event, Worker};

/// How often a wish to stop is looked for.
const TICK: Duration = Duration::from_millis(50);
/// Lines in a row that are no answers before there is no hope.
const MAX_STRAYS: u64 = 1000;
/// Lines in a row that are too long before there is no hope.
const MAX_LONG: u64 = 8;
/// How long a process may take to end when there are no more questions.
const FAREWELL: Duration = Duration::from_secs(3);
/// The longest pause before a process that died is started again.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Events of one kind that are told; all are in the log.
const TOLD: u32 = 3;

/// How an evaluator is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The command, as the shell takes it.
    pub command: String,
    /// Questions open at a time.
    pub in_flight: usize,
    /// How long an answer may take, the start of the process included.
    pub timeout: Option<Duration>,
    /// How often a question is asked again that a process died or hung on.
    pub retries: u32,
    /// Trials in a row that fail alike before the search is given up; 0 for any number.
    pub max_failures: usize,
    /// The folder of the run: `evaluator.log`, `evaluator.json`.
    pub folder: PathBuf,
}

/// What became of a process, for counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    /// How often it was started.
    pub starts: u32,
    /// How often it died with a question open.
    pub deaths: u32,
    /// How often it was killed for an answer that did not come in time.
    pub timeouts: u32,
    /// Lines that were no answers.
    pub strays: u64,
    /// Questions that it answered.
    pub answers: u64,
}

/// The metrics that a problem needs of an evaluator: what is neither counted nor predicted, each once.
pub fn needed(problem: &Problem) -> Vec<Metric> {
    let objectives = problem.objectives.iter().map(|o| &o.metric);
    let mut needed: Vec<Metric> = Vec::new();
    for metric in objectives.chain(problem.limits.iter().map(|l| &l.metric)) {
        if matches!(metric, Metric::Other(_)) && !needed.contains(metric) {
            needed.push(metric.clone());
        }
    }
    needed
}

/// The same, then those of `more` that are not among them.
pub fn metrics(problem: &Problem, more: &[Metric]) -> Vec<Metric> {
    let mut metrics = needed(problem);
    for metric in more {
        if !metrics.contains(metric) {
            metrics.push(metric.clone());
        }
    }
    metrics
}

/// An evaluator that is a process.
pub struct Process<'a> {
    program: &'a Program,
    metrics: Vec<Metric>,
    needed: usize,
    options: Options,
    tell: Box<dyn Fn(&str) + Send + 'a>,
    log: Log,
    worker: Option<Worker>,
    /// What was answered, by number.
    answered: HashSet<u64>,
    lives: Lives,
    told: [u32; 6],
    /// Lines and long lines that were no answers since the last that was one.
    strays: u64,
    long: u64,
    /// Deaths since the last answer.
    deaths: u32,
    succeeded: bool,
    /// Trials that failed since the last one that did not.
    failures: Vec<Failure>,
}

/// Kinds of what is told.
#[derive(Clone, Copy, Debug)]
enum Remark {
    Stray,
    Unknown,
    Twice,
    Surplus,
    Death,
    Failure,
}

/// Why a trial failed.
#[derive(Clone, Debug)]
struct Failure {
    /// True where the process died or hung, false where it said so.
    fell: bool,
    text: String,
}

impl Failure {
    fn is_like(&self, other: &Self) -> bool {
        let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        self.fell == other.fell && (self.fell || words(&self.text) == words(&other.text))
    }
}

impl std::fmt::Debug for Process<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = f.debug_struct("Process");
        parts
            .field("options", &self.options)
            .field("lives", &self.lives);
        parts.finish_non_exhaustive()
    }
}

impl<'a> Process<'a> {
    /// Of this command. It tells the metrics that the problem needs, and of `more` those that it has; `tell` takes what
    /// a person should know at once. The process is started with the first question.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn new(
        program: &'a Program,
        problem: &Problem,
        more: &[Metric],
        options: Options,
        tell: impl Fn(&str) + Send + 'a,
    ) -> Result<Self, FileError> {
        Ok(Self {
            program,
            metrics: metrics(problem, more),
            needed: needed(problem).len(),
            log: Log::open(options.folder.join("evaluator.log"))?,
            options,
            tell: Box::new(tell),
            worker: None,
            answered: HashSet::new(),
            lives: Lives::default(),
            told: [0; 6],
            strays: 0,
            long: 0,
            deaths: 0,
            succeeded: false,
            failures: Vec::new(),
        })
    }

    /// What became of the process so far.
    pub fn lives(&self) -> Lives {
        self.lives
    }

    /// The file with what it said on stderr.
    pub fn log(&self) -> &Path {
        self.log.path()
    }

    /// No more questions: leaves the process a moment to end by itself.
    pub fn end(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.end(FAREWELL);
        }
    }

    fn remark(&mut self, kind: Remark, text: &str) {
        let most = match kind {
            Remark::Death | Remark::Failure => TOLD,
            _ => 1,
        };
        self.log.note(text);
        if let Some(told) = self.told.get_mut(kind as usize) {
            *told += 1;
            match *told {
                n if n < most => (self.tell)(text),
                n if n == most => {
                    let log = self.log.path().display();
                    (self.tell)(&format!("{text} (more of the kind: {log})"));
                }
                _ => {}
            }
        }
    }

    /// An error that ends the search, with the last words of the process.
    fn fatal(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for line in self.log.last_words(10) {
            text.push_str(&format!("\n  | {}", plain(&line)));
        }
        self.log.note(&text);
        text.push_str(&format!("\n  its log: {}", self.log.path().display()));
        text
    }

    /// Asks, and starts the process for it where none runs.
    fn ask(&mut self, round: &mut Round<'_>, position: usize, alone: bool) -> Result<(), String> {
        let Some(asked) = round.asked.get(position) else {
            return Ok(());
        };
        let line = message::question(self.program, asked)?;
        if self.worker.is_none() {
            self.start()?;
        }
        if let Some(worker) = &self.worker {
            worker.ask(line);
        }
        round.open.push(Open {
            position,
            since: Instant::now(),
            alone,
        });
        Ok(())
    }

    fn start(&mut self) -> Result<(), String> {
        let command = &self.options.command;
        if self.lives.starts == 0 {
            let path = self.options.folder.join("evaluator.json");
            let before = log::record(&path, command).map_err(|e| e.to_string())?;
            if let Some(before) = before {
                (self.tell)(&format!(
                    "warning: the run had another evaluator so far: {}; what it answered is kept",
                    shown(&before)
                ));
            }
        }
        if self.deaths > 0 {
            let pause = Duration::from_millis(100) * 2u32.saturating_pow(self.deaths.min(16) - 1);
            thread::sleep(pause.min(MAX_PAUSE));
        }
        self.log.new_life();
        let worker = Worker::start(command, self.log.file())
            .map_err(|e| format!("the shell cannot be started: {e}"))?;
        self.lives.starts += 1;
        let text = format!("started: {command} (process {})", worker.id());
        self.log.note(&text);
        self.worker = Some(worker);
        Ok(())
    }

    /// Waits for something to happen and deals with it.
    fn step(&mut self, round: &mut Round<'_>) -> Result<(), String> {
        let wait = match self.options.timeout {
            Some(limit) => {
                let left = round
                    .open
                    .iter()
                    .map(|o| limit.saturating_sub(o.since.elapsed()));
                left.min().unwrap_or(TICK).min(TICK)
            }
            None => TICK,
        };
        let event = self.worker.as_mut().map(|w| w.next(wait));
        match event {
            Some(Some(Event::Line(line))) => return self.line(round, &line),
            Some(Some(Event::Long(start))) => {
                self.long += 1;
                self.stray(Remark::Stray, &start, "it is longer than 1 MiB")?;
            }
            Some(Some(Event::Closed)) | None => return self.died(round, "it closed its stdout"),
            Some(Some(Event::Deaf)) => return self.died(round, "it does not read its stdin"),
            Some(None) => {}
        }
        let Some(limit) = self.options.timeout else {
            return Ok(());
        };
        let late = |o: &&Open| o.since.elapsed() >= limit;
        let late: Vec<usize> = round.open.iter().filter(late).map(|o| o.position).collect();
        if late.is_empty() {
            return Ok(());
        }
        if let Some(worker) = self.worker.take() {
            worker.kill(false);
        }
        self.lives.timeouts += 1;
        let mut text = format!("no answer within {limit:?}");
        if self.answered.is_empty() {
            text.push_str(" (the start of the evaluator counts too)");
        }
        self.fell(round, &late, &text)
    }

    fn line(&mut self, round: &mut Round<'_>, line: &str) -> Result<(), String> {
        let (trial, told) = match message::answer(line) {
            Ok(answer) => answer,
            // a blank line says nothing
            Err(_) if line.trim().is_empty() => return Ok(()),
            Err(why) => return self.stray(Remark::Stray, line, why),
        };
        let Some(position) = round.close(trial) else {
            return match self.answered.contains(&trial) {
                true => self.stray(Remark::Twice, line, "the question was answered before"),
                false => self.stray(Remark::Unknown, line, "nothing of that id is asked"),
            };
        };
        self.answered.insert(trial);
        self.lives.answers += 1;
        (self.strays, self.long, self.deaths) = (0, 0, 0);
        let values = match told {
            Told::Error(why) => Err(why),
            Told::Metrics(told) => {
                let known = |name: &&String| self.metrics.iter().any(|m| m.name() == **name);
                let surplus: Vec<&str> = (told.keys().filter(|n| !known(n)))
                    .map(String::as_str)
                    .collect();
                if !surplus.is_empty() {
                    let text = format!(
                        "the evaluator also tells {}: --metric NAME keeps it",
                        plain(&surplus.join(", "))
                    );
                    self.remark(Remark::Surplus, &text);
                }
                message::values(&told, &self.metrics, self.needed)
            }
        };
        match values {
            Ok(values) => {
                self.succeeded = true;
                self.failures.clear();
                round.release();
                round.done.push((position, Ok(values)));
                Ok(())
            }
            Err(text) => self.failed(round, position, Failure { fell: false, text }),
        }
    }

    /// A line that is no answer.
    fn stray(&mut self, kind: Remark, line: &str, why: &str) -> Result<(), String> {
        self.lives.strays += 1;
        self.strays += 1;
        self.log.note(&format!("stdout: {}", plain(line)));
        let text = format!(
            "the evaluator printed a line that is no answer ({why}): {}",
            shown(line)
        );
        if self.strays >= MAX_STRAYS || self.long >= MAX_LONG {
            let text = format!(
                "it printed {} lines in a row that are no answers, the last ({why}): {}; stdout is for answers alone, \
                 stderr for all else",
                self.strays,
                shown(line)
            );
            return Err(self.fatal(&text));
        }
        self.remark(kind, &text);
        Ok(())
    }

    /// The process has ended or is no use any more.
    fn died(&mut self, round: &mut Round<'_>, how: &str) -> Result<(), String> {
        let status = self.worker.take().and_then(|w| w.kill(true));
        self.lives.deaths += 1;
        let never = self.answered.is_empty() && self.lives.starts == 1;
        if never && matches!(status.and_then(|s| s.code()), Some(126 | 127)) {
            let text = format!("it cannot be started: {}", plain(&self.options.command));
            return Err(self.fatal(&text));
        }
        let text = match status {
            Some(status) => format!("the evaluator died ({status})"),
            None => format!("the evaluator failed ({how})"),
        };
        let open: Vec<usize> = round.open.iter().map(|o| o.position).collect();
        self.fell(round, &open, &text)
    }

    /// Deals with the questions that a process left open, of which `blamed` may be the reason.
    fn fell(&mut self, round: &mut Round<'_>, blamed: &[usize], how: &str) -> Result<(), String> {
        self.deaths += 1;
        let words = self.log.last_words(1);
        let words: Vec<String> = words.iter().map(|w| plain(w)).collect();
        let text = match words.first() {
            Some(words) => format!("{how}: {}", shown(words)),
            None => how.to_owned(),
        };
        let open = std::mem::take(&mut round.open);
        if round.stopping {
            self.remark(Remark::Death, &text);
            return Ok(());
        }
        for open in open.iter().rev() {
            match blamed {
                _ if !blamed.contains(&open.position) => round.waiting.push_front(open.position),
                [_] => {}
                _ => round.suspects.push_front(open.position),
            }
        }
        let &[position] = blamed else {
            let text = format!(
                "{text}; its {} questions are asked again, one by one",
                blamed.len()
            );
            self.remark(Remark::Death, &text);
            return Ok(());
        };
        let trial = round.trial(position);
        let Some(tries) = round.tries.get_mut(position) else {
            return Ok(());
        };
        *tries += 1;
        if *tries <= self.options.retries {
            round.suspects.push_front(position);
            self.remark(
                Remark::Death,
                &format!("trial {trial}: {text}; asked again"),
            );
            return Ok(());
        }
        self.failed(round, position, Failure { fell: true, text })
    }

    /// A trial has failed for good.
    fn failed(
        &mut self,
        round: &mut Round<'_>,
        position: usize,
        failure: Failure,
    ) -> Result<(), String> {
        let trial = round.trial(position);
        self.remark(
            Remark::Failure,
            &format!("trial {trial} failed: {}", plain(&failure.text)),
        );
        // what it says of one network, where it has answered others, is an answer
        if self.succeeded && !failure.fell {
            round.done.push((position, Err(failure.text)));
            return Ok(());
        }
        round.held.push((position, failure.text.clone()));
        self.failures.push(failure);
        let most = self.options.max_failures;
        let row = self.failures.len().checked_sub(most);
        let row = row
            .and_then(|first| self.failures.get(first..))
            .unwrap_or_default();
        let Some(last) = row
            .last()
            .filter(|last| row.iter().all(|f| f.is_like(last)))
        else {
            return Ok(());
        };
        let text = plain(&last.text);
        let which = match self.succeeded {
            true => format!("{most} trials in a row"),
            false => format!("the first {most} trials"),
        };
        Err(self.fatal(&format!("{which} failed alike: {text}")))
    }
}

impl Evaluate for Process<'_> {
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn command(&self) -> Option<&str> {
        Some(&self.options.command)
    }

    fn evaluate(
        &mut self,
        asked: &[Asked<'_>],
        stop: &AtomicBool,
        answer: &mut dyn FnMut(usize, Answer) -> bool,
    ) -> Result<(), String> {
        let mut round = Round::of(asked);
        loop {
            if !round.stopping && stop.load(Ordering::Relaxed) {
                round.stopping = true;
                let open = round.open.len();
                if open > 0 {
                    let limit = self.options.timeout;
                    let limit = limit.map_or_else(String::new, |l| format!(" (each has {l:?})"));
                    let answers = if open == 1 { "answer" } else { "answers" };
                    (self.tell)(&format!(
                        "waiting for {open} open {answers}{limit}; Ctrl-C again ends at once"
                    ));
                }
            }
            if round.is_over() {
                break;
            }
            while let Some((position, alone)) = round.next(self.options.in_flight) {
                self.ask(&mut round, position, alone)?;
            }
            if !round.open.is_empty() {
                self.step(&mut round)?;
            }
            for (position, told) in round.done.drain(..) {
                if !answer(position, told) {
                    return Ok(());
                }
            }
        }
        if !round.stopping {
            round.release();
            for (position, told) in round.done.drain(..) {
                if !answer(position, told) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
