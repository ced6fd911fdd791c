//! Mixing as precisely as alpha is given.

use kasmina_plugin_api::Result;
use tch::{Kind, Tensor};

/// Half-precision features are mixed in the kind of alpha and come back in their own.
pub(crate) fn precisely(
    host: &Tensor,
    seed: &Tensor,
    alpha: &Tensor,
    mix: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (kind, precise) = (host.kind(), alpha.kind());
    if kind == precise {
        return mix(host, seed, alpha);
    }
    if kind == Kind::Double {
        return mix(host, seed, &alpha.f_to_kind(kind)?);
    }
    let mixed = mix(&host.f_to_kind(precise)?, &seed.f_to_kind(precise)?, alpha)?;
    Ok(mixed.f_to_kind(kind)?)
}
