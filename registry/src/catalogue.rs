//! The catalogue of loaded plugins and entries. It is immutable, and replaced as a whole.

use crate::builtin;
use crate::entry::{Entry, Factory, PluginInfo};
use crate::error::{LookupError, Refusal, RegistryError};
use crate::policy::Policy;
use crate::verify::Trust;
use kasmina_plugin_api::abi::Plugin;
use kasmina_plugin_api::{Kind, Topology};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that was found but not loaded, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// The file broke a rule.
    Refused(Refusal),
    /// A plugin of the same name was found earlier in the search path.
    Shadowed {
        /// File that is not used.
        path: PathBuf,
        /// Name of the plugin in both files.
        name: String,
        /// File that is used instead.
        by: PathBuf,
    },
}

/// All loaded plugins and entries at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    /// Sorted by kind, id and plugin.
    pub(crate) entries: Vec<Entry>,
    /// Loaded plugins, the built-in ones first.
    pub(crate) plugins: Vec<Arc<PluginInfo>>,
    /// Builds that were replaced by other builds. Their live instances continue to run.
    pub(crate) retired: Vec<Arc<PluginInfo>>,
    /// Files that were found but not loaded, in the order of the search.
    pub(crate) skipped: Vec<Skipped>,
}

impl Catalogue {
    /// Returns a catalogue with only the built-in entries.
    pub(crate) fn built_in(policy: &Policy) -> Result<Self, RegistryError> {
        let (linked, policy) = (Plugin::linked(), Arc::new(policy.clone()));
        let info = Arc::new(PluginInfo {
            name: builtin::PLUGIN.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            path: None,
            sha256: None,
            trust: Trust::BuiltIn,
            signer: None,
        });
        let listed = linked.list().map_err(|error| RegistryError::Build {
            kind: Kind::Blueprint,
            id: builtin::PLUGIN.to_owned(),
            error,
        })?;
        let mut catalogue = Self::default();
        // Entries of other crates that are linked into this program are listed under the names of those
        // crates.
        let mut packages: BTreeMap<String, (Arc<PluginInfo>, Vec<Entry>)> = BTreeMap::new();
        packages.insert(String::new(), (info, Vec::new()));
        for l in listed {
            let own = l.record.package == env!("CARGO_CRATE_NAME");
            let package = if own { String::new() } else { l.record.package.clone() };
            let (info, entries) = packages.entry(package).or_insert_with_key(|package| {
                let info = PluginInfo {
                    name: package.clone(),
                    version: "linked".to_owned(),
                    path: None,
                    sha256: None,
                    trust: Trust::BuiltIn,
                    signer: None,
                };
                (Arc::new(info), Vec::new())
            });
            let factory = if own && l.record.kind == Kind::Host.as_str() {
                Factory::Grafted(linked, Arc::clone(&policy))
            } else {
                Factory::Library(linked)
            };
            entries.extend(Entry::new(info, l.record, l.schema, factory, None));
        }
        for (info, entries) in packages.into_values() {
            catalogue.insert(&info, entries);
        }
        Ok(catalogue)
    }

    pub(crate) fn plugin(&self, name: &str) -> Option<&Arc<PluginInfo>> {
        self.plugins.iter().find(|p| p.name == name)
    }

    /// Adds a build. A loaded build of the same plugin is replaced, and counts as retired.
    pub(crate) fn insert(&mut self, info: &Arc<PluginInfo>, entries: Vec<Entry>) {
        self.entries.retain(|e| e.plugin().name != info.name);
        match self.plugins.iter_mut().find(|p| p.name == info.name) {
            Some(place) => self.retired.push(std::mem::replace(place, Arc::clone(info))),
            None => self.plugins.push(Arc::clone(info)),
        }
        self.retired.retain(|r| r.sha256 != info.sha256 || r.name != info.name);
        self.entries.extend(entries);
        self.entries
            .sort_by(|a, b| (a.kind(), a.id(), &a.plugin().name).cmp(&(b.kind(), b.id(), &b.plugin().name)));
    }

    /// Removes the build of a plugin; it counts as retired.
    pub(crate) fn remove(&mut self, name: &str) {
        self.entries.retain(|e| e.plugin().name != name);
        let (gone, kept) = std::mem::take(&mut self.plugins).into_iter().partition(|p| p.name == name);
        self.plugins = kept;
        self.retired.extend::<Vec<_>>(gone);
    }

    /// Returns the entry of a name: `plugin::id`, or a bare id that exactly one plugin has. A bare id means
    /// the built-in entry only if no plugin has it.
    pub(crate) fn resolve(&self, kind: Kind, name: &str) -> Result<Entry, RegistryError> {
        self.choose(kind, name, |_| true)
    }

    /// Returns the entry of a name, as `resolve` does. If several plugins have a bare id, the only one that
    /// serves the topology is returned.
    pub(crate) fn resolve_for(
        &self,
        kind: Kind,
        name: &str,
        topology: Topology,
    ) -> Result<Entry, RegistryError> {
        self.choose(kind, name, |entry| entry.serves(topology))
    }

    fn choose(
        &self,
        kind: Kind,
        name: &str,
        serves: impl Fn(&Entry) -> bool,
    ) -> Result<Entry, RegistryError> {
        if let Some((plugin, id)) = name.split_once("::") {
            let full = self.of_kind(kind).find(|e| e.plugin().name == plugin && e.id() == id);
            return full.cloned().ok_or_else(|| self.unknown(kind, name));
        }
        let (built_in, of_plugins): (Vec<_>, Vec<_>) =
            self.of_kind(kind).filter(|e| e.id() == name).partition(|e| e.plugin().trust == Trust::BuiltIn);
        match (of_plugins.as_slice(), built_in.as_slice()) {
            ([one], _) | ([], [one]) => Ok(Entry::clone(one)),
            ([], _) => Err(self.unknown(kind, name)),
            (several, _) => {
                let serving: Vec<_> = several.iter().filter(|e| serves(e)).collect();
                if let [one] = serving[..] {
                    return Ok(Entry::clone(one));
                }
                Err(LookupError::Ambiguous {
                    kind,
                    id: name.to_owned(),
                    candidates: several.iter().map(|e| e.full_name()).collect(),
                }
                .into())
            }
        }
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| e.kind() == kind)
    }

    fn unknown(&self, kind: Kind, id: &str) -> RegistryError {
        let refused = self.skipped.iter().filter_map(|s| match s {
            Skipped::Refused(r) => Some(format!("{} ({})", r.path.display(), r.found)),
            Skipped::Shadowed { .. } => None,
        });
        let mut known: Vec<String> = self.of_kind(kind).map(|e| e.id().to_owned()).collect();
        known.dedup();
        LookupError::Unknown { kind, id: id.to_owned(), known, refused: refused.collect() }.into()
    }
}
