//! Operators that mix a seed's output into the host's features.

use crate::input::SeedInput;
use crate::precise::mix_in_alpha_precision;
use kasmina_plugin_api::ops;
use kasmina_plugin_api::prelude::*;

/// Operator that mixes the seed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// `h + a (s - h)`.
    #[default]
    Lerp,
    /// `h + a (s - x)`.
    Residual,
    /// `h (1 + a tanh(s - x))`.
    Multiply,
}

impl Operator {
    /// Mixes `seed` into `host`.
    ///
    /// # Shapes
    /// `host`, `seed` and output: the same, any; `alpha`: broadcasts to them.
    pub(crate) fn mix(
        self,
        input: &SeedInput,
        host: &Tensor,
        seed: &Tensor,
        alpha: &Tensor,
    ) -> Result<Tensor> {
        match self {
            Self::Lerp => ops::lerp(host, seed, alpha),
            Self::Residual => mix_in_alpha_precision(host, seed, alpha, |host, seed, alpha| {
                Ok(host.f_addcmul(&seed.f_sub(&input.of(host))?, alpha)?)
            }),
            Self::Multiply => mix_in_alpha_precision(host, seed, alpha, |host, seed, alpha| {
                let factor = seed.f_sub(&input.of(host))?.f_tanh()?.f_mul(alpha)?;
                Ok(host.f_addcmul(host, &factor)?)
            }),
        }
    }
}
