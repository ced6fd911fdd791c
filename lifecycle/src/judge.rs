//! Evaluation of the gates, strict and permissive. Nothing here changes state.

use super::alpha::AlphaMode;
use super::gate::{Check, Gate, GateResult};
use super::settings::Settings;
use super::stage::Stage;
use super::state::SeedState;
use super::units::at_least;

/// A check: whether it passed, the label if passed, the label if failed.
type LabelledCheck = (bool, Check, Check);

/// Evaluates G0, before the seed has a state.
pub(super) fn identity(seed_id: &str, blueprint_id: &str) -> GateResult {
    let (seed, blueprint) = (!seed_id.is_empty(), !blueprint_id.is_empty());
    GateResult::of(
        Gate::G0,
        one_if(seed && blueprint),
        &[
            (seed, Check::SeedIdPresent, Check::SeedIdMissing),
            (blueprint, Check::BlueprintIdPresent, Check::BlueprintIdMissing),
        ],
    )
}

/// Evaluates a gate on the state of a seed. The caller has checked that the transition is legal, because an
/// illegal one must not report a passed gate.
pub(super) fn evaluate(gate: Gate, state: &SeedState, settings: &Settings) -> GateResult {
    match gate {
        Gate::G0 => identity(&state.seed_id, &state.blueprint_id),
        Gate::G1 => {
            let ok = state.stage == Stage::Germinated;
            GateResult::of(gate, one_if(ok), &[(ok, Check::Germinated, Check::NotGerminated)])
        }
        Gate::G2 => training(state, settings),
        Gate::G3 => blending(state, settings),
        Gate::G4 => {
            let ok = state.epochs_in_stage >= settings.shadowing_epochs;
            let check = (ok, Check::ShadowingComplete, Check::ShadowingIncomplete);
            GateResult::of(gate, one_if(ok), &[check])
        }
        Gate::G5 => holding(state, settings),
    }
}

/// Evaluates G2. The score depends on the improvement only, in strict and permissive mode alike.
fn training(state: &SeedState, settings: &Settings) -> GateResult {
    let (metrics, limits) = (&state.metrics, &settings.gates);
    let improvement = metrics.improvement_since_stage_start().get();
    let score = if improvement > 0.0 { (improvement / 5.0).min(1.0) } else { 0.0 };
    let ratio = metrics.gradient_ratio();
    let ready: LabelledCheck =
        (state.epochs_in_stage >= settings.min_training_epochs(), Check::SeedReady, Check::SeedNotReady);
    if settings.permissive {
        // A ratio exists only if a capture was finite.
        let measured: LabelledCheck =
            (ratio.is_some(), Check::GradientStatsMeasured, Check::GradientStatsNeverMeasured);
        return GateResult::of(Gate::G2, score, &[ready, measured]);
    }
    let low = if ratio.is_some() { Check::SeedGradientLow } else { Check::GradientStatsNeverMeasured };
    GateResult::of(
        Gate::G2,
        score,
        &[
            (
                at_least(improvement, limits.min_training_improvement),
                Check::GlobalImprovement,
                Check::GlobalImprovementInsufficient,
            ),
            ready,
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

/// Evaluates G3. A falling alpha never passes, because an alpha of 0.9 that falls to 0.5 is not stable.
fn blending(state: &SeedState, settings: &Settings) -> GateResult {
    let (alpha, limits) = (&state.alpha, &settings.gates);
    let share = if settings.permissive { 1.0 } else { limits.min_holding_stability };
    let reached = alpha.mode() != AlphaMode::Down && at_least(alpha.alpha(), share * alpha.target());
    let high: LabelledCheck = (reached, Check::AlphaHigh, Check::AlphaLow);
    if settings.permissive {
        return GateResult::of(Gate::G3, alpha.alpha(), &[high]);
    }
    let complete = state.epochs_in_stage >= limits.min_blending_epochs;
    let complete: LabelledCheck = (complete, Check::BlendingComplete, Check::BlendingIncomplete);
    GateResult::of(Gate::G3, alpha.alpha(), &[complete, high])
}

/// Evaluates G5. Without a counterfactual the gate fails; the improvement is no substitute, because the host
/// may have made it alone.
fn holding(state: &SeedState, settings: &Settings) -> GateResult {
    let metrics = &state.metrics;
    let Some(contribution) = metrics.counterfactual_contribution else {
        let missing = (false, Check::CounterfactualAvailable, Check::CounterfactualNotAvailable);
        return GateResult::of(Gate::G5, 0.0, &[missing]);
    };
    let c = contribution.get();
    let score = if c > 0.0 { (c / 10.0).min(1.0) } else { 0.0 };
    let available: LabelledCheck = (true, Check::CounterfactualAvailable, Check::CounterfactualNotAvailable);
    let healthy: LabelledCheck = (metrics.healthy, Check::Healthy, Check::Unhealthy);
    if settings.permissive {
        return GateResult::of(Gate::G5, score, &[available, healthy]);
    }
    let enough = at_least(c, settings.gates.min_contribution);
    let enough: LabelledCheck = (enough, Check::SufficientContribution, Check::InsufficientContribution);
    GateResult::of(Gate::G5, score, &[available, healthy, enough])
}

fn one_if(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}
