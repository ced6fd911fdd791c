//! What is measured of a seed, and what the measurements mean.

use super::refusal::{Refusal, RefusalCode};
use super::units::{Accuracy, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const EMA_DECAY: f64 = 0.9;
const RATIO_CAP: f64 = 10.0;
const SILENT_HOST: f64 = 1e-8;

/// One capture of gradients, after a backward and before its step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GradientCapture {
    /// Joint gradient norm of the seed's parameters.
    #[serde(with = "super::units::any_number")]
    #[schemars(with = "f64")]
    pub seed_norm: f64,
    /// Joint gradient norm of the host's parameters.
    #[serde(with = "super::units::any_number")]
    #[schemars(with = "f64")]
    pub host_norm: f64,
    /// Whether a host parameter's gradient differed from what it would have been without the seed, while
    /// isolation promises that it must not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub violation: bool,
}

impl GradientCapture {
    /// Two norms, and no violation.
    pub const fn new(seed_norm: f64, host_norm: f64) -> Self {
        Self { seed_norm, host_norm, violation: false }
    }

    /// Refuses negative norms; norms that are not finite are accepted and judged.
    pub(super) fn check(self) -> Result<Self, Refusal> {
        for (name, norm) in [("seed_norm", self.seed_norm), ("host_norm", self.host_norm)] {
            if norm.is_finite() && norm < 0.0 {
                let text = format!("{name} is {norm}; a norm is not negative");
                return Err(Refusal::new(RefusalCode::OutOfRange, text));
            }
        }
        Ok(self)
    }

    /// The ratio of activity per parameter, or `None` if it is not a finite number.
    pub(super) fn ratio(self, seed_params: u64, host_params: u64) -> Option<f64> {
        if !(self.seed_norm.is_finite() && self.host_norm.is_finite()) {
            return None;
        }
        if self.host_norm < SILENT_HOST {
            return Some(0.0);
        }
        let size = if seed_params == 0 || host_params == 0 {
            1.0
        } else {
            (host_params as f64 / seed_params as f64).sqrt()
        };
        let ratio = self.seed_norm / self.host_norm * size;
        ratio.is_finite().then_some(ratio.min(RATIO_CAP))
    }
}

/// A bias-corrected exponential mean: `sum(.9^(n-i) r_i) / sum(.9^(n-i))`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Ema {
    sum: f64,
    weight: f64,
}

impl Ema {
    fn add(&mut self, value: f64) {
        self.sum = self.sum * EMA_DECAY + value;
        self.weight = self.weight * EMA_DECAY + 1.0;
    }
    fn value(self) -> Option<f64> {
        // The mean of capped ratios is no more than the cap, also where rounding says 10.000000000000002.
        (self.weight > 0.0).then(|| (self.sum / self.weight).min(RATIO_CAP))
    }
}

/// The measurements of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedMetrics {
    /// At the seed's first validation.
    pub initial_accuracy: Option<Accuracy>,
    /// Accuracy at the newest validation, in percent; absent before the first one.
    pub current_accuracy: Option<Accuracy>,
    /// The best so far; starts from the first value, not from 0.
    pub best_accuracy: Option<Accuracy>,
    /// When the present stage was entered.
    pub accuracy_at_stage_start: Option<Accuracy>,
    accuracy_at_blending_start: Option<Accuracy>,
    /// Accuracy as is, less accuracy with this slot's alpha forced to 0. Belongs to the stage it was measured
    /// in.
    pub counterfactual_contribution: Option<Percent>,
    gradients: Ema,
    /// Whether the seed's numbers are finite.
    pub healthy: bool,
    /// Captures that were not finite.
    pub unhealthy_captures: u32,
    /// Captures in which the seed leaked into isolated host layers.
    pub isolation_violations: u32,
}

impl Default for SeedMetrics {
    fn default() -> Self {
        Self {
            initial_accuracy: None,
            current_accuracy: None,
            best_accuracy: None,
            accuracy_at_stage_start: None,
            accuracy_at_blending_start: None,
            counterfactual_contribution: None,
            gradients: Ema::default(),
            healthy: true,
            unhealthy_captures: 0,
            isolation_violations: 0,
        }
    }
}

impl SeedMetrics {
    pub(super) fn record_accuracy(&mut self, accuracy: Accuracy) {
        if self.initial_accuracy.is_none() {
            self.initial_accuracy = Some(accuracy);
            self.accuracy_at_stage_start = Some(accuracy);
        }
        self.current_accuracy = Some(accuracy);
        if self.best_accuracy.is_none_or(|best| accuracy > best) {
            self.best_accuracy = Some(accuracy);
        }
    }

    /// Measurements count for the stage in which they were made.
    pub(super) fn begin_stage(&mut self) {
        self.accuracy_at_stage_start = self.current_accuracy;
        self.counterfactual_contribution = None;
        self.gradients = Ema::default();
    }

    pub(super) fn begin_blending(&mut self) {
        self.accuracy_at_blending_start = self.current_accuracy;
    }

    pub(super) fn add_gradient_ratio(&mut self, ratio: f64) {
        self.gradients.add(ratio);
    }

    fn gained_since(&self, then: Option<Accuracy>) -> Percent {
        match (self.current_accuracy, then) {
            (Some(now), Some(then)) => Percent::between(now, then),
            _ => Percent::ZERO,
        }
    }

    /// Gain in accuracy since germination, in percentage points.
    pub fn total_improvement(&self) -> Percent {
        self.gained_since(self.initial_accuracy)
    }
    /// Gain in accuracy since the present stage began, in percentage points.
    pub fn improvement_since_stage_start(&self) -> Percent {
        self.gained_since(self.accuracy_at_stage_start)
    }
    /// Since BLENDING began; telemetry, never a decision: it cannot tell the seed from the host.
    pub fn blending_delta(&self) -> Percent {
        self.gained_since(self.accuracy_at_blending_start)
    }
    /// The value that gates read; `None` if never measured in this stage.
    pub fn gradient_ratio(&self) -> Option<f64> {
        self.gradients.value()
    }
}
