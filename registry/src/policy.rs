//! The policy of a process: which plugin files it trusts, and where it keeps its state.

use crate::child::{Limits, Program};
use crate::error::RegistryError;
use crate::keys::Keys;
use crate::lock::LOCK_FILE;
use crate::ownership::Owners;
use crate::projects::{Confirmed, Projects};
use crate::search::Origin;
use crate::{bundled, places, recorded};
use std::path::{Path, PathBuf};

/// Which files a process trusts. The policy is set when a process starts, and is never relaxed while it runs.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    lock: Option<LockFile>,
    /// Lock files that the user has confirmed.
    projects: Projects,
    pub(crate) keys: Option<Keys>,
    pub(crate) allow_unsigned: bool,
    /// Files that are trusted whatever their bytes are, because the user is developing them.
    pub(crate) watched: Vec<PathBuf>,
    /// Whether the file of every loaded plugin counts as watched.
    pub(crate) watching_loaded: bool,
    /// How child processes that probe builds are started; `None` if nothing is probed.
    pub(crate) probe: Option<(Program, Limits)>,
    /// Folder of caches.
    pub(crate) cache: Option<PathBuf>,
    /// Path of the quarantine file.
    pub(crate) quarantine: Option<PathBuf>,
    /// The record of the hashes that this user's runs have used.
    recorded: RunRecord,
    /// Folders of copies of plugins in run directories.
    pub(crate) stored: Vec<PathBuf>,
    /// Whether the user trusts all copies and host modules of a run directory.
    pub(crate) trusts_run: bool,
}

/// Which bytes count as run by the user before.
#[derive(Debug, Clone, Default)]
enum RunRecord {
    /// None, because the user has no state folder for a record.
    #[default]
    Unavailable,
    /// All, because the embedding program trusts the files that it names.
    TrustsAll,
    /// Those whose hashes are in this file.
    File(PathBuf),
}

/// A lock file, which must be confirmed by the user.
#[derive(Debug, Clone)]
struct LockFile {
    path: PathBuf,
    /// Whether the user has named the lock file, which counts as confirming it.
    named: bool,
}

impl Policy {
    /// Returns the policy of a program that names its plugins itself. The named files are trusted, and
    /// nothing is probed or written.
    pub fn embedded() -> Self {
        Self { allow_unsigned: true, recorded: RunRecord::TrustsAll, ..Self::default() }
    }

    /// Returns the policy of the command line: `plugins.lock` in the working directory, which the user must
    /// have [confirmed](Self::confirm_lock), and the user's trusted keys, caches and quarantine. Builds are
    /// probed only if [`probing`](Self::probing) sets a program for it.
    pub fn standard() -> Self {
        Self {
            lock: Some(LockFile { path: PathBuf::from(LOCK_FILE), named: false }),
            projects: Projects::of_user(),
            keys: Keys::of_user(),
            cache: places::cache(),
            quarantine: places::quarantine(),
            recorded: places::recorded().map_or(RunRecord::Unavailable, RunRecord::File),
            ..Self::default()
        }
    }

    /// Sets the lock file. Naming it counts as confirming it.
    #[must_use]
    pub fn with_lock(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock = Some(LockFile { path: path.into(), named: true });
        self
    }

    /// Sets the folder of caches, quarantine, confirmed lock files, and the record of what the user has run.
    #[must_use]
    pub fn with_state(mut self, folder: &Path) -> Self {
        self.cache = Some(folder.to_owned());
        self.quarantine = Some(folder.join("quarantine.json"));
        self.recorded = RunRecord::File(folder.join("recorded.json"));
        self.projects = Projects::in_file(folder.join("projects.json"));
        self
    }

