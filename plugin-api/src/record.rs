//! Records: descriptions of a plugin and its entries, which are read from its file without running its code.
//!
//! A record is a JSON object that is built at compile time. It lies in a link section of its own, in a frame
//! of a magic and a length. The [`Registered`](crate::registration::Registered) of an entry points at its
//! record, so that LTO and strip keep it.

use crate::site::Topology;
use crate::{Capability, EntryInfo, Kind};
use serde::{Deserialize, Serialize};

/// The link section that holds the records.
pub const SECTION: &str = "kasmina_manifest";
/// First bytes of every frame. The length of the JSON as a little-endian `u32`, and the JSON, follow.
pub const MAGIC: [u8; 8] = *b"KASMINA1";
const HEAD: usize = MAGIC.len() + 4;

/// Record of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Name of the plugin's crate, which is the namespace of its entries.
    pub name: String,
    /// Version of the plugin's package.
    pub version: String,
    /// Licence of the package; empty if it states none.
    pub license: String,
    /// Authors of the package, separated by `:`.
    pub authors: String,
    /// Version of the plugin interface that the plugin was built with.
    pub abi: String,
    /// Target triple that the plugin was built for.
    pub target: String,
    /// Panic strategy: `unwind` or `abort`.
    pub panic: String,
    /// Cargo profile of the build, for information.
    pub profile: String,
    /// Version of the compiler, for information.
    pub rustc: String,
    /// Version of torch that the plugin was built against.
    pub torch: String,
    /// Name of the exported symbol of the entry point.
    pub entry_symbol: String,
    /// Versions of Kasmina that the plugin supports, as a semver requirement.
    #[serde(default = "any_host")]
    pub host: String,
}

fn any_host() -> String {
    "*".to_owned()
}

/// Record of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryRecord {
    /// `blueprint`, `blend` or `host`.
    pub kind: String,
    /// Id of the entry, unique within the plugin and kind.
    pub id: String,
    /// Summary of one line, for listings.
    pub summary: String,
    /// Topologies that the entry supports; empty means all.
    pub topologies: Vec<String>,
    /// Names of the capabilities that the entry declares.
    pub capabilities: Vec<String>,
    /// Version of the entry's state bytes.
    pub state_version: u32,
    /// Name of the crate that defines the entry.
    pub package: String,
}

impl EntryRecord {
    /// Creates the record of an entry from its description.
    pub fn of(kind: Kind, info: &EntryInfo, package: &str) -> Self {
        Self {
            kind: kind.as_str().to_owned(),
            id: info.id.to_owned(),
            summary: info.summary.to_owned(),
            topologies: info.topologies.iter().map(|t| t.as_str().to_owned()).collect(),
            capabilities: info.capabilities.iter().map(|c| c.as_str().to_owned()).collect(),
            state_version: info.state_version,
            package: package.to_owned(),
        }
    }
}

/// A record of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rec", rename_all = "lowercase")]
pub enum Record {
    /// Record of a plugin.
    Plugin(PluginRecord),
    /// Record of an entry.
    Entry(EntryRecord),
    /// Record of a kind that a later minor version added.
    #[serde(other)]
    Unknown,
}

/// Error of a section of records that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The section ends before the end of a frame.
    #[error("the record at byte {at} is cut off")]
    Truncated {
        /// Offset of the record's frame in bytes.
        at: usize,
    },
    /// The contents of a frame are not a record.
    #[error("the record at byte {at} cannot be read: {reason}")]
    Malformed {
        /// Offset of the record's frame in bytes.
        at: usize,
        /// Message of the JSON parser.
        reason: String,
    },
}

/// Reads all records of a section. Padding between frames is skipped.
///
/// # Errors
/// If a frame is cut off or does not contain a record.
pub fn read(section: &[u8]) -> Result<Vec<Record>, RecordError> {
    let mut records = Vec::new();
    let mut at = 0;
    while at + HEAD <= section.len() {
        if section[at..at + MAGIC.len()] != MAGIC {
            at += 1;
            continue;
        }
        let mut length = [0; 4];
        length.copy_from_slice(&section[at + MAGIC.len()..at + HEAD]);
        let end = (at + HEAD).saturating_add(u32::from_le_bytes(length) as usize);
        let body = section.get(at + HEAD..end).ok_or(RecordError::Truncated { at })?;
        records.push(
            serde_json::from_slice(body).map_err(|e| RecordError::Malformed { at, reason: e.to_string() })?,
        );
        at = end;
    }
    Ok(records)
}

