//! The one sorted listing that people and programs read.

use crate::catalogue::Skipped;
use crate::entry::PluginInfo;
use crate::error::{Refusal, Rule};
use crate::registry::Registry;
use crate::verify::Trust;
use kasmina_plugin_api::record::EntryRecord;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// How things stand with a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It is loaded in this process.
    Loaded,
    /// A run would load it.
    Found,
    /// It was loaded, and another build stands in for it.
    Retired,
    /// Another file of its name comes first.
    Shadowed,
    /// No key, lock file or user vouches for it.
    Unsigned,
    /// Its bytes are not those that were decided on.
    Modified,
    /// It has ended a process.
    Quarantined,
    /// Others than the user may write it.
    Exposed,
    /// It does not fit this program, or is no whole plugin.
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

    /// What a broken rule amounts to.
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
    /// What it declares of itself.
    pub capabilities: Vec<String>,
    /// Summary of one line.
    pub summary: String,
    /// State of the plugin.
    pub state: State,
    /// How far it is trusted; unknown where the file was not let in.
    pub trust: Option<Trust>,
    /// First digits of the hash of the plugin's file; absent for built-ins.
    pub generation: Option<String>,
    /// Path of the plugin's file; absent for built-ins.
    pub path: Option<PathBuf>,
    /// The JSON Schema of its configuration, as far as it is known without running its code.
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

/// One file that is not loaded, or would not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// File that was refused.
    pub path: PathBuf,
    /// State of the file.
    pub state: State,
    /// The slug of the rule, or `shadowed`.
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
                found: format!("`{name}` was found before, in {}", by.display()),
                remedy: "remove one of the two files, or name the one you mean first".to_owned(),
            },
        }
    }
}

/// All entries and all refused files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    /// The entries, sorted by kind, id and plugin.
    pub entries: Vec<EntryRow>,
    /// What is not loaded, or would not be, in the order of the search.
    pub refused: Vec<RefusedRow>,
}

impl Registry {
    /// Lists what is loaded.
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
