//! The output lines of a script.

use crate::{Accuracy, AlphaMode, Event, Lifecycle, Percent, Refusal, Stage};
use serde::Serialize;

/// Result of one operation of a script.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Position of the operation in the script, counted from 0.
    pub index: usize,
    /// Name of the operation.
    pub op: String,
    /// Whether the operation was accepted.
    pub ok: bool,
    /// Reason of a refusal; absent if the operation was accepted.
    pub error: Option<Refusal>,
    /// Events that the operation caused, in order.
    pub events: Vec<Event>,
    /// State of the slot after the operation; `null` when it is empty.
    pub state: Option<StateView>,
}

/// State of a slot that holds a seed or is in a cooldown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the published form, by name")]
pub struct StateView {
    pub stage: Stage,
    pub alpha: f64,
    pub alpha_target: f64,
    pub alpha_mode: AlphaMode,
    pub epochs_total: u32,
    pub epochs_in_stage: u32,
    pub isolated: bool,
    /// Reason of a scheduled prune; absent if none is scheduled.
    pub scheduled_prune: Option<String>,
    pub metrics: MetricsView,
}

/// Measurements of the seed after an operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the published form, by name")]
pub struct MetricsView {
    pub initial_accuracy: Option<Accuracy>,
    pub current_accuracy: Option<Accuracy>,
    pub best_accuracy: Option<Accuracy>,
    pub accuracy_at_stage_start: Option<Accuracy>,
    pub total_improvement: Percent,
    pub improvement_since_stage_start: Percent,
    pub blending_delta: Percent,
    pub counterfactual_contribution: Option<Percent>,
    pub gradient_ratio: Option<f64>,
    pub healthy: bool,
    pub unhealthy_captures: u32,
    pub isolation_violations: u32,
}

impl StateView {
    /// Returns the present state of a slot; `None` when it is empty.
    pub fn of(slot: &Lifecycle) -> Option<Self> {
        let seed = slot.seed()?;
        let metrics = &seed.metrics;
        Some(Self {
            stage: seed.stage,
            alpha: seed.alpha.alpha(),
            alpha_target: seed.alpha.target(),
            alpha_mode: seed.alpha.mode(),
            epochs_total: seed.epochs_total,
            epochs_in_stage: seed.epochs_in_stage,
            isolated: slot.isolated(),
            scheduled_prune: seed.scheduled_prune.clone(),
            metrics: MetricsView {
                initial_accuracy: metrics.initial_accuracy,
                current_accuracy: metrics.current_accuracy,
                best_accuracy: metrics.best_accuracy,
                accuracy_at_stage_start: metrics.accuracy_at_stage_start,
                total_improvement: metrics.total_improvement(),
                improvement_since_stage_start: metrics.improvement_since_stage_start(),
                blending_delta: metrics.blending_delta(),
                counterfactual_contribution: metrics.counterfactual_contribution,
                gradient_ratio: metrics.gradient_ratio(),
                healthy: metrics.healthy,
                unhealthy_captures: metrics.unhealthy_captures,
                isolation_violations: metrics.isolation_violations,
            },
        })
    }
}
