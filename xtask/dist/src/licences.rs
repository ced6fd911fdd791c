//! The texts of the licences of everything that is distributed.

use crate::packages::Package;
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// How the names of files begin that hold a licence or what it asks to be kept.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE"];

/// Copies the licences of every crate, and says what libtorch is.
pub(crate) fn collect(root: &Path, packages: &[Package], torch_version: &str, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
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
    let torch = format!(
        "libtorch {torch_version}, from the wheel `torch` of the Python package index, unchanged.\n\
         Licence: BSD-3-Clause, https://github.com/pytorch/pytorch/blob/v{torch_version}/LICENSE\n\
         lib/libcudart and lib/libcupti, where they are here, are NVIDIA's, under the CUDA Toolkit's end user licence.\n"
    );
    fs::write(out.join("libtorch.txt"), torch)?;
    Ok(())
}

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
