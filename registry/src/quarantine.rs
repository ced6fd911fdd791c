//! The quarantine: builds that ended the process in which they were tried. They are not tried again until the
//! user clears them.

use crate::error::RegistryError;
use crate::places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A build or host module in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// SHA-256 of the file in hexadecimal digits.
    #[serde(default)]
    pub sha256: String,
    /// Name of the plugin, or of a host module's file.
    pub name: String,
    /// Path of the file when it was tried.
    pub path: PathBuf,
    /// What the build did when it was tried.
    pub reason: String,
    /// When it was put into quarantine, in seconds since 1970.
    pub since: u64,
}

/// A file of quarantined builds, by their SHA-256.
#[derive(Debug, Clone)]
pub struct Quarantine {
    file: PathBuf,
}

impl Quarantine {
    /// Returns the quarantine that is kept in a file.
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }

    /// Returns the user's quarantine; `None` if the user has no state folder.
    pub fn of_user() -> Option<Self> {
        places::quarantine().map(Self::in_file)
    }

    /// Returns all quarantined builds, sorted by name and hash.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn list(&self) -> Result<Vec<Quarantined>, RegistryError> {
        let mut all: Vec<_> = self.read()?.into_values().collect();
        all.sort_by(|a, b| (&a.name, &a.sha256).cmp(&(&b.name, &b.sha256)));
        Ok(all)
    }

    /// Removes and returns the builds that match a name, a path, or at least the first six digits of a hash.
    /// With `None`, removes all builds.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn clear(&self, selector: Option<&str>) -> Result<Vec<Quarantined>, RegistryError> {
        let is_selected = |q: &Quarantined| {
            selector.is_none_or(|s| {
                q.name == s || q.path == Path::new(s) || (s.len() >= 6 && q.sha256.starts_with(s))
            })
        };
        let (removed, kept): (BTreeMap<_, _>, _) =
            self.read()?.into_iter().partition(|(_, q)| is_selected(q));
        if !removed.is_empty() {
            let text = serde_json::to_string_pretty(&kept).map_err(|e| self.error(e))?;
            places::write(&self.file, &text).map_err(|e| self.error(e))?;
        }
        Ok(removed.into_values().collect())
    }

    pub(crate) fn find(&self, sha256: &str) -> Result<Option<Quarantined>, RegistryError> {
        Ok(self.read()?.remove(sha256))
    }

    /// Adds a build. If the file cannot be written, that is only logged.
    pub(crate) fn put(&self, sha256: &str, name: &str, path: &Path, reason: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (sha256, name, reason) = (sha256.to_owned(), name.to_owned(), reason.to_owned());
        // A damaged file was already reported by `find` for this build.
        let Ok(mut all) = self.read() else { return };
        all.insert(sha256.clone(), Quarantined { sha256, name, path, reason, since });
        places::write_json(&self.file, &all);
    }

    fn read(&self) -> Result<BTreeMap<String, Quarantined>, RegistryError> {
        places::read_state(&self.file).map_err(|e| self.error(e))
    }

    fn error(&self, reason: impl std::fmt::Display) -> RegistryError {
        RegistryError::Quarantine { path: self.file.clone(), reason: reason.to_string() }
    }
}
