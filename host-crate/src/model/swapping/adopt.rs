//! Adopting a staged build.

use super::exchange::{PreviousBlend, ReadyExchange};
use super::state::OnTrial;
use crate::consensus::{Action, Ballot};
use crate::graft::SeedSlot;
use crate::lifecycle::{EventKind, Stage};
use crate::model::growth::{Transaction, subject_text};
use crate::model::{CommandError, MorphogeneticModel};
use kasmina_plugin_api::Kind;
use kasmina_registry::{Committed, Registry, Staged};
use kasmina_torch_ext::{Change, ParameterSink};

impl MorphogeneticModel {
    /// Adopts a staged build, all of it or nothing; call it between two steps. Later germinations use the new
    /// build; the blends in slots move to it and are on trial. Returns the names of the slots whose blend was
    /// replaced.
    ///
    /// # Errors
    /// If a blend cannot be replaced, the optimizer refuses, or the ranks do not agree; nothing has then
    /// changed.
    pub fn adopt(
        &mut self,
        staged: &Staged,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Vec<String>, CommandError> {
        // The same build is loaded already; if it is on trial, the trial continues.
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
        let (steps, budget) = (self.swapping.trial.steps_at_least_one(), self.swapping.trial.budget());
        let mut slots = Vec::new();
        for ready in swap.exchanges {
            ready.transaction.commit(sink);
            let slot = &mut self.slots[ready.index];
            let Some(before) = slot.exchange_blend(ready.exchange) else { continue };
            slot.begin_trial(before, steps, budget);
            slots.push(slot.name().to_owned());
            self.structure_changed();
        }
        self.push_swap_events(&committed, &slots);
        let trial = OnTrial { committed, before: None };
        if slots.is_empty() {
            self.push_confirmed_event(&trial);
        } else {
            self.swapping.on_trial = Some(trial);
        }
        Ok(slots)
    }

    /// Does everything of a swap that can fail, without changing the model.
    fn prepare_swap(&self, staged: &Staged, sink: &mut dyn ParameterSink) -> Result<ReadySwap, CommandError> {
        let mut swap = ReadySwap::default();
        for index in 0..self.slots.len() {
            match self.prepare_blend_move(index, staged, sink) {
                Ok(exchange) => swap.exchanges.extend(exchange),
                Err(error) => {
                    swap.abort(sink);
                    return Err(error);
                }
            }
        }
        // A new swap ends the trial of the previous one.
        match self.close_trials(sink, |owner| Change::Settle { owner }) {
            Ok(closing) => Ok(ReadySwap { closing, ..swap }),
            Err(error) => {
                swap.abort(sink);
                Err(error.into())
            }
        }
    }

    /// Prepares the replacement of a slot's blend; `None` if the blend is not affected by the swap.
    fn prepare_blend_move(
        &self,
        index: usize,
        staged: &Staged,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<ReadyExchange>, CommandError> {
        let slot = &self.slots[index];
        let Some(live) = slot.live() else { return Ok(None) };
        let old = live.blend().entry();
        if old.plugin().name != staged.plugin().name || old.plugin().sha256 == staged.plugin().sha256 {
            return Ok(None);
        }
        let Some(entry) = staged.instead_of(old) else {
            let (blend, slot) = (old.id().to_owned(), slot.name().to_owned());
            return Err(CommandError::MissingBlend { blend, slot, plugin: staged.plugin().name.clone() });
        };
        self.prepare_exchange(index, entry, PreviousBlend::Kept, sink).map(Some)
    }

    /// Returns this rank's ballot on the swap.
    fn swap_ballot(&self, staged: &Staged, verdict: bool) -> Ballot {
        Ballot {
            step: self.telemetry.step(),
            slot: String::new(),
            seed_id: None,
            from: Stage::Unknown,
            action: Action::Swap,
            subject: subject_text(&("swap", &staged.plugin().name, &staged.plugin().sha256)),
            verdict,
            able: true,
        }
    }

    /// Adds one event for each entry of the new build.
    fn push_swap_events(&mut self, committed: &Committed, slots: &[String]) {
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
            self.events.push_for_model(kind);
        }
    }

    /// Adds the event of a refused build.
    pub fn note_refused(&mut self, path: &str, rule: &str, found: &str) {
        let (path, rule, found) = (path.to_owned(), rule.to_owned(), found.to_owned());
        self.events.push_for_model(EventKind::PluginRefused { path, rule, found });
    }
}

/// A swap whose fallible steps have all succeeded.
#[derive(Debug, Default)]
struct ReadySwap {
    exchanges: Vec<ReadyExchange>,
    /// Ends the previous trial in the optimizer.
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
