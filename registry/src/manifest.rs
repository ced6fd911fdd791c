//! Reading what a file says of itself, without running a line of it.

use crate::declared;
use crate::elf;
use crate::error::{Refusal, Rule};
use kasmina_plugin_api::record::{EntryRecord, PluginRecord};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A plugin file, read once: its bytes, their hash, its records.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Where it was found.
    pub path: PathBuf,
    /// Hash of the bytes below, in hex.
    pub sha256: String,
    /// The plugin's record.
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
    Declared(declared::Head),
    /// A TorchScript module with a sidecar.
    Module { head: declared::Head, sidecar: String },
}

/// What a file turned out to be.
pub(crate) enum Found {
    Plugin(Box<Manifest>),
    /// A file that is not a plugin: passed over in a folder, an error when named.
    NoPlugin(Refusal),
}

/// What a file says of itself, and nothing else of it: for looking, not for opening.
pub(crate) struct Glance {
    pub(crate) plugin: PluginRecord,
    pub(crate) entries: Vec<EntryRecord>,
    pub(crate) form: Form,
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
        return declared::read(path, bytes).map(Ok);
    }
    if declared::is_module(path) {
        return declared::read_module(path);
    }
    elf::records(path, bytes)
}

/// Everything that decides what a file is, so that no byte can pass from one part to the other.
fn whole<'b>(form: &Form, bytes: &'b [u8]) -> Cow<'b, [u8]> {
    let Form::Module { sidecar, .. } = form else { return Cow::Borrowed(bytes) };
    let length = (bytes.len() as u64).to_le_bytes();
    Cow::Owned([length.as_slice(), bytes, sidecar.as_bytes()].concat())
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

fn open(path: &Path) -> Result<File, Refusal> {
    let refuse = |found: String, remedy: &str| Refusal {
        path: path.to_owned(),
        rule: Rule::Readable,
        found,
        remedy: remedy.to_owned(),
    };
    let unreadable =
        |e: std::io::Error| refuse(e.to_string(), "check the path and that you may read the file");
    // Opening a pipe waits for whoever writes into it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        let remedy = "name a plugin library, or the folder that holds it";
        return Err(refuse("it is not a regular file".to_owned(), remedy));
    }
    File::open(path).map_err(unreadable)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|e| Refusal {
        path: path.to_owned(),
        rule: Rule::Readable,
        found: e.to_string(),
        remedy: "check the disk that it lies on".to_owned(),
    })?;
    Ok(bytes)
}