/// A field of a record under construction.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub enum Value {
    Str(&'static str),
    Number(u32),
    Topologies(&'static [Topology]),
    Capabilities(&'static [Capability]),
}

/// A JSON writer that runs at compile time. With `N = 0` it only counts bytes, so that the same code computes
/// the length and writes the text.
struct Writer<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

/// Writes a list of items that have a constant `as_str`. This is a macro because a constant function cannot
/// be generic over them.
macro_rules! strings {
    ($writer:expr, $list:expr) => {{
        $writer.byte(b'[');
        let mut i = 0;
        while i < $list.len() {
            if i > 0 {
                $writer.byte(b',');
            }
            $writer.string($list[i].as_str());
            i += 1;
        }
        $writer.byte(b']');
    }};
}

impl<const N: usize> Writer<N> {
    const fn byte(&mut self, byte: u8) {
        if N > 0 {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
    }
    const fn raw(&mut self, bytes: &[u8]) {
        let mut i = 0;
        while i < bytes.len() {
            self.byte(bytes[i]);
            i += 1;
        }
    }
    const fn string(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bytes = text.as_bytes();
        self.byte(b'"');
        let mut i = 0;
        while i < bytes.len() {
            match bytes[i] {
                quoted @ (b'"' | b'\\') => {
                    self.byte(b'\\');
                    self.byte(quoted);
                }
                control @ 0..=0x1f => {
                    self.raw(b"\\u00");
                    self.byte(HEX[(control >> 4) as usize]);
                    self.byte(HEX[(control & 15) as usize]);
                }
                plain => self.byte(plain),
            }
            i += 1;
        }
        self.byte(b'"');
    }
    const fn number(&mut self, mut value: u32) {
        let mut digits = [0u8; 10];
        let mut n = 0;
        loop {
            digits[n] = b'0' + (value % 10) as u8;
            value /= 10;
            n += 1;
            if value == 0 {
                break;
            }
        }
        while n > 0 {
            n -= 1;
            self.byte(digits[n]);
        }
    }
    const fn value(&mut self, value: &Value) {
        match value {
            Value::Str(text) => self.string(text),
            Value::Number(number) => self.number(*number),
            Value::Topologies(list) => strings!(self, list),
            Value::Capabilities(list) => strings!(self, list),
        }
    }
    const fn object(mut self, fields: &[(&str, Value)]) -> Self {
        self.byte(b'{');
        let mut i = 0;
        while i < fields.len() {
            if i > 0 {
                self.byte(b',');
            }
            self.string(fields[i].0);
            self.byte(b':');
            self.value(&fields[i].1);
            i += 1;
        }
        self.byte(b'}');
        self
    }
}

/// Returns the length in bytes of the frame of a record with these fields.
#[doc(hidden)]
pub const fn frame_len(fields: &[(&str, Value)]) -> usize {
    HEAD + Writer::<0> { bytes: [], length: 0 }.object(fields).length
}

/// Returns the frame of a record; `N` must be the result of [`frame_len`].
#[doc(hidden)]
pub const fn frame<const N: usize>(fields: &[(&str, Value)]) -> [u8; N] {
    let json = Writer::<N> { bytes: [0; N], length: 0 }.object(fields);
    assert!(json.length + HEAD == N, "frame_len and frame disagree");
    let mut out = [0u8; N];
    let mut i = 0;
    while i < MAGIC.len() {
        out[i] = MAGIC[i];
        i += 1;
    }
    let length = (json.length as u32).to_le_bytes();
    while i < HEAD {
        out[i] = length[i - MAGIC.len()];
        i += 1;
    }
    while i < N {
        out[i] = json.bytes[i - HEAD];
        i += 1;
    }
    out
}

/// Returns the fields of an entry's record.
#[doc(hidden)]
pub const fn entry_fields(kind: Kind, info: &EntryInfo, package: &'static str) -> [(&'static str, Value); 8] {
    [
        ("rec", Value::Str("entry")),
        ("kind", Value::Str(kind.as_str())),
        ("id", Value::Str(info.id)),
        ("summary", Value::Str(info.summary)),
        ("topologies", Value::Topologies(info.topologies)),
        ("capabilities", Value::Capabilities(info.capabilities)),
        ("state_version", Value::Number(info.state_version)),
        ("package", Value::Str(package)),
    ]
}

/// Facts that are known only when the plugin's own crate is compiled.
#[doc(hidden)]
pub struct PackageFacts {
    pub name: &'static str,
    pub version: &'static str,
    pub license: &'static str,
    pub authors: &'static str,
    pub panic: &'static str,
    pub entry_symbol: &'static str,
    pub host: &'static str,
}

/// Returns the fields of a plugin's record.
#[doc(hidden)]
pub const fn plugin_fields(package: &PackageFacts) -> [(&'static str, Value); 13] {
    [
        ("rec", Value::Str("plugin")),
        ("name", Value::Str(package.name)),
        ("version", Value::Str(package.version)),
        ("license", Value::Str(package.license)),
        ("authors", Value::Str(package.authors)),
        ("abi", Value::Str(crate::ABI_VERSION)),
        ("target", Value::Str(crate::TARGET)),
        ("panic", Value::Str(package.panic)),
        ("profile", Value::Str(env!("KASMINA_PROFILE"))),
        ("rustc", Value::Str(env!("KASMINA_RUSTC"))),
        ("torch", Value::Str(crate::TORCH_VERSION)),
        ("entry_symbol", Value::Str(package.entry_symbol)),
        ("host", Value::Str(package.host)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: EntryInfo = EntryInfo::new("odd \"id\"\\", "tab\there, newline\nthere, ümlaut")
        .topologies(&[Topology::CNN, Topology::new("graph")])
        .capabilities(&[Capability::Stochastic])
        .state_version(4_294_967_295);
    const FIELDS: [(&str, Value); 8] = entry_fields(Kind::Blueprint, &INFO, "pack");
    static RECORD: [u8; frame_len(&FIELDS)] = frame(&FIELDS);

    #[test]
    fn records_written_at_compile_time_can_be_read() {
        let mut section = vec![0u8; 5];
        section.extend(RECORD);
        section.extend([0; 11]);
        section.extend(RECORD);
        let records = read(&section).unwrap();
        assert_eq!(records.len(), 2);
        let Record::Entry(entry) = &records[0] else { panic!("{records:?}") };
        assert_eq!(*entry, EntryRecord::of(Kind::Blueprint, &INFO, "pack"));
        assert_eq!(entry.topologies, ["cnn", "graph"]);
    }

    #[test]
    fn a_cut_record_is_refused_wherever_it_is_cut() {
        for end in HEAD..RECORD.len() {
            assert_eq!(read(&RECORD[..end]), Err(RecordError::Truncated { at: 0 }), "cut at {end}");
        }
    }
}
