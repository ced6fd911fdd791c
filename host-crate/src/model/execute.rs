//! The one door through which structure changes: all or nothing.
//!
//! Each command first does everything that can fail, beside the living model: the lifecycle decides on a copy,
//! instances are built and probed, the optimizer prepares, the ranks agree. Only then it is made visible, by
//! steps that cannot fail.

use super::MorphogeneticModel;
use super::command::{Command, Executed};
use super::error::CommandError;
use super::germinate::{groups, prepare_all, sample_curve};
use crate::consensus::{Act, Ballot};
use crate::graft::SeedSlot;
use crate::lifecycle::{Curve, Event, EventKind, Gate, Initiator, Lifecycle, Refusal, Stage};
use kasmina_registry::Registry;
use kasmina_torch_ext::{Change, ParameterSink, SinkError, Ticket};

impl MorphogeneticModel {
    /// Executes a command, or changes nothing. Either way a COMMAND event says so (not in `fast_mode`).
    ///
    /// # Errors
    /// Why the command was refused; slot, seed, optimizer and generators are then as before.
    pub fn execute(
        &mut self,
        command: &Command,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let result = self.perform(command, registry, sink);
        self.journal(command, result.as_ref().err());
        result
    }

    fn perform(
        &mut self,
        command: &Command,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let index = match command.slot() {
            Some(slot) => self.slot_index(slot)?,
            None => return Ok(Executed::Waited),
        };
        match command {
            Command::Germinate(wish) if wish.prefetch => self.prefetch(index, wish, registry),
            Command::Germinate(wish) => self.germinate(wish, registry, sink),
            Command::Advance { target, .. } => self.advance(index, *target, sink),
            Command::Prune { reason, .. } => self.decide(index, Act::Prune, sink, |slot| {
                slot.prune(reason, Initiator::Policy)?;
                Ok(Executed::Pruned)
            }),
            Command::SetAlphaTarget { target, steps, curve, .. } => {
                let own = if curve.is_none() { self.own_curve(index, *steps)? } else { None };
                let chosen = curve.clone().or_else(|| own.clone());
                self.decide(index, Act::SetAlphaTarget, sink, move |slot| {
                    slot.set_alpha_target(*target, *steps, chosen)?;
                    Ok(Executed::Retargeted { curve: own })
                })
            }
            Command::SchedulePrune { steps, reason, .. } => {
                let own = self.own_curve(index, *steps)?;
                self.decide(index, Act::SchedulePrune, sink, move |slot| {
                    slot.schedule_prune(*steps, reason, own.clone())?;
                    let leaving = slot.living().is_some();
                    Ok(if leaving { Executed::PruneScheduled { curve: own } } else { Executed::Pruned })
                })
            }
            Command::Wait => Ok(Executed::Waited),
        }
    }

    /// The curve of the seed's own blend, sampled for a ramp of so many ticks; `None` where no ramp is made.
    fn own_curve(&self, index: usize, ticks: u32) -> Result<Option<Curve>, CommandError> {
        let live = self.slots[index].live.as_ref().filter(|_| ticks > 0 && self.alpha.curve.is_none());
        live.map(|live| sample_curve(&live.blend, ticks)).transpose()
    }

    /// Lets a copy of the slot's lifecycle decide; if it may, and all ranks agree, the copy becomes the slot's,
    /// and a seed that it no longer holds leaves forward and optimizer.
    fn decide(
        &mut self,
        index: usize,
        act: Act,
        sink: &mut dyn ParameterSink,
        wish: impl FnOnce(&mut Lifecycle) -> Result<Executed, Refusal>,
    ) -> Result<Executed, CommandError> {
        let mut next = self.slots[index].lifecycle.clone();
        let result = wish(&mut next).map_err(CommandError::from);
        let tickets = result.and_then(|done| Ok((done, self.prepare_removal(index, &next, sink)?)));
        let agreed = self.agree_on(self.ballot(&self.slots[index], None, act, tickets.is_ok()));
        let (done, tickets) = tickets?;
        match agreed {
            Ok(true) => {
                self.take_over(index, next, tickets, sink);
                Ok(done)
            }
            not => {
                for ticket in tickets {
                    sink.abort(ticket);
                }
                Err(not.err().unwrap_or(CommandError::Vetoed))
            }
        }
    }

