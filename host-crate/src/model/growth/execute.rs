//! Executing commands: the only way in which structure changes, all or nothing.
//!
//! Each command first does everything that can fail, without changing the model: a copy of the lifecycle
//! decides, instances are built and probed, the optimizer prepares its change, the ranks vote. Only then is
//! the change applied, by steps that cannot fail.

use super::curve::sample_curve;
use super::transaction::Transaction;
use super::vote::Question;
use crate::graft::SeedSlot;
use crate::lifecycle::{Curve, Event, EventKind, Initiator, Lifecycle, Stage};
use crate::model::{Command, CommandError, Executed, MorphogeneticModel};
use kasmina_registry::Registry;
use kasmina_torch_ext::{Change, ParameterSink, SinkError};

impl MorphogeneticModel {
    /// Executes a command, or changes nothing. Emits a COMMAND event in both cases, except in `fast_mode`.
    ///
    /// # Errors
    /// If the command is refused; slot, seed, optimizer and generators are then unchanged.
    pub fn execute(
        &mut self,
        command: &Command,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let result = self.perform(command, registry, sink);
        self.push_command_event(command, result.as_ref().err());
        self.events.notify_listener();
        result
    }

    fn perform(
        &mut self,
        command: &Command,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let Some(slot) = command.slot() else { return Ok(Executed::Waited) };
        let index = match self.slots.index_of(slot) {
            Ok(index) => index,
            Err(error) => return Err(self.decline(slot, command, error)),
        };
        let question = Question::of(command, &self.slots[index]);
        match command {
            Command::Germinate(germinate) if germinate.prefetch => {
                self.prefetch(index, germinate, &question, registry)
            }
            Command::Germinate(germinate) => self.germinate(index, germinate, &question, registry, sink),
            Command::Advance { target, .. } => self.advance(index, *target, &question, sink),
            Command::Prune { reason, .. } => self.decide(index, &question, sink, |slot| {
                slot.prune(reason, Initiator::Policy)?;
                Ok(Executed::Pruned)
            }),
            Command::SetAlphaTarget { target, steps, curve, .. } => {
                let own = if curve.is_none() { self.own_curve(index, *steps) } else { Ok(None) };
                self.decide(index, &question, sink, |slot| {
                    let own = own?;
                    slot.set_alpha_target(*target, *steps, curve.clone().or_else(|| own.clone()))?;
                    Ok(Executed::Retargeted { curve: own })
                })
            }
            Command::SchedulePrune { steps, reason, .. } => {
                let own = self.own_curve(index, *steps);
                self.decide(index, &question, sink, |slot| {
                    let own = own?;
                    slot.schedule_prune(*steps, reason, own.clone())?;
                    let leaving = slot.living().is_some();
                    Ok(if leaving { Executed::PruneScheduled { curve: own } } else { Executed::Pruned })
                })
            }
            Command::Wait => Ok(Executed::Waited),
        }
    }

    /// Samples the curve of the seed's blend for a ramp of `ticks` ticks; `None` for an empty slot, for no
    /// ticks, or if the configuration fixes the curve.
    fn own_curve(&self, index: usize, ticks: u32) -> Result<Option<Curve>, CommandError> {
        let live = self.slots.live(index).filter(|_| ticks > 0 && self.growth.alpha().curve.is_none());
        live.map(|live| sample_curve(live.blend().instance(), ticks)).transpose()
    }

    /// Applies a request to a copy of the slot's lifecycle. If the copy accepts it and all ranks agree, the
    /// copy replaces the lifecycle, and a seed that it no longer holds is removed from model and optimizer.
    fn decide(
        &mut self,
        index: usize,
        question: &Question,
        sink: &mut dyn ParameterSink,
        request: impl FnOnce(&mut Lifecycle) -> Result<Executed, CommandError>,
    ) -> Result<Executed, CommandError> {
        let mut next = self.slots[index].lifecycle().clone();
        let ready = request(&mut next).and_then(|done| Ok((done, self.prepare_removal(index, &next, sink)?)));
        let (done, removal) = self.vote(index, question, ready, sink, |(_, removal)| removal)?;
        self.commit_lifecycle(index, next, removal, sink);
        Ok(done)
    }

    /// As [`decide`](Self::decide), but commits a refusal too, because the event of a failed gate must be
    /// kept.
    fn advance(
        &mut self,
        index: usize,
        target: Option<Stage>,
        question: &Question,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let mut next = self.slots[index].lifecycle().clone();
        let mut result = next.advance(target);
        let agreed = self.agree_on(self.ballot(index, question, result.is_ok()))?;
        if result.is_ok() && !agreed {
            next = self.slots[index].lifecycle().clone();
            result = next.advance_vetoed(target);
        }
        self.commit_lifecycle(index, next, Transaction::default(), sink);
        Ok(Executed::Advanced { stage: result? })
    }

    /// Adds the COMMAND event of an executed or refused command, except in `fast_mode`.
    pub(super) fn push_command_event(&mut self, command: &Command, error: Option<&CommandError>) {
        if self.telemetry.is_fast() {
            return;
        }
        let requested = command.slot().unwrap_or_default();
        let slot_id = self.slot(requested).map_or(requested, SeedSlot::name).to_owned();
        let seed_id = self.slot(&slot_id).and_then(|s| s.lifecycle().seed().map(|s| s.seed_id.clone()));
        self.events.push(Event {
            kind: EventKind::Command {
                command: serde_json::to_value(command).unwrap_or_default(),
                accepted: error.is_none(),
                error: error.map(|e| format!("{}: {e}", e.code())),
            },
            slot_id,
            seed_id,
        });
    }

    /// Prepares the removal of a slot's parameters from the optimizer, if `next` no longer holds the seed.
    pub(in crate::model) fn prepare_removal(
        &self,
        index: usize,
        next: &Lifecycle,
        sink: &mut dyn ParameterSink,
    ) -> Result<Transaction, SinkError> {
        let Some(live) = self.slots.live(index).filter(|_| next.living().is_none()) else {
            return Ok(Transaction::default());
        };
        let groups = live.groups(self.slots[index].name());
        Transaction::prepare(sink, groups.map(|(owner, ..)| Change::Remove { owner }))
    }

    /// Replaces a slot's lifecycle by its next state and commits the removal in the optimizer. A seed that
    /// the new state no longer holds is removed and its memory freed; one with a newly scheduled prune
    /// stops learning. Cannot fail.
    pub(in crate::model) fn commit_lifecycle(
        &mut self,
        index: usize,
        next: Lifecycle,
        removal: Transaction,
        sink: &mut dyn ParameterSink,
    ) {
        let slot = &mut self.slots[index];
        let left = slot.set_lifecycle(next);
        self.events.append_from(slot);
        removal.commit(sink);
        if left {
            self.structure_changed();
        }
    }
}
