//! Comparison of a grown run with its controls, over several random seeds. Each arm is run at its best
//! learning rate of the same grid, because a control that is tuned worse proves nothing.
//!
//! This module decides what is run; a [`Runner`] runs it.

mod arm;
mod config;
mod report;
mod runner;

pub use arm::{ARMS, Arm};
pub use config::CompareConfig;
pub use report::{Against, Report, Row, Verdict};
pub use runner::{CurvePoint, Done, Job, Runner};

use crate::error::TrainError;
use arm::Grown;
use std::collections::BTreeMap;

/// First random seed of the runs from which learning rates are chosen; larger than those of the compared
/// runs.
const TUNING: u64 = 1_000_000;

/// Identifies one run of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RunKey {
    arm: Arm,
    /// Index of the learning rate in the grid.
    rate: usize,
    seed: u64,
}

/// Runs a comparison.
///
/// # Errors
/// If its settings are out of bounds, or a run does not complete.
pub fn compare(config: &CompareConfig, runner: &mut dyn Runner) -> Result<Report, TrainError> {
    config.validate()?;
    let mut comparison = Comparison { config, runner, done: BTreeMap::new() };
    let tuning: Vec<u64> = (0..config.tuning_seeds).map(|i| TUNING + u64::from(i)).collect();
    let seeds: Vec<u64> = (1..=u64::from(config.seeds)).collect();
    let grid: Vec<usize> = (0..config.rates.len()).collect();
    let mut best = BTreeMap::new();
    for arm in ARMS {
        comparison.run(arm, &grid, &tuning, &best)?;
        best.insert(arm, comparison.best(arm, &grid, &tuning));
    }
    for arm in ARMS {
        comparison.run(arm, &[best[&arm]], &seeds, &best)?;
    }
    Ok(Report::new(config, &best, |arm| {
        let done = |seed: &u64| comparison.done.get(&RunKey { arm, rate: best[&arm], seed: *seed });
        seeds.iter().filter_map(done).collect()
    }))
}

/// A comparison in progress, with the runs that are done.
struct Comparison<'a> {
    config: &'a CompareConfig,
    runner: &'a mut dyn Runner,
    done: BTreeMap<RunKey, Done>,
}

impl Comparison<'_> {
    /// Runs one arm at some learning rates with some random seeds. Its settings may depend on the runs of
    /// other arms with the same random seed, each at its own best rate.
    fn run(
        &mut self,
        arm: Arm,
        rates: &[usize],
        seeds: &[u64],
        best: &BTreeMap<Arm, usize>,
    ) -> Result<(), TrainError> {
        let (mut keys, mut jobs) = (Vec::new(), Vec::new());
        for (rate, seed) in rates.iter().flat_map(|rate| seeds.iter().map(move |seed| (*rate, *seed))) {
            let of = |arm: Arm| {
                let rate = best.get(&arm).copied().unwrap_or(rate);
                self.done.get(&RunKey { arm, rate, seed }).map(|done| &done.summary)
            };
            let grown = of(Arm::Grown).map(|grown| Grown { grown, from_the_start: of(Arm::Static) });
            let mut config = arm.config(&self.config.run, grown)?;
            config.seed = seed;
            config.optimizer.learning_rate = self.config.rates[rate];
            keys.push(RunKey { arm, rate, seed });
            jobs.push(Job {
                name: format!("{}-rate{}-seed{seed}", arm.id(), self.config.rates[rate]),
                config,
            });
        }
        let done = self.runner.run(&jobs)?;
        self.done.extend(keys.into_iter().zip(done));
        Ok(())
    }

    /// Returns the rate with the best mean accuracy; of equally good ones, the lowest.
    fn best(&self, arm: Arm, rates: &[usize], seeds: &[u64]) -> usize {
        // All rates have the same number of runs, so sums compare as means do.
        let sum = |rate: usize| {
            let done = |seed: &u64| self.done.get(&RunKey { arm, rate, seed: *seed });
            seeds.iter().filter_map(done).map(Done::accuracy).sum::<f64>()
        };
        let mut best = 0;
        for rate in rates {
            if sum(*rate) > sum(best) {
                best = *rate;
            }
        }
        best
    }
}
