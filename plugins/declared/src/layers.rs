//! The variables and the forward pass of each step.

use crate::ops::Activation;
use crate::plan::Node;
use crate::shape::Space;
use crate::step::{Conv, Step};
use kasmina_plugin_api::ops::group_norm;
use kasmina_plugin_api::prelude::*;
use tch::nn::Init;
use tch::nn::init::{DEFAULT_KAIMING_UNIFORM, FanInOut, NonLinearity, NormalOrUniform};

/// Initialization that keeps the variance, for projections that no rectifier follows.
const LINEAR: Init = Init::Kaiming {
    dist: NormalOrUniform::Uniform,
    fan: FanInOut::FanIn,
    non_linearity: NonLinearity::Linear,
};

/// A step with its variables.
#[derive(Debug)]
pub(crate) struct Built {
    step: Step,
    space: Space,
    /// Variables in the order of their creation; at most four.
    vars: Vec<Tensor>,
}

/// Context of a forward pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    /// Features of the slot, whose height and width `upsample` uses.
    pub(crate) slot: &'a Tensor,
    pub(crate) train: bool,
}

impl Built {
    pub(crate) fn new(vars: &nn::Path<'_>, node: &Node, space: Space) -> Result<Self> {
        let vars = &vars.sub(&node.name);
        let weights = |zeros: bool, init: Init| if zeros { Init::Const(0.0) } else { init };
        let affine = |channels: i64| -> Result<Vec<Tensor>> {
            Ok(vec![vars.f_ones("weight", &[channels])?, vars.f_zeros("bias", &[channels])?])
        };
        let linear = |weight: &str, bias: Option<&str>, [to, from]: [i64; 2], init| -> Result<Vec<Tensor>> {
            let mut made = vec![vars.f_var(weight, &[to, from], init)?];
            if let Some(bias) = bias {
                made.push(vars.f_zeros(bias, &[to])?);
            }
            Ok(made)
        };
        let made = match node.step {
            Step::Conv(c) => {
                let dims = [c.to, c.from / c.groups, c.kernel, c.kernel];
                let mut made =
                    vec![vars.f_var("weight", &dims, weights(c.zeros, DEFAULT_KAIMING_UNIFORM))?];
                if c.bias {
                    made.push(vars.f_zeros("bias", &[c.to])?);
                }
                made
            }
            Step::Linear { from, to, bias, zeros } => {
                linear("weight", bias.then_some("bias"), [to, from], weights(zeros, DEFAULT_KAIMING_UNIFORM))?
            }
            Step::GroupNorm { channels, .. } | Step::LayerNorm { channels, .. } => affine(channels)?,
            Step::RmsNorm { channels, .. } => vec![vars.f_ones("weight", &[channels])?],
            Step::BatchNorm { channels, .. } => {
                let mut made = affine(channels)?;
                made.push(vars.f_zeros_no_train("running_mean", &[channels])?);
                made.push(vars.f_ones_no_train("running_var", &[channels])?);
                made
            }
            Step::SqueezeExcite { channels, squeezed } => {
                let mut made =
                    linear("squeeze", Some("squeeze_bias"), [squeezed, channels], DEFAULT_KAIMING_UNIFORM)?;
                made.extend(linear("excite", Some("excite_bias"), [channels, squeezed], Init::Const(0.0))?);
                made
            }
            Step::SelfAttention { channels, bias, zeros, .. } => {
                let mut made = linear("qkv", bias.then_some("qkv_bias"), [3 * channels, channels], LINEAR)?;
                let init = weights(zeros, LINEAR);
                made.extend(linear("out", bias.then_some("out_bias"), [channels, channels], init)?);
                made
            }
            Step::Scale { factors, value } => {
                let dims: &[i64] = match (space, factors) {
                    (_, 1) => &[],
                    (Space::Map, n) => &[1, n, 1, 1],
                    (Space::Sequence, n) => &[n],
                };
                vec![vars.f_var("value", dims, Init::Const(value))?]
            }
            _ => Vec::new(),
        };
        Ok(Self { step: node.step, space, vars: made })
    }

    fn var(&self, index: usize) -> Result<&Tensor> {
        self.vars
            .get(index)
            .ok_or_else(|| PluginError::other("a layer lacks one of its variables; this is a bug"))
    }

