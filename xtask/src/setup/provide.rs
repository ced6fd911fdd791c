//! Fetches, checks and unpacks the missing parts of libtorch and moves them into the cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::cache::{Cache, Lock};
use super::problem::writing;
use super::unpack;
use super::wheels::{Part, Wheel};

/// A source of wheels.
pub(super) trait Source {
    /// Fetches a wheel into `scratch` and returns its path.
    fn fetch(&self, wheel: &Wheel, scratch: &Path) -> Result<PathBuf>;
}

/// Makes sure that the cache has `parts`. If several processes call this at once, one does the work and the
/// others wait for it. `source` is called only if there is something to fetch.
pub(super) fn provide<S: Source>(
    cache: &Cache,
    parts: &[Part],
    wheels: &[Wheel],
    source: impl FnOnce() -> Result<S>,
) -> Result<()> {
    let missing =
        || -> Vec<Part> { parts.iter().copied().filter(|part| !cache.has(*part, wheels)).collect() };
    if missing().is_empty() {
        return Ok(());
    }
    let lock = cache.lock()?;
    lock.sweep();
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    build(&lock, &missing, wheels, &source()?)
}

/// Fetches and unpacks the wheels of `parts` in a staging folder, and publishes the result.
fn build(lock: &Lock<'_>, parts: &[Part], wheels: &[Wheel], source: &impl Source) -> Result<()> {
    let stage = lock.stage(parts)?;
    let libtorch = stage.path().join("libtorch");
    fs::create_dir(&libtorch).map_err(writing(stage.path()))?;
    for wheel in wheels.iter().filter(|wheel| wheel.takes(parts).next().is_some()) {
        let path = source.fetch(wheel, stage.path())?;
        unpack::verify(&path, wheel)?;
        unpack::unpack(&path, wheel, parts, &libtorch)?;
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    lock.publish(parts, &libtorch, &stage.path().join("replaced"))
}

#[cfg(test)]
mod spec {
    use super::super::cache::Cache;
    use super::super::fake;
    use super::super::wheels::{Part, Wheel};
    use super::{Source, provide};
    use anyhow::{Result, bail};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    const ENTRIES: [&str; 4] = [
        "torch/include/a.h",
        "torch/lib/libc10.so",
        "torch/lib/libtorch_cpu.so",
        "torch/lib/libtorch_cuda.so",
    ];

    /// Copies a prepared wheel and counts the calls. It waits a little, so that the calls of two threads
    /// overlap.
    struct Counted<'a> {
        wheel: &'a Path,
        fetched: &'a AtomicUsize,
    }

    impl Source for Counted<'_> {
        fn fetch(&self, wheel: &Wheel, scratch: &Path) -> Result<PathBuf> {
            self.fetched.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(50));
            let to = scratch.join(wheel.file);
            fs::copy(self.wheel, &to)?;
            Ok(to)
        }
    }

    struct Interrupted;

    impl Source for Interrupted {
        fn fetch(&self, _: &Wheel, _: &Path) -> Result<PathBuf> {
            bail!("no network")
        }
    }

    /// A machine with an empty cache and a fake wheel to fetch.
    struct Machine {
        root: tempfile::TempDir,
        wheel: [Wheel; 1],
        path: PathBuf,
        fetched: AtomicUsize,
    }

    impl Machine {
        fn new() -> Result<Self> {
            let root = tempfile::tempdir()?;
            let (wheel, path) = fake::wheel(root.path(), &ENTRIES)?;
            Ok(Self { root, wheel: [wheel], path, fetched: AtomicUsize::new(0) })
        }

        fn cache(&self) -> Cache {
            Cache::at(self.root.path().join("cache"))
        }

        fn provide(&self, parts: &[Part]) -> Result<()> {
            let source = || Ok(Counted { wheel: &self.path, fetched: &self.fetched });
            provide(&self.cache(), parts, &self.wheel, source)
        }

        fn fetched(&self) -> usize {
            self.fetched.load(Ordering::SeqCst)
        }

        fn in_cache(&self) -> Vec<String> {
            fake::listing(&self.cache().libtorch())
        }
    }

    const CPU: [&str; 5] =
        ["build-version", "include/a.h", "lib/libc10.so", "lib/libtorch.so", "lib/libtorch_cpu.so"];

    #[test]
    fn a_second_set_up_uses_the_first() -> Result<()> {
        let machine = Machine::new()?;
        machine.provide(&[Part::Cpu])?;
        machine.provide(&[Part::Cpu])?;
        assert_eq!(machine.fetched(), 1);
        assert_eq!(machine.in_cache(), CPU);
        Ok(())
    }

    #[test]
    fn of_several_set_ups_at_once_one_builds() -> Result<()> {
        let machine = Machine::new()?;
        std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| machine.provide(&[Part::Cpu])));
            threads.into_iter().all(|thread| thread.join().is_ok_and(|result| result.is_ok()))
        })
        .then_some(())
        .ok_or_else(|| anyhow::anyhow!("a set-up failed"))?;
        assert_eq!(machine.fetched(), 1);
        assert_eq!(machine.in_cache(), CPU);
        Ok(())
    }

    #[test]
    fn leftovers_of_a_killed_run_are_removed_and_never_used() -> Result<()> {
        let machine = Machine::new()?;
        let partial = machine.root.path().join("cache/partial-dead/libtorch/lib");
        fs::create_dir_all(&partial)?;
        fs::write(partial.join("libc10.so"), "half")?;
        assert!(!machine.cache().has(Part::Cpu, &machine.wheel));
        machine.provide(&[Part::Cpu])?;
        assert!(!partial.exists());
        assert_eq!(machine.in_cache(), CPU);
        Ok(())
    }

    #[test]
    fn a_failed_run_leaves_no_files() -> Result<()> {
        let machine = Machine::new()?;
        let failed = provide(&machine.cache(), &[Part::Cpu], &machine.wheel, || Ok(Interrupted));
        assert!(failed.is_err());
        assert_eq!(fake::listing(&machine.root.path().join("cache")), ["setup.lock"]);
        Ok(())
    }

    #[test]
    fn the_gpu_part_is_added_without_changing_the_rest() -> Result<()> {
        let machine = Machine::new()?;
        machine.provide(&[Part::Cpu])?;
        let header = machine.cache().libtorch().join("include/a.h");
        fs::write(&header, "mark")?;
        machine.provide(&[Part::Cpu, Part::Cuda])?;
        assert_eq!(machine.fetched(), 2);
        assert_eq!(fs::read_to_string(header)?, "mark");
        assert_eq!(machine.in_cache()[1], "cuda/libtorch_cuda.so");
        machine.provide(&[Part::Cpu, Part::Cuda])?;
        assert_eq!(machine.fetched(), 2);
        Ok(())
    }

    #[test]
    fn a_cache_that_lost_a_file_is_built_again() -> Result<()> {
        let machine = Machine::new()?;
        machine.provide(&[Part::Cpu, Part::Cuda])?;
        assert_eq!(machine.fetched(), 1, "both parts share a download");
        fs::remove_file(machine.cache().libtorch().join("lib/libc10.so"))?;
        machine.provide(&[Part::Cpu])?;
        assert_eq!(machine.in_cache(), CPU);
        assert_eq!(fs::read_dir(machine.root.path().join("cache"))?.count(), 2, "the lock and libtorch");
        Ok(())
    }
}
