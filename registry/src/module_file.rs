//! TorchScript modules that are used as hosts. They are read once, and verified like plugin files.

use crate::error::{Refusal, RegistryError, Rule};
use crate::lock::Lock;
use crate::plugin_file;
use crate::policy::Policy;
use crate::project_lock::{ProjectLock, change_lock, pinned_by_other_process, unconfirmed};
use crate::quote::quoted;
use crate::search::Origin;
use crate::verify::Trust;
use kasmina_files::limit;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// A TorchScript module in memory.
#[derive(Debug)]
pub(crate) struct ModuleFile {
    /// Path of the file.
    pub(crate) path: PathBuf,
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub(crate) sha256: String,
    /// The whole file. The verified bytes are the bytes that are loaded.
    pub(crate) bytes: Vec<u8>,
}

impl ModuleFile {
    /// Reads a file, and checks that it begins and ends like an archive of `torch.jit.save`.
    pub(crate) fn read(path: &Path) -> Result<Self, Refusal> {
        let bytes = plugin_file::read(path, limit::MODULE)?;
        let refuse = |found: &str, remedy: &str| {
            Err(Refusal {
                path: path.to_owned(),
                rule: Rule::Readable,
                found: found.to_owned(),
                remedy: remedy.to_owned(),
            })
        };
        if !bytes.starts_with(b"PK\x03\x04") {
            return refuse("it is not a TorchScript archive", "write it with torch.jit.save");
        }
        // The record that ends a ZIP archive is within this many bytes of the file's end.
        let tail = &bytes[bytes.len().saturating_sub(22 + 0xffff)..];
        if !tail.windows(4).any(|four| four == b"PK\x05\x06") {
            return refuse("it is cut off", "copy or save it again");
        }
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Ok(Self { path: path.to_owned(), sha256, bytes })
    }

    /// Returns the name of the module in a lock file, which is the name of its file.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Decides whether the module is trusted, by its owners, the lock file, the record of what this user has
    /// run, and the policy, in this order. If the policy accepts unsigned files, new bytes are pinned.
    ///
    /// # Errors
    /// If the module breaks a rule, or the lock file cannot be read or written.
    pub(crate) fn verify(&self, policy: &Policy) -> Result<Trust, RegistryError> {
        let exposed = policy.owners(&self.path, Origin::Named).check(&self.path).err();
        if let Some(exposed) = exposed.as_ref().filter(|exposed| !exposed.is_foreign()) {
            return Err(exposed.refusal(&self.path).into());
        }
        let lock = ProjectLock::of(policy)?;
        let (name, file) = (self.name(), quoted(&self.path));
        let refuse = |rule, found: &str, remedy: String| {
            let found = found.to_owned();
            Err(RegistryError::from(Refusal { path: self.path.clone(), rule, found, remedy }))
        };
        let locked = lock.lock().find_module(&name);
        let is_pinned = locked.is_some_and(|locked| locked.sha256 == self.sha256);
        if is_pinned && lock.is_confirmed() {
            return Ok(Trust::Pinned);
        }
        if locked.is_some() && !is_pinned {
            return refuse(
                Rule::Lock,
                "it was modified: the lock file has other bytes of it",
                format!(
                    "if you changed it, lock it: `kasmina plugins lock {file}`; otherwise get the file again"
                ),
            );
        }
        if policy.trusts_run || policy.has_run(&self.sha256) {
            return Ok(Trust::Recorded);
        }
        if let Some(exposed) = exposed {
            return Err(exposed.refusal(&self.path).into());
        }
        match (policy.allow_unsigned, policy.lock().filter(|_| lock.is_confirmed())) {
            (true, Some(_)) => {
                change_lock(policy, |lock| self.pin(lock, &name))?;
                Ok(Trust::Pinned)
            }
            (true, None) => Ok(Trust::Unsigned),
            (false, _) if is_pinned => Err(unconfirmed(&self.path, policy).into()),
            (false, _) => refuse(
                Rule::Trust,
                "it is not trusted: a TorchScript module is code, and it is not pinned in plugins.lock",
                format!(
                    "pin these bytes with `kasmina plugins lock {file}`, or with --allow-unsigned at first use"
                ),
            ),
        }
    }

    /// Pins the module. Returns whether the lock file has changed.
    fn pin(&self, lock: &mut Lock, name: &str) -> Result<bool, RegistryError> {
        match lock.find_module(name) {
            None => {
                lock.pin_module(name, &self.sha256);
                Ok(true)
            }
            Some(locked) if locked.sha256 == self.sha256 => Ok(false),
            Some(_) => Err(pinned_by_other_process(&self.path).into()),
        }
    }
}
