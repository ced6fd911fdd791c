//! Mixing in the precision of alpha.

use kasmina_plugin_api::Result;
use tch::{Kind, Tensor};

/// Mixes features of lower precision in the dtype of alpha, and returns the result in the features' dtype.
///
/// # Shapes
/// Those of `mix`.
pub(crate) fn mix_in_alpha_precision(
    host: &Tensor,
    seed: &Tensor,
    alpha: &Tensor,
    mix: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (kind, alpha_kind) = (host.kind(), alpha.kind());
    if kind == alpha_kind {
        return mix(host, seed, alpha);
    }
    if kind == Kind::Double {
        return mix(host, seed, &alpha.f_to_kind(kind)?);
    }
    let mixed = mix(&host.f_to_kind(alpha_kind)?, &seed.f_to_kind(alpha_kind)?, alpha)?;
    Ok(mixed.f_to_kind(kind)?)
}
