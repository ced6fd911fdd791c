//! Seeds that are put in whole, past every gate.

use super::{RunConfig, short};
use kasmina::model::Germinate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A seed that is put in whole, past every gate: for controls that growth is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlantConfig {
    /// The slot, by name or alias.
    pub slot: String,
    /// At the end of this epoch; 0 is before the first.
    #[serde(default)]
    pub epoch: u32,
    /// The blueprint's id; the run's own where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<String>,
}

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
}
