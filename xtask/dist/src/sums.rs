//! Writes `SHA256SUMS`, in the format that `sha256sum -c` reads.

use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const NAME: &str = "SHA256SUMS";

/// Writes the hash of every file of a folder; symbolic links are left out.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let mut text = String::new();
    for file in files(folder)?.into_iter().filter(|file| !file.is_symlink()) {
        let hash = kasmina_files::sha256(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(folder).unwrap_or(&file);
        writeln!(text, "{hash}  {}", name.display())?;
    }
    fs::write(folder.join(NAME), text)?;
    Ok(())
}

/// Returns every file and symbolic link below a folder, sorted by path.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}
