//! A small model in training, for tests of what a model may and may not do.

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
    /// Of the newest training forward.
    pub logits: Tensor,
}

/// Rules under which every seed that learns at all moves on, however little: where the stage is what matters.
pub fn easy() -> kasmina::lifecycle::TaskConfig {
    let mut task = kasmina::lifecycle::TaskConfig::default();
    task.lifecycle.gates.min_seed_gradient_ratio = 0.0;
    task
}

/// The mean cross entropy, as a [`Stepper`](kasmina::model::Stepper) takes a loss.
pub fn loss(logits: &Tensor, targets: &Tensor) -> Result<Tensor, kasmina::ModelError> {
    Ok(logits.f_cross_entropy_loss::<Tensor>(targets, None, tch::Reduction::Mean, -100, 0.0)?)
}

/// The model of a bench: these slots, host features that lie so in memory.
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

    /// On random data of this shape.
    pub fn over(config: &ModelConfig, shape: &[i64]) -> Self {
        tch::set_num_threads(1);
        let registry = registry(&["gated", "dropout", "ill_seeds", "leaky", "sequence"]);
        let optimizer = Optimizer::new(AdamW::default(), 5e-3);
        Self::on(registry, config, shape, optimizer)
    }

    /// With these plugins and this optimizer, where the model lives.
    pub fn on(registry: Registry, config: &ModelConfig, shape: &[i64], mut optimizer: Optimizer) -> Self {
        let _fork = RngFork::seeded(99).unwrap();
        let x = Tensor::randn(shape, (Kind::Float, Device::Cpu)).to(config.device);
        let y = Tensor::randint(10, [shape[0]], (Kind::Int64, Device::Cpu)).to(config.device);
        let model = MorphogeneticModel::build(&registry, config, &x).unwrap();
        model.register_host(&mut optimizer).unwrap();
        let logits = Tensor::new();
        Self { registry, model, optimizer, x, y, logits }
    }

    /// Every trainable tensor and every piece of optimizer state, bit for bit, by name.
    pub fn weights(&self) -> BTreeMap<String, Vec<u32>> {
        let all = self.model.host_parameters().chain(self.model.seed_parameters());
        let mut named: BTreeMap<_, _> = all.map(|p| (p.name.clone(), bits(&p.tensor))).collect();
        for owner in self.optimizer.owners() {
            let state = self.optimizer.state(owner).unwrap();
            named.extend(state.iter().map(|(name, tensor)| (name.clone(), bits(tensor))));
        }
        named
    }

    /// The training loss on the bench's batch, evaluated without a step.
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

    /// Checks isolation on the bench's batch, if the model is due for it; says whether it was.
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

    /// An epoch of a few steps, with this accuracy and the measured contributions.
    pub fn epoch(&mut self, accuracy: f64, worth: f64) {
        for _ in 0..3 {
            self.step();
        }
        self.edge(accuracy, worth);
    }

    /// The edge of an epoch, with this accuracy and every measured seed worth so much; answers with what was
    /// measured.
    pub fn edge(&mut self, accuracy: f64, worth: f64) -> BTreeMap<String, SlotInputs> {
        let plan = self.model.counterfactual_plan();
        let without = plan.slots().map(|_| accuracy - worth).collect();
        let inputs = EpochInputs { accuracy, plan: &plan, without, unhealthy: Vec::new() };
        let measured = self.model.record_epoch(&inputs, 0).unwrap();
        self.model.step_epoch(&mut self.optimizer).unwrap();
        measured
    }

    /// Runs epochs until every seed is at least in this stage.
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

/// The bits of a float32 tensor.
pub fn bits(t: &Tensor) -> Vec<u32> {
    Vec::<f32>::try_from(t.detach().reshape([-1])).unwrap().into_iter().map(f32::to_bits).collect()
}

/// The real optimizer, which refuses from one call on.
pub struct Refusing<'o> {
    pub optimizer: &'o mut Optimizer,
    /// Calls of `prepare` until it refuses.
    pub left: u32,
}

impl ParameterSink for Refusing<'_> {
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

/// `|a - b| / |b|`.
pub fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.detach().to_kind(Kind::Double), b.detach().to_kind(Kind::Double));
    ((a - &b).norm().double_value(&[])) / b.norm().double_value(&[]).max(1e-30)
}
