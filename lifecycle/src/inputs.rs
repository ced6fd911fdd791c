//! The inputs of a slot's lifecycle in one epoch. A replay repeats its decisions from them.

use super::curve::Curve;
use super::metrics::GradientCapture;
use super::operation::Operation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Inputs of a slot's lifecycle in one epoch. A replay repeats its decisions from them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlotInputs {
    /// Measurements of gradient norms, oldest first.
    pub gradients: Vec<GradientCapture>,
    /// Whether the seed's outputs and gradient norms were finite; absent if none was measured.
    pub healthy: Option<bool>,
    /// Whether the seed changed the gradients of isolated host layers more often than
    /// `max_isolation_violations` allows. The seed is then unhealthy in every stage, whatever `healthy` says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaks: bool,
    /// Contribution of the seed in percentage points, if it was measured.
    pub contribution: Option<f64>,
    /// Number of ticks of a ramp that counts training steps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ticks: u32,
    /// Interventions between those ticks, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervention>,
    /// Number of shadow checks of the seed's isolation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub isolation_checks: u32,
    /// In SHADOWING: mean distance between the seed's features and the host's, relative to the host's.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::units::any_number_or_none")]
    #[schemars(with = "Option<f64>")]
    pub shadow_distance: Option<f64>,
    /// Trainable parameters of the seed.
    pub seed_params: u64,
    /// Trainable parameters of the host.
    pub host_params: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// An operation on a slot's lifecycle between two training steps of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intervention {
    /// Ticks of the epoch that came before this operation.
    pub after_ticks: u32,
    /// The operation.
    #[serde(flatten)]
    pub what: Intervene,
}

/// Kinds of interventions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "intervention", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Intervene {
    /// The seed's blend was replaced by one with another curve.
    ExchangeCurve {
        /// The seed's own curve from now on.
        curve: Curve,
    },
    /// The seed's blend failed, and alpha keeps its present value.
    FreezeAlpha,
    /// The plugin of the seed panicked, and the seed was removed.
    Prune {
        /// Reason that the event records.
        reason: String,
    },
}

impl Intervene {
    /// Returns the operation on the lifecycle.
    pub fn operation(&self) -> Operation {
        match self {
            Self::ExchangeCurve { curve } => Operation::ExchangeCurve { curve: curve.clone() },
            Self::FreezeAlpha => Operation::FreezeAlpha,
            Self::Prune { reason } => Operation::Prune { reason: reason.clone() },
        }
    }
}

impl SlotInputs {
    /// Returns the operations on the lifecycle during the epoch, in order: ticks and interventions.
    pub fn during(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for ticks in 0..=self.ticks {
            let here = self.interventions.iter().filter(|i| i.after_ticks == ticks);
            operations.extend(here.map(|i| i.what.operation()));
            operations.extend((ticks < self.ticks).then_some(Operation::Tick));
        }
        operations
    }

    /// Returns the operations that record the measurements at the end of the epoch, in order. Runs and
    /// replays both use it, so that they agree.
    ///
    /// `accuracy` is the validation accuracy in percent; `active` says whether the slot's stage is active.
    pub fn operations(&self, accuracy: f64, active: bool) -> Vec<Operation> {
        let mut operations = vec![Operation::Validation { accuracy }];
        if active {
            operations.extend(self.gradients.iter().map(|capture| Operation::Gradients(*capture)));
            let healthy = if self.leaks { Some(false) } else { self.healthy };
            operations.extend(healthy.map(|healthy| {
                let cause = if healthy {
                    "finite_again"
                } else if self.leaks {
                    "isolation_violations"
                } else {
                    "non_finite_output"
                };
                Operation::Health { healthy, cause: cause.to_owned() }
            }));
            let contribution = self.contribution;
            operations.extend(contribution.map(|contribution| Operation::Counterfactual { contribution }));
        }
        operations
    }
}
