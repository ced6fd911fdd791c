//! The memory layout of parameters.

use super::failure::torch;
use kasmina_plugin_api::Layout;
use kasmina_torch_ext::{NamedParameter, autograd};
use tch::Tensor;

/// Converts convolution kernels to the layout of the features; values do not change.
///
/// Otherwise every step would copy each kernel and its gradient into the layout that the convolution uses.
pub(crate) fn apply_layout(
    parameters: &[NamedParameter],
    features: Layout,
) -> kasmina_plugin_api::Result<()> {
    if features != Layout::ChannelsLast {
        return Ok(());
    }
    for parameter in parameters {
        let tensor = &parameter.tensor;
        if is_kernel(tensor) && !autograd::is_channels_last(tensor).map_err(torch)? {
            let converted = autograd::to_channels_last(&tensor.detach()).map_err(torch)?;
            tensor.shallow_clone().set_data(&converted);
        }
    }
    Ok(())
}

/// Whether a tensor is `[out, in, height, width]` with `in > 1` and more than one weight per channel. For any
/// other shape both layouts are the same.
fn is_kernel(tensor: &Tensor) -> bool {
    matches!(tensor.size()[..], [_, input, height, width] if input > 1 && height * width > 1)
}
