//! Shared libraries, looked at without opening them.

use crate::dynamic;
use crate::error::{Refusal, Rule};
use crate::manifest::{Form, ManifestHeader};
use kasmina_plugin_api::record::{self, Record};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadRef};
use std::path::Path;

/// Every libtorch exports this; a library that does brings one along.
const TORCH_SYMBOL: &str = "aoti_torch_abi_version";
const REBUILD: &str = "build the plugin again and copy the whole file (write it aside, then rename it)";

/// The records of a library: a refusal inside means that it is no plugin at all, one outside that it is a bad
/// one.
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
    // Mapping a file that is shorter than its segments ends the process with SIGBUS.
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
        let found = "it carries no plugin records".to_owned();
        let remedy = "a plugin says `kasmina_plugin_api::export_plugin!();` once and is built as a cdylib";
        return Ok(Err(refuse(Rule::Records, found, remedy)));
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
            // Of a later minor version; it says nothing that is needed here.
            Record::Unknown => {}
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
    if let Some(found) = second_torch(&file) {
        let remedy = "link libtorch as `cargo build` does here: by its plain name, without packing it in";
        return Err(refuse(Rule::Torch, found, remedy));
    }
    dynamic::check(data).map_err(|(rule, found)| {
        refuse(rule, found, "link only libtorch and the system's own libraries, by their plain names")
    })?;
    Ok(Ok(ManifestHeader { plugin, entries, form: Form::Library }))
}

/// Two libtorches in one process end it; this says how a library would bring the second.
fn second_torch<'d, D: ReadRef<'d>>(file: &object::File<'d, D>) -> Option<String> {
    let packed = file.dynamic_symbols().any(|s| s.is_definition() && s.name() == Ok(TORCH_SYMBOL));
    packed.then(|| "it has a libtorch of its own packed in; a process cannot hold two".to_owned())
}
