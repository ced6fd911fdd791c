//! The interface to the program part that runs the trainings of a comparison.

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::run::Summary;
use serde::{Deserialize, Serialize};

/// The state of a run after one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Multiply-adds of all training steps so far.
    pub multiply_adds: f64,
    /// Validation accuracy in percent.
    pub accuracy: f64,
}

/// A run to execute.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Name of the run's folder, unique in the comparison and the same each time.
    pub name: String,
    /// Configuration of the run.
    pub config: RunConfig,
}

/// Result of a completed run.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Summary of the run.
    pub summary: Summary,
    /// Accuracy and multiply-adds after each epoch.
    pub curve: Vec<CurvePoint>,
}

impl Done {
    /// Returns the final validation accuracy in percent; 0 if the run has none.
    pub(super) fn accuracy(&self) -> f64 {
        self.summary.final_val_accuracy.unwrap_or(0.0)
    }
}

/// Runs the trainings that a comparison needs.
pub trait Runner {
    /// Executes all jobs and returns their results in the same order.
    ///
    /// # Errors
    /// If a run does not complete.
    fn run(&mut self, jobs: &[Job]) -> Result<Vec<Done>, TrainError>;
}
