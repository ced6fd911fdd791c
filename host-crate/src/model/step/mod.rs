//! Training steps: forward, loss, backward, measurements, optimizer.
//!
//! On a GPU the step of a small network is a few hundred kernels, each shorter than its launch. So a step
//! is captured as a CUDA graph and launched as a whole. A graph repeats the captured kernels, so it belongs
//! to one *configuration* (which seeds run, and how) and one shape of batch. The first steps of a
//! configuration run eagerly, as its warm-up; then the step is captured, and replayed until the
//! configuration changes. Whatever changes between steps (alphas, learning rates, the batch) is in tensors
//! at fixed addresses.

mod captured;
mod configuration;

use super::{ModelError, MorphogeneticModel};
use captured::Captured;
use configuration::{Configuration, Variant};
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::cuda::graph::{self, Graph, NotCaptured, Pool};
use kasmina_torch_ext::cuda::{Entered, Stream};
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::optim::Optimizer;
use kasmina_torch_ext::rng::{self, RngState};
use std::collections::BTreeSet;
use std::sync::Arc;
use tch::Tensor;

/// Number of eager steps of a variant before it is captured. Libraries initialise themselves at first use,
/// which cannot be captured.
const WARM_UP: u32 = 2;

/// Largest number of variants of one configuration. Batches of further shapes run eagerly.
const MAX_VARIANTS: usize = 16;

/// Number of inspections with changed generators after which the step itself counts as drawing. The
/// generators belong to the process, so another thread may have changed them in some of the inspections.
const MAX_INSPECTIONS: u32 = 4;

/// Operators that make the CPU wait for the device, which a graph cannot repeat.
const SYNCHRONIZING_OPS: [&str; 5] = [
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
];

/// Loss function of a batch, from logits and targets.
///
/// It is captured with the step. A replay does not repeat what the function does on the CPU, and any tensor
/// that it writes must stay at its address. Another function takes effect only when the configuration
/// changes or [`Stepper::forget`] is called.
///
/// # Shapes
/// Logits as the model returns them, targets as the batch holds them; the loss is 0-dim.
pub type Loss<'l> = dyn FnMut(&Tensor, &Tensor) -> Result<Tensor, ModelError> + 'l;

/// Runs a model's training steps, as captured CUDA graphs where possible.
#[derive(Debug)]
pub struct Stepper {
    /// Stream of the steps. Capturing needs one besides the default, and separate streams keep models on
    /// several threads from waiting for each other. `None` if steps are never captured.
    stream: Option<Arc<Stream>>,
    /// Memory pool of all graphs of the configuration.
    pool: Option<Pool>,
    configuration: Option<Configuration>,
    /// Why the present configuration is not captured.
    eager: Option<String>,
    /// Number of inspected steps in which the generators changed.
    inspections_with_draws: u32,
    variants: Vec<(Variant, Progress)>,
    /// Reasons for not capturing that were logged already.
    warned: BTreeSet<String>,
    counts: StepCounts,
}

/// State of a variant.
#[derive(Debug)]
enum Progress {
    /// Number of eager steps so far.
    WarmingUp(u32),
    /// Its capture failed although that of another variant succeeded, for instance for lack of memory.
    NotCapturable,
    Captured(Box<Captured>),
}

/// Number of steps that a stepper has run, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// Number of steps that ran eagerly.
    pub eager: u64,
    /// Number of steps that were a replay.
    pub replayed: u64,
    /// Number of steps that were captured into a graph.
    pub captures: u64,
}

impl Stepper {
    /// Creates a stepper that captures steps if the model is on a GPU.
    ///
    /// # Errors
    /// If the CUDA shim cannot be opened; [`eager`](Self::eager) does not need it.
    pub fn new(model: &MorphogeneticModel) -> Result<Self, ModelError> {
        let mut stepper = Self::eager();
        if model.device().is_cuda() {
            stepper.stream = Some(Arc::new(Stream::new(model.device())?));
        }
        Ok(stepper)
    }

    /// Creates a stepper that runs every step eagerly, on the current stream.
    pub fn eager() -> Self {
        Self {
            stream: None,
            pool: None,
            configuration: None,
            eager: None,
            inspections_with_draws: 0,
            variants: Vec::new(),
            warned: BTreeSet::new(),
            counts: StepCounts::default(),
        }
    }

    /// Returns the stream that steps run on if they are captured.
    ///
    /// A thread that trains one of several models should make this its current stream. Otherwise each step
    /// waits for the thread's current stream, and that stream for the step.
    pub fn stream(&self) -> Option<Arc<Stream>> {
        self.stream.clone()
    }

