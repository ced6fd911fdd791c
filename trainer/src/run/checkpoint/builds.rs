//! Loading the builds of plugins that a checkpoint was written with.

use super::state::{PluginRow, RunState};
use crate::error::TrainError;
use kasmina::state::EntryName;
use kasmina_plugin_api::Kind;
use kasmina_registry::{Entry, LookupError, Refusal, Registry, RegistryError, Rule, Staged, hash_of, stored};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The builds of plugins that a checkpoint may need: the loaded ones, and the copies in the run directory.
pub(super) struct Builds<'r> {
    registry: &'r Registry,
    /// Folder of the run's copies of plugins.
    folder: PathBuf,
    /// Builds that were opened from copies, by the SHA-256 of their file.
    staged: RefCell<BTreeMap<String, Staged>>,
}

impl<'r> Builds<'r> {
    pub(super) fn new(registry: &'r Registry, folder: PathBuf) -> Self {
        Self { registry, folder, staged: RefCell::default() }
    }

    /// Makes the builds current that were current when the checkpoint was written. For a plugin that the run
    /// has not used another build may be loaded; this is logged as a warning.
    pub(super) fn restore(&self, state: &RunState) -> Result<(), TrainError> {
        for row in state.plugins.iter().filter(|row| row.current) {
            let loaded = self.registry.generation(&row.name);
            if loaded.as_ref() == Some(&row.sha256) {
                continue;
            }
            if row.used || stored::find(&self.folder, &row.sha256).is_some() {
                self.registry.commit(&self.staged(row)?);
            } else {
                let (name, then) = (&row.name, row.sha256.get(..12).unwrap_or_default());
                let now = loaded.as_deref().and_then(|hash| hash.get(..12)).unwrap_or("none");
                tracing::warn!(
                    "plugin {name}: build {now} is loaded; the run had build {then}, but has not used it"
                );
            }
        }
        Ok(())
    }

    /// Makes the build of an entry current, so that the registry resolves names to it.
    pub(super) fn make_current(&self, state: &RunState, entry: &EntryName) -> Result<(), TrainError> {
        let Some(sha256) = &entry.sha256 else { return Ok(()) };
        if self.registry.generation(&entry.plugin).as_ref() == Some(sha256) {
            return Ok(());
        }
        let row = state.plugins.iter().find(|row| row.sha256 == *sha256);
        let missing = || missing(&entry.plugin, &entry.version, sha256, self.registry);
        let staged = self.staged(row.ok_or_else(missing)?)?;
        self.registry.commit(&staged);
        Ok(())
    }

    /// Finds an entry in the build that it belonged to when the checkpoint was written.
    pub(super) fn resolve(&self, kind: Kind, name: &EntryName) -> Result<Entry, RegistryError> {
        let Some(sha256) = &name.sha256 else { return self.registry.resolve(kind, &name.full_name()) };
        if self.registry.generation(&name.plugin).as_ref() == Some(sha256) {
            return self.registry.resolve(kind, &name.full_name());
        }
        let staged = self.open(&name.plugin, sha256)?;
        staged.entry(kind, &name.id).cloned().ok_or_else(|| {
            let known = staged.entries().iter().filter(|e| e.kind() == kind).map(Entry::full_name).collect();
            LookupError::Unknown { kind, id: name.full_name(), known, refused: Vec::new() }.into()
        })
    }

    /// Opens the run's copy of a build, or returns it if it is open already.
    pub(super) fn open(&self, plugin: &str, sha256: &str) -> Result<Staged, RegistryError> {
        if let Some(staged) = self.staged.borrow().get(sha256) {
            return Ok(staged.clone());
        }
        let path =
            stored::find(&self.folder, sha256).unwrap_or_else(|| self.folder.join(format!("{sha256}.so")));
        // A copy is named by its hash. An altered one is refused before any check that would read it.
        if hash_of(&path)? != sha256 {
            return Err(Refusal {
                path,
                rule: Rule::Lock,
                found: format!(
                    "it was altered: it is not a copy of the build of `{plugin}` that the run used"
                ),
                remedy: "get the run directory again, or put that build of the plugin into the plugin path"
                    .to_owned(),
            }
            .into());
        }
        let staged = self.registry.stage(&path)?;
        self.staged.borrow_mut().insert(sha256.to_owned(), staged.clone());
        Ok(staged)
    }

    /// Opens the run's copy of a build, which must exist.
    fn staged(&self, row: &PluginRow) -> Result<Staged, TrainError> {
        if stored::find(&self.folder, &row.sha256).is_none() {
            return Err(missing(&row.name, &row.version, &row.sha256, self.registry));
        }
        Ok(self.open(&row.name, &row.sha256)?)
    }
}

/// Returns the error for a build that is neither loaded nor stored in the run directory.
fn missing(name: &str, version: &str, sha256: &str, registry: &Registry) -> TrainError {
    let build = sha256.get(..12).unwrap_or(sha256);
    let loaded = registry.plugins().into_iter().find(|plugin| plugin.name == name);
    let found = match loaded {
        None => "no plugin of that name is loaded".to_owned(),
        Some(plugin) if plugin.version != version => format!("version {} is loaded", plugin.version),
        Some(plugin) => format!("build {} is loaded", plugin.generation().unwrap_or("none")),
    };
    TrainError::PluginOfRun {
        plugin: name.to_owned(),
        version: version.to_owned(),
        build: build.to_owned(),
        found,
    }
}
