//! Seed architectures.

use crate::{Cost, Cx, EntryInfo, Result, Site};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tch::{Tensor, nn};

/// A seed architecture: the factory. It holds no tensor, so it may be known on any thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blueprint",
    label = "implement `kasmina_plugin_api::Blueprint` for it",
    note = "a blueprint names itself in `const INFO`, has a `type Config` and builds a `Box<dyn Seed>`",
    note = "what is registered is the factory and not the seed that it builds; blends are registered by `register_blend!`, hosts by `register_host!`"
)]
pub trait Blueprint: 'static {
    /// What can be known without running code.
    const INFO: EntryInfo;
    /// Its settings; `Default` is what an empty configuration means. Use `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema + Default;

    /// Builds one seed. Every variable is made under `vars`, here and never later.
    ///
    /// A good seed is the identity at birth by a construction in which gradients live: a gain of zero on a
    /// branch whose own value is not zero, never a branch that is zero behind a ReLU.
    ///
    /// # Errors
    /// If the site or the configuration cannot be served.
    fn build(vars: &nn::Path<'_>, site: &Site, config: Self::Config) -> Result<Box<dyn Seed>>;

    /// What a seed would cost here, if that is known without building it.
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

/// A living seed. It holds tensors: it may move between threads, and is used by one at a time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a seed",
    label = "implement `kasmina_plugin_api::Seed` for it",
    note = "a seed is what a blueprint builds; it has `fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor>`"
)]
pub trait Seed: Send {
    /// The seed's features.
    ///
    /// # Shapes
    /// The output has the shape, dtype and device of `x`: `[N, C, H, W]` for [`Topology::CNN`], `[N, T, C]`
    /// for [`Topology::TRANSFORMER`]. Never write to `x` in place: it may be the host's own memory.
    ///
    /// [`Topology::CNN`]: crate::Topology::CNN
    /// [`Topology::TRANSFORMER`]: crate::Topology::TRANSFORMER
    ///
    /// # Errors
    /// Use the `f_` functions of tch and `?`; a panic is caught, but poisons the seed.
    fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor>;

    /// What a checkpoint needs besides the variables.
    ///
    /// # Errors
    /// If it cannot be written.
    fn state(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// Takes back what `state` wrote under `from_version`.
    ///
    /// # Errors
    /// If the bytes are not understood; then nothing has changed.
    fn restore(&mut self, _bytes: &[u8], _from_version: u32) -> Result<()> {
        Ok(())
    }
}
