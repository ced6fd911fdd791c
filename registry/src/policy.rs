//! What a process asks of a plugin before it runs it.

use crate::child::{Limits, Program};
use crate::error::RegistryError;
use crate::keys::Keys;
use crate::lock::LOCK_FILE;
use crate::ownership::Owners;
use crate::projects::{Confirmed, Projects};
use crate::search::Origin;
use crate::{bundled, places, recorded};
use std::path::{Path, PathBuf};

/// How files are judged. Decided once, when a process starts; while it runs nothing of it is relaxed.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    lock: Option<LockFile>,
    /// Which lock files the user has said yes to.
    projects: Projects,
    pub(crate) keys: Option<Keys>,
    pub(crate) allow_unsigned: bool,
    pub(crate) watched: Vec<PathBuf>,
    pub(crate) watching_loaded: bool,
    pub(crate) probe: Option<(Program, Limits)>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) quarantine: Option<PathBuf>,
    /// Where the hashes are recorded of what this user's runs have used.
    recorded: Record,
    /// Folders of a run's own copies of plugins.
    pub(crate) stored: Vec<PathBuf>,
    /// Whether the user vouches for all that a run directory brings.
    pub(crate) trusts_run: bool,
}

/// Where it is recorded which bytes the user has run.
#[derive(Debug, Clone, Default)]
enum Record {
    /// The user has no state folder to keep it in.
    #[default]
    Nowhere,
    /// The program that embeds the registry vouches for what it opens.
    NotAsked,
    /// In this file.
    In(PathBuf),
}

/// A lock file that counts if its user says so.
#[derive(Debug, Clone)]
struct LockFile {
    path: PathBuf,
    /// Confirmed, because the user has named it.
    named: bool,
}

impl Policy {
    /// For programs that name their plugins themselves: what they name is trusted, and nothing is probed or
    /// written.
    pub fn embedded() -> Self {
        Self { allow_unsigned: true, recorded: Record::NotAsked, ..Self::default() }
    }

    /// For users: `plugins.lock` of the working directory if the user has [confirmed](Self::confirm_lock) it,
    /// the user's trusted keys, caches and quarantine. Nothing is probed until a [program](Self::probing) for
    /// it is named.
    pub fn standard() -> Self {
        Self {
            lock: Some(LockFile { path: PathBuf::from(LOCK_FILE), named: false }),
            projects: Projects::of_user(),
            keys: Keys::of_user(),
            cache: places::cache(),
            quarantine: places::quarantine(),
            recorded: places::recorded().map_or(Record::Nowhere, Record::In),
            ..Self::default()
        }
    }

    /// Uses another lock file. Naming it counts as confirming it.
    #[must_use]
    pub fn with_lock(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock = Some(LockFile { path: path.into(), named: true });
        self
    }

    /// Keeps caches and quarantine in a folder.
    #[must_use]
    pub fn with_state(mut self, folder: &Path) -> Self {
        self.cache = Some(folder.to_owned());
        self.quarantine = Some(folder.join("quarantine.json"));
        self.recorded = Record::In(folder.join("recorded.json"));
        self.projects = Projects::in_file(folder.join("projects.json"));
        self
    }