    /// Drops all captured graphs, so that the next steps are captured again. Call it after changing the loss.
    pub fn forget(&mut self) {
        self.configuration = None;
        self.variants.clear();
        self.pool = None;
        self.eager = None;
        self.inspections_with_draws = 0;
    }

    /// Returns how many steps were run so far, by kind.
    pub fn counts(&self) -> StepCounts {
        self.counts
    }

    /// Returns why the present configuration is not captured; `None` if it is, or if that is not known yet.
    pub fn why_eager(&self) -> Option<&str> {
        self.eager.as_deref()
    }

    /// Runs one training step on a batch: forward, loss, backward, measurements, optimizer. Returns the loss,
    /// which the next step may overwrite. No host sync, except during a trial.
    ///
    /// # Shapes
    /// `batch`: inputs as the host requires and targets as `loss` requires; the loss is 0-dim.
    ///
    /// # Errors
    /// If the forward, the loss or libtorch fails.
    pub fn step(
        &mut self,
        model: &mut MorphogeneticModel,
        optimizer: &mut Optimizer,
        batch: (&Tensor, &Tensor),
        loss: &mut Loss<'_>,
    ) -> Result<Tensor, ModelError> {
        model.sync_alphas(Mode::Train)?;
        model.begin_trial_step()?;
        let mut work = Work { model, optimizer, batch, loss };
        let value = match self.stream.clone() {
            None => self.run_eager(&mut work)?,
            Some(stream) => {
                let _on: Entered<'_> = stream.enter()?;
                self.run_on_stream(&mut work)?
            }
        };
        work.model.end_step();
        work.optimizer.advance()?;
        work.model.count_trial(work.optimizer)?;
        Ok(value)
    }

    /// Runs a step eagerly and counts it.
    fn run_eager(&mut self, work: &mut Work<'_, '_>) -> Result<Tensor, ModelError> {
        self.counts.eager += 1;
        work.run_uncaptured()
    }

    /// Runs a step on the stepper's stream: eagerly, captured or replayed.
    fn run_on_stream(&mut self, work: &mut Work<'_, '_>) -> Result<Tensor, ModelError> {
        // A trial checks every call of the blend, and a replay makes no calls.
        if work.model.is_on_trial() {
            self.forget();
            return self.run_eager(work);
        }
        if !self.configuration.as_ref().is_some_and(|known| known.matches(work.model, work.optimizer)) {
            self.start_configuration(Configuration::of(work.model, work.optimizer), work.model);
        }
        if self.eager.is_some() {
            return self.run_eager(work);
        }
        let watches = work.model.telemetry.captures_now();
        let index = self.variants.iter().position(|(variant, _)| variant.matches(work.batch, watches));
        let index = match index {
            Some(index) => index,
            None if self.variants.len() < MAX_VARIANTS => {
                self.variants.push((Variant::of(work.batch, watches), Progress::WarmingUp(0)));
                self.variants.len() - 1
            }
            None => return self.run_eager(work),
        };
        match &mut self.variants[index].1 {
            Progress::Captured(captured) => {
                self.counts.replayed += 1;
                captured.replay(work.model, work.batch)
            }
            Progress::WarmingUp(WARM_UP) => self.capture(index, work),
            Progress::WarmingUp(steps) => {
                *steps += 1;
                if *steps == WARM_UP { self.run_inspected(index, work) } else { self.run_eager(work) }
            }
            Progress::NotCapturable => self.run_eager(work),
        }
    }

    /// Starts a new configuration; drops the graphs of the old one and frees their memory.
    fn start_configuration(&mut self, configuration: Configuration, model: &MorphogeneticModel) {
        self.forget();
        self.configuration = Some(configuration);
        if let Some(why) = model.not_capturable() {
            self.give_up(why);
        }
    }

