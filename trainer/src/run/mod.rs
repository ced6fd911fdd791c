//! One run: prepared whole before anything is written, then epoch after epoch.

mod dir;
mod epoch;
mod host;
pub(crate) mod journal;
mod listen;
mod pace;
mod plant;
mod report;
mod summary;

pub use dir::RunDir;
pub use report::{CommandRow, EpochReport, ErrorRow, SlotInfo, SlotRow};
pub use summary::{PluginSummary, SeedFate, Status, Summary};

use crate::config::RunConfig;
use crate::control::{Listener, Reply, Watchdog, Watcher};
use crate::controller::{self, Controller, Observation};
use crate::device;
use crate::error::TrainError;
use crate::signals;
use crate::task::{self, Task};
use kasmina::lifecycle::{Event, EventKind, Isolation, RefusalCode};
use kasmina::model::{EpochInputs, Executed, Precision, Stepper};
use kasmina::{Command, CommandError, ModelConfig, MorphogeneticModel};
use kasmina_plugin_api::{Kind as EntryKind, Mode};
use kasmina_registry::Registry;
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use kasmina_torch_ext::{Role, cuda};
use listen::Ear;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use summary::Tally;
use tch::{Kind, Tensor};

/// Sees a run as it goes.
pub trait Observer {
    /// An epoch is over.
    fn epoch(&mut self, _report: &EpochReport, _epochs: u32) {}
    /// Something happened in a slot.
    fn event(&mut self, _epoch: u32, _event: &Event) {}
}

/// Sees nothing.
impl Observer for () {}

