//! The output of the ranks that do not print: it is kept, and goes to a file of the run directory as soon as
//! there is one.

use kasmina_ranks::World;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

/// Folder of the files in a run directory.
const FOLDER: &str = "ranks";

/// Redirection of standard output and standard error of a rank that does not print.
pub(crate) struct RankOutput {
    rank: usize,
    /// What was printed before there was a file.
    kept: Option<File>,
    stderr: OwnedFd,
}

impl RankOutput {
    /// Redirects the output of this process, unless it is the first rank.
    pub(crate) fn redirect(world: &World) -> io::Result<Option<Self>> {
        if world.is_first() {
            return Ok(None);
        }
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let kept = File::from(memfd_create("output", MemfdFlags::CLOEXEC)?);
        dup2_stdout(&kept)?;
        dup2_stderr(&kept)?;
        Ok(Some(Self { rank: world.rank, kept: Some(kept), stderr }))
    }

    /// Continues in the file `ranks/N.log` of a run directory.
    pub(crate) fn continue_in(&mut self, run: &Path) -> io::Result<()> {
        let folder = run.join(FOLDER);
        DirBuilder::new().recursive(true).create(&folder)?;
        let path = folder.join(format!("{}.log", self.rank));
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(&self.take_kept()?)?;
        dup2_stdout(&file)?;
        dup2_stderr(&file)?;
        Ok(())
    }

    fn take_kept(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(mut kept) = self.kept.take() {
            kept.rewind()?;
            kept.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}

impl Drop for RankOutput {
    /// A rank that ends before there was a file prints what it has kept.
    fn drop(&mut self) {
        if self.kept.is_none() {
            return;
        }
        let bytes = self.take_kept().unwrap_or_default();
        let _ = dup2_stderr(&self.stderr);
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines() {
            let _ = writeln!(io::stderr(), "rank {}: {line}", self.rank);
        }
    }
}
