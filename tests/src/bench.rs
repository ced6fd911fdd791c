//! A small model in training, for tests of the model's behaviour.

#![allow(missing_docs, clippy::missing_errors_doc, reason = "what tests share")]

use crate::registry;
use kasmina::lifecycle::Stage;
use kasmina::model::{EpochInputs, Germinate, SlotInputs};
use kasmina::{Command, ModelConfig, MorphogeneticModel};
use kasmina_plugin_api::Mode;
use kasmina_registry::Registry;
use kasmina_torch_ext::norm::clear_gradients;
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::{Change, ParameterSink, SinkError, Ticket};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

const HOST: &str = r#"{"in_channels": 1, "base_channels": 4, "pool_layers": 0, "memory_format": "FORMAT"}"#;

/// A small model in training: convolutional host, real plugins, random data.
pub struct Bench {
    pub registry: Registry,
    pub model: MorphogeneticModel,
    pub optimizer: Optimizer,
    pub x: Tensor,
    pub y: Tensor,
    /// Logits of the newest training forward, detached.
    pub logits: Tensor,
}

/// Task settings without a minimum gradient ratio in G2, for tests that only need a seed to reach a stage.
pub fn easy() -> kasmina::lifecycle::TaskConfig {
    let mut task = kasmina::lifecycle::TaskConfig::default();
    task.lifecycle.gates.min_seed_gradient_ratio = 0.0;
    task
}

/// Mean cross entropy, with the signature of the loss of [`Stepper::step`](kasmina::model::Stepper::step).
///
/// # Shapes
/// `logits`: `[batch, classes]`; `targets`: `[batch]`, class numbers as int64; the result is a scalar.
pub fn loss(logits: &Tensor, targets: &Tensor) -> Result<Tensor, kasmina::ModelError> {
    Ok(logits.f_cross_entropy_loss::<Tensor>(targets, None, tch::Reduction::Mean, -100, 0.0)?)
}

/// Configuration of the bench's model: the shipped CNN host with these slots, and its features in the memory
/// format `format` (`contiguous` or `channels_last`).
pub fn config(slots: &[&str], format: &str) -> ModelConfig {
    ModelConfig {
        host: "cnn".into(),
        host_config: HOST.replace("FORMAT", format),
        slots: slots.iter().map(ToString::to_string).collect(),
        seed: 7,
        telemetry_interval: 2,
        fail_on_breach: true,
        ..ModelConfig::default()
    }
}

impl Bench {
    pub fn new(slots: &[&str]) -> Self {
        Self::with(config(slots, "contiguous"))
    }

    pub fn with(config: impl std::borrow::Borrow<ModelConfig>) -> Self {
        Self::over(config.borrow(), &[16, 1, 8, 8])
    }

    /// Builds a bench on random inputs of this shape, with some fixtures and AdamW.
    pub fn over(config: &ModelConfig, shape: &[i64]) -> Self {
        tch::set_num_threads(1);
        let registry = registry(&["gated", "dropout", "ill_seeds", "leaky", "sequence"]);
        let optimizer = Optimizer::new(AdamW::default(), 5e-3);
        Self::on(registry, config, shape, optimizer)
    }

    /// Builds a bench with these plugins and this optimizer, on the device of the configuration.
    pub fn on(registry: Registry, config: &ModelConfig, shape: &[i64], mut optimizer: Optimizer) -> Self {
        let _fork = RngFork::seeded(99).unwrap();
        let x = Tensor::randn(shape, (Kind::Float, Device::Cpu)).to(config.device);
        let y = Tensor::randint(10, [shape[0]], (Kind::Int64, Device::Cpu)).to(config.device);
        let model = MorphogeneticModel::build(&registry, config, &x).unwrap();
        model.register_host(&mut optimizer).unwrap();
        let logits = Tensor::new();
        Self { registry, model, optimizer, x, y, logits }
    }

    /// Returns the bits of every trainable tensor and of every tensor of optimizer state, by name.
    pub fn weights(&self) -> BTreeMap<String, Vec<u32>> {
        let all = self.model.host_parameters().chain(self.model.seed_parameters());
        let mut named: BTreeMap<_, _> = all.map(|p| (p.name.clone(), bits(&p.tensor))).collect();
        for owner in self.optimizer.owners() {
            let state = self.optimizer.state(owner).unwrap();
            named.extend(state.iter().map(|(name, tensor)| (name.clone(), bits(tensor))));
        }
        named
    }

    /// Returns the loss on the bench's batch, without a training step.
    pub fn loss(&mut self, mode: Mode) -> f64 {
        let _no_grad = tch::no_grad_guard();
        let logits = self.model.forward(&self.x, mode).unwrap();
        logits.cross_entropy_for_logits(&self.y).double_value(&[])
    }

