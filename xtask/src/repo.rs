//! Paths of the checkout and of cargo's target directory, and the list of the repository's files.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process;

/// The checkout that this program works on.
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    /// Finds the checkout that cargo runs this program from. The path is read from the environment, because
    /// checkouts may share a target directory, and then the compiled-in path may be that of another one.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().context("the manifest directory has no parent")?;
        Ok(Self { root: root.to_owned() })
    }

    /// Root folder of the checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Path of the link to libtorch; `.cargo/config.toml` sets `LIBTORCH` to it.
    pub(crate) fn libtorch(&self) -> PathBuf {
        self.root.join(".torch/libtorch")
    }

    /// Cargo's target directory, as set by the environment or by a configuration file.
    pub(crate) fn target(&self) -> Result<PathBuf> {
        let output = process::cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&self.root)
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cannot run `cargo metadata`")?;
        ensure!(output.status.success(), "`cargo metadata` failed ({})", output.status);
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("`cargo metadata` wrote no JSON")?;
        let target =
            metadata["target_directory"].as_str().context("`cargo metadata` names no target directory")?;
        Ok(target.into())
    }

    /// Paths of all files that are tracked or not ignored, sorted, relative to the root with `/` between
    /// components.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .context("cannot run git, which lists the files of this repository")?;
        ensure!(
            output.status.success(),
            "git cannot list the files of {}: {}",
            self.root.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        // Deleted files are listed until the deletion is staged. Symbolic links are skipped, because they
        // may lead into the cache.
        let present = |path: &&str| self.root.join(path).symlink_metadata().is_ok_and(|meta| meta.is_file());
        let mut files: Vec<String> =
            listing.split_terminator('\0').filter(present).map(str::to_owned).collect();
        files.sort_unstable();
        files.dedup();
        Ok(files)
    }
}

#[cfg(test)]
impl Repo {
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}
