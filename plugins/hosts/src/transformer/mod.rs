//! A decoder in the style of GPT-2: pre-norm blocks, causal attention, learned positions, and a head tied to
//! the token embedding.

mod block;
mod cache;
mod config;

use block::{Block, Norm, apply_dropout};
use cache::KeyValueCache;
pub use config::TransformerConfig;
use config::{SCALE, check_config};
use kasmina_plugin_api::prelude::*;

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
    /// Keys and values of the tokens of earlier calls of `forward_cached`.
    cache: Option<KeyValueCache>,
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
        Ok(Box::new(Self { tokens, positions, blocks, norm, config, cache: None }))
    }

    fn pytorch(_: &TransformerConfig) -> Option<String> {
        Some(include_str!("../../pytorch/transformer.py").to_owned())
    }
}

impl HostModule for Transformer {
    fn slots(&self) -> Vec<SlotSpec> {
        let slots = (0..self.blocks.len())
            .map(|i| SlotSpec::new(format!("block{i}"), Topology::TRANSFORMER, self.config.n_embd))
            .collect();
        SlotSpec::alias_thirds(slots)
    }

    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor> {
        let train = taps.mode().is_train();
        let mut x = apply_dropout(self.embed(x, 0)?, self.config.dropout, train)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, train)?;
            x = taps.at(i, x)?;
        }
        self.logits(&x)
    }

    fn forward_cached(&mut self, x: &Tensor, past: i64, taps: &mut Taps<'_>) -> Result<Option<Tensor>> {
        let mut x = self.embed(x, past)?;
        let mut cache = self.cache_after(past, &x)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward_cached(&x, i, &mut cache)?;
            x = taps.at(i, x)?;
        }
        cache.advance(&x);
        self.cache = Some(cache);
        self.logits(&x.f_select(1, -1)?).map(Some)
    }
}

impl Transformer {
    /// Returns the embeddings of tokens at the positions that follow `past` tokens.
    ///
    /// # Shapes
    /// `x`: tokens `[batch, length]`; output: `[batch, length, n_embd]`.
    fn embed(&self, x: &Tensor, past: i64) -> Result<Tensor> {
        let &[_, length] = x.size().as_slice() else {
            let text = format!("a transformer needs tokens [batch, length], not {:?}", x.size());
            return Err(PluginError::contract(text));
        };
        let all = past + length;
        if all > self.config.block_size {
            let text = format!("a sequence of {all} tokens exceeds block_size {}", self.config.block_size);
            return Err(PluginError::contract(text));
        }
        let tokens = Tensor::f_embedding(&self.tokens, x, -1, false, false)?;
        Ok(tokens.f_add(&self.positions.f_narrow(0, past, length)?)?)
    }

    /// Returns the logits of features; `[.., n_embd]` gives `[.., vocab_size]`.
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.norm.forward(x)?.f_linear::<Tensor>(&self.tokens, None)?)
    }

    /// Returns the cache of `past` tokens for the sequences of `x`: that of the last call, or an empty one.
    /// It is taken out of this host, so that a call that fails leaves no cache that is half filled.
    fn cache_after(&mut self, past: i64, x: &Tensor) -> Result<KeyValueCache> {
        let kept = self.cache.take();
        if past == 0 {
            return KeyValueCache::new(kept, x, &self.config);
        }
        let batch = x.size().first().copied().unwrap_or(0);
        match kept {
            Some(cache) if cache.serves(past, batch) => Ok(cache),
            kept => {
                let (tokens, sequences) = kept.map_or((0, 0), |cache| (cache.tokens(), cache.sequences()));
                Err(PluginError::contract(format!(
                    "{past} tokens of {batch} sequences were to be continued; the cache has {tokens} of {sequences}"
                )))
            }
        }
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
    fn cached_logits_are_those_of_all_tokens_together() {
        let vars = nn::VarStore::new(Device::Cpu);
        let mut host = Transformer::build(&vars.root(), small()).unwrap();
        let mut visits = Visits::default();
        for (sequences, parts) in [(2, [3, 1, 1, 2, 1]), (3, [1, 1, 1, 1, 1]), (3, [8, 0, 0, 0, 0])] {
            let x = Tensor::randint(11, [sequences, parts.iter().sum()], (Kind::Int64, Device::Cpu));
            let all = host.forward(&x, &mut Taps::new(&mut visits, Mode::Eval)).unwrap();
            let mut past = 0;
            for length in parts.into_iter().filter(|length| *length > 0) {
                let new = x.narrow(1, past, length);
                let taps = &mut Taps::new(&mut visits, Mode::Eval);
                let cached = host.forward_cached(&new, past, taps).unwrap().unwrap();
                past += length;
                let difference = (&cached - all.select(1, past - 1)).abs().max().f_double_value(&[]).unwrap();
                assert!(cached.size() == [sequences, 11] && difference < 1e-5, "{difference} at {past}");
            }
        }
        let one = Tensor::zeros([3, 1], (Kind::Int64, Device::Cpu));
        let mut refused = |host: &mut Box<dyn HostModule>, x: &Tensor, past| {
            let taps = &mut Taps::new(&mut visits, Mode::Eval);
            host.forward_cached(x, past, taps).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert!(refused(&mut host, &one, 8).contains("9 tokens exceeds block_size 8"));
        assert!(refused(&mut host, &one, 4).contains("4 tokens of 3 sequences were to be continued"));
        assert_eq!(refused(&mut host, &one, 0), "");
        assert!(refused(&mut host, &one.narrow(0, 0, 2), 1).contains("the cache has 1 of 3"));
        assert!(refused(&mut host, &one, 1).contains("the cache has 0 of 0"), "a failed call keeps nothing");
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
