//! The tokens that a network has read while it continues sequences.

use super::Network;
use super::taps::CachedTaps;
use kasmina::model::ModelError;
use kasmina_plugin_api::PluginError;
use tch::Tensor;

/// What a network has read of the sequences that it continues.
#[derive(Debug)]
pub(crate) struct Context {
    /// Length of the longest sequence that the network reads, in tokens.
    longest: i64,
    /// Number of tokens that were read, from the beginning of the sequences.
    read: i64,
    /// Number of tokens that the host keeps, which are the last ones that were read.
    past: i64,
    /// Inputs of each slot for the tokens that the host keeps.
    inputs: Vec<Option<Tensor>>,
    /// Whether the host keeps no tokens, and reads all of them in each call.
    uncached: bool,
}

impl Context {
    /// Creates the context of new sequences.
    pub(crate) fn new(longest: i64) -> Self {
        Self { longest, read: 0, past: 0, inputs: Vec::new(), uncached: false }
    }

    /// Returns the number of tokens to read now, of sequences of `all` tokens. Begins again with the newest
    /// tokens if the unread ones do not fit behind those that the host keeps.
    fn advance(&mut self, all: i64, slots: usize) -> i64 {
        let unread = all - self.read;
        if self.past > 0 && self.past + unread <= self.longest {
            return unread;
        }
        // Half of the room is left for the tokens to come.
        let kept = if self.past == 0 { self.longest } else { unread.max(self.longest / 2) };
        self.past = 0;
        self.inputs = (0..slots).map(|_| None).collect();
        all.min(kept).min(self.longest)
    }
}

impl Network {
    /// Returns the logits of the token that follows `tokens`. The host reads only those that it has not read
    /// with the same context before.
    ///
    /// # Shapes
    /// `tokens`: `[N, T]`, those of the earlier calls first. Output: `[N, vocabulary]`.
    ///
    /// # Errors
    /// If the host or a seed fails.
    pub(crate) fn next_logits(
        &mut self,
        tokens: &Tensor,
        context: &mut Context,
    ) -> Result<Tensor, ModelError> {
        let _no_grad = tch::no_grad_guard();
        let all = tokens.size().get(1).copied().unwrap_or(0);
        if !context.uncached {
            let new = context.advance(all, self.slots.len());
            let x = tokens.f_narrow(1, all - new, new)?;
            let mut taps = CachedTaps::new(&mut self.slots, &mut context.inputs);
            let logits = self.host.forward_cached(&x, context.past, &mut taps);
            if let Some(logits) = taps.finish(logits).map_err(|error| self.failed(error))? {
                let (found, sequences) = (logits.size(), x.size()[0]);
                if found.len() != 2 || found[0] != sequences {
                    let text = format!(
                        "its forward_cached returned shape {found:?}; it must be [{sequences}, vocabulary]"
                    );
                    return Err(self.failed(PluginError::contract(text)));
                }
                (context.read, context.past) = (all, context.past + new);
                return Ok(logits);
            }
            context.uncached = true;
        }
        let length = all.min(context.longest);
        Ok(self.forward(&tokens.f_narrow(1, all - length, length)?)?.f_select(1, -1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Context;

    #[test]
    fn a_context_that_is_full_begins_again_with_its_newer_half() {
        let mut context = Context::new(8);
        let mut read = |all: i64| {
            let new = context.advance(all, 0);
            (context.read, context.past) = (all, context.past + new);
            (new, context.past)
        };
        assert_eq!(read(3), (3, 3));
        assert_eq!(read(4), (1, 4));
        assert_eq!(read(8), (4, 8));
        assert_eq!(read(9), (4, 4), "full: the last four of nine");
        assert_eq!(read(10), (1, 5));
        assert_eq!(read(40), (8, 8), "more than it ever reads");
    }

    #[test]
    fn a_long_beginning_is_cut() {
        assert_eq!(Context::new(8).advance(20, 0), 8);
        assert_eq!(Context::new(1).advance(1, 0), 1);
    }
}
