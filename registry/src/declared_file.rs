//! Reads declared blueprints and the sidecars of modules. Only the parts that a listing needs are parsed
//! here. The interpreter checks the rest when the file is loaded.

use crate::declared::{DECLARED, Head, INTERPRETER, MODULE, refusal, sidecar};
use crate::error::{Refusal, Rule};
use crate::manifest::{Form, ManifestHeader};
use crate::plugin_file;
use kasmina_files::limit;
use kasmina_plugin_api::record::{EntryRecord, PluginRecord};
use kasmina_plugin_api::{ABI_VERSION, Capability, Kind, TARGET, TORCH_VERSION};
use std::path::Path;

/// Reads the header of a declared blueprint.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<ManifestHeader, Refusal> {
    let text = text_of(path, bytes)?;
    let head = head_of(path, text)?;
    Ok(header(path, DECLARED, head.clone(), Form::Declared(head)))
}

/// Reads the header of a module from its sidecar. The inner error means that there is no sidecar: such a
/// module is not a plugin, and is skipped in a folder.
pub(crate) fn read_module(path: &Path) -> Result<Result<ManifestHeader, Refusal>, Refusal> {
    let sidecar_path = sidecar(path);
    if !sidecar_path.exists() {
        return Ok(Err(Refusal {
            path: path.to_owned(),
            rule: Rule::Records,
            found: format!(
                "a TorchScript module is a plugin only with a sidecar, and there is no {}",
                sidecar_path.display()
            ),
            remedy: "write one; docs/guide/declared.md describes its format".to_owned(),
        }));
    }
    let bytes = plugin_file::read(&sidecar_path, limit::DECLARED)?;
    let sidecar = text_of(&sidecar_path, &bytes)?.to_owned();
    let head = head_of(&sidecar_path, &sidecar)?;
    Ok(Ok(header(path, MODULE, head.clone(), Form::Module { head, sidecar })))
}

fn text_of<'b>(path: &Path, bytes: &'b [u8]) -> Result<&'b str, Refusal> {
    std::str::from_utf8(bytes).map_err(|e| refusal(path, &format!("it is not UTF-8 ({e})")))
}

fn head_of(path: &Path, text: &str) -> Result<Head, Refusal> {
    toml::from_str(text).map_err(|e| {
        let place = e.span().map_or_else(String::new, |span| {
            let before = &text[..span.start.min(text.len())];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("line {line}, column {column}: ")
        });
        refusal(path, &format!("{place}{}", e.message()))
    })
}

fn header(path: &Path, suffix: &str, head: Head, form: Form) -> ManifestHeader {
    let file = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let about = head.blueprint;
    let mut capabilities = about.capabilities;
    // The interpreter's blueprint for modules declares this too.
    let not_capturable = Capability::NotCapturable.as_str();
    if matches!(form, Form::Module { .. }) && !capabilities.iter().any(|c| c == not_capturable) {
        capabilities.push(not_capturable.to_owned());
    }
    let entry = EntryRecord {
        kind: Kind::Blueprint.as_str().to_owned(),
        id: about.id,
        summary: about.summary,
        topologies: about.topologies,
        capabilities,
        state_version: 1,
        package: INTERPRETER.to_owned(),
    };
    let plugin = PluginRecord {
        name: file.strip_suffix(suffix).unwrap_or(file).replace(['-', '.', ' '], "_"),
        version: about.version,
        license: about.license,
        authors: about.authors.join(":"),
        // The file is text, so it works with this program. The interpreter is checked when it is loaded.
        abi: ABI_VERSION.to_owned(),
        target: TARGET.to_owned(),
        panic: "unwind".to_owned(),
        profile: "interpreted".to_owned(),
        rustc: String::new(),
        torch: TORCH_VERSION.to_owned(),
        entry_symbol: String::new(),
        host: "*".to_owned(),
    };
    ManifestHeader { plugin, entries: vec![entry], form }
}
