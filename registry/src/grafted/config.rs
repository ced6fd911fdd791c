//! The settings of `core::grafted`.

use kasmina_plugin_api::prelude::*;
use std::path::PathBuf;
use tch::{Device, Kind};

/// The settings of `grafted`. The default has no module, so it cannot be built.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
#[serde(crate = "kasmina_plugin_api::serde")]
pub(crate) struct GraftedConfig {
    /// A file that torch.jit.save has written; a relative path starts from the working directory. Its forward
    /// takes one tensor and returns one tensor.
    #[schemars(extend("format" = "path"))]
    pub(crate) module: Option<PathBuf>,
    /// Submodules that get a slot behind them, by dotted path (`layer1.0`). `*` stands for any part of one
    /// name, `**` for any number of names. A pattern skips submodules that cannot have a slot, the output of
    /// the module, and feature maps of one position. By default every child of the module is selected.
    #[schemars(length(min = 1))]
    pub(crate) slots: Vec<String>,
    /// The shape of one input without the batch: `[C, H, W]` of an image, `[T]` of tokens.
    #[schemars(inner(range(min = 1)))]
    pub(crate) sample: Vec<i64>,
    /// Whether the input is tokens (64-bit integers) instead of float32.
    pub(crate) tokens: bool,
    /// Topology of the slots. If absent: `cnn` for features `[N, C, H, W]`, `transformer` for `[N, T, C]`.
    pub(crate) topology: Option<String>,
}

impl Default for GraftedConfig {
    fn default() -> Self {
        let slots = vec!["*".to_owned()];
        Self { module: None, slots, sample: Vec::new(), tokens: false, topology: None }
    }
}

impl GraftedConfig {
    /// Returns the batch size of the forward that finds the slots. It differs from every dimension of
    /// `sample`, so that a wrong batch dimension can be recognized in the features.
    pub(super) fn batch(&self) -> i64 {
        if self.sample.contains(&2) { 3 } else { 2 }
    }

    /// Returns a batch of zeros. They are valid tokens too, because every vocabulary contains token 0.
    ///
    /// # Shapes
    /// Returns `[batch, ...sample]`: float32, or int64 if the input is tokens.
    pub(super) fn zeros(&self, batch: i64, device: Device) -> Result<Tensor> {
        let shape: Vec<i64> = std::iter::once(batch).chain(self.sample.iter().copied()).collect();
        let kind = if self.tokens { Kind::Int64 } else { Kind::Float };
        Ok(Tensor::f_zeros(shape, (kind, device))?)
    }
}
