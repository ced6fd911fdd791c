//! Replacing the blend of a slot, and its trial.

use super::blend_part::BlendPart;
use super::live_seed::LiveSeed;
use super::slot::SeedSlot;
use super::trial::{Before, Trial};
use crate::lifecycle::{Intervene, Lifecycle};
use kasmina_registry::Entry;
use std::time::Duration;

/// A blend to replace the present one, with the lifecycle that goes with it.
#[derive(Debug)]
pub(crate) struct BlendExchange {
    pub(crate) blend: BlendPart,
    pub(crate) lifecycle: Lifecycle,
    /// Intervention in the ramp; `None` if the new blend has the same curve.
    pub(crate) intervention: Option<Intervene>,
}

impl SeedSlot {
    /// Replaces the blend; returns the previous one, or `None` for an empty slot. Cannot fail.
    pub(crate) fn exchange_blend(&mut self, exchange: BlendExchange) -> Option<Before> {
        let BlendExchange { blend, lifecycle, intervention } = exchange;
        let alpha = self.lifecycle.living().map(|seed| seed.alpha.clone());
        self.lifecycle = lifecycle;
        if let Some(what) = intervention {
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

    /// Replaces the blend permanently, forgetting all previous ones. Cannot fail.
    pub(crate) fn replace_blend(&mut self, exchange: BlendExchange) {
        self.exchange_blend(exchange);
        if let Some(live) = &mut self.live {
            live.earlier_blend = None;
        }
    }

    /// Begins the trial of the blend that replaced `before`: for `steps` training steps, in which each call
    /// may take at most `budget`.
    pub(crate) fn begin_trial(&mut self, before: Before, steps: u32, budget: Duration) {
        if let Some(live) = &mut self.live {
            live.trial = Some(Trial { steps_left: steps, budget, before });
        }
    }

    /// Counts a completed training step of the trial; returns the number left, 0 if no trial runs.
    pub(crate) fn count_trial_step(&mut self) -> u32 {
        let Some(trial) = self.live.as_mut().and_then(|live| live.trial.as_mut()) else { return 0 };
        trial.steps_left = trial.steps_left.saturating_sub(1);
        trial.steps_left
    }

    /// Ends the trial and keeps the new blend. Cannot fail.
    pub(crate) fn end_trial(&mut self) {
        if let Some(live) = &mut self.live
            && let Some(trial) = live.trial.take()
        {
            live.earlier_blend = Some(trial.before.blend.entry);
        }
    }

    /// Ends the trial and restores the previous blend; alpha continues from its present value. Cannot fail.
    pub(crate) fn end_trial_with_earlier_blend(&mut self) {
        let Some(Trial { before, .. }) = self.live.as_mut().and_then(|live| live.trial.take()) else {
            return;
        };
        // If the ramp has not advanced since the swap and the intervention is not reported yet, undo it.
        let last = self.interventions.last().filter(|last| last.after_ticks == self.ticks);
        let unreported = last.is_some_and(|last| matches!(last.what, Intervene::ExchangeCurve { .. }));
        let curve = before.alpha.curve().clone();
        let curve_differs = self.lifecycle.living().is_none_or(|seed| *seed.alpha.curve() != curve);
        if curve_differs && unreported {
            self.interventions.pop();
            self.lifecycle.restore_ramp(before.alpha);
        } else if curve_differs && self.lifecycle.exchange_curve(curve.clone()).is_ok() {
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

    /// Whether the blend on trial or the one before it has parameters, so that the optimizer has exchanged
    /// them.
    pub(crate) fn has_exchanged_parameters(&self) -> bool {
        self.live.as_ref().is_some_and(|live| {
            let before = live.trial.as_ref().map(|trial| &trial.before.blend);
            before.is_some_and(|blend| !(blend.parameters.is_empty() && live.blend.parameters.is_empty()))
        })
    }

    /// Returns the entry of the blend before the last confirmed swap.
    pub fn earlier_blend(&self) -> Option<&Entry> {
        self.live.as_ref().and_then(|live| live.earlier_blend.as_ref())
    }
}
