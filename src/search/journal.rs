//! The journal of a run: an append-only file of JSON lines that a killed process leaves in order.
//!
//! Invariants:
//! - Line `k` is `{"seq":k,…,"crc":"xxxxxxxx"}`; the checksum (CRC-32) is of all bytes before `,"crc"`.
//! - Line 0 is the header: what the run depends on.
//! - Lines are only ever added, each by one `write` of whole lines, by the one process that holds the lock.
//!
//! What is promised: a row that the writer took is safe from `kill -9` once written, which is at once, and from a power
//! cut once synced: as often as the disk can, but not more than every 200 ms, and before [`Writer::finish`] returns. The
//! disk never keeps rows from being written: who syncs is another thread.

mod lines;

use crate::base::file::sync_folder;
use lines::{compare, frame, inner, read};
use serde_json::Value;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The format that headers name.
pub const FORMAT: &str = "blocksmith-journal/1";

const SYNC_EVERY: Duration = Duration::from_millis(200);
/// Messages that may wait; a slow disk then slows the search down instead of filling memory.
const IN_FLIGHT: usize = 16;

/// What is wrong with a journal.
#[derive(Debug, thiserror::Error)]
#[error("journal {}: {kind}", .path.display())]
pub struct JournalError {
    path: PathBuf,
    kind: JournalErrorKind,
}

impl JournalError {
    fn new(path: &Path, kind: JournalErrorKind) -> Self {
        Self {
            path: path.to_path_buf(),
            kind,
        }
    }

    /// What it is.
    pub fn kind(&self) -> &JournalErrorKind {
        &self.kind
    }

    /// A row whose checksum is right but that is not what it should be.
    pub(super) fn unfit(path: &Path, line: u64, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::new(path, JournalErrorKind::Unfit { line, what })
    }
}

/// The ways in which a journal can be wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalErrorKind {
    /// The system refuses.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another process is writing to it; a run folder has room for one at a time")]
    Locked,
    /// It was there before.
    #[error("is there already; resume that run, or choose another folder")]
    Exists,
    /// Bytes in the middle are not what was written.
    #[error("damaged in line {line} (byte {byte}): {what}; restore it from a copy, or start over")]
    Damaged {
        /// The line, from 1.
        line: u64,
        /// Where the line starts, from 0.
        byte: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It belongs to another search.
    #[error(
        "belongs to another search:{}\ngo on with the settings that it has, or start a run in another folder from what it \
         knows (--fork)",
        .differences.iter().map(|d| format!("\n  {d}")).collect::<String>()
    )]
    Other {
        /// Each field that differs: name, what the journal has, what this search has.
        differences: Vec<String>,
    },
    /// A row does not belong here.
    #[error("line {line} does not fit: {what}")]
    Unfit {
        /// The line, from 1.
        line: u64,
        /// Why.
        what: String,
    },
}

/// Whether a journal may be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It must not.
    New,
    /// It is read if it is there.
    Resume,
}

/// A journal that is locked and at its end.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Held,
    next: u64,
}

/// A locked file. A program that is just being started has a copy of every open file for a moment, and the lock with it: so
/// it is given back, not left to the last copy.
#[derive(Debug)]
struct Held(File);

impl Held {
    fn lock(file: File, path: &Path) -> Result<Self, JournalError> {
        let kind = match file.try_lock() {
            Ok(()) => return Ok(Self(file)),
            Err(TryLockError::WouldBlock) => JournalErrorKind::Locked,
            Err(TryLockError::Error(source)) => JournalErrorKind::Io {
                doing: "cannot lock",
                source,
            },
        };
        Err(JournalError::new(path, kind))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // where that fails, closing does it
        let _ = self.0.unlock();
    }
}

