//! `plugins.lock`: which bytes of which plugins this project runs, decided once and written down.
//!
//! It belongs into version control. A plugin has one hash for each target; the hash of its own target must match, and
//! those of the others stay until the plugin's version changes.

use crate::error::RegistryError;
use crate::keys::TrustedKey;
use crate::manifest::Manifest;
use crate::places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The lock file's name.
pub const LOCK_FILE: &str = "plugins.lock";
const FORMAT: u32 = 1;
const HEAD: &str =
    "# Which plugins this project runs. Written by `kasmina plugins lock`; keep it in version control.\n\n";

/// A lock file as read, or an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    plugins: BTreeMap<String, Locked>,
}

/// One plugin of a lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A hash for each target.
    pub sha256: BTreeMap<String, String>,
    /// The key that had signed it when it was locked, with the name that it went by there; none, if that was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<TrustedKey>,
}

impl Locked {
    /// Whether both decide the same. What a key is called is everybody's own business.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let key = |locked: &Self| locked.signer.as_ref().map(|signer| signer.key.clone());
        self.version == other.version && self.sha256 == other.sha256 && key(self) == key(other)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    format: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<Locked>,
}

impl Lock {
    /// Reads a lock file; one that is not there is empty.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        let fail = |reason: String| RegistryError::Lock { path: path.to_owned(), reason };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(fail(error.to_string())),
        };
        let read: Format = toml::from_str(&text).map_err(|e| fail(e.to_string()))?;
        if read.format != FORMAT {
            return Err(fail(format!("its format is {}, this program knows {FORMAT}", read.format)));
        }
        Ok(Self { plugins: read.plugins.into_iter().map(|p| (p.name.clone(), p)).collect() })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// If the place cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RegistryError> {
        let fail = |reason: String| RegistryError::Lock { path: path.to_owned(), reason };
        let format = Format { format: FORMAT, plugins: self.plugins.values().cloned().collect() };
        let text = toml::to_string(&format).map_err(|e| fail(e.to_string()))?;
        places::write(path, &format!("{HEAD}{text}")).map_err(|e| fail(e.to_string()))
    }

    /// What is locked under a name.
    pub fn find(&self, name: &str) -> Option<&Locked> {
        self.plugins.get(name)
    }

    /// All that is locked, sorted by name.
    pub fn plugins(&self) -> impl Iterator<Item = &Locked> {
        self.plugins.values()
    }

    /// Locks a plugin to these bytes on this target.
    pub fn pin(&mut self, manifest: &Manifest, signer: Option<TrustedKey>) {
        let (name, version) = (&manifest.plugin.name, &manifest.plugin.version);
        let mut sha256 = match self.plugins.get(name) {
            // Another version's hashes say nothing of this one on other targets.
            Some(before) if before.version == *version => before.sha256.clone(),
            _ => BTreeMap::new(),
        };
        sha256.insert(manifest.plugin.target.clone(), manifest.sha256.clone());
        let locked = Locked { name: name.clone(), version: version.clone(), signer, sha256 };
        self.plugins.insert(name.clone(), locked);
    }

    /// Lets a plugin go.
    pub fn remove(&mut self, name: &str) -> bool {
        self.plugins.remove(name).is_some()
    }
}

/// The lock file of a folder.
pub fn in_folder(folder: &Path) -> PathBuf {
    folder.join(LOCK_FILE)
}
