//! A folder in memory, one per process, for targets that read files.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder; it is created on the first call.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = PathBuf::from(format!("/dev/shm/kasmina-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("/dev/shm is writable");
        folder
    })
}

/// Writes a file into the folder and returns its path.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("/dev/shm is writable");
    path
}

/// Removes a file from the folder.
#[allow(dead_code, reason = "not every target removes one")]
pub fn remove(name: &str) {
    let _ = std::fs::remove_file(folder().join(name));
}

/// Removes all files from the folder.
#[allow(dead_code, reason = "not every target empties it")]
pub fn empty() {
    for entry in std::fs::read_dir(folder()).into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
}
