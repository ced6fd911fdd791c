//! An S-curve: slow at both ends, where a sudden change would hurt most.

use kasmina_plugin_api::prelude::*;

/// The settings of `sigmoid`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SigmoidConfig {
    /// How steep the middle is: 6 is gentle, 12 the default, 24 sharp.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub steepness: f64,
}

impl Default for SigmoidConfig {
    fn default() -> Self {
        Self { steepness: 12.0 }
    }
}

/// Alpha follows a logistic curve; the core puts its ends exactly on 0 and 1.
#[derive(Debug)]
pub struct Sigmoid {
    steepness: f64,
}

impl Blend for Sigmoid {
    const INFO: EntryInfo =
        EntryInfo::new("sigmoid", "S-shaped ramp, lerp").capabilities(&[Capability::SeedAtOne]);
    type Config = SigmoidConfig;

    fn build(_: &nn::Path<'_>, _: &Site, config: SigmoidConfig) -> Result<Box<dyn Blender>> {
        if !(0.1..=100.0).contains(&config.steepness) {
            return Err(PluginError::config(format!("steepness {} is not in 0.1..=100", config.steepness)));
        }
        Ok(Box::new(Self { steepness: config.steepness }))
    }
}

impl Blender for Sigmoid {
    fn curve(&self, t: f64) -> f64 {
        // The hyperbolic tangent neither overflows nor cancels: this is 1 / (1 + e^-x).
        0.5 * (1.0 + (0.5 * self.steepness * (t - 0.5)).tanh())
    }
}

kasmina_plugin_api::register_blend!(Sigmoid);
