//! The learning rate over a run.

use crate::config::OptimizerConfig;

/// Constant for the first part of the run, then linear down to a fraction of itself at the last step.
pub(crate) fn learning_rate(config: &OptimizerConfig, step: u64, total: u64) -> f64 {
    let hold = config.hold_fraction * total as f64;
    let falling = total as f64 - hold;
    let into_fall = step as f64 - hold;
    if into_fall <= 0.0 || falling <= 0.0 {
        return config.learning_rate;
    }
    let share = (into_fall / falling).min(1.0);
    config.learning_rate * (1.0 + share * (config.final_fraction - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_then_falls_to_its_end() {
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
