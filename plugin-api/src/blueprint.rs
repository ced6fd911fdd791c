//! Seed architectures.

use crate::{Cost, Cx, EntryInfo, Result, Site};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tch::{Tensor, nn};

/// A seed architecture, the factory of seeds. It contains no tensors, so every thread may use it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blueprint",
    label = "implement `kasmina_plugin_api::Blueprint` for it",
    note = "a blueprint has a `const INFO` and a `type Config`, and builds a `Box<dyn Seed>`",
    note = "register the factory, not the seed that it builds; blends are registered by `register_blend!`, hosts by `register_host!`"
)]
pub trait Blueprint: 'static {
    /// Description of the blueprint, which is read without running its code.
    const INFO: EntryInfo;
    /// Configuration of the blueprint, read from JSON. An empty configuration is the default. Use
    /// `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema + Default;

    /// Builds one seed. All its variables must be created under `vars`, here and not later.
    ///
    /// A new seed should be the identity in a way that lets gradients pass: multiply a branch whose output is
    /// not zero by a gain of zero. A branch whose output is zero behind a ReLU would not train.
    ///
    /// # Errors
    /// If the site is not supported or the configuration is not valid.
    fn build(vars: &nn::Path<'_>, site: &Site, config: Self::Config) -> Result<Box<dyn Seed>>;

    /// Returns the cost of a seed at a site, if it is known without building the seed.
    fn cost(_site: &Site, _config: &Self::Config) -> Option<Cost> {
        None
    }

    /// Returns the source of the same module in plain PyTorch, for networks that are exported. Since 1.1.
    ///
    /// The guide's page on PyTorch has the rules: the last class is the module, and its parameters have the
    /// names of the variables.
    fn pytorch(_site: &Site, _config: &Self::Config) -> Option<String> {
        None
    }
}

/// A seed module. It contains tensors: it may move between threads, but only one thread uses it at a time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a seed",
    label = "implement `kasmina_plugin_api::Seed` for it",
    note = "a seed is what a blueprint builds; it has `fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor>`"
)]
pub trait Seed: Send {
    /// Returns the seed's features for the host's features `x`. It must not change `x` in place, which may be
    /// the host's own memory.
    ///
    /// # Shapes
    /// The output has the shape, dtype and device of `x`: `[N, C, H, W]` for [`Topology::CNN`], `[N, T, C]`
    /// for [`Topology::TRANSFORMER`].
    ///
    /// [`Topology::CNN`]: crate::Topology::CNN
    /// [`Topology::TRANSFORMER`]: crate::Topology::TRANSFORMER
    ///
    /// # Errors
    /// If a torch call fails. Use the `f_` functions of tch and `?`. A panic in the author's own code is
    /// caught, but poisons the seed.
    fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor>;

    /// Returns the state besides the variables, for checkpoints.
    ///
    /// # Errors
    /// If the state cannot be serialized.
    fn state(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// Restores the state that [`state`](Self::state) returned in an instance whose
    /// [`EntryInfo::state_version`] was `from_version`.
    ///
    /// # Errors
    /// If the bytes cannot be read. The seed must then be unchanged.
    fn restore(&mut self, _bytes: &[u8], _from_version: u32) -> Result<()> {
        Ok(())
    }
}