    /// Trusts the keys of a folder.
    #[must_use]
    pub fn trusting(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Lets files in that nobody vouches for. Where there is a lock file they are pinned in it, and only
    /// those bytes are let in from then on, with or without this.
    #[must_use]
    pub fn allowing_unsigned(mut self, allow: bool) -> Self {
        self.allow_unsigned = allow;
        self
    }

    /// These files are being worked on: whatever lies there is let in, as often as it changes.
    #[must_use]
    pub fn watching(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let real = |f: PathBuf| match f.canonicalize() {
            Ok(real) => real,
            // It need not be built yet; its folder is there.
            Err(_) => places::in_real_folder(&f),
        };
        self.watched.extend(files.into_iter().map(real));
        self
    }

    /// The files of everything that is loaded are being worked on: what comes to lie there later is let in.
    #[must_use]
    pub fn watching_loaded(mut self, watching: bool) -> Self {
        self.watching_loaded = watching;
        self
    }

    /// Opens and tries every build for the first time in a process of its own: this program calls
    /// [`probe::answer`](crate::probe::answer) in [`child::serve`](crate::child::serve).
    #[must_use]
    pub fn probing(mut self, program: Program, limits: Limits) -> Self {
        self.probe = Some((program, limits));
        self
    }

    /// A run keeps copies of its plugins in a folder of its directory: what lies there is let in if this
    /// user's own state folder records its hash. A lock file in that directory is not read: whoever made the
    /// directory wrote it.
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

    /// The user vouches for all that a run directory brings, copies of plugins and host modules.
    #[must_use]
    pub fn trusting_run(mut self, trust: bool) -> Self {
        self.trusts_run = trust;
        self
    }

    /// Whether this user vouches for bytes that a run directory names: by having run them before, or by
    /// saying so. A program that names its plugins itself keeps no record, and vouches for what it opens.
    pub fn vouches_for(&self, sha256: &str) -> bool {
        // A user without a place for records has run nothing that is known.
        self.trusts_run || matches!(self.recorded, Record::NotAsked) || self.has_run(sha256)
    }

    /// Whether the record says that this user has run these bytes.
    pub(crate) fn has_run(&self, sha256: &str) -> bool {
        matches!(&self.recorded, Record::In(record) if recorded::contains(record, sha256))
    }

    /// Records that this user runs these bytes.
    pub fn record(&self, sha256: &str) {
        if let Record::In(record) = &self.recorded {
            recorded::add(record, sha256);
        }
    }

    /// Whether a file is a run's own copy of a plugin.
    pub(crate) fn is_stored(&self, path: &Path) -> bool {
        if self.stored.is_empty() {
            return false;
        }
        let real = path.canonicalize().ok();
        let folder = real.as_deref().and_then(Path::parent);
        let is = |stored: &PathBuf| folder.is_some() && stored.canonicalize().ok().as_deref() == folder;
        self.stored.iter().any(is)
    }

    pub(crate) fn is_watched(&self, path: &Path) -> bool {
        if self.watched.is_empty() {
            return false;
        }
        let real = path.canonicalize();
        self.watched.iter().any(|watched| watched == path || real.as_ref().is_ok_and(|real| watched == real))
    }

    /// The lock file that is read and written.
    pub fn lock(&self) -> Option<&Path> {
        self.lock.as_ref().map(|lock| lock.path.as_path())
    }

    /// The same policy without a confirmation for its lock file: what `kasmina plugins trust project` asks
    /// about, however the file was named.
    #[must_use]
    pub fn asking_for_lock(mut self) -> Self {
        if let Some(lock) = &mut self.lock {
            lock.named = false;
        }
        self
    }

    /// Whether the user has said yes to the lock file with this text.
    ///
    /// # Errors
    /// If the user has named it and others can write it.
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

    /// Records the user's yes to the lock file with this text.
    ///
    /// # Errors
    /// If the record cannot be read or written.
    pub fn confirm_lock(&self, sha256: &str) -> Result<Option<Confirmed>, RegistryError> {
        match &self.lock {
            Some(lock) if !lock.named => self.projects.confirm(&lock.path, sha256).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes the user's yes to the lock file back; returns whether there was one.
    ///
    /// # Errors
    /// If the record cannot be read or written.
    pub fn forget_lock(&self) -> Result<bool, RegistryError> {
        self.lock.as_ref().map_or(Ok(false), |lock| self.projects.forget(&lock.path))
    }

    /// The lock files that the user has said yes to, sorted by path.
    ///
    /// # Errors
    /// If others can write the record, or it cannot be read.
    pub fn confirmed_locks(&self) -> Result<Vec<Confirmed>, RegistryError> {
        self.projects.list()
    }

    /// Who may own a file that was found here.
    pub(crate) fn owners(&self, path: &Path, origin: Origin) -> Owners {
        let owners = if origin == Origin::Executable || bundled::contains(path) {
            Owners::of_program()
        } else {
            Owners::user()
        };
        owners.and(self.projects.owner_of(path))
    }
}
