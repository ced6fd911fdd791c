//! Manifests: the records, the form and the bytes of plugin files.

use crate::declared::Head;
use kasmina_plugin_api::record::{EntryRecord, PluginRecord};
use std::borrow::Cow;
use std::path::PathBuf;

/// A plugin file in memory: its bytes, their hash, and its records.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Path of the file.
    pub path: PathBuf,
    /// SHA-256 of the file in hexadecimal digits. For a module, it covers also the sidecar.
    pub sha256: String,
    /// Record of the plugin.
    pub plugin: PluginRecord,
    /// Records of the entries, sorted by kind and id.
    pub entries: Vec<EntryRecord>,
    /// Form of the file.
    pub(crate) form: Form,
    /// The whole file; empty in a survey. The checked bytes are the bytes that are opened.
    pub(crate) bytes: Vec<u8>,
}

/// The forms of plugin files.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// A shared library.
    Library,
    /// A declared blueprint; the file is its text.
    Declared(Head),
    /// A TorchScript module with the text of its sidecar.
    Module { head: Head, sidecar: String },
}

/// The records and the form of a file, without its bytes. It is enough for a listing, but not for opening.
pub(crate) struct ManifestHeader {
    pub(crate) plugin: PluginRecord,
    pub(crate) entries: Vec<EntryRecord>,
    pub(crate) form: Form,
}

impl Manifest {
    /// Returns the generation: the first twelve digits of the hash, which name this build.
    pub fn generation(&self) -> &str {
        &self.sha256[..12]
    }

    /// Returns the bytes that are hashed and signed: the file, and for a module also its sidecar.
    pub fn signed_bytes(&self) -> Cow<'_, [u8]> {
        hashed_bytes(&self.form, &self.bytes)
    }

    pub(crate) fn is_module(&self) -> bool {
        matches!(self.form, Form::Module { .. })
    }

    /// Whether another plugin interprets the file: it is not a library.
    pub fn is_interpreted(&self) -> bool {
        self.form != Form::Library
    }
}

/// Returns the bytes that are hashed and signed. For a module, the length of the archive comes first, so that
/// no other split into archive and sidecar has the same bytes.
pub(crate) fn hashed_bytes<'b>(form: &Form, bytes: &'b [u8]) -> Cow<'b, [u8]> {
    let Form::Module { sidecar, .. } = form else { return Cow::Borrowed(bytes) };
    let length = (bytes.len() as u64).to_le_bytes();
    Cow::Owned([length.as_slice(), bytes, sidecar.as_bytes()].concat())
}
