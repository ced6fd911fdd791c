//! Builds the program `kasmina` and puts its plugins where it looks for them.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{process, repo::Repo, setup};

/// The plugin crates that ship with Kasmina.
const PLUGINS: [&str; 5] = [
    "kasmina-blueprints-cnn",
    "kasmina-blueprints-transformer",
    "kasmina-blends",
    "kasmina-declared",
    "kasmina-hosts",
];

/// Sets up, builds and installs. Returns the path of the executable.
pub(crate) fn build(repo: &Repo, release: bool) -> Result<PathBuf> {
    let torch = setup::run(repo, false)?;
    build_with(torch.cargo(), repo, &repo.target()?, release)
}

/// Like [`build`], with the given cargo command (which may carry flags) and target directory.
pub(crate) fn build_with(mut cargo: Command, repo: &Repo, target: &Path, release: bool) -> Result<PathBuf> {
    cargo.arg("build").arg("--target-dir").arg(target).current_dir(repo.root());
    if release {
        cargo.arg("--release");
    }
    for package in ["kasmina-cli"].iter().chain(&PLUGINS) {
        cargo.args(["-p", package]);
    }
    process::check(&mut cargo)?;

    let built = target.join(if release { "release" } else { "debug" });
    let beside = built.join("plugins");
    fs::create_dir_all(&beside).with_context(|| format!("cannot create {}", beside.display()))?;
    for plugin in PLUGINS {
        let library = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", plugin.replace('-', "_"));
        install(&built.join(&library), &beside.join(&library))?;
    }
    Ok(built.join("kasmina"))
}

/// Copies a file atomically: a program that opens `to` sees the old file or the new one, never a part.
fn install(from: &Path, to: &Path) -> Result<()> {
    let copy = || -> io::Result<()> {
        let dir = to.parent().unwrap_or(Path::new("."));
        let mut staged = tempfile::Builder::new()
            .prefix(".installing-")
            .permissions(Permissions::from_mode(0o755))
            .tempfile_in(dir)?;
        io::copy(&mut File::open(from)?, &mut staged)?;
        staged.persist(to)?;
        Ok(())
    };
    copy().with_context(|| format!("cannot install {} as {}", from.display(), to.display()))
}

#[cfg(test)]
mod spec {
    use super::install;
    use std::fs;

    #[test]
    fn installing_replaces_the_file_and_leaves_no_other_files() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let (from, to) = (dir.path().join("new"), dir.path().join("plugins/lib.so"));
        fs::create_dir(dir.path().join("plugins"))?;
        fs::write(&from, "new")?;
        fs::write(&to, "old")?;
        install(&from, &to)?;
        assert_eq!(fs::read(&to)?, b"new");
        assert_eq!(fs::read_dir(dir.path().join("plugins"))?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_missing_library_is_named() {
        let Err(error) = install("gone.so".as_ref(), "/nowhere/lib.so".as_ref()) else { panic!("must fail") };
        assert_eq!(error.to_string(), "cannot install gone.so as /nowhere/lib.so");
    }
}
