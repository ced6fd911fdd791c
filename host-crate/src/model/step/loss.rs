//! The loss function of training steps.

use super::super::ModelError;
use tch::Tensor;

/// Loss function of a batch, from logits and targets.
///
/// It is captured with the step. A replay does not repeat what the function does on the CPU, and any tensor
/// that it writes must stay at its address. Another function takes effect only when the configuration
/// changes or [`Stepper::forget`](super::Stepper::forget) is called.
///
/// # Shapes
/// Logits as the model returns them, targets as the batch holds them; the loss is 0-dim.
pub type Loss<'l> = dyn FnMut(&Tensor, &Tensor) -> Result<Tensor, ModelError> + 'l;
