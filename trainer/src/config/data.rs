//! Where a task's data come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a task's data come from, and how samples are made of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Folder of the published data files, for `cifar10`, `cifar100`, `mnist` and `fashion_mnist`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// `chars`: path of the text file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<PathBuf>,
    /// Maximum number of training samples; all by default. `addition` generates exactly this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8))]
    pub train_samples: Option<u32>,
    /// Maximum number of validation samples; all by default. `addition` generates exactly this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8))]
    pub validation_samples: Option<u32>,
    /// Largest random shift of training images in each direction, in pixels.
    #[schemars(range(max = 64))]
    pub crop: u32,
    /// Whether training images are mirrored at random.
    pub flip: bool,
    /// `chars`: number of characters of a sequence.
    #[schemars(range(min = 2, max = 65536))]
    pub sequence_length: u32,
    /// `addition`: number of digits of an operand.
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

/// Returns `all`, limited to `limit` if there is one.
pub(crate) fn at_most(limit: Option<u32>, all: i64) -> i64 {
    limit.map_or(all, |limit| all.min(limit.into()))
}