    pub fn germinate(&mut self, slot: &str, blueprint: &str, blend: &str) -> Result<(), String> {
        let germinate = Germinate::new(slot, format!("{slot}-{blueprint}"), blueprint, blend);
        self.execute(&Command::Germinate(germinate))
    }

    pub fn execute(&mut self, command: &Command) -> Result<(), String> {
        let done = self.model.execute(command, &self.registry, &mut self.optimizer);
        done.map(|_| ()).map_err(|e| format!("{}: {e}", e.code()))
    }

    pub fn backward(&mut self) {
        let logits = self.model.forward(&self.x, Mode::Train).unwrap();
        logits.cross_entropy_for_logits(&self.y).backward();
        self.logits = logits.detach();
    }

    pub fn step(&mut self) {
        self.backward();
        self.model.capture_gradients().unwrap();
        self.optimizer.step().unwrap();
    }

    /// Checks isolation on the bench's batch if a check is due. Returns whether one was.
    pub fn check_isolation(&mut self) -> bool {
        let due = self.model.isolation_check_due();
        if due {
            let y = self.y.shallow_clone();
            self.model
                .check_isolation(&self.x, &mut |logits| Ok(logits.cross_entropy_for_logits(&y)))
                .unwrap();
        }
        due
    }

    /// Trains an epoch of three steps and ends it; see [`Self::end_epoch`].
    pub fn epoch(&mut self, accuracy: f64, contribution: f64) {
        for _ in 0..3 {
            self.step();
        }
        self.end_epoch(accuracy, contribution);
    }

    /// Ends an epoch with this validation accuracy, and this contribution of every measured seed, in
    /// percentage points. Returns the measured inputs of each slot.
    pub fn end_epoch(&mut self, accuracy: f64, contribution: f64) -> BTreeMap<String, SlotInputs> {
        let plan = self.model.counterfactual_plan();
        let without = plan.slots().map(|_| accuracy - contribution).collect();
        let inputs = EpochInputs { accuracy, plan: &plan, without, unhealthy: Vec::new() };
        let measured = self.model.record_epoch(&inputs, 0).unwrap();
        self.model.step_epoch(&mut self.optimizer).unwrap();
        measured
    }

    /// Trains epochs until every seed has reached this stage or a later one.
    ///
    /// # Panics
    /// If that takes more than 20 epochs.
    pub fn reach(&mut self, stage: Stage) {
        let mut accuracy = 20.0;
        for _ in 0..20 {
            if self.model.reports().iter().all(|r| r.stage == Stage::Dormant || r.stage >= stage) {
                return;
            }
            accuracy += 0.7;
            self.epoch(accuracy, 2.0);
        }
        panic!("not reached: {:?}", self.model.reports());
    }

    pub fn host_gradients(&self) -> BTreeMap<String, Tensor> {
        self.model.host_parameters().map(|p| (p.name.clone(), p.tensor.grad().copy())).collect()
    }

    pub fn clear(&self) {
        clear_gradients(self.model.host_parameters().chain(self.model.seed_parameters()).map(|p| &p.tensor))
            .unwrap();
    }
}

/// Returns the bits of a float32 tensor, flattened.
///
/// # Shapes
/// `t`: any shape.
pub fn bits(t: &Tensor) -> Vec<u32> {
    Vec::<f32>::try_from(t.detach().reshape([-1])).unwrap().into_iter().map(f32::to_bits).collect()
}

/// Wraps an optimizer and refuses every change after the first few.
pub struct RefusingOptimizer<'o> {
    pub optimizer: &'o mut Optimizer,
    /// Number of calls of `prepare` that still succeed.
    pub left: u32,
}

impl ParameterSink for RefusingOptimizer<'_> {
    fn prepare(&mut self, change: Change) -> Result<Ticket, SinkError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(SinkError::State { owner: "it".into(), reason: "it was told to refuse".into() });
        };
        self.left = left;
        self.optimizer.prepare(change)
    }
    fn commit(&mut self, ticket: Ticket) {
        self.optimizer.commit(ticket);
    }
    fn abort(&mut self, ticket: Ticket) {
        self.optimizer.abort(ticket);
    }
}

/// Returns the relative distance `|a - b| / |b|`.
///
/// # Shapes
/// `a`, `b`: the same shape.
pub fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.detach().to_kind(Kind::Double), b.detach().to_kind(Kind::Double));
    ((a - &b).norm().double_value(&[])) / b.norm().double_value(&[]).max(1e-30)
}
