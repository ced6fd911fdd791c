//! One training step after the other: forward, loss, backward, measurements, optimizer.
//!
//! On a GPU a small network's step is a few hundred kernels, each shorter than it takes to ask for it. So a
//! step is recorded as a CUDA graph and launched as one. A graph repeats what it saw: it belongs to one
//! *configuration* (which seeds run, and how) and one shape of batch. The first steps of a configuration run
//! operation by operation, as its warm-up; then the step is recorded, and replayed until structure changes.
//! What changes between steps (alphas, learning rates, the batch) lies in tensors that stay where they are.

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

/// Steps of a configuration and shape that run operation by operation before one is recorded: what libraries
/// set up at first use cannot be recorded.
const WARM_UP: u32 = 2;

/// Largest number of graphs of one configuration. Batches of further shapes run operation by operation.
const MOST_VARIANTS: usize = 16;

/// Looks at whether a step draws. The generators belong to the process: what another thread drew meanwhile is
/// not this step's doing, and not there the next time.
const LOOKS: u32 = 4;

/// Operators that make the host wait for the device, which a graph cannot.
const WAITING: [&str; 5] = [
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
];

/// The loss of a batch: of logits and targets, a 0-dim tensor.
///
/// It is recorded with the step: what it does on the host is not repeated, what it writes must lie in tensors
/// that stay, and another one is not heard until structure changes or [`Stepper::forget`] is called.
pub type Loss<'l> = dyn FnMut(&Tensor, &Tensor) -> Result<Tensor, ModelError> + 'l;

/// Takes a model's training steps, recorded where that is possible.
#[derive(Debug)]
pub struct Stepper {
    /// Of its own: a capture needs one, and models on several threads do not wait for each other. None where
    /// nothing is recorded.
    stream: Option<Arc<Stream>>,
    pool: Option<Pool>,
    configuration: Option<Configuration>,
    /// Why the present configuration is not recorded.
    eager: Option<String>,
    /// How often the generators had moved in the steps that were looked at.
    drew: u32,
    variants: Vec<(Variant, Progress)>,
    told: BTreeSet<String>,
    counts: StepCounts,
}

/// How far a variant has come.
#[derive(Debug)]
enum Progress {
    Warming(u32),
    /// It could not be recorded although others could: it does not fit into memory, for instance.
    Never,
    Recorded(Box<Captured>),
}

/// What a stepper has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// Steps whose operations were asked for one by one.
    pub eager: u64,
    /// Steps that were a replay.
    pub replayed: u64,
    /// Number of steps that were captured into a graph.
    pub captures: u64,
}

impl Stepper {
    /// Steps of a model on its device, recorded if it is a GPU.
    ///
    /// # Errors
    /// If the GPU half of the shim cannot be opened; [`eager`](Self::eager) does without.
    pub fn new(model: &MorphogeneticModel) -> Result<Self, ModelError> {
        let mut stepper = Self::eager();
        if model.device().is_cuda() {
            stepper.stream = Some(Arc::new(Stream::new(model.device())?));
        }
        Ok(stepper)
    }

    /// Steps whose operations are asked for one by one, on the current stream.
    pub fn eager() -> Self {
        Self {
            stream: None,
            pool: None,
            configuration: None,
            eager: None,
            drew: 0,
            variants: Vec::new(),
            told: BTreeSet::new(),
            counts: StepCounts::default(),
        }
    }

    /// The stream that steps run on, where they are recorded. Without it each step waits for what the current
    /// stream holds, and that for the step; a thread that trains one model of many enters it for good.
    pub fn stream(&self) -> Option<Arc<Stream>> {
        self.stream.clone()
    }

    /// Drops everything recorded: the next steps are recorded anew. For whoever changes the loss.
    pub fn forget(&mut self) {
        self.configuration = None;
        self.variants.clear();
        self.pool = None;
        self.eager = None;
        self.drew = 0;
    }

    /// What was done so far.
    pub fn counts(&self) -> StepCounts {
        self.counts
    }

    /// Why the present configuration is not recorded, if that was found.
    pub fn why_eager(&self) -> Option<&str> {
        self.eager.as_deref()
    }

