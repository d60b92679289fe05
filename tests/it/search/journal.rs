//! A journal that is torn or damaged: a resumed search is the unbroken one, or it is refused; never anything else.

use super::Case;
use blocksmith::base::table::Table;
use blocksmith::search::SearchError;
use blocksmith::search::journal::{JournalErrorKind, Start};
use std::path::{Path, PathBuf};

fn case() -> Case {
    let mut case = Case::new("lite_osa.json", "random", 6);
    case.settings.batch = Some(4);
    case
}

/// A folder whose writes wait for no disk, where there is one.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// What a search with this journal finds, and what is in the journal then.
fn resumed(case: &Case, path: &Path, bytes: &[u8]) -> Result<(Table, Vec<u8>), SearchError> {
    std::fs::write(path, bytes).unwrap();
    let mut result = None;
    case.run(|run| {
        let found = run.search(Some((path, Start::Resume)));
        let none = Case::new("lite_osa.json", "random", 0).search();
        result = Some(found.map(|outcome| case.table(&outcome)));
        none
    });
    let table = result.unwrap()?;
    Ok((table, std::fs::read(path).unwrap()))
}

/// The journal of an unbroken search, where each of its lines starts, and the table.
fn unbroken(case: &Case, path: &Path) -> (Vec<u8>, Vec<usize>, Table) {
    let (table, journal) = resumed(case, path, b"").unwrap();
    let ends = (0..journal.len()).filter(|&i| journal[i] == b'\n');
    let starts = std::iter::once(0).chain(ends.map(|i| i + 1)).collect();
    (journal, starts, table)
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("journal.jsonl")
}

#[test]
fn torn_at_any_byte_of_the_last_record_or_of_the_header_it_resumes_to_the_unbroken_run() {
    let (case, folder) = (case(), folder());
    let path = path(&folder);
    let (journal, starts, table) = unbroken(&case, &path);
    assert_eq!(starts.len(), 8, "a header and 6 trials");
    let last = starts[6]..journal.len();
    let header = (0..starts[1]).filter(|at| *at < 24 || at % 7 == 0);
    for cut in header.chain(last) {
        let (found, after) = resumed(&case, &path, &journal[..cut]).unwrap();
        assert!(found == table, "torn at byte {cut}");
        assert!(after == journal, "torn at byte {cut}");
    }
}

#[test]
fn a_flipped_bit_is_refused_with_its_place_or_changes_nothing() {
    let (case, folder) = (case(), folder());
    let path = path(&folder);
    let (journal, starts, table) = unbroken(&case, &path);
    let last = starts[6];
    let (mut refused, mut mended) = (0, 0);
    // a step that has no factor in common with the length meets other bytes and other bits in every line
    for k in 0..400 {
        let at = k * 7919 % journal.len();
        let mut flipped = journal.clone();
        flipped[at] ^= 1 << (k % 8);
        match resumed(&case, &path, &flipped) {
            Ok((found, after)) => {
                assert!(at >= last, "byte {at} was changed and nobody noticed");
                assert!(found == table && after == journal, "byte {at}");
                mended += 1;
            }
            Err(SearchError::Journal(error)) => {
                let JournalErrorKind::Damaged { line, byte, .. } = error.kind() else {
                    panic!("byte {at}: {error}");
                };
                let expected = starts.partition_point(|start| *start <= at);
                assert_eq!(*line as usize, expected, "byte {at}");
                assert_eq!(*byte as usize, starts[expected - 1], "byte {at}");
                assert!(at < last, "byte {at}: {error}");
                // what is there is kept
                assert!(std::fs::read(&path).unwrap() == flipped, "byte {at}");
                refused += 1;
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(refused > 200 && mended > 10, "{refused} {mended}");
}

#[test]
fn a_journal_that_ends_in_zeros_is_that_before_them() {
    let (case, folder) = (case(), folder());
    let path = path(&folder);
    let (journal, starts, table) = unbroken(&case, &path);
    // a power cut can leave a file that is longer than what was written of it
    for line in [1, 4, 6] {
        let mut bytes = journal[..starts[line]].to_vec();
        bytes.resize(bytes.len() + 300, 0);
        let (found, after) = resumed(&case, &path, &bytes).unwrap();
        assert!(found == table && after == journal, "line {line}");
    }
}
