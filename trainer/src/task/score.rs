//! Loss and accuracy of logits: of shape `[N, K]` for labels `[N]`, or `[N, T, K]` for labels `[N, T]`.

use super::part::IGNORED;
use tch::{Kind, TchError, Tensor};

/// Returns the mean cross entropy of class or token labels. Ignored labels do not count.
///
/// # Shapes
/// `logits`: `[N, K]` and `labels`: `[N]`, or `[N, T, K]` and `[N, T]`. Returns a 0-dim tensor.
///
/// # Errors
/// If the shapes do not fit.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    let (logits, labels) = if logits.dim() == 3 {
        (&logits.f_flatten(0, 1)?, &labels.f_flatten(0, 1)?)
    } else {
        (logits, labels)
    };
    logits.f_cross_entropy_loss::<Tensor>(labels, None, tch::Reduction::Mean, IGNORED, 0.0)
}

/// Returns the number of correct predictions. Ignored labels never count as correct.
///
/// # Shapes
/// As for [`cross_entropy`]; the number is a 0-dim `int64` tensor.
pub(crate) fn hits(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    logits.f_argmax(-1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Int64)
}
