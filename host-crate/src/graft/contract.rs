//! Checks of the tensors that plugins return.

use kasmina_plugin_api::{PluginError, Result};
use kasmina_torch_ext::closeness::{Tolerance, all_close};
use tch::{Kind, Tensor};

/// Returns the dtype of alphas and gates for features of a dtype: float64 for float64, otherwise float32.
pub(crate) fn alpha_kind(features: Kind) -> Kind {
    if features == Kind::Double { Kind::Double } else { Kind::Float }
}

/// Whether two results of the same computation are equal up to rounding.
///
/// The tolerance for float32 is larger on a GPU, where convolutions round to TF32 and algorithms sum in
/// different orders. It has an absolute part because a small sum of large numbers has the error of those.
///
/// # Shapes
/// `expected` and `actual`: any, but equal.
pub(crate) fn is_close(expected: &Tensor, actual: &Tensor) -> Result<bool> {
    let (relative, absolute) = match expected.kind() {
        Kind::BFloat16 | Kind::Half => (4e-2, 2e-2),
        Kind::Float if expected.device().is_cuda() => (2e-2, 5e-3),
        _ => (1e-3, 1e-4),
    };
    Ok(all_close(expected, actual, Tolerance { relative, absolute, equal_nan: false })?)
}

/// Casts a float32 output to the dtype of half-precision features; returns other outputs unchanged.
///
/// Under autocast some operators return float32, and plugin authors need not cast that back.
pub(super) fn cast_to_features(features: &Tensor, output: Tensor) -> Result<Tensor> {
    let half = matches!(features.kind(), Kind::BFloat16 | Kind::Half);
    Ok(if half && output.kind() == Kind::Float { output.f_to_kind(features.kind())? } else { output })
}

/// Refuses an output whose shape, dtype or device differs from the features'. `who` begins the message.
pub(super) fn check_output(features: &Tensor, output: &Tensor, who: &str) -> Result<()> {
    let (want, got) = (features.size(), output.size());
    if want != got {
        let text = format!("{who} returned shape {got:?}; it must be that of the features, {want:?}");
        return Err(PluginError::contract(text));
    }
    if features.kind() != output.kind() || features.device() != output.device() {
        return Err(PluginError::contract(format!(
            "{who} returned {:?} on {:?} for features of {:?} on {:?}",
            output.kind(),
            output.device(),
            features.kind(),
            features.device()
        )));
    }
    Ok(())
}

/// Refuses a gate that is not one number per sample, or for a sequence one per position.
///
/// # Shapes
/// `gate`: `[batch, 1, ..., 1]`, or for sequences also `[batch, length, 1]`.
pub(super) fn check_gate(features: &Tensor, gate: &Tensor) -> Result<()> {
    let mut want = vec![1; features.dim()];
    if let (Some(first), Some(batch)) = (want.first_mut(), features.size().first()) {
        *first = *batch;
    }
    // A causal gate of a sequence has one number per position.
    let per_position = features.dim() == 3 && gate.size() == [want[0], features.size()[1], 1];
    if gate.size() == want || per_position {
        return Ok(());
    }
    let text = format!("the gate has shape {:?}; it must be {want:?}", gate.size());
    Err(PluginError::contract(text))
}
