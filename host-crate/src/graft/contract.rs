//! The promises that author code makes with every tensor it returns.

use kasmina_plugin_api::{PluginError, Result};
use tch::Tensor;

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
