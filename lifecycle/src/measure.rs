//! Operations that record measurements.

use super::event::EventKind;
use super::machine::Lifecycle;
use super::metrics::GradientCapture;
use super::refusal::{Refusal, RefusalCode};
use super::stage::Stage;
use super::state::SeedState;
use super::units::{Accuracy, Percent};

impl Lifecycle {
    /// Records a validation accuracy of the whole network, in percent.
    ///
    /// From GERMINATED to HOLDING this counts an epoch. In FOSSILIZED only the accuracies are updated. In an
    /// empty slot and in a cooldown nothing happens.
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

    /// Records one capture of gradient norms. A capture without a finite ratio is counted and marks the seed
    /// unhealthy; it does not enter the mean ratio.
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

    /// Records the seed's contribution in percentage points: the validation accuracy minus the accuracy with
    /// the seed's alpha forced to 0.
    ///
    /// # Errors
    /// `non_finite`, `out_of_range`, `empty_slot`, `wrong_stage`.
    pub fn record_counterfactual(&mut self, contribution: f64) -> Result<(), Refusal> {
        let contribution = Percent::new("contribution", contribution)?;
        self.active("a counterfactual")?.metrics.counterfactual_contribution = Some(contribution);
        Ok(())
    }

    /// Records whether the seed is healthy. `cause` is recorded in the event if this is a change.
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
