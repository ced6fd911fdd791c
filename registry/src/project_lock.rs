//! The lock file that a policy names, and whether it vouches for anything.

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
    /// Whether the user has said yes to it. Otherwise it refuses what it has with other bytes, and lets
    /// nothing in.
    counts: bool,
}

impl ProjectLock {
    /// Reads the lock file that a policy names.
    pub(crate) fn of(policy: &Policy) -> Result<Self, RegistryError> {
        let Some(path) = policy.lock() else { return Ok(Self { lock: Lock::default(), counts: true }) };
        let (lock, sha256) = Lock::read_with_hash(path)?;
        let counts = match &sha256 {
            // One that does not exist lets nothing in; what is written there first is the user's own.
            None => true,
            Some(sha256) => policy.confirms_lock(sha256)?,
        };
        Ok(Self { lock, counts })
    }

    /// The content of the lock file.
    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Whether it vouches for the bytes that it names.
    pub(crate) fn counts(&self) -> bool {
        self.counts
    }
}

/// Changes the lock file of a policy while no other process does, and confirms the new text for the user, who
/// has asked for it. `change` returns whether anything is to be written.
///
/// # Errors
/// If the user has not said yes to the file that is there, it cannot be written, or `change` fails.
pub(crate) fn change_lock<E: From<RegistryError>>(
    policy: &Policy,
    change: impl FnOnce(&mut Lock) -> Result<bool, E>,
) -> Result<(), E> {
    let Some(path) = policy.lock() else { return Ok(()) };
    let fail = |e: std::io::Error| RegistryError::Lock { path: path.to_owned(), reason: e.to_string() };
    let _alone = FolderGuard::of(path).map_err(fail)?;
    let current = ProjectLock::of(policy)?;
    refuse_unconfirmed(&current, policy)?;
    let mut lock = current.lock;
    if change(&mut lock)? {
        lock.write(path, |sha256| policy.confirm_lock(sha256).map(drop))?;
    }
    Ok(())
}

/// Pins bytes that are used for the first time. What another process has decided meanwhile stays.
///
/// # Errors
/// If the lock file has other bytes of the plugin by now, or cannot be written.
pub(crate) fn pin_first_use(policy: &Policy, manifest: &Manifest) -> Result<(), RegistryError> {
    change_lock(policy, |lock| {
        let (name, target) = (&manifest.plugin.name, &manifest.plugin.target);
        match lock.find(name).map(|locked| locked.sha256.get(target)) {
            Some(Some(pinned)) if *pinned == manifest.sha256 => return Ok(false),
            Some(_) => return Err(changed_meanwhile(&manifest.path).into()),
            None => {}
        }
        lock.pin(manifest, None);
        tracing::info!("{name} {} is unsigned and is now pinned in the lock file", manifest.generation());
        Ok(true)
    })
}

/// The refusal of a file of which another process has written other bytes into the lock file since it was
/// judged.
pub(crate) fn changed_meanwhile(file: &Path) -> Refusal {
    Refusal {
        path: file.to_owned(),
        rule: Rule::Lock,
        found: "another process has locked other bytes of it meanwhile".to_owned(),
        remedy: "start again: the lock file decides now".to_owned(),
    }
}

/// The refusal of a file that nothing vouches for but a lock file that the user has not confirmed.
pub(crate) fn unconfirmed(file: &Path, policy: &Policy) -> Refusal {
    Refusal {
        path: file.to_owned(),
        rule: Rule::Trust,
        found: "the lock file pins these bytes, but you have not confirmed the lock file".to_owned(),
        remedy: how_to_confirm(policy.lock().unwrap_or(Path::new(LOCK_FILE))),
    }
}

/// What to do about a lock file that the user has not confirmed.
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

/// Refuses to change a lock file that the user has not said yes to: the new text would be confirmed with all
/// that is in it.
pub(crate) fn refuse_unconfirmed(lock: &ProjectLock, policy: &Policy) -> Result<(), RegistryError> {
    match policy.lock() {
        Some(path) if !lock.counts => {
            Err(RegistryError::Unconfirmed { path: path.to_owned(), help: how_to_confirm(path) })
        }
        _ => Ok(()),
    }
}
