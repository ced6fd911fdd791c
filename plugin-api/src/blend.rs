//! Blend algorithms.

use crate::{Cx, EntryInfo, Result, Site, ops};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tch::{Tensor, nn};

/// A blend algorithm: the factory.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blend",
    label = "implement `kasmina_plugin_api::Blend` for it",
    note = "a blend names itself in `const INFO`, has a `type Config` and builds a `Box<dyn Blender>`",
    note = "what is registered is the factory and not the blender that it builds; blueprints are registered by `register_blueprint!`, hosts by `register_host!`"
)]
pub trait Blend: 'static {
    /// What can be known without running code.
    const INFO: EntryInfo;
    /// Settings of the blend, read from JSON; the default is what an empty configuration means.
    type Config: DeserializeOwned + JsonSchema + Default;

    /// Builds the blender of one seed. A learned gate makes its variables under `vars`.
    ///
    /// # Errors
    /// If the site or the configuration cannot be served.
    fn build(vars: &nn::Path<'_>, site: &Site, config: Self::Config) -> Result<Box<dyn Blender>>;

    /// Returns the source of the same module in plain PyTorch, for networks that are exported. Since 1.1.
    ///
    /// The guide's page on PyTorch has the rules: the last class is the module, and its parameters have the
    /// names of the variables.
    fn pytorch(_site: &Site, _config: &Self::Config) -> Option<String> {
        None
    }
}

/// A living blend. The lifecycle owns alpha (start, target, clock, clamp, exact ends); a blender supplies the
/// shape of its ramp, optionally a gate per sample, and the operator.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blender",
    label = "implement `kasmina_plugin_api::Blender` for it",
    note = "a blender is what a blend builds; every function of it has a default, so `impl Blender for {Self} {{}}` is a beginning"
)]
pub trait Blender: Send {
    /// The shape of the ramp on `[0, 1]`; the core normalises the ends to 0 and 1 and clamps.
    fn curve(&self, t: f64) -> f64 {
        t
    }

    /// An optional factor on alpha per sample, from the features that the seed saw.
    ///
    /// # Shapes
    /// `features` as the seed's input; the gate is `[N, 1, ..]` of the same rank, in `[0, 1]`. For
    /// [`Topology::TRANSFORMER`](crate::Topology::TRANSFORMER) it must be causal: no pooling over the future.
    ///
    /// # Errors
    /// As [`Seed::forward`](crate::Seed::forward).
    fn gate(&mut self, _features: &Tensor, _cx: &Cx<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Mixes host and seed; the default is `lerp`: `host + alpha (seed - host)`.
    ///
    /// # Shapes
    /// `host` and `seed` alike; `alpha` is 0-dim, or `[N, 1, ..]` where it differs per sample. The output is
    /// shaped like `host`. Where features are bfloat16, alpha is float32 all the same; an output in float32
    /// is taken, and cast.
    ///
    /// # Errors
    /// As [`Seed::forward`](crate::Seed::forward).
    fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, _cx: &Cx<'_>) -> Result<Tensor> {
        ops::lerp(host, seed, alpha)
    }

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
