//! The configuration of a model.

use super::{PanicPolicies, Precision, TrialSettings};
use crate::lifecycle::TaskConfig;
use tch::Device;

/// Configuration of a model.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Id of the host: `cnn` or `plugin::cnn`.
    pub host: String,
    /// Configuration of the host as JSON; empty for the defaults.
    pub host_config: String,
    /// Whether only seeds and blends learn. The host then runs in eval mode, so that its running statistics
    /// stay as they are too.
    pub freeze_host: bool,
    /// Requested slots by name or alias; if empty, the model has no slots.
    pub slots: Vec<String>,
    /// Settings of the task, which apply to every slot.
    pub task: TaskConfig,
    /// Device that the model is built on.
    pub device: Device,
    /// Random seed of the run. Initial weights depend only on it and on the names of slot and seed.
    pub seed: u64,
    /// Largest number of occupied slots, fossilized seeds included; further germinations are refused. No
    /// limit if `None`.
    pub max_seeds: Option<u32>,
    /// Training steps, usually those of an epoch, over which alpha moves to the lifecycle's; 0 jumps there.
    pub glide_steps: u32,
    /// Training steps between gradient measurements; 0 counts as 1.
    pub telemetry_interval: u64,
    /// Gradient measurements between shadow checks of isolation; 0 disables them.
    pub isolation_check_interval: u64,
    /// Whether a breach of isolation is an error of `record_epoch`; otherwise it is only counted.
    pub fail_on_breach: bool,
    /// Disables measurements of gradients and health, and events below stage level. A gate that needs a
    /// missing measurement fails.
    pub fast_mode: bool,
    /// Precision of convolutions and matrix products.
    pub precision: Precision,
    /// Settings of the trial of a swapped build.
    pub trial: TrialSettings,
    /// What happens when a plugin call panics in training.
    pub on_panic: PanicPolicies,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            host_config: String::new(),
            freeze_host: false,
            slots: Vec::new(),
            task: TaskConfig::default(),
            device: Device::Cpu,
            seed: 0,
            max_seeds: None,
            glide_steps: 0,
            telemetry_interval: 4,
            isolation_check_interval: 0,
            fail_on_breach: false,
            fast_mode: false,
            precision: Precision::default(),
            trial: TrialSettings::default(),
            on_panic: PanicPolicies::default(),
        }
    }
}
