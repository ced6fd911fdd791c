//! Measurements: what a slot is told of itself and of the network.

use super::event::EventKind;
use super::machine::Lifecycle;
use super::metrics::GradientCapture;
use super::refusal::{Refusal, RefusalCode};
use super::stage::Stage;
use super::state::SeedState;
use super::units::{Accuracy, Percent};

impl Lifecycle {
    /// A validation of the whole network. Counts an epoch in GERMINATED to HOLDING; moves current and best in
    /// FOSSILIZED; does nothing in an empty slot and in a cooldown.
    ///
    /// # Errors
    /// `non_finite` or `out_of_range`.
    pub fn record_validation(&mut self, accuracy: f64) -> Result<(), Refusal> {
        let accuracy = Accuracy::new(accuracy)?;
        let Some(seed) = &mut self.seed else { return Ok(()) };
        match seed.stage {
            Stage::Germinated | Stage::Training | Stage::Blending | Stage::Shadowing | Stage::Holding => {
                seed.metrics.record_accuracy(accuracy);
                seed.epochs_in_stage = seed.epochs_in_stage.saturating_add(1);
                seed.epochs_total = seed.epochs_total.saturating_add(1);
            }
            Stage::Fossilized => seed.metrics.record_accuracy(accuracy),
            _ => {}
        }
        Ok(())
    }

    /// A capture of gradient norms. One that is not finite is counted, marks the seed unhealthy and is never
    /// a ratio (a ratio that is not a number is none).
    ///
    /// # Errors
    /// `out_of_range` for a negative norm, `empty_slot`, `wrong_stage`.
    pub fn record_gradients(&mut self, capture: GradientCapture) -> Result<(), Refusal> {
        let capture = capture.check()?;
        let seed = self.active("gradients")?;
        if capture.violation {
            seed.metrics.isolation_violations = seed.metrics.isolation_violations.saturating_add(1);
        }
        if let Some(ratio) = capture.ratio(seed.seed_params, seed.host_params) {
            seed.metrics.add_gradient_ratio(ratio);
        } else {
            seed.metrics.unhealthy_captures = seed.metrics.unhealthy_captures.saturating_add(1);
            self.set_health(false, "non_finite_gradient");
        }
        Ok(())
    }

    /// What the seed is worth: accuracy as is, less accuracy with its alpha forced to 0.
    ///
    /// # Errors
    /// `non_finite`, `out_of_range`, `empty_slot`, `wrong_stage`.
    pub fn record_counterfactual(&mut self, contribution: f64) -> Result<(), Refusal> {
        let contribution = Percent::new("contribution", contribution)?;
        self.active("a counterfactual")?.metrics.counterfactual_contribution = Some(contribution);
        Ok(())
    }

    /// What the caller knows of the seed's health.
    ///
    /// # Errors
    /// `empty_slot`, `wrong_stage`.
    pub fn record_health(&mut self, healthy: bool, cause: &str) -> Result<(), Refusal> {
        let seed = self.occupied()?;
        if !(seed.stage.is_active() || seed.stage == Stage::Germinated) {
            return Err(wrong_stage("health", seed.stage));
        }
        self.set_health(healthy, cause);
        Ok(())
    }

    fn set_health(&mut self, healthy: bool, cause: &str) {
        let changed = self.seed.as_mut().is_some_and(|s| {
            let changed = s.metrics.healthy != healthy;
            s.metrics.healthy = healthy;
            changed
        });
        if changed {
            self.emit(EventKind::SeedHealth { healthy, cause: cause.to_owned() });
        }
    }

    fn active(&mut self, what: &str) -> Result<&mut SeedState, Refusal> {
        let seed = self.occupied()?;
        if seed.stage.is_active() { Ok(seed) } else { Err(wrong_stage(what, seed.stage)) }
    }
}

fn wrong_stage(what: &str, stage: Stage) -> Refusal {
    Refusal::new(RefusalCode::WrongStage, format!("{what} cannot be recorded in {stage}"))
}
