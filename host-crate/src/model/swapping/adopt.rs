//! Taking a staged build in.

use super::exchange::{ReadyExchange, WayBack};
use super::state::OnTrial;
use crate::consensus::{Act, Ballot};
use crate::graft::SeedSlot;
use crate::lifecycle::{EventKind, Stage};
use crate::model::growth::{Transaction, written};
use crate::model::{CommandError, MorphogeneticModel};
use kasmina_plugin_api::Kind;
use kasmina_registry::{Committed, Registry, Staged};
use kasmina_torch_ext::{Change, ParameterSink};

impl MorphogeneticModel {
    /// Takes a staged build in: between two steps, all of it or nothing. What germinates from now on is of
    /// the new build; blends that live move over and are on trial. Returns the names of the slots whose blend
    /// was exchanged.
    ///
    /// # Errors
    /// If the build cannot take the place of what lives, or the ranks do not agree; nothing has changed then.
    pub fn adopt(
        &mut self,
        staged: &Staged,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Vec<String>, CommandError> {
        // The same bytes again: they are there, and stay on trial if they are.
        let current = registry.generation(&staged.plugin().name);
        if current.is_some() && current == staged.plugin().sha256 {
            return Ok(Vec::new());
        }
        let ready = self.prepare_swap(staged, sink);
        let agreed = self.agree_on(self.swap_ballot(staged, ready.is_ok()));
        let swap = match (ready, agreed) {
            (Ok(swap), Ok(true)) => swap,
            (Ok(swap), Ok(false)) => {
                swap.abort(sink);
                return Err(CommandError::Vetoed);
            }
            (Ok(swap), Err(error)) => {
                swap.abort(sink);
                return Err(error);
            }
            (Err(error), Ok(_)) | (Err(_), Err(error)) => return Err(error),
        };

        // From here on nothing can fail.
        self.end_trials(swap.closing, sink);
        let committed = registry.commit(staged);
        let (steps, budget) = (self.swapping.trial.least_steps(), self.swapping.trial.budget());
        let mut slots = Vec::new();
        for ready in swap.exchanges {
            ready.transaction.commit(sink);
            let slot = &mut self.slots[ready.index];
            let Some(before) = slot.exchange_blend(ready.exchange) else { continue };
            slot.begin_trial(before, steps, budget);
            slots.push(slot.name().to_owned());
            self.restructured();
        }
        self.tell_of_swap(&committed, &slots);
        let trial = OnTrial { committed, before: None };
        if slots.is_empty() {
            self.tell_confirmed(&trial);
        } else {
            self.swapping.on_trial = Some(trial);
        }
        Ok(slots)
    }

    /// Everything of a swap that can fail; nothing has changed when it does.
    fn prepare_swap(&self, staged: &Staged, sink: &mut dyn ParameterSink) -> Result<ReadySwap, CommandError> {
        if self.consensus.ranks() > 1 {
            return Err(CommandError::SeveralRanks);
        }
        let mut swap = ReadySwap::default();
        for index in 0..self.slots.len() {
            match self.moved_over(index, staged, sink) {
                Ok(exchange) => swap.exchanges.extend(exchange),
                Err(error) => {
                    swap.abort(sink);
                    return Err(error);
                }
            }
        }
        // What is on trial until now has had its time.
        match self.close_trials(sink, |owner| Change::Settle { owner }) {
            Ok(closing) => Ok(ReadySwap { closing, ..swap }),
            Err(error) => {
                swap.abort(sink);
                Err(error.into())
            }
        }
    }

    /// What would take the place of the blend of a slot, if it is of the staged build's plugin.
    fn moved_over(
        &self,
        index: usize,
        staged: &Staged,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<ReadyExchange>, CommandError> {
        let slot = &self.slots[index];
        let Some(live) = slot.live() else { return Ok(None) };
        let of = live.blend().entry();
        if of.plugin().name != staged.plugin().name || of.plugin().sha256 == staged.plugin().sha256 {
            return Ok(None);
        }
        let Some(entry) = staged.instead_of(of) else {
            let (blend, slot) = (of.id().to_owned(), slot.name().to_owned());
            return Err(CommandError::NotBrought { blend, slot, plugin: staged.plugin().name.clone() });
        };
        self.prepare_exchange(index, entry, WayBack::Kept, sink).map(Some)
    }

    fn swap_ballot(&self, staged: &Staged, verdict: bool) -> Ballot {
        Ballot {
            step: self.telemetry.step(),
            slot: String::new(),
            seed_id: None,
            from: Stage::Unknown,
            act: Act::Swap,
            subject: written(&("swap", &staged.plugin().name, &staged.plugin().sha256)),
            verdict,
            able: true,
        }
    }

    fn tell_of_swap(&mut self, committed: &Committed, slots: &[String]) {
        let generation = |info: Option<&str>| info.unwrap_or("none").to_owned();
        let from = generation(committed.from().and_then(|info| info.generation()));
        let to = generation(committed.to().generation());
        for entry in committed.staged().entries() {
            let moved = |name: &&String| {
                self.slot(name)
                    .and_then(SeedSlot::entries)
                    .is_some_and(|(_, blend)| entry.kind() == Kind::Blend && blend.id() == entry.id())
            };
            let kind = EventKind::PluginSwapped {
                kind: entry.kind().to_string(),
                id: entry.id().to_owned(),
                plugin: entry.plugin().name.clone(),
                from_generation: from.clone(),
                to_generation: to.clone(),
                slots: slots.iter().filter(moved).cloned().collect(),
            };
            self.events.tell(kind);
        }
    }

    /// Notes that a build was not let in.
    pub fn note_refused(&mut self, path: &str, rule: &str, found: &str) {
        let (path, rule, found) = (path.to_owned(), rule.to_owned(), found.to_owned());
        self.events.tell(EventKind::PluginRefused { path, rule, found });
    }
}

/// A swap that nothing stands in the way of any more.
#[derive(Debug, Default)]
struct ReadySwap {
    exchanges: Vec<ReadyExchange>,
    /// Ends the trials of before.
    closing: Transaction,
}

impl ReadySwap {
    fn abort(self, sink: &mut dyn ParameterSink) {
        for exchange in self.exchanges {
            exchange.transaction.abort(sink);
        }
        self.closing.abort(sink);
    }
}
