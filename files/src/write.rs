//! Writing files whole, or not at all.

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
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

/// Opens a file of one's own for reading and writing, and makes it where it is missing. A link of that name
/// is an error: what it leads to may be anything.
///
/// # Errors
/// If it cannot be opened, is a link, or is not a regular file.
pub fn open_own(path: &Path, append: bool) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).append(append);
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path).map_err(|error| {
        if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            Error::new(ErrorKind::InvalidInput, "it is a symbolic link")
        } else {
            error
        }
    })?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_a_link_leads_to_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, link) = (folder.path().join("precious"), folder.path().join("link"));
        std::fs::write(&precious, "precious").unwrap();
        symlink(&precious, &link).unwrap();
        assert_eq!(open_own(&link, true).unwrap_err().to_string(), "it is a symbolic link");
        assert_eq!(make_new(&link).unwrap_err().kind(), ErrorKind::AlreadyExists);
        write_whole(&link, b"another", true).unwrap();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "another");
    }
}
