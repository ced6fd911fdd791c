//! In what precision a network computes.

use kasmina_torch_ext::autocast::Autocast;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

/// What convolutions and matrix products compute in. Parameters, norms, gates, alphas, measurements and
/// logits are float32 either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Parameters and computation in float32.
    #[default]
    Fp32,
    /// bfloat16, by libtorch's autocast; features are bfloat16 too.
    Bf16,
}

impl Precision {
    /// The word in configurations and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        }
    }

    /// Computes so on this thread until the answer is dropped.
    pub(crate) fn scope(self, device: Device) -> Result<Option<Autocast>, kasmina_torch_ext::Error> {
        match self {
            Self::Fp32 => Ok(None),
            Self::Bf16 => Autocast::bf16(device).map(Some),
        }
    }

    /// Logits as losses and gates take them.
    pub(super) fn settled(self, logits: tch::Tensor) -> Result<tch::Tensor, tch::TchError> {
        Ok(if self == Self::Bf16 { logits.f_to_kind(Kind::Float)? } else { logits })
    }
}

#[cfg(test)]
mod tests {
    use super::Precision;

    #[test]
    fn its_word_is_its_name_in_configurations() {
        for precision in [Precision::Fp32, Precision::Bf16] {
            assert_eq!(serde_json::to_value(precision).unwrap(), precision.as_str());
        }
    }
}
