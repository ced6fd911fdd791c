//! What a process asks of a plugin before it runs it.

use crate::child::{Limits, Program};
use crate::keys::Keys;
use crate::lock::LOCK_FILE;
use crate::places;
use crate::recorded;
use std::path::{Path, PathBuf};

/// How files are judged. Decided once, when a process starts; while it runs nothing of it is relaxed.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub(crate) lock: Option<PathBuf>,
    pub(crate) keys: Option<Keys>,
    pub(crate) allow_unsigned: bool,
    pub(crate) watched: Vec<PathBuf>,
    pub(crate) watching_loaded: bool,
    pub(crate) probe: Option<(Program, Limits)>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) quarantine: Option<PathBuf>,
    /// Where the hashes are recorded of what this user's runs have used.
    pub(crate) recorded: Option<PathBuf>,
    /// Folders of a run's own copies of plugins.
    pub(crate) stored: Vec<PathBuf>,
    /// Whether the user vouches for all that a run directory brings.
    pub(crate) trusts_run: bool,
}

impl Policy {
    /// For programs that name their plugins themselves: what they name is trusted, and nothing is probed or written.
    pub fn embedded() -> Self {
        Self { allow_unsigned: true, ..Self::default() }
    }

    /// For users: `plugins.lock` of the working directory, the user's trusted keys, caches and quarantine. Nothing is
    /// probed until a [program](Self::probing) for it is named.
    pub fn standard() -> Self {
        Self {
            lock: Some(PathBuf::from(LOCK_FILE)),
            keys: Keys::of_user(),
            cache: places::cache(),
            quarantine: places::quarantine(),
            recorded: places::recorded(),
            ..Self::default()
        }
    }

    /// Another lock file.
    #[must_use]
    pub fn with_lock(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock = Some(path.into());
        self
    }

    /// Keeps caches and quarantine in a folder.
    #[must_use]
    pub fn with_state(mut self, folder: &Path) -> Self {
        self.cache = Some(folder.to_owned());
        self.quarantine = Some(folder.join("quarantine.json"));
        self.recorded = Some(folder.join("recorded.json"));
        self
    }

    /// Trusts the keys of a folder.
    #[must_use]
    pub fn trusting(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Lets files in that nobody vouches for. Where there is a lock file they are pinned in it, and only those bytes
    /// are let in from then on, with or without this.
    #[must_use]
    pub fn allowing_unsigned(mut self, allow: bool) -> Self {
        self.allow_unsigned = allow;
        self
    }

    /// These files are being worked on: whatever lies there is let in, as often as it changes.
    #[must_use]
    pub fn watching(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.watched.extend(files.into_iter().map(|f| f.canonicalize().unwrap_or(f)));
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

    /// A run keeps copies of its plugins in a folder of its directory: what lies there is let in if this user's own state
    /// folder records its hash. A lock file in that directory is not read: whoever made the directory wrote it.
    #[must_use]
    pub fn keeping_copies(mut self, run: &Path) -> Self {
        let absolute = |path: &Path| {
            path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
        };
        let run = absolute(run);
        self.lock.take_if(|lock| absolute(lock).parent() == Some(&run));
        self.stored.push(run.join(recorded::COPIES));
        self
    }

    /// The user vouches for all that a run directory brings, copies of plugins and host modules.
    #[must_use]
    pub fn trusting_run(mut self, trust: bool) -> Self {
        self.trusts_run = trust;
        self
    }

    /// Whether this user vouches for bytes that a run directory names: by having run them before, or by saying so. A program
    /// that names its plugins itself keeps no record, and vouches for what it opens.
    pub fn vouches_for(&self, sha256: &str) -> bool {
        let recorded = |record: &PathBuf| recorded::contains(record, sha256);
        self.trusts_run || self.recorded.as_ref().is_none_or(recorded)
    }

    /// Records that this user runs these bytes.
    pub fn record(&self, sha256: &str) {
        if let Some(record) = &self.recorded {
            recorded::add(record, sha256);
        }
    }

    /// Whether a file is a run's own copy of a plugin.
    pub(crate) fn is_stored(&self, path: &Path) -> bool {
        let real = path.canonicalize().ok();
        let folder = real.as_deref().and_then(Path::parent);
        let is = |stored: &PathBuf| folder.is_some() && stored.canonicalize().ok().as_deref() == folder;
        self.stored.iter().any(is)
    }

    pub(crate) fn is_watched(&self, path: &Path) -> bool {
        let real = path.canonicalize();
        self.watched.iter().any(|watched| watched == path || real.as_ref().is_ok_and(|real| watched == real))
    }

    /// The lock file that counts.
    pub fn lock(&self) -> Option<&Path> {
        self.lock.as_deref()
    }
}
