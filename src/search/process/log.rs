//! What an evaluator leaves in the folder of a run: what it said on stderr, and which command it was.

use crate::base::file::{FileError, write_atomically};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes at the end of the log that are looked at for last words.
const TAIL: u64 = 4096;
/// Characters of a line of last words.
const WORDS: usize = 300;
/// Bytes of a line that did not belong on stdout and are kept.
const KEPT: usize = 2000;

/// The log: the evaluator's stderr, and between it what happened to the evaluator.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Where the words of the process that runs begin.
    life: u64,
}

impl Log {
    /// Opens it for adding.
    pub fn open(path: PathBuf) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&path);
        let file = file.map_err(|e| FileError::new("cannot open", &path, e))?;
        Ok(Self {
            path,
            file,
            life: 0,
        })
    }

    /// The file, for a process to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line of our own. A log that cannot be written is no reason to end a search.
    pub fn note(&mut self, text: &str) {
        let end = text.char_indices().nth(KEPT).map_or(text.len(), |(i, _)| i);
        let text = text.get(..end).unwrap_or_default().trim_end();
        let _ = self
            .file
            .write_all(format!("[blocksmith] {text}\n").as_bytes());
    }

    /// What follows are the words of another process.
    pub fn new_life(&mut self) {
        self.life = self.file.metadata().map_or(0, |m| m.len());
    }

    /// At most `count` last lines that are not blank and come from the process.
    pub fn last_words(&self, count: usize) -> Vec<String> {
        let mut text = Vec::new();
        let length = self.file.metadata().map_or(0, |m| m.len());
        let from = self.life.max(length.saturating_sub(TAIL));
        // a file of its own: the other's place is shared with the process
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            file.take(TAIL).read_to_end(&mut text)
        });
        if read.is_err() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&text);
        // the start may be the rest of a line
        let text = match text.split_once('\n') {
            Some((_, whole)) if from > self.life && !whole.trim().is_empty() => whole,
            _ => &*text,
        };
        let lines = text
            .lines()
            .filter(|l| !l.trim().is_empty() && !l.starts_with("[blocksmith]"));
        let short = |line: &str| line.chars().take(WORDS).collect();
        let lines: Vec<String> = lines.map(short).collect();
        lines
            .get(lines.len().saturating_sub(count)..)
            .unwrap_or_default()
            .to_vec()
    }
}

/// Keeps the command in `path` and gives the one that was there, if it was another.
pub(super) fn record(path: &Path, command: &str) -> Result<Option<String>, FileError> {
    let before = std::fs::read_to_string(path).ok();
    let before = before.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let before = before.and_then(|v| Some(v.get("command")?.as_str()?.to_owned()));
    if before.as_deref() == Some(command) {
        return Ok(None);
    }
    let text = format!("{:#}\n", json!({ "command": command }));
    write_atomically(path, |out| out.write_all(text.as_bytes()))?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_those_of_the_last_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path().join("evaluator.log")).unwrap();
        writeln!(log.file(), "of another life").unwrap();
        log.new_life();
        assert!(log.last_words(3).is_empty());
        writeln!(log.file(), "one\n\ntwo\nthree").unwrap();
        log.note("it ended");
        assert_eq!(log.last_words(2), ["two", "three"]);
        writeln!(log.file(), "{}", "x".repeat(10_000)).unwrap();
        let [words] = &log.last_words(1)[..] else {
            panic!("one line");
        };
        assert!(words.len() == WORDS && words.ends_with('x'));
    }

    #[test]
    fn another_command_is_noticed_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evaluator.json");
        assert_eq!(record(&path, "a 'b'").unwrap(), None);
        assert_eq!(record(&path, "a 'b'").unwrap(), None);
        assert_eq!(record(&path, "c").unwrap().as_deref(), Some("a 'b'"));
        assert_eq!(record(&path, "c").unwrap(), None);
    }
}
