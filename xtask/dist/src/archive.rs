//! Writes the archive: a reproducible `.tar.zst` of the folder.

use crate::sums::files;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Compression level of zstd.
const LEVEL: i32 = 9;

/// Writes the archive next to the folder and returns its path.
pub(crate) fn write(folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = folder.with_file_name(format!("{name}.tar.zst"));
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut packed = zstd::Encoder::new(file, LEVEL)?;
    let threads = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    packed.multithread(threads)?;
    let mut tar = Builder::new(packed);
    for path in files(folder)? {
        let mut header = Header::new_gnu();
        let metadata = path.symlink_metadata()?;
        let inner = Path::new(&name).join(path.strip_prefix(folder).unwrap_or(&path));
        header.set_size(metadata.len());
        // No owner and no time, so that the same files make the same archive on every machine.
        header.set_mode(metadata.permissions().mode() & 0o755);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        if metadata.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, inner, std::fs::read_link(&path)?)?;
            continue;
        }
        header.set_cksum();
        tar.append_data(&mut header, inner, File::open(&path)?)?;
    }
    tar.into_inner()?.finish()?;
    Ok(path)
}
