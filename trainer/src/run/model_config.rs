//! The configuration of the model of a run.

use crate::config::RunConfig;
use kasmina::ModelConfig;
use tch::Device;

/// Returns the configuration of a run's model. `host_config` is the host's configuration as JSON,
/// `steps_of_epoch` the number of training steps of an epoch.
pub(super) fn model_config(
    config: &RunConfig,
    host_config: String,
    device: Device,
    steps_of_epoch: u64,
) -> ModelConfig {
    ModelConfig {
        host: config.host.id.clone(),
        host_config,
        freeze_host: config.host.frozen,
        slots: config.slots.clone(),
        task: config.task_config(),
        device,
        seed: config.seed,
        max_seeds: Some(config.max_seeds),
        glide_steps: if config.growth.glide { steps_of_epoch.try_into().unwrap_or(u32::MAX) } else { 0 },
        telemetry_interval: config.telemetry_interval,
        isolation_check_interval: config.isolation_check_interval,
        fail_on_breach: config.fail_on_breach,
        fast_mode: config.fast_mode,
        precision: config.compute.precision,
        trial: config.plugins.trial,
        on_panic: config.plugins.on_panic.clone(),
    }
}
