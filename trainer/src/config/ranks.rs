//! How several ranks train one network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How several ranks train one network together. Has no effect on a single rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RanksConfig {
    /// Whether batch normalisation uses the samples of all ranks or those of each rank.
    pub batch_norm: BatchNormRanks,
    /// Whether gradients are added in the order of the ranks, so that a run can be repeated bit for bit on
    /// another network. Slower.
    pub deterministic: bool,
    /// Precision in which gradients are sent.
    pub compression: Compression,
    /// Largest size of the first group of gradients that is sent, in MiB.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub first_bucket_mib: f64,
    /// Largest size of the other groups in MiB.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub bucket_mib: f64,
    /// Longest time in seconds that a rank may be silent or late. Then every rank ends with an error.
    #[schemars(range(min = 1.0, max = 1e6))]
    pub limit_seconds: f64,
}

impl Default for RanksConfig {
    fn default() -> Self {
        Self {
            batch_norm: BatchNormRanks::Sync,
            deterministic: false,
            compression: Compression::None,
            first_bucket_mib: 1.0,
            bucket_mib: 25.0,
            limit_seconds: 60.0,
        }
    }
}

impl RanksConfig {
    /// Whether all settings have their default values.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Samples whose statistics batch normalisation uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchNormRanks {
    /// Those of all ranks, as one rank would with the whole batch.
    #[default]
    Sync,
    /// Those of each rank alone. The running statistics are those of rank 0.
    Local,
}

/// Precision in which gradients are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// That of the parameters.
    #[default]
    None,
    /// `bfloat16`: half the bytes of float32.
    Bf16,
}
