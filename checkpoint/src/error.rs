//! Why a checkpoint cannot be written or read.

use std::path::{Path, PathBuf};

/// A checkpoint that cannot be written or read. Nothing has changed on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The system refused to read or write a file.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was being done: `read`, `write` and the like.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// There is not enough room for it.
    #[error("no room for a checkpoint in {}: it takes {needed} bytes, {free} are free", path.display())]
    NoSpace {
        /// Folder of the run's checkpoints.
        path: PathBuf,
        /// Bytes that the checkpoint takes.
        needed: u64,
        /// Bytes that are free on its disk.
        free: u64,
    },
    /// A file is missing, truncated or altered, or is not what its name says.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A later version of Kasmina has written it.
    #[error("{}: its schema is {found}, this version of Kasmina reads up to {known}", path.display())]
    Newer {
        /// Path of the file.
        path: PathBuf,
        /// The version that was found.
        found: u32,
        /// The newest version that can be read.
        known: u32,
    },
    /// The folder has no checkpoint.
    #[error("{}: there is no checkpoint", path.display())]
    None {
        /// The folder that was looked in.
        path: PathBuf,
    },
}

impl CheckpointError {
    /// Whether the disk is full or may not be written to now: trying again later may succeed.
    pub fn is_for_lack_of_room(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge),
            _ => false,
        }
    }

    /// What to do about it, in one line.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Io { .. } => Some("check that the folder exists and that you may read and write it"),
            Self::NoSpace { .. } => Some("make room, or keep fewer checkpoints: [checkpoint] keep"),
            Self::Damaged { .. } => Some("`kasmina checkpoints verify RUN` says which checkpoints are whole"),
            Self::Newer { .. } => Some("use the version of Kasmina that wrote it, or a later one"),
            Self::None { .. } => Some("name the directory of a run that has written checkpoints"),
        }
    }
}

/// An error of the system about a path, for `map_err`.
pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { what, path, source }
}

/// A file that is not what it should be.
pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), reason: reason.into() }
}
