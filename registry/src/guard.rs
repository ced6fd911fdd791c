//! Lets only one process at a time change a file.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for another process that is changing the file.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An exclusive lock (`flock`) on a folder, which is held while a file in it is read, changed and written.
/// Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct FolderGuard {
    _folder: Option<File>,
}

impl FolderGuard {
    /// Waits for the lock on a file's folder. A folder that does not exist, or whose file system has no
    /// `flock`, is not locked.
    ///
    /// # Errors
    /// If the folder cannot be opened, or another process holds the lock for too long.
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
                Err(Errno::WOULDBLOCK | Errno::INTR) if begun.elapsed() < TIMEOUT => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    let text =
                        format!("another process has been changing it for {} seconds", TIMEOUT.as_secs());
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
