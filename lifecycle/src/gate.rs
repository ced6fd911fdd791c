//! The quality gates: their thresholds, checks and results.

use super::bounds::{SettingsError, check_bounds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A quality gate, the condition of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Gate {
    /// Gate before GERMINATED.
    G0,
    /// Gate before TRAINING.
    G1,
    /// Gate before BLENDING.
    G2,
    /// Gate before HOLDING, and before SHADOWING where a slot has that stage.
    G3,
    /// Gate from SHADOWING to HOLDING.
    G4,
    /// Gate before FOSSILIZED.
    G5,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::G0 => "G0",
            Self::G1 => "G1",
            Self::G2 => "G2",
            Self::G3 => "G3",
            Self::G4 => "G4",
            Self::G5 => "G5",
        })
    }
}

/// Thresholds of the gates. A value equal to a threshold passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QualityGates {
    /// G2: minimum gain of validation accuracy since the stage began, in percentage points.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub min_training_improvement: f64,
    /// G3: minimum number of epochs in BLENDING.
    pub min_blending_epochs: u32,
    /// G2: maximum number of isolation violations since germination.
    pub max_isolation_violations: u32,
    /// G3: fraction of the alpha target at which the target counts as reached.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub min_holding_stability: f64,
    /// G2: minimum ratio of the seed's gradient norm to the host's, scaled by the numbers of parameters.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub min_seed_gradient_ratio: f64,
    /// G5: minimum contribution of the seed, measured by its counterfactual, in percentage points.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub min_contribution: f64,
}

impl Default for QualityGates {
    fn default() -> Self {
        Self {
            min_training_improvement: 0.5,
            min_blending_epochs: 3,
            max_isolation_violations: 10,
            min_holding_stability: 0.95,
            min_seed_gradient_ratio: 0.05,
            min_contribution: 1.0,
        }
    }
}

impl QualityGates {
    /// Checks all bounds.
    ///
    /// # Errors
    /// The first threshold that is out of its bounds.
    pub fn validate(&self) -> Result<(), SettingsError> {
        check_bounds(self)
    }
}

/// Label of a check that passed or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the labels that people read")]
pub enum Check {
    SeedIdPresent,
    SeedIdMissing,
    BlueprintIdPresent,
    BlueprintIdMissing,
    Germinated,
    NotGerminated,
    GlobalImprovement,
    GlobalImprovementInsufficient,
    SeedReady,
    SeedNotReady,
    SeedGradientActive,
    SeedGradientLow,
    GradientStatsMeasured,
    GradientStatsNeverMeasured,
    IsolationOk,
    IsolationViolations,
    BlendingComplete,
    BlendingIncomplete,
    AlphaHigh,
    AlphaLow,
    ShadowingComplete,
    ShadowingIncomplete,
    CounterfactualAvailable,
    CounterfactualNotAvailable,
    Healthy,
    Unhealthy,
    SufficientContribution,
    InsufficientContribution,
    /// Another rank did not agree to the transition.
    DdpVeto,
}

impl Check {
    /// Whether this failed check can pass merely because more epochs go by.
    pub const fn is_a_matter_of_time(self) -> bool {
        matches!(
            self,
            Self::SeedNotReady | Self::BlendingIncomplete | Self::AlphaLow | Self::ShadowingIncomplete
        )
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The label is the serialized name, so there is no second list to maintain.
        self.serialize(f)
    }
}

/// Result of evaluating a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Gate that was evaluated.
    pub gate: Gate,
    /// Whether all checks passed.
    pub passed: bool,
    /// Score in 0 to 1, a feature for controllers. It does not decide whether the gate passes.
    pub score: f64,
    /// Checks that passed.
    pub checks_passed: Vec<Check>,
    /// Checks that failed.
    pub checks_failed: Vec<Check>,
    /// The result in one sentence, for people.
    pub message: String,
}

impl GateResult {
    /// Creates a result from checks, each as (passed, label if passed, label if failed).
    pub(super) fn of(gate: Gate, score: f64, checks: &[(bool, Check, Check)]) -> Self {
        let (mut passed, mut failed) = (Vec::new(), Vec::new());
        for &(ok, yes, no) in checks {
            if ok { passed.push(yes) } else { failed.push(no) }
        }
        Self::with(gate, score, passed, failed)
    }

    /// Returns the result with a failed check for the missing consent of another rank.
    pub(super) fn vetoed(mut self) -> Self {
        self.checks_failed.push(Check::DdpVeto);
        Self::with(self.gate, self.score, self.checks_passed, self.checks_failed)
    }

    fn with(gate: Gate, score: f64, checks_passed: Vec<Check>, checks_failed: Vec<Check>) -> Self {
        let passed = checks_failed.is_empty();
        let message = if passed {
            format!("{gate} passed")
        } else {
            let labels: Vec<String> = checks_failed.iter().map(ToString::to_string).collect();
            format!("{gate} failed: {}", labels.join(", "))
        };
        Self { gate, passed, score, checks_passed, checks_failed, message }
    }
}
