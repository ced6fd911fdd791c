//! What a file says of itself: its records, its form, its bytes.

use crate::declared::Head;
use kasmina_plugin_api::record::{EntryRecord, PluginRecord};
use std::borrow::Cow;
use std::path::PathBuf;

/// A plugin file, read once: its bytes, their hash, its records.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Path of the file.
    pub path: PathBuf,
    /// Hash of the bytes below, in hex.
    pub sha256: String,
    /// Record of the plugin.
    pub plugin: PluginRecord,
    /// The records of its entries, sorted by kind and id.
    pub entries: Vec<EntryRecord>,
    /// What kind of file it is.
    pub(crate) form: Form,
    /// The whole file: what is checked is what is opened.
    pub(crate) bytes: Vec<u8>,
}

/// The kinds of file that bring entries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// A shared library.
    Library,
    /// A declared blueprint; its bytes are its text.
    Declared(Head),
    /// A TorchScript module with a sidecar.
    Module { head: Head, sidecar: String },
}

/// What a file says of itself, and nothing else of it: for looking, not for opening.
pub(crate) struct ManifestHeader {
    pub(crate) plugin: PluginRecord,
    pub(crate) entries: Vec<EntryRecord>,
    pub(crate) form: Form,
}

impl Manifest {
    /// The first twelve digits of the hash: the name of this build.
    pub fn generation(&self) -> &str {
        &self.sha256[..12]
    }

    /// What hash and signature are over: the file, and of a module its sidecar too.
    pub fn signed_bytes(&self) -> Cow<'_, [u8]> {
        whole(&self.form, &self.bytes)
    }

    pub(crate) fn is_module(&self) -> bool {
        matches!(self.form, Form::Module { .. })
    }

    /// Whether it is interpreted by a plugin, rather than one itself.
    pub fn is_interpreted(&self) -> bool {
        self.form != Form::Library
    }
}

/// Everything that decides what a file is, so that no byte can pass from one part to the other.
pub(crate) fn whole<'b>(form: &Form, bytes: &'b [u8]) -> Cow<'b, [u8]> {
    let Form::Module { sidecar, .. } = form else { return Cow::Borrowed(bytes) };
    let length = (bytes.len() as u64).to_le_bytes();
    Cow::Owned([length.as_slice(), bytes, sidecar.as_bytes()].concat())
}
