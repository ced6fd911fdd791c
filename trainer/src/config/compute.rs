//! How a run is computed.

use kasmina::model::Precision;
use kasmina_torch_ext::cuda;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a run is computed. These settings change the results only by rounding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ComputeConfig {
    /// Precision of convolutions and matrix products. Parameters, norms, gates and alphas are always float32.
    pub precision: Precision,
    /// How cuDNN chooses the algorithms of convolutions on a GPU.
    pub convolutions: Convolutions,
    /// Whether training steps on a GPU are captured as CUDA graphs and replayed.
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
    /// By cuDNN's heuristics.
    #[default]
    Heuristic,
    /// By timing all of them when a shape first occurs.
    Fastest,
    /// By cuDNN's heuristics, among the deterministic algorithms only.
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
