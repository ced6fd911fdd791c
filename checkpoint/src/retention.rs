//! Which checkpoints stay.

use crate::CheckpointError;
use crate::error::io;
use crate::folder::{Listed, REMOVED, list};
use std::path::{Path, PathBuf};

/// How many checkpoints stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many; at least one.
    pub newest: usize,
    /// The one with the best score too.
    pub best: bool,
}

/// The checkpoints that go, by their place in a list that is sorted from the oldest on. What cannot be read stays: it is
/// for a person to look at.
pub fn surplus(listed: &[Listed], keep: Keep) -> Vec<PathBuf> {
    let readable: Vec<&Listed> = listed.iter().filter(|l| l.manifest.is_ok()).collect();
    let score = |l: &Listed| l.manifest.as_ref().ok().and_then(|m| m.about.score).filter(|s| s.is_finite());
    let scored = readable.iter().filter_map(|l| Some((score(l)?, &l.path)));
    // Of equal scores the newest.
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, path)| path).filter(|_| keep.best);
    let older = readable.len().saturating_sub(keep.newest.max(1));
    let goes = readable.iter().take(older).map(|l| &l.path).filter(|path| Some(*path) != best);
    goes.cloned().collect()
}

/// Removes the checkpoints that do not stay, and returns which.
///
/// # Errors
/// If the folder cannot be read or a checkpoint cannot be removed.
pub fn prune(folder: &Path, keep: Keep) -> Result<Vec<PathBuf>, CheckpointError> {
    let gone = surplus(&list(folder)?, keep);
    gone.iter().try_for_each(|path| remove(path))?;
    Ok(gone)
}

/// Takes a checkpoint's name away before its files, so that a half-removed one is none.
pub(crate) fn remove(path: &Path) -> Result<(), CheckpointError> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = path.with_file_name(format!("{REMOVED}{name}"));
    let _ = std::fs::remove_dir_all(&aside);
    std::fs::rename(path, &aside).map_err(io("remove", path))?;
    std::fs::remove_dir_all(&aside).map_err(io("remove", &aside))
}
