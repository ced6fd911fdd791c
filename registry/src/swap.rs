//! Replaces a loaded build of a plugin by another one during a run.
//!
//! Any thread can *stage* a build: verify it, try it in a child process, and open it. The catalogue does not
//! change until the training thread *commits* the staged build, between two steps. A commit can be reverted.

use crate::dl;
use crate::entry::{Entry, PluginInfo};
use crate::error::{Refusal, RegistryError, Rule};
use crate::manifest::Manifest;
use crate::policy::Policy;
use crate::probe;
use crate::project_lock::ProjectLock;
use crate::registry::{Registry, open_entries, plugin_info};
use crate::search::Origin;
use crate::verify::{Intent, verify};
use kasmina_plugin_api::Kind;
use std::path::Path;
use std::sync::Arc;

/// Largest number of builds of one plugin that a process loads. Builds are never unloaded; each takes the
/// size of its file and half a megabyte of memory.
pub const MOST_GENERATIONS: usize = 64;
/// Number of loaded builds of one plugin at which staging another one logs a warning.
const MANY_GENERATIONS: usize = 32;

/// A verified and opened build that can be committed.
#[derive(Debug, Clone)]
pub struct Staged {
    info: Arc<PluginInfo>,
    entries: Vec<Entry>,
}

impl Staged {
    /// Description of the staged build.
    pub fn plugin(&self) -> &Arc<PluginInfo> {
        &self.info
    }
    /// Entries of the staged build.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
    /// Returns the staged entry that replaces an entry of another build of the plugin; `None` if there is
    /// none, or if the entry belongs to another plugin.
    pub fn instead_of(&self, entry: &Entry) -> Option<&Entry> {
        if entry.plugin().name != self.info.name {
            return None;
        }
        self.entry(entry.kind(), entry.id())
    }
    /// Returns an entry of the staged build.
    pub fn entry(&self, kind: Kind, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.kind() == kind && e.id() == id)
    }
}

/// A committed build, with what is needed to revert the commit.
#[derive(Debug, Clone)]
pub struct Committed {
    staged: Staged,
    before: Option<(Arc<PluginInfo>, Vec<Entry>)>,
}

impl Committed {
    /// The new build.
    pub fn to(&self) -> &Arc<PluginInfo> {
        &self.staged.info
    }
    /// The build that was replaced; `None` if the plugin was not loaded before.
    pub fn from(&self) -> Option<&Arc<PluginInfo>> {
        self.before.as_ref().map(|(info, _)| info)
    }
    /// Returns the replaced entry in place of an entry of the new build; `None` if there was none.
    pub fn instead_of(&self, entry: &Entry) -> Option<&Entry> {
        let (_, before) = self.before.as_ref()?;
        before.iter().find(|e| e.kind() == entry.kind() && e.id() == entry.id())
    }
    /// The staged build that was committed.
    pub fn staged(&self) -> &Staged {
        &self.staged
    }
}

impl Registry {
    /// Verifies, tries and opens a build. May be called on any thread, and creates no tensors in this
    /// process.
    ///
    /// # Errors
    /// If the build breaks a rule, or the lock file cannot be read. The catalogue does not change.
    pub fn stage(&self, path: &Path) -> Result<Staged, RegistryError> {
        self.stage_by(path, self.policy())
    }

    /// As [`stage`](Self::stage), for a file whose bytes another process has sent: it must be signed or
    /// pinned, also if the policy allows unsigned files.
    ///
    /// # Errors
    /// As [`stage`](Self::stage).
    pub fn stage_received(&self, path: &Path) -> Result<Staged, RegistryError> {
        self.stage_by(path, &self.policy().clone().allowing_unsigned(false))
    }

    fn stage_by(&self, path: &Path, policy: &Policy) -> Result<Staged, RegistryError> {
        let manifest = Manifest::read(path)?;
        let catalogue = self.current_catalogue();
        let real = path.canonicalize().ok();
        let in_place = real.is_some()
            && catalogue.plugin(&manifest.plugin.name).is_some_and(|loaded| loaded.path == real);
        let intent = Intent::Swap { in_place };
        let verified = verify(&manifest, Origin::Named, policy, &ProjectLock::of(policy)?, intent)?;
        let held = dl::generations(&manifest.plugin.name);
        if held >= MOST_GENERATIONS && !dl::is_mapped(&manifest) {
            return Err(Refusal {
                path: path.to_owned(),
                rule: Rule::Generations,
                found: format!(
                    "this process has loaded {held} builds of `{}`; the limit is {MOST_GENERATIONS}, because none \
                     is ever unloaded",
                    manifest.plugin.name
                ),
                remedy: "stop the run, and start it again with the build that you want".to_owned(),
            }
            .into());
        }
        if held == MANY_GENERATIONS {
            tracing::warn!(
                "this process has loaded {held} builds of `{}`; the limit is {MOST_GENERATIONS}",
                manifest.plugin.name
            );
        }
        let probed =
            probe::probe(&[&manifest], catalogue.plugin(crate::declared::INTERPRETER), policy).remove(0)?;
        // When a run starts, an entry that fails is only recorded. In a swap the build is refused.
        if let Some((entry, reason)) = probed.unfit.iter().next() {
            return Err(Refusal {
                path: path.to_owned(),
                rule: Rule::Smoke,
                found: format!("its {entry} fails: {reason}"),
                remedy: "`kasmina plugins check FILE` shows details".to_owned(),
            }
            .into());
        }
        let info = plugin_info(&manifest, &verified);
        let entries = open_entries(&catalogue, &manifest, &info, &probed, policy)?;
        Ok(Staged { info, entries })
    }

    /// Replaces the loaded build of the plugin by a staged one. Later calls of the registry return the new
    /// entries; live instances of the replaced build continue to run.
    pub fn commit(&self, staged: &Staged) -> Committed {
        let changed: Result<_, std::convert::Infallible> = self.change(|catalogue| {
            let name = &staged.info.name;
            let before = catalogue.plugin(name).map(Arc::clone).map(|info| {
                let entries = catalogue.entries.iter().filter(|e| e.plugin().name == *name);
                (info, entries.cloned().collect())
            });
            catalogue.insert(&staged.info, staged.entries.clone());
            Ok(Committed { staged: staged.clone(), before })
        });
        match changed {
            Ok(committed) => committed,
            Err(never) => match never {},
        }
    }

    /// Reverts a commit: the build that was loaded before becomes the current one again.
    pub fn revert(&self, committed: &Committed) {
        let done: Result<(), std::convert::Infallible> = self.change(|catalogue| {
            match &committed.before {
                Some((info, entries)) => catalogue.insert(info, entries.clone()),
                None => catalogue.remove(&committed.staged.info.name),
            }
            Ok(())
        });
        match done {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }
}