    /// Runs the step.
    ///
    /// # Shapes
    /// `inputs` and output: those of the plan, `[N, C, H, W]` or `[N, T, C]`.
    pub(crate) fn forward(&self, inputs: &[&Tensor], pass: Pass<'_>) -> Result<Tensor> {
        let x = *inputs.first().ok_or_else(|| PluginError::other("a layer without an input"))?;
        match self.step {
            Step::Conv(c) => self.conv(x, c),
            Step::Linear { .. } => Ok(x.f_linear(self.var(0)?, self.vars.get(1))?),
            Step::GroupNorm { groups, .. } => group_norm(x, groups, self.var(0)?, self.var(1)?),
            Step::LayerNorm { channels, eps } => self.per_position(x, |x| {
                Ok(x.f_layer_norm([channels], self.vars.first(), self.vars.get(1), eps, true)?)
            }),
            Step::RmsNorm { channels, eps } => {
                self.per_position(x, |x| Ok(x.f_rms_norm([channels], self.vars.first(), eps)?))
            }
            Step::BatchNorm { momentum, eps, .. } => {
                let [weight, bias, mean, var] = [0, 1, 2, 3].map(|i| self.vars.get(i));
                Ok(x.f_batch_norm(weight, bias, mean, var, pass.train, momentum, eps, true)?)
            }
            Step::Activation(activation) => activate(x, activation),
            Step::SqueezeExcite { .. } => self.squeeze_excite(x),
            Step::SelfAttention { channels, heads, causal, bias, .. } => {
                self.attend(x, channels, heads, causal, bias)
            }
            Step::AvgPool { kernel: k, stride: s } => {
                Ok(x.f_avg_pool2d([k, k], [s, s], [k / 2, k / 2], false, false, None)?)
            }
            Step::MaxPool { kernel: k, stride: s } => {
                Ok(x.f_max_pool2d([k, k], [s, s], [k / 2, k / 2], [1, 1], false)?)
            }
            Step::GlobalAvg => Ok(x.f_mean_dim([2, 3].as_slice(), true, None)?),
            Step::Upsample => upsample(x, pass.slot),
            Step::Add => fold(inputs, Tensor::f_add),
            Step::Mul => fold(inputs, Tensor::f_mul),
            Step::Concat => Ok(Tensor::f_cat(inputs, if self.space == Space::Map { 1 } else { 2 })?),
            Step::Scale { .. } => Ok(x.f_mul(self.var(0)?)?),
            Step::Dropout { p } if pass.train && p > 0.0 => Ok(x.f_dropout(p, true)?),
            Step::Dropout { .. } | Step::Identity => Ok(x.shallow_clone()),
        }
    }

    fn conv(&self, x: &Tensor, c: Conv) -> Result<Tensor> {
        // Kernels are odd, so this padding keeps height and width at stride 1.
        let padding = c.dilation * (c.kernel / 2);
        let [stride, padding, dilation] = [c.stride, padding, c.dilation].map(|n| [n, n]);
        Ok(x.f_conv2d(self.var(0)?, self.vars.get(1), stride, padding, dilation, c.groups)?)
    }

    /// Applies a norm over the channels as the last dimension. Channels-last maps are not copied for this.
    ///
    /// # Shapes
    /// `x` and output: `[N, C, H, W]` or `[N, T, C]`.
    fn per_position(&self, x: &Tensor, norm: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        match self.space {
            Space::Sequence => norm(x),
            Space::Map => Ok(norm(&x.f_permute([0, 2, 3, 1])?)?.f_permute([0, 3, 1, 2])?),
        }
    }

    fn squeeze_excite(&self, x: &Tensor) -> Result<Tensor> {
        let pooled = x.f_mean_dim([2, 3].as_slice(), false, None)?;
        let squeezed = pooled.f_linear(self.var(0)?, self.vars.get(1))?.f_gelu("none")?;
        let excited = squeezed.f_linear(self.var(2)?, self.vars.get(3))?;
        let factor = excited.f_sigmoid()?.f_mul_scalar(2.0)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        Ok(x.f_mul(&factor)?)
    }

    fn attend(&self, x: &Tensor, channels: i64, heads: i64, causal: bool, bias: bool) -> Result<Tensor> {
        let [batch, length, _] = x.size()[..] else {
            return Err(PluginError::contract(format!("attention needs [N, T, C], not {:?}", x.size())));
        };
        let out = if bias { 2 } else { 1 };
        let bias_of = |index: usize| if bias { self.vars.get(index) } else { None };
        let qkv = x.f_linear(self.var(0)?, bias_of(1))?;
        let qkv = qkv.f_view([batch, length, 3, heads, channels / heads])?.f_permute([2, 0, 3, 1, 4])?;
        let [query, key, value] = [qkv.f_select(0, 0)?, qkv.f_select(0, 1)?, qkv.f_select(0, 2)?];
        let mask: Option<&Tensor> = None;
        let mixed =
            Tensor::f_scaled_dot_product_attention(&query, &key, &value, mask, 0.0, causal, None, false)?;
        let mixed = mixed.f_transpose(1, 2)?.f_reshape([batch, length, channels])?;
        Ok(mixed.f_linear(self.var(out)?, bias_of(out + 1))?)
    }
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Relu => x.f_relu(),
        Activation::LeakyRelu => x.f_leaky_relu(),
        Activation::Gelu => x.f_gelu("none"),
        Activation::Silu => x.f_silu(),
        Activation::Tanh => x.f_tanh(),
        Activation::Sigmoid => x.f_sigmoid(),
        Activation::Softplus => x.f_softplus(),
    }?)
}

/// Upsamples to the height and width of the slot's features.
///
/// # Shapes
/// `x`: `[N, C, h, w]`; `slot`: `[N, _, H, W]`; output: `[N, C, H, W]`.
fn upsample(x: &Tensor, slot: &Tensor) -> Result<Tensor> {
    let [_, _, height, width] = slot.size()[..] else {
        return Err(PluginError::contract(format!("upsample needs [N, C, H, W], not {:?}", slot.size())));
    };
    Ok(x.f_upsample_nearest2d([height, width], None, None)?)
}

fn fold(
    inputs: &[&Tensor],
    with: fn(&Tensor, &Tensor) -> std::result::Result<Tensor, tch::TchError>,
) -> Result<Tensor> {
    let mut inputs = inputs.iter();
    let first = inputs.next().ok_or_else(|| PluginError::other("a layer without an input"))?;
    inputs.try_fold(first.shallow_clone(), |all, input| Ok(with(&all, input)?))
}
