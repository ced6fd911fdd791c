//! Journals of a run directory: files to which lines are appended during a run. A full disk does not end the
//! run.

use kasmina_files::{make_new, open_own};
use kasmina_records::{COMMANDS, EVENTS, METRICS};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Lengths of the journals of a run directory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JournalLengths {
    pub(crate) metrics: u64,
    pub(crate) events: u64,
    pub(crate) commands: u64,
}

impl JournalLengths {
    /// Returns the name of each journal with its length.
    pub(crate) fn named(self) -> [(&'static str, u64); 3] {
        [(METRICS, self.metrics), (EVENTS, self.events), (COMMANDS, self.commands)]
    }
}

/// A file of lines. Lines that cannot be written are kept in memory and written later.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Length in bytes of the complete lines in the file.
    written: u64,
    /// Lines that are not in the file yet.
    pending: Vec<u8>,
    /// Whether a write has failed and a warning was logged, since the last write that succeeded.
    warned: bool,
}

impl Journal {
    /// Creates a new file. An existing file or symbolic link of that name is an error and is not changed.
    pub(super) fn create(path: &Path) -> std::io::Result<Self> {
        let file = make_new(path)?;
        Ok(Self { path: path.to_owned(), file, written: 0, pending: Vec::new(), warned: false })
    }

    /// Opens an existing file, truncates it to `length` bytes, and appends to it.
    pub(super) fn reopen(path: &Path, length: u64) -> std::io::Result<Self> {
        truncate(path, length)?;
        let mut file = open_own(path, false)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { path: path.to_owned(), file, written: length, pending: Vec::new(), warned: false })
    }

    /// Truncates the file to `length` bytes and drops pending lines.
    pub(super) fn truncate(&mut self, length: u64) -> Result<(), (PathBuf, std::io::Error)> {
        *self = Self::reopen(&self.path, length).map_err(|error| (self.path.clone(), error))?;
        Ok(())
    }

    /// Adds a line. It reaches the file with the next [`flush`](Self::flush).
    pub(super) fn push(&mut self, row: &impl Serialize) {
        match serde_json::to_vec(row) {
            Ok(line) => {
                self.pending.extend(line);
                self.pending.push(b'\n');
            }
            Err(error) => tracing::error!("a row of {} cannot be serialised: {error}", self.path.display()),
        }
    }

    /// Writes the pending lines. If that fails, the file keeps its complete lines and the pending ones stay
    /// in memory.
    pub(super) fn flush(&mut self) {
        // A failed write is tried again at the next flush.
        let _ = self.write_pending();
    }

    fn write_pending(&mut self) -> std::io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        match self.file.write_all(&self.pending) {
            Ok(()) => {
                self.written += self.pending.len() as u64;
                self.pending.clear();
                if std::mem::take(&mut self.warned) {
                    tracing::info!("{} can be written again; no line is lost", self.path.display());
                }
                Ok(())
            }
            Err(error) => {
                // A part of the lines may have been written.
                let _ = self.file.set_len(self.written).and_then(|()| self.file.seek(SeekFrom::End(0)));
                if !std::mem::replace(&mut self.warned, true) {
                    let path = self.path.display();
                    tracing::warn!("{path} cannot be written; its lines are kept in memory: {error}");
                }
                Err(error)
            }
        }
    }

    /// Returns the length of the file in bytes; `None` while lines are pending.
    pub(super) fn length(&self) -> Option<u64> {
        self.pending.is_empty().then_some(self.written)
    }

    /// Returns another handle to the file, so that another thread can synchronise it with the disk.
    pub(super) fn handle(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// Waits until the written lines are on the disk.
    pub(super) fn synchronise(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }

    /// Writes the pending lines at the end of a run.
    ///
    /// # Errors
    /// If they still cannot be written.
    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        self.write_pending()
    }
}

/// Truncates a file to `length` bytes, completely or not at all: the remaining bytes are written to a
/// temporary file that replaces it.
fn truncate(path: &Path, length: u64) -> std::io::Result<()> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && length == 0 => return Ok(()),
        Err(error) => return Err(error),
    };
    if found == length {
        return Ok(());
    }
    if found < length {
        let text = format!("it has {found} bytes, but had {length} when the checkpoint was written");
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".cut-").tempfile_in(folder)?;
    std::io::copy(&mut std::io::Read::take(File::open(path)?, length), temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    std::fs::set_permissions(temporary.path(), std::fs::metadata(path)?.permissions())?;
    temporary.persist(path)?;
    // The rename must be on the disk too, because a later checkpoint relies on the new content.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reopened_journal_is_truncated_and_appended_to() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rows.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        journal.push(&1);
        journal.flush();
        let length = journal.length().unwrap();
        journal.push(&2);
        assert_eq!(journal.length(), None, "a line is pending");
        journal.flush();
        let mut journal = Journal::reopen(&path, length).unwrap();
        journal.push(&3);
        journal.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n3\n");
        let error = Journal::reopen(&path, 99).unwrap_err();
        assert!(error.to_string().contains("it has 4 bytes"), "{error}");
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_kept_in_memory() {
        // Every write to this device fails as on a full disk.
        let file = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut journal =
            Journal { path: "/dev/full".into(), file, written: 0, pending: Vec::new(), warned: false };
        for row in [1, 2] {
            journal.push(&row);
            journal.flush();
        }
        assert_eq!((journal.pending.as_slice(), journal.length()), (b"1\n2\n".as_slice(), None));
        let home = tempfile::tempdir().unwrap();
        journal.file = File::create(home.path().join("rows.jsonl")).unwrap();
        journal.flush();
        assert_eq!(journal.length(), Some(4));
        assert_eq!(std::fs::read_to_string(home.path().join("rows.jsonl")).unwrap(), "1\n2\n");
    }
}
