//! Retention: which checkpoints are kept, and removal of the others.

use crate::folder::{Listed, list, remove};
use crate::read::verify;
use crate::{About, CheckpointError};
use std::path::{Path, PathBuf};

/// Which checkpoints are kept. The newest checkpoint at the end of an epoch with finite losses is always
/// kept, because a run may go back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Number of the newest checkpoints that are kept; 0 counts as 1.
    pub newest: usize,
    /// Whether the checkpoint with the best score is kept too.
    pub best: bool,
}

/// Returns the checkpoints to remove, given all checkpoints from the oldest to the newest.
///
/// Checkpoints whose manifest cannot be read are kept for a person to examine, and do not count as kept.
pub fn surplus(listed: &[Listed], keep: Keep) -> Vec<PathBuf> {
    let readable: Vec<(&PathBuf, &About)> =
        listed.iter().filter_map(|l| Some((&l.path, &l.manifest.as_ref().ok()?.about))).collect();
    // Within an epoch, the weights are no longer those that the score was measured with.
    let ends = || readable.iter().filter(|(_, about)| about.epoch_is_whole);
    let scored = ends().filter_map(|(path, about)| Some((about.score.filter(|s| s.is_finite())?, *path)));
    // `max_by` returns the last of several equal scores, which is the newest.
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, path)| path).filter(|_| keep.best);
    let finite = ends().rfind(|(_, about)| about.finite).map(|(path, _)| *path);
    let older = readable.len().saturating_sub(keep.newest.max(1));
    let candidates = readable.iter().take(older).map(|(path, _)| *path);
    candidates.filter(|path| Some(*path) != best && Some(*path) != finite).cloned().collect()
}

/// Removes the checkpoints that are not to be kept, and returns their paths. Only the manifests are read.
///
/// # Errors
/// If the folder cannot be read or a checkpoint cannot be removed.
pub fn prune(folder: &Path, keep: Keep) -> Result<Vec<PathBuf>, CheckpointError> {
    remove_all(surplus(&list(folder)?, keep))
}

/// Does the same as [`prune`], but verifies every checkpoint first. A damaged one does not count as kept.
///
/// # Errors
/// As for [`prune`].
pub fn prune_verified(folder: &Path, keep: Keep) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut listed = list(folder)?;
    for checkpoint in &mut listed {
        checkpoint.manifest = verify(&checkpoint.path);
    }
    remove_all(surplus(&listed, keep))
}

/// Removes all checkpoints that are newer than `checkpoint`, from which a run resumes, and returns their
/// paths. The run will write others in their place.
///
/// # Errors
/// If the folder cannot be read or a checkpoint cannot be removed.
pub fn remove_newer(checkpoint: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let folder = checkpoint.parent().unwrap_or(Path::new("."));
    let newer = list(folder)?.into_iter().map(|listed| listed.path);
    remove_all(newer.filter(|path| path.file_name() > checkpoint.file_name()).collect())
}

fn remove_all(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, CheckpointError> {
    paths.iter().try_for_each(|path| remove(path))?;
    Ok(paths)
}
