//! Settings of a task for every slot: topology, alpha ramp and lifecycle.

use super::bounds::{SettingsError, check_bounds};
use super::curve::Curve;
use super::settings::Settings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Unit of the ticks of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TempoUnit {
    /// Alpha moves at the end of every epoch.
    #[default]
    Epoch,
    /// Alpha moves after every training step.
    Step,
}

/// Alpha ramp of germinations that do not set their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlphaSettings {
    /// Length of a ramp in ticks.
    #[schemars(range(min = 1))]
    pub tempo: u32,
    /// Whether ramps count epochs or steps.
    pub unit: TempoUnit,
    /// Alpha at the end of the ramp, above 0 and at most 1.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub target: f64,
    /// Curve of the ramp. Default: the blend's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<Curve>,
    /// Steepness of the curves sigmoid and tanh; below 0.1 it counts as 0.1. A blend's own curve takes its
    /// steepness from the blend's configuration.
    pub steepness: f64,
}

impl Default for AlphaSettings {
    fn default() -> Self {
        Self { tempo: 5, unit: TempoUnit::Epoch, target: 1.0, curve: None, steepness: 12.0 }
    }
}

/// Settings of a task for all slots of a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaskConfig {
    /// Topology that the slots must have: `cnn`, `transformer`, or a host's own. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// Settings of alpha ramps.
    pub alpha: AlphaSettings,
    /// Settings of every slot's lifecycle.
    pub lifecycle: Settings,
}

impl TaskConfig {
    /// Checks all bounds, and that every setting has an effect.
    ///
    /// # Errors
    /// Returns the path of the first invalid setting and the reason.
    pub fn validate(&self) -> Result<(), SettingsError> {
        check_bounds(self)?;
        let curve = self.alpha.curve.as_ref();
        curve
            .map_or(Ok(()), Curve::check)
            .map_err(|refusal| SettingsError::new("alpha.curve", refusal.message))?;
        let has_steepness = matches!(curve, Some(Curve::Sigmoid | Curve::Tanh));
        if !has_steepness && self.alpha.steepness != AlphaSettings::default().steepness {
            let reason = "only the curves sigmoid and tanh have a steepness; set `alpha.curve` to one of them, or configure the blend";
            return Err(SettingsError::new("alpha.steepness", reason));
        }
        if self.topology.as_ref().is_some_and(String::is_empty) {
            return Err(SettingsError::new("topology", "it is empty; set it to a topology or remove it"));
        }
        Ok(())
    }
}
