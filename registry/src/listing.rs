//! The sorted listing of entries and refused files that commands print and write as JSON.

use crate::catalogue::Skipped;
use crate::entry::PluginInfo;
use crate::error::{Refusal, Rule};
use crate::registry::Registry;
use crate::verify::Trust;
use kasmina_plugin_api::record::EntryRecord;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// State of a plugin's file or build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Loaded in this process.
    Loaded,
    /// Found and trusted: a run would load it.
    Found,
    /// Was loaded, and was replaced by another build.
    Retired,
    /// Another file with a plugin of the same name comes first in the search path.
    Shadowed,
    /// Not trusted by a key, a lock file, its place, or a flag.
    Unsigned,
    /// Does not match the lock file, or its own signature.
    Modified,
    /// Has ended the process of a probe.
    Quarantined,
    /// Other users can write the file or a folder above it.
    Exposed,
    /// Does not work with this program, or is not a complete plugin.
    Incompatible,
}

impl State {
    /// Name of the state in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Found => "found",
            Self::Retired => "retired",
            Self::Shadowed => "shadowed",
            Self::Unsigned => "unsigned",
            Self::Modified => "modified",
            Self::Quarantined => "quarantined",
            Self::Exposed => "exposed",
            Self::Incompatible => "incompatible",
        }
    }

    /// Returns the state of a file that breaks a rule.
    pub(crate) fn of(rule: Rule) -> Self {
        match rule {
            Rule::Trust => Self::Unsigned,
            Rule::Lock | Rule::Signature => Self::Modified,
            Rule::Quarantine => Self::Quarantined,
            Rule::Permissions => Self::Exposed,
            _ => Self::Incompatible,
        }
    }
}

/// An entry in a listing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryRow {
    /// `blueprint`, `blend` or `host`.
    pub kind: String,
    /// Id of the entry, unique within the plugin and kind.
    pub id: String,
    /// Name of the plugin that has the entry.
    pub plugin: String,
    /// Version of that plugin.
    pub version: String,
    /// Topologies served; empty means all.
    pub topologies: Vec<String>,
    /// Capabilities that the entry declares.
    pub capabilities: Vec<String>,
    /// Summary in one line.
    pub summary: String,
    /// State of the plugin.
    pub state: State,
    /// Why the file is trusted; absent if it was refused.
    pub trust: Option<Trust>,
    /// First twelve digits of the SHA-256 of the plugin's file; absent for built-ins.
    pub generation: Option<String>,
    /// Path of the plugin's file; absent for built-ins.
    pub path: Option<PathBuf>,
    /// JSON Schema of the configuration; absent if it is not known without running the plugin's code.
    pub config_schema: Option<Value>,
}

impl EntryRow {
    pub(crate) fn new(
        record: &EntryRecord,
        plugin: &PluginInfo,
        state: State,
        schema: Option<Value>,
    ) -> Self {
        Self {
            kind: record.kind.clone(),
            id: record.id.clone(),
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            topologies: record.topologies.clone(),
            capabilities: record.capabilities.clone(),
            summary: record.summary.clone(),
            state,
            trust: Some(plugin.trust),
            generation: plugin.generation().map(str::to_owned),
            path: plugin.path.clone(),
            config_schema: schema,
        }
    }
}

/// A file that is not loaded, or that a run would not load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// File that was refused.
    pub path: PathBuf,
    /// State of the file.
    pub state: State,
    /// Name of the broken rule, or `shadowed`.
    pub rule: String,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: String,
}

impl From<&Refusal> for RefusedRow {
    fn from(refusal: &Refusal) -> Self {
        Self {
            path: refusal.path.clone(),
            state: State::of(refusal.rule),
            rule: refusal.rule.as_str().to_owned(),
            found: refusal.found.clone(),
            remedy: refusal.remedy.clone(),
        }
    }
}

impl From<&Skipped> for RefusedRow {
    fn from(skipped: &Skipped) -> Self {
        match skipped {
            Skipped::Refused(refusal) => refusal.into(),
            Skipped::Shadowed { path, name, by } => Self {
                path: path.clone(),
                state: State::Shadowed,
                rule: "shadowed".to_owned(),
                found: format!("`{name}` was found earlier, in {}", by.display()),
                remedy: "remove one of the two files, or put the one that you want first in the search path"
                    .to_owned(),
            },
        }
    }
}

/// All entries and all refused files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    /// All entries, sorted by kind, id and plugin.
    pub entries: Vec<EntryRow>,
    /// Files that are not loaded, or that a run would not load, in the order of the search.
    pub refused: Vec<RefusedRow>,
}

impl Registry {
    /// Returns the loaded entries and the skipped files.
    pub fn listing(&self) -> Listing {
        let row = |entry: &crate::Entry| {
            EntryRow::new(entry.record(), entry.plugin(), State::Loaded, Some(entry.schema().clone()))
        };
        Listing {
            entries: self.entries().iter().map(row).collect(),
            refused: self.skipped().iter().map(RefusedRow::from).collect(),
        }
    }
}
