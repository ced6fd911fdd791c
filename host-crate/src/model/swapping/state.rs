//! The state of swapping between two steps.

use super::policy::PanicPolicies;
use super::snapshot::Snapshot;
use crate::graft::{Fault, Mark};
use kasmina_registry::{Committed, Entry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Settings of the trial of a swapped build.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrialSettings {
    /// Number of training steps of a trial.
    #[schemars(range(min = 1))]
    pub steps: u32,
    /// Longest permitted duration of a call of a blend on trial, in milliseconds.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub call_budget_ms: f64,
}

impl Default for TrialSettings {
    fn default() -> Self {
        Self { steps: 32, call_budget_ms: 250.0 }
    }
}

impl TrialSettings {
    /// Returns the number of training steps of a trial, at least 1.
    pub(super) fn steps_at_least_one(self) -> u32 {
        self.steps.max(1)
    }

    /// Returns the longest permitted duration of a call.
    pub(super) fn budget(self) -> Duration {
        Duration::from_secs_f64(self.call_budget_ms.max(0.0) / 1e3)
    }
}

/// A build on trial, and the snapshot to undo a failed step.
#[derive(Debug)]
pub(super) struct OnTrial {
    pub(super) committed: Committed,
    /// Snapshot of the beginning of the present training step; `None` between two steps.
    pub(super) before: Option<StepBegin>,
}

impl OnTrial {
    /// Whether an entry is of the build on trial.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        entry.plugin().sha256 == self.committed.to().sha256
    }
}

/// The beginning of a training step.
#[derive(Debug)]
pub(super) struct StepBegin {
    /// Lengths of each slot's measurement queues.
    pub(super) marks: Vec<Mark>,
    pub(super) snapshot: Snapshot,
}

/// Settings of trials, the build on trial, and the policies for panics. Which blends are on trial is stored
/// in the slots.
#[derive(Debug)]
pub(in crate::model) struct Swapping {
    pub(super) trial: TrialSettings,
    pub(super) on_trial: Option<OnTrial>,
    pub(super) on_panic: PanicPolicies,
    /// The failed call that ended the last forward, with the index of its slot; `None` if no call failed.
    pub(super) fault: Option<(usize, Fault)>,
    /// What has failed during a trial on several ranks, as all of them know; `None` if nothing has.
    pub(super) failed_on_rank: Option<String>,
}

impl Swapping {
    pub(in crate::model) fn new(trial: TrialSettings, on_panic: PanicPolicies) -> Self {
        Self { trial, on_trial: None, on_panic, fault: None, failed_on_rank: None }
    }

    /// Records the failed call that ended a forward, or that none did.
    pub(in crate::model) fn note_fault(&mut self, fault: Option<(usize, Fault)>) {
        self.fault = fault;
    }

    /// Whether a build is on trial.
    pub(in crate::model) fn is_on_trial(&self) -> bool {
        self.on_trial.is_some()
    }

    /// Whether an entry is of the build on trial; false if no trial runs.
    pub(super) fn is_of_trial_build(&self, entry: &Entry) -> bool {
        self.on_trial.as_ref().is_some_and(|trial| trial.is_of(entry))
    }
}

/// How the model has recovered from a failed step, which the caller may now repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovered {
    /// The build on trial failed and was rolled back.
    RolledBack {
        /// Name of the plugin.
        plugin: String,
        /// Reason of the failure.
        reason: String,
    },
    /// A panic was contained by the slot's policy.
    Contained {
        /// Name of the slot.
        slot: String,
        /// Name of the applied policy.
        policy: String,
    },
}
