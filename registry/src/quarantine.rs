//! Builds that ended the process in which they were tried: they are not tried again until somebody says so.

use crate::error::RegistryError;
use crate::places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A build in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// SHA-256 of the plugin's file in hexadecimal digits.
    #[serde(default)]
    pub sha256: String,
    /// Name of the plugin.
    pub name: String,
    /// Path that the file had.
    pub path: PathBuf,
    /// What the build did when it was tried.
    pub reason: String,
    /// When, in seconds since 1970.
    pub since: u64,
}

/// All of them, by hash.
#[derive(Debug, Clone)]
pub struct Quarantine {
    file: PathBuf,
}

impl Quarantine {
    /// The one that is kept in a file.
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }

    /// The quarantine of the user.
    pub fn of_user() -> Option<Self> {
        places::quarantine().map(Self::in_file)
    }

    /// Who is in it, sorted by name and hash.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Quarantined>, RegistryError> {
        let mut all: Vec<_> = self.read()?.into_values().collect();
        all.sort_by(|a, b| (&a.name, &a.sha256).cmp(&(&b.name, &b.sha256)));
        Ok(all)
    }

    /// Lets those out that are meant by a name, a path, or the beginning of a hash; all of them by nothing.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn clear(&self, meant: Option<&str>) -> Result<Vec<Quarantined>, RegistryError> {
        let is_meant = |q: &Quarantined| {
            meant.is_none_or(|m| {
                q.name == m || q.path == Path::new(m) || (m.len() >= 6 && q.sha256.starts_with(m))
            })
        };
        let (out, kept): (BTreeMap<_, _>, _) = self.read()?.into_iter().partition(|(_, q)| is_meant(q));
        if !out.is_empty() {
            let text = serde_json::to_string_pretty(&kept).map_err(|e| self.error(e))?;
            places::write(&self.file, &text).map_err(|e| self.error(e))?;
        }
        Ok(out.into_values().collect())
    }

    pub(crate) fn find(&self, sha256: &str) -> Result<Option<Quarantined>, RegistryError> {
        Ok(self.read()?.remove(sha256))
    }

    pub(crate) fn put(&self, sha256: &str, name: &str, path: &Path, reason: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (sha256, name, reason) = (sha256.to_owned(), name.to_owned(), reason.to_owned());
        // A damaged file was reported when it was asked for this build.
        let Ok(mut all) = self.read() else { return };
        all.insert(sha256.clone(), Quarantined { sha256, name, path, reason, since });
        places::write_json(&self.file, &all);
    }

    fn read(&self) -> Result<BTreeMap<String, Quarantined>, RegistryError> {
        places::read_kept(&self.file).map_err(|e| self.error(e))
    }

    fn error(&self, reason: impl std::fmt::Display) -> RegistryError {
        RegistryError::Quarantine { path: self.file.clone(), reason: reason.to_string() }
    }
}
