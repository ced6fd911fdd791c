//! Preparation of a run: everything is checked and built before anything is written.

use super::health::Health;
use super::host;
use super::init;
use super::model_config::model_config;
use super::progress::Progress;
use super::tally::Tally;
use super::trainer::Trainer;
use super::training::Training;
use crate::config::RunConfig;
use crate::control::ControlQueue;
use crate::controller::{self, Controller};
use crate::device;
use crate::error::TrainError;
use crate::task::{self, Task};
use kasmina::MorphogeneticModel;
use kasmina::lifecycle::Isolation;
use kasmina::model::Precision;
use kasmina_plugin_api::{Kind, Mode};
use kasmina_registry::Registry;
use kasmina_torch_ext::cuda;
use tch::Device;

impl<'r> Trainer<'r> {
    /// Checks the configuration, loads the data and builds the model. Writes nothing.
    ///
    /// # Errors
    /// Returns the first error that would make the run fail.
    pub fn prepare(config: RunConfig, registry: &'r Registry) -> Result<Self, TrainError> {
        let controller = controller::make(&config)?;
        Self::prepare_with(config, registry, controller)
    }

    /// As [`prepare`](Self::prepare), but with a controller of the caller, such as a learned one. The
    /// configured controller is not created.
    ///
    /// # Errors
    /// Returns the first error that would make the run fail.
    pub fn prepare_with(
        config: RunConfig,
        registry: &'r Registry,
        controller: Box<dyn Controller>,
    ) -> Result<Self, TrainError> {
        let trainer = Self::build(config, registry, controller)?;
        let config = &trainer.config;
        // A grafted module brings its own weights.
        if config.host.frozen && config.init.from.is_none() && !config.host.config.contains_key("module") {
            tracing::warn!("the host is frozen with random weights; --init-from begins with trained ones");
        }
        Ok(trainer)
    }

    /// As [`prepare_with`](Self::prepare_with), also for a run whose weights come from a checkpoint later.
    ///
    /// # Errors
    /// Returns the first error that would make the run fail.
    pub(in crate::run) fn build(
        mut config: RunConfig,
        registry: &'r Registry,
        controller: Box<dyn Controller>,
    ) -> Result<Self, TrainError> {
        controller.id().clone_into(&mut config.controller);
        config.make_paths_absolute();
        // Checked before `validate`, which serialises the configuration and so needs UTF-8 paths.
        config.refuse_paths_that_are_not_text()?;
        config.validate()?;
        let device = device::resolve(&config.device)?;
        prepare_device(&config, device)?;
        config.device = device::name(device);
        let task = task::load(&config, device)?;
        let host = registry.resolve(Kind::Host, &config.host.id)?;
        let host_config = host::configured(&mut config.host, host.schema(), &task.facts);
        if config.disable_seeds {
            config.slots.clear();
        }

        let steps_of_epoch = task.train.steps(config.optimizer.batch_size);
        let host_config = serde_json::Value::from(host_config).to_string();
        let model_config = model_config(&config, host_config, device, steps_of_epoch);
        let (sample, labels) = task.train.slice(0, task.train.len().min(4))?;
        let mut model = MorphogeneticModel::build(registry, &model_config, &sample)?;
        init::fill_host(&model, &config.init)?;
        task.fits(&tch::no_grad(|| model.forward(&sample, Mode::Eval))?, &labels, &config.host.id)?;
        if model.host_parameters().next().is_none() {
            return Err(TrainError::NothingLearns { host: config.host.id });
        }
        let mut training = Training::new(model, &config.optimizer, &config.compute)?;
        let model = &mut training.model;
        let slots: Vec<String> = model.slots().iter().map(|s| s.name().to_owned()).collect();
        let preinstalled = if slots.is_empty() { Vec::new() } else { config.all_preinstalled() };
        for germinate in controller.rehearsals(&slots).iter().chain(&preinstalled) {
            model.prewarm(germinate, registry)?;
        }
        if !slots.is_empty() {
            warn_of_ineffective_settings(&config, &task, controller.as_ref());
        }
        let tally = Tally::new(model);
        let mut trainer = Self {
            config,
            registry,
            task,
            training,
            controller,
            tally,
            health: Health::default(),
            queue: ControlQueue::default(),
            watched: None,
            shown_events: 0,
            progress: Progress::new(),
            dir: None,
            saver: None,
            ranks: None,
            begun: None,
        };
        if trainer.config.checkpoint.enabled {
            trainer.progress.inputs = trainer.input_hashes()?;
        }
        Ok(trainer)
    }
}

/// Applies the settings of this process on which the bits of a result depend: the number of CPU threads, and
/// how a GPU computes convolutions and fused layers.
pub(super) fn prepare_device(config: &RunConfig, device: Device) -> Result<(), TrainError> {
    tch::set_num_threads(config.threads.try_into().unwrap_or(i32::MAX));
    cuda::choose(config.compute.convolutions.into())?;
    if device.is_cuda()
        && let Err(error) = cuda::fused::prepare(device, config.compute.precision == Precision::Bf16)
    {
        tracing::warn!("fused layers are not available, training is slower: {error}");
    }
    Ok(())
}

/// Warns of settings that are valid but prevent seeds from growing, or have no effect.
fn warn_of_ineffective_settings(config: &RunConfig, task: &Task, controller: &dyn Controller) {
    let epochs = config.epochs;
    if let Some(shortest) = controller.shortest_run().filter(|shortest| epochs < *shortest) {
        tracing::warn!(
            "{epochs} epochs are too few for a seed to reach HOLDING, which takes {shortest}; no seed will germinate"
        );
    }
    if config.fast_mode {
        tracing::warn!("fast_mode measures no gradients, so G2 cannot pass and no seed will leave TRAINING");
    }
    let steps = task.train.steps(config.optimizer.batch_size);
    if config.telemetry_interval > steps {
        tracing::warn!(
            "telemetry_interval is {} steps, but an epoch has {steps}: many epochs will have no measurement for G2",
            config.telemetry_interval
        );
    }
    if config.isolation_check_interval > 0 && config.lifecycle.isolation == Isolation::Never {
        tracing::warn!("isolation_check_interval has no effect, because lifecycle.isolation is `never`");
    }
}
