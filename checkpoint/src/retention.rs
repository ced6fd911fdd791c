//! Which checkpoints stay.

use crate::folder::{Listed, list, remove};
use crate::read::verify;
use crate::{About, CheckpointError};
use std::path::{Path, PathBuf};

/// How many checkpoints stay. Whatever is set, the newest one of an epoch's end with finite losses stays too:
/// it is what a run goes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// How many of the newest checkpoints stay; 0 is taken as 1.
    pub newest: usize,
    /// Whether the checkpoint with the best score stays too.
    pub best: bool,
}

/// The checkpoints that go, of a list that is sorted from the oldest on. What cannot be read stays, and does
/// not count: it is for a person to look at.
pub fn surplus(listed: &[Listed], keep: Keep) -> Vec<PathBuf> {
    let readable: Vec<(&PathBuf, &About)> =
        listed.iter().filter_map(|l| Some((&l.path, &l.manifest.as_ref().ok()?.about))).collect();
    // In the middle of an epoch the weights are no longer those that the score is of.
    let ends = || readable.iter().filter(|(_, about)| about.epoch_is_whole);
    let scored = ends().filter_map(|(path, about)| Some((about.score.filter(|s| s.is_finite())?, *path)));
    // Of equal scores the newest.
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, path)| path).filter(|_| keep.best);
    let sound = ends().rfind(|(_, about)| about.finite).map(|(path, _)| *path);
    let older = readable.len().saturating_sub(keep.newest.max(1));
    let goes = readable.iter().take(older).map(|(path, _)| *path);
    goes.filter(|path| Some(*path) != best && Some(*path) != sound).cloned().collect()
}

/// Removes the checkpoints that do not stay, by their manifests alone, and returns which.
///
/// # Errors
/// If the folder cannot be read or a checkpoint cannot be removed.
pub fn prune(folder: &Path, keep: Keep) -> Result<Vec<PathBuf>, CheckpointError> {
    remove_all(surplus(&list(folder)?, keep))
}

/// The same, with every checkpoint verified first: one that is not whole does not count among those that
/// stay.
///
/// # Errors
/// As [`prune`].
pub fn prune_verified(folder: &Path, keep: Keep) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut listed = list(folder)?;
    for checkpoint in &mut listed {
        checkpoint.manifest = verify(&checkpoint.path);
    }
    remove_all(surplus(&listed, keep))
}

/// Removes every checkpoint that is newer than one that a run goes on from: what it computes from now on
/// takes their place.
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
