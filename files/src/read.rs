//! Reading of regular files with a size limit.

use crate::limit::Limit;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// Opens a regular file for reading. A pipe, a device or a folder is an error, and never blocks.
///
/// # Errors
/// If the file cannot be opened or is not a regular file.
pub fn open_regular(path: &Path) -> Result<File> {
    // Without O_NONBLOCK, opening a pipe waits for a writer. Regular files ignore the flag.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// Opens a regular file of at most `limit.bytes` bytes, for reading in pieces.
///
/// # Errors
/// As for [`open_regular`], or if the file is larger.
pub fn open_limited(path: &Path, limit: Limit) -> Result<File> {
    let file = open_regular(path)?;
    if file.metadata()?.len() > limit.bytes {
        return Err(too_large(limit));
    }
    Ok(file)
}

/// Reads a regular file of at most `limit.bytes` bytes.
///
/// # Errors
/// If the file cannot be read, is not a regular file, or is larger.
pub fn read(path: &Path, limit: Limit) -> Result<Vec<u8>> {
    // The size is checked before reading. A sparse file may be small on the disk and fill the memory.
    let file = open_limited(path, limit)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX))?;
    file.take(limit.bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit.bytes {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

fn too_large(limit: Limit) -> Error {
    let text = format!("it is larger than the limit of {} bytes for this kind of file", limit.bytes);
    Error::new(ErrorKind::FileTooLarge, text)
}

/// Reads a regular file of UTF-8 text of at most `limit.bytes` bytes.
///
/// # Errors
/// As for [`read`], or if the file is not UTF-8.
pub fn read_text(path: &Path, limit: Limit) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 text ({})", error.utf8_error()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;

    const SMALL: Limit = Limit { kind: "test", bytes: 4 };

    #[test]
    fn a_file_up_to_the_limit_is_read_and_a_larger_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read(&path, SMALL).unwrap(), b"1234");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, SMALL).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_sparse_file_is_refused_by_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path, SMALL).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_pipe_a_device_and_a_folder_are_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::from(0o600), 0)
            .unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = read(path, SMALL).unwrap_err();
            assert_eq!(error.to_string(), "it is not a regular file", "{}", path.display());
        }
    }

    #[test]
    fn a_text_must_be_utf8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, [b'a', 0xff]).unwrap();
        assert_eq!(read_text(&path, SMALL).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
