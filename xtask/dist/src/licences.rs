//! Collects the licence texts of everything in the distribution.

use crate::packages::Package;
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Prefixes of the names of files that contain a licence or a notice that must be kept.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE"];

/// The libtorch that is distributed.
pub(crate) struct Torch<'a> {
    /// Folder with `lib/` and `licences/`.
    pub(crate) folder: &'a Path,
    pub(crate) version: &'a str,
    /// Whether its GPU libraries are distributed too.
    pub(crate) cuda: bool,
}

/// Copies the licences of every crate and of every wheel of libtorch, and writes `packages.txt` and
/// `libtorch.txt`.
pub(crate) fn collect(root: &Path, packages: &[Package], torch: &Torch<'_>, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    copy_from(root, &out.join("kasmina"))?;
    let mut table = String::from("package version licence\n");
    for package in packages {
        let Package { name, version, licence, folder, is_published } = package;
        writeln!(table, "{name} {version} {}", licence.as_deref().unwrap_or("see its folder"))?;
        if *is_published {
            copy_from(folder, &out.join(format!("{name}-{version}")))?;
        }
    }
    fs::write(out.join("packages.txt"), table)?;
    let Torch { folder: torch, version, cuda } = torch;
    for folder in std::iter::once("licences").chain(cuda.then_some("cuda/licences")) {
        let folder = torch.join(folder);
        let parts = fs::read_dir(&folder).with_context(|| {
            format!(
                "the licences of libtorch are not in {}; `cargo xtask setup` fetches them",
                folder.display()
            )
        })?;
        for part in parts.flatten() {
            copy_from(&part.path(), &out.join("libtorch").join(part.file_name()))?;
        }
    }
    let text = format!(
        "libtorch {version}, from the wheel `torch` of the Python package index and the wheels that it requires, \
         unchanged.\n\
         libtorch/ has the licence of each: BSD-3-Clause for torch, NVIDIA's own for names that begin with nvidia.\n"
    );
    fs::write(out.join("libtorch.txt"), text)?;
    Ok(())
}

/// Copies the licence files of a folder. `to` is created if there is one.
fn copy_from(folder: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if NAMES.iter().any(|begins| name.starts_with(begins)) && entry.path().is_file() {
            fs::create_dir_all(to)?;
            fs::write(to.join(entry.file_name()), fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
