//! Measures the time of steps, in turns.

use serde::{Deserialize, Serialize};
use std::time::Instant;
use tch::Device;

/// Measured times of one side of one benchmark.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Name of the benchmark, for example `cuda b128 fp32 3 training`.
    pub(crate) name: String,
    /// What was measured: `bare`, `eager`, `captured`, `pytorch eager` and others.
    pub(crate) side: String,
    /// Microseconds per step, one value per round.
    pub(crate) us: Vec<f64>,
}

impl Row {
    pub(crate) fn median(&self) -> f64 {
        median(&self.us)
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, half) if n % 2 == 0 => f64::midpoint(sorted[half - 1], sorted[half]),
        (_, half) => sorted[half],
    }
}

/// Waits until a GPU has finished all work. Returns at once for the CPU.
pub(crate) fn wait(device: Device) {
    if device.is_cuda() {
        kasmina_torch_ext::cuda::synchronize(device).expect("the device answers");
    }
}

/// One side of a benchmark, which is measured in turns with others.
pub(crate) struct Runner<'r> {
    pub(crate) name: String,
    pub(crate) side: &'static str,
    /// Takes one step.
    pub(crate) step: Box<dyn FnMut() + 'r>,
}

/// Measures all runners in turns: in each round, each takes `steps` steps. Runs some steps before as a
/// warm-up.
pub(crate) fn in_turns(mut runners: Vec<Runner<'_>>, device: Device, rounds: usize, steps: u32) -> Vec<Row> {
    for runner in &mut runners {
        (0..steps.div_ceil(2).max(12)).for_each(|_| (runner.step)());
    }
    wait(device);
    let mut rows: Vec<Row> = runners
        .iter()
        .map(|r| Row { name: r.name.clone(), side: r.side.to_owned(), us: Vec::with_capacity(rounds) })
        .collect();
    for _ in 0..rounds {
        for (runner, row) in runners.iter_mut().zip(&mut rows) {
            let start = Instant::now();
            (0..steps).for_each(|_| (runner.step)());
            wait(device);
            row.us.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(steps));
        }
    }
    rows
}
