//! The one door through which structure changes: all or nothing.
//!
//! Each command first does everything that can fail, beside the living model: the lifecycle decides on a copy,
//! instances are built and probed, the optimizer prepares, the ranks agree. Only then it is made visible, by
//! steps that cannot fail.

use super::MorphogeneticModel;
use super::command::{Command, Executed};
use super::error::CommandError;
use super::germinate::{groups, prepare_all};
use super::nursery::sample_curve;
use crate::consensus::{Act, Ballot};
use crate::graft::{LiveSeed, SeedSlot};
use crate::lifecycle::{Curve, Event, EventKind, Initiator, Lifecycle, Stage};
use kasmina_registry::Registry;
use kasmina_torch_ext::{Change, ParameterSink, SinkError, Ticket};
use serde::Serialize;

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
        let Some(slot) = command.slot() else { return Ok(Executed::Waited) };
        let index = match self.slot_index(slot) {
            Ok(index) => index,
            Err(error) => return Err(self.decline(slot, command, error)),
        };
        let question = Question::of(command, &self.slots[index]);
        match command {
            Command::Germinate(wish) if wish.prefetch => self.prefetch(index, wish, &question, registry),
            Command::Germinate(wish) => self.germinate(index, wish, &question, registry, sink),
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
        question: &Question,
        sink: &mut dyn ParameterSink,
        wish: impl FnOnce(&mut Lifecycle) -> Result<Executed, CommandError>,
    ) -> Result<Executed, CommandError> {
        let mut next = self.slots[index].lifecycle.clone();
        let ready = wish(&mut next).and_then(|done| Ok((done, self.prepare_removal(index, &next, sink)?)));
        let (done, tickets) = self.settle(index, question, ready, sink, |(_, tickets)| tickets)?;
        self.take_over(index, next, tickets, sink);
        Ok(done)
    }

    /// As [`decide`](Self::decide), but a gate that says no has said so: that event stays.
    fn advance(
        &mut self,
        index: usize,
        target: Option<Stage>,
        question: &Question,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let mut next = self.slots[index].lifecycle.clone();
        let mut result = next.advance(target);
        let agreed = self.agree_on(self.ballot(index, question, result.is_ok()))?;
        if result.is_ok() && !agreed {
            next = self.slots[index].lifecycle.clone();
            result = next.advance_vetoed(target);
        }
        self.take_over(index, next, Vec::new(), sink);
        Ok(Executed::Advanced { stage: result? })
    }

    /// The vote on what this rank has made ready, or could not: all ranks do it, or none. What was prepared in the
    /// optimizer is let go of where it is not done.
    pub(super) fn settle<T>(
        &mut self,
        index: usize,
        question: &Question,
        ready: Result<T, CommandError>,
        sink: &mut dyn ParameterSink,
        tickets: impl FnOnce(T) -> Vec<Ticket>,
    ) -> Result<T, CommandError> {
        let ballot = self.ballot(index, question, ready.is_ok());
        // Ranks that are out of step say so on every rank, also on one that would have refused by itself.
        let (ready, refused) = match (ready, self.agree_on(ballot)) {
            (Ok(ready), Ok(true)) => return Ok(ready),
            (Ok(ready), Ok(false)) => (Some(ready), CommandError::Vetoed),
            (Ok(ready), Err(error)) => (Some(ready), error),
            (Err(_), Err(error)) | (Err(error), Ok(_)) => (None, error),
        };
        for ticket in ready.map(tickets).unwrap_or_default() {
            sink.abort(ticket);
        }
        Err(refused)
    }

    /// Refuses what concerns no slot of this model, with a vote all the same: on another rank it might.
    pub(super) fn decline(
        &mut self,
        slot: &str,
        subject: &impl Serialize,
        error: CommandError,
    ) -> CommandError {
        let ballot = Ballot {
            step: self.step,
            slot: slot.to_owned(),
            seed_id: None,
            from: Stage::Unknown,
            act: Act::Rest,
            subject: written(subject),
            verdict: false,
            able: true,
        };
        self.agree_on(ballot).err().unwrap_or(error)
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

    /// What this rank says to a question about a slot.
    pub(super) fn ballot(&self, index: usize, question: &Question, verdict: bool) -> Ballot {
        let slot = &self.slots[index];
        let living = slot.lifecycle.seed().map(|s| s.seed_id.clone());
        Ballot {
            step: self.step,
            slot: slot.name().to_owned(),
            seed_id: question.coming.clone().or(living),
            from: slot.lifecycle.stage(),
            act: question.act,
            subject: question.subject.clone(),
            verdict,
            able: true,
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
        let mut gone = false;
        match next.living() {
            None if slot.live.is_some() => {
                gone = true;
                slot.live = None;
                slot.monitor.reset();
            }
            Some(seed) if seed.is_leaving() && !slot.lifecycle.is_leaving() => {
                slot.live.iter().for_each(LiveSeed::freeze);
            }
            _ => {}
        }
        self.with_slot(index, |lifecycle| *lifecycle = next);
        for ticket in tickets {
            sink.commit(ticket);
        }
        if gone {
            self.restructured();
        }
    }
}

/// What the ranks are asked about a slot.
pub(super) struct Question {
    pub(super) act: Act,
    /// The same in full.
    pub(super) subject: String,
    /// The seed that is to come.
    pub(super) coming: Option<String>,
}

impl Question {
    pub(super) fn of(command: &Command, slot: &SeedSlot) -> Self {
        let act = match command {
            Command::Germinate(_) => Act::Germinate,
            Command::Advance { .. } => {
                slot.lifecycle.next_gate().map_or(Act::Rest, |(gate, _)| Act::Gate(gate))
            }
            Command::SetAlphaTarget { .. } => Act::SetAlphaTarget,
            Command::SchedulePrune { .. } => Act::SchedulePrune,
            Command::Prune { .. } => Act::Prune,
            Command::Wait => Act::Rest,
        };
        let coming = match command {
            Command::Germinate(wish) => Some(wish.seed_id.clone()),
            _ => None,
        };
        Self { act, subject: written(command), coming }
    }
}

/// A subject in full, the same text for the same thing.
pub(super) fn written(subject: &impl Serialize) -> String {
    // What cannot be written (a NaN among the numbers) is refused on every rank anyway.
    serde_json::to_string(subject).unwrap_or_default()
}
