//! What is minimised, and what counts as right: of classes `[N, K]` against `[N]`, and of sequences `[N, T,
//! K]` against `[N, T]`, position by position.

use super::part::IGNORED;
use tch::{Kind, TchError, Tensor};

/// Mean negative log likelihood of class or token numbers.
///
/// # Shapes
/// `logits` are `[N, K]` and `labels` `[N]`, or `[N, T, K]` and `[N, T]`; the answer is 0-dim.
///
/// # Errors
/// If shapes do not fit.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    let (logits, labels) = if logits.dim() == 3 {
        (&logits.f_flatten(0, 1)?, &labels.f_flatten(0, 1)?)
    } else {
        (logits, labels)
    };
    logits.f_cross_entropy_loss::<Tensor>(labels, None, tch::Reduction::Mean, IGNORED, 0.0)
}

/// How many predictions are right; what is ignored never is.
pub(crate) fn hits(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    logits.f_argmax(-1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Int64)
}
