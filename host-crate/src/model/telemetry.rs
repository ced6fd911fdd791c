//! The step counter of a model, and the intervals of its measurements.

use super::ModelConfig;

/// Step counter of a model, and the settings that decide what is measured in which step.
#[derive(Debug)]
pub(super) struct Telemetry {
    /// Number of completed training steps.
    step: u64,
    /// Training steps between gradient measurements, at least 1.
    interval: u64,
    /// Gradient measurements between shadow checks of isolation; 0 disables them.
    isolation_check_interval: u64,
    /// Whether a breach of isolation is an error at the end of the epoch.
    fail_on_breach: bool,
    /// Disables measurements of gradients and health, and events below stage level.
    fast_mode: bool,
}

impl Telemetry {
    pub(super) fn new(config: &ModelConfig) -> Self {
        Self {
            step: 0,
            interval: config.telemetry_interval.max(1),
            isolation_check_interval: config.isolation_check_interval,
            fail_on_breach: config.fail_on_breach,
            fast_mode: config.fast_mode,
        }
    }

    pub(super) fn step(&self) -> u64 {
        self.step
    }

    /// Sets the step counter.
    pub(super) fn restore(&mut self, step: u64) {
        self.step = step;
    }

    pub(super) fn fails_on_breach(&self) -> bool {
        self.fail_on_breach
    }

    pub(super) fn is_fast(&self) -> bool {
        self.fast_mode
    }

    /// Whether the present step measures gradients.
    pub(super) fn captures_now(&self) -> bool {
        !self.fast_mode && self.step.is_multiple_of(self.interval)
    }

    /// Whether the present step runs shadow checks of isolation.
    pub(super) fn checks_isolation_now(&self) -> bool {
        let every = self.interval.saturating_mul(self.isolation_check_interval);
        self.isolation_check_interval > 0 && self.captures_now() && self.step.is_multiple_of(every)
    }

    /// Counts a completed training step.
    pub(super) fn end_step(&mut self) {
        self.step += 1;
    }
}
