//! Computes the new content of a lock file, for `kasmina plugins lock`.

use crate::check;
use crate::declared;
use crate::error::{Refusal, RegistryError, Rule};
use crate::guard::FolderGuard;
use crate::keys::Signed;
use crate::lock::{LOCK_FILE, Lock, Locked};
use crate::manifest::Manifest;
use crate::module_file::ModuleFile;
use crate::policy::Policy;
use crate::project_lock::{ProjectLock, refuse_unconfirmed};
use crate::quote::quoted;
use crate::search::{Origin, SearchPath};
use crate::survey::{Surveyed, survey};
use crate::verify::exposed;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Change of one entry of the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The plugin is new in the lock file.
    Added,
    /// The entry is unchanged.
    Same,
    /// The entry's bytes, version or signing key change.
    Changed {
        /// Generation that was locked for this target; absent if none was.
        from: Option<String>,
    },
    /// The plugin is locked, but its file was not found. Its entry is removed.
    Missing,
}

/// The new content of one entry of the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Name of the plugin, or of a host module's file.
    pub name: String,
    /// Version of the plugin; `-` for a host module.
    pub version: String,
    /// Generation of the file that was found; absent if none was.
    pub generation: Option<String>,
    /// Name of the trusted key that has signed the file.
    pub signer: Option<String>,
    /// How the entry changes.
    pub change: Change,
}

/// The new content of a lock file. While this value exists, no other process changes the lock file.
#[derive(Debug)]
pub struct Decisions {
    /// Decisions sorted by name of the plugin.
    pub plugins: Vec<Decision>,
    /// Files that were found and are not locked.
    pub refused: Vec<Refusal>,
    lock: Lock,
    path: PathBuf,
    _guard: FolderGuard,
}

impl Decisions {
    /// Whether the lock file is up to date: it would not change, and no file was refused because its bytes or
    /// its signature do not match.
    pub fn stand(&self) -> bool {
        let other_bytes = |refusal: &Refusal| matches!(refusal.rule, Rule::Lock | Rule::Signature);
        self.is_written() && !self.refused.iter().any(other_bytes)
    }

    /// Whether the lock file exists and would not change.
    pub fn is_written(&self) -> bool {
        self.path.exists() && self.plugins.iter().all(|d| d.change == Change::Same)
    }

    /// Writes the lock file, and records that the user has confirmed it.
    ///
    /// # Errors
    /// If the lock file or the file of confirmations cannot be written.
    pub fn write(&self, policy: &Policy) -> Result<(), RegistryError> {
        self.lock.write(&self.path, |sha256| policy.confirm_lock(sha256).map(drop))
    }

    /// Path of the lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Computes the new lock file for the named files, or for everything in the search path if none is named.
///
/// A named file is pinned even if it is not trusted yet, because the user has decided it. Without names, the
/// files that a run would load are locked, and new builds that are signed by the trusted key that the plugin
/// was locked with. Other files are left out, and their entries in the lock file stay as they are.
///
/// # Errors
/// If a named file cannot be locked, two named files have the same name, or the lock file cannot be read or
/// was not confirmed.
pub fn decide(files: &[PathBuf], path: &SearchPath, policy: &Policy) -> Result<Decisions, RegistryError> {
    let lock_path = policy.lock().unwrap_or(Path::new(LOCK_FILE)).to_owned();
    let guard = FolderGuard::of(&lock_path)
        .map_err(|e| RegistryError::Lock { path: lock_path.clone(), reason: e.to_string() })?;
    let current = ProjectLock::of(policy)?;
    refuse_unconfirmed(&current, policy)?;
    let before = current.lock().clone();
    let mut decisions = Decisions {
        plugins: Vec::new(),
        refused: Vec::new(),
        lock: before.clone(),
        path: lock_path,
        _guard: guard,
    };
    if files.is_empty() {
        decisions.renew(&before, path, policy)?;
    } else {
        for file in files {
            decisions.add_named(file, &before, policy)?;
        }
    }
    decisions.plugins.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(decisions)
}

impl Decisions {
    /// Adds every trusted file in the search path, and removes the entries of plugins that are not found.
    fn renew(&mut self, before: &Lock, path: &SearchPath, policy: &Policy) -> Result<(), RegistryError> {
        let survey = survey(path, policy)?;
        for file in &survey.files {
            let name = &file.manifest.plugin.name;
            // A run skips a file that is shadowed by another of the same plugin, so it is not locked.
            let trusted =
                survey.files.iter().find(|f| f.manifest.plugin.name == *name && f.refusal.is_none());
            let refusal = match (&file.refusal, trusted) {
                (None, _) => None,
                (Some(refusal), None) if is_renewal(file, before, policy)? => {
                    tracing::debug!("{name} is signed by the key that it was locked with: {refusal}");
                    None
                }
                (Some(refusal), _) => Some(Refusal {
                    remedy: format!(
                        "to lock it anyway, name it: `kasmina plugins lock {}`",
                        quoted(&file.manifest.path)
                    ),
                    ..refusal.clone()
                }),
            };
            let added = match refusal {
                Some(refusal) => Err(refusal),
                // The file may have changed since it was verified.
                None => self.add(&file.manifest.path, Some(&file.manifest.sha256), before, policy),
            };
            if let Err(refusal) = added {
                self.refused.push(refusal);
            }
        }
        // A file that cannot be read may be that of a locked plugin, so no entry is removed.
        if !survey.refused.is_empty() {
            return Ok(());
        }
        let found = |locked: &&Locked| survey.files.iter().any(|f| f.manifest.plugin.name == locked.name);
        for locked in before.plugins().filter(|l| !found(l)).cloned() {
            self.lock.remove(&locked.name);
            let Locked { name, version, signer, .. } = locked;
            let signer = signer.map(|key| key.name);
            self.plugins.push(Decision { name, version, signer, generation: None, change: Change::Missing });
        }
        Ok(())
    }

