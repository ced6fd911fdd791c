//! One blueprint, blend or host, ready to be built.

use crate::declared;
use crate::error::RegistryError;
use crate::grafted::gate;
use crate::policy::Policy;
use crate::verify::Trust;
use kasmina_plugin_api::abi::{BlendInstance, HostInstance, Plugin, SeedInstance};
use kasmina_plugin_api::record::EntryRecord;
use kasmina_plugin_api::{Capability, Cost, Kind, PluginError, Site, Topology};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use tch::Device;

/// A build of a plugin that is in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// Crate name; `core` for the built-ins.
    pub name: String,
    /// Version of the plugin's package.
    pub version: String,
    /// Where it was found; `None` for the built-ins.
    pub path: Option<PathBuf>,
    /// SHA-256 of the plugin's file in hexadecimal digits; absent for built-ins.
    pub sha256: Option<String>,
    /// How far it is trusted.
    pub trust: Trust,
    /// The trusted key that has signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

impl PluginInfo {
    /// The name of this build.
    pub fn generation(&self) -> Option<&str> {
        self.sha256.as_deref().map(|hash| &hash[..12])
    }
}

/// What an entry's instances come from.
#[derive(Debug)]
pub(crate) enum Factory {
    Library(Plugin),
    /// The host `grafted`, whose module is judged by a policy.
    Grafted(Plugin, Arc<Policy>),
    Interpreted(Interpreted),
}

/// A file that another plugin's entry makes instances of.
#[derive(Debug)]
pub(crate) struct Interpreted {
    pub(crate) interpreter: Entry,
    pub(crate) file: String,
    /// The text that says what it is.
    pub(crate) source: String,
    /// The checked bytes of a module, in memory that nobody can change.
    pub(crate) module: Option<File>,
}

impl Interpreted {
    /// The configuration that the interpreter takes, around the user's own.
    pub(crate) fn wrap(&self, settings: &str) -> Result<String, PluginError> {
        let settings: Map<String, Value> = match settings.trim() {
            "" => Map::new(),
            text => serde_json::from_str(text)
                .map_err(|e| PluginError::config(format!("configuration {text}: {e}")))?,
        };
        let mut config =
            serde_json::json!({ "file": self.file, "source": self.source, "settings": settings });
        if let Some(module) = &self.module {
            config["module"] = format!("/proc/self/fd/{}", module.as_raw_fd()).into();
        }
        Ok(config.to_string())
    }
}

/// One blueprint, blend or host, ready to be built. Cheap to clone; it stays with the build that it was taken
/// from.
#[derive(Debug, Clone)]
pub struct Entry(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    kind: Kind,
    record: EntryRecord,
    schema: Value,
    plugin: Arc<PluginInfo>,
    factory: Factory,
    unfit: Option<String>,
}

impl Entry {
    pub(crate) fn new(
        plugin: &Arc<PluginInfo>,
        record: EntryRecord,
        schema: Value,
        factory: Factory,
        unfit: Option<String>,
    ) -> Option<Self> {
        let kind = Kind::parse(&record.kind)?;
        Some(Self(Arc::new(Parts { kind, record, schema, plugin: Arc::clone(plugin), factory, unfit })))
    }

