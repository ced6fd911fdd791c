//! A new build of a plugin under a living model.
//!
//! Seeds and hosts stay on the build that they were made with. Blends move over, between two steps, with their variables,
//! their state, the optimizer's, and alpha where it is. Then they are on trial: for some steps every call is watched, and
//! what fails, makes values that are not finite, or takes too long goes back to the build before it.

use super::error::CommandError;
use super::exchange::Exchange;
use super::execute::written;
use super::still::Still;
use super::{ModelError, MorphogeneticModel};
use crate::consensus::{Act, Ballot};
use crate::graft::{Mark, Trial, blend_group};
use crate::lifecycle::{Event, EventKind, Stage};
use crate::model::{Intervene, Intervention};
use kasmina_registry::{Committed, Entry, Registry, Staged};
use kasmina_torch_ext::{Change, ParameterSink, Ticket};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a build proves itself once it has been swapped in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrialSettings {
    /// Training steps that it is watched for.
    #[schemars(range(min = 1))]
    pub steps: u32,
    /// What a call of it may take meanwhile, in milliseconds.
    pub call_budget_ms: f64,
}

impl Default for TrialSettings {
    fn default() -> Self {
        Self { steps: 32, call_budget_ms: 250.0 }
    }
}

/// A build on trial, and what a step that fails in it is set back to.
#[derive(Debug)]
pub(super) struct OnTrial {
    committed: Committed,
    before: Option<StepBegin>,
}

impl OnTrial {
    /// Whether an entry is of the build that is on trial.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        entry.plugin().sha256 == self.committed.to().sha256
    }
}

/// Where a training step began.
#[derive(Debug)]
struct StepBegin {
    marks: Vec<Mark>,
    still: Still,
}

/// A failure that the model has dealt with: the step may be taken again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovered {
    /// A build on trial has failed; the one before is back.
    RolledBack {
        /// Which plugin.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// A panic was contained by the slot's policy.
    Contained {
        /// Where.
        slot: String,
        /// How.
        policy: String,
    },
}