/// A run that is ready to start: every name is resolved, every bound checked, and the seeds that the controller
/// would put in have been built and probed once.
pub struct Trainer<'r> {
    config: RunConfig,
    registry: &'r Registry,
    task: Task,
    model: MorphogeneticModel,
    optimizer: Optimizer,
    stepper: Stepper,
    /// Of the epoch so far; it stays where it is, because recorded steps add to it.
    loss_sum: Tensor,
    controller: Box<dyn Controller>,
    tally: Tally,
    ear: Ear,
    /// Files whose new builds are taken while the run is live.
    watched: Option<Vec<PathBuf>>,
    /// Events that an observer has seen before their epoch is over.
    told: usize,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<'r> Trainer<'r> {
    /// Checks and builds everything; writes nothing.
    ///
    /// # Errors
    /// The first thing that would make the run fail.
    pub fn prepare(config: RunConfig, registry: &'r Registry) -> Result<Self, TrainError> {
        let controller = controller::make(&config)?;
        Self::prepare_with(config, registry, controller)
    }

    /// The same with a controller of the caller's own, a learned one for instance; the configuration's is not made.
    ///
    /// # Errors
    /// The first thing that would make the run fail.
    pub fn prepare_with(
        mut config: RunConfig,
        registry: &'r Registry,
        controller: Box<dyn Controller>,
    ) -> Result<Self, TrainError> {
        controller.id().clone_into(&mut config.controller);
        config.validate()?;
        tch::set_num_threads(config.threads.try_into().unwrap_or(i32::MAX));
        let device = device::resolve(&config.device)?;
        cuda::choose(config.compute.convolutions.into())?;
        if device.is_cuda()
            && let Err(error) = cuda::fused::prepare(device, config.compute.precision == Precision::Bf16)
        {
            tracing::warn!("layers run as their parts, which is slower: {error}");
        }
        config.device = device::name(device);
        let task = task::load(&config, device)?;
        let host = registry.resolve(EntryKind::Host, &config.host.id)?;
        let host_config = host::told(&mut config.host, host.schema(), &task.facts);
        if config.disable_seeds {
            config.slots.clear();
        }

        let steps_of_epoch = task.train.steps(config.optimizer.batch_size);
        let model_config = ModelConfig {
            host: config.host.id.clone(),
            host_config: serde_json::Value::from(host_config).to_string(),
            slots: config.slots.clone(),
            task: config.task_config(),
            device,
            seed: config.seed,
            glide_steps: if config.growth.glide { steps_of_epoch.try_into().unwrap_or(u32::MAX) } else { 0 },
            telemetry_interval: config.telemetry_interval,
            isolation_check_interval: config.isolation_check_interval,
            fail_on_breach: config.fail_on_breach,
            fast_mode: config.fast_mode,
            precision: config.compute.precision,
            trial: config.plugins.trial,
            on_panic: config.plugins.on_panic.clone(),
        };
        let (sample, labels) = task.train.slice(0, task.train.len().min(4))?;
        let mut model = MorphogeneticModel::build(registry, &model_config, &sample)?;
        task.fits(&tch::no_grad(|| model.forward(&sample, Mode::Eval))?, &labels, &config.host.id)?;
        let adam = AdamW { weight_decay: config.optimizer.weight_decay, ..AdamW::default() };
        let scale = config.optimizer.seed_rate;
        let mut optimizer = Optimizer::new(adam, config.optimizer.learning_rate)
            .with_scale(Role::Seed, scale)
            .with_scale(Role::Gate, scale)
            .with_warm_up(Role::Seed, config.optimizer.seed_warm_up)
            .with_warm_up(Role::Gate, config.optimizer.seed_warm_up);
        model.register_host(&mut optimizer)?;

        let slots: Vec<String> = model.slots().iter().map(|s| s.name().to_owned()).collect();
        let plants = if slots.is_empty() { Vec::new() } else { config.all_plants() };
        for wish in controller.rehearsals(&slots).iter().chain(&plants) {
            model.prewarm(wish, registry)?;
        }
        if !slots.is_empty() {
            warn_of_what_is_in_vain(&config, &task, controller.as_ref());
        }
        let tally = Tally::new(&model);
        let stepper = if config.compute.capture { recording(&model) } else { Stepper::eager() };
        let loss_sum = Tensor::f_zeros([], (Kind::Float, device))?;
        let (ear, watched, told) = (Ear::default(), None, 0);
        Ok(Self {
            config,
            registry,
            task,
            model,
            optimizer,
            stepper,
            loss_sum,
            controller,
            tally,
            ear,
            watched,
            told,
        })
    }

    /// Takes new builds of plugins while the run is live, as soon as their files change: of these files, or of everything
    /// that is loaded where none is named. The registry's policy must know of them.
    #[must_use]
    pub fn watching(mut self, files: Vec<PathBuf>) -> Self {
        self.watched = Some(files);
        self
    }

    /// The configuration as resolved.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }
    /// The model, for whoever wants to look at it.
    pub fn model(&self) -> &MorphogeneticModel {
        &self.model
    }

    /// Trains. `stop` ends the run before the next step; what was done until then is kept and summed up.
    ///
    /// # Errors
    /// If the run directory cannot be used, or a forward fails; the summary then says so.
    pub fn run(
        self,
        out: Option<&Path>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Summary, TrainError> {
        self.run_and_keep(out, observer, stop).0
    }

    /// Trains like [`run`](Self::run) and returns the model too, as it was when the run ended, completed or not.
    pub fn run_and_keep(
        mut self,
        out: Option<&Path>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> (Result<Summary, TrainError>, MorphogeneticModel) {
        let summary = self.train(out, observer, stop);
        (summary, self.model)
    }

    fn train(
        &mut self,
        out: Option<&Path>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Summary, TrainError> {
        let slots: Vec<SlotInfo> = self.model.slots().iter().map(SlotInfo::of).collect();
        let mut dir = out.map(|path| RunDir::create(path, &self.config, &slots)).transpose()?;
        let listener = out.map(Listener::open).transpose()?;
        let watcher = self.watcher()?;
        let started = Instant::now();
        let over = AtomicBool::new(false);
        let limit = Duration::from_secs_f64(self.config.plugins.call_limit_seconds);
        let (watchdog, pulse) = (Watchdog::new(limit, out), self.model.pulse());
        let (registry, over, watchdog) = (self.registry, &over, &watchdog);
        let result = std::thread::scope(|scope| {
            let (run, brought) = channel();
            if let Some(listener) = &listener {
                let run = run.clone();
                scope.spawn(move || listener.serve(registry, &run, (watchdog, over)));
            }
            if let Some(watcher) = watcher {
                scope.spawn(move || watcher.serve(registry, &run, over));
            }
            scope.spawn(move || watchdog.serve(&pulse, over));
            // However this thread leaves, the others must not wait for it.
            let _over = Over(over);
            self.ear.listen(brought);
            let result = self.epochs(dir.as_mut(), observer, stop);
            // Whoever still waits for an answer hears that there is none.
            self.ear = Ear::default();
            result
        });
        let result = result.or_else(|error| {
            // A plugin that looks at `cancelled()` answers a stop with an error: that is what was asked for.
            if stop.load(Ordering::Relaxed) { Ok(Status::Interrupted) } else { Err(error) }
        });
        let (status, error) = match &result {
            Ok(status) => (*status, None),
            Err(error) => (Status::Failed, Some(error.to_string())),
        };
        let summary = Summary::of(&self.config, &self.model, &self.optimizer, &self.tally, started.elapsed())
            .ended(status, error);
        let written = dir.as_mut().map_or(Ok(()), |dir| dir.finish(&self.model.drain_events(), &summary));
        // What went wrong first is what the caller wants to know.
        result.and(written).map(|()| summary)
    }

    fn epochs(
        &mut self,
        mut dir: Option<&mut RunDir>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Status, TrainError> {
        // For good: on a stream of its own a run waits for no other run of the process.
        let stream = self.stepper.stream();
        let _on = stream.as_ref().map(|stream| stream.enter()).transpose()?;
        self.begin(dir.as_deref_mut())?;
        for epoch in 1..=self.config.epochs {
            let clock = Instant::now();
            self.ear.epoch = epoch;
            let Some(train_loss) = self.train_epoch(epoch, observer, stop)? else {
                return Ok(Status::Interrupted);
            };
            // A seed that fails in it may be gone when it is tried again: the plan belongs to the try.
            let (plan, validation) = self.recovering(|trainer| {
                let plan = trainer.model.counterfactual_plan();
                trainer.validate(&plan).map(|validation| (plan, validation))
            })?;
            self.ear.accuracy = Some(validation.accuracy);
            self.tally.validated(validation.accuracy);
            let inputs =
                EpochInputs { accuracy: validation.accuracy, plan: &plan, without: validation.without };
            let raw = self.model.record_epoch(&inputs, now())?;
            let measured = self.model.reports();
            self.tally.measured(&measured);
            self.model.step_epoch(&mut self.optimizer)?;
            let mut commands = self.land(epoch);
            commands.extend(self.obey(epoch, validation.accuracy));
            commands.extend(self.plant(epoch)?);
            self.pace()?;

            let events = self.model.drain_events();
            let after = self.model.reports();
            let host_parameters = self.model.host_parameter_count();
            self.tally.count(&events);
            self.tally.living(&self.model);
            for event in events.iter().skip(std::mem::take(&mut self.told)) {
                observer.event(epoch, event);
            }
            let report = EpochReport {
                epoch,
                train_loss,
                val_loss: validation.loss,
                val_accuracy: validation.accuracy,
                seconds: clock.elapsed().as_secs_f64(),
                training_multiply_adds: self.tally.multiply_adds(),
                slots: report::rows(&measured, &after, &raw),
                reward: signals::reward(&events, &after, host_parameters, &self.config.reward),
                plugin_metrics: kasmina_registry::services::take_metrics(),
            };
            if let Some(dir) = dir.as_deref_mut() {
                dir.append(&report, &events, &commands)?;
            }
            observer.epoch(&report, self.config.epochs);
            if stop.load(Ordering::Relaxed) && epoch < self.config.epochs {
                return Ok(Status::Interrupted);
            }
        }
        Ok(Status::Completed)
    }

    /// Eyes on the files that were named, or on all that is loaded.
    fn watcher(&self) -> Result<Option<Watcher>, TrainError> {
        let Some(files) = &self.watched else { return Ok(None) };
        if files.is_empty() {
            let loaded = self.registry.plugins();
            return Watcher::on(loaded.iter().filter_map(|p| p.path.clone())).map(Some);
        }
        Watcher::on(files.clone()).map(Some)
    }

    /// Shows an observer what happened before its epoch is over.
    fn show(&mut self, epoch: u32, observer: &mut dyn Observer) {
        for event in self.model.events().iter().skip(self.told) {
            observer.event(epoch, event);
        }
        self.told = self.model.events().len();
    }

    /// Builds the seeds that were made ready during the epoch.
    fn land(&mut self, epoch: u32) -> Vec<CommandRow> {
        let landed = self.model.land(self.registry, &mut self.optimizer);
        landed.into_iter().map(|(command, result)| self.noted(epoch, command, true, result)).collect()
    }

    /// Asks the controller and executes what it wishes. A refused wish is written down and changes nothing.
    fn obey(&mut self, epoch: u32, accuracy: f64) -> Vec<CommandRow> {
        // The rollback switch: the run is the host's own, whatever a script says.
        if self.config.disable_seeds {
            return Vec::new();
        }
        let mut rows = Vec::new();
        for (command, reply) in self.asked_prunes() {
            let result = self.model.execute(&command, self.registry, &mut self.optimizer);
            let said = match &result {
                Ok(_) => Reply::Done(serde_json::json!({ "pruned": command.slot(), "epoch": epoch })),
                Err(error) => Reply::Refused { error: error.to_string(), help: None },
            };
            rows.push(self.noted(epoch, command, false, result));
            let _ = reply.send(said);
        }
        let reports = self.model.reports();
        let observation = Observation {
            epoch,
            max_epochs: self.config.epochs,
            accuracy,
            slots: &reports,
            germinated: self.tally.germinated(),
            host_parameters: self.model.host_parameter_count(),
        };
        for command in self.controller.decide(&observation) {
            let result = self.model.execute(&command, self.registry, &mut self.optimizer);
            rows.push(self.noted(epoch, command, false, result));
        }
        rows
    }

    /// A line of the journal; a refusal is also told where a person may see it.
    fn noted(
        &self,
        epoch: u32,
        command: Command,
        landed: bool,
        result: Result<Executed, CommandError>,
    ) -> CommandRow {
        if let Err(error) = &result {
            // A gate that says no is the daily business of a controller; anything else is worth a look.
            if error.code() == RefusalCode::GateFailed.as_str() {
                tracing::debug!(epoch, "refused: {error}");
            } else if matches!(command, Command::Germinate(_)) {
                tracing::warn!(
                    epoch,
                    "germination refused: {error} (docs/troubleshooting.md#{})",
                    error.code()
                );
            } else {
                tracing::warn!(epoch, "command refused: {error} (docs/troubleshooting.md#{})", error.code());
            }
        }
        let slot = command.slot().and_then(|name| self.model.slot(name)).map(|s| s.name().to_owned());
        CommandRow::new(epoch, command, slot, landed, result)
    }
}

/// Says that a run is over, when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A stepper that records where it can; where it cannot, the run goes on all the same.
fn recording(model: &MorphogeneticModel) -> Stepper {
    Stepper::new(model).unwrap_or_else(|error| {
        tracing::warn!("steps are not recorded as CUDA graphs: {error}");
        Stepper::eager()
    })
}

/// Tells of settings that are legal and keep every seed from becoming something.
fn warn_of_what_is_in_vain(config: &RunConfig, task: &Task, controller: &dyn Controller) {
    let epochs = config.epochs;
    if let Some(shortest) = controller.shortest_run().filter(|shortest| epochs < *shortest) {
        tracing::warn!(
            "{epochs} epochs are too few to see a seed through; it takes {shortest}, and none will germinate"
        );
    }
    if config.fast_mode {
        tracing::warn!("fast_mode measures no gradients: G2 cannot pass, and no seed leaves TRAINING");
    }
    let steps = task.train.steps(config.optimizer.batch_size);
    if config.telemetry_interval > steps {
        tracing::warn!(
            "telemetry_interval is {} steps and an epoch has {steps}: in many epochs nothing is measured for G2",
            config.telemetry_interval
        );
    }
    if config.isolation_check_interval > 0 && config.lifecycle.isolation == Isolation::Never {
        tracing::warn!("isolation is `never`: there is nothing for isolation_check_interval to check");
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Whether an event says that a seed is gone or here to stay.
pub(crate) fn fate(kind: &EventKind) -> Option<&'static str> {
    match kind {
        EventKind::SeedFossilized { .. } => Some("fossilized"),
        EventKind::SeedPruned { .. } => Some("pruned"),
        _ => None,
    }
}
