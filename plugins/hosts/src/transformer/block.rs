//! One block of the decoder.

use super::cache::KeyValueCache;
use super::config::{SCALE, TransformerConfig};
use kasmina_plugin_api::prelude::*;
use tch::Kind;
use tch::nn::Module;

/// Added to the variance in layer normalisations.
const EPS: f64 = 1e-5;

fn linear(vars: &nn::Path<'_>, from: i64, to: i64, stdev: f64) -> nn::Linear {
    let config = nn::LinearConfig {
        ws_init: nn::Init::Randn { mean: 0.0, stdev },
        bs_init: Some(nn::Init::Const(0.0)),
        bias: true,
    };
    nn::linear(vars, from, to, config)
}

/// A layer normalisation over the channels.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    pub(super) fn new(vars: &nn::Path<'_>, width: i64) -> Self {
        Self { weight: vars.ones("weight", &[width]), bias: vars.zeros("bias", &[width]) }
    }
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let shape = self.weight.size();
        Ok(x.f_layer_norm(shape, Some(&self.weight), Some(&self.bias), EPS, true)?)
    }
}

/// A block: attention and a two-layer perceptron, each after a layer normalisation and in a residual branch.
#[derive(Debug)]
pub(super) struct Block {
    norm1: Norm,
    qkv: nn::Linear,
    project: nn::Linear,
    norm2: Norm,
    widen: nn::Linear,
    narrow: nn::Linear,
    heads: i64,
    dropout: f64,
}

impl Block {
    pub(super) fn new(vars: &nn::Path<'_>, config: &TransformerConfig) -> Self {
        let width = config.n_embd;
        // Every block adds two branches to the residual stream; the smaller weights keep its variance
        // constant.
        let residual = SCALE / ((2 * config.n_layer) as f64).sqrt();
        Self {
            norm1: Norm::new(&(vars / "norm1"), width),
            qkv: linear(&(vars / "qkv"), width, 3 * width, SCALE),
            project: linear(&(vars / "project"), width, width, residual),
            norm2: Norm::new(&(vars / "norm2"), width),
            widen: linear(&(vars / "widen"), width, 4 * width, SCALE),
            narrow: linear(&(vars / "narrow"), 4 * width, width, residual),
            heads: config.n_head,
            dropout: config.dropout,
        }
    }

    /// # Shapes
    /// `x` and the output: `[batch, length, n_embd]`.
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let [query, key, value] = self.heads(&self.norm1.forward(x)?)?;
        let dropout = if train { self.dropout } else { 0.0 };
        let attended = attention(&query, &key, &value, None, dropout, true)?;
        self.add_branches(x, &attended, train)
    }

    /// Computes the features of the tokens that follow those in the cache, and adds their keys and values to
    /// it. `index` is the number of the block.
    ///
    /// # Shapes
    /// As for [`forward`](Self::forward), with the new tokens alone.
    pub(super) fn forward_cached(
        &self,
        x: &Tensor,
        index: usize,
        cache: &mut KeyValueCache,
    ) -> Result<Tensor> {
        let [query, key, value] = self.heads(&self.norm1.forward(x)?)?;
        let (key, value) = cache.extend(index, &key, &value)?;
        let (length, all) = (x.size()[1], key.size()[2]);
        let attended = if length == 1 {
            attention(&query, &key, &value, None, 0.0, false)?
        } else if length == all {
            attention(&query, &key, &value, None, 0.0, true)?
        } else {
            let earlier = Tensor::f_ones([length, all], (Kind::Bool, x.device()))?.f_tril(all - length)?;
            attention(&query, &key, &value, Some(&earlier), 0.0, false)?
        };
        self.add_branches(x, &attended, false)
    }

    /// Returns query, key and value, each `[batch, heads, length, n_embd / heads]`.
    fn heads(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        let &[batch, length, width] = x.size().as_slice() else {
            return Err(PluginError::contract("a block needs features [batch, length, channels]"));
        };
        let split = [batch, length, 3, self.heads, width / self.heads];
        let qkv = self.qkv.forward(x).f_view(split)?.f_permute([2, 0, 3, 1, 4])?;
        Ok([qkv.f_select(0, 0)?, qkv.f_select(0, 1)?, qkv.f_select(0, 2)?])
    }

    /// Adds the branch of the attention, whose heads are given, and that of the perceptron.
    fn add_branches(&self, x: &Tensor, heads: &Tensor, train: bool) -> Result<Tensor> {
        let joined = heads.f_transpose(1, 2)?.f_reshape(x.size())?;
        let x = x.f_add(&apply_dropout(self.project.forward(&joined), self.dropout, train)?)?;
        let inner = self.widen.forward(&self.norm2.forward(&x)?).f_gelu("none")?;
        Ok(x.f_add(&apply_dropout(self.narrow.forward(&inner), self.dropout, train)?)?)
    }
}

fn attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    mask: Option<&Tensor>,
    dropout: f64,
    causal: bool,
) -> Result<Tensor> {
    Ok(Tensor::f_scaled_dot_product_attention(query, key, value, mask, dropout, causal, None, false)?)
}

/// Applies dropout in training. Without dropout it calls nothing, so that it draws no random numbers.
pub(super) fn apply_dropout(x: Tensor, dropout: f64, train: bool) -> Result<Tensor> {
    Ok(if train && dropout > 0.0 { x.f_dropout(dropout, true)? } else { x })
}