    /// Runs a step eagerly and gives up on capturing if the step does something that a replay cannot repeat.
    fn run_inspected(&mut self, index: usize, work: &mut Work<'_, '_>) -> Result<Tensor, ModelError> {
        // Hold the generators, which other threads fork, during the inspection. A capture takes both locks in
        // this order.
        let _no_capture = graph::backward();
        let _generators = rng::lock();
        let (before, generators) = (work.model.plugin_states()?, RngState::save()?);
        // Fails if this thread counts operators already; then the capture itself finds the operator.
        let counter = OpCounter::start();
        let value = self.run_eager(work)?;
        let ops = counter.and_then(OpCounter::finish).unwrap_or_default();
        if let Some(op) = SYNCHRONIZING_OPS.iter().find(|op| ops.contains_key(**op)) {
            self.give_up(format!("it waits for the device (`{op}`)"));
        } else if !RngState::save()?.same_as(&generators) {
            // All models of a device share one generator, so the replay of one model would collide with the
            // capture of another.
            self.inspections_with_draws += 1;
            if self.inspections_with_draws == MAX_INSPECTIONS {
                self.give_up("it draws from torch's own generators".to_owned());
            } else {
                self.variants[index].1 = Progress::WarmingUp(WARM_UP - 1);
            }
        } else if work.model.plugin_states()? != before {
            let why = "the state of a seed or blend changes in forward, which a replay would not repeat";
            self.give_up(why.to_owned());
        }
        Ok(value)
    }

    /// Captures the step of a variant and replays it once; runs the step eagerly if the capture fails.
    fn capture(&mut self, index: usize, work: &mut Work<'_, '_>) -> Result<Tensor, ModelError> {
        let inputs = captured::Inputs::new_like(work.batch, work.model.network.layout)?;
        let pool = match &self.pool {
            Some(pool) => pool,
            None => self.pool.insert(Pool::new()?),
        };
        let marks = work.model.slots.marks();
        let made = Graph::capture(inputs.device(), pool, || work.with_batch(inputs.batch()).run());
        let queued = work.model.slots.split_off(&marks);
        let error = match made {
            Ok((graph, value)) => {
                self.counts.captures += 1;
                self.counts.replayed += 1;
                let mut captured = Box::new(Captured { graph, inputs, value, queued });
                let value = captured.replay(work.model, work.batch);
                self.variants[index].1 = Progress::Captured(captured);
                return value;
            }
            Err(error) => error,
        };
        // A capture that failed may have left gradients that were never computed.
        work.clear_gradients()?;
        let why = match error {
            NotCaptured::Body(error) => error.to_string(),
            NotCaptured::Capture(error) => error.to_string(),
        };
        if self.variants.iter().any(|(_, progress)| matches!(progress, Progress::Captured(_))) {
            tracing::warn!("steps with this shape of batch are not captured as a CUDA graph: {why}");
            self.variants[index].1 = Progress::NotCapturable;
        } else {
            self.give_up(why);
        }
        self.run_eager(work)
    }

    /// Stops capturing the present configuration. Logs each reason once.
    fn give_up(&mut self, why: String) {
        self.variants.clear();
        self.pool = None;
        if self.warned.insert(why.clone()) {
            tracing::warn!("steps are not captured as a CUDA graph: {why}");
        }
        self.eager = Some(why);
    }
}

/// Everything that a step needs.
struct Work<'w, 'l> {
    model: &'w mut MorphogeneticModel,
    optimizer: &'w mut Optimizer,
    batch: (&'w Tensor, &'w Tensor),
    loss: &'w mut Loss<'l>,
}

impl<'l> Work<'_, 'l> {
    /// Returns the same with another batch.
    fn with_batch<'b>(&'b mut self, batch: (&'b Tensor, &'b Tensor)) -> Work<'b, 'l> {
        Work { model: self.model, optimizer: self.optimizer, batch, loss: self.loss }
    }

    /// Runs the part of a step that can be captured; returns the loss, 0-dim.
    fn run(&mut self) -> Result<Tensor, ModelError> {
        let (inputs, targets) = self.batch;
        let logits = self.model.forward(inputs, Mode::Train)?;
        let value = (self.loss)(&logits, targets)?;
        // Without a seed to train, nothing learns in a frozen host.
        if self.model.network.frozen.is_none() || value.requires_grad() {
            value.f_backward()?;
        }
        self.model.measure_gradients()?;
        self.optimizer.update()?;
        Ok(value.f_detach()?)
    }

    /// Runs the step eagerly, while no other thread captures.
    fn run_uncaptured(&mut self) -> Result<Tensor, ModelError> {
        let _no_capture = self.model.device().is_cuda().then(graph::backward);
        self.run().inspect_err(|_| {
            // The next backward must not add to incomplete gradients. Report the first error only.
            let _ = self.clear_gradients();
        })
    }

    fn clear_gradients(&mut self) -> Result<(), ModelError> {
        self.optimizer.zero_grad()?;
        self.model.clear_gradients()
    }
}
