//! What is loaded, and how a name is resolved.

use crate::builtin;
use crate::check;
use crate::dl;
use crate::error::{LookupError, Refusal, RegistryError, Rule};
use crate::manifest::{Found, Manifest, find};
use crate::search::{SearchPath, libraries};
use kasmina_plugin_api::abi::{BlendInstance, HostInstance, Listed, Plugin, SeedInstance};
use kasmina_plugin_api::record::EntryRecord;
use kasmina_plugin_api::{Capability, Cost, Kind, PluginError, Site, Topology};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::Device;

/// How far a plugin is trusted. Signatures and pins come with the plugin platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trust {
    /// Part of this program.
    BuiltIn,
    /// A file that nobody vouches for.
    Unsigned,
}

/// A loaded plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// Crate name; `core` for the built-ins.
    pub name: String,
    /// Package version.
    pub version: String,
    /// Where it was found; `None` for the built-ins.
    pub path: Option<PathBuf>,
    /// Hash of its file.
    pub sha256: Option<String>,
    /// How far it is trusted.
    pub trust: Trust,
}

impl PluginInfo {
    /// The name of this build.
    pub fn generation(&self) -> Option<&str> {
        self.sha256.as_deref().map(|hash| &hash[..12])
    }
}

/// A file that was found and not loaded, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// It broke a rule.
    Refused(Refusal),
    /// A plugin of the same name was found earlier in the search path.
    Shadowed {
        /// The file passed over.
        path: PathBuf,
        /// The plugin that both claim to be.
        name: String,
        /// The file that won.
        by: PathBuf,
    },
}

/// One blueprint, blend or host, ready to be built.
#[derive(Debug, Clone)]
pub struct Entry {
    kind: Kind,
    record: EntryRecord,
    schema: serde_json::Value,
    plugin: Arc<PluginInfo>,
    factory: Plugin,
}

