//! Mixing the features of host and seed by a blend.

use super::contract;
use kasmina_plugin_api::abi::BlendInstance;
use kasmina_plugin_api::{Cx, Result};
use tch::Tensor;

/// The features that a blend mixes.
#[derive(Debug, Clone, Copy)]
pub struct Mixture<'a> {
    /// Features of the host.
    pub host: &'a Tensor,
    /// Output of the seed.
    pub seed: &'a Tensor,
    /// What the seed has read, and the blend's gate reads.
    pub input: &'a Tensor,
    /// Whether no gradient flows to the gate.
    pub detached: bool,
}

impl Mixture<'_> {
    /// Calls a blend's gate and mix, and checks the results of both.
    ///
    /// # Shapes
    /// `alpha`: 0-dim, or `[batch, 1, ...]`. The output has the shape of `host`.
    ///
    /// # Errors
    /// If the blend fails, or returns another shape, dtype or device.
    pub fn mix(&self, blend: &mut BlendInstance, alpha: &Tensor, cx: &Cx<'_>) -> Result<Tensor> {
        let Self { host, seed, input, detached } = *self;
        let gate = blend.gate(input, cx)?;
        let gated = match &gate {
            None => None,
            Some(gate) => {
                contract::check_gate(host, gate)?;
                let gate = if detached { gate.detach() } else { gate.shallow_clone() };
                // In half precision the product would round alpha too.
                let gate = gate.f_to_kind(alpha.kind())?;
                Some((gate.f_clamp(0.0, 1.0)? * alpha).f_clamp(0.0, 1.0)?)
            }
        };
        let alpha = gated.as_ref().unwrap_or(alpha);
        let mixed = contract::cast_to_features(host, blend.mix(host, seed, alpha, cx)?)?;
        contract::check_output(host, &mixed, "it")?;
        Ok(mixed)
    }
}
