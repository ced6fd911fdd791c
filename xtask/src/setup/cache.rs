//! The per-user cache: one libtorch for all checkouts.
//!
//! One process at a time writes to it, and only complete trees appear in it: everything is put together in a
//! directory named `partial-*` and then renamed into place. A killed run leaves at most a `partial-*`, which
//! the next process that holds the lock removes.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use etcetera::BaseStrategy as _;
use tempfile::TempDir;

use super::partial::PARTIAL;
use super::problem::{Problem, writing};
use super::wheels::{Part, TORCH_VERSION, Wheel};

/// Kasmina's directory in the user's cache.
pub(super) struct Cache {
    dir: PathBuf,
}

/// Exclusive lock for writing in the cache. It is released when the process that holds it ends, even if
/// killed.
pub(super) struct Lock<'a> {
    cache: &'a Cache,
    _file: File,
}

impl Cache {
    /// `$XDG_CACHE_HOME/kasmina`, or the same in `~/.cache`.
    pub(super) fn of_user() -> Result<Self> {
        let base = etcetera::base_strategy::Xdg::new()
            .context("there is no home directory to keep libtorch in: set XDG_CACHE_HOME to a directory")?;
        Ok(Self::at(base.cache_dir().join("kasmina")))
    }

    /// A cache in the given directory.
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Directory of the cache.
    pub(super) fn folder(&self) -> &Path {
        &self.dir
    }

    /// Directory of the pinned libtorch in the cache, whether or not it exists.
    pub(super) fn libtorch(&self) -> PathBuf {
        self.dir.join(format!("libtorch-{TORCH_VERSION}-x86_64-linux"))
    }

    /// Whether a part is in the cache. Its files are checked one by one, because users and cleaners may
    /// delete files of a cache.
    pub(super) fn has(&self, part: Part, wheels: &[Wheel]) -> bool {
        let libtorch = self.libtorch();
        let is_unpacked = |part| wheels.iter().all(|wheel| wheel.is_unpacked(part, &libtorch));
        match part {
            Part::Cpu => {
                is_unpacked(Part::Cpu)
                    && ["build-version", "lib/libtorch.so"].iter().all(|file| libtorch.join(file).exists())
            }
            Part::Cuda => self.has(Part::Cpu, wheels) && is_unpacked(Part::Cuda),
        }
    }

    /// Locks the cache for writing. Prints a line if it has to wait for another process.
    pub(super) fn lock(&self) -> Result<Lock<'_>> {
        fs::create_dir_all(&self.dir).map_err(writing(&self.dir))?;
        let path = self.dir.join("setup.lock");
        let file = File::options().create(true).append(true).open(&path).map_err(writing(&self.dir))?;
        let locked = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                eprintln!("libtorch: waiting for another set-up that uses {}", self.dir.display());
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        locked.with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Lock { cache: self, _file: file })
    }
}

impl Lock<'_> {
    /// Removes what killed set-ups left. A failure is only printed, because leftovers are never used.
    pub(super) fn sweep(&self) {
        for entry in fs::read_dir(&self.cache.dir).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                continue;
            }
            eprintln!("libtorch: removing files of an interrupted set-up");
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                eprintln!("libtorch: cannot remove {}: {error}", entry.path().display());
            }
        }
    }

    /// Creates a staging folder in the cache. Returns an error if there is not enough room for `parts`.
    pub(super) fn stage(&self, parts: &[Part]) -> Result<TempDir> {
        // The parts share one download of the largest wheel, so the sum is an upper bound.
        self.room("libtorch", parts.iter().map(|part| part.room()).sum())
    }

    /// Creates a staging folder in the cache. Returns an error if fewer than `needed` bytes are free; the
    /// error names `what` needs them.
    pub(super) fn room(&self, what: &'static str, needed: u64) -> Result<TempDir> {
        let dir = &self.cache.dir;
        let space = rustix::fs::statvfs(dir)
            .with_context(|| format!("cannot read the free space of {}", dir.display()))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < needed {
            return Err(Problem::NoRoom { what, dir: dir.clone(), free, needed }.into());
        }
        tempfile::Builder::new().prefix(PARTIAL).tempdir_in(dir).map_err(writing(dir))
    }

    /// Moves the finished `parts` from `staged` into place, and an earlier tree to `aside`.
    pub(super) fn publish(&self, parts: &[Part], staged: &Path, aside: &Path) -> Result<()> {
        let libtorch = self.cache.libtorch();
        let (from, to) = if parts.contains(&Part::Cpu) {
            finish(staged).map_err(writing(staged))?;
            (staged.to_owned(), libtorch)
        } else {
            (staged.join("cuda"), libtorch.join("cuda"))
        };
        // The contents must be on disk before the rename: otherwise a power failure could leave a complete
        // tree of empty files.
        #[cfg(target_os = "linux")]
        File::open(&from).and_then(|dir| Ok(rustix::fs::syncfs(dir)?)).map_err(writing(staged))?;
        if to.exists() {
            fs::rename(&to, aside).map_err(writing(&self.cache.dir))?;
        }
        fs::rename(&from, &to).map_err(writing(&self.cache.dir))
    }
}

/// Adds what no wheel contains: the version file that the torch bindings check, and the library name that
/// they link against.
fn finish(libtorch: &Path) -> std::io::Result<()> {
    fs::write(libtorch.join("build-version"), TORCH_VERSION)?;
    symlink("libtorch_cpu.so", libtorch.join("lib/libtorch.so"))
}
