//! Lines with a sequence number and a checksum: writing one, checking many.

use super::{JournalError, JournalErrorKind};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Length of `,"crc":"xxxxxxxx"}` and the line end.
const TAIL: usize = 19;

/// How the first line starts, whatever the format.
const START: &[u8] = b"{\"seq\":0,";

/// Adds one line.
pub fn frame(lines: &mut Vec<u8>, seq: u64, body: &str) {
    let start = lines.len();
    lines.extend_from_slice(b"{\"seq\":");
    lines.extend_from_slice(seq.to_string().as_bytes());
    lines.push(b',');
    lines.extend_from_slice(body.as_bytes());
    let crc = crc32fast::hash(lines.get(start..).unwrap_or_default());
    lines.extend_from_slice(b",\"crc\":\"");
    let digits = (0..8).rev().map(|k| (crc >> (4 * k)) as u8 & 15);
    lines.extend(digits.map(|d| if d < 10 { b'0' + d } else { b'a' - 10 + d }));
    lines.extend_from_slice(b"\"}\n");
}

/// An object's text without its braces.
pub fn inner(object: &str) -> &str {
    object
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .unwrap_or(object)
}

/// Checks all lines; gives their number and where the last whole one ends. `row` gets number and body of each, from line
/// 0, the header.
///
/// What comes after the last whole line is the tail that a killed process or a power cut left, and no error: part of a
/// line, or a last line whose checksum is wrong. Anything else that is wrong is damage.
pub fn read(
    path: &Path,
    file: impl Read,
    row: &mut dyn FnMut(u64, &str) -> Result<(), JournalError>,
) -> Result<(u64, u64), JournalError> {
    let failed = |source| {
        let doing = "cannot read";
        JournalError::new(path, JournalErrorKind::Io { doing, source })
    };
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut seq, mut good) = (Vec::new(), 0u64, 0u64);
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        match unframe(&line, seq) {
            Ok(body) => row(seq, body)?,
            Err(what) => {
                let last = reader.fill_buf().map_err(failed)?.is_empty();
                if last && is_tail(&line, seq) {
                    return Ok((seq, good));
                }
                let (line, byte) = (seq + 1, good);
                let kind = JournalErrorKind::Damaged { line, byte, what };
                return Err(JournalError::new(path, kind));
            }
        }
        seq += 1;
        good += line.len() as u64;
    }
}

/// True of what may come after the last whole line: nothing; part of a line; a line with a wrong checksum.
fn is_tail(line: &[u8], seq: u64) -> bool {
    if seq == 0 {
        // a whole header is never given up, nor is the file of another program
        let start = line.get(..START.len()).unwrap_or(line);
        return START.starts_with(start) && line.last() != Some(&b'\n');
    }
    // two lines that lost the line end between them look like one; the second is whole, so the first was damaged
    let next = format!("{{\"seq\":{},", seq + 1);
    let starts = line.windows(next.len()).enumerate().skip(1);
    let mut starts = starts.filter(|(_, at)| *at == next.as_bytes());
    let whole = |(at, _): (usize, _)| line.get(at..).is_some_and(|l| unframe(l, seq + 1).is_ok());
    // a line out of its place was never the last one that was written
    !starts.any(whole) && unframe(line, seq) != Err(MISPLACED)
}

const MISPLACED: &str = "its sequence number is wrong";

/// The body of a line, if it is whole and in its place.
fn unframe(line: &[u8], seq: u64) -> Result<&str, &'static str> {
    let torn = "it is not a line of a journal";
    let end = line.len().checked_sub(TAIL).ok_or(torn)?;
    let (start, tail) = line.split_at_checked(end).ok_or(torn)?;
    let crc = tail
        .strip_prefix(b",\"crc\":\"")
        .and_then(|t| t.strip_suffix(b"\"}\n"))
        .and_then(|t| std::str::from_utf8(t).ok())
        .filter(|t| t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .and_then(|t| u32::from_str_radix(t, 16).ok())
        .ok_or(torn)?;
    if crc32fast::hash(start) != crc {
        return Err("its checksum is wrong");
    }
    let prefix = format!("{{\"seq\":{seq},");
    let body = start.strip_prefix(prefix.as_bytes());
    let body = body.ok_or(MISPLACED)?;
    std::str::from_utf8(body).map_err(|_| torn)
}

/// Refuses a header that says something else, naming each field.
pub fn compare(path: &Path, body: &str, header: &Value) -> Result<(), JournalError> {
    let found: Value = serde_json::from_str(&format!("{{{body}}}"))
        .map_err(|e| JournalError::unfit(path, 1, e.to_string()))?;
    let mut differences = Vec::new();
    differ("", &found, header, &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    let kind = JournalErrorKind::Other { differences };
    Err(JournalError::new(path, kind))
}

fn differ(at: &str, found: &Value, wanted: &Value, out: &mut Vec<String>) {
    let absent = Value::Null;
    match (found, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let at = match at {
                    "" => key.clone(),
                    at => format!("{at}.{key}"),
                };
                let (a, b) = (a.get(key), b.get(key));
                differ(&at, a.unwrap_or(&absent), b.unwrap_or(&absent), out);
            }
        }
        (a, b) if a != b => out.push(format!("{at}: the journal has {a}, this search {b}")),
        _ => {}
    }
}