    /// One training step on a batch: forward, loss, backward, measurements, optimizer. Answers with the loss,
    /// which holds until the next step. No host sync.
    ///
    /// # Shapes
    /// `batch`: inputs as the host takes them, targets as `loss` does; the loss is 0-dim.
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
            None => self.ask(&mut work)?,
            Some(stream) => {
                let _on: Entered<'_> = stream.enter()?;
                self.recorded(&mut work)?
            }
        };
        work.model.end_step();
        work.optimizer.advance()?;
        work.model.count_trial(work.optimizer)?;
        Ok(value)
    }

    /// A step whose operations are asked for one by one.
    fn ask(&mut self, work: &mut Work<'_, '_>) -> Result<Tensor, ModelError> {
        self.counts.eager += 1;
        work.eager()
    }

    /// A step on the stepper's own stream.
    fn recorded(&mut self, work: &mut Work<'_, '_>) -> Result<Tensor, ModelError> {
        // Every call of what is on trial is looked at; a replay makes none.
        if work.model.is_on_trial() {
            self.forget();
            return self.ask(work);
        }
        if !self.configuration.as_ref().is_some_and(|known| known.is(work.model, work.optimizer)) {
            self.begin(Configuration::of(work.model, work.optimizer), work.model);
        }
        if self.eager.is_some() {
            return self.ask(work);
        }
        let watches = work.model.telemetry.captures_now();
        let place = self.variants.iter().position(|(variant, _)| variant.is(work.batch, watches));
        let place = match place {
            Some(place) => place,
            None if self.variants.len() < MOST_VARIANTS => {
                self.variants.push((Variant::of(work.batch, watches), Progress::Warming(0)));
                self.variants.len() - 1
            }
            None => return self.ask(work),
        };
        match &mut self.variants[place].1 {
            Progress::Recorded(captured) => {
                self.counts.replayed += 1;
                captured.replay(work.model, work.batch)
            }
            Progress::Warming(WARM_UP) => self.record(place, work),
            Progress::Warming(steps) => {
                *steps += 1;
                if *steps == WARM_UP { self.look(place, work) } else { self.ask(work) }
            }
            Progress::Never => self.ask(work),
        }
    }

    /// A configuration that was not there before. The old one's graphs go, and their memory with them.
    fn begin(&mut self, configuration: Configuration, model: &MorphogeneticModel) {
        self.forget();
        self.configuration = Some(configuration);
        if let Some(why) = model.not_capturable() {
            self.give_up(why);
        }
    }

    /// Runs a step and looks whether it does what a replay would not repeat.
    fn look(&mut self, place: usize, work: &mut Work<'_, '_>) -> Result<Tensor, ModelError> {
        // The generators are everybody's: while one looks whether its step moves them, nobody forks them. In
        // the order in which a capture takes both.
        let _no_capture = graph::backward();
        let _alone = rng::lock();
        let (before, generators) = (work.model.plugin_states()?, RngState::save()?);
        // Another count may be running on this thread; then the capture itself finds out.
        let counter = OpCounter::start();
        let value = self.ask(work)?;
        let ops = counter.and_then(OpCounter::finish).unwrap_or_default();
        if let Some(op) = WAITING.iter().find(|op| ops.contains_key(**op)) {
            self.give_up(format!("it waits for the device (`{op}`)"));
        } else if !RngState::save()?.same_as(&generators) {
            // One generator serves all models of a device: a replay of one would meet the recording of
            // another.
            self.drew += 1;
            if self.drew == LOOKS {
                self.give_up("it draws from torch's own generators".to_owned());
            } else {
                self.variants[place].1 = Progress::Warming(WARM_UP - 1);
            }
        } else if work.model.plugin_states()? != before {
            let why = "the state of a seed or blend moves in forward, which a replay would not repeat";
            self.give_up(why.to_owned());
        }
        Ok(value)
    }

    fn record(&mut self, place: usize, work: &mut Work<'_, '_>) -> Result<Tensor, ModelError> {
        let inputs = captured::Inputs::like(work.batch, work.model.network.layout)?;
        let pool = match &self.pool {
            Some(pool) => pool,
            None => self.pool.insert(Pool::new()?),
        };
        let marks = work.model.slots.marks();
        let made = Graph::capture(inputs.device(), pool, || work.on(inputs.batch()).run());
        let queued = work.model.slots.split_off(&marks);
        let error = match made {
            Ok((graph, value)) => {
                self.counts.captures += 1;
                self.counts.replayed += 1;
                let mut captured = Box::new(Captured { graph, inputs, value, queued });
                let value = captured.replay(work.model, work.batch);
                self.variants[place].1 = Progress::Recorded(captured);
                return value;
            }
            Err(error) => error,
        };
        // A recording that broke off may have left gradients that were never computed.
        work.clear_gradients()?;
        let why = match error {
            NotCaptured::Body(error) => error.to_string(),
            NotCaptured::Capture(error) => error.to_string(),
        };
        if self.variants.iter().any(|(_, progress)| matches!(progress, Progress::Recorded(_))) {
            tracing::warn!("a batch of this shape is not recorded as a CUDA graph: {why}");
            self.variants[place].1 = Progress::Never;
        } else {
            self.give_up(why);
        }
        self.ask(work)
    }

    /// The present configuration is not recorded; said once for each reason.
    fn give_up(&mut self, why: String) {
        self.variants.clear();
        self.pool = None;
        if self.told.insert(why.clone()) {
            tracing::warn!("steps are not recorded as a CUDA graph: {why}");
        }
        self.eager = Some(why);
    }
}

/// What a step is made of.
struct Work<'w, 'l> {
    model: &'w mut MorphogeneticModel,
    optimizer: &'w mut Optimizer,
    batch: (&'w Tensor, &'w Tensor),
    loss: &'w mut Loss<'l>,
}

impl<'l> Work<'_, 'l> {
    /// The same on another batch.
    fn on<'b>(&'b mut self, batch: (&'b Tensor, &'b Tensor)) -> Work<'b, 'l> {
        Work { model: self.model, optimizer: self.optimizer, batch, loss: self.loss }
    }

    /// What a step asks of the device.
    fn run(&mut self) -> Result<Tensor, ModelError> {
        let (inputs, targets) = self.batch;
        let logits = self.model.forward(inputs, Mode::Train)?;
        let value = (self.loss)(&logits, targets)?;
        value.f_backward()?;
        self.model.measure_gradients()?;
        self.optimizer.update()?;
        Ok(value.f_detach()?)
    }

    /// Runs the step's operations without a captured graph.
    fn eager(&mut self) -> Result<Tensor, ModelError> {
        let _no_capture = self.model.device().is_cuda().then(graph::backward);
        self.run().inspect_err(|_| {
            // What a backward has left half-way must not be added to by the next; the first error is the one
            // to tell.
            let _ = self.clear_gradients();
        })
    }

    fn clear_gradients(&mut self) -> Result<(), ModelError> {
        self.optimizer.zero_grad()?;
        self.model.clear_gradients()
    }
}
