//! What a model is made of.

use super::{PanicPolicies, Precision, TrialSettings};
use crate::lifecycle::TaskConfig;
use tch::Device;

/// What a model is made of.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Id of the host: `cnn` or `plugin::cnn`.
    pub host: String,
    /// Its configuration, as JSON; empty for the default.
    pub host_config: String,
    /// Slots by name or alias; empty for a host without slots.
    pub slots: Vec<String>,
    /// What the task settles for every slot.
    pub task: TaskConfig,
    /// Device that the model is built on.
    pub device: Device,
    /// The run's seed; every initial weight follows from it and from names.
    pub seed: u64,
    /// How many seeds may live at the same time, fossilized ones included: a germination beyond is refused,
    /// whoever asks for it. No limit if `None`.
    pub max_seeds: Option<u32>,
    /// Steps of an epoch, over which alpha moves to where the lifecycle puts it at its edge; 0 jumps there.
    pub glide_steps: u32,
    /// Gradients are measured every so many steps.
    pub telemetry_interval: u64,
    /// A shadow check proves isolation every so many measurements; 0 is never.
    pub isolation_check_interval: u64,
    /// A breach of isolation ends the run, as in tests; otherwise it is telemetry.
    pub fail_on_breach: bool,
    /// For rollouts: no gradients and no health are measured, and events below stage level are not emitted. A
    /// gate that needs a missing number fails.
    pub fast_mode: bool,
    /// What convolutions and matrix products compute in.
    pub precision: Precision,
    /// How a build proves itself once it has been swapped in.
    pub trial: TrialSettings,
    /// What is done about a panic in a live call.
    pub on_panic: PanicPolicies,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            host_config: String::new(),
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
