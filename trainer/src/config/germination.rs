//! The germination commands that a configuration defines.

use super::preinstalled::PreinstalledSeed;
use super::run::RunConfig;
use kasmina::model::Germinate;

impl RunConfig {
    /// Returns the germinations of the preinstalled seeds that are due at the end of `epoch`.
    pub(crate) fn preinstalled_at(&self, epoch: u32) -> Vec<Germinate> {
        self.preinstalled
            .iter()
            .filter(|seed| seed.epoch == epoch)
            .map(|seed| self.preinstall(seed))
            .collect()
    }

    /// Returns the germinations of all preinstalled seeds.
    pub(crate) fn all_preinstalled(&self) -> Vec<Germinate> {
        self.preinstalled.iter().map(|seed| self.preinstall(seed)).collect()
    }

    fn preinstall(&self, seed: &PreinstalledSeed) -> Germinate {
        let own = seed.blueprint.as_ref().is_none_or(|id| *id == self.blueprint);
        let blueprint = seed.blueprint.as_ref().unwrap_or(&self.blueprint);
        // Initial weights are derived from the seed id, so the suffix of version 0.1 must not change.
        let seed_id = format!("{}-{}-planted", seed.slot, bare_id(blueprint));
        let germinate = self.germination(&seed.slot, seed_id);
        let config = if own { germinate.blueprint_config } else { serde_json::Value::Null };
        Germinate {
            blueprint: blueprint.clone(),
            blueprint_config: config,
            prefetch: false,
            preinstalled: true,
            ..germinate
        }
    }

    /// Returns the germination of the configured blueprint and blend in a slot.
    pub fn germination(&self, slot: &str, seed_id: impl Into<String>) -> Germinate {
        let json = |config: &serde_json::Map<String, serde_json::Value>| {
            if config.is_empty() { serde_json::Value::Null } else { config.clone().into() }
        };
        Germinate {
            blueprint_config: json(&self.blueprint_config),
            blend_config: json(&self.blend_config),
            prefetch: self.growth.prefetch,
            ..Germinate::new(slot, seed_id, &self.blueprint, &self.blend)
        }
    }
}

/// Returns the id of an entry without its plugin. Seed ids contain it, and initial weights are derived from
/// seed ids: `cnn::norm` and `norm` must give the same weights.
pub(crate) fn bare_id(id: &str) -> &str {
    id.rsplit("::").next().unwrap_or_default()
}
