//! Entries of plugins: blueprints, blends and hosts.

use crate::declared;
use crate::error::RegistryError;
use crate::grafted::verify_module;
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

/// A build of a plugin that is loaded in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// Crate name; `core` for the built-ins.
    pub name: String,
    /// Version of the plugin's package.
    pub version: String,
    /// Path of the plugin's file; `None` for the built-ins.
    pub path: Option<PathBuf>,
    /// SHA-256 of the plugin's file in hexadecimal digits; absent for built-ins.
    pub sha256: Option<String>,
    /// Why the build is trusted.
    pub trust: Trust,
    /// Name of the trusted key that has signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

impl PluginInfo {
    /// The generation: the first twelve digits of the file's SHA-256; `None` for the built-ins.
    pub fn generation(&self) -> Option<&str> {
        self.sha256.as_deref().map(|hash| &hash[..12])
    }
}

/// What builds an entry's instances.
#[derive(Debug)]
pub(crate) enum Factory {
    Library(Plugin),
    /// The built-in host `grafted`, and the policy that decides whether its module is trusted.
    Grafted(Plugin, Arc<Policy>),
    Interpreted(Interpreted),
}

/// A declared blueprint or TorchScript seed, which an entry of another plugin interprets.
#[derive(Debug)]
pub(crate) struct Interpreted {
    pub(crate) interpreter: Entry,
    pub(crate) file: String,
    /// The text of the declared blueprint, or of the module's sidecar.
    pub(crate) source: String,
    /// A sealed in-memory copy of the module's checked bytes; `None` for a declared blueprint.
    pub(crate) module: Option<File>,
}

