//! Builds that ended the process in which they were tried: they are not tried again until somebody says so.

use crate::places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Hash of its file.
    #[serde(default)]
    pub sha256: String,
    /// The plugin's name.
    pub name: String,
    /// Where it lay.
    pub path: PathBuf,
    /// What it did.
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

    /// The user's own.
    pub fn of_user() -> Option<Self> {
        places::quarantine().map(Self::in_file)
    }

    /// Who is in it, sorted by name and hash.
    pub fn list(&self) -> Vec<Quarantined> {
        let mut all: Vec<_> = self.read().into_values().collect();
        all.sort_by(|a, b| (&a.name, &a.sha256).cmp(&(&b.name, &b.sha256)));
        all
    }

    /// Lets those out that are meant by a name, a path, or the beginning of a hash; all of them by nothing.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn clear(&self, meant: Option<&str>) -> std::io::Result<Vec<Quarantined>> {
        let is_meant = |q: &Quarantined| {
            meant.is_none_or(|m| {
                q.name == m || q.path == Path::new(m) || (m.len() >= 6 && q.sha256.starts_with(m))
            })
        };
        let (out, kept): (BTreeMap<_, _>, _) = self.read().into_iter().partition(|(_, q)| is_meant(q));
        if !out.is_empty() {
            places::write(&self.file, &serde_json::to_string_pretty(&kept)?)?;
        }
        Ok(out.into_values().collect())
    }

    pub(crate) fn find(&self, sha256: &str) -> Option<Quarantined> {
        self.read().remove(sha256)
    }

    pub(crate) fn put(&self, sha256: &str, name: &str, path: &Path, reason: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (sha256, name, reason) = (sha256.to_owned(), name.to_owned(), reason.to_owned());
        let mut all = self.read();
        all.insert(sha256.clone(), Quarantined { sha256, name, path, reason, since });
        places::write_json(&self.file, &all);
    }

    fn read(&self) -> BTreeMap<String, Quarantined> {
        places::read_json(&self.file)
    }
}