impl Journal {
    /// Opens or creates a journal, locks it, compares its header with `header`, hands each row to `row` (its line from
    /// 1 and its text), and cuts off what a killed process or a power cut left of a last line.
    ///
    /// # Errors
    /// See [`JournalErrorKind`]; nothing has been changed then, but that the file may have been created.
    pub fn open(
        path: &Path,
        start: Start,
        header: &Value,
        mut row: impl FnMut(u64, &str) -> Result<(), String>,
    ) -> Result<Self, JournalError> {
        let failed =
            |doing| move |source| JournalError::new(path, JournalErrorKind::Io { doing, source });
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(failed("cannot open"))?;
        let mut held = Held::lock(file, path)?;
        let file = &mut held.0;
        let length = file.metadata().map_err(failed("cannot read"))?.len();
        if start == Start::New && length > 0 {
            return Err(JournalError::new(path, JournalErrorKind::Exists));
        }
        let mut check = |seq: u64, body: &str| match seq {
            0 => compare(path, body, header),
            seq => row(seq + 1, body).map_err(|what| JournalError::unfit(path, seq + 1, what)),
        };
        let (next, good) = read(path, &mut *file, &mut check)?;
        if good < length {
            file.set_len(good).map_err(failed("cannot shorten"))?;
        }
        let at_end = file.seek(SeekFrom::Start(good));
        at_end.map_err(failed("cannot read"))?;
        let mut journal = Self {
            path: path.to_path_buf(),
            file: held,
            next,
        };
        if next == 0 {
            let mut line = Vec::new();
            frame(&mut line, 0, inner(&header.to_string()));
            journal.next = 1;
            let written = journal.file.0.write_all(&line);
            let synced = written.and_then(|()| journal.file.0.sync_all());
            let synced = synced.and_then(|()| sync_folder(path));
            synced.map_err(failed("cannot write"))?;
        }
        Ok(journal)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a journal that somebody else may be writing, without a lock and without changing anything: hands number and
    /// text of each line to `line`, first the header, all of them objects without their braces. What is left of a last
    /// line is passed over.
    ///
    /// # Errors
    /// It cannot be read, it is damaged, or a row is refused.
    pub fn look_into(
        path: &Path,
        mut line: impl FnMut(u64, &str) -> Result<(), String>,
    ) -> Result<(), JournalError> {
        let failed = |source| {
            let doing = "cannot open";
            JournalError::new(path, JournalErrorKind::Io { doing, source })
        };
        let file = File::open(path).map_err(failed)?;
        let mut check = |seq: u64, body: &str| {
            line(seq, body).map_err(|what| JournalError::unfit(path, seq + 1, what))
        };
        let (lines, _) = read(path, &file, &mut check)?;
        match lines {
            0 => Err(JournalError::unfit(path, 1, "it has no header")),
            _ => Ok(()),
        }
    }

    /// Starts the one thread that writes.
    pub fn writer(self) -> Writer {
        let (rows, receiver) = sync_channel(IN_FLIGHT);
        let thread = std::thread::spawn(move || self.write(&receiver));
        Writer { rows, thread }
    }

    /// Its lines, the header included.
    pub fn lines(&self) -> u64 {
        self.next
    }

    fn write(mut self, rows: &Receiver<Vec<String>>) -> Result<Self, JournalError> {
        let path = self.path.clone();
        let failed = |source| {
            let doing = "cannot write";
            JournalError::new(&path, JournalErrorKind::Io { doing, source })
        };
        let syncing = Syncing::start(&self.file.0).map_err(failed)?;
        let mut written = Ok(());
        let mut lines = Vec::new();
        while let Ok(bodies) = rows.recv() {
            lines.clear();
            for body in &bodies {
                frame(&mut lines, self.next, body);
                self.next += 1;
            }
            written = self.file.0.write_all(&lines);
            if written.is_err() || syncing.has_failed() {
                break;
            }
            syncing.unsynced.store(true, Ordering::Release);
        }
        let synced = syncing.finish();
        written.and(synced).map_err(failed)?;
        Ok(self)
    }
}

/// A header and rows, as a journal has them.
pub(super) fn framed(header: &Value, rows: impl Iterator<Item = String>) -> Vec<u8> {
    let mut lines = Vec::new();
    frame(&mut lines, 0, inner(&header.to_string()));
    for (k, row) in rows.enumerate() {
        frame(&mut lines, k as u64 + 1, &row);
    }
    lines
}

/// The thread that syncs a file while others write to it.
struct Syncing {
    unsynced: Arc<AtomicBool>,
    end: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Syncing {
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let unsynced = Arc::new(AtomicBool::new(false));
        let (end, ended) = sync_channel::<()>(0);
        let more = Arc::clone(&unsynced);
        let thread = std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(SYNC_EVERY) {
                if more.swap(false, Ordering::Acquire) {
                    file.sync_data()?;
                }
            }
            file.sync_data()
        });
        Ok(Self {
            unsynced,
            end,
            thread,
        })
    }

    fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Syncs once more; gives the first failure.
    fn finish(self) -> io::Result<()> {
        drop(self.end);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The way to the thread that writes a journal.
#[derive(Debug)]
pub struct Writer {
    rows: SyncSender<Vec<String>>,
    thread: JoinHandle<Result<Journal, JournalError>>,
}

impl Writer {
    /// Hands over rows, each the inside of a JSON object without its braces. Waits while many are in flight. False where
    /// the thread has given up: [`finish`](Self::finish) then says why.
    #[must_use]
    pub fn add(&self, rows: Vec<String>) -> bool {
        rows.is_empty() || self.rows.send(rows).is_ok()
    }

    /// Waits until all is written and synced; gives the journal back, still locked.
    ///
    /// # Errors
    /// The first failure to write. All rows before it are safe.
    pub fn finish(self) -> Result<Journal, JournalError> {
        drop(self.rows);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    fn header() -> Value {
        json!({"format": FORMAT, "seed": 7, "settings": {"algorithm": "random"}})
    }

    /// The rows that a journal holds, opened for resuming.
    fn rows(path: &Path) -> Result<Vec<String>, JournalError> {
        let mut rows = Vec::new();
        Journal::open(path, Start::Resume, &header(), |_, row| {
            rows.push(row.to_owned());
            Ok(())
        })?;
        Ok(rows)
    }

    fn body(k: usize) -> String {
        format!("\"trial\":{k},\"note\":\"ä {}\"", "x".repeat(k))
    }

    fn write(path: &Path, from: usize, to: usize) -> u64 {
        let journal = Journal::open(path, Start::Resume, &header(), |_, _| Ok(())).unwrap();
        let writer = journal.writer();
        assert!(writer.add((from..to).map(body).collect()));
        writer.finish().unwrap().lines()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        assert_eq!(write(&path, 0, 3), 4);
        assert_eq!(write(&path, 3, 5), 6);
        assert_eq!(rows(&path).unwrap(), (0..5).map(body).collect::<Vec<_>>());
        for line in fs::read_to_string(&path).unwrap().lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
        let error = Journal::open(&path, Start::New, &header(), |_, _| Ok(())).unwrap_err();
        assert!(matches!(error.kind(), JournalErrorKind::Exists), "{error}");
    }

    #[test]
    fn a_torn_last_line_is_cut_off_wherever_it_tore() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        write(&path, 0, 2);
        let before = fs::read(&path).unwrap();
        write(&path, 2, 3);
        let whole = fs::read(&path).unwrap();
        for cut in before.len()..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(rows(&path).unwrap(), [body(0), body(1)], "cut at {cut}");
            assert_eq!(fs::read(&path).unwrap(), before, "cut at {cut}");
            write(&path, 2, 3);
            assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
        // a header that tore is as good as none
        let header = before.iter().position(|b| *b == b'\n').unwrap();
        for cut in 0..=header {
            fs::write(&path, &before[..cut]).unwrap();
            assert!(rows(&path).unwrap().is_empty(), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_with_its_place_and_in_the_last_line_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        write(&path, 0, 3);
        let whole = fs::read(&path).unwrap();
        let mut starts = vec![0];
        starts.extend(
            (0..whole.len())
                .filter(|&i| whole[i] == b'\n')
                .map(|i| i + 1),
        );
        let last = starts[3];
        for at in 0..whole.len() {
            for bit in [at % 8, (at + 3) % 8] {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                fs::write(&path, &flipped).unwrap();
                let read = rows(&path);
                if at >= last {
                    assert_eq!(read.unwrap(), [body(0), body(1)], "byte {at}");
                    assert_eq!(fs::read(&path).unwrap(), whole[..last], "byte {at}");
                    continue;
                }
                let error = read.unwrap_err();
                let JournalErrorKind::Damaged { line, byte, .. } = error.kind() else {
                    panic!("byte {at}: {error}");
                };
                // a lost line end makes one line of two, which starts where the first did
                let expected = starts.partition_point(|s| *s <= at);
                assert_eq!(*line as usize, expected, "byte {at}");
                assert_eq!(*byte as usize, starts[expected - 1], "byte {at}");
                assert_eq!(fs::read(&path).unwrap(), flipped, "byte {at}");
            }
        }
    }

    #[test]
    fn a_file_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        for text in [
            "x",
            "{\"seq\":1",
            "notes\n",
            "{\"seq\":0,\"format\":\"x\"}\n",
        ] {
            fs::write(&path, text).unwrap();
            let error = rows(&path).unwrap_err();
            assert!(
                matches!(
                    error.kind(),
                    JournalErrorKind::Damaged {
                        line: 1,
                        byte: 0,
                        ..
                    }
                ),
                "{error}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn looking_into_a_journal_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let held = Journal::open(&path, Start::New, &header(), |_, _| Ok(())).unwrap();
        let writer = held.writer();
        assert!(writer.add(vec![body(0), body(1)]));
        writer.finish().unwrap();
        // the tail of a process that was killed
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"seq\":3,\"tri");
        fs::write(&path, &text).unwrap();
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        let mut found = Vec::new();
        Journal::look_into(&path, |k, line| {
            assert_eq!(k, found.len() as u64);
            found.push(line.to_owned());
            Ok(())
        })
        .unwrap();
        let header = header().to_string();
        assert_eq!(found, [inner(&header), &body(0), &body(1)]);
        assert_eq!(fs::read(&path).unwrap(), text);
        fs::write(&path, "").unwrap();
        let error = Journal::look_into(&path, |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("no header"), "{error}");
    }

    #[test]
    fn a_line_lost_or_doubled_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        write(&path, 0, 3);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for order in [
            vec![0, 1, 3],
            vec![0, 1, 1, 2, 3],
            vec![0, 2, 1, 3],
            vec![1, 2, 3],
        ] {
            let text: String = order.iter().map(|&i| format!("{}\n", lines[i])).collect();
            fs::write(&path, text).unwrap();
            let error = rows(&path).unwrap_err().to_string();
            assert!(error.contains("its sequence number is wrong"), "{error}");
        }
    }

    #[test]
    fn another_search_is_refused_with_the_fields_that_differ() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        write(&path, 0, 1);
        let other =
            json!({"format": FORMAT, "seed": 8, "settings": {"algorithm": "random", "batch": 4}});
        let error = Journal::open(&path, Start::Resume, &other, |_, _| Ok(())).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("seed: the journal has 7, this search 8"),
            "{text}"
        );
        assert!(
            text.contains("settings.batch: the journal has null, this search 4"),
            "{text}"
        );
        assert!(!text.contains("algorithm"), "{text}");
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let held = Journal::open(&path, Start::New, &header(), |_, _| Ok(())).unwrap();
        let error = rows(&path).unwrap_err();
        assert!(matches!(error.kind(), JournalErrorKind::Locked), "{error}");
        // as a program has that is just being started
        let copy = held.file.0.try_clone().unwrap();
        drop(held);
        assert!(rows(&path).unwrap().is_empty());
        drop(copy);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = rows(Path::new("nowhere/journal.jsonl"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("nowhere/journal.jsonl: cannot open"),
            "{error}"
        );
    }

    /// The device that is always full stands for a full disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told() {
        let journal = Journal {
            path: "journal.jsonl".into(),
            file: Held(OpenOptions::new().write(true).open("/dev/full").unwrap()),
            next: 1,
        };
        let writer = journal.writer();
        while writer.add(vec![body(1)]) {}
        let error = writer.finish().unwrap_err().to_string();
        assert!(error.contains("cannot write: No space left"), "{error}");
    }
}
