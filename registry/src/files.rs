//! Files that are written whole, or not at all.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Written aside, then renamed: there is never half a file of that name.
///
/// # Errors
/// If it cannot be written, or is there already and not to be replaced.
pub fn write_whole(path: &Path, bytes: &[u8], replace: bool) -> std::io::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As readable as any other file there.
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
    std::fs::File::open(folder)?.sync_all()
}
