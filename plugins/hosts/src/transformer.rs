//! A decoder in the style of GPT-2: pre-norm blocks, causal attention, learned positions, and a head tied to
//! the token embedding.

use crate::settings::at_least_one;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Settings of the host `transformer`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerConfig {
    /// Size of the vocabulary.
    #[schemars(range(min = 1))]
    pub vocab_size: i64,
    /// Width of the residual stream.
    #[schemars(range(min = 1))]
    pub n_embd: i64,
    /// Number of attention heads; must divide `n_embd`.
    #[schemars(range(min = 1))]
    pub n_head: i64,
    /// Number of blocks. Each is followed by a slot.
    #[schemars(range(min = 1, max = 1024))]
    pub n_layer: i64,
    /// Largest length of a sequence, in tokens.
    #[schemars(range(min = 1))]
    pub block_size: i64,
    /// Dropout probability of embeddings, attention weights and residual branches in training.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub dropout: f64,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self { vocab_size: 50_257, n_embd: 384, n_head: 6, n_layer: 6, block_size: 256, dropout: 0.1 }
    }
}

/// Standard deviation of the initial weights.
const SCALE: f64 = 0.02;
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

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn new(vars: &nn::Path<'_>, width: i64) -> Self {
        Self { weight: vars.ones("weight", &[width]), bias: vars.zeros("bias", &[width]) }
    }
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let shape = self.weight.size();
        Ok(x.f_layer_norm(shape, Some(&self.weight), Some(&self.bias), EPS, true)?)
    }
}

#[derive(Debug)]
struct Block {
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
    fn new(vars: &nn::Path<'_>, config: &TransformerConfig) -> Self {
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

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let attended = self.attend(&self.norm1.forward(x)?, train)?;
        let x = x.f_add(&apply_dropout(attended, self.dropout, train)?)?;
        let inner = self.widen.forward(&self.norm2.forward(&x)?).f_gelu("none")?;
        Ok(x.f_add(&apply_dropout(self.narrow.forward(&inner), self.dropout, train)?)?)
    }

    fn attend(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let &[batch, length, width] = x.size().as_slice() else {
            return Err(PluginError::contract("a block needs features [batch, length, channels]"));
        };
        let split = [batch, length, 3, self.heads, width / self.heads];
        let qkv = self.qkv.forward(x).f_view(split)?.f_permute([2, 0, 3, 1, 4])?;
        let (query, key, value) = (qkv.f_select(0, 0)?, qkv.f_select(0, 1)?, qkv.f_select(0, 2)?);
        let dropout = if train { self.dropout } else { 0.0 };
        let heads = Tensor::f_scaled_dot_product_attention::<Tensor>(
            &query, &key, &value, None, dropout, true, None, false,
        )?;
        let joined = heads.f_transpose(1, 2)?.f_reshape([batch, length, width])?;
        Ok(self.project.forward(&joined))
    }
}

/// Applies dropout in training. Without dropout it calls nothing, so that it draws no random numbers.
fn apply_dropout(x: Tensor, dropout: f64, train: bool) -> Result<Tensor> {
    Ok(if train && dropout > 0.0 { x.f_dropout(dropout, true)? } else { x })
}

/// A decoder-only transformer, with a slot after each block.
///
/// # Shapes
/// Input: tokens `[batch, length]`, int64, `length` at most `block_size`. Output: logits
/// `[batch, length, vocab_size]`.
#[derive(Debug)]
pub struct Transformer {
    tokens: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    config: TransformerConfig,
}

impl Host for Transformer {
    const INFO: EntryInfo =
        EntryInfo::new("transformer", "decoder in the style of GPT-2, a slot after each block")
            .topologies(&[Topology::TRANSFORMER])
            .capabilities(&[Capability::Stochastic]);
    type Config = TransformerConfig;

    fn build(vars: &nn::Path<'_>, config: TransformerConfig) -> Result<Box<dyn HostModule>> {
        check_config(&config)?;
        let normal = nn::Init::Randn { mean: 0.0, stdev: SCALE };
        let tokens = vars.var("tokens", &[config.vocab_size, config.n_embd], normal);
        let positions = vars.var("positions", &[config.block_size, config.n_embd], normal);
        let blocks =
            (0..config.n_layer).map(|i| Block::new(&(vars / format!("block{i}")), &config)).collect();
        let norm = Norm::new(&(vars / "norm"), config.n_embd);
        Ok(Box::new(Self { tokens, positions, blocks, norm, config }))
    }

    fn pytorch(_: &TransformerConfig) -> Option<String> {
        Some(include_str!("../pytorch/transformer.py").to_owned())
    }
}

