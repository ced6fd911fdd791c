//! The germinations that a configuration asks for.

use super::preinstalled::PreinstalledSeed;
use super::run::RunConfig;
use kasmina::model::Germinate;

impl RunConfig {
    /// Returns the germinations of the preinstalled seeds of the end of `epoch`.
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
        // Initial weights follow from this id: it keeps the suffix that it has always had.
        let seed_id = format!("{}-{}-planted", seed.slot, short(blueprint));
        let asked = self.germination(&seed.slot, seed_id);
        let config = if own { asked.blueprint_config } else { serde_json::Value::Null };
        Germinate {
            blueprint: blueprint.clone(),
            blueprint_config: config,
            prefetch: false,
            preinstalled: true,
            ..asked
        }
    }

    /// The germination that this configuration asks for.
    pub fn germination(&self, slot: &str, seed_id: impl Into<String>) -> Germinate {
        let given = |config: &serde_json::Map<String, serde_json::Value>| {
            if config.is_empty() { serde_json::Value::Null } else { config.clone().into() }
        };
        Germinate {
            blueprint_config: given(&self.blueprint_config),
            blend_config: given(&self.blend_config),
            prefetch: self.growth.prefetch,
            ..Germinate::new(slot, seed_id, &self.blueprint, &self.blend)
        }
    }
}

/// An entry's own id, however it was asked for: initial weights follow from the name of a seed.
pub(crate) fn short(id: &str) -> &str {
    id.rsplit("::").next().unwrap_or_default()
}
