//! Checks in plain words: what was found, what is needed, what to do.

use kasmina::lifecycle::{Check, Lifecycle};
use serde::Serialize;

/// A check that failed, with its numbers and what to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its label, under which `docs/troubleshooting.md` has more.
    pub check: Check,
    /// What was found and what is needed.
    pub found: String,
    /// What to do about it.
    pub remedy: String,
}

/// What keeps a slot's seed from the next stage now.
pub(super) fn findings(slot: &Lifecycle) -> Vec<Finding> {
    let failing = slot.preview().map(|result| result.checks_failed).unwrap_or_default();
    failing.into_iter().map(|check| finding(check, slot)).collect()
}

/// One failing check of the gate before the next stage, with the numbers of the slot as it stands.
pub(super) fn finding(check: Check, slot: &Lifecycle) -> Finding {
    let (found, remedy) = words(check, slot);
    Finding { check, found, remedy: remedy.to_owned() }
}

fn words(check: Check, slot: &Lifecycle) -> (String, &'static str) {
    let settings = slot.settings();
    let limits = &settings.gates;
    let Some(seed) = slot.seed() else { return (String::new(), "germinate a seed first") };
    let metrics = &seed.metrics;
    let epochs = seed.epochs_in_stage;
    match check {
        Check::GlobalImprovementInsufficient => (
            format!(
                "the network gained {:.2} points since the seed began to train; {:.2} are asked for",
                metrics.improvement_since_stage_start().get(),
                limits.min_training_improvement
            ),
            "let it train on, germinate earlier, while the host still improves, or lower lifecycle.gates.min_training_improvement",
        ),
        Check::SeedNotReady => (
            format!("it has trained for {epochs} of {} epochs", settings.min_training_epochs()),
            "wait, or lower lifecycle.train_fraction",
        ),
        Check::SeedGradientLow => (
            format!(
                "its gradients are {:.4} of the host's, per parameter; {:.4} are asked for",
                metrics.gradient_ratio().unwrap_or(0.0),
                limits.min_seed_gradient_ratio
            ),
            "choose a blueprint that learns here, raise optimizer.seed_rate, or lower lifecycle.gates.min_seed_gradient_ratio",
        ),
        Check::GradientStatsNeverMeasured if metrics.unhealthy_captures > 0 => (
            format!(
                "none of its captures was finite in this stage ({} in its life were not)",
                metrics.unhealthy_captures
            ),
            "lower optimizer.learning_rate or optimizer.seed_rate, or prune it",
        ),
        Check::GradientStatsNeverMeasured => (
            "its gradients were never measured in this stage".to_owned(),
            "leave fast_mode off and keep telemetry_interval below the steps of an epoch; a loop of your own calls capture_gradients after every backward",
        ),
        Check::IsolationViolations => (
            format!(
                "it leaked into isolated host layers {} times; {} are allowed",
                metrics.isolation_violations, limits.max_isolation_violations
            ),
            "this is a bug of the plugin: prune the seed and tell the plugin's author",
        ),
        Check::BlendingIncomplete => (
            format!("it has been blended for {epochs} of {} epochs", limits.min_blending_epochs),
            "wait, or lower lifecycle.gates.min_blending_epochs",
        ),
        Check::AlphaLow => (
            format!("alpha is {:.3} on its way to {:.3}", seed.alpha.alpha(), seed.alpha.target()),
            "wait until the ramp is over",
        ),
        Check::ShadowingIncomplete => (
            format!("it has been compared for {epochs} of {} epochs", settings.shadowing_epochs),
            "wait, or lower lifecycle.shadowing_epochs",
        ),
        Check::CounterfactualNotAvailable => (
            "what it is worth was not measured in this stage".to_owned(),
            "validate with the counterfactual plan once it is in HOLDING, and record the epoch",
        ),
        Check::Unhealthy => (
            format!("its numbers were not finite ({} captures in its life)", metrics.unhealthy_captures),
            "lower optimizer.seed_rate, or prune it",
        ),
        Check::InsufficientContribution => (
            format!(
                "switching it off costs {:.2} points; {:.2} are asked for",
                metrics.counterfactual_contribution.map_or(0.0, kasmina::lifecycle::Percent::get),
                limits.min_contribution
            ),
            "let it be pruned, give it time to grow into use with a longer lifecycle.holding_timeout, or lower lifecycle.gates.min_contribution",
        ),
        Check::DdpVeto => {
            ("another rank said no".to_owned(), "look at the same slot in the other ranks' records")
        }
        _ => ("it does not hold".to_owned(), "see the gate's table in docs/troubleshooting.md"),
    }
}
