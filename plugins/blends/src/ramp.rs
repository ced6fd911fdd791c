//! Shapes of a ramp.

use kasmina_plugin_api::prelude::*;
use std::f64::consts::PI;

/// Default steepness of an S-curve; 6 is gentle, 24 sharp.
pub(crate) const STEEPNESS: f64 = 12.0;

/// The shape of a ramp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Alpha rises linearly.
    #[default]
    Linear,
    /// Half a cosine: flat at both ends.
    Cosine,
    /// Alpha rises along a logistic curve.
    Sigmoid,
}

/// Ramp of a blend that is named after its operator.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ramp {
    /// Shape of the ramp.
    pub shape: Shape,
    /// Steepness of the middle of a `sigmoid`: 6 is gentle, 12 the default, 24 sharp.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub steepness: f64,
}

impl Default for Ramp {
    fn default() -> Self {
        Self { shape: Shape::default(), steepness: STEEPNESS }
    }
}

impl Ramp {
    /// Refuses a steepness outside of the schema's range.
    pub(crate) fn check(self) -> Result<Self> {
        if (0.1..=100.0).contains(&self.steepness) {
            return Ok(self);
        }
        Err(PluginError::config(format!("steepness {} is not in 0.1..=100", self.steepness)))
    }

    /// Returns the curve at `t` in `[0, 1]`. The host process rescales it so that its ends are exactly 0 and
    /// 1.
    pub(crate) fn at(self, t: f64) -> f64 {
        match self.shape {
            Shape::Linear => t,
            Shape::Cosine => 0.5 * (1.0 - (PI * t).cos()),
            Shape::Sigmoid => s_curve((t - 0.5) * 0.5 * self.steepness),
        }
    }
}

/// Returns `1 / (1 + e^-2x)`, computed by the hyperbolic tangent, which neither overflows nor cancels.
pub(crate) fn s_curve(x: f64) -> f64 {
    0.5 * (1.0 + x.tanh())
}
