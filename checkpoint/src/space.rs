//! Free space on a file system.

use std::path::Path;

/// Returns the number of bytes on the file system of a path that are free for this user; `None` if the file
/// system does not report it.
pub fn free(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
}
