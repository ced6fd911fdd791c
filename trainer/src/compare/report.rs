//! What came of a comparison.

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
    /// What was compared, as configured.
    pub config: CompareConfig,
    /// A row for each arm, the grown run first.
    pub rows: Vec<Row>,
    /// The grown run against each control.
    pub against: Vec<Against>,
}

/// One arm over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Arm that the row is of.
    pub arm: Arm,
    /// The learning rate that was best for it.
    pub rate: f64,
    /// Whether that is the lowest or the highest of the grid: a better one may lie beyond.
    pub at_the_edge: bool,
    /// Final validation accuracy of each seed, percent.
    pub accuracies: Vec<f64>,
    /// Mean of the accuracies.
    pub mean: f64,
    /// Standard deviation of the accuracies.
    pub deviation: f64,
    /// Trainable parameters at the end, mean.
    pub parameters: f64,
    /// Multiply-adds of one forward at the end, per sample, mean.
    pub multiply_adds: f64,
    /// Multiply-adds of all training steps, mean.
    pub training_multiply_adds: f64,
    /// Epochs that were trained, mean over the seeds.
    pub epochs: f64,
    /// Wall-clock time of a run in seconds, mean over the seeds.
    pub wall_seconds: f64,
    /// Seeds that were fossilized, mean.
    pub fossilized: f64,
    /// From the first epoch to the last, mean over the seeds.
    pub curve: Vec<CurvePoint>,
}

/// The grown run against one control, seed by seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Control that the grown run is compared with.
    pub arm: Arm,
    /// Mean of the differences in accuracy, points.
    pub difference: f64,
    /// The standard error of that mean; nothing is known from one seed.
    pub error: Option<f64>,
    /// Half of its 95 % confidence interval, by Student's t: few seeds say little.
    pub interval: Option<f64>,
    /// Conclusion from the interval.
    pub verdict: Verdict,
}

/// Conclusion from a difference and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// By more than chance: 0 lies below the confidence interval.
    Better,
    /// The interval contains 0.
    NoDifference,
    /// The whole interval is below 0.
    Worse,
    /// One seed gives no interval.
    Unknown,
}

impl Verdict {
    /// In words, of the grown run.
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
    // Runs may differ in length: the same part of each is what is averaged, its last epoch with the last of
    // all.
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
    let interval = error.zip(student(differences.len())).map(|(error, t)| error * t);
    let verdict = match interval {
        None => Verdict::Unknown,
        Some(interval) if difference > interval => Verdict::Better,
        Some(interval) if difference < -interval => Verdict::Worse,
        Some(_) => Verdict::NoDifference,
    };
    Against { arm: control.arm, difference, error, interval, verdict }
}

/// Standard errors on either side of a mean of so many values that hold 95 % of its distribution.
fn student(values: usize) -> Option<f64> {
    let freedom = values.checked_sub(1).filter(|n| *n > 0)? as f64;
    StudentsT::new(0.0, 1.0, freedom).ok().map(|t| t.inverse_cdf(0.975))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Of a sample; one value has none.
fn deviation(values: &[f64]) -> Option<f64> {
    let degrees = values.len().checked_sub(1).filter(|n| *n > 0)? as f64;
    let mean = mean(values);
    Some((values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / degrees).sqrt())
}