    fn add_named(&mut self, file: &Path, before: &Lock, policy: &Policy) -> Result<(), Refusal> {
        if !declared::is_module(file) {
            return self.add(file, None, before, policy);
        }
        // A module may be used as a host. With a sidecar it may also be used as a seed.
        if declared::sidecar(file).exists() {
            self.add(file, None, before, policy)?;
        }
        self.add_module(&ModuleFile::read(file)?, before, policy)
    }

    fn add(
        &mut self,
        file: &Path,
        verified: Option<&str>,
        before: &Lock,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        let manifest = Manifest::read(file)?;
        if verified.is_some_and(|verified| verified != manifest.sha256) {
            return Err(Refusal {
                path: file.to_owned(),
                rule: Rule::Lock,
                found: "it changed while it was read".to_owned(),
                remedy: "try again".to_owned(),
            });
        }
        if let Some(exposed) = exposed(&manifest, Origin::Named, policy).filter(|e| !e.is_foreign()) {
            return Err(exposed.refusal(file));
        }
        check::compatible(&manifest)?;
        let signed = policy.keys.as_ref().map_or(Ok(Signed::No), |keys| keys.signed(&manifest))?;
        let signer = match signed {
            Signed::By(signer) => Some(signer),
            Signed::No | Signed::Unknown => None,
        };
        let (name, version) = (manifest.plugin.name.clone(), manifest.plugin.version.clone());
        self.refuse_duplicate(&name, file)?;
        let generation = manifest.generation().to_owned();
        let locked = before.find(&name);
        self.lock.pin(&manifest, signer.clone());
        let change = match locked {
            None => Change::Added,
            Some(locked) if self.lock.find(&name).is_some_and(|now| now.is_equivalent(locked)) => {
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

    /// Locks a TorchScript module that is used as a host.
    fn add_module(&mut self, module: &ModuleFile, before: &Lock, policy: &Policy) -> Result<(), Refusal> {
        if let Err(exposed) = policy.owners(&module.path, Origin::Named).check(&module.path)
            && !exposed.is_foreign()
        {
            return Err(exposed.refusal(&module.path));
        }
        let name = module.name();
        self.refuse_duplicate(&name, &module.path)?;
        let change = match before.find_module(&name) {
            None => Change::Added,
            Some(locked) if locked.sha256 == module.sha256 => Change::Same,
            Some(locked) => Change::Changed { from: locked.sha256.get(..12).map(str::to_owned) },
        };
        self.lock.pin_module(&name, &module.sha256);
        let generation = Some(module.sha256[..12].to_owned());
        self.plugins.push(Decision { name, version: "-".to_owned(), generation, signer: None, change });
        Ok(())
    }

    fn refuse_duplicate(&self, name: &str, file: &Path) -> Result<(), Refusal> {
        if !self.plugins.iter().any(|decision| decision.name == name) {
            return Ok(());
        }
        Err(Refusal {
            path: file.to_owned(),
            rule: Rule::Names,
            found: format!("another of the named files is `{name}` too"),
            remedy: "name one file of each plugin".to_owned(),
        })
    }
}

/// Whether a file that is locked with other bytes is a new build, signed by the same trusted key.
fn is_renewal(file: &Surveyed, before: &Lock, policy: &Policy) -> Result<bool, RegistryError> {
    let locked = before.find(&file.manifest.plugin.name).and_then(|locked| locked.signer.as_ref());
    let (Some(was), Some(keys)) = (locked, &policy.keys) else { return Ok(false) };
    if file.refusal.as_ref().is_none_or(|refusal| refusal.rule != Rule::Lock) {
        return Ok(false);
    }
    // The file is read again, because a survey does not keep the bytes.
    let manifest = Manifest::read(&file.manifest.path)?;
    Ok(matches!(keys.signed(&manifest)?, Signed::By(now) if now.key == was.key))
}
