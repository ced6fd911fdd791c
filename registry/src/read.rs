//! Reading what a file says of itself, without running a line of it.

use crate::declared;
use crate::declared_file;
use crate::elf;
use crate::error::{Refusal, Rule};
use crate::manifest::{Manifest, ManifestHeader, whole};
use crate::plugin_file::{limit_of, open, read};
use serde_json::Value;
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
    let bytes = read(path, limit_of(path))?;
    let header = match header_of(path, &bytes)? {
        Ok(header) => header,
        Err(refusal) => return Ok(Found::NoPlugin(refusal)),
    };
    let ManifestHeader { plugin, entries, form } = header;
    let sha256 = hex::encode(Sha256::digest(whole(&form, &bytes)));
    Ok(Found::Plugin(Box::new(Manifest { path: path.to_owned(), sha256, plugin, entries, form, bytes })))
}

/// What a file says of itself, reading no more of it than that.
pub(crate) fn header(path: &Path) -> Result<Result<ManifestHeader, Refusal>, Refusal> {
    if declared::is_declared(path) || declared::is_module(path) {
        return header_of(path, &read(path, limit_of(path))?);
    }
    let cached = object::read::ReadCache::new(open(path)?);
    elf::records(path, &cached).and_then(|found| refuse_control_characters(path, found))
}

fn header_of(path: &Path, bytes: &[u8]) -> Result<Result<ManifestHeader, Refusal>, Refusal> {
    let found = if declared::is_declared(path) {
        declared_file::read(path, bytes).map(Ok)
    } else if declared::is_module(path) {
        declared_file::read_module(path)
    } else {
        elf::records(path, bytes)
    }?;
    refuse_control_characters(path, found)
}

/// Refuses texts that would act on a terminal or mislead its reader: control characters and marks of
/// direction.
fn refuse_control_characters(
    path: &Path,
    found: Result<ManifestHeader, Refusal>,
) -> Result<Result<ManifestHeader, Refusal>, Refusal> {
    let Ok(header) = &found else { return Ok(found) };
    let text = serde_json::to_value((&header.plugin, &header.entries)).unwrap_or_default();
    match misleading(&text) {
        None => Ok(found),
        Some(text) => Err(Refusal {
            path: path.to_owned(),
            rule: Rule::Records,
            found: format!("a text of its records has a control character: {text:?}"),
            remedy: "write names, summaries and authors as plain text of one line".to_owned(),
        }),
    }
}

/// The first text in a value that is not plain.
fn misleading(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => text.contains(crate::plain::is_misleading).then_some(text),
        Value::Array(all) => all.iter().find_map(misleading),
        Value::Object(all) => all.values().find_map(misleading),
        _ => None,
    }
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
    Ok(hex::encode(Sha256::digest(read(path, limit_of(path))?)))
}
