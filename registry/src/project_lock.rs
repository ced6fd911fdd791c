//! The lock file that a policy names, and whether the user has confirmed it.

use crate::error::{Refusal, RegistryError, Rule};
use crate::guard::FolderGuard;
use crate::lock::{LOCK_FILE, Lock};
use crate::manifest::Manifest;
use crate::policy::Policy;
use crate::projects::TRUSTED_PROJECTS;
use std::path::Path;

/// A lock file as read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProjectLock {
    lock: Lock,
    /// Whether the user has confirmed the lock file. An unconfirmed one still refuses files that it lists
    /// with other bytes, but makes no file trusted.
    confirmed: bool,
}

impl ProjectLock {
    /// Reads the lock file that a policy names.
    pub(crate) fn of(policy: &Policy) -> Result<Self, RegistryError> {
        let Some(path) = policy.lock() else { return Ok(Self { lock: Lock::default(), confirmed: true }) };
        let (lock, sha256) = Lock::read_with_hash(path)?;
        let confirmed = match &sha256 {
            // A missing lock file pins nothing, and the user's own command will create it.
            None => true,
            Some(sha256) => policy.confirms_lock(sha256)?,
        };
        Ok(Self { lock, confirmed })
    }

    /// The content of the lock file.
    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Whether the bytes that the lock file pins are trusted: the user has confirmed it, or there is none.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed
    }
}

/// Changes the lock file of a policy, and confirms the new text, because the user has requested the change.
/// No other process can change the lock file in the meantime. `change` returns whether the file must be
/// written.
///
/// # Errors
/// If the user has not confirmed the present lock file, it cannot be written, or `change` fails.
pub(crate) fn change_lock<E: From<RegistryError>>(
    policy: &Policy,
    change: impl FnOnce(&mut Lock) -> Result<bool, E>,
) -> Result<(), E> {
    let Some(path) = policy.lock() else { return Ok(()) };
    let fail = |e: std::io::Error| RegistryError::Lock { path: path.to_owned(), reason: e.to_string() };
    let _guard = FolderGuard::of(path).map_err(fail)?;
    let current = ProjectLock::of(policy)?;
    refuse_unconfirmed(&current, policy)?;
    let mut lock = current.lock;
    if change(&mut lock)? {
        lock.write(path, |sha256| policy.confirm_lock(sha256).map(drop))?;
    }
    Ok(())
}

/// Pins the bytes of a plugin that is used for the first time.
///
/// # Errors
/// If another process has pinned other bytes of the plugin in the meantime, or the lock file cannot be
/// written.
pub(crate) fn pin_first_use(policy: &Policy, manifest: &Manifest) -> Result<(), RegistryError> {
    change_lock(policy, |lock| {
        let (name, target) = (&manifest.plugin.name, &manifest.plugin.target);
        match lock.find(name).map(|locked| locked.sha256.get(target)) {
            Some(Some(pinned)) if *pinned == manifest.sha256 => return Ok(false),
            Some(_) => return Err(pinned_by_other_process(&manifest.path).into()),
            None => {}
        }
        lock.pin(manifest, None);
        tracing::info!("{name} {} is unsigned and is now pinned in the lock file", manifest.generation());
        Ok(true)
    })
}

/// Returns the refusal of a file of which another process has pinned other bytes since it was verified.
pub(crate) fn pinned_by_other_process(file: &Path) -> Refusal {
    Refusal {
        path: file.to_owned(),
        rule: Rule::Lock,
        found: "another process has locked other bytes of it in the meantime".to_owned(),
        remedy: "run the command again; the lock file now applies".to_owned(),
    }
}

/// Returns the refusal of a file that is pinned only in a lock file that the user has not confirmed.
pub(crate) fn unconfirmed(file: &Path, policy: &Policy) -> Refusal {
    Refusal {
        path: file.to_owned(),
        rule: Rule::Trust,
        found: "the lock file pins these bytes, but you have not confirmed the lock file".to_owned(),
        remedy: how_to_confirm(policy.lock().unwrap_or(Path::new(LOCK_FILE))),
    }
}

/// Returns the remedy for a lock file that the user has not confirmed.
pub(crate) fn how_to_confirm(path: &Path) -> String {
    format!(
        "read it, then `{}`; in a CI job set {TRUSTED_PROJECTS} to the project's folder",
        confirming_command(path)
    )
}

fn confirming_command(path: &Path) -> String {
    if path == Path::new(LOCK_FILE) {
        return "kasmina plugins trust project".to_owned();
    }
    format!("kasmina plugins trust project --lock {}", crate::quote::quoted(path))
}

/// Refuses to change a lock file that the user has not confirmed, because writing it would confirm all of its
/// content.
pub(crate) fn refuse_unconfirmed(lock: &ProjectLock, policy: &Policy) -> Result<(), RegistryError> {
    match policy.lock() {
        Some(path) if !lock.confirmed => {
            Err(RegistryError::Unconfirmed { path: path.to_owned(), help: how_to_confirm(path) })
        }
        _ => Ok(()),
    }
}