impl Interpreted {
    /// Returns the interpreter's configuration, which contains the user's configuration under `settings`.
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

/// A blueprint, blend or host of a loaded plugin, which builds instances. Cheap to clone. It keeps using the
/// build that it was taken from, also after another build was swapped in.
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
    /// Id of the entry, unique within its plugin and kind.
    pub fn id(&self) -> &str {
        &self.0.record.id
    }
    /// Returns the full name, `plugin::id`.
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.0.plugin.name, self.0.record.id)
    }
    /// Whether the entry belongs to the interpreter of declared blueprints and TorchScript seeds.
    pub fn interprets(&self) -> bool {
        self.0.plugin.name == declared::INTERPRETER
    }
    /// Record of the entry.
    pub fn record(&self) -> &EntryRecord {
        &self.0.record
    }
    /// JSON Schema of the entry's configuration.
    pub fn schema(&self) -> &Value {
        &self.0.schema
    }
    /// The build of the plugin that the entry belongs to.
    pub fn plugin(&self) -> &Arc<PluginInfo> {
        &self.0.plugin
    }
    /// Why the entry failed when it was first tried, with its default configuration on small tensors; `None`
    /// if it did not fail. It may still work with another configuration or at another site, so the caller
    /// that builds it there must try again.
    pub fn unfit(&self) -> Option<&str> {
        self.0.unfit.as_deref()
    }
    /// Whether the entry declares a capability.
    pub fn declares(&self, capability: Capability) -> bool {
        self.record().capabilities.iter().any(|c| c == capability.as_str())
    }
    /// Whether the entry serves a topology.
    pub fn serves(&self, topology: Topology) -> bool {
        let serves = &self.record().topologies;
        serves.is_empty() || serves.iter().any(|t| t == topology.as_str())
    }

    /// Builds a seed. An empty configuration means the default one.
    ///
    /// # Errors
    /// If the entry is not a blueprint or does not serve the site's topology, or if the plugin fails.
    pub fn make_seed(&self, site: &Site, config: &str) -> Result<SeedInstance, RegistryError> {
        self.check(Kind::Blueprint, Some(site))?;
        let made = match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => {
                plugin.make_seed(self.id(), site, config)
            }
            Factory::Interpreted(file) => file.wrap(config).and_then(|config| {
                // Errors name this file, not the interpreter.
                file.interpreter.make_seed(site, &config).map_err(|e| unwrap_error(e, &config))
            }),
        };
        made.map_err(|e| self.failed(e))
    }
    /// Builds the blender of one seed.
    ///
    /// # Errors
    /// If the entry is not a blend or does not serve the site's topology, or if the plugin fails.
    pub fn make_blend(&self, site: &Site, config: &str) -> Result<BlendInstance, RegistryError> {
        self.check(Kind::Blend, Some(site))?;
        self.library()
            .and_then(|plugin| plugin.make_blend(self.id(), site, config))
            .map_err(|e| self.failed(e))
    }
    /// Builds a host network.
    ///
    /// # Errors
    /// If the entry is not a host, its module is refused, or the plugin fails.
    pub fn make_host(&self, device: Device, config: &str) -> Result<HostInstance, RegistryError> {
        self.check(Kind::Host, None)?;
        let _module_guard = match &self.0.factory {
            Factory::Grafted(_, policy) => verify_module::verify_module(config, policy)?,
            _ => None,
        };
        self.library()
            .and_then(|plugin| plugin.make_host(self.id(), device, tch::Kind::Float, config))
            .map_err(|e| self.failed(e))
    }
    /// Returns the bytes of the TorchScript module that a configuration of the built-in host `grafted` names,
    /// once they are verified; `None` for any other entry.
    ///
    /// # Errors
    /// If the module is refused.
    pub fn grafted_module(&self, config: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let Factory::Grafted(_, policy) = &self.0.factory else { return Ok(None) };
        let guard = verify_module::verify_module(config, policy)?;
        Ok(guard.map(|guard| guard.bytes()))
    }
    /// Checks a configuration without building anything. It creates no tensors, draws no random numbers, and
    /// may be called on any thread.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn check_config(&self, config: &str) -> Result<(), RegistryError> {
        let checked = match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => {
                plugin.check_config(self.kind(), self.id(), config)
            }
            Factory::Interpreted(file) => file.wrap(config).and_then(|config| {
                file.interpreter.check_config(&config).map_err(|e| unwrap_error(e, &config))
            }),
        };
        checked.map_err(|e| self.failed(e))
    }
    /// Returns the cost of a seed at a site; `None` if its blueprint does not report one.
    ///
    /// # Errors
    /// If the entry is not a blueprint or does not serve the site's topology, or if the configuration is not
    /// valid.
    pub fn cost(&self, site: &Site, config: &str) -> Result<Option<Cost>, RegistryError> {
        self.check(Kind::Blueprint, Some(site))?;
        let cost = match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => plugin.cost(self.id(), site, config),
            Factory::Interpreted(file) => file.wrap(config).and_then(|config| {
                file.interpreter.cost(site, &config).map_err(|e| unwrap_error(e, &config))
            }),
        };
        cost.map_err(|e| self.failed(e))
    }

    /// Returns the source code of the same module in plain PyTorch; `None` if the plugin provides none.
    /// `site` is `None` for a host.
    ///
    /// # Errors
    /// If the configuration is not valid, or the plugin panics.
    pub fn pytorch(&self, site: Option<&Site>, config: &str) -> Result<Option<String>, RegistryError> {
        let source = match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => {
                plugin.pytorch(self.kind(), self.id(), site, config)
            }
            Factory::Interpreted(file) => file.wrap(config).and_then(|config| {
                file.interpreter.pytorch(site, &config).map_err(|e| unwrap_error(e, &config))
            }),
        };
        source.map_err(|e| self.failed(e))
    }

    fn library(&self) -> Result<&Plugin, PluginError> {
        match &self.0.factory {
            Factory::Library(plugin) | Factory::Grafted(plugin, _) => Ok(plugin),
            Factory::Interpreted(_) => Err(PluginError::unsupported(format!(
                "`{}` interprets only blueprints",
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

/// Returns the interpreter's error without the wrapped configuration, which the user has not written.
fn unwrap_error(error: RegistryError, config: &str) -> PluginError {
    match error {
        RegistryError::Build { mut error, .. } => {
            if let Some(message) = error.message.strip_prefix(&format!("configuration {config}: ")) {
                error.message = message.to_owned();
            }
            error
        }
        other => PluginError::other(other.to_string()),
    }
}
