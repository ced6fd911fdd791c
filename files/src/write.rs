//! Atomic writing and safe creation of files.

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes a file atomically: writes a temporary file in the same folder and renames it, so that `path` is
/// never a partly written file. An existing file is replaced only if `replace` is true.
///
/// # Errors
/// If the file cannot be written, or exists already and `replace` is false.
pub fn write_whole(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The mode of any other new file, instead of the private mode of a temporary file. The umask applies.
    let mode = Permissions::from_mode(0o666);
    let mut temporary = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    if replace {
        temporary.persist(path)?
    } else {
        temporary.persist_noclobber(path)?
    };
    // The rename must reach the disk too.
    File::open(folder)?.sync_all()
}

/// Creates a new file for writing. Anything that exists at `path`, including a link, is an error and stays
/// unchanged.
///
/// # Errors
/// If something exists at `path`, or the file cannot be created.
pub fn make_new(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Opens a file for reading and writing, and creates it if it is missing. A link is an error, because its
/// target may be any file. With `append`, all writes go to the end.
///
/// # Errors
/// If the file cannot be opened, is a link, or is not a regular file.
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
    fn the_target_of_a_link_is_never_written() {
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