    /// As [`decide`](Self::decide), but a gate that says no has said so: that event stays.
    fn advance(
        &mut self,
        index: usize,
        target: Option<Stage>,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let lifecycle = &self.slots[index].lifecycle;
        let act = lifecycle.next_gate().map_or(Act::Gate(Gate::G0), |(gate, _)| Act::Gate(gate));
        let mut next = lifecycle.clone();
        let mut result = next.advance(target);
        let agreed = self.agree_on(self.ballot(&self.slots[index], None, act, result.is_ok()))?;
        if result.is_ok() && !agreed {
            next = self.slots[index].lifecycle.clone();
            result = next.advance_vetoed(target);
        }
        self.take_over(index, next, Vec::new(), sink);
        Ok(Executed::Advanced { stage: result? })
    }

    pub(super) fn journal(&mut self, command: &Command, error: Option<&CommandError>) {
        if self.fast_mode {
            return;
        }
        let asked = command.slot().unwrap_or_default();
        let slot_id = self.slot(asked).map_or(asked, SeedSlot::name).to_owned();
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

    /// Lets a slot's lifecycle work and takes its events over.
    pub(super) fn with_slot<T>(&mut self, index: usize, body: impl FnOnce(&mut Lifecycle) -> T) -> T {
        let slot = &mut self.slots[index];
        let value = body(&mut slot.lifecycle);
        self.events.extend(slot.lifecycle.drain_events());
        value
    }

    /// What this rank says of a slot; of a seed to come, if it is named.
    pub(super) fn ballot(&self, slot: &SeedSlot, coming: Option<&str>, act: Act, verdict: bool) -> Ballot {
        let living = slot.lifecycle.seed().map(|s| s.seed_id.clone());
        Ballot {
            step: self.step,
            slot: slot.name().to_owned(),
            seed_id: coming.map(str::to_owned).or(living),
            from: slot.lifecycle.stage(),
            act,
            verdict,
        }
    }

    /// The common verdict on one question.
    pub(super) fn agree_on(&mut self, ballot: Ballot) -> Result<bool, CommandError> {
        let verdicts = self.consensus.agree(&[ballot])?;
        Ok(verdicts.first().copied().unwrap_or(false))
    }

    /// Asks the optimizer to let a slot's parameters go, if the slot's next state no longer holds its seed.
    pub(super) fn prepare_removal(
        &self,
        index: usize,
        next: &Lifecycle,
        sink: &mut dyn ParameterSink,
    ) -> Result<Vec<Ticket>, SinkError> {
        let slot = &self.slots[index];
        let Some(live) = slot.live.as_ref().filter(|_| next.living().is_none()) else {
            return Ok(Vec::new());
        };
        prepare_all(sink, groups(slot.name(), live).map(|(owner, ..)| Change::Remove { owner }))
    }

    /// Makes a slot's next state its state. A seed that is gone from it leaves forward, and its parameters the
    /// optimizer; its memory is freed. One that is on its way out stops learning. Cannot fail.
    pub(super) fn take_over(
        &mut self,
        index: usize,
        next: Lifecycle,
        tickets: Vec<Ticket>,
        sink: &mut dyn ParameterSink,
    ) {
        let slot = &mut self.slots[index];
        match next.living() {
            None if slot.live.is_some() => {
                slot.live = None;
                slot.monitor.reset();
                self.ownership.release(&slot.spec.name);
            }
            Some(seed) if seed.scheduled_prune.is_some() => {
                if let Some(live) = slot.live.as_mut().filter(|l| !l.frozen) {
                    live.freeze();
                }
            }
            _ => {}
        }
        self.with_slot(index, |lifecycle| *lifecycle = next);
        for ticket in tickets {
            sink.commit(ticket);
        }
    }
}