    /// Sets the trusted keys.
    #[must_use]
    pub fn trusting(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets whether unsigned files are accepted. If there is a confirmed lock file, they are pinned in it,
    /// and other bytes are refused from then on, with or without this setting.
    #[must_use]
    pub fn allowing_unsigned(mut self, allow: bool) -> Self {
        self.allow_unsigned = allow;
        self
    }

    /// Watches files that the user is developing. They are trusted whatever their bytes are.
    #[must_use]
    pub fn watching(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let real = |f: PathBuf| match f.canonicalize() {
            Ok(real) => real,
            // The file may not be built yet, but its folder exists.
            Err(_) => places::in_real_folder(&f),
        };
        self.watched.extend(files.into_iter().map(real));
        self
    }

    /// Sets whether the files of all loaded plugins are watched. A build that later replaces one of them is
    /// trusted.
    #[must_use]
    pub fn watching_loaded(mut self, watching: bool) -> Self {
        self.watching_loaded = watching;
        self
    }

    /// Sets the program in which every new build is opened and tried first. It must call
    /// [`child::serve`](crate::child::serve) with [`probe::answer`](crate::probe::answer).
    #[must_use]
    pub fn probing(mut self, program: Program, limits: Limits) -> Self {
        self.probe = Some((program, limits));
        self
    }

    /// Adds the folder of plugin copies in a run directory. A copy is trusted if this user has run its bytes
    /// before. A lock file in the run directory is not read, because it may come from the author of the
    /// directory.
    #[must_use]
    pub fn keeping_copies(mut self, run: &Path) -> Self {
        let absolute = |path: &Path| {
            path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
        };
        let run = absolute(run);
        self.lock.take_if(|lock| absolute(&lock.path).parent() == Some(&run));
        self.stored.push(run.join(recorded::COPIES));
        self
    }

    /// Sets whether all plugin copies and host modules of a run directory are trusted.
    #[must_use]
    pub fn trusting_run(mut self, trust: bool) -> Self {
        self.trusts_run = trust;
        self
    }

    /// Whether bytes that a run directory names are trusted, by their SHA-256 in hexadecimal digits. They are
    /// if this user has run them before, if [`trusting_run`](Self::trusting_run) is set, or if the policy is
    /// [`embedded`](Self::embedded).
    pub fn vouches_for(&self, sha256: &str) -> bool {
        self.trusts_run || matches!(self.recorded, RunRecord::TrustsAll) || self.has_run(sha256)
    }

    /// Whether this user's record contains the hash of these bytes.
    pub(crate) fn has_run(&self, sha256: &str) -> bool {
        matches!(&self.recorded, RunRecord::File(record) if recorded::contains(record, sha256))
    }

    /// Records that this user has run the bytes with this SHA-256.
    pub fn record(&self, sha256: &str) {
        if let RunRecord::File(record) = &self.recorded {
            recorded::add(record, sha256);
        }
    }

    /// Whether a file is a plugin copy in a run directory.
    pub(crate) fn is_stored(&self, path: &Path) -> bool {
        if self.stored.is_empty() {
            return false;
        }
        let real = path.canonicalize().ok();
        let folder = real.as_deref().and_then(Path::parent);
        let is = |stored: &PathBuf| folder.is_some() && stored.canonicalize().ok().as_deref() == folder;
        self.stored.iter().any(is)
    }

    /// Whether a file is watched.
    pub(crate) fn is_watched(&self, path: &Path) -> bool {
        if self.watched.is_empty() {
            return false;
        }
        let real = path.canonicalize();
        self.watched.iter().any(|watched| watched == path || real.as_ref().is_ok_and(|real| watched == real))
    }

    /// Path of the lock file; `None` if the policy has none.
    pub fn lock(&self) -> Option<&Path> {
        self.lock.as_ref().map(|lock| lock.path.as_path())
    }

    /// Returns the same policy, except that a lock file that was named must be confirmed too. The command
    /// `kasmina plugins trust project` uses this.
    #[must_use]
    pub fn asking_for_lock(mut self) -> Self {
        if let Some(lock) = &mut self.lock {
            lock.named = false;
        }
        self
    }

    /// Whether the user has confirmed the lock file with the text of this SHA-256.
    ///
    /// # Errors
    /// If other users can write a lock file that was named or is in a trusted folder, or if the file of
    /// confirmations cannot be read.
    pub fn confirms_lock(&self, sha256: &str) -> Result<bool, RegistryError> {
        let Some(lock) = &self.lock else { return Ok(false) };
        if !lock.named {
            return self.projects.confirms(&lock.path, sha256);
        }
        match Owners::user().check(&lock.path) {
            Err(exposed) if !exposed.is_foreign() => {
                Err(RegistryError::Lock { path: lock.path.clone(), reason: exposed.found() })
            }
            _ => Ok(true),
        }
    }

    /// Records that the user has confirmed the lock file with the text of this SHA-256. Returns `None` if the
    /// lock file was named, because no confirmation is needed then.
    ///
    /// # Errors
    /// If the file of confirmations cannot be read or written.
    pub fn confirm_lock(&self, sha256: &str) -> Result<Option<Confirmed>, RegistryError> {
        match &self.lock {
            Some(lock) if !lock.named => self.projects.confirm(&lock.path, sha256).map(Some),
            _ => Ok(None),
        }
    }

    /// Removes the confirmation of the lock file. Returns whether there was one.
    ///
    /// # Errors
    /// If the file of confirmations cannot be read or written.
    pub fn forget_lock(&self) -> Result<bool, RegistryError> {
        self.lock.as_ref().map_or(Ok(false), |lock| self.projects.forget(&lock.path))
    }

    /// Returns the lock files that the user has confirmed, sorted by path.
    ///
    /// # Errors
    /// If other users can write the file of confirmations, or it cannot be read.
    pub fn confirmed_locks(&self) -> Result<Vec<Confirmed>, RegistryError> {
        self.projects.list()
    }

    /// Returns the owners that a file may have.
    pub(crate) fn owners(&self, path: &Path, origin: Origin) -> Owners {
        let owners = if origin == Origin::Executable || bundled::contains(path) {
            Owners::of_program()
        } else {
            Owners::user()
        };
        owners.with_user(self.projects.owner_of(path))
    }
}
