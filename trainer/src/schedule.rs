//! The learning rate over a run.

use crate::config::OptimizerConfig;

/// Returns the learning rate at a step: constant for `hold_fraction` of the `total` steps, then falling
/// linearly to `final_fraction` of itself.
pub(crate) fn learning_rate(config: &OptimizerConfig, step: u64, total: u64) -> f64 {
    let hold = config.hold_fraction * total as f64;
    let falling = total as f64 - hold;
    let fallen = step as f64 - hold;
    if fallen <= 0.0 || falling <= 0.0 {
        return config.learning_rate;
    }
    let share = (fallen / falling).min(1.0);
    config.learning_rate * (1.0 + share * (config.final_fraction - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_constant_and_then_falls_linearly() {
        let config = OptimizerConfig {
            learning_rate: 1.0,
            hold_fraction: 0.6,
            final_fraction: 0.02,
            ..Default::default()
        };
        let at = |step| learning_rate(&config, step, 100);
        assert_eq!([at(0), at(60)], [1.0, 1.0]);
        assert!((at(80) - 0.51).abs() < 1e-12);
        assert!((at(100) - 0.02).abs() < 1e-12);
    }
}
