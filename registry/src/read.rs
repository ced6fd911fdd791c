//! Reading what a file says of itself, without running a line of it.

use crate::declared;
use crate::declared_file;
use crate::elf;
use crate::error::Refusal;
use crate::manifest::{Glance, Manifest, whole};
use crate::plugin_file::{open, read};
use sha2::{Digest, Sha256};
use std::path::Path;

/// What a file turned out to be.
pub(crate) enum Found {
    Plugin(Box<Manifest>),
    /// A file that is not a plugin: passed over in a folder, an error when named.
    NoPlugin(Refusal),
}

impl Manifest {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is no whole shared library, or carries no records.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        match find(path)? {
            Found::Plugin(manifest) => Ok(*manifest),
            Found::NoPlugin(refusal) => Err(refusal),
        }
    }
}

pub(crate) fn find(path: &Path) -> Result<Found, Refusal> {
    let bytes = read(path)?;
    let glance = match glance_at(path, &bytes)? {
        Ok(glance) => glance,
        Err(refusal) => return Ok(Found::NoPlugin(refusal)),
    };
    let Glance { plugin, entries, form } = glance;
    let sha256 = hex::encode(Sha256::digest(whole(&form, &bytes)));
    Ok(Found::Plugin(Box::new(Manifest { path: path.to_owned(), sha256, plugin, entries, form, bytes })))
}

/// What a file says of itself, reading no more of it than that.
pub(crate) fn glance(path: &Path) -> Result<Result<Glance, Refusal>, Refusal> {
    if declared::is_declared(path) || declared::is_module(path) {
        return glance_at(path, &read(path)?);
    }
    let file = open(path)?;
    let cached = object::read::ReadCache::new(file);
    elf::records(path, &cached)
}

fn glance_at(path: &Path, bytes: &[u8]) -> Result<Result<Glance, Refusal>, Refusal> {
    if declared::is_declared(path) {
        return declared_file::read(path, bytes).map(Ok);
    }
    if declared::is_module(path) {
        return declared_file::read_module(path);
    }
    elf::records(path, bytes)
}

/// The hash of a plugin's file by itself, as its record gives it; the file is only looked at.
///
/// # Errors
/// If it cannot be read.
pub fn hash_of(path: &Path) -> Result<String, Refusal> {
    if declared::is_module(path)
        && let Found::Plugin(manifest) = find(path)?
    {
        return Ok(manifest.sha256);
    }
    Ok(hex::encode(Sha256::digest(read(path)?)))
}
