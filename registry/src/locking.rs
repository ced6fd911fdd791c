//! Deciding which bytes a project runs.

use crate::check;
use crate::error::{Refusal, RegistryError};
use crate::keys::Signed;
use crate::lock::{Lock, Locked};
use crate::manifest::Manifest;
use crate::permissions;
use crate::policy::Policy;
use crate::search::SearchPath;
use crate::survey::survey;
use crate::verify::lock_of;
use serde::Serialize;
use std::path::PathBuf;

/// What becomes of one plugin of the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not there.
    Added,
    /// It is as it was.
    Same,
    /// Its bytes, its version or its signer are others.
    Changed {
        /// The build that was locked for this target.
        from: Option<String>,
    },
    /// It is locked, and not found any more.
    Missing,
}

/// One plugin of the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The build found; none where none is.
    pub generation: Option<String>,
    /// The trusted key that has signed it.
    pub signer: Option<String>,
    /// What becomes of it.
    pub change: Change,
}

/// What a lock file would be.
#[derive(Debug)]
pub struct Decisions {
    /// Sorted by name.
    pub plugins: Vec<Decision>,
    /// Files that were found and cannot be locked.
    pub refused: Vec<Refusal>,
    lock: Lock,
    path: PathBuf,
}

impl Decisions {
    /// Whether the lock file says all this already.
    pub fn stand(&self) -> bool {
        self.plugins.iter().all(|d| d.change == Change::Same)
    }

    /// Writes the lock file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self) -> Result<(), RegistryError> {
        self.lock.write(&self.path)
    }

    /// Which lock file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// Decides for the files named, or for everything in the search path where none is. Of what is not found the lock file
/// keeps what it has, unless everything was looked for.
///
/// # Errors
/// If a named file cannot be locked, or the lock file cannot be read.
pub fn decide(files: &[PathBuf], path: &SearchPath, policy: &Policy) -> Result<Decisions, RegistryError> {
    let lock_path = policy.lock().map_or_else(|| crate::lock::LOCK_FILE.into(), ToOwned::to_owned);
    let before = lock_of(policy)?;
    let mut decisions =
        Decisions { plugins: Vec::new(), refused: Vec::new(), lock: before.clone(), path: lock_path };
    if files.is_empty() {
        let survey = survey(path, policy)?;
        for file in &survey.files {
            // What a run passes over, because it takes another file of that name, is not what it runs.
            let name = &file.manifest.plugin.name;
            let taken = survey.files.iter().find(|f| f.manifest.plugin.name == *name && f.refusal.is_none());
            if let (Some(refusal), Some(_)) = (&file.refusal, taken) {
                decisions.refused.push(refusal.clone());
                continue;
            }
            if let Err(refusal) = decisions.add(&file.manifest.path, &before, policy) {
                decisions.refused.push(refusal);
            }
        }
        let gone: Vec<Locked> = before
            .plugins()
            .filter(|l| !survey.files.iter().any(|f| f.manifest.plugin.name == l.name))
            .cloned()
            .collect();
        for locked in gone {
            decisions.lock.remove(&locked.name);
            let Locked { name, version, signer, .. } = locked;
            let signer = signer.map(|key| key.name);
            decisions.plugins.push(Decision {
                name,
                version,
                signer,
                generation: None,
                change: Change::Missing,
            });
        }
    } else {
        files.iter().try_for_each(|file| decisions.add(file, &before, policy))?;
    }
    decisions.plugins.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(decisions)
}

impl Decisions {
    fn add(&mut self, file: &std::path::Path, before: &Lock, policy: &Policy) -> Result<(), Refusal> {
        let manifest = Manifest::read(file)?;
        permissions::file(file)?;
        check::compatible(&manifest)?;
        let signed = policy.keys.as_ref().map_or(Ok(Signed::No), |keys| keys.signed(&manifest))?;
        let signer = match signed {
            Signed::By(signer) => Some(signer),
            Signed::No | Signed::Unknown => None,
        };
        let (name, version) = (manifest.plugin.name.clone(), manifest.plugin.version.clone());
        let generation = manifest.generation().to_owned();
        let locked = before.find(&name);
        self.lock.pin(&manifest, signer.clone());
        let change = match locked {
            None => Change::Added,
            Some(locked) if self.lock.find(&name).is_some_and(|now| now.says_the_same(locked)) => {
                Change::Same
            }
            Some(locked) => Change::Changed {
                from: locked.sha256.get(&manifest.plugin.target).and_then(|h| h.get(..12)).map(str::to_owned),
            },
        };
        let signer = signer.map(|key| key.name);
        self.plugins.push(Decision { name, version, generation: Some(generation), signer, change });
        Ok(())
    }
}
