//! Blend algorithms.

use crate::{Cx, EntryInfo, Result, Site, ops};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tch::{Tensor, nn};

/// A blend algorithm, the factory of blenders.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blend",
    label = "implement `kasmina_plugin_api::Blend` for it",
    note = "a blend has a `const INFO` and a `type Config`, and builds a `Box<dyn Blender>`",
    note = "register the factory, not the blender that it builds; blueprints are registered by `register_blueprint!`, hosts by `register_host!`"
)]
pub trait Blend: 'static {
    /// Description of the blend, which is read without running its code.
    const INFO: EntryInfo;
    /// Configuration of the blend, read from JSON. An empty configuration is the default.
    type Config: DeserializeOwned + JsonSchema + Default;

    /// Builds the blender of one seed. Variables, such as those of a learned gate, must be created under
    /// `vars`.
    ///
    /// # Errors
    /// If the site is not supported or the configuration is not valid.
    fn build(vars: &nn::Path<'_>, site: &Site, config: Self::Config) -> Result<Box<dyn Blender>>;

    /// Returns the source of the same module in plain PyTorch, for networks that are exported. Since 1.1.
    ///
    /// The guide's page on PyTorch has the rules: the last class is the module, and its parameters have the
    /// names of the variables.
    fn pytorch(_site: &Site, _config: &Self::Config) -> Option<String> {
        None
    }
}

/// The blend of one seed. The lifecycle computes alpha; a blender defines the curve of its ramp, the operator
/// that mixes host and seed, and optionally a factor on alpha per sample.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blender",
    label = "implement `kasmina_plugin_api::Blender` for it",
    note = "a blender is what a blend builds; every method has a default, so `impl Blender for {Self} {{}}` is enough to begin with"
)]
pub trait Blender: Send {
    /// Value of the ramp's curve at `t` in `[0, 1]`. The caller scales the curve to end at 0 and 1, and
    /// clamps it.
    fn curve(&self, t: f64) -> f64 {
        t
    }

    /// Returns a factor on alpha per sample, computed from the seed's input; `None` for no factor.
    ///
    /// # Shapes
    /// `features` has the shape of the seed's input; the factor is `[N, 1, ...]` of the same rank, with
    /// values in `[0, 1]`. For [`Topology::TRANSFORMER`](crate::Topology::TRANSFORMER) it must be causal: it
    /// must not pool over later positions.
    ///
    /// # Errors
    /// As for [`Seed::forward`](crate::Seed::forward).
    fn gate(&mut self, _features: &Tensor, _cx: &Cx<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Mixes the features of host and seed. The default is [`ops::lerp`]: `host + alpha (seed - host)`.
    ///
    /// # Shapes
    /// `host` and `seed` have the same shape; `alpha` is 0-dim, or `[N, 1, ...]` if it differs per sample.
    /// The output has the shape of `host`. If the features are bfloat16, `alpha` is still float32; an output
    /// in float32 is cast to the dtype of the features.
    ///
    /// # Errors
    /// As for [`Seed::forward`](crate::Seed::forward).
    fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, _cx: &Cx<'_>) -> Result<Tensor> {
        ops::lerp(host, seed, alpha)
    }

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
    /// If the bytes cannot be read. The blender must then be unchanged.
    fn restore(&mut self, _bytes: &[u8], _from_version: u32) -> Result<()> {
        Ok(())
    }
}
