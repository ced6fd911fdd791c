//! Measurements of a seed, and the values that gates and events derive from them.

use super::refusal::{Refusal, RefusalCode};
use super::units::{Accuracy, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const EMA_DECAY: f64 = 0.9;
const RATIO_CAP: f64 = 10.0;
/// Gradient norm of the host below which the ratio is 0.
const MIN_HOST_NORM: f64 = 1e-8;

/// Gradient norms of one training step, between backward and the optimizer's update.
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
    /// Whether the seed changed the gradient of an isolated host parameter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub violation: bool,
}

impl GradientCapture {
    /// Creates a capture without a violation.
    pub const fn new(seed_norm: f64, host_norm: f64) -> Self {
        Self { seed_norm, host_norm, violation: false }
    }

    /// Refuses negative norms. Norms that are not finite are accepted; they make the seed unhealthy.
    pub(super) fn check(self) -> Result<Self, Refusal> {
        for (name, norm) in [("seed_norm", self.seed_norm), ("host_norm", self.host_norm)] {
            if norm.is_finite() && norm < 0.0 {
                let text = format!("{name} is {norm}; a norm is not negative");
                return Err(Refusal::new(RefusalCode::OutOfRange, text));
            }
        }
        Ok(self)
    }

    /// Ratio of the seed's norm to the host's, scaled by the numbers of parameters and at most 10; `None` if
    /// it is not finite.
    pub(super) fn ratio(self, seed_params: u64, host_params: u64) -> Option<f64> {
        if !(self.seed_norm.is_finite() && self.host_norm.is_finite()) {
            return None;
        }
        if self.host_norm < MIN_HOST_NORM {
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

/// A bias-corrected exponential moving average: `sum(0.9^(n-i) r_i) / sum(0.9^(n-i))`.
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
        // Rounding can put the mean of capped ratios above the cap, as in 10.000000000000002.
        (self.weight > 0.0).then(|| (self.sum / self.weight).min(RATIO_CAP))
    }
}

/// Measurements of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedMetrics {
    /// Accuracy at the seed's first validation, in percent; absent before it.
    pub initial_accuracy: Option<Accuracy>,
    /// Accuracy at the newest validation, in percent; absent before the first one.
    pub current_accuracy: Option<Accuracy>,
    /// Highest accuracy of all validations, in percent; absent before the first one.
    pub best_accuracy: Option<Accuracy>,
    /// Accuracy when the present stage was entered, in percent.
    pub accuracy_at_stage_start: Option<Accuracy>,
    accuracy_at_blending_start: Option<Accuracy>,
    /// Accuracy minus the accuracy with this slot's alpha forced to 0, in percentage points; absent until it
    /// is measured in the present stage.
    pub counterfactual_contribution: Option<Percent>,
    gradients: Ema,
    /// Whether the seed's numbers are finite.
    pub healthy: bool,
    /// Number of captures without a finite gradient ratio.
    pub unhealthy_captures: u32,
    /// Number of captures in which the seed changed the gradients of isolated host layers.
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

    /// Resets the measurements that count for one stage only.
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
    /// Gain in accuracy since BLENDING began, in percentage points. For telemetry only: it includes the
    /// host's own progress, so no gate reads it.
    pub fn blending_delta(&self) -> Percent {
        self.gained_since(self.accuracy_at_blending_start)
    }
    /// Mean gradient ratio in the present stage, which G2 reads; `None` if not measured in this stage.
    pub fn gradient_ratio(&self) -> Option<f64> {
        self.gradients.value()
    }
}