impl Entry {
    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// Its id within its plugin.
    pub fn id(&self) -> &str {
        &self.record.id
    }
    /// `plugin::id`.
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.plugin.name, self.record.id)
    }
    /// What its record says.
    pub fn record(&self) -> &EntryRecord {
        &self.record
    }
    /// The JSON Schema of its configuration.
    pub fn schema(&self) -> &serde_json::Value {
        &self.schema
    }
    /// Who brings it.
    pub fn plugin(&self) -> &PluginInfo {
        &self.plugin
    }
    /// Whether it declares a capability.
    pub fn declares(&self, capability: Capability) -> bool {
        self.record.capabilities.iter().any(|c| c == capability.as_str())
    }
    /// Whether it serves a topology.
    pub fn serves(&self, topology: Topology) -> bool {
        self.record.topologies.is_empty() || self.record.topologies.iter().any(|t| t == topology.as_str())
    }

    /// Builds a seed; an empty configuration is the default one.
    ///
    /// # Errors
    /// If this is no blueprint, does not serve the site, or fails.
    pub fn make_seed(&self, site: &Site, config: &str) -> Result<SeedInstance, RegistryError> {
        self.check(Kind::Blueprint, Some(site))?;
        self.factory.make_seed(self.id(), site, config).map_err(|e| self.failed(e))
    }
    /// Builds the blend of one seed.
    ///
    /// # Errors
    /// As [`make_seed`](Self::make_seed).
    pub fn make_blend(&self, site: &Site, config: &str) -> Result<BlendInstance, RegistryError> {
        self.check(Kind::Blend, Some(site))?;
        self.factory.make_blend(self.id(), site, config).map_err(|e| self.failed(e))
    }
    /// Builds a host network.
    ///
    /// # Errors
    /// As [`make_seed`](Self::make_seed).
    pub fn make_host(&self, device: Device, config: &str) -> Result<HostInstance, RegistryError> {
        self.check(Kind::Host, None)?;
        self.factory.make_host(self.id(), device, tch::Kind::Float, config).map_err(|e| self.failed(e))
    }
    /// Reads a configuration as a build would, and makes nothing of it: no tensor, no random number, any thread.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn check_config(&self, config: &str) -> Result<(), RegistryError> {
        self.factory.check_config(self.kind, self.id(), config).map_err(|e| self.failed(e))
    }
    /// What a seed would cost, if its blueprint knows.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn cost(&self, site: &Site, config: &str) -> Result<Option<Cost>, RegistryError> {
        self.check(Kind::Blueprint, Some(site))?;
        self.factory.cost(self.id(), site, config).map_err(|e| self.failed(e))
    }

    fn check(&self, kind: Kind, site: Option<&Site>) -> Result<(), RegistryError> {
        if self.kind != kind {
            return Err(self.failed(PluginError::config(format!("it is a {}, not a {kind}", self.kind))));
        }
        match site {
            Some(site) if !self.serves(site.topology()) => {
                let serves = self.record.topologies.join(", ");
                let text = format!("it serves {serves}, this slot is {}", site.topology());
                Err(self.failed(PluginError::unsupported(text)))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, error: PluginError) -> RegistryError {
        RegistryError::Build { kind: self.kind, id: self.full_name(), error }
    }
}

/// The catalogue of everything loaded.
#[derive(Debug)]
pub struct Registry {
    entries: Vec<Entry>,
    plugins: Vec<Arc<PluginInfo>>,
    skipped: Vec<Skipped>,
}

impl Registry {
    /// The built-ins alone.
    ///
    /// # Errors
    /// If a built-in's schema cannot be made.
    pub fn built_in() -> Result<Self, RegistryError> {
        let linked = Plugin::linked();
        let info = Arc::new(PluginInfo {
            name: builtin::PLUGIN.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            path: None,
            sha256: None,
            trust: Trust::BuiltIn,
        });
        let listed = linked.list().map_err(|error| RegistryError::Build {
            kind: Kind::Blueprint,
            id: builtin::PLUGIN.to_owned(),
            error,
        })?;
        let own = listed.into_iter().filter(|l| l.record.package == env!("CARGO_CRATE_NAME")).collect();
        let mut registry = Self { entries: Vec::new(), plugins: Vec::new(), skipped: Vec::new() };
        registry.insert(&info, linked, own);
        Ok(registry)
    }

    /// The built-ins and everything in the search path. A file that breaks a rule is skipped in a folder (see
    /// [`skipped`](Self::skipped)) and an error when named.
    ///
    /// # Errors
    /// If a named place cannot be read or a named file is refused.
    pub fn load(path: &SearchPath) -> Result<Self, RegistryError> {
        let mut registry = Self::built_in()?;
        for place in path.places() {
            if place.path.is_dir() {
                match libraries(&place.path) {
                    Ok(files) => registry.load_folder(&files),
                    Err(error) if place.must_exist() => {
                        return Err(RegistryError::Place {
                            path: place.path.clone(),
                            reason: error.to_string(),
                        });
                    }
                    Err(_) => {}
                }
            } else if place.must_exist() {
                if let Err(error) = std::fs::symlink_metadata(&place.path) {
                    return Err(RegistryError::Place { path: place.path.clone(), reason: error.to_string() });
                }
                registry.load_file(&place.path)?;
            }
        }
        Ok(registry)
    }

    fn load_folder(&mut self, files: &[PathBuf]) {
        for file in files {
            match find(file) {
                // A library of another kind is none of our business; a file that is no whole library is.
                Ok(Found::NoPlugin(refusal)) if refusal.rule == Rule::SharedLibrary => self.skip(refusal),
                Ok(Found::NoPlugin(_)) => {}
                Ok(Found::Plugin(manifest)) => {
                    if let Err(refusal) = self.admit(&manifest) {
                        self.skip(refusal);
                    }
                }
                Err(refusal) => self.skip(refusal),
            }
        }
    }

    fn skip(&mut self, refusal: Refusal) {
        tracing::info!("{refusal}; {}", refusal.remedy);
        self.skipped.push(Skipped::Refused(refusal));
    }

    /// Loads one file that was named.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn load_file(&mut self, path: &Path) -> Result<(), RegistryError> {
        Ok(self.admit(&Manifest::read(path)?)?)
    }

    fn admit(&mut self, manifest: &Manifest) -> Result<(), Refusal> {
        if let Some(earlier) = self.plugins.iter().find(|p| p.name == manifest.plugin.name) {
            if earlier.sha256.as_ref() != Some(&manifest.sha256) {
                let path = manifest.path.display();
                tracing::info!("{path} is passed over: a plugin `{}` is loaded already", earlier.name);
                self.skipped.push(Skipped::Shadowed {
                    path: manifest.path.clone(),
                    name: earlier.name.clone(),
                    by: earlier.path.clone().unwrap_or_default(),
                });
            }
            return Ok(());
        }
        check::compatible(manifest)?;
        let opened = dl::open(manifest)?;
        let info = Arc::new(PluginInfo {
            name: manifest.plugin.name.clone(),
            version: manifest.plugin.version.clone(),
            path: Some(manifest.path.canonicalize().unwrap_or_else(|_| manifest.path.clone())),
            sha256: Some(manifest.sha256.clone()),
            trust: Trust::Unsigned,
        });
        self.insert(&info, opened.plugin, opened.listed);
        Ok(())
    }

    fn insert(&mut self, info: &Arc<PluginInfo>, factory: Plugin, listed: Vec<Listed>) {
        self.plugins.push(Arc::clone(info));
        self.entries.extend(listed.into_iter().filter_map(|l| {
            let kind = Kind::parse(&l.record.kind)?;
            Some(Entry { kind, record: l.record, schema: l.schema, plugin: Arc::clone(info), factory })
        }));
        self.entries.sort_by(|a, b| {
            (a.kind, &a.record.id, &a.plugin.name).cmp(&(b.kind, &b.record.id, &b.plugin.name))
        });
    }

    /// The entry that a name means: `plugin::id`, or a bare id that one plugin brings; a built-in answers to its
    /// bare id where no plugin does.
    ///
    /// # Errors
    /// If nobody brings it, or several do.
    pub fn resolve(&self, kind: Kind, name: &str) -> Result<&Entry, RegistryError> {
        if let Some((plugin, id)) = name.split_once("::") {
            let full = self.of_kind(kind).find(|e| e.plugin.name == plugin && e.record.id == id);
            return full.ok_or_else(|| self.unknown(kind, name));
        }
        let (built_in, brought): (Vec<_>, Vec<_>) = self
            .of_kind(kind)
            .filter(|e| e.record.id == name)
            .partition(|e| e.plugin.trust == Trust::BuiltIn);
        match (brought.as_slice(), built_in.as_slice()) {
            ([one], _) | ([], [one]) => Ok(one),
            ([], _) => Err(self.unknown(kind, name)),
            (several, _) => Err(LookupError::Ambiguous {
                kind,
                id: name.to_owned(),
                candidates: several.iter().map(|e| e.full_name()).collect(),
            }
            .into()),
        }
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| e.kind == kind)
    }

    fn unknown(&self, kind: Kind, id: &str) -> RegistryError {
        let refused = self.skipped.iter().filter_map(|s| match s {
            Skipped::Refused(r) => Some(format!("{} ({})", r.path.display(), r.found)),
            Skipped::Shadowed { .. } => None,
        });
        let mut known: Vec<String> = self.of_kind(kind).map(|e| e.record.id.clone()).collect();
        known.dedup();
        LookupError::Unknown { kind, id: id.to_owned(), known, refused: refused.collect() }.into()
    }

    /// Every entry, sorted by kind, id and plugin.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
    /// Every loaded plugin, the built-ins first.
    pub fn plugins(&self) -> &[Arc<PluginInfo>] {
        &self.plugins
    }
    /// What was found and not loaded.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}
