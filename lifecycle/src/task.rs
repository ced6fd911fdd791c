//! What a task settles for every slot: the topology, the ramp, and the rules.

use super::bounds::{SettingsError, check_bounds};
use super::curve::Curve;
use super::settings::Settings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a ramp's clock counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TempoUnit {
    /// Alpha moves at the end of every epoch.
    #[default]
    Epoch,
    /// Alpha moves after every training step.
    Step,
}

/// How alpha moves where a germination does not say otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlphaSettings {
    /// Length of a ramp in ticks.
    #[schemars(range(min = 1))]
    pub tempo: u32,
    /// Whether ramps count epochs or steps.
    pub unit: TempoUnit,
    /// Where alpha goes, in `(0, 1]`.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub target: f64,
    /// The curve; otherwise the blend's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<Curve>,
    /// Of the curves sigmoid and tanh; below 0.1 it counts as 0.1. A blend's own curve is as steep as the
    /// blend's configuration makes it.
    pub steepness: f64,
}

impl Default for AlphaSettings {
    fn default() -> Self {
        Self { tempo: 5, unit: TempoUnit::Epoch, target: 1.0, curve: None, steepness: 12.0 }
    }
}

/// All that a task settles for the slots of a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaskConfig {
    /// What must flow through the slots, `cnn` or `transformer` or a host's own word; taken as it is where
    /// nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// Settings of alpha's ramps.
    pub alpha: AlphaSettings,
    /// The rules of every slot.
    pub lifecycle: Settings,
}

impl TaskConfig {
    /// Checks all bounds, and that no setting is without effect.
    ///
    /// # Errors
    /// The first field that is out of its bounds, by its path.
    pub fn validate(&self) -> Result<(), SettingsError> {
        check_bounds(self)?;
        let curve = self.alpha.curve.as_ref();
        curve
            .map_or(Ok(()), Curve::check)
            .map_err(|refusal| SettingsError::new("alpha.curve", refusal.message))?;
        let has_steepness = matches!(curve, Some(Curve::Sigmoid | Curve::Tanh));
        if !has_steepness && self.alpha.steepness != AlphaSettings::default().steepness {
            let reason = "only the curves sigmoid and tanh have one: name one of them as `alpha.curve`, or configure the blend";
            return Err(SettingsError::new("alpha.steepness", reason));
        }
        if self.topology.as_ref().is_some_and(String::is_empty) {
            return Err(SettingsError::new("topology", "it is empty; name one or leave it out"));
        }
        Ok(())
    }
}
