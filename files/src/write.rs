//! Writing files whole, or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Result, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Writes a file aside and renames it: under `path` there is never half a file.
///
/// # Errors
/// If it cannot be written, or exists already and `replace` is false.
pub fn write_whole(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The same mode that any other new file gets: the umask takes its bits away.
    let open_to_all = Permissions::from_mode(0o666);
    let mut aside = tempfile::Builder::new().permissions(open_to_all).tempfile_in(folder)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    if replace {
        aside.persist(path)?
    } else {
        aside.persist_noclobber(path)?
    };
    // The name must be on the disk too.
    File::open(folder)?.sync_all()
}

/// Makes a new file for writing. Whatever exists under that name, a link too, is an error and left alone.
///
/// # Errors
/// If something of that name exists, or the file cannot be made.
pub fn make_new(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}
