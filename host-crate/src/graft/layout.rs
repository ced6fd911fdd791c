//! How parameters lie in memory.

use super::failure::torch;
use kasmina_plugin_api::Layout;
use kasmina_torch_ext::{NamedParameter, autograd};
use tch::Tensor;

/// Lets the kernels of convolutions lie as the features that they meet: otherwise every step copies each of
/// them, and each of their gradients, into the layout that the convolution works in. Values stay what they
/// are.
pub(crate) fn settle(parameters: &[NamedParameter], features: Layout) -> kasmina_plugin_api::Result<()> {
    if features != Layout::ChannelsLast {
        return Ok(());
    }
    for parameter in parameters {
        let tensor = &parameter.tensor;
        if is_kernel(tensor) && !autograd::is_channels_last(tensor).map_err(torch)? {
            let laid = autograd::to_channels_last(&tensor.detach()).map_err(torch)?;
            tensor.shallow_clone().set_data(&laid);
        }
    }
    Ok(())
}

/// `[out, in, height, width]` with more than one weight a channel: for anything else the formats are one.
fn is_kernel(tensor: &Tensor) -> bool {
    matches!(tensor.size()[..], [_, input, height, width] if input > 1 && height * width > 1)
}
