//! Reading what a file says of itself, without running a line of it.

use crate::error::{Refusal, Rule};
use kasmina_plugin_api::record::{self, EntryRecord, PluginRecord, Record};
use object::{Object, ObjectSection, ObjectSegment};
use sha2::{Digest, Sha256};
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
    /// The whole file: what is checked is what is opened.
    pub(crate) bytes: Vec<u8>,
}

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

    /// The first twelve digits of the hash: the name of this build.
    pub fn generation(&self) -> &str {
        &self.sha256[..12]
    }
}

pub(crate) fn find(path: &Path) -> Result<Found, Refusal> {
    let refuse = |rule, found: String, remedy: &str| Refusal {
        path: path.to_owned(),
        rule,
        found,
        remedy: remedy.to_owned(),
    };
    let regular = std::fs::metadata(path).map(|m| m.is_file());
    let bytes = match regular {
        Ok(true) => std::fs::read(path),
        Ok(false) => {
            let found = "it is not a regular file".to_owned();
            return Err(refuse(Rule::Readable, found, "name a plugin library, or the folder that holds it"));
        }
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|e| {
        refuse(Rule::Readable, e.to_string(), "check the path and that you may read the file")
    })?;

    let rebuild = "build the plugin again and copy the whole file (write it aside, then rename it)";
    let file = match object::File::parse(&*bytes) {
        Ok(file) if file.format() == object::BinaryFormat::Elf => file,
        Ok(other) => {
            let found = format!("it is a {:?} file, not an ELF shared library", other.format());
            return Ok(Found::NoPlugin(refuse(Rule::SharedLibrary, found, rebuild)));
        }
        Err(error) => {
            let found = format!("it is not an ELF shared library ({error})");
            return Ok(Found::NoPlugin(refuse(Rule::SharedLibrary, found, rebuild)));
        }
    };
    // Mapping a file that is shorter than its segments ends the process with SIGBUS.
    for segment in file.segments() {
        let (offset, size) = segment.file_range();
        if offset.saturating_add(size) > bytes.len() as u64 {
            let found = format!("it is cut off: {} bytes, its segments need {}", bytes.len(), offset + size);
            return Err(refuse(Rule::SharedLibrary, found, rebuild));
        }
    }
    let Some(section) = file.section_by_name(record::SECTION) else {
        let found = "it carries no plugin records".to_owned();
        let remedy = "a plugin says `kasmina_plugin_api::export_plugin!();` once and is built as a cdylib";
        return Ok(Found::NoPlugin(refuse(Rule::Records, found, remedy)));
    };
    let records = section
        .data()
        .map_err(|e| e.to_string())
        .and_then(|data| record::read(data).map_err(|e| e.to_string()))
        .map_err(|e| refuse(Rule::Records, e, "build the plugin again with the plugin API of this host"))?;

    let (mut plugins, mut entries) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Plugin(plugin) => plugins.push(plugin),
            Record::Entry(entry) => entries.push(entry),
        }
    }
    let plugin = match plugins.len() {
        1 => plugins.remove(0),
        0 => {
            let found = "it has records of entries but none of a plugin".to_owned();
            return Err(refuse(Rule::Records, found, "say `kasmina_plugin_api::export_plugin!();` once"));
        }
        n => {
            let found = format!("it carries the records of {n} plugins");
            let remedy = "link other plugin crates only where they do not export a plugin themselves";
            return Err(refuse(Rule::Records, found, remedy));
        }
    };
    entries.sort();
    let sha256 = Sha256::digest(&bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Ok(Found::Plugin(Box::new(Manifest { path: path.to_owned(), sha256, plugin, entries, bytes })))
}
