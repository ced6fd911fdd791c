//! Another build of a plugin takes its place while a run is live.
//!
//! A build is *staged* on any thread: judged, tried in a process of its own, opened. Nothing of it is seen
//! until it is *committed*, by whoever trains, between two steps; and it can be taken back.

use crate::dl;
use crate::entry::{Entry, PluginInfo};
use crate::error::{Refusal, RegistryError, Rule};
use crate::manifest::Manifest;
use crate::probe;
use crate::project_lock::ProjectLock;
use crate::registry::{Registry, entries, info};
use crate::search::Origin;
use crate::verify::{Intent, let_in};
use kasmina_plugin_api::Kind;
use std::path::Path;
use std::sync::Arc;

/// Builds of one plugin that a process holds at most. They are never unloaded: each costs its file and half a
/// megabyte.
pub const MOST_GENERATIONS: usize = 64;
/// From here on the log says so.
const MANY_GENERATIONS: usize = 32;

/// A build that is ready to take the place of another.
#[derive(Debug, Clone)]
pub struct Staged {
    info: Arc<PluginInfo>,
    entries: Vec<Entry>,
}

impl Staged {
    /// Plugin of the staged build.
    pub fn plugin(&self) -> &Arc<PluginInfo> {
        &self.info
    }
    /// Entries of the staged build.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
    /// What it brings in the place of an entry of the plugin's other builds.
    pub fn instead_of(&self, entry: &Entry) -> Option<&Entry> {
        if entry.plugin().name != self.info.name {
            return None;
        }
        self.entry(entry.kind(), entry.id())
    }
    /// One of what it brings.
    pub fn entry(&self, kind: Kind, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.kind() == kind && e.id() == id)
    }
}

/// What a commit has changed, and how to take it back.
#[derive(Debug, Clone)]
pub struct Committed {
    staged: Staged,
    before: Option<(Arc<PluginInfo>, Vec<Entry>)>,
}

impl Committed {
    /// The build that has come.
    pub fn to(&self) -> &Arc<PluginInfo> {
        &self.staged.info
    }
    /// The build that has retired; none where the plugin is new.
    pub fn from(&self) -> Option<&Arc<PluginInfo>> {
        self.before.as_ref().map(|(info, _)| info)
    }
    /// What there was before in the place of an entry of the new build.
    pub fn instead_of(&self, entry: &Entry) -> Option<&Entry> {
        let (_, before) = self.before.as_ref()?;
        before.iter().find(|e| e.kind() == entry.kind() && e.id() == entry.id())
    }
    /// What came with the new build.
    pub fn staged(&self) -> &Staged {
        &self.staged
    }
}

impl Registry {
    /// Judges, tries and opens a build. May be called on any thread; makes no tensor in this process.
    ///
    /// # Errors
    /// The rule that it breaks; nothing has changed then.
    pub fn stage(&self, path: &Path) -> Result<Staged, RegistryError> {
        let manifest = Manifest::read(path)?;
        let now = self.now();
        let real = path.canonicalize().ok();
        let in_place =
            real.is_some() && now.plugin(&manifest.plugin.name).is_some_and(|loaded| loaded.path == real);
        let intent = Intent::Swap { in_place };
        let vouched =
            let_in(&manifest, Origin::Named, self.policy(), &ProjectLock::of(self.policy())?, intent)?;
        let held = dl::generations(&manifest.plugin.name);
        if held >= MOST_GENERATIONS && !dl::is_mapped(&manifest) {
            return Err(Refusal {
                path: path.to_owned(),
                rule: Rule::Generations,
                found: format!(
                    "this process holds {held} builds of `{}` already, and no more than {MOST_GENERATIONS}: none is ever unloaded",
                    manifest.plugin.name
                ),
                remedy: "end the run and start it again with the build that you mean".to_owned(),
            }
            .into());
        }
        if held == MANY_GENERATIONS {
            tracing::warn!(
                "{held} builds of `{}` are in this process; {MOST_GENERATIONS} are the limit",
                manifest.plugin.name
            );
        }
        let probed =
            probe::probe(&[&manifest], now.plugin(crate::declared::INTERPRETER), self.policy()).remove(0)?;
        // At the start an entry that cannot be used is left aside; nobody swaps to one.
        if let Some((entry, reason)) = probed.unfit.iter().next() {
            return Err(Refusal {
                path: path.to_owned(),
                rule: Rule::Smoke,
                found: format!("its {entry} fails: {reason}"),
                remedy: "`kasmina plugins check FILE` says more".to_owned(),
            }
            .into());
        }
        let info = info(&manifest, &vouched);
        let entries = entries(&now, &manifest, &info, &probed, self.policy())?;
        Ok(Staged { info, entries })
    }

    /// Lets a staged build take the place of what is loaded under its name: whoever asks from now on gets it.
    /// What lives of the other build lives on.
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

    /// Makes the build before the commit current again.
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
