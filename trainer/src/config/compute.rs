//! How a run is computed.

use kasmina::model::Precision;
use kasmina_torch_ext::cuda;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a run is computed; none of it changes what is computed, but for rounding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ComputeConfig {
    /// What convolutions and matrix products compute in. Parameters, norms, gates and alphas are float32
    /// either way.
    pub precision: Precision,
    /// How convolutions are chosen on a GPU.
    pub convolutions: Convolutions,
    /// On a GPU, record training steps as CUDA graphs and replay them.
    pub capture: bool,
}

impl Default for ComputeConfig {
    fn default() -> Self {
        Self { precision: Precision::default(), convolutions: Convolutions::default(), capture: true }
    }
}

/// How cuDNN chooses the algorithm of a convolution, for the whole process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Convolutions {
    /// By its own rules, at once.
    #[default]
    Heuristic,
    /// By trying them out when a shape is first met.
    Fastest,
    /// Among those that add up in the same order each time.
    Deterministic,
}

impl From<Convolutions> for cuda::Convolutions {
    fn from(convolutions: Convolutions) -> Self {
        match convolutions {
            Convolutions::Heuristic => Self::Heuristic,
            Convolutions::Fastest => Self::Fastest,
            Convolutions::Deterministic => Self::Deterministic,
        }
    }
}
