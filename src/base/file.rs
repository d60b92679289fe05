//! Files that are either the old one or the new one, never half of it: write beside, sync, rename, sync the folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", .path.display())]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// An error while `doing` (a verb in its -ing form or "cannot read") something with `path`.
    pub fn new(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self {
            doing,
            path: path.to_path_buf(),
            source: source.into(),
        }
    }

    /// Whether what is in the file makes no sense, as opposed to a file that cannot be reached.
    pub fn is_damaged(&self) -> bool {
        self.source.kind() == io::ErrorKind::InvalidData
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes a file atomically: readers see the old content or all of the new, also after a power cut.
///
/// # Errors
/// What the system or `fill` says; the old file is untouched then, and nothing is left beside it.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = write_beside(&part, path, fill);
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written.map_err(|e| FileError::new("cannot write", path, e))
}

fn write_beside(
    part: &Path,
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(part)?);
    fill(&mut out)?;
    out.flush()?;
    out.get_ref().sync_all()?;
    fs::rename(part, path)?;
    sync_folder(path)
}

/// Makes a new or renamed entry of the folder that holds `path` last through a power cut.
///
/// # Errors
/// What the system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    // only Unix opens folders as files; elsewhere the rename has to do
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::write_atomically;
    use std::io::{self, Write};

    #[test]
    fn a_failed_write_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let error = write_atomically(&path, |out| {
            out.write_all(b"half of the new")?;
            Err(io::Error::other("disk full"))
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("run.json: disk full"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
