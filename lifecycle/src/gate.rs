//! The quality gates. A gate never changes state by itself.

use super::bounds::{SettingsError, check_bounds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The gates, by the stage that they guard.
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

/// Thresholds of the gates; all are inclusive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QualityGates {
    /// G2: percent points of validation accuracy since the stage began.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub min_training_improvement: f64,
    /// G3: least number of epochs in BLENDING.
    pub min_blending_epochs: u32,
    /// G2: isolation violations over the seed's life.
    pub max_isolation_violations: u32,
    /// G3: the fraction of the alpha target that counts as reached. (Earlier implementations had the field
    /// and read it nowhere.)
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub min_holding_stability: f64,
    /// G2: gradient activity of the seed beside the host's.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub min_seed_gradient_ratio: f64,
    /// G5: percent points that the seed is worth, by its counterfactual. There is no fallback.
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

/// One thing a gate looked at; serialised as its label.
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
    /// Another rank's verdict was no.
    DdpVeto,
}

impl Check {
    /// Whether waiting is all that it asks for.
    pub const fn is_a_matter_of_time(self) -> bool {
        matches!(
            self,
            Self::SeedNotReady | Self::BlendingIncomplete | Self::AlphaLow | Self::ShadowingIncomplete
        )
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The label is the serialised name; there is no second list to keep true.
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
    /// How well, `0..=1`; a feature for controllers, not a verdict.
    pub score: f64,
    /// Checks that passed.
    pub checks_passed: Vec<Check>,
    /// Checks that failed.
    pub checks_failed: Vec<Check>,
    /// The result in one sentence, for people.
    pub message: String,
}

impl GateResult {
    /// From checks in the order of the table, each as (in order, label if so, label if not).
    pub(super) fn of(gate: Gate, score: f64, checks: &[(bool, Check, Check)]) -> Self {
        let (mut passed, mut failed) = (Vec::new(), Vec::new());
        for &(ok, yes, no) in checks {
            if ok { passed.push(yes) } else { failed.push(no) }
        }
        Self::with(gate, score, passed, failed)
    }

    /// The same checks, but another rank said no.
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
