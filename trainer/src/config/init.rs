//! Weights that the host begins with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Weights that the host begins with, in place of random ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InitConfig {
    /// A safetensors file, or the directory of a run, a checkpoint or an export. Random weights by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// How the weights are named there.
    pub names: WeightNames,
    /// Whether weights that are missing or have another shape stay random.
    pub allow_partial: bool,
}

impl InitConfig {
    /// Whether the host begins with random weights.
    pub(crate) fn is_random(&self) -> bool {
        self.from.is_none()
    }
}

/// How the weights of a host are named in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightNames {
    /// As the host names them, or as Kasmina's own files do.
    #[default]
    Host,
    /// As GPT-2 in transformers does, for the host `transformer`.
    Gpt2,
    /// As the residual networks of torchvision do, for the host `resnet`.
    Torchvision,
}
