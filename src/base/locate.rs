//! Scans the text of a document itself: for keys that stand twice in one object (of which a JSON reader keeps one
//! without a word), and from a path to line and column.
//!
//! The text is known to be JSON by then. The scan keeps its own stack, so depth costs no recursion, and it never
//! fails: of a text that is no JSON it finds less.

use super::diag::{Diagnostic, Diagnostics, Location};
use super::path::{JsonPath, Segment};
use std::collections::{HashMap, HashSet};

/// What the scan meets.
enum Event<'a> {
    /// A member of the open object: its key as written between the quotes.
    Key(&'a str),
    /// A value that starts here.
    Value,
    /// An object or array opens.
    Open { object: bool },
    /// It closes.
    Close,
}

/// Calls `meet` with each event and the byte it stands at.
fn scan<'a>(text: &'a str, mut meet: impl FnMut(Event<'a>, usize)) {
    let bytes = text.as_bytes();
    // For each open bracket: whether it is an object, and in an object whether a key comes next.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                match open.last() {
                    Some((true, true)) => {
                        let inner = text.get(start + 1..at.saturating_sub(1)).unwrap_or("");
                        meet(Event::Key(inner), start);
                    }
                    _ => meet(Event::Value, start),
                }
            }
            b'{' | b'[' => {
                meet(Event::Value, start);
                meet(
                    Event::Open {
                        object: byte == b'{',
                    },
                    start,
                );
                open.push((byte == b'{', true));
            }
            b'}' | b']' => {
                open.pop();
                meet(Event::Close, start);
            }
            b':' | b',' => {
                if let Some(top) = open.last_mut() {
                    top.1 = byte == b',';
                }
            }
            b' ' | b'\n' | b'\t' | b'\r' => {}
            _ => {
                while bytes
                    .get(at)
                    .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'))
                {
                    at += 1;
                }
                meet(Event::Value, start);
            }
        }
    }
}

/// One past the closing quote of the string whose inside starts at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A key without its escapes.
fn unescape(raw: &str) -> Box<str> {
    if !raw.contains('\\') {
        return raw.into();
    }
    serde_json::from_str::<String>(&format!("\"{raw}\"")).map_or_else(|_| raw.into(), String::into)
}

