//! The germinations that a configuration asks for.

use super::plant::PlantConfig;
use super::run::RunConfig;
use kasmina::model::Germinate;

impl RunConfig {
    /// The germinations of what is put in whole at the end of an epoch.
    pub(crate) fn plants(&self, epoch: u32) -> Vec<Germinate> {
        self.planted.iter().filter(|plant| plant.epoch == epoch).map(|plant| self.plant(plant)).collect()
    }

    pub(crate) fn all_plants(&self) -> Vec<Germinate> {
        self.planted.iter().map(|plant| self.plant(plant)).collect()
    }

    fn plant(&self, plant: &PlantConfig) -> Germinate {
        let own = plant.blueprint.as_ref().is_none_or(|id| *id == self.blueprint);
        let blueprint = plant.blueprint.as_ref().unwrap_or(&self.blueprint);
        let seed_id = format!("{}-{}-planted", plant.slot, short(blueprint));
        let asked = self.germination(&plant.slot, seed_id);
        let config = if own { asked.blueprint_config } else { serde_json::Value::Null };
        Germinate {
            blueprint: blueprint.clone(),
            blueprint_config: config,
            prefetch: false,
            whole: true,
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
