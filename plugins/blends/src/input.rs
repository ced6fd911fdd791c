//! The seed's input, which some operators need in addition to its output.

use tch::Tensor;

/// Whether the seed's input was detached from the host. [`Blender::gate`](kasmina_plugin_api::Blender::gate)
/// gets that input before every [`mix`](kasmina_plugin_api::Blender::mix). Its values equal the host's
/// features, so this flag is all that has to be kept.
#[derive(Debug, Default)]
pub(crate) struct SeedInput {
    detached: bool,
}

impl SeedInput {
    /// Records whether the seed's input is detached.
    pub(crate) fn record(&mut self, input: &Tensor) {
        self.detached = !input.requires_grad();
    }

    /// Returns the seed's input, computed from the host's features.
    ///
    /// # Shapes
    /// `host` and output: any, the same.
    pub(crate) fn of(&self, host: &Tensor) -> Tensor {
        if self.detached { host.detach() } else { host.shallow_clone() }
    }
}