/// Line and column of a byte of the text.
pub(crate) fn location(text: &str, byte: usize) -> Location {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or("");
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    Location {
        line: clamp(line),
        column: clamp(column),
    }
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The most double keys that are told of one by one.
const MOST_DOUBLES: usize = 100;

/// An error for each key that stands twice in one object.
pub(crate) fn duplicate_keys(text: &str) -> Diagnostics {
    struct Frame {
        /// First byte of each key, by the key as it is in the text without escapes.
        seen: Option<HashMap<Box<str>, usize>>,
        segment: Option<Segment>,
        index: usize,
    }
    let mut frames: Vec<Frame> = Vec::new();
    let mut found: Vec<(JsonPath, usize, usize)> = Vec::new();
    scan(text, |event, at| match event {
        Event::Open { object } => frames.push(Frame {
            seen: object.then(HashMap::new),
            segment: None,
            index: 0,
        }),
        Event::Close => {
            frames.pop();
        }
        Event::Value => {
            if let Some(frame) = frames.last_mut().filter(|f| f.seen.is_none()) {
                frame.segment = Some(Segment::Index(frame.index));
                frame.index += 1;
            }
        }
        Event::Key(raw) => {
            let key = unescape(raw);
            let Some(frame) = frames.last_mut() else {
                return;
            };
            frame.segment = Some(Segment::Key(key.clone()));
            let Some(seen) = frame.seen.as_mut() else {
                return;
            };
            if let Some(first) = seen.get(&key) {
                let first = *first;
                if found.len() < MOST_DOUBLES {
                    let path = frames
                        .iter()
                        .filter_map(|f| f.segment.as_ref())
                        .fold(JsonPath::root(), extend);
                    found.push((path, first, at));
                }
            } else {
                seen.insert(key, at);
            }
        }
    });
    let mut diagnostics = Diagnostics::new();
    for (path, first, second) in found {
        let key = match path.segments().last() {
            Some(Segment::Key(key)) => key.to_string(),
            _ => String::new(),
        };
        let first = location(text, first);
        let mut diagnostic =
            Diagnostic::error(path, format!("key {key:?} stands twice in one object"))
                .note(format!(
                    "the first one is at line {}, column {}",
                    first.line, first.column
                ))
                .hint("remove one of them");
        diagnostic.location = Some(location(text, second));
        diagnostics.push(diagnostic);
    }
    diagnostics
}

/// The most bytes of a key.
const MAX_KEY: usize = 256;

/// An error for the first key that is longer than any name may be. Paths hold keys, so this bounds them.
pub(crate) fn long_key(text: &str) -> Option<Diagnostic> {
    let mut found = None;
    scan(text, |event, at| {
        if let Event::Key(raw) = event
            && raw.len() > MAX_KEY
        {
            found = found.or(Some((raw.len(), at)));
        }
    });
    let (len, at) = found?;
    let mut diagnostic = Diagnostic::error(
        JsonPath::root(),
        format!("a key of {len} bytes; a key has at most {MAX_KEY}"),
    );
    diagnostic.location = Some(location(text, at));
    Some(diagnostic)
}

fn extend(path: JsonPath, segment: &Segment) -> JsonPath {
    match segment {
        Segment::Key(key) => path.key(key),
        Segment::Index(index) => path.index(*index),
    }
}

/// Wanted paths as a tree.
#[derive(Default)]
struct Wanted {
    below: HashMap<Segment, usize>,
    /// First byte of the member or item, once met.
    at: Option<usize>,
}

/// Finds line and column for all diagnostics that have none yet: the key of a member, the start of an item. A path
/// that is not in the text (a missing key) gets the place of what should hold it.
pub(crate) fn locate(text: &str, diagnostics: &mut Diagnostics) {
    let mut tree = vec![Wanted::default()];
    let open: Vec<JsonPath> = diagnostics
        .iter()
        .filter(|d| d.location.is_none())
        .map(|d| d.path.clone())
        .collect();
    if open.is_empty() {
        return;
    }
    for path in open.iter().collect::<HashSet<_>>() {
        let mut node = 0;
        for segment in path.segments() {
            let fresh = tree.len();
            let Some(here) = tree.get_mut(node) else {
                break;
            };
            node = *here.below.entry(segment.clone()).or_insert(fresh);
            if node == fresh {
                tree.push(Wanted::default());
            }
        }
    }
    find(text, &mut tree);
    let mut places: HashMap<usize, Location> = HashMap::new();
    for diagnostic in diagnostics.iter_mut().filter(|d| d.location.is_none()) {
        let mut node = 0;
        let mut at = tree.first().and_then(|root| root.at);
        for segment in diagnostic.path.segments() {
            let Some(next) = tree.get(node).and_then(|n| n.below.get(segment)) else {
                break;
            };
            node = *next;
            match tree.get(node).and_then(|n| n.at) {
                Some(found) => at = Some(found),
                None => break,
            }
        }
        diagnostic.location = at.map(|at| *places.entry(at).or_insert_with(|| location(text, at)));
    }
}

/// Notes the first byte of all wanted places. Of a key that stands twice the last one counts, as the reader keeps it.
fn find(text: &str, tree: &mut [Wanted]) {
    // For each open bracket: its place in the tree if wanted, the next index of an array, and the place of the member
    // that comes next.
    let mut frames: Vec<(Option<usize>, Option<usize>, Option<usize>)> = Vec::new();
    let mut last: Option<usize> = None;
    let mut root = true;
    scan(text, |event, at| match event {
        Event::Key(raw) => {
            let Some((Some(node), None, member)) = frames.last_mut() else {
                return;
            };
            let below = tree
                .get(*node)
                .and_then(|n| n.below.get(&Segment::Key(unescape(raw))).copied());
            if let Some(n) = below.and_then(|b| tree.get_mut(b)) {
                n.at = Some(at);
            }
            *member = below;
        }
        Event::Value => {
            last = None;
            if root {
                root = false;
                last = Some(0);
                if let Some(n) = tree.first_mut() {
                    n.at = Some(at);
                }
                return;
            }
            match frames.last_mut() {
                Some((Some(node), Some(index), _)) => {
                    let below = tree
                        .get(*node)
                        .and_then(|n| n.below.get(&Segment::Index(*index)).copied());
                    *index += 1;
                    if let Some(n) = below.and_then(|b| tree.get_mut(b)) {
                        n.at = Some(at);
                    }
                    last = below;
                }
                Some((Some(_), None, member)) => last = member.take(),
                _ => {}
            }
        }
        Event::Open { object } => frames.push((last, (!object).then_some(0), None)),
        Event::Close => {
            frames.pop();
        }
    });
}

/// Fills in line and column and sorts by them.
pub(crate) fn in_order(text: &str, mut problems: Diagnostics) -> Diagnostics {
    locate(text, &mut problems);
    let mut list: Vec<Diagnostic> = problems.into_iter().collect();
    list.sort_by_key(|d| d.location);
    let mut sorted = Diagnostics::new();
    list.into_iter().for_each(|d| sorted.push(d));
    sorted
}

/// What the JSON reader stumbled over.
pub(crate) fn syntax_error(text: &str, error: &serde_json::Error) -> Diagnostics {
    let full = error.to_string();
    let message = full.rsplit_once(" at line ").map_or(&*full, |(m, _)| m);
    let deep = message.starts_with("recursion limit");
    let message = if deep {
        "nested deeper than 127 levels"
    } else {
        message
    };
    let mut diagnostic = Diagnostic::error(JsonPath::root(), format!("not JSON: {message}"));
    if message.starts_with("trailing comma") {
        diagnostic = diagnostic.hint("remove the comma before the closing bracket");
    }
    // The reader counts columns in bytes.
    let line = text
        .split('\n')
        .nth(error.line().saturating_sub(1))
        .unwrap_or("");
    let mut column = error.column().min(line.len());
    while !line.is_char_boundary(column) {
        column -= 1;
    }
    let column = line.get(..column).unwrap_or("").chars().count().max(1);
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    diagnostic.location = Some(Location {
        line: small(error.line().max(1)),
        column: small(column),
    });
    diagnostic.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, path: JsonPath) -> (u32, u32) {
        let mut diagnostics = Diagnostics::from(Diagnostic::error(path, "x"));
        locate(text, &mut diagnostics);
        let l = diagnostics
            .iter()
            .next()
            .and_then(|d| d.location)
            .expect("always found");
        (l.line, l.column)
    }

    #[test]
    fn paths_become_lines_and_columns() {
        let text =
            "{ \"a\": [1, {\"b\": \"x]}\", \"\\u0063\": 2}],\n  \"ä\": {\"b\": null}, \"z\": 1 }";
        let root = JsonPath::root();
        assert_eq!(at(text, root.clone()), (1, 1));
        assert_eq!(at(text, root.key("a")), (1, 3));
        assert_eq!(at(text, root.key("a").index(0)), (1, 9));
        assert_eq!(at(text, root.key("a").index(1)), (1, 12));
        assert_eq!(at(text, root.key("a").index(1).key("b")), (1, 13));
        assert_eq!(at(text, root.key("a").index(1).key("c")), (1, 25));
        assert_eq!(at(text, root.key("ä").key("b")), (2, 9));
        assert_eq!(at(text, root.key("z")), (2, 21));
        // What is not there has the place of what should hold it.
        assert_eq!(at(text, root.key("ä").key("q").key("r")), (2, 3));
    }

    #[test]
    fn double_keys_are_found_at_any_depth() {
        let text = "{\"a\": 1, \"b\": [{\"c\": 1, \"d\": {\"c\": 2},\n \"\\u0063\": 3}], \"a\": 2}";
        let found: Vec<String> = duplicate_keys(text)
            .iter()
            .map(|d| d.render(None))
            .collect();
        insta::assert_snapshot!(found.join("\n"), @r###"
error: key "c" stands twice in one object
  at b[0].c   (line 2, column 2)
  the first one is at line 1, column 17
  hint: remove one of them
error: key "a" stands twice in one object
  at a   (line 2, column 17)
  the first one is at line 1, column 2
  hint: remove one of them
"###);
    }

    #[test]
    fn deep_and_broken_texts_end() {
        for text in [
            "[".repeat(1 << 20),
            "{\"a\":".repeat(1 << 18),
            "\"\\".into(),
            "]]}}:,".into(),
        ] {
            assert!(duplicate_keys(&text).is_empty());
            let _ = at("1", JsonPath::root());
            locate(
                &text,
                &mut Diagnostics::from(Diagnostic::error(JsonPath::root().index(0), "x")),
            );
        }
    }
}
