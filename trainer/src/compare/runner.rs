//! What a comparison asks of whoever runs its trainings.

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::run::Summary;
use serde::{Deserialize, Serialize};

/// One epoch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Multiply-adds of all training steps until then.
    pub multiply_adds: f64,
    /// Validation accuracy in percent.
    pub accuracy: f64,
}

/// One run that has to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// A name for its folder, the same for the same run.
    pub name: String,
    /// Settings of the run.
    pub config: RunConfig,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Summary of the run.
    pub summary: Summary,
    /// Losses and accuracies of the run's epochs.
    pub curve: Vec<CurvePoint>,
}

impl Done {
    /// Final validation accuracy in percent; 0 where the run measured none.
    pub(super) fn accuracy(&self) -> f64 {
        self.summary.final_val_accuracy.unwrap_or(0.0)
    }
}

/// Runs the trainings that a comparison needs.
pub trait Runner {
    /// Runs all of these, and answers in their order.
    ///
    /// # Errors
    /// If one does not complete.
    fn run(&mut self, jobs: &[Job]) -> Result<Vec<Done>, TrainError>;
}
