//! How a seed is mixed in.

use crate::input::SeedInput;
use crate::precise::precisely;
use kasmina_plugin_api::ops;
use kasmina_plugin_api::prelude::*;

/// How a seed is mixed in.
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
    pub(crate) fn mix(
        self,
        input: &SeedInput,
        host: &Tensor,
        seed: &Tensor,
        alpha: &Tensor,
    ) -> Result<Tensor> {
        match self {
            Self::Lerp => ops::lerp(host, seed, alpha),
            Self::Residual => precisely(host, seed, alpha, |host, seed, alpha| {
                Ok(host.f_addcmul(&seed.f_sub(&input.of(host))?, alpha)?)
            }),
            Self::Multiply => precisely(host, seed, alpha, |host, seed, alpha| {
                let factor = seed.f_sub(&input.of(host))?.f_tanh()?.f_mul(alpha)?;
                Ok(host.f_addcmul(host, &factor)?)
            }),
        }
    }
}
