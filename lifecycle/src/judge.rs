//! What each gate asks, strict and permissive. Nothing here changes anything.

use super::alpha::AlphaMode;
use super::gate::{Check, Gate, GateResult};
use super::settings::Settings;
use super::stage::Stage;
use super::state::SeedState;
use super::units::at_least;

/// A check as it is about to be labelled: in order or not, and its two labels.
type Asked = (bool, Check, Check);

/// G0, before there is a state to look at.
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

/// Any later gate, on the state as it is. Legality has been checked before (an illegal jump must not report a
/// passed gate).
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

/// G2. Its score is the improvement's, whether or not it passed, and the same in both profiles.
fn training(state: &SeedState, settings: &Settings) -> GateResult {
    let (metrics, limits) = (&state.metrics, &settings.gates);
    let improvement = metrics.improvement_since_stage_start().get();
    let score = if improvement > 0.0 { (improvement / 5.0).min(1.0) } else { 0.0 };
    let ratio = metrics.gradient_ratio();
    let ready: Asked =
        (state.epochs_in_stage >= settings.min_training_epochs(), Check::SeedReady, Check::SeedNotReady);
    if settings.permissive {
        // A ratio exists only of captures that were finite.
        let measured: Asked =
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

/// G3. On the way down alpha is never high enough, wherever it is: 0.9 on its way to 0.5 is not stable.
fn blending(state: &SeedState, settings: &Settings) -> GateResult {
    let (alpha, limits) = (&state.alpha, &settings.gates);
    let share = if settings.permissive { 1.0 } else { limits.min_holding_stability };
    let reached = alpha.mode() != AlphaMode::Down && at_least(alpha.alpha(), share * alpha.target());
    let high: Asked = (reached, Check::AlphaHigh, Check::AlphaLow);
    if settings.permissive {
        return GateResult::of(Gate::G3, alpha.alpha(), &[high]);
    }
    let complete = state.epochs_in_stage >= limits.min_blending_epochs;
    let complete: Asked = (complete, Check::BlendingComplete, Check::BlendingIncomplete);
    GateResult::of(Gate::G3, alpha.alpha(), &[complete, high])
}

/// G5. There is no fallback from the counterfactual to an improvement that the host may have made alone.
fn holding(state: &SeedState, settings: &Settings) -> GateResult {
    let metrics = &state.metrics;
    let Some(contribution) = metrics.counterfactual_contribution else {
        let missing = (false, Check::CounterfactualAvailable, Check::CounterfactualNotAvailable);
        return GateResult::of(Gate::G5, 0.0, &[missing]);
    };
    let c = contribution.get();
    let score = if c > 0.0 { (c / 10.0).min(1.0) } else { 0.0 };
    let available: Asked = (true, Check::CounterfactualAvailable, Check::CounterfactualNotAvailable);
    let healthy: Asked = (metrics.healthy, Check::Healthy, Check::Unhealthy);
    if settings.permissive {
        return GateResult::of(Gate::G5, score, &[available, healthy]);
    }
    let enough = at_least(c, settings.gates.min_contribution);
    let enough: Asked = (enough, Check::SufficientContribution, Check::InsufficientContribution);
    GateResult::of(Gate::G5, score, &[available, healthy, enough])
}

fn one_if(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}
