//! The per-user cache: one libtorch for all checkouts, written by one process at a time, whole or not there.
//!
//! Everything is put together in a directory named `partial-*` and renamed into place. The rename is the
//! proof of completeness; whatever else a killed run leaves is a `partial-*`, which the next holder of the
//! lock removes.

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

/// The right to write in the cache; gone with the process that holds it, however it ends.
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

    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.dir
    }

    pub(super) fn libtorch(&self) -> PathBuf {
        self.dir.join(format!("libtorch-{TORCH_VERSION}-x86_64-linux"))
    }

    /// Whether a part is there with every file that it is made of: files of a cache may be deleted by anyone.
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

    /// Waits for its turn, and says so.
    pub(super) fn lock(&self) -> Result<Lock<'_>> {
        fs::create_dir_all(&self.dir).map_err(writing(&self.dir))?;
        let path = self.dir.join("setup.lock");
        let file = File::options().create(true).append(true).open(&path).map_err(writing(&self.dir))?;
        let locked = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                eprintln!("libtorch: another set-up is at work in {}; waiting for it", self.dir.display());
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
    /// Removes what killed set-ups left. Failing to is no reason to stop: nothing takes leftovers for more.
    pub(super) fn sweep(&self) {
        for entry in fs::read_dir(&self.cache.dir).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                continue;
            }
            eprintln!("libtorch: removing what an interrupted set-up left");
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                eprintln!("libtorch: cannot remove {}: {error}", entry.path().display());
            }
        }
    }

    /// A place to work in on the cache's own file system; refuses one without room for `parts`.
    pub(super) fn stage(&self, parts: &[Part]) -> Result<TempDir> {
        // The parts share one download of the largest wheel, so the sum errs on the safe side.
        self.room("libtorch", parts.iter().map(|part| part.room()).sum())
    }

    /// A staging folder on the cache's own file system; refuses one with fewer free bytes than `needed`.
    pub(super) fn room(&self, what: &'static str, needed: u64) -> Result<TempDir> {
        let dir = &self.cache.dir;
        let space = rustix::fs::statvfs(dir)
            .with_context(|| format!("cannot ask for the free space of {}", dir.display()))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < needed {
            return Err(Problem::NoRoom { what, dir: dir.clone(), free, needed }.into());
        }
        tempfile::Builder::new().prefix(PARTIAL).tempdir_in(dir).map_err(writing(dir))
    }

    /// Moves the finished `parts` from `staged` into place; what was there before goes to `aside`.
    pub(super) fn publish(&self, parts: &[Part], staged: &Path, aside: &Path) -> Result<()> {
        let libtorch = self.cache.libtorch();
        let (from, to) = if parts.contains(&Part::Cpu) {
            finish(staged).map_err(writing(staged))?;
            (staged.to_owned(), libtorch)
        } else {
            (staged.join("cuda"), libtorch.join("cuda"))
        };
        // Names must not reach the disk before contents do: a power cut would leave a whole tree of empty
        // files.
        #[cfg(target_os = "linux")]
        File::open(&from).and_then(|dir| Ok(rustix::fs::syncfs(dir)?)).map_err(writing(staged))?;
        if to.exists() {
            fs::rename(&to, aside).map_err(writing(&self.cache.dir))?;
        }
        fs::rename(&from, &to).map_err(writing(&self.cache.dir))
    }
}

/// What no wheel has: the version that the torch bindings check, and the name that they link against.
fn finish(libtorch: &Path) -> std::io::Result<()> {
    fs::write(libtorch.join("build-version"), TORCH_VERSION)?;
    symlink("libtorch_cpu.so", libtorch.join("lib/libtorch.so"))
}