    /// Kind of the entry.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
    /// Its id within its plugin.
    pub fn id(&self) -> &str {
        &self.0.record.id
    }
    /// `plugin::id`.
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.0.plugin.name, self.0.record.id)
    }
    /// Whether it builds only what somebody has declared in a file.
    pub fn interprets(&self) -> bool {
        self.0.plugin.name == declared::INTERPRETER
    }
    /// Record of the entry.
    pub fn record(&self) -> &EntryRecord {
        &self.0.record
    }
    /// The JSON Schema of its configuration.
    pub fn schema(&self) -> &Value {
        &self.0.schema
    }
    /// Who brings it, in which build.
    pub fn plugin(&self) -> &Arc<PluginInfo> {
        &self.0.plugin
    }
    /// What went wrong when it was first tried, with its default configuration on small tensors, if something
    /// did. It may still fit where it is wanted: what builds it there asks again.
    pub fn unfit(&self) -> Option<&str> {
        self.0.unfit.as_deref()
    }
    /// Whether it declares a capability.
    pub fn declares(&self, capability: Capability) -> bool {
        self.record().capabilities.iter().any(|c| c == capability.as_str())
    }
    /// Whether it serves a topology.
    pub fn serves(&self, topology: Topology) -> bool {
        let serves = &self.record().topologies;
        serves.is_empty() || serves.iter().any(|t| t == topology.as_str())
    }

    /// Builds a seed; an empty configuration is the default one.
    ///
    /// # Errors
    /// If this is no blueprint, does not serve the site, or fails.
    pub fn make_seed(&self, site: &Site, config: &str) -> Result<SeedInstance, RegistryError> {
        self.check(Kind::Blueprint, Some(site))?;
        let made = match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => {
                plugin.make_seed(self.id(), site, config)
            }
            Factory::Interpreted(file) => file.wrap(config).and_then(|config| {
                // Its errors name this file; the interpreter's own name would only be in the way.
                file.interpreter.make_seed(site, &config).map_err(|e| inner(e, &config))
            }),
        };
        made.map_err(|e| self.failed(e))
    }
    /// Builds the blend of one seed.
    ///
    /// # Errors
    /// As [`make_seed`](Self::make_seed).
    pub fn make_blend(&self, site: &Site, config: &str) -> Result<BlendInstance, RegistryError> {
        self.check(Kind::Blend, Some(site))?;
        self.library()
            .and_then(|plugin| plugin.make_blend(self.id(), site, config))
            .map_err(|e| self.failed(e))
    }
    /// Builds a host network.
    ///
    /// # Errors
    /// As [`make_seed`](Self::make_seed).
    pub fn make_host(&self, device: Device, config: &str) -> Result<HostInstance, RegistryError> {
        self.check(Kind::Host, None)?;
        let _module = match &self.0.factory {
            Factory::Grafted(_, policy) => gate::admit(config, policy)?,
            _ => None,
        };
        self.library()
            .and_then(|plugin| plugin.make_host(self.id(), device, tch::Kind::Float, config))
            .map_err(|e| self.failed(e))
    }
    /// Reads a configuration as a build would, and makes nothing of it: no tensor, no random number, any
    /// thread.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn check_config(&self, config: &str) -> Result<(), RegistryError> {
        let checked = match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => {
                plugin.check_config(self.kind(), self.id(), config)
            }
            Factory::Interpreted(file) => file
                .wrap(config)
                .and_then(|config| file.interpreter.check_config(&config).map_err(|e| inner(e, &config))),
        };
        checked.map_err(|e| self.failed(e))
    }
    /// What a seed would cost, if its blueprint knows.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn cost(&self, site: &Site, config: &str) -> Result<Option<Cost>, RegistryError> {
        self.check(Kind::Blueprint, Some(site))?;
        let cost = match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => plugin.cost(self.id(), site, config),
            Factory::Interpreted(file) => file
                .wrap(config)
                .and_then(|config| file.interpreter.cost(site, &config).map_err(|e| inner(e, &config))),
        };
        cost.map_err(|e| self.failed(e))
    }

    /// Returns the source of the same module in plain PyTorch; `None` if the plugin has none. A host has no
    /// site.
    ///
    /// # Errors
    /// If the configuration is not valid, or the plugin panics.
    pub fn pytorch(&self, site: Option<&Site>, config: &str) -> Result<Option<String>, RegistryError> {
        let source = match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => {
                plugin.pytorch(self.kind(), self.id(), site, config)
            }
            Factory::Interpreted(file) => file
                .wrap(config)
                .and_then(|config| file.interpreter.pytorch(site, &config).map_err(|e| inner(e, &config))),
        };
        source.map_err(|e| self.failed(e))
    }

    fn library(&self) -> Result<&Plugin, PluginError> {
        match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => Ok(plugin),
            Factory::Interpreted(_) => Err(PluginError::unsupported(format!(
                "`{}` interprets blueprints alone",
                declared::INTERPRETER
            ))),
        }
    }

    fn check(&self, kind: Kind, site: Option<&Site>) -> Result<(), RegistryError> {
        if self.kind() != kind {
            return Err(self.failed(PluginError::config(format!("it is a {}, not a {kind}", self.kind()))));
        }
        match site {
            Some(site) if !self.serves(site.topology()) => {
                let serves = self.record().topologies.join(", ");
                let text = format!("it serves {serves}, this slot is {}", site.topology());
                Err(self.failed(PluginError::unsupported(text)))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, error: PluginError) -> RegistryError {
        RegistryError::Build { kind: self.kind(), id: self.full_name(), error }
    }
}

/// What an interpreter said, without the configuration that it was told, which nobody has written.
fn inner(error: RegistryError, config: &str) -> PluginError {
    match error {
        RegistryError::Build { mut error, .. } => {
            if let Some(said) = error.message.strip_prefix(&format!("configuration {config}: ")) {
                error.message = said.to_owned();
            }
            error
        }
        other => PluginError::other(other.to_string()),
    }
}
