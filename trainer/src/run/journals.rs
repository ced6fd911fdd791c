//! Journals of a run directory: files of lines that grow while a run goes, and that a full disk does not end.

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
    /// Each file's name with its length.
    pub(crate) fn named(self) -> [(&'static str, u64); 3] {
        [(METRICS, self.metrics), (EVENTS, self.events), (COMMANDS, self.commands)]
    }
}

/// A file of lines. What cannot be written now is kept in memory, and written when it can be.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of the file that are whole lines of this run.
    written: u64,
    /// Lines that are not in the file yet.
    pending: Vec<u8>,
    /// Whether somebody was told that it cannot be written.
    told: bool,
}

impl Journal {
    /// A new file. One that exists is left alone, and so is what a link of that name leads to.
    pub(super) fn create(path: &Path) -> std::io::Result<Self> {
        let file = make_new(path)?;
        Ok(Self { path: path.to_owned(), file, written: 0, pending: Vec::new(), told: false })
    }

    /// A file that is there, to go on behind its first bytes. What is behind them goes away.
    pub(super) fn reopen(path: &Path, length: u64) -> std::io::Result<Self> {
        cut(path, length)?;
        let mut file = open_own(path, false)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { path: path.to_owned(), file, written: length, pending: Vec::new(), told: false })
    }

    /// Goes back to a length.
    pub(super) fn cut(&mut self, length: u64) -> Result<(), (PathBuf, std::io::Error)> {
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
            Err(error) => tracing::error!("a line of {} cannot be written: {error}", self.path.display()),
        }
    }

    /// Writes what is pending. A file that cannot be written keeps whole lines only; the rest waits.
    pub(super) fn flush(&mut self) {
        // It is tried again with the next line.
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
                if std::mem::take(&mut self.told) {
                    tracing::info!("{} is written again, nothing of it is lost", self.path.display());
                }
                Ok(())
            }
            Err(error) => {
                // Half a line is no line.
                let _ = self.file.set_len(self.written).and_then(|()| self.file.seek(SeekFrom::End(0)));
                if !std::mem::replace(&mut self.told, true) {
                    let path = self.path.display();
                    tracing::warn!("{path} cannot be written, its lines are kept in memory: {error}");
                }
                Err(error)
            }
        }
    }

    /// Length of the file in bytes; `None` while lines wait in memory.
    pub(super) fn length(&self) -> Option<u64> {
        self.pending.is_empty().then_some(self.written)
    }

    /// Another handle on the file, to wait for the disk on another thread.
    pub(super) fn handle(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// Waits until what was written is on the disk.
    pub(super) fn synchronise(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }

    /// Writes what is pending, at the end of a run.
    ///
    /// # Errors
    /// If lines of it still cannot be written.
    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        self.write_pending()
    }
}

/// Cuts a file behind its first bytes, at once or not at all: what stays is written aside and renamed.
fn cut(path: &Path, length: u64) -> std::io::Result<()> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && length == 0 => return Ok(()),
        Err(error) => return Err(error),
    };
    if found == length {
        return Ok(());
    }
    if found < length {
        let text = format!("it has {found} bytes, the checkpoint was written when it had {length}");
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut aside = tempfile::Builder::new().prefix(".cut-").tempfile_in(folder)?;
    std::io::copy(&mut std::io::Read::take(File::open(path)?, length), aside.as_file_mut())?;
    aside.as_file().sync_all()?;
    std::fs::set_permissions(aside.path(), std::fs::metadata(path)?.permissions())?;
    aside.persist(path)?;
    // The name must be on the disk too: a checkpoint may be that counts on it.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_goes_on_behind_the_bytes_that_stay() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rows.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        journal.push(&1);
        journal.flush();
        let length = journal.length().unwrap();
        journal.push(&2);
        assert_eq!(journal.length(), None, "a line waits");
        journal.flush();
        let mut journal = Journal::reopen(&path, length).unwrap();
        journal.push(&3);
        journal.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n3\n");
        let error = Journal::reopen(&path, 99).unwrap_err();
        assert!(error.to_string().contains("it has 4 bytes"), "{error}");
    }

    #[test]
    fn what_a_full_disk_does_not_take_waits_in_memory() {
        // Whatever is written to this device fails for lack of room.
        let file = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut journal =
            Journal { path: "/dev/full".into(), file, written: 0, pending: Vec::new(), told: false };
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
