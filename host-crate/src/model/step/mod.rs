//! One training step after the other: forward, loss, backward, measurements, optimizer.
//!
//! On a GPU a small network's step is a few hundred kernels, each shorter than it takes to ask for it. So a step is
//! recorded as a CUDA graph and launched as one. A graph repeats what it saw: it belongs to one *configuration* (which
//! seeds run, and how) and one shape of batch. The first steps of a configuration run as ever, and are its warm-up;
//! then the step is recorded, and replayed until structure changes. What changes between steps (alphas, learning
//! rates, the batch) lies in tensors that stay where they are.

mod captured;
mod configuration;

use super::{ModelError, MorphogeneticModel};
use captured::Captured;
use configuration::{Configuration, Variant};
use kasmina_torch_ext::cuda::graph::{self, Graph, NotCaptured, Pool};
use kasmina_torch_ext::cuda::{Entered, Stream};
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::optim::Optimizer;
use kasmina_torch_ext::rng::{self, RngState};
use std::collections::BTreeSet;
use std::sync::Arc;
use tch::Tensor;

/// Steps of a configuration and shape that run as ever before it is recorded: what libraries set up at first use
/// cannot be.
const WARM_UP: u32 = 2;

/// Graphs of one configuration that are kept. Batches whose shapes keep changing run as ever beyond that.
const MOST_VARIANTS: usize = 16;

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
/// It is recorded with the step: what it does on the host is not repeated, what it writes must lie in tensors that stay,
/// and another one is not heard until structure changes or [`Stepper::forget`] is called.
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
    /// Recordings made.
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
            variants: Vec::new(),
            told: BTreeSet::new(),
            counts: StepCounts::default(),
        }
    }

    /// The stream that steps run on, where they are recorded. Without it each step waits for what the current stream
    /// holds, and that for the step; a thread that trains one model of many enters it for good.
    pub fn stream(&self) -> Option<Arc<Stream>> {
        self.stream.clone()
    }

    /// Drops everything recorded: the next steps are recorded anew. For whoever changes the loss.
    pub fn forget(&mut self) {
        self.configuration = None;
        self.variants.clear();
        self.pool = None;
        self.eager = None;
    }

    /// What was done so far.
    pub fn counts(&self) -> StepCounts {
        self.counts
    }

    /// Why the present configuration is not recorded, if that was found.
    pub fn why_eager(&self) -> Option<&str> {
        self.eager.as_deref()
    }

    /// One training step on a batch: forward, loss, backward, measurements, optimizer. Answers with the loss, which
    /// holds until the next step. No host sync.
    ///
    /// # Shapes
    /// `inputs` as the host takes them, `targets` as `loss` does; the loss is 0-dim.
    ///
    /// # Errors
    /// If the forward, the loss or libtorch fails.
    pub fn step(
        &mut self,
        model: &mut MorphogeneticModel,
        optimizer: &mut Optimizer,
        (inputs, targets): (&Tensor, &Tensor),
        loss: &mut Loss<'_>,
    ) -> Result<Tensor, ModelError> {
        model.sync_alphas()?;
        let value = match self.stream.clone() {
            None => {
                self.counts.eager += 1;
                eager(model, optimizer, (inputs, targets), loss)?
            }
            Some(stream) => {
                let _on: Entered<'_> = stream.enter()?;
                self.recorded(model, optimizer, (inputs, targets), loss)?
            }
        };
        model.end_step();
        optimizer.advance()?;
        Ok(value)
    }

    /// A step on the stepper's own stream.
    fn recorded(
        &mut self,
        model: &mut MorphogeneticModel,
        optimizer: &mut Optimizer,
        batch: (&Tensor, &Tensor),
        loss: &mut Loss<'_>,
    ) -> Result<Tensor, ModelError> {
        if !self.configuration.as_ref().is_some_and(|known| known.is(model, optimizer)) {
            self.begin(Configuration::of(model, optimizer), model);
        }
        if self.eager.is_some() {
            self.counts.eager += 1;
            return eager(model, optimizer, batch, loss);
        }
        let watches = model.captures_now();
        let place = self.variants.iter().position(|(variant, _)| variant.is(batch, watches));
        let place = match place {
            Some(place) => place,
            None if self.variants.len() < MOST_VARIANTS => {
                self.variants.push((Variant::of(batch, watches), Progress::Warming(0)));
                self.variants.len() - 1
            }
            None => {
                self.counts.eager += 1;
                return eager(model, optimizer, batch, loss);
            }
        };
        match &mut self.variants[place].1 {
            Progress::Recorded(captured) => {
                self.counts.replayed += 1;
                captured.replay(model, batch)
            }
            Progress::Warming(steps) if *steps < WARM_UP => {
                *steps += 1;
                let last = *steps == WARM_UP;
                self.counts.eager += 1;
                if last {
                    self.look(model, optimizer, batch, loss)
                } else {
                    eager(model, optimizer, batch, loss)
                }
            }
            Progress::Never => {
                self.counts.eager += 1;
                eager(model, optimizer, batch, loss)
            }
            Progress::Warming(_) => self.record(place, model, optimizer, batch, loss),
        }
    }

    /// A configuration that was not there before. The old one's graphs go, and their memory with them.
    fn begin(&mut self, configuration: Configuration, model: &MorphogeneticModel) {
        self.variants.clear();
        self.pool = None;
        self.configuration = Some(configuration);
        self.eager = model.not_capturable();
        self.tell();
    }

    /// Runs a step and looks whether it does what a replay would not repeat.
    fn look(
        &mut self,
        model: &mut MorphogeneticModel,
        optimizer: &mut Optimizer,
        batch: (&Tensor, &Tensor),
        loss: &mut Loss<'_>,
    ) -> Result<Tensor, ModelError> {
        // The generators are everybody's: while one looks whether its step moves them, nobody forks them. In the order in
        // which a capture takes both.
        let _no_capture = graph::backward();
        let _alone = rng::lock();
        let (before, generators) = (model.plugin_states()?, RngState::save()?);
        // Another count may be running on this thread; then the capture itself finds out.
        let counter = OpCounter::start();
        let value = eager(model, optimizer, batch, loss)?;
        let ops = counter.and_then(OpCounter::finish).unwrap_or_default();
        if let Some(op) = WAITING.iter().find(|op| ops.contains_key(**op)) {
            self.give_up(format!("it waits for the device (`{op}`)"));
        } else if !RngState::save()?.same_as(&generators) {
            // One generator serves all models of a device: a replay of one would meet the recording of another.
            self.give_up("it draws from torch's own generators".to_owned());
        } else if model.plugin_states()? != before {
            self.give_up(
                "the state of a seed or blend moves in forward, which a replay would not repeat".to_owned(),
            );
        }
        Ok(value)
    }

    fn record(
        &mut self,
        place: usize,
        model: &mut MorphogeneticModel,
        optimizer: &mut Optimizer,
        batch: (&Tensor, &Tensor),
        loss: &mut Loss<'_>,
    ) -> Result<Tensor, ModelError> {
        let pool = match self.pool.take() {
            Some(pool) => pool,
            None => Pool::new()?,
        };
        let marks = model.marks();
        let inputs = captured::Inputs::like(batch, model.layout)?;
        let body = || work(model, optimizer, inputs.batch(), loss);
        let made = Graph::capture(inputs.device(), &pool, body);
        let queued = model.split_off(&marks);
        match made {
            Ok((graph, value)) => {
                self.pool = Some(pool);
                self.counts.captures += 1;
                self.counts.replayed += 1;
                let mut captured = Box::new(Captured { graph, inputs, value, queued });
                let value = captured.replay(model, batch);
                self.variants[place].1 = Progress::Recorded(captured);
                value
            }
            Err(error) => {
                // A recording that broke off may have left gradients that were never computed.
                optimizer.zero_grad()?;
                model.clear_gradients()?;
                let why = match error {
                    NotCaptured::Body(error) => error.to_string(),
                    NotCaptured::Capture(error) => error.to_string(),
                };
                if self.variants.iter().any(|(_, progress)| matches!(progress, Progress::Recorded(_))) {
                    tracing::warn!("a batch of this shape is not recorded as a CUDA graph: {why}");
                    self.pool = Some(pool);
                    self.variants[place].1 = Progress::Never;
                } else {
                    self.give_up(why);
                }
                self.counts.eager += 1;
                eager(model, optimizer, batch, loss)
            }
        }
    }

    fn give_up(&mut self, why: String) {
        self.variants.clear();
        self.pool = None;
        self.eager = Some(why);
        self.tell();
    }

    /// Once for each reason.
    fn tell(&mut self) {
        if let Some(why) = &self.eager
            && self.told.insert(why.clone())
        {
            tracing::warn!("steps are not recorded as a CUDA graph: {why}");
        }
    }
}

/// A step that is not recorded.
fn eager(
    model: &mut MorphogeneticModel,
    optimizer: &mut Optimizer,
    batch: (&Tensor, &Tensor),
    loss: &mut Loss<'_>,
) -> Result<Tensor, ModelError> {
    let _no_capture = model.device().is_cuda().then(graph::backward);
    work(model, optimizer, batch, loss).inspect_err(|_| {
        // What a backward has left half-way must not be added to by the next; the first error is the one to tell.
        let _ = optimizer.zero_grad();
        let _ = model.clear_gradients();
    })
}

/// What a step asks of the device.
fn work(
    model: &mut MorphogeneticModel,
    optimizer: &mut Optimizer,
    (inputs, targets): (&Tensor, &Tensor),
    loss: &mut Loss<'_>,
) -> Result<Tensor, ModelError> {
    let logits = model.forward(inputs, kasmina_plugin_api::Mode::Train)?;
    let value = loss(&logits, targets)?;
    value.f_backward()?;
    model.measure_gradients()?;
    optimizer.update()?;
    Ok(value.f_detach()?)
}
