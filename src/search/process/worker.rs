//! One life of an evaluator: a process with its group, a thread that writes to it and one that reads from it.
//!
//! Invariants:
//! - Nobody waits for the process: questions are queued for the writing thread, lines come with a limit on the wait.
//! - A process that was started is in [`GROUPS`] until its whole group has been killed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A line is no longer than this.
const MAX_LINE: usize = 1 << 20;
/// Lines that may wait; a process that prints more waits too.
const QUEUE: usize = 256;
/// How long a process that closed one end, or whose first process has ended, may take to bring all to its end.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// How often the state of a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The processes that run, each the first of its group.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn groups() -> MutexGuard<'static, Vec<u32>> {
    // whoever panicked with it left it whole
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every evaluator of this process and all that they started: for those who end the program at once, without
/// dropping anything. No other can be started from then on.
pub fn kill_all() {
    let groups = groups();
    groups.iter().for_each(|group| kill_group(*group));
    std::mem::forget(groups);
}

#[cfg(unix)]
fn signal(group: u32, signal: nix::sys::signal::Signal) {
    if let Ok(group) = i32::try_from(group) {
        // it may have ended by itself
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), signal);
    }
}

#[cfg(unix)]
fn kill_group(group: u32) {
    signal(group, nix::sys::signal::Signal::SIGKILL);
}

#[cfg(not(unix))]
fn kill_group(_: u32) {}

/// What a worker does.
#[derive(Debug)]
pub(super) enum Event {
    /// Prints a line.
    Line(String),
    /// Prints more than a line may have; its start.
    Long(String),
    /// Prints no more.
    Closed,
    /// Reads no more.
    Deaf,
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    questions: Option<Sender<Vec<u8>>>,
    events: Receiver<Event>,
    /// When it was seen to read no more, or its first process to have ended.
    failing: Option<Instant>,
}

impl Worker {
    /// Starts a command of the shell, in a process group of its own: a Ctrl-C of the terminal is none of its business.
    pub fn start(command: &str, log: &File) -> io::Result<Self> {
        let mut shell = shell(command);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        shell.stderr(log.try_clone()?);
        let mut groups = groups();
        let mut child = shell.spawn()?;
        groups.push(child.id());
        drop(groups);
        let (sender, events) = sync_channel(QUEUE);
        let (questions, receiver) = channel();
        // the threads end when the process does: their ends of the pipes are closed then
        if let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) {
            let events = sender.clone();
            thread::spawn(move || write(stdin, &receiver, &events));
            thread::spawn(move || read(stdout, &sender));
        }
        Ok(Self {
            child,
            questions: Some(questions),
            events,
            failing: None,
        })
    }

    /// The number of its first process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Hands over a question. Whether it is read shows later.
    pub fn ask(&self, line: Vec<u8>) {
        if let Some(questions) = &self.questions {
            // a writer that has ended has said so
            let _ = questions.send(line);
        }
    }

    /// What it does next, `None` where that is nothing for so long.
    pub fn next(&mut self, wait: Duration) -> Option<Event> {
        match self.events.recv_timeout(wait) {
            Ok(Event::Deaf) => {
                self.failing.get_or_insert_with(Instant::now);
            }
            Ok(event) => return Some(event),
            Err(RecvTimeoutError::Disconnected) => return Some(Event::Closed),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if self.failing.is_none() && self.has_ended() {
            self.failing = Some(Instant::now());
        }
        let over = |since: Instant| since.elapsed() > LAST_BREATH;
        self.failing.is_some_and(over).then_some(Event::Deaf)
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let started = Instant::now();
        while !self.has_ended() {
            if started.elapsed() > limit {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }

    /// Kills it and all that it started. Gives how it ended where it did so by itself, for which it is left a moment.
    pub fn kill(mut self, moment: bool) -> Option<ExitStatus> {
        let by_itself = match moment {
            true => self.ends_within(LAST_BREATH),
            false => self.has_ended(),
        };
        let status = self.child.try_wait().ok().flatten();
        status.filter(|_| by_itself)
    }

    /// Says that there are no more questions and leaves it some time to end by itself.
    pub fn end(mut self, limit: Duration) {
        self.questions = None;
        if !self.ends_within(limit) {
            #[cfg(unix)]
            signal(self.child.id(), nix::sys::signal::Signal::SIGTERM);
            self.ends_within(LAST_BREATH);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let id = self.child.id();
        // of its group there may be more than the first process
        let mut groups = groups();
        kill_group(id);
        let _ = self.child.kill();
        groups.retain(|group| *group != id);
        drop(groups);
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).process_group(0);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.arg("/C").arg(command);
    shell
}

fn write(mut stdin: ChildStdin, questions: &Receiver<Vec<u8>>, events: &SyncSender<Event>) {
    for line in questions {
        if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
            let _ = events.send(Event::Deaf);
            return;
        }
    }
}

fn read(stdout: ChildStdout, events: &SyncSender<Event>) {
    let mut stdout = BufReader::with_capacity(1 << 16, stdout);
    let mut line = Vec::new();
    while let Ok(Some(whole)) = read_line(&mut stdout, &mut line) {
        let text = String::from_utf8_lossy(&line).into_owned();
        let event = match whole {
            true => Event::Line(text),
            false => Event::Long(text),
        };
        if events.send(event).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Closed);
}

/// Reads a line, or as much of it as may be and then past it; false where that was not all. `None` at the end.
fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut passed, mut whole) = (0usize, true);
    loop {
        let bytes = match from.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let end = bytes.iter().position(|b| *b == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = MAX_LINE - line.len();
        line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        whole &= part.len() <= room;
        let used = part.len() + usize::from(end.is_some());
        let over = bytes.is_empty();
        from.consume(used);
        passed += used;
        if over && passed == 0 {
            return Ok(None);
        }
        // somebody who never ends a line is told of in pieces
        if over || end.is_some() || passed > 16 * MAX_LINE {
            return Ok(Some(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let long = "x".repeat(MAX_LINE + 7);
        let text = format!("one\n\n{long}\ntwo\nlast without an end");
        let mut from = BufReader::with_capacity(1000, text.as_bytes());
        let mut line = Vec::new();
        let mut got = Vec::new();
        while let Some(whole) = read_line(&mut from, &mut line).unwrap() {
            got.push((String::from_utf8(line.clone()).unwrap(), whole));
        }
        assert_eq!(got[0], ("one".into(), true));
        assert_eq!(got[1], (String::new(), true));
        assert_eq!(got[2], (long[..MAX_LINE].into(), false));
        assert_eq!(got[3], ("two".into(), true));
        assert_eq!(got[4], ("last without an end".into(), true));
        assert_eq!(got.len(), 5);
        let endless = vec![b'x'; 20 * MAX_LINE];
        let mut from = BufReader::with_capacity(1000, &endless[..]);
        assert_eq!(read_line(&mut from, &mut line).unwrap(), Some(false));
        assert_eq!(line.len(), MAX_LINE);
    }
}
