//! Hashes of files.

use crate::read::open_regular;
use sha2::{Digest as _, Sha256};
use std::io::{Read as _, Result};
use std::path::Path;

/// Number of bytes that are read at a time.
const CHUNK: usize = 1 << 18;

/// Computes the SHA-256 of bytes in several parts, in hexadecimal digits.
pub fn sha256_of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> String {
    let mut digest = Sha256::new();
    parts.into_iter().for_each(|part| digest.update(part));
    hex::encode(digest.finalize())
}

/// Computes the SHA-256 of a regular file, in hexadecimal digits, without keeping its bytes.
///
/// # Errors
/// If the file cannot be read or is not a regular file.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = open_regular(path)?;
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex::encode(digest.finalize())),
            n => digest.update(&chunk[..n]),
        }
    }
}
