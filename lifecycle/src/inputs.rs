//! What a slot's lifecycle was given in one epoch: enough to decide again.

use super::curve::Curve;
use super::metrics::GradientCapture;
use super::operation::Operation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The raw inputs that a slot's lifecycle was given in an epoch: enough to decide again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlotInputs {
    /// Measurements of gradient norms, oldest first.
    pub gradients: Vec<GradientCapture>,
    /// What was said of its health, if anything.
    pub healthy: Option<bool>,
    /// Whether it has given isolated host layers a gradient more often than `max_isolation_violations`
    /// allows; then it is unhealthy in every stage, whatever was said of its numbers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaks: bool,
    /// Its contribution, if it was measured.
    pub contribution: Option<f64>,
    /// Training steps that its ramp has counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ticks: u32,
    /// What its ramp was told between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervention>,
    /// Shadow checks of its isolation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub isolation_checks: u32,
    /// In SHADOWING: how far its features are from its host's, relative to those.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::units::any_number_or_none")]
    #[schemars(with = "Option<f64>")]
    pub shadow_distance: Option<f64>,
    /// Trainable parameters of the seed.
    pub seed_params: u64,
    /// Trainable parameters of the host.
    pub host_params: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// An operation that a slot's lifecycle was given between two training steps of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intervention {
    /// Training steps of the epoch that the ramp had counted before it.
    pub after_ticks: u32,
    /// What was done.
    #[serde(flatten)]
    pub what: Intervene,
}

/// Kinds of intervention from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "intervention", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Intervene {
    /// Its blend was exchanged for one with another curve.
    ExchangeCurve {
        /// Curve of this ramp.
        curve: Curve,
    },
    /// Its blend failed, and alpha stays where it is.
    FreezeAlpha,
    /// Its plugin panicked, and it was removed.
    Prune {
        /// Reason that the event records.
        reason: String,
    },
}

impl Intervene {
    /// As an operation of the lifecycle.
    pub fn operation(&self) -> Operation {
        match self {
            Self::ExchangeCurve { curve } => Operation::ExchangeCurve { curve: curve.clone() },
            Self::FreezeAlpha => Operation::FreezeAlpha,
            Self::Prune { reason } => Operation::Prune { reason: reason.clone() },
        }
    }
}

impl SlotInputs {
    /// What the lifecycle of a slot has seen during an epoch, before its edge.
    pub fn during(&self) -> Vec<Operation> {
        let mut told = Vec::new();
        for ticks in 0..=self.ticks {
            let here = self.interventions.iter().filter(|i| i.after_ticks == ticks);
            told.extend(here.map(|i| i.what.operation()));
            told.extend((ticks < self.ticks).then_some(Operation::Tick));
        }
        told
    }

    /// What the lifecycle of a slot is told at the edge of an epoch, in order: the one place that knows it,
    /// for the run and for those who replay it.
    pub fn operations(&self, accuracy: f64, active: bool) -> Vec<Operation> {
        let mut told = vec![Operation::Validation { accuracy }];
        if active {
            told.extend(self.gradients.iter().map(|capture| Operation::Gradients(*capture)));
            let healthy = if self.leaks { Some(false) } else { self.healthy };
            told.extend(healthy.map(|healthy| {
                let cause = if healthy {
                    "finite_again"
                } else if self.leaks {
                    "isolation_violations"
                } else {
                    "non_finite_output"
                };
                Operation::Health { healthy, cause: cause.to_owned() }
            }));
            let worth = self.contribution.map(|contribution| Operation::Counterfactual { contribution });
            told.extend(worth);
        }
        told
    }
}
