//! The settings of `core::grafted`.

use kasmina_plugin_api::prelude::*;
use std::path::PathBuf;
use tch::{Device, Kind};

/// The settings of `grafted`. By default there is no module, and nothing can be built.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
#[serde(crate = "kasmina_plugin_api::serde")]
pub(crate) struct GraftedConfig {
    /// A file that torch.jit.save has written; a relative path starts from the working directory. Its forward
    /// takes one tensor and returns one.
    #[schemars(extend("format" = "path"))]
    pub(crate) module: Option<PathBuf>,
    /// Submodules behind which there is a slot, by dotted path (`layer1.0`). `*` stands for any part of one
    /// name, `**` for any number of names; with either, what cannot carry a slot is passed over, and so are
    /// what the module returns and maps of one position. By default every child of the module is meant.
    #[schemars(length(min = 1))]
    pub(crate) slots: Vec<String>,
    /// The shape of one input without the batch: `[C, H, W]` of an image, `[T]` of tokens.
    #[schemars(inner(range(min = 1)))]
    pub(crate) sample: Vec<i64>,
    /// The input is tokens (64-bit integers) and not float32.
    pub(crate) tokens: bool,
    /// What flows through the slots. If not given: `cnn` for `[N, C, H, W]`, `transformer` for `[N, T, C]`.
    pub(crate) topology: Option<String>,
}

impl Default for GraftedConfig {
    fn default() -> Self {
        let slots = vec!["*".to_owned()];
        Self { module: None, slots, sample: Vec::new(), tokens: false, topology: None }
    }
}

impl GraftedConfig {
    /// The size of the batch that a module is first looked at with: a number that is no other dimension's, so
    /// that where the batch went can be seen of the features.
    pub(super) fn batch(&self) -> i64 {
        if self.sample.contains(&2) { 3 } else { 2 }
    }

    /// A batch of zeros. Token 0 is in every vocabulary.
    pub(super) fn zeros(&self, batch: i64, device: Device) -> Result<Tensor> {
        let shape: Vec<i64> = std::iter::once(batch).chain(self.sample.iter().copied()).collect();
        let kind = if self.tokens { Kind::Int64 } else { Kind::Float };
        Ok(Tensor::f_zeros(shape, (kind, device))?)
    }
}
