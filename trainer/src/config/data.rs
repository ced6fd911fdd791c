//! Where a task's data come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a task's data come from, and how they are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The folder of the standard files: `cifar10`, `cifar100`, `mnist`, `fashion_mnist`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// The file of text that `chars` learns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<PathBuf>,
    /// At most so many samples are learned from; `addition` makes so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8))]
    pub train_samples: Option<u32>,
    /// At most so many samples are measured by; `addition` makes so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8))]
    pub validation_samples: Option<u32>,
    /// Pixels by which images are moved at random each way.
    #[schemars(range(max = 64))]
    pub crop: u32,
    /// Whether images are mirrored at random.
    pub flip: bool,
    /// `chars`: characters of a sequence.
    #[schemars(range(min = 2, max = 65536))]
    pub sequence_length: u32,
    /// `addition`: digits of an operand.
    #[schemars(range(min = 1, max = 9))]
    pub operand_digits: u32,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dir: None,
            text: None,
            train_samples: None,
            validation_samples: None,
            crop: 0,
            flip: false,
            sequence_length: 64,
            operand_digits: 3,
        }
    }
}

/// How many of so many samples are taken.
pub(crate) fn at_most(most: Option<u32>, all: i64) -> i64 {
    most.map_or(all, |most| all.min(most.into()))
}
