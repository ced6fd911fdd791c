//! Does growing pay? A run beside its controls, over several seeds, each at the best learning rate of one
//! grid: a control that is tuned worse proves nothing.
//!
//! What is compared is decided here; who runs the runs is a [`Runner`]'s business.

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

/// The seeds by which rates are chosen: none of those that are compared.
const TUNING: u64 = 1_000_000;

/// Who is to be run at which rate with which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    arm: Arm,
    rate: usize,
    seed: u64,
}

/// Runs a comparison.
///
/// # Errors
/// If its settings are out of bounds, or a run does not complete.
pub fn compare(config: &CompareConfig, runner: &mut dyn Runner) -> Result<Report, TrainError> {
    config.validate()?;
    let mut bench = Bench { config, runner, done: BTreeMap::new() };
    let tuning: Vec<u64> = (0..config.tuning_seeds).map(|i| TUNING + u64::from(i)).collect();
    let seeds: Vec<u64> = (1..=u64::from(config.seeds)).collect();
    let grid: Vec<usize> = (0..config.rates.len()).collect();
    let mut best = BTreeMap::new();
    for arm in ARMS {
        bench.run(arm, &grid, &tuning, &best)?;
        best.insert(arm, bench.best(arm, &grid, &tuning));
    }
    for arm in ARMS {
        bench.run(arm, &[best[&arm]], &seeds, &best)?;
    }
    Ok(Report::new(config, &best, |arm| {
        seeds.iter().filter_map(|seed| bench.done.get(&Ask { arm, rate: best[&arm], seed: *seed })).collect()
    }))
}

struct Bench<'a> {
    config: &'a CompareConfig,
    runner: &'a mut dyn Runner,
    done: BTreeMap<Ask, Done>,
}

impl Bench<'_> {
    /// Runs one arm at some rates with some seeds. What it is compared with is the grown run of the same
    /// seed, at its own best rate.
    fn run(
        &mut self,
        arm: Arm,
        rates: &[usize],
        seeds: &[u64],
        best: &BTreeMap<Arm, usize>,
    ) -> Result<(), TrainError> {
        let (mut asks, mut jobs) = (Vec::new(), Vec::new());
        for (rate, seed) in rates.iter().flat_map(|rate| seeds.iter().map(move |seed| (*rate, *seed))) {
            let of = |arm: Arm| {
                let rate = best.get(&arm).copied().unwrap_or(rate);
                self.done.get(&Ask { arm, rate, seed }).map(|done| &done.summary)
            };
            let grown = of(Arm::Grown).map(|grown| Grown { grown, from_the_start: of(Arm::Static) });
            let mut config = arm.config(&self.config.run, grown)?;
            config.seed = seed;
            config.optimizer.learning_rate = self.config.rates[rate];
            asks.push(Ask { arm, rate, seed });
            jobs.push(Job {
                name: format!("{}-rate{}-seed{seed}", arm.id(), self.config.rates[rate]),
                config,
            });
        }
        let done = self.runner.run(&jobs)?;
        self.done.extend(asks.into_iter().zip(done));
        Ok(())
    }

    /// The rate with the best mean accuracy; the lower one where two are as good.
    fn best(&self, arm: Arm, rates: &[usize], seeds: &[u64]) -> usize {
        let mean = |rate: usize| {
            let of = |seed: &u64| self.done.get(&Ask { arm, rate, seed: *seed });
            seeds.iter().filter_map(of).map(Done::accuracy).sum::<f64>()
        };
        let mut best = 0;
        for rate in rates {
            if mean(*rate) > mean(best) {
                best = *rate;
            }
        }
        best
    }
}
