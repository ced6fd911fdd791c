//! Shared by both attention seeds: `P attend(QKV(LN(x)))` with `P = 0` at birth.

use crate::layer_norm::LayerNorm;
use kasmina_plugin_api::prelude::*;

/// Default number of heads, which divides the usual widths.
pub(crate) const HEADS: i64 = 4;

/// The branch of an attention seed. The output projection starts at 0 and the output of the heads is not 0,
/// so the projection learns in the first step, and the other layers from the second.
///
/// The matrices have no bias: the layer norm before them has one, and a bias of the keys would cancel in the
/// softmax.
#[derive(Debug)]
pub(crate) struct Heads {
    norm: LayerNorm,
    qkv: nn::Linear,
    out: nn::Linear,
    n_head: i64,
}

/// Queries, keys and values, each `[N, n_head, T, C / n_head]`.
pub(crate) struct Qkv {
    pub(crate) q: Tensor,
    pub(crate) k: Tensor,
    pub(crate) v: Tensor,
}

impl Heads {
    /// Creates the variables. Refuses numbers of heads that do not divide the channels.
    pub(crate) fn build(vars: &nn::Path<'_>, channels: i64, n_head: i64) -> Result<Self> {
        if n_head < 1 || channels % n_head != 0 {
            let text = format!("n_head {n_head} does not divide the slot's {channels} channels");
            return Err(PluginError::config(text));
        }
        let norm = LayerNorm::build(&(vars / "norm"), channels)?;
        let linear = |name: &str, to, ws_init| {
            nn::linear(vars / name, channels, to, nn::LinearConfig { ws_init, bs_init: None, bias: false })
        };
        // With this standard deviation the initial scores are about 1.
        let init = nn::Init::Randn { mean: 0.0, stdev: 1.0 / (channels as f64).sqrt() };
        let qkv = linear("qkv", 3 * channels, init);
        Ok(Self { norm, qkv, out: linear("out", channels, nn::Init::Const(0.0)), n_head })
    }

    /// Returns the cost: the exact number of parameters, and the multiply-adds that do not depend on `T`.
    pub(crate) fn cost(channels: i64) -> Cost {
        let c = channels.unsigned_abs();
        Cost {
            parameters: 4 * c * c + LayerNorm::PARAMETERS * c,
            flops_per_position: 4 * c * c + (LayerNorm::FLOPS + 1) * c,
        }
    }

    /// Returns `x` plus the branch.
    ///
    /// # Shapes
    /// `x` and output: `[N, T, C]`; `attend` returns a tensor of the shape of the queries.
    pub(crate) fn forward(&self, x: &Tensor, attend: impl FnOnce(&Qkv) -> Result<Tensor>) -> Result<Tensor> {
        let size = x.size();
        let [batch, length, channels] = size[..] else {
            return Err(PluginError::contract(format!("attention needs [N, T, C], not {size:?}")));
        };
        let qkv = self.norm.forward(x)?.f_linear(&self.qkv.ws, None::<&Tensor>)?;
        let head = |i| -> Result<Tensor> {
            let part = qkv.f_narrow(-1, i * channels, channels)?;
            Ok(part.f_view([batch, length, self.n_head, channels / self.n_head])?.f_transpose(1, 2)?)
        };
        let attended = attend(&Qkv { q: head(0)?, k: head(1)?, v: head(2)? })?;
        let joined = attended.f_transpose(1, 2)?.f_reshape([batch, length, channels])?;
        Ok(x.f_add(&joined.f_linear(&self.out.ws, None::<&Tensor>)?)?)
    }
}

impl Qkv {
    /// Runs causal attention. A mask is added to the scores and must itself be causal.
    ///
    /// # Shapes
    /// `mask`: broadcasts to `[N, n_head, T, T]`; output: `[N, n_head, T, C / n_head]`.
    pub(crate) fn attend(&self, mask: Option<&Tensor>) -> Result<Tensor> {
        let causal = mask.is_none();
        let (q, k, v) = (&self.q, &self.k, &self.v);
        Ok(Tensor::f_scaled_dot_product_attention(q, k, v, mask, 0.0, causal, None, false)?)
    }
}
