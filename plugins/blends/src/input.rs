//! What the seed saw.

use tch::Tensor;

/// Whether the seed's input was cut off from the host's gradient. Only the gate is shown that input; it is
/// asked before every mixture, and by value the input *is* the host's features: nothing but this flag has to
/// be kept.
#[derive(Debug, Default)]
pub(crate) struct SeedInput {
    severed: bool,
}

impl SeedInput {
    /// Keeps what the gate needs of the seed's input.
    pub(crate) fn note(&mut self, input: &Tensor) {
        self.severed = !input.requires_grad();
    }

    /// The input again, out of the host's features.
    pub(crate) fn of(&self, host: &Tensor) -> Tensor {
        if self.severed { host.detach() } else { host.shallow_clone() }
    }
}
