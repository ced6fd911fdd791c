//! Room on a file system.

use std::path::Path;

/// Bytes that are free for this user where a path lies; `None` where the file system does not tell.
pub fn free(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
}