impl MorphogeneticModel {
    /// Takes a staged build in: between two steps, all of it or nothing. What germinates from now on is of the new build;
    /// blends that live move over and are on trial. Answers with the slots where one does.
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
        let mut ready: Vec<Exchange> = Vec::new();
        let mut refused = (self.consensus.ranks() > 1).then_some(CommandError::SeveralRanks);
        for index in 0..self.slots.len() {
            if refused.is_some() {
                break;
            }
            match self.moved_over(index, staged, sink) {
                Ok(exchange) => ready.extend(exchange),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        // What is on trial until now has had its time.
        let mut closing = Vec::new();
        if refused.is_none() {
            match self.close_trials(sink, |owner| Change::Settle { owner }) {
                Ok(tickets) => closing = tickets,
                Err(error) => refused = Some(error),
            }
        }
        let agreed = self.agree_on(self.swap_ballot(staged, refused.is_none()));
        let refused = match (refused, agreed) {
            (None, Ok(true)) => None,
            (Some(error), Ok(_)) | (_, Err(error)) => Some(error),
            (None, Ok(false)) => Some(CommandError::Vetoed),
        };
        if let Some(error) = refused {
            for ticket in ready.into_iter().flat_map(|exchange| exchange.tickets).chain(closing) {
                sink.abort(ticket);
            }
            return Err(error);
        }

        // From here on nothing can fail.
        self.end_trials(closing, sink);
        let committed = registry.commit(staged);
        let mut slots = Vec::new();
        for exchange in ready {
            let index = exchange.index;
            let Some(before) = self.take_exchange(exchange, sink) else { continue };
            let budget = Duration::from_secs_f64(self.trial.call_budget_ms.max(0.0) / 1e3);
            let trial = Trial { steps_left: self.trial.steps.max(1), budget, before };
            slots.push(self.slots[index].name().to_owned());
            if let Some(live) = self.slots[index].live.as_mut() {
                live.trial = Some(trial);
            }
        }
        self.tell_of_swap(&committed, &slots);
        let trial = OnTrial { committed, before: None };
        if slots.is_empty() {
            self.proven(&trial);
        } else {
            self.on_trial = Some(trial);
        }
        Ok(slots)
    }

    /// What would take the place of the blend of a slot, if it is of the staged build's plugin.
    fn moved_over(
        &self,
        index: usize,
        staged: &Staged,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Exchange>, CommandError> {
        let slot = &self.slots[index];
        let Some(live) = &slot.live else { return Ok(None) };
        let of = &live.origin.blend;
        if of.plugin().name != staged.plugin().name || of.plugin().sha256 == staged.plugin().sha256 {
            return Ok(None);
        }
        let Some(entry) = staged.instead_of(of) else {
            let (blend, slot) = (of.id().to_owned(), slot.name().to_owned());
            return Err(CommandError::NotBrought { blend, slot, plugin: staged.plugin().name.clone() });
        };
        self.prepare_exchange(index, entry, true, sink).map(Some)
    }

    fn swap_ballot(&self, staged: &Staged, verdict: bool) -> Ballot {
        Ballot {
            step: self.step,
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
                self.slot(name).and_then(|s| s.live.as_ref()).is_some_and(|live| {
                    entry.kind() == kasmina_plugin_api::Kind::Blend && live.origin.blend.id() == entry.id()
                })
            };
            let kind = EventKind::PluginSwapped {
                kind: entry.kind().to_string(),
                id: entry.id().to_owned(),
                plugin: entry.plugin().name.clone(),
                from_generation: from.clone(),
                to_generation: to.clone(),
                slots: slots.iter().filter(moved).cloned().collect(),
            };
            self.tell(kind);
        }
    }

    /// Notes something that concerns the whole model.
    pub(super) fn tell(&mut self, kind: EventKind) {
        self.events.push(Event { kind, slot_id: String::new(), seed_id: None });
    }

    /// Notes that a build was not let in.
    pub fn note_refused(&mut self, path: &str, rule: &str, found: &str) {
        let (path, rule, found) = (path.to_owned(), rule.to_owned(), found.to_owned());
        self.tell(EventKind::PluginRefused { path, rule, found });
    }

    /// Whether a build is on trial: its steps are watched, and not recorded.
    pub fn is_on_trial(&self) -> bool {
        self.on_trial.is_some()
    }

    /// Remembers where a training step begins that a build on trial may fail in.
    pub(super) fn begin_trial_step(&mut self) -> Result<(), ModelError> {
        if self.on_trial.is_none() {
            return Ok(());
        }
        let begin = StepBegin { marks: self.marks(), still: self.hold_still()? };
        if let Some(trial) = &mut self.on_trial {
            trial.before = Some(begin);
        }
        Ok(())
    }

    /// Counts a step that a build on trial has held; after the last one it stays. [`Stepper`](super::Stepper) calls it.
    ///
    /// # Errors
    /// If the optimizer refuses.
    pub(super) fn count_trial(&mut self, sink: &mut dyn ParameterSink) -> Result<(), ModelError> {
        let Some(trial) = &mut self.on_trial else { return Ok(()) };
        // It is whole; what fails from here on has not moved what it moved.
        trial.before = None;
        let mut left = 0;
        for trial in self.slots.iter_mut().filter_map(|s| s.live.as_mut()?.trial.as_mut()) {
            trial.steps_left = trial.steps_left.saturating_sub(1);
            left = left.max(trial.steps_left);
        }
        if left == 0 { self.confirm(sink).map_err(|e| ModelError::Torch(e.to_string())) } else { Ok(()) }
    }

    /// Ends the trial of what was swapped in: it stays.
    ///
    /// # Errors
    /// If the optimizer refuses; the trial goes on then.
    pub fn confirm(&mut self, sink: &mut dyn ParameterSink) -> Result<(), CommandError> {
        let tickets = self.close_trials(sink, |owner| Change::Settle { owner })?;
        self.end_trials(tickets, sink);
        Ok(())
    }

    /// What was on trial stays. Cannot fail.
    fn end_trials(&mut self, tickets: Vec<Ticket>, sink: &mut dyn ParameterSink) {
        for ticket in tickets {
            sink.commit(ticket);
        }
        for slot in &mut self.slots {
            if let Some(live) = &mut slot.live
                && let Some(trial) = live.trial.take()
            {
                live.earlier_blend = Some(trial.before.entry);
            }
        }
        if let Some(trial) = self.on_trial.take() {
            self.proven(&trial);
        }
    }

    fn proven(&mut self, trial: &OnTrial) {
        let plugin = trial.committed.to().name.clone();
        let generation = trial.committed.to().generation().unwrap_or_default().to_owned();
        self.tell(EventKind::PluginConfirmed { plugin, generation });
    }

    /// Prepares the end of every trial in the optimizer.
    fn close_trials(
        &self,
        sink: &mut dyn ParameterSink,
        change: impl Fn(String) -> Change,
    ) -> Result<Vec<Ticket>, CommandError> {
        let exchanged = self.slots.iter().filter(|slot| {
            slot.live.as_ref().is_some_and(|live| {
                let trial = live.trial.as_ref();
                trial.is_some_and(|t| !(t.before.parameters.is_empty() && live.blend_parameters.is_empty()))
            })
        });
        let changes: Vec<Change> = exchanged.map(|slot| change(blend_group(slot.name()))).collect();
        Ok(super::germinate::prepare_all(sink, changes.into_iter())?)
    }

    /// Takes a build on trial back: its blends, their variables and the optimizer's state are as they were when it came,
    /// and alpha goes on from where it is.
    ///
    /// # Errors
    /// If the optimizer refuses, or the device does not take the step back.
    pub fn roll_back(
        &mut self,
        reason: &str,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Recovered>, ModelError> {
        if self.on_trial.is_none() {
            return Ok(None);
        }
        let tickets = self
            .close_trials(sink, |owner| Change::Restore { owner })
            .map_err(|e| ModelError::Torch(e.to_string()))?;
        for ticket in tickets {
            sink.commit(ticket);
        }
        let Some(trial) = self.on_trial.take() else { return Ok(None) };
        let mut back = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(before) = slot.live.as_mut().and_then(|live| live.trial.take()).map(|t| t.before) else {
                continue;
            };
            back.push(index);
            // As it was then if it has not moved since, and nobody has been told of the other curve yet.
            let told = slot.interventions.last().filter(|i| i.after_ticks == slot.ticks).cloned();
            let curve = before.alpha.curve().clone();
            let moved = slot.lifecycle.living().is_none_or(|seed| *seed.alpha.curve() != curve);
            if moved && matches!(told, Some(Intervention { what: Intervene::ExchangeCurve { .. }, .. })) {
                slot.interventions.pop();
                slot.lifecycle.restore_ramp(before.alpha);
            } else if moved && slot.lifecycle.exchange_curve(curve.clone()).is_ok() {
                let what = Intervene::ExchangeCurve { curve };
                slot.interventions.push(Intervention { after_ticks: slot.ticks, what });
            }
            if let Some(live) = &mut slot.live {
                live.origin.blend = before.entry;
                live.blend = before.blend;
                live.blend_parameters = before.parameters;
                live.seed_at_one = before.seed_at_one;
            }
        }
        self.restructured();
        // What has germinated meanwhile was never on another build; it moves to the one that there was before.
        for index in 0..self.slots.len() {
            let Some(live) = self.slots[index].live.as_ref().filter(|live| trial.is_of(&live.origin.blend))
            else {
                continue;
            };
            let Some(entry) = trial.committed.instead_of(&live.origin.blend).cloned() else { continue };
            self.stand_in(index, &entry, false, sink).map_err(|e| ModelError::Torch(e.to_string()))?;
            back.push(index);
        }
        registry.revert(&trial.committed);
        let plugin = trial.committed.to().name.clone();
        let generation = |info: Option<&str>| info.unwrap_or("none").to_owned();
        self.tell(EventKind::PluginRolledBack {
            plugin: plugin.clone(),
            from_generation: generation(trial.committed.to().generation()),
            to_generation: generation(trial.committed.from().and_then(|info| info.generation())),
            reason: reason.to_owned(),
        });
        // What the failed half of the step has moved; of the blends it was never the old ones' state.
        if let Some(begin) = trial.before {
            let _ = self.split_off(&begin.marks);
            self.put_back(&begin.still.without_blends(&back))?;
        }
        Ok(Some(Recovered::RolledBack { plugin, reason: reason.to_owned() }))
    }
}
