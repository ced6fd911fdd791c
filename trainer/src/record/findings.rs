//! Failed checks of gates as text: the measured value, the required value, and the remedy.

use kasmina::lifecycle::{Check, Lifecycle};
use serde::Serialize;

/// A failed check, with its numbers and a remedy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Label of the check; `docs/troubleshooting.md` has a section for each.
    pub check: Check,
    /// Measured and required value.
    pub found: String,
    /// Remedy.
    pub remedy: String,
}

/// Returns the failing checks that keep a slot's seed from its next stage.
pub(super) fn findings(slot: &Lifecycle) -> Vec<Finding> {
    let failing = slot.preview().map(|result| result.checks_failed).unwrap_or_default();
    failing.into_iter().map(|check| finding(check, slot)).collect()
}

/// Returns the finding of one failing check of the gate before the next stage, with the slot's present
/// numbers.
pub(super) fn finding(check: Check, slot: &Lifecycle) -> Finding {
    let (found, remedy) = describe(check, slot);
    Finding { check, found, remedy: remedy.to_owned() }
}

/// Returns the measured and required value of a check, and the remedy.
fn describe(check: Check, slot: &Lifecycle) -> (String, &'static str) {
    let settings = slot.settings();
    let limits = &settings.gates;
    let Some(seed) = slot.seed() else { return (String::new(), "germinate a seed first") };
    let metrics = &seed.metrics;
    let epochs = seed.epochs_in_stage;
    match check {
        Check::GlobalImprovementInsufficient => (
            format!(
                "the network gained {:.2} points since the seed began to train; {:.2} are required",
                metrics.improvement_since_stage_start().get(),
                limits.min_training_improvement
            ),
            "let it train longer, germinate earlier, while the host still improves, or lower lifecycle.gates.min_training_improvement",
        ),
        Check::SeedNotReady => (
            format!("it has trained for {epochs} of {} epochs", settings.min_training_epochs()),
            "wait, or lower lifecycle.train_fraction",
        ),
        Check::SeedGradientLow => (
            format!(
                "its gradients are {:.4} of the host's, per parameter; {:.4} are required",
                metrics.gradient_ratio().unwrap_or(0.0),
                limits.min_seed_gradient_ratio
            ),
            "choose a blueprint that learns here, raise optimizer.seed_rate, or lower lifecycle.gates.min_seed_gradient_ratio",
        ),
        Check::GradientStatsNeverMeasured if metrics.unhealthy_captures > 0 => (
            format!(
                "no gradient measurement was finite in this stage ({} were not finite since it germinated)",
                metrics.unhealthy_captures
            ),
            "lower optimizer.learning_rate or optimizer.seed_rate, or prune it",
        ),
        Check::GradientStatsNeverMeasured => (
            "its gradients were never measured in this stage".to_owned(),
            "turn fast_mode off and keep telemetry_interval below the steps of an epoch; a training loop of your own must call capture_gradients after every backward",
        ),
        Check::IsolationViolations => (
            format!(
                "its gradients reached isolated host layers {} times; {} are allowed",
                metrics.isolation_violations, limits.max_isolation_violations
            ),
            "this is a bug of the plugin: prune the seed and tell the plugin's author",
        ),
        Check::BlendingIncomplete => (
            format!("it has been blended for {epochs} of {} epochs", limits.min_blending_epochs),
            "wait, or lower lifecycle.gates.min_blending_epochs",
        ),
        Check::AlphaLow => (
            format!("alpha is {:.3}, the target {:.3}", seed.alpha.alpha(), seed.alpha.target()),
            "wait until the ramp ends",
        ),
        Check::ShadowingIncomplete => (
            format!("it has been compared for {epochs} of {} epochs", settings.shadowing_epochs),
            "wait, or lower lifecycle.shadowing_epochs",
        ),
        Check::CounterfactualNotAvailable => (
            "its contribution was not measured in this stage".to_owned(),
            "validate with the counterfactual plan while it is in HOLDING, and record the epoch",
        ),
        Check::Unhealthy => (
            format!(
                "its values were not finite ({} gradient measurements since it germinated)",
                metrics.unhealthy_captures
            ),
            "lower optimizer.seed_rate, or prune it",
        ),
        Check::InsufficientContribution => (
            format!(
                "switching it off costs {:.2} points; {:.2} are required",
                metrics.counterfactual_contribution.map_or(0.0, kasmina::lifecycle::Percent::get),
                limits.min_contribution
            ),
            "let it be pruned, give it more time with a longer lifecycle.holding_timeout, or lower lifecycle.gates.min_contribution",
        ),
        Check::DdpVeto => {
            ("another rank refused".to_owned(), "look at the same slot in the records of the other ranks")
        }
        _ => ("it failed".to_owned(), "see the table of the gate in docs/troubleshooting.md"),
    }
}
