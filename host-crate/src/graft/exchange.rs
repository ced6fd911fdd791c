//! Another blend in the place of the one that lives in a slot, and its trial.

use super::blend_part::BlendPart;
use super::live_seed::LiveSeed;
use super::slot::SeedSlot;
use super::trial::{Before, Trial};
use crate::lifecycle::{Intervene, Lifecycle};
use kasmina_registry::Entry;
use std::time::Duration;

/// A blend that can take the place of the living one, and what the lifecycle becomes with it.
#[derive(Debug)]
pub(crate) struct BlendExchange {
    pub(crate) blend: BlendPart,
    pub(crate) lifecycle: Lifecycle,
    /// What the ramp is told, where the curve is another one.
    pub(crate) told: Option<Intervene>,
}

impl SeedSlot {
    /// Takes a blend in; returns what was there before. Cannot fail.
    pub(crate) fn exchange_blend(&mut self, exchange: BlendExchange) -> Option<Before> {
        let BlendExchange { blend, lifecycle, told } = exchange;
        let alpha = self.lifecycle.living().map(|seed| seed.alpha.clone());
        self.lifecycle = lifecycle;
        if let Some(what) = told {
            self.note_intervention(what);
        }
        let leaving = self.lifecycle.is_leaving();
        let (live, alpha) = (self.live.as_mut()?, alpha?);
        let blend = std::mem::replace(&mut live.blend, blend);
        if leaving {
            LiveSeed::freeze(live);
        }
        Some(Before { blend, alpha })
    }

    /// Takes a blend in for good: nothing leads back to the one before. Cannot fail.
    pub(crate) fn replace_blend(&mut self, exchange: BlendExchange) {
        self.exchange_blend(exchange);
        if let Some(live) = &mut self.live {
            live.earlier_blend = None;
        }
    }

    /// Puts the blend that has just been exchanged on trial, for so many training steps in which a call of it
    /// may take so long.
    pub(crate) fn begin_trial(&mut self, before: Before, steps: u32, budget: Duration) {
        if let Some(live) = &mut self.live {
            live.trial = Some(Trial { steps_left: steps, budget, before });
        }
    }

    /// Counts a training step that the blend on trial has held; returns how many are left, 0 where nothing is
    /// on trial.
    pub(crate) fn count_trial_step(&mut self) -> u32 {
        let Some(trial) = self.live.as_mut().and_then(|live| live.trial.as_mut()) else { return 0 };
        trial.steps_left = trial.steps_left.saturating_sub(1);
        trial.steps_left
    }

    /// The blend on trial stays. Cannot fail.
    pub(crate) fn end_trial(&mut self) {
        if let Some(live) = &mut self.live
            && let Some(trial) = live.trial.take()
        {
            live.earlier_blend = Some(trial.before.blend.entry);
        }
    }

    /// The blend before the trial lives again; alpha goes on from where it is. Cannot fail.
    pub(crate) fn end_trial_with_earlier_blend(&mut self) {
        let Some(Trial { before, .. }) = self.live.as_mut().and_then(|live| live.trial.take()) else {
            return;
        };
        // As it was then if it has not moved since, and nobody has been told of the other curve yet.
        let last = self.interventions.last().filter(|last| last.after_ticks == self.ticks);
        let told = last.is_some_and(|last| matches!(last.what, Intervene::ExchangeCurve { .. }));
        let curve = before.alpha.curve().clone();
        let moved = self.lifecycle.living().is_none_or(|seed| *seed.alpha.curve() != curve);
        if moved && told {
            self.interventions.pop();
            self.lifecycle.restore_ramp(before.alpha);
        } else if moved && self.lifecycle.exchange_curve(curve.clone()).is_ok() {
            self.note_intervention(Intervene::ExchangeCurve { curve });
        }
        if let Some(live) = &mut self.live {
            live.blend = before.blend;
        }
    }

    /// Whether its blend is on trial.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.trial.is_some())
    }

    /// Whether an optimizer keeps parameters of the blend before the trial, or would.
    pub(crate) fn has_exchanged_parameters(&self) -> bool {
        self.live.as_ref().is_some_and(|live| {
            let before = live.trial.as_ref().map(|trial| &trial.before.blend);
            before.is_some_and(|blend| !(blend.parameters.is_empty() && live.blend.parameters.is_empty()))
        })
    }

    /// The build of its blend before the last exchange that was confirmed.
    pub fn earlier_blend(&self) -> Option<&Entry> {
        self.live.as_ref().and_then(|live| live.earlier_blend.as_ref())
    }
}
