//! `plugins.lock`: which bytes of which plugins this project runs, decided once and written down.
//!
//! It belongs into version control. A plugin has one hash for each target; the hash of its own target must
//! match, and those of the others stay until the plugin's version changes.

use crate::error::RegistryError;
use crate::keys::TrustedKey;
use crate::manifest::Manifest;
use crate::places;
use kasmina_files::{limit, read_text};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// File name of lock files.
pub const LOCK_FILE: &str = "plugins.lock";
const FORMAT: u32 = 1;
const HEAD: &str =
    "# Which plugins this project runs. Written by `kasmina plugins lock`; keep it in version control.\n\n";

/// A lock file as read, or an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    plugins: BTreeMap<String, Locked>,
    modules: BTreeMap<String, LockedModule>,
}

/// One plugin of a lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Name of the plugin.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// A hash for each target.
    pub sha256: BTreeMap<String, String>,
    /// The key that had signed it when it was locked, with the name that it went by there; none, if that was
    /// decided.
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

/// One TorchScript module of a lock file that is used as a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedModule {
    /// The name of its file.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockText {
    format: u32,
    #[serde(default, rename = "plugin", skip_serializing_if = "Vec::is_empty")]
    plugins: Vec<Locked>,
    #[serde(default, rename = "module", skip_serializing_if = "Vec::is_empty")]
    modules: Vec<LockedModule>,
}

impl Lock {
    /// Reads a lock file; one that does not exist is empty.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        Ok(Self::read_with_hash(path)?.0)
    }

    /// The same, with the SHA-256 of the text that was read; none where the file does not exist.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    pub fn read_with_hash(path: &Path) -> Result<(Self, Option<String>), RegistryError> {
        let fail = |reason: String| RegistryError::Lock { path: path.to_owned(), reason };
        let text = match read_text(path, limit::LOCK) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Self::default(), None)),
            Err(error) => return Err(fail(error.to_string())),
        };
        Ok((Self::parse(&text).map_err(fail)?, Some(hash_of_text(&text))))
    }

    /// Reads the text of a lock file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: LockText = toml::from_str(text).map_err(|e| e.to_string())?;
        if read.format != FORMAT {
            return Err(format!("its format is {}, this program knows {FORMAT}", read.format));
        }
        let (mut plugins, mut modules) = (BTreeMap::new(), BTreeMap::new());
        for plugin in read.plugins {
            if let Some(earlier) = plugins.insert(plugin.name.clone(), plugin) {
                return Err(format!("plugin `{}` is listed twice", earlier.name));
            }
        }
        for module in read.modules {
            if let Some(earlier) = modules.insert(module.name.clone(), module) {
                return Err(format!("module `{}` is listed twice", earlier.name));
            }
        }
        Ok(Self { plugins, modules })
    }

    /// Writes it, whole or not at all. `confirm` is handed the SHA-256 of the text before: a file that cannot
    /// be confirmed is not written.
    ///
    /// # Errors
    /// If the place cannot be written, or what `confirm` says.
    pub fn write(
        &self,
        path: &Path,
        confirm: impl FnOnce(&str) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let fail = |reason: String| RegistryError::Lock { path: path.to_owned(), reason };
        let text = LockText {
            format: FORMAT,
            plugins: self.plugins.values().cloned().collect(),
            modules: self.modules.values().cloned().collect(),
        };
        let text = format!("{HEAD}{}", toml::to_string(&text).map_err(|e| fail(e.to_string()))?);
        confirm(&hash_of_text(&text))?;
        places::write(path, &text).map_err(|e| fail(e.to_string()))
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

    /// What is locked under the name of a module's file.
    pub fn find_module(&self, name: &str) -> Option<&LockedModule> {
        self.modules.get(name)
    }

    /// All modules that are locked, sorted by name.
    pub fn modules(&self) -> impl Iterator<Item = &LockedModule> {
        self.modules.values()
    }

    /// Locks a module to these bytes.
    pub fn pin_module(&mut self, name: &str, sha256: &str) {
        let module = LockedModule { name: name.to_owned(), sha256: sha256.to_owned() };
        self.modules.insert(module.name.clone(), module);
    }

    /// Removes a plugin from the lock file.
    pub fn remove(&mut self, name: &str) -> bool {
        self.plugins.remove(name).is_some()
    }
}

fn hash_of_text(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
