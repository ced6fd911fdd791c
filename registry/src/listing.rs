//! The one sorted listing that people and programs read.

use crate::catalogue::{Registry, Skipped, Trust};
use serde::Serialize;
use std::path::PathBuf;

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryRow {
    /// `blueprint`, `blend` or `host`.
    pub kind: String,
    /// Id within the plugin.
    pub id: String,
    /// Who brings it.
    pub plugin: String,
    /// In which version.
    pub version: String,
    /// Topologies served; empty means all.
    pub topologies: Vec<String>,
    /// What it declares of itself.
    pub capabilities: Vec<String>,
    /// One line.
    pub summary: String,
    /// How far its plugin is trusted.
    pub trust: Trust,
    /// The build that is loaded.
    pub generation: Option<String>,
    /// Where it lies.
    pub path: Option<PathBuf>,
    /// The JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
}

/// One file that was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// Which.
    pub path: PathBuf,
    /// The slug of the rule, or `shadowed`.
    pub rule: String,
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    /// The entries, sorted by kind, id and plugin.
    pub entries: Vec<EntryRow>,
    /// What was found and not loaded, in the order of the search.
    pub refused: Vec<RefusedRow>,
}

impl Registry {
    /// The listing.
    pub fn listing(&self) -> Listing {
        let entries = self.entries().iter().map(|entry| {
            let (record, plugin) = (entry.record(), entry.plugin());
            EntryRow {
                kind: record.kind.clone(),
                id: record.id.clone(),
                plugin: plugin.name.clone(),
                version: plugin.version.clone(),
                topologies: record.topologies.clone(),
                capabilities: record.capabilities.clone(),
                summary: record.summary.clone(),
                trust: plugin.trust,
                generation: plugin.generation().map(str::to_owned),
                path: plugin.path.clone(),
                config_schema: entry.schema().clone(),
            }
        });
        let refused = self.skipped().iter().map(|skipped| match skipped {
            Skipped::Refused(r) => RefusedRow {
                path: r.path.clone(),
                rule: r.rule.as_str().to_owned(),
                found: r.found.clone(),
                remedy: r.remedy.clone(),
            },
            Skipped::Shadowed { path, name, by } => RefusedRow {
                path: path.clone(),
                rule: "shadowed".to_owned(),
                found: format!("`{name}` is already loaded from {}", by.display()),
                remedy: "remove one of the two files, or name the one you mean first".to_owned(),
            },
        });
        Listing { entries: entries.collect(), refused: refused.collect() }
    }
}
