//! Result of a comparison.

use super::arm::{ARMS, Arm};
use super::config::CompareConfig;
use super::runner::{CurvePoint, Done};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use std::collections::BTreeMap;

/// Result of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Id of the task.
    pub task: String,
    /// Configuration of the comparison.
    pub config: CompareConfig,
    /// A row for each arm, the grown run first.
    pub rows: Vec<Row>,
    /// The grown run against each control.
    pub against: Vec<Against>,
}

/// One arm over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The arm.
    pub arm: Arm,
    /// Best learning rate of the arm.
    pub rate: f64,
    /// Whether this is the lowest or the highest rate of the grid, so that a better one may be outside.
    pub at_the_edge: bool,
    /// Final validation accuracy of the run of each random seed, in percent.
    pub accuracies: Vec<f64>,
    /// Mean of the accuracies.
    pub mean: f64,
    /// Standard deviation of the accuracies.
    pub deviation: f64,
    /// Number of trainable parameters at the end, mean over the runs.
    pub parameters: f64,
    /// Multiply-adds of one forward at the end, per sample, mean over the runs.
    pub multiply_adds: f64,
    /// Multiply-adds of all training steps, mean over the runs.
    pub training_multiply_adds: f64,
    /// Number of trained epochs, mean over the runs.
    pub epochs: f64,
    /// Wall-clock time of a run in seconds, mean over the runs.
    pub wall_seconds: f64,
    /// Number of fossilized seeds, mean over the runs.
    pub fossilized: f64,
    /// Accuracy by multiply-adds from the first epoch to the last, mean over the runs.
    pub curve: Vec<CurvePoint>,
}

/// The grown run compared with one control, by pairs of runs with the same random seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Control that the grown run is compared with.
    pub arm: Arm,
    /// Mean difference in accuracy, in percentage points; positive if the grown run is better.
    pub difference: f64,
    /// Standard error of that mean; `None` with a single pair.
    pub error: Option<f64>,
    /// Half width of its 95 % confidence interval by Student's t; `None` with a single pair.
    pub interval: Option<f64>,
    /// Conclusion from the interval.
    pub verdict: Verdict,
}

/// Conclusion from a difference and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval is above 0.
    Better,
    /// The interval contains 0.
    NoDifference,
    /// The whole interval is below 0.
    Worse,
    /// There is no interval, because there is a single pair of runs.
    Unknown,
}

impl Verdict {
    /// Returns the words between "the grown run is" and the name of the control.
    pub fn words(self) -> &'static str {
        match self {
            Self::Better => "better than",
            Self::NoDifference => "no different from",
            Self::Worse => "worse than",
            Self::Unknown => "beside",
        }
    }
}

impl Report {
    pub(super) fn new<'d>(
        config: &CompareConfig,
        best: &BTreeMap<Arm, usize>,
        of: impl Fn(Arm) -> Vec<&'d Done>,
    ) -> Self {
        let rows: Vec<Row> = ARMS.iter().map(|arm| row(config, *arm, best[arm], &of(*arm))).collect();
        let against = rows.iter().skip(1).filter_map(|row| Some(against(rows.first()?, row))).collect();
        Self { task: config.run.task.clone(), config: config.clone(), rows, against }
    }
}

fn row(config: &CompareConfig, arm: Arm, rate: usize, done: &[&Done]) -> Row {
    let mean_of = |of: &dyn Fn(&Done) -> f64| mean(&done.iter().map(|d| of(d)).collect::<Vec<_>>());
    let accuracies: Vec<f64> = done.iter().map(|d| d.accuracy()).collect();
    let points = done.iter().map(|d| d.curve.len()).max().unwrap_or(0);
    // Runs may differ in length, so points at the same fraction of each run are averaged.
    let at = |d: &Done, i: usize| {
        let epoch = ((i + 1) * d.curve.len()).div_ceil(points.max(1)).saturating_sub(1);
        d.curve.get(epoch).copied().unwrap_or(CurvePoint { multiply_adds: 0.0, accuracy: 0.0 })
    };
    let point = |i: usize| CurvePoint {
        multiply_adds: mean_of(&|d| at(d, i).multiply_adds),
        accuracy: mean_of(&|d| at(d, i).accuracy),
    };
    Row {
        arm,
        rate: config.rates[rate],
        at_the_edge: config.rates.len() > 1 && (rate == 0 || rate + 1 == config.rates.len()),
        mean: mean(&accuracies),
        deviation: deviation(&accuracies).unwrap_or(0.0),
        accuracies,
        parameters: mean_of(&|d| d.summary.total_params as f64),
        multiply_adds: mean_of(&|d| d.summary.multiply_adds as f64),
        training_multiply_adds: mean_of(&|d| d.summary.training_multiply_adds),
        epochs: mean_of(&|d| d.summary.epochs.into()),
        wall_seconds: mean_of(&|d| d.summary.wall_seconds),
        fossilized: mean_of(&|d| d.summary.fossilized.into()),
        curve: (0..points).map(point).collect(),
    }
}

fn against(grown: &Row, control: &Row) -> Against {
    let differences: Vec<f64> =
        grown.accuracies.iter().zip(&control.accuracies).map(|(grown, control)| grown - control).collect();
    let difference = mean(&differences);
    let error = deviation(&differences).map(|d| d / (differences.len() as f64).sqrt());
    let interval = error.zip(t_quantile(differences.len())).map(|(error, t)| error * t);
    let verdict = match interval {
        None => Verdict::Unknown,
        Some(interval) if difference > interval => Verdict::Better,
        Some(interval) if difference < -interval => Verdict::Worse,
        Some(_) => Verdict::NoDifference,
    };
    Against { arm: control.arm, difference, error, interval, verdict }
}

/// Returns the 97.5 % quantile of Student's t distribution for the mean of this many values.
fn t_quantile(values: usize) -> Option<f64> {
    let freedom = values.checked_sub(1).filter(|n| *n > 0)? as f64;
    StudentsT::new(0.0, 1.0, freedom).ok().map(|t| t.inverse_cdf(0.975))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Returns the sample standard deviation; `None` for fewer than two values.
fn deviation(values: &[f64]) -> Option<f64> {
    let degrees = values.len().checked_sub(1).filter(|n| *n > 0)? as f64;
    let mean = mean(values);
    Some((values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / degrees).sqrt())
}
