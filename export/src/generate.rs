//! Continuing a text, token by token.

use crate::network::Context;
use crate::{ExportError, Network};
use kasmina_torch_ext::rng::RngFork;
use std::ops::ControlFlow;
use tch::{Kind, Tensor};

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divisor of the logits before the softmax. 0 always chooses the most probable token.
    pub temperature: f64,
    /// Number of the most probable tokens of which one is drawn; all if absent.
    pub top_k: Option<u32>,
    /// Seed of the random draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, seed: 1 }
    }
}

impl Sampling {
    /// Refuses settings that no draw can be made with.
    ///
    /// # Errors
    /// If the temperature is negative or not finite, or no token remains to be drawn.
    pub fn check(&self) -> Result<(), ExportError> {
        let wrong = |setting, reason: String| Err(ExportError::Sampling { setting, reason });
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return wrong("temperature", format!("{} is not a number of at least 0", self.temperature));
        }
        if self.top_k == Some(0) {
            return wrong("top_k", "at least 1 token must remain".to_owned());
        }
        Ok(())
    }

    /// Chooses the next token of each sequence.
    ///
    /// # Shapes
    /// `logits`: `[N, vocabulary]`; returns `[N, 1]`, int64.
    fn choose(&self, logits: &Tensor) -> Result<Tensor, ExportError> {
        if self.temperature == 0.0 {
            return Ok(logits.f_argmax(-1, true)?);
        }
        let logits = logits.f_to_kind(Kind::Float)?.f_div_scalar(self.temperature)?;
        let vocabulary = logits.size().last().copied().unwrap_or(1);
        let count = self.top_k.map_or(vocabulary, |k| i64::from(k).min(vocabulary));
        if count == vocabulary {
            return Ok(logits.f_softmax(-1, Kind::Float)?.f_multinomial(1, false)?);
        }
        let (values, tokens) = logits.f_topk(count, -1, true, true)?;
        let drawn = values.f_softmax(-1, Kind::Float)?.f_multinomial(1, false)?;
        Ok(tokens.f_gather(-1, &drawn, false)?)
    }
}

impl Network {
    /// Continues sequences by up to `max_tokens` tokens. `each` is called with the new token of each
    /// sequence, and may end the generation. Returns the sequences with the new tokens.
    ///
    /// Sequences that grow longer than the network reads are continued from their newer half.
    ///
    /// # Shapes
    /// `prompt`: `[N, T]`, int64, on the device of the network. Output: `[N, T + n]`.
    ///
    /// # Errors
    /// If the network reads no tokens, the sampling is not possible, or a plugin fails.
    pub fn generate(
        &mut self,
        prompt: &Tensor,
        max_tokens: u32,
        sampling: &Sampling,
        each: &mut dyn FnMut(&[i64]) -> ControlFlow<()>,
    ) -> Result<Tensor, ExportError> {
        sampling.check()?;
        let input = self.token_input()?;
        let (longest, known) = (input.length, input.alphabet.len() as i64);
        let _fork = RngFork::seeded(sampling.seed)?;
        let mut context = Context::new(longest);
        let mut sequences = prompt.shallow_clone();
        for _ in 0..max_tokens {
            let logits = self.next_logits(&sequences, &mut context)?.f_narrow(-1, 0, known)?;
            let next = sampling.choose(&logits)?;
            sequences = Tensor::f_cat(&[&sequences, &next], 1)?;
            if each(&Vec::<i64>::try_from(next.f_flatten(0, -1)?)?).is_break() {
                break;
            }
        }
        Ok(sequences)
    }
}
