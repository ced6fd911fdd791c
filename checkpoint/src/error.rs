//! Errors of writing and reading checkpoints.

use std::path::{Path, PathBuf};

/// Error of a checkpoint that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The system refused to read or write a file.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// Operation that failed, such as `read` or `write`.
        what: &'static str,
        /// File or folder of the operation.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The disk does not have enough free space for the checkpoint.
    #[error("no disk space for a checkpoint in {}: it needs {needed} bytes, {free} are free", path.display())]
    NoSpace {
        /// Folder of the run's checkpoints.
        path: PathBuf,
        /// Number of bytes that the checkpoint needs.
        needed: u64,
        /// Number of free bytes on the disk.
        free: u64,
    },
    /// A file is truncated, altered, or not of the expected format.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// A later version of Kasmina wrote the checkpoint.
    #[error("{}: its schema version is {found}; this version of Kasmina reads up to {known}", path.display())]
    Newer {
        /// Path of the file.
        path: PathBuf,
        /// Schema version of the file.
        found: u32,
        /// Newest schema version that can be read.
        known: u32,
    },
    /// The folder contains no checkpoint.
    #[error("{}: there is no checkpoint", path.display())]
    None {
        /// Folder that was searched.
        path: PathBuf,
    },
}

impl CheckpointError {
    /// Remedy in one line, for people.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Io { .. } => Some("check that the folder exists and that you may read and write it"),
            Self::NoSpace { .. } => Some("free disk space, or keep fewer checkpoints: [checkpoint] keep"),
            Self::Damaged { .. } => Some("`kasmina checkpoints verify RUN` checks every checkpoint"),
            Self::Newer { .. } => Some("use the version of Kasmina that wrote it, or a later one"),
            Self::None { .. } => Some("give the directory of a run that has written checkpoints"),
        }
    }
}

/// Returns a function for `map_err` that adds an operation and a path to an error of the system.
pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { what, path, source }
}

/// Creates the error of a damaged file.
pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), reason: reason.into() }
}
