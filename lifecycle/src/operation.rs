//! Every operation of a slot as a value: what scripts, journals, property tests and fuzz targets drive it
//! with.

use super::curve::Curve;
use super::event::Initiator;
use super::machine::Lifecycle;
use super::metrics::GradientCapture;
use super::refusal::Refusal;
use super::stage::Stage;
use super::state::{Germination, Outcome};

/// One call of a [`Lifecycle`].
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
        /// Who or what found it, for the event.
        cause: String,
    },
    /// [`Lifecycle::tick`].
    Tick,
    /// [`Lifecycle::step_epoch`].
    StepEpoch,
    /// [`Lifecycle::advance`].
    Advance {
        /// Which stage; the next one if not named.
        target: Option<Stage>,
    },
    /// [`Lifecycle::prune`], by a command.
    Prune {
        /// Reason that the event records.
        reason: String,
    },
    /// [`Lifecycle::schedule_prune`].
    SchedulePrune {
        /// Ticks until it is gone.
        steps: u32,
        /// Reason that the event records.
        reason: String,
        /// The seed's own curve, sampled for this ramp, where a plugin brings it.
        curve: Option<Curve>,
    },
    /// [`Lifecycle::set_alpha_target`].
    SetAlphaTarget {
        /// Alpha at the end of the ramp, in 0 to 1.
        target: f64,
        /// Ticks until it is there.
        steps: u32,
        /// Curve of this ramp; the seed's own if absent.
        curve: Option<Curve>,
    },
    /// [`Lifecycle::exchange_curve`].
    ExchangeCurve {
        /// The shape of the seed's ramps from now on.
        curve: Curve,
    },
    /// [`Lifecycle::freeze_alpha`].
    FreezeAlpha,
}

impl Operation {
    /// Does it, and answers with what a step did.
    ///
    /// # Errors
    /// Why it was refused; then nothing has changed.
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
