//! The precision in which a network computes.

use kasmina_torch_ext::autocast::Autocast;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

/// Precision of convolutions and matrix products. Parameters, norms, gates, alphas, measurements and logits
/// are float32 in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Parameters and computation in float32.
    #[default]
    Fp32,
    /// bfloat16 by libtorch's autocast; features are bfloat16 too.
    Bf16,
}

impl Precision {
    /// Returns the name in configurations and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        }
    }

    /// Enables the precision on this thread until the returned guard is dropped; `None` for float32.
    pub(crate) fn scope(self, device: Device) -> Result<Option<Autocast>, kasmina_torch_ext::Error> {
        match self {
            Self::Fp32 => Ok(None),
            Self::Bf16 => Autocast::bf16(device).map(Some),
        }
    }

    /// Casts logits to float32 if the network computes in bfloat16.
    pub(super) fn cast_logits(self, logits: tch::Tensor) -> Result<tch::Tensor, tch::TchError> {
        Ok(if self == Self::Bf16 { logits.f_to_kind(Kind::Float)? } else { logits })
    }
}

#[cfg(test)]
mod tests {
    use super::Precision;

    #[test]
    fn as_str_is_the_serialized_name() {
        for precision in [Precision::Fp32, Precision::Bf16] {
            assert_eq!(serde_json::to_value(precision).unwrap(), precision.as_str());
        }
    }
}
