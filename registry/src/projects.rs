//! Lock files that the user has confirmed.
//!
//! A lock file decides which bytes run. A lock file in a clone or an archive was written by somebody else, so
//! nothing that it pins is trusted until the user has confirmed exactly this text at exactly this path.
//! Confirmations are kept in the user's state folder.

use crate::error::RegistryError;
use crate::guard::FolderGuard;
use crate::ownership::Owners;
use crate::places::{self, in_real_folder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Environment variable that names folders, separated by colons. Their lock files need no confirmation, and
/// their owners may own plugin files. It is for CI jobs and containers, where the user cannot confirm a lock
/// file beforehand.
pub const TRUSTED_PROJECTS: &str = "KASMINA_TRUSTED_PROJECTS";

/// A lock file that the user has confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Path of the lock file; its folder has no symbolic links.
    pub path: PathBuf,
    /// SHA-256 of its text when it was confirmed, in hexadecimal digits.
    pub sha256: String,
}

/// Decides which lock files are confirmed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Projects {
    /// File of confirmations; `None` if the user has no state folder.
    record: Option<PathBuf>,
    /// Folders whose lock files need no confirmation.
    folders: Vec<PathBuf>,
}

impl Projects {
    /// Returns the user's confirmations, with the folders in the environment variable.
    pub(crate) fn of_user() -> Self {
        let named = std::env::var_os(TRUSTED_PROJECTS).unwrap_or_default();
        let folders = std::env::split_paths(&named).filter_map(|folder| folder.canonicalize().ok()).collect();
        Self { record: places::projects(), folders }
    }

    /// Returns confirmations that are kept in a file.
    pub(crate) fn in_file(record: PathBuf) -> Self {
        Self { record: Some(record), folders: Vec::new() }
    }

    /// Whether the lock file at a path is confirmed with the text of this SHA-256.
    ///
    /// # Errors
    /// If the file of confirmations cannot be read, or the lock file is in a trusted folder and other users
    /// can write it.
    pub(crate) fn confirms(&self, lock: &Path, sha256: &str) -> Result<bool, RegistryError> {
        let real = in_real_folder(lock);
        if self.is_in_trusted_folder(&real) {
            let owners = Owners::user().with_user(self.owner_of(&real));
            owners.check(&real).map_err(|exposed| error(&real, exposed.found()))?;
            return Ok(true);
        }
        Ok(self.list()?.iter().any(|c| c.path == real && c.sha256 == sha256))
    }

    fn is_in_trusted_folder(&self, real: &Path) -> bool {
        real.parent().is_some_and(|folder| self.folders.iter().any(|f| f == folder))
    }

    /// Returns the user id of the owner of the trusted folder that contains a file.
    pub(crate) fn owner_of(&self, path: &Path) -> Option<u32> {
        if self.folders.is_empty() {
            return None;
        }
        let real = path.canonicalize().ok()?;
        let folder = self.folders.iter().find(|folder| real.starts_with(folder))?;
        std::fs::metadata(folder).ok().map(|m| m.uid())
    }

    /// Returns every confirmation, sorted by path.
    ///
    /// # Errors
    /// If other users can write the file of confirmations, or it cannot be read.
    pub(crate) fn list(&self) -> Result<Vec<Confirmed>, RegistryError> {
        Ok(self.read()?.into_iter().map(|(path, sha256)| Confirmed { path: path.into(), sha256 }).collect())
    }

    /// Confirms a lock file with the text of this SHA-256. It replaces an earlier confirmation of the same
    /// path.
    ///
    /// # Errors
    /// If there is no state folder, or the file of confirmations cannot be read or written.
    pub(crate) fn confirm(&self, lock: &Path, sha256: &str) -> Result<Confirmed, RegistryError> {
        let path = in_real_folder(lock);
        let sha256 = sha256.to_owned();
        if self.is_in_trusted_folder(&path) {
            // A lock file in a trusted folder needs no confirmation.
            return Ok(Confirmed { path, sha256 });
        }
        let key = path.to_str().ok_or_else(|| error(&path, "its path is not UTF-8 text"))?.to_owned();
        self.change(|all| all.insert(key, sha256.clone()))?;
        Ok(Confirmed { path, sha256 })
    }

    /// Removes the confirmation of a lock file. Returns whether there was one.
    ///
    /// # Errors
    /// If there is no state folder, or the file of confirmations cannot be read or written.
    pub(crate) fn forget(&self, lock: &Path) -> Result<bool, RegistryError> {
        let path = in_real_folder(lock);
        Ok(self.change(|all| all.remove(&*path.to_string_lossy()))?.is_some())
    }

    fn change<T>(&self, body: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> Result<T, RegistryError> {
        let record = self
            .record
            .as_deref()
            .ok_or_else(|| error(Path::new("projects.json"), "there is no state folder for it; set HOME"))?;
        places::make_folder_of(record).map_err(|e| error(record, e))?;
        // Another process may confirm another lock file at the same time.
        let _guard = FolderGuard::of(record).map_err(|e| error(record, e))?;
        let mut all = self.read()?;
        let value = body(&mut all);
        let text = serde_json::to_string_pretty(&all).map_err(|e| error(record, e))?;
        places::write(record, &text).map_err(|e| error(record, e))?;
        Ok(value)
    }

    fn read(&self) -> Result<BTreeMap<String, String>, RegistryError> {
        let Some(record) = self.record.as_deref().filter(|record| record.exists()) else {
            return Ok(BTreeMap::new());
        };
        Owners::user().check(record).map_err(|exposed| error(record, exposed.found()))?;
        places::read_state(record).map_err(|e| error(record, e))
    }
}

fn error(path: &Path, reason: impl std::fmt::Display) -> RegistryError {
    RegistryError::Project { path: path.to_owned(), reason: reason.to_string() }
}
