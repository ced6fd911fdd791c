//! Reads the plugin records of shared libraries without opening them.

use crate::dynamic;
use crate::error::{Refusal, Rule};
use crate::manifest::{Form, ManifestHeader};
use kasmina_plugin_api::record::{self, Record};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadRef};
use std::path::Path;

/// A symbol that every libtorch exports. A plugin that defines it contains a libtorch.
const TORCH_SYMBOL: &str = "aoti_torch_abi_version";
const REBUILD: &str = "build the plugin again and copy the whole file (write it aside, then rename it)";

/// Reads the records of a library. The inner refusal means that the file is not a plugin, the outer one that
/// it is damaged, or a plugin that must not be opened.
pub(crate) fn records<'d, D: ReadRef<'d>>(
    path: &Path,
    data: D,
) -> Result<Result<ManifestHeader, Refusal>, Refusal> {
    let refuse = |rule, found: String, remedy: &str| Refusal {
        path: path.to_owned(),
        rule,
        found,
        remedy: remedy.to_owned(),
    };
    let file = match object::File::parse(data) {
        Ok(file) if file.format() == object::BinaryFormat::Elf => file,
        Ok(other) => {
            let found = format!("it is a {:?} file, not an ELF shared library", other.format());
            return Ok(Err(refuse(Rule::SharedLibrary, found, REBUILD)));
        }
        Err(error) => {
            let found = format!("it is not an ELF shared library ({error})");
            return Ok(Err(refuse(Rule::SharedLibrary, found, REBUILD)));
        }
    };
    // If a mapped file is shorter than its segments, reading it raises SIGBUS.
    let length = data.len().unwrap_or_default();
    for segment in file.segments() {
        let (offset, size) = segment.file_range();
        if offset.saturating_add(size) > length {
            let found =
                format!("it is cut off: {length} bytes, its segments need {}", offset.saturating_add(size));
            return Err(refuse(Rule::SharedLibrary, found, REBUILD));
        }
    }
    let Some(section) = file.section_by_name(record::SECTION) else {
        let found = "it contains no plugin records".to_owned();
        let remedy =
            "call `kasmina_plugin_api::export_plugin!();` once in the plugin, and build it as a cdylib";
        return Ok(Err(refuse(Rule::Records, found, remedy)));
    };
    let records = section
        .data()
        .map_err(|e| e.to_string())
        .and_then(|data| record::read(data).map_err(|e| e.to_string()))
        .map_err(|e| {
            refuse(Rule::Records, e, "build the plugin again with the plugin API of this program")
        })?;

    let (mut plugins, mut entries) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Plugin(plugin) => plugins.push(plugin),
            Record::Entry(entry) => entries.push(entry),
            // A record kind of a later minor version, which this version does not need.
            Record::Unknown => {}
        }
    }
    let plugin = match plugins.len() {
        1 => plugins.remove(0),
        0 => {
            let found = "it has records of entries but none of a plugin".to_owned();
            return Err(refuse(
                Rule::Records,
                found,
                "call `kasmina_plugin_api::export_plugin!();` once in the plugin",
            ));
        }
        n => {
            let found = format!("it contains the records of {n} plugins");
            let remedy = "do not link plugin crates that call `export_plugin!` themselves";
            return Err(refuse(Rule::Records, found, remedy));
        }
    };
    entries.sort();
    if let Some(found) = second_torch(&file) {
        let remedy = "link libtorch dynamically, by its plain name, as `cargo build` does here";
        return Err(refuse(Rule::Torch, found, remedy));
    }
    dynamic::check(data).map_err(|(rule, found)| {
        refuse(rule, found, "link only libtorch and the system's own libraries, by their plain names")
    })?;
    Ok(Ok(ManifestHeader { plugin, entries, form: Form::Library }))
}

/// Returns a description if the library contains its own libtorch: a process with two of them crashes.
fn second_torch<'d, D: ReadRef<'d>>(file: &object::File<'d, D>) -> Option<String> {
    let contains_torch = file.dynamic_symbols().any(|s| s.is_definition() && s.name() == Ok(TORCH_SYMBOL));
    contains_torch.then(|| "it contains its own libtorch; a process cannot load two".to_owned())
}
