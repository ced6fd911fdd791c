//! Writing a folder completely or not at all.

use crate::ExportError;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// A folder that is written beside its target and renamed at the end. Dropping it removes what was written.
#[derive(Debug)]
pub(crate) struct NewFolder {
    target: PathBuf,
    staging: PathBuf,
    finished: bool,
}

impl NewFolder {
    /// Creates the staging folder.
    ///
    /// # Errors
    /// If the target exists, or its parent cannot be written.
    pub(crate) fn create(target: &Path) -> Result<Self, ExportError> {
        if target.symlink_metadata().is_ok() {
            return Err(ExportError::Exists { path: target.to_owned() });
        }
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let staging = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            let made = std::fs::create_dir_all(parent);
            let is_other = made.is_err() && parent.exists() && !parent.is_dir();
            made.map_err(|error| if is_other { ErrorKind::NotADirectory.into() } else { error })
                .map_err(failed(target))?;
        }
        std::fs::create_dir(&staging).map_err(failed(target))?;
        Ok(Self { target: target.to_owned(), staging, finished: false })
    }

    /// Writes one file and waits until it is on the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.staging.join(name);
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        // The message names the place that the user knows.
        written.map_err(failed(&self.target.join(name)))
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// If the target exists by now, or the folder cannot be renamed.
    pub(crate) fn finish(mut self) -> Result<(), ExportError> {
        if self.target.symlink_metadata().is_ok() {
            return Err(ExportError::Exists { path: self.target.clone() });
        }
        std::fs::rename(&self.staging, &self.target).map_err(failed(&self.target))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_dir_all(&self.staging);
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError + use<> {
    let path = path.to_owned();
    move |source| ExportError::Write { path, source }
}
