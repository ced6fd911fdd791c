//! `kasmina plugins list` and `inspect`. They read the records of plugins and run no plugin code.

use super::args::Access;
use super::output::topologies;
use super::settings;
use crate::failure::Failure;
use crate::table;
use crate::terminal;
use kasmina_registry::survey::{Surveyed, inspect as read_records, survey};
use kasmina_registry::{Listing, Trust};
use serde_json::Value;
use std::path::Path;

pub(crate) fn list(access: &Access, json: bool) -> Result<(), Failure> {
    let listing = survey(&access.search(), &access.policy())?.listing()?;
    if json {
        return Ok(terminal::out_json(&listing)?);
    }
    print(&listing);
    Ok(())
}

fn print(listing: &Listing) {
    let header = ["KIND", "ID", "PLUGIN", "VERSION", "STATE", "TRUST", "TOPOLOGIES", "SUMMARY"];
    let mut rows = table::table(&header, &[]);
    for entry in &listing.entries {
        rows.add_row([
            entry.kind.as_str(),
            &entry.id,
            &entry.plugin,
            &entry.version,
            entry.state.as_str(),
            entry.trust.map_or("-", Trust::as_str),
            &topologies(&entry.topologies),
            &entry.summary,
        ]);
    }
    table::print(&rows);
    for refused in &listing.refused {
        outln!();
        outln!("{}: {} ({})", refused.state.as_str(), refused.path.display(), refused.rule);
        outln!("  {}", refused.found);
        outln!("  help: {}", refused.remedy);
    }
}

pub(crate) fn inspect(file: &Path, access: &Access, json: bool) -> Result<(), Failure> {
    let found = read_records(file, &access.policy())?;
    if json {
        let rows: Vec<_> = found.rows().collect();
        let refusal = found
            .refusal
            .as_ref()
            .map(|r| serde_json::json!({ "rule": r.rule, "found": r.found, "remedy": r.remedy }));
        return Ok(terminal::out_json(&serde_json::json!({
            "path": file.display().to_string(),
            "sha256": found.manifest.sha256,
            "state": found.state,
            "trust": found.refusal.is_none().then_some(found.plugin.trust),
            "signer": found.plugin.signer,
            "plugin": found.manifest.plugin,
            "entries": rows,
            "refusal": refusal,
        }))?);
    }
    print_plugin(&found);
    for row in found.rows() {
        outln!();
        outln!("{} {}", row.kind, row.id);
        outln!("  {}", row.summary);
        outln!("  topologies    {}", topologies(&row.topologies));
        if !row.capabilities.is_empty() {
            outln!("  capabilities  {}", row.capabilities.join(", "));
        }
        match &row.config_schema {
            None => outln!(
                "  settings      unknown until the plugin is loaded: `kasmina plugins schema {}::{}`",
                row.plugin,
                row.id
            ),
            Some(schema) => print_settings(schema),
        }
    }
    if let Some(refusal) = &found.refusal {
        outln!();
        outln!("{}: {}", found.state.as_str(), refusal.found);
        outln!("  help: {}", refusal.remedy);
    }
    Ok(())
}

fn print_plugin(found: &Surveyed) {
    let plugin = &found.manifest.plugin;
    let signer = found.plugin.signer.as_ref().map_or_else(String::new, |signer| format!(" by {signer}"));
    let trust = match &found.refusal {
        None => format!(", {}{signer}", found.plugin.trust.as_str()),
        Some(_) => String::new(),
    };
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.replace(':', ", ") };
    let rows = [
        ("plugin", format!("{} {}", plugin.name, plugin.version)),
        ("state", format!("{}{trust}", found.state.as_str())),
        ("sha256", found.manifest.sha256.clone()),
        ("plugin API", plugin.abi.clone()),
        ("torch", plugin.torch.clone()),
        ("target", plugin.target.clone()),
        ("Kasmina", plugin.host.clone()),
        ("build", format!("{}, panic = {}, {}", plugin.profile, plugin.panic, or_none(&plugin.rustc))),
        ("license", or_none(&plugin.license)),
        ("authors", or_none(&plugin.authors)),
    ];
    for (name, value) in rows {
        outln!("{name:<12}{value}");
    }
}

/// Prints the settings of an entry as a table.
fn print_settings(schema: &Value) {
    let settings = settings::of(schema);
    if settings.is_empty() {
        outln!("  settings      none");
        return;
    }
    let mut rows = table::table(&["  SETTING", "TYPE", "DEFAULT", "MEANING"], &[]);
    for setting in settings {
        rows.add_row([format!("  {}", setting.name), setting.kind, setting.default, setting.meaning]);
    }
    table::print(&rows);
}
