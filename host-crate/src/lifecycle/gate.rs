//! The quality gates. A gate never changes state by itself.

use super::alpha::AlphaMode;
use super::settings::Settings;
use super::stage::Stage;
use super::state::SeedState;
use super::units::at_least;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The gates, by the stage that they guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Gate {
    /// Guards GERMINATED.
    G0,
    /// Guards TRAINING.
    G1,
    /// Guards BLENDING.
    G2,
    /// Guards HOLDING (and SHADOWING).
    G3,
    /// Guards FOSSILIZED.
    G5,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::G0 => "G0",
            Self::G1 => "G1",
            Self::G2 => "G2",
            Self::G3 => "G3",
            Self::G5 => "G5",
        })
    }
}

/// The thresholds; all inclusive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QualityGates {
    /// G2: percent points of validation accuracy since the stage began.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub min_training_improvement: f64,
    /// G3: epochs in BLENDING.
    pub min_blending_epochs: u32,
    /// G2: isolation violations over the seed's life.
    pub max_isolation_violations: u32,
    /// G3: the fraction of the alpha target that counts as reached. (Earlier implementations had the field and
    /// read it nowhere.)
    #[schemars(range(min = 0.0, max = 1.0))]
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

/// One thing a gate looked at; serialised as its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    GradientStatsNeverMeasured,
    IsolationOk,
    IsolationViolations,
    BlendingComplete,
    BlendingIncomplete,
    AlphaHigh,
    AlphaLow,
    CounterfactualAvailable,
    CounterfactualNotAvailable,
    Healthy,
    Unhealthy,
    SufficientContribution,
    InsufficientContribution,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The label is the serialised name; there is no second list to keep true.
        self.serialize(f)
    }
}

/// What a gate said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Which gate.
    pub gate: Gate,
    /// Its verdict.
    pub passed: bool,
    /// How well, `0..=1`; a feature for controllers, not a verdict.
    pub score: f64,
    /// What was in order.
    pub checks_passed: Vec<Check>,
    /// What was not.
    pub checks_failed: Vec<Check>,
    /// The same in words.
    pub message: String,
}

impl GateResult {
    fn of(gate: Gate, score: f64, checks: &[(bool, Check, Check)]) -> Self {
        let (mut passed, mut failed) = (Vec::new(), Vec::new());
        for &(ok, yes, no) in checks {
            if ok { passed.push(yes) } else { failed.push(no) }
        }
        let message = if failed.is_empty() {
            format!("{gate} passed")
        } else {
            let labels: Vec<String> = failed.iter().map(ToString::to_string).collect();
            format!("{gate} failed: {}", labels.join(", "))
        };
        Self { gate, passed: failed.is_empty(), score, checks_passed: passed, checks_failed: failed, message }
    }
}

/// G0, before there is a state to look at.
pub(super) fn identity(seed_id: &str, blueprint_id: &str) -> GateResult {
    let (seed, blueprint) = (!seed_id.is_empty(), !blueprint_id.is_empty());
    GateResult::of(
        Gate::G0,
        if seed && blueprint { 1.0 } else { 0.0 },
        &[
            (seed, Check::SeedIdPresent, Check::SeedIdMissing),
            (blueprint, Check::BlueprintIdPresent, Check::BlueprintIdMissing),
        ],
    )
}

/// Any later gate, on the state as it is. Legality has been checked before (an illegal jump must not report a
/// passed gate).
pub(super) fn evaluate(gate: Gate, state: &SeedState, settings: &Settings) -> GateResult {
    let (metrics, limits) = (&state.metrics, &settings.gates);
    match gate {
        Gate::G0 => identity(&state.seed_id, &state.blueprint_id),
        Gate::G1 => {
            let ok = state.stage == Stage::Germinated;
            let score = if ok { 1.0 } else { 0.0 };
            GateResult::of(gate, score, &[(ok, Check::Germinated, Check::NotGerminated)])
        }
        Gate::G2 => {
            let improvement = metrics.improvement_since_stage_start().get();
            let ratio = metrics.gradient_ratio();
            let low =
                if ratio.is_some() { Check::SeedGradientLow } else { Check::GradientStatsNeverMeasured };
            let score = if improvement > 0.0 { (improvement / 5.0).min(1.0) } else { 0.0 };
            GateResult::of(
                gate,
                score,
                &[
                    (
                        at_least(improvement, limits.min_training_improvement),
                        Check::GlobalImprovement,
                        Check::GlobalImprovementInsufficient,
                    ),
                    (
                        state.epochs_in_stage >= settings.min_training_epochs(),
                        Check::SeedReady,
                        Check::SeedNotReady,
                    ),
                    (
                        ratio.is_some_and(|r| at_least(r, limits.min_seed_gradient_ratio)),
                        Check::SeedGradientActive,
                        low,
                    ),
                    (
                        metrics.isolation_violations <= limits.max_isolation_violations,
                        Check::IsolationOk,
                        Check::IsolationViolations,
                    ),
                ],
            )
        }
        Gate::G3 => {
            let alpha = &state.alpha;
            let reached = alpha.mode() != AlphaMode::Down
                && at_least(alpha.alpha(), limits.min_holding_stability * alpha.target());
            let complete = state.epochs_in_stage >= limits.min_blending_epochs;
            GateResult::of(
                gate,
                alpha.alpha(),
                &[
                    (complete, Check::BlendingComplete, Check::BlendingIncomplete),
                    (reached, Check::AlphaHigh, Check::AlphaLow),
                ],
            )
        }
        Gate::G5 => {
            let Some(contribution) = metrics.counterfactual_contribution else {
                let missing = (false, Check::CounterfactualAvailable, Check::CounterfactualNotAvailable);
                return GateResult::of(gate, 0.0, &[missing]);
            };
            let c = contribution.get();
            GateResult::of(
                gate,
                if c > 0.0 { (c / 10.0).min(1.0) } else { 0.0 },
                &[
                    (true, Check::CounterfactualAvailable, Check::CounterfactualNotAvailable),
                    (metrics.healthy, Check::Healthy, Check::Unhealthy),
                    (
                        at_least(c, limits.min_contribution),
                        Check::SufficientContribution,
                        Check::InsufficientContribution,
                    ),
                ],
            )
        }
    }
}
