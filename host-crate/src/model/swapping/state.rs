//! What swapping keeps between two steps.

use super::policy::PanicPolicies;
use super::snapshot::Snapshot;
use crate::graft::{Fault, Mark};
use kasmina_registry::{Committed, Entry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a build proves itself once it has been swapped in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrialSettings {
    /// Training steps that it is watched for.
    #[schemars(range(min = 1))]
    pub steps: u32,
    /// What a call of it may take meanwhile, in milliseconds.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub call_budget_ms: f64,
}

impl Default for TrialSettings {
    fn default() -> Self {
        Self { steps: 32, call_budget_ms: 250.0 }
    }
}

impl TrialSettings {
    /// Training steps of a trial, at least one.
    pub(super) fn least_steps(self) -> u32 {
        self.steps.max(1)
    }

    /// What a call may take.
    pub(super) fn budget(self) -> Duration {
        Duration::from_secs_f64(self.call_budget_ms.max(0.0) / 1e3)
    }
}

/// A build on trial, and what a step that fails in it is set back to.
#[derive(Debug)]
pub(super) struct OnTrial {
    pub(super) committed: Committed,
    /// Where the present training step began; none between two steps.
    pub(super) before: Option<StepBegin>,
}

impl OnTrial {
    /// Whether an entry is of the build that is on trial.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        entry.plugin().sha256 == self.committed.to().sha256
    }
}

/// Where a training step began.
#[derive(Debug)]
pub(super) struct StepBegin {
    /// How much each slot had queued.
    pub(super) marks: Vec<Mark>,
    pub(super) snapshot: Snapshot,
}

/// How builds are tried, which one is on trial, and what is done about panics. The slots themselves know
/// which of their blends are on trial.
#[derive(Debug)]
pub(in crate::model) struct Swapping {
    pub(super) trial: TrialSettings,
    pub(super) on_trial: Option<OnTrial>,
    pub(super) on_panic: PanicPolicies,
    /// The call that ended the last forward, if one did: the position of its slot, and whose it was.
    pub(super) fault: Option<(usize, Fault)>,
}

impl Swapping {
    pub(in crate::model) fn new(trial: TrialSettings, on_panic: PanicPolicies) -> Self {
        Self { trial, on_trial: None, on_panic, fault: None }
    }

    /// Remembers whose call ended a forward, or that none did.
    pub(in crate::model) fn note_fault(&mut self, fault: Option<(usize, Fault)>) {
        self.fault = fault;
    }

    /// Whether a build is on trial.
    pub(in crate::model) fn is_on_trial(&self) -> bool {
        self.on_trial.is_some()
    }

    /// Whether an entry is of the build that is on trial.
    pub(super) fn tries(&self, entry: &Entry) -> bool {
        self.on_trial.as_ref().is_some_and(|trial| trial.is_of(entry))
    }
}

/// A failure that the model has dealt with: the step may be taken again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovered {
    /// A build on trial has failed; the one before is back.
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
        /// Policy that was applied.
        policy: String,
    },
}
