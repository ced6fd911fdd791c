//! Fetches a wheel through the machine's own pip.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::meter::Meter;
use super::problem::{Problem, tail, writing};
use super::provide::Source;
use super::python::{self, PYTHON};
use super::wheels::Wheel;

/// Time between two measurements of the size of the download.
const POLL: Duration = Duration::from_millis(100);

/// A `python3` that has pip. `link` is the repository's link to libtorch.
pub(super) struct Pip {
    link: PathBuf,
}

impl Pip {
    /// Checks that pip exists, before anything is fetched.
    pub(super) fn find(link: &Path) -> Result<Self> {
        let output = python::command(PYTHON, link).args(["-m", "pip", "--version"]).output();
        match output {
            Ok(output) if output.status.success() => Ok(Self { link: link.to_owned() }),
            Ok(_) => Err(Problem::NoPip { program: PYTHON }.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Problem::NoPython { program: PYTHON }.into())
            }
            Err(error) => Err(error).with_context(|| format!("cannot run `{PYTHON}`")),
        }
    }

    /// Command that downloads a wheel. It names the tags explicitly, so that any Python 3 can fetch a wheel
    /// for another version.
    fn download(&self, wheel: &Wheel, into: &Path) -> Command {
        let mut pip = python::command(PYTHON, &self.link);
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "download"])
            .args(["--no-deps", "--no-cache-dir", "--progress-bar=off", "--only-binary=:all:"])
            .args(["--python-version", "3.12", "--implementation", "cp"])
            .args(["--platform", wheel.platform]);
        if let Some(abi) = wheel.abi {
            pip.args(["--abi", abi]);
        }
        pip.arg("--dest").arg(into).arg(format!("{}=={}", wheel.project, wheel.version));
        pip
    }
}

impl Source for Pip {
    fn fetch(&self, wheel: &Wheel, scratch: &Path) -> Result<PathBuf> {
        // pip downloads into TMPDIR and copies from there. Both folders are in `scratch`, whose free space
        // was checked and which is removed in the end.
        let [into, temporary] = ["wheel", "pip"].map(|name| scratch.join(name));
        for dir in [&into, &temporary] {
            fs::create_dir_all(dir).map_err(writing(scratch))?;
        }
        // A file instead of a pipe: pip would block on a full pipe.
        let log = scratch.join("pip.log");
        let output = File::create(&log).map_err(writing(scratch))?;
        let mut child = self
            .download(wheel, &into)
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("cannot share pip's log")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot run `{PYTHON}`"))?;

        let mut meter = Meter::new(format!("fetching {} {}", wheel.project, wheel.version), wheel.bytes);
        let status = loop {
            if let Some(status) = child.try_wait().context("cannot wait for pip")? {
                break status;
            }
            meter.at(size(&temporary).max(size(&into)));
            thread::sleep(POLL);
        };
        drop(meter);
        if !status.success() {
            let log = fs::read(&log).unwrap_or_default();
            return Err(failure(wheel, &String::from_utf8_lossy(&log), scratch).into());
        }
        find(wheel, &into)
    }
}

/// The error for a failed download, with the last lines of pip's log.
fn failure(wheel: &Wheel, log: &str, dir: &Path) -> Problem {
    if ["No space left on device", "Disk quota exceeded"].iter().any(|sign| log.contains(sign)) {
        return Problem::DiskFull { dir: dir.parent().unwrap_or(dir).to_owned() };
    }
    Problem::Pip { wheel: format!("{} {}", wheel.project, wheel.version), tail: tail(log) }
}

/// Path of the downloaded wheel in `dir`; an error if pip fetched another file.
fn find(wheel: &Wheel, dir: &Path) -> Result<PathBuf> {
    let path = dir.join(wheel.file);
    if path.is_file() {
        return Ok(path);
    }
    let other =
        fs::read_dir(dir)?.next().transpose()?.map(|entry| entry.file_name().to_string_lossy().into_owned());
    Err(Problem::OtherWheel { wanted: wheel.file, found: other.unwrap_or_else(|| "nothing".into()) }.into())
}

/// Total size of the files below a directory in bytes. Files that vanish meanwhile count as 0.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod spec {
    use super::{Pip, failure, find, size};
    use crate::setup::pinned::WHEELS;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_tags_are_named_explicitly() {
        let pip = Pip { link: "/repo/.torch/libtorch".into() };
        let command = pip.download(&WHEELS[0], Path::new("/into"));
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        let args = args.join(" ");
        assert!(args.contains("--platform manylinux_2_28_x86_64 --abi cp312"), "{args}");
        assert!(args.ends_with("--dest /into torch==2.11.0"), "{args}");
    }

    #[test]
    fn a_failure_shows_the_output_of_pip_and_a_remedy() {
        let text = failure(&WHEELS[0], "Collecting torch\nERROR: no route to host\n", Path::new("/cache"))
            .to_string();
        assert!(text.contains("could not fetch torch 2.11.0"), "{text}");
        assert!(text.contains("    ERROR: no route to host"), "{text}");
        assert!(text.contains("run the same command again") && text.contains("LIBTORCH"), "{text}");
    }

    #[test]
    fn a_full_disk_is_reported_as_such() {
        let log = "ERROR: Could not install: [Errno 28] No space left on device";
        let text = failure(&WHEELS[0], log, Path::new("/cache/partial-x")).to_string();
        assert!(text.starts_with("the disk is full at /cache"), "{text}");
    }

    #[test]
    fn another_wheel_than_the_pinned_one_is_named() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("torch-2.11.0+cpu.whl"), "12345")?;
        let Err(error) = find(&WHEELS[0], dir.path()) else { anyhow::bail!("it was taken") };
        assert!(error.to_string().starts_with("pip fetched torch-2.11.0+cpu.whl instead of"), "{error}");
        assert_eq!(size(dir.path()), 5);
        Ok(())
    }
}
