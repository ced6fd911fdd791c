//! One process at a time changes a lock file.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another process may take to write a lock file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Exclusive lock on a folder, held while its lock file is read, changed and written; released on drop.
#[derive(Debug)]
pub(crate) struct FolderGuard {
    _folder: Option<File>,
}

impl FolderGuard {
    /// Waits for the lock on a file's folder. A file system without `flock` is not locked.
    pub(crate) fn of(file: &Path) -> Result<Self> {
        let folder = file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = match File::open(folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self { _folder: None }),
            Err(error) => return Err(error),
        };
        let begun = Instant::now();
        loop {
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _folder: Some(folder) }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    let text =
                        format!("another process has been changing it for {} seconds", PATIENCE.as_secs());
                    return Err(Error::new(ErrorKind::WouldBlock, text));
                }
                Err(error) => {
                    tracing::debug!("{} is not locked: {error}", file.display());
                    return Ok(Self { _folder: None });
                }
            }
        }
    }
}
