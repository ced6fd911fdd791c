//! The lock file `plugins.lock`: the SHA-256 of each plugin and host module that a project runs.
//!
//! It belongs into version control. A plugin has one hash for each target. The hash of this target must
//! match; those of other targets are kept until the plugin's version changes.

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

/// Content of a lock file.
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
    /// SHA-256 of the plugin's file in hexadecimal digits, by target.
    pub sha256: BTreeMap<String, String>,
    /// The key that had signed the file when it was locked, with its name on that machine; absent if no
    /// trusted key had signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<TrustedKey>,
}

impl Locked {
    /// Whether two entries have the same version, hashes and signing key. The key's name may differ, because
    /// each user chooses it.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        let key = |locked: &Self| locked.signer.as_ref().map(|signer| signer.key.clone());
        self.version == other.version && self.sha256 == other.sha256 && key(self) == key(other)
    }
}

/// A TorchScript module in a lock file, which is used as a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedModule {
    /// Name of the module's file, without its folder.
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
    /// Reads a lock file. Returns an empty one if the file does not exist.
    ///
    /// # Errors
    /// If the file exists and cannot be read or parsed.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        Ok(Self::read_with_hash(path)?.0)
    }

    /// Reads a lock file, and returns also the SHA-256 of its text; `None` if the file does not exist.
    ///
    /// # Errors
    /// If the file exists and cannot be read or parsed.
    pub fn read_with_hash(path: &Path) -> Result<(Self, Option<String>), RegistryError> {
        let fail = |reason: String| RegistryError::Lock { path: path.to_owned(), reason };
        let text = match read_text(path, limit::LOCK) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Self::default(), None)),
            Err(error) => return Err(fail(error.to_string())),
        };
        Ok((Self::parse(&text).map_err(fail)?, Some(hash_of_text(&text))))
    }

    /// Parses the text of a lock file.
    ///
    /// # Errors
    /// If it is not valid; the text says why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: LockText = toml::from_str(text).map_err(|e| e.to_string())?;
        if read.format != FORMAT {
            return Err(format!("its format is {}, this program reads format {FORMAT}", read.format));
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

    /// Writes the lock file atomically. `confirm` is called first with the SHA-256 of the new text; if it
    /// fails, the file is not written.
    ///
    /// # Errors
    /// If the file cannot be written, or `confirm` fails.
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

    /// Returns the entry of a plugin.
    pub fn find(&self, name: &str) -> Option<&Locked> {
        self.plugins.get(name)
    }

    /// Returns the entries of all plugins, sorted by name.
    pub fn plugins(&self) -> impl Iterator<Item = &Locked> {
        self.plugins.values()
    }

    /// Pins a plugin to the bytes of a file, for the target of that file.
    pub fn pin(&mut self, manifest: &Manifest, signer: Option<TrustedKey>) {
        let (name, version) = (&manifest.plugin.name, &manifest.plugin.version);
        let mut sha256 = match self.plugins.get(name) {
            // The hashes of other targets are kept only if they are of the same version.
            Some(before) if before.version == *version => before.sha256.clone(),
            _ => BTreeMap::new(),
        };
        sha256.insert(manifest.plugin.target.clone(), manifest.sha256.clone());
        let locked = Locked { name: name.clone(), version: version.clone(), signer, sha256 };
        self.plugins.insert(name.clone(), locked);
    }

    /// Returns the entry of a module, by the name of its file.
    pub fn find_module(&self, name: &str) -> Option<&LockedModule> {
        self.modules.get(name)
    }

    /// Returns the entries of all modules, sorted by name.
    pub fn modules(&self) -> impl Iterator<Item = &LockedModule> {
        self.modules.values()
    }

    /// Pins a module to the bytes with this SHA-256.
    pub fn pin_module(&mut self, name: &str, sha256: &str) {
        let module = LockedModule { name: name.to_owned(), sha256: sha256.to_owned() };
        self.modules.insert(module.name.clone(), module);
    }

    /// Removes the entry of a plugin. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.plugins.remove(name).is_some()
    }
}

fn hash_of_text(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
