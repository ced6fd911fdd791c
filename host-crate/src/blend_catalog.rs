//! The blends of a registry, by the id of their algorithm.

use kasmina_plugin_api::abi::BlendInstance;
use kasmina_plugin_api::{Kind, Site};
use kasmina_registry::{Entry, Registry, RegistryError};
use serde_json::Value;

/// Lists the blends of a registry and builds blenders from them.
#[derive(Debug, Clone, Copy)]
pub struct BlendCatalog<'r>(&'r Registry);

impl<'r> BlendCatalog<'r> {
    /// Creates a catalogue over a registry; blends that the registry loads later are included.
    pub fn new(registry: &'r Registry) -> Self {
        Self(registry)
    }

    /// Returns every blend algorithm, sorted by id and plugin.
    pub fn algorithms(&self) -> Vec<Entry> {
        self.0.entries().into_iter().filter(|entry| entry.kind() == Kind::Blend).collect()
    }

    /// Builds a blender for the slot at `site`; a `null` configuration means the blend's defaults.
    ///
    /// # Errors
    /// If there is no such algorithm, or it refuses the slot or the configuration.
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
