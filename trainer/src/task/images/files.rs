//! Finding the files of a set, reading them whole or packed, and saying what is the matter with them.

use crate::error::TrainError;
use flate2::read::GzDecoder;
use md5::{Digest as _, Md5};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Images and labels as they are in the files.
pub(super) struct Raw {
    /// Channels, height, width.
    pub(super) size: [i64; 3],
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u8>,
}

/// Where a set comes from, and what its published files are.
pub(super) struct Published {
    /// Folders that it is usually unpacked to, below the data folder; the data folder itself comes last.
    pub(super) folders: &'static [&'static str],
    /// A file that is there when the set is.
    pub(super) first: &'static [&'static str],
    /// Files and the MD5 that is published for them.
    pub(super) md5: &'static [(&'static str, &'static str)],
    /// What to fetch, from where.
    pub(super) from: &'static str,
}

impl Published {
    /// The folder that holds the set.
    pub(super) fn folder(&self, task: &'static str, dir: Option<&Path>) -> Result<PathBuf, TrainError> {
        let help =
            || format!("download {}, and name its folder with --data-dir or KASMINA_DATA_DIR", self.from);
        let wrong = |reason: String| TrainError::Data { task, reason, help: help() };
        let Some(dir) = dir else {
            return Err(wrong("no folder is named that its files could be in".to_owned()));
        };
        if !dir.is_dir() {
            return Err(wrong(format!("{} is no folder", dir.display())));
        }
        let places = self.folders.iter().map(|f| dir.join(f)).chain([dir.to_owned()]);
        let holds = |place: &PathBuf| self.first.iter().any(|name| place.join(name).is_file());
        places.clone().find(holds).ok_or_else(|| {
            let looked: Vec<String> = places.map(|p| p.display().to_string()).collect();
            wrong(format!("there is no {} in {}", self.first.join(" or "), looked.join(", ")))
        })
    }

    /// Tells of a file that is not the published one; it may be a part of it on purpose.
    pub(super) fn compare(&self, path: &Path, bytes: &[u8]) {
        let name = path.file_name().unwrap_or_default();
        let Some((_, published)) = self.md5.iter().find(|(file, _)| name == *file) else { return };
        let found = hex::encode(Md5::digest(bytes));
        if found != *published {
            tracing::warn!(
                "{} is not the published file: its MD5 is {found}, published is {published}",
                path.display()
            );
        }
    }
}

/// A file of a set.
pub(super) struct Source<'a> {
    pub(super) task: &'static str,
    pub(super) published: &'a Published,
    pub(super) path: PathBuf,
}

impl Source<'_> {
    pub(super) fn wrong(&self, reason: impl std::fmt::Display) -> TrainError {
        TrainError::Data {
            task: self.task,
            reason: format!("{}: {reason}", self.path.display()),
            help: format!("download {} again", self.published.from),
        }
    }

    /// The file's bytes; one that is packed (`.gz`) is unpacked.
    pub(super) fn read(&self) -> Result<Vec<u8>, TrainError> {
        let bytes = fs::read(&self.path).map_err(|e| self.wrong(e))?;
        self.published.compare(&self.path, &bytes);
        if self.path.extension().is_none_or(|e| e != "gz") {
            return Ok(bytes);
        }
        let mut unpacked = Vec::new();
        GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut unpacked)
            .map_err(|e| self.wrong(format!("it cannot be unpacked: {e}")))?;
        Ok(unpacked)
    }
}