fn check_config(config: &TransformerConfig) -> Result<()> {
    at_least_one(&[
        ("vocab_size", config.vocab_size),
        ("n_embd", config.n_embd),
        ("n_head", config.n_head),
        ("n_layer", config.n_layer),
        ("block_size", config.block_size),
    ])?;
    let wrong = |text: String| Err(PluginError::config(text));
    if config.n_embd % config.n_head != 0 {
        return wrong(format!("n_head {} does not divide n_embd {}", config.n_head, config.n_embd));
    }
    if config.n_layer > 1024 {
        return wrong(format!("n_layer {} is not at most 1024", config.n_layer));
    }
    if !(0.0..=0.9).contains(&config.dropout) {
        return wrong(format!("dropout {} is not in 0..=0.9", config.dropout));
    }
    Ok(())
}

impl HostModule for Transformer {
    fn slots(&self) -> Vec<SlotSpec> {
        let slots = (0..self.blocks.len())
            .map(|i| SlotSpec::new(format!("block{i}"), Topology::TRANSFORMER, self.config.n_embd))
            .collect();
        SlotSpec::alias_thirds(slots)
    }

    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor> {
        let &[_, length] = x.size().as_slice() else {
            let text = format!("a transformer needs tokens [batch, length], not {:?}", x.size());
            return Err(PluginError::contract(text));
        };
        if length > self.config.block_size {
            let text = format!("a sequence of {length} tokens exceeds block_size {}", self.config.block_size);
            return Err(PluginError::contract(text));
        }
        let train = taps.mode().is_train();
        let tokens = Tensor::f_embedding(&self.tokens, x, -1, false, false)?;
        let positions = self.positions.f_narrow(0, 0, length)?;
        let mut x = apply_dropout(tokens.f_add(&positions)?, self.config.dropout, train)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, train)?;
            x = taps.at(i, x)?;
        }
        Ok(self.norm.forward(&x)?.f_linear::<Tensor>(&self.tokens, None)?)
    }
}

kasmina_plugin_api::register_host!(Transformer);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visits::Visits;
    use tch::{Device, Kind};

    fn small() -> TransformerConfig {
        TransformerConfig { vocab_size: 11, n_embd: 16, n_head: 2, n_layer: 4, block_size: 8, dropout: 0.0 }
    }

    #[test]
    fn the_default_host_has_the_known_size() {
        let vars = nn::VarStore::new(Device::Cpu);
        Transformer::build(&vars.root(), TransformerConfig::default()).unwrap();
        let parameters: usize = vars.trainable_variables().iter().map(Tensor::numel).sum();
        assert_eq!(parameters, 30_044_544);
    }

    #[test]
    fn no_logit_depends_on_a_later_token_and_every_slot_is_reached() {
        let vars = nn::VarStore::new(Device::Cpu);
        let mut host = Transformer::build(&vars.root(), small()).unwrap();
        let mut visits = Visits::default();
        let x = Tensor::randint(11, [2, 8], (Kind::Int64, Device::Cpu));
        let before = host.forward(&x, &mut Taps::new(&mut visits, Mode::Eval)).unwrap();
        assert_eq!(before.size(), [2, 8, 11]);
        assert_eq!(visits.sizes(), vec![vec![2, 8, 16]; 4]);
        let other = x.copy();
        let _ = other.narrow(1, 5, 3).fill_(3);
        let after = host.forward(&other, &mut Taps::new(&mut visits, Mode::Eval)).unwrap();
        assert!(before.narrow(1, 0, 5).allclose(&after.narrow(1, 0, 5), 1e-5, 1e-6, false));
        assert!(!before.narrow(1, 5, 3).allclose(&after.narrow(1, 5, 3), 1e-5, 1e-6, false));
    }

    #[test]
    fn a_bad_setting_or_input_is_refused_by_name() {
        let vars = nn::VarStore::new(Device::Cpu);
        let refused = Transformer::build(&vars.root(), TransformerConfig { n_head: 3, ..small() });
        assert!(refused.err().unwrap().to_string().contains("n_head 3 does not divide n_embd 16"));
        let mut host = Transformer::build(&(vars.root() / "good"), small()).unwrap();
        let mut visits = Visits::default();
        let long = Tensor::zeros([1, 9], (Kind::Int64, Device::Cpu));
        let refused = host.forward(&long, &mut Taps::new(&mut visits, Mode::Eval));
        assert!(refused.err().unwrap().to_string().contains("9 tokens exceeds block_size 8"));
    }
}
