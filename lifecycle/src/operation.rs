//! Operations on a slot's lifecycle as values, for scripts, replays, property tests and fuzz targets.

use super::curve::Curve;
use super::event::Initiator;
use super::machine::Lifecycle;
use super::metrics::GradientCapture;
use super::refusal::Refusal;
use super::stage::Stage;
use super::state::{Germination, Outcome};

/// An operation on a [`Lifecycle`]. Each variant is the method of that name.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// [`Lifecycle::germinate`].
    Germinate(Box<Germination>),
    /// [`Lifecycle::record_validation`].
    Validation {
        /// Validation accuracy in percent.
        accuracy: f64,
    },
    /// [`Lifecycle::record_gradients`].
    Gradients(GradientCapture),
    /// [`Lifecycle::record_counterfactual`].
    Counterfactual {
        /// Contribution in percentage points.
        contribution: f64,
    },
    /// [`Lifecycle::record_health`].
    Health {
        /// Whether the seed's numbers are finite.
        healthy: bool,
        /// Cause that the event records.
        cause: String,
    },
    /// [`Lifecycle::tick`].
    Tick,
    /// [`Lifecycle::step_epoch`].
    StepEpoch,
    /// [`Lifecycle::advance`].
    Advance {
        /// Stage to move to; the next one if absent.
        target: Option<Stage>,
    },
    /// [`Lifecycle::prune`], by a command.
    Prune {
        /// Reason that the event records.
        reason: String,
    },
    /// [`Lifecycle::schedule_prune`].
    SchedulePrune {
        /// Length of the ramp in ticks.
        steps: u32,
        /// Reason that the event records.
        reason: String,
        /// Curve of this ramp; the seed's own if absent.
        curve: Option<Curve>,
    },
    /// [`Lifecycle::set_alpha_target`].
    SetAlphaTarget {
        /// Alpha at the end of the ramp, in 0 to 1.
        target: f64,
        /// Length of the ramp in ticks.
        steps: u32,
        /// Curve of this ramp; the seed's own if absent.
        curve: Option<Curve>,
    },
    /// [`Lifecycle::exchange_curve`].
    ExchangeCurve {
        /// The seed's own curve from now on.
        curve: Curve,
    },
    /// [`Lifecycle::freeze_alpha`].
    FreezeAlpha,
}

impl Operation {
    /// Applies the operation. Returns the outcomes of `StepEpoch`; an empty list for all other operations.
    ///
    /// # Errors
    /// If the lifecycle refuses the operation. It is then unchanged, but a failed gate has emitted its event.
    pub fn apply(&self, slot: &mut Lifecycle) -> Result<Vec<Outcome>, Refusal> {
        let done = match self {
            Self::Germinate(request) => slot.germinate((**request).clone()),
            Self::Validation { accuracy } => slot.record_validation(*accuracy),
            Self::Gradients(capture) => slot.record_gradients(*capture),
            Self::Counterfactual { contribution } => slot.record_counterfactual(*contribution),
            Self::Health { healthy, cause } => slot.record_health(*healthy, cause),
            Self::Tick => {
                let _ = slot.tick();
                Ok(())
            }
            Self::StepEpoch => return Ok(slot.step_epoch()),
            Self::Advance { target } => slot.advance(*target).map(drop),
            Self::Prune { reason } => slot.prune(reason, Initiator::Policy),
            Self::SchedulePrune { steps, reason, curve } => {
                slot.schedule_prune(*steps, reason, curve.clone())
            }
            Self::SetAlphaTarget { target, steps, curve } => {
                slot.set_alpha_target(*target, *steps, curve.clone())
            }
            Self::ExchangeCurve { curve } => slot.exchange_curve(curve.clone()),
            Self::FreezeAlpha => slot.freeze_alpha(),
        };
        done.map(|()| Vec::new())
    }
}
