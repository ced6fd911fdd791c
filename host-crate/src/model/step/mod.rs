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
mod inspection;
mod loss;
mod reduction;
mod work;

pub use loss::Loss;
pub use reduction::GradientReduction;

use super::{ModelError, MorphogeneticModel};
use captured::Captured;
use configuration::{Configuration, Variant};
use inspection::Inspection;
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::cuda::graph::{self, Graph, NotCaptured, Pool};
use kasmina_torch_ext::cuda::{Entered, Stream};
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::optim::Optimizer;
use kasmina_torch_ext::rng::{self, RngState};
use std::collections::BTreeSet;
use std::sync::Arc;
use tch::Tensor;
use work::Work;

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
    /// Sums gradients over the ranks; `None` if there is one rank.
    reduction: Option<Box<dyn GradientReduction>>,
    /// Number of samples of the next batches on all ranks together, by which all ranks choose the same
    /// variant.
    samples: Option<i64>,
    /// Number of samples of each part of the next batches, whose gradients are added up; empty for one part.
    parts: Vec<i64>,
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
            reduction: None,
            samples: None,
            parts: Vec::new(),
        }
    }

    /// Sums the gradients of every step over the ranks.
    pub fn set_reduction(&mut self, reduction: Box<dyn GradientReduction>) {
        self.forget();
        self.reduction = Some(reduction);
    }

    /// Sets the number of samples of the next batches on all ranks together. Ranks whose parts of a batch
    /// have different sizes then still capture and replay in the same steps.
    pub fn set_samples_of_all_ranks(&mut self, samples: i64) {
        self.samples = Some(samples);
    }

    /// Sets the number of samples of each part of the next batches. A step computes the parts one after
    /// another and adds up their gradients, so the loss of a part must be its share of the loss of the batch.
    /// Empty for one part. Batches of one size always have the same parts.
    pub fn set_parts(&mut self, parts: Vec<i64>) {
        self.parts = parts;
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
        // Taken out, because the step borrows it beside the stepper.
        let (mut reduction, parts) = (self.reduction.take(), std::mem::take(&mut self.parts));
        let value = self.reduced_step(Work {
            model,
            optimizer,
            batch,
            loss,
            parts: &parts,
            reduction: reduction.as_deref_mut(),
        });
        (self.reduction, self.parts) = (reduction, parts);
        value
    }

    fn reduced_step(&mut self, mut work: Work<'_, '_>) -> Result<Tensor, ModelError> {
        let stream = self.stream.clone();
        let _on: Option<Entered<'_>> = stream.as_ref().map(|stream| stream.enter()).transpose()?;
        if let Some(reduction) = &mut work.reduction {
            work.model.prepare_reduction(&mut **reduction)?;
        }
        let value =
            if stream.is_some() { self.run_on_stream(&mut work)? } else { self.run_eager(&mut work)? };
        if let Some(reduction) = &mut work.reduction {
            reduction.end_step(work.model.step() + 1)?;
        }
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
        let index =
            self.variants.iter().position(|(variant, _)| variant.matches(work.batch, self.samples, watches));
        let index = match index {
            Some(index) => index,
            None if self.variants.len() < MAX_VARIANTS => {
                self.variants.push((Variant::of(work.batch, self.samples, watches), Progress::WarmingUp(0)));
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
        let found = if let Some(op) = SYNCHRONIZING_OPS.iter().find(|op| ops.contains_key(**op)) {
            Inspection::Refused(format!("it waits for the device (`{op}`)"))
        } else if !RngState::save()?.same_as(&generators) {
            // All models of a device share one generator, so the replay of one model would collide with the
            // capture of another.
            self.inspections_with_draws += 1;
            if self.inspections_with_draws == MAX_INSPECTIONS {
                Inspection::Refused("it draws from torch's own generators".to_owned())
            } else {
                Inspection::Repeat
            }
        } else if work.model.plugin_states()? != before {
            let why = "the state of a seed or blend changes in forward, which a replay would not repeat";
            Inspection::Refused(why.to_owned())
        } else {
            Inspection::Passed
        };
        match found.of_all_ranks(work.model)? {
            Inspection::Passed => {}
            Inspection::Repeat => self.variants[index].1 = Progress::WarmingUp(WARM_UP - 1),
            Inspection::Refused(why) => self.give_up(why),
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
        let everywhere = work.model.all_ranks(made.is_ok())?;
        let error = match made {
            Ok(_) if !everywhere => NotCaptured::Capture(kasmina_torch_ext::Error::Torch(
                "another rank could not capture it".to_owned(),
            )),
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
