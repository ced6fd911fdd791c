//! Reads the records of a file without running its code.

use crate::declared;
use crate::declared_file;
use crate::elf;
use crate::error::{Refusal, Rule};
use crate::manifest::{Manifest, ManifestHeader, hashed_bytes};
use crate::plugin_file::{limit_of, open, read};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Result of reading a file.
pub(crate) enum ReadOutcome {
    Plugin(Box<Manifest>),
    /// The file is not a plugin. It is skipped in a folder; a file that was named is an error.
    NotPlugin(Refusal),
}

impl Manifest {
    /// Reads a plugin file.
    ///
    /// # Errors
    /// If the file cannot be read, is not a complete plugin file, or contains no records.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        match read_plugin(path)? {
            ReadOutcome::Plugin(manifest) => Ok(*manifest),
            ReadOutcome::NotPlugin(refusal) => Err(refusal),
        }
    }
}

/// Reads a whole file, with its records and its hash.
pub(crate) fn read_plugin(path: &Path) -> Result<ReadOutcome, Refusal> {
    let bytes = read(path, limit_of(path))?;
    let header = match header_of(path, &bytes)? {
        Ok(header) => header,
        Err(refusal) => return Ok(ReadOutcome::NotPlugin(refusal)),
    };
    let ManifestHeader { plugin, entries, form } = header;
    let sha256 = hex::encode(Sha256::digest(hashed_bytes(&form, &bytes)));
    Ok(ReadOutcome::Plugin(Box::new(Manifest {
        path: path.to_owned(),
        sha256,
        plugin,
        entries,
        form,
        bytes,
    })))
}

/// Reads only the records of a file. The inner error means that the file is not a plugin.
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

/// Refuses records with characters that control a terminal or change the direction of text.
fn refuse_control_characters(
    path: &Path,
    found: Result<ManifestHeader, Refusal>,
) -> Result<Result<ManifestHeader, Refusal>, Refusal> {
    let Ok(header) = &found else { return Ok(found) };
    let text = serde_json::to_value((&header.plugin, &header.entries)).unwrap_or_default();
    match find_misleading_text(&text) {
        None => Ok(found),
        Some(text) => Err(Refusal {
            path: path.to_owned(),
            rule: Rule::Records,
            found: format!("a text in its records contains a control character: {text:?}"),
            remedy: "write names, summaries and authors as plain text in one line".to_owned(),
        }),
    }
}

/// Returns the first text in a value that contains a misleading character.
fn find_misleading_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => text.contains(crate::plain::is_misleading).then_some(text),
        Value::Array(all) => all.iter().find_map(find_misleading_text),
        Value::Object(all) => all.values().find_map(find_misleading_text),
        _ => None,
    }
}

/// Returns the SHA-256 of a plugin's file in hexadecimal digits, without opening the file. The hash of a
/// TorchScript module with a sidecar covers both files.
///
/// # Errors
/// If the file cannot be read.
pub fn hash_of(path: &Path) -> Result<String, Refusal> {
    if declared::is_module(path)
        && let ReadOutcome::Plugin(manifest) = read_plugin(path)?
    {
        return Ok(manifest.sha256);
    }
    Ok(hex::encode(Sha256::digest(read(path, limit_of(path))?)))
}
