//! The blends that a registry knows, by the id of their algorithm.

use kasmina_plugin_api::abi::BlendInstance;
use kasmina_plugin_api::{Kind, Site};
use kasmina_registry::{Entry, Registry, RegistryError};
use serde_json::Value;

/// A factory of blends, over a registry.
#[derive(Debug, Clone, Copy)]
pub struct BlendCatalog<'r>(&'r Registry);

impl<'r> BlendCatalog<'r> {
    /// Over the blends that this registry knows now, and those that it will know.
    pub fn new(registry: &'r Registry) -> Self {
        Self(registry)
    }

    /// Every algorithm, sorted by id and plugin.
    pub fn algorithms(&self) -> Vec<Entry> {
        self.0.entries().into_iter().filter(|entry| entry.kind() == Kind::Blend).collect()
    }

    /// A blend for a slot; `null` is its default configuration.
    ///
    /// # Errors
    /// If there is no such algorithm, or it does not take the slot or the configuration.
    pub fn create(
        &self,
        algorithm_id: &str,
        site: &Site,
        config: &Value,
    ) -> Result<BlendInstance, RegistryError> {
        let entry = self.0.resolve_for(Kind::Blend, algorithm_id, site.topology())?;
        let text = if config.is_null() { String::new() } else { config.to_string() };
        entry.make_blend(site, &text)
    }
}
