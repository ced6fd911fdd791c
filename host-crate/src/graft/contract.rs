//! The promises that author code makes with every tensor it returns.

use kasmina_plugin_api::{PluginError, Result};
use kasmina_torch_ext::closeness::{Tolerance, all_close};
use tch::{Kind, Tensor};

/// In what alphas and gates are kept beside features of a dtype: float32 at least.
pub(crate) fn alpha_kind(features: Kind) -> Kind {
    if features == Kind::Double { Kind::Double } else { Kind::Float }
}

/// Whether two computations of the same thing came to the same but for rounding. On a GPU convolutions round
/// float32 to TF32, each algorithm in its own order; and a sum of large numbers that comes to little is as
/// exact as those were.
pub(crate) fn alike(expected: &Tensor, came: &Tensor) -> Result<bool> {
    let (relative, absolute) = match expected.kind() {
        Kind::BFloat16 | Kind::Half => (4e-2, 2e-2),
        Kind::Float if expected.device().is_cuda() => (2e-2, 5e-3),
        _ => (1e-3, 1e-4),
    };
    Ok(all_close(expected, came, Tolerance { relative, absolute, equal_nan: false })?)
}

/// Where features are half as wide, what sums is computed in float32, and an author need not cast it back.
pub(super) fn narrowed(features: &Tensor, output: Tensor) -> Result<Tensor> {
    let half = matches!(features.kind(), Kind::BFloat16 | Kind::Half);
    Ok(if half && output.kind() == Kind::Float { output.f_to_kind(features.kind())? } else { output })
}

/// Refuses an output that is not shaped like the features it stands for.
pub(super) fn like(features: &Tensor, output: &Tensor, who: &str) -> Result<()> {
    let (want, got) = (features.size(), output.size());
    if want != got {
        let text = format!("{who} made features of shape {got:?}; they must have its input's, {want:?}");
        return Err(PluginError::contract(text));
    }
    if features.kind() != output.kind() || features.device() != output.device() {
        return Err(PluginError::contract(format!(
            "{who} made {:?} features on {:?} out of {:?} on {:?}",
            output.kind(),
            output.device(),
            features.kind(),
            features.device()
        )));
    }
    Ok(())
}

/// Refuses a gate that is not one number per sample.
pub(super) fn per_sample(features: &Tensor, gate: &Tensor) -> Result<()> {
    let mut want = vec![1; features.dim()];
    if let (Some(first), Some(batch)) = (want.first_mut(), features.size().first()) {
        *first = *batch;
    }
    // A causal gate of a sequence has one number per sample and position.
    let per_position = features.dim() == 3 && gate.size() == [want[0], features.size()[1], 1];
    if gate.size() == want || per_position {
        return Ok(());
    }
    let text = format!("the gate has shape {:?}, it must be {want:?}", gate.size());
    Err(PluginError::contract(text))
}
