//! Training steps of the shipped hosts on random data, alone and with seeds in TRAINING.

use crate::grown::sgd;
use crate::setting::Setting;
use crate::stopwatch::{Row, Runner, in_turns};
use kasmina::model::{Germinate, Stepper};
use kasmina::{Command, ModelConfig, MorphogeneticModel};
use kasmina_registry::Registry;
use kasmina_torch_ext::optim::Optimizer;
use kasmina_torch_ext::rng::RngFork;
use kasmina_trainer::task::cross_entropy;
use tch::{Device, Kind, Tensor};

/// A shipped host to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    host: &'static str,
    /// Configuration of the host, as JSON.
    config: &'static str,
    /// Blueprint of the seeds.
    pub(crate) blueprint: &'static str,
    pub(crate) batch: i64,
    /// Length of a sequence and size of the vocabulary; `None` for images.
    tokens: Option<(i64, i64)>,
}

/// The hosts to measure, with images of the size of CIFAR's or sequences of the transformer's full length.
/// Dropout is off, because the two sides would draw other numbers.
pub(crate) const SUBJECTS: [Subject; 3] = [
    Subject { name: "cnn", host: "cnn", config: "{}", blueprint: "conv_light", batch: 128, tokens: None },
    Subject {
        name: "resnet20",
        host: "resnet",
        config: "{}",
        blueprint: "conv_light",
        batch: 128,
        tokens: None,
    },
    Subject {
        name: "transformer",
        host: "transformer",
        config: r#"{"dropout": 0.0}"#,
        blueprint: "mlp_small",
        batch: 16,
        tokens: Some((256, 50_257)),
    },
];

/// A host with its seeds, optimizer and batch.
pub(crate) struct Training {
    pub(crate) model: MorphogeneticModel,
    optimizer: Optimizer,
    pub(crate) stepper: Stepper,
    registry: Registry,
    x: Tensor,
    y: Tensor,
}

impl Training {
    pub(crate) fn new(subject: Subject, setting: Setting, seeds: bool, captured: bool) -> Self {
        let registry = kasmina_tests::registry(&[]);
        let slots = ["early", "mid", "late"].map(str::to_owned);
        let config = ModelConfig {
            host: subject.host.into(),
            host_config: subject.config.into(),
            slots: if seeds { slots.to_vec() } else { Vec::new() },
            device: setting.device,
            seed: 7,
            precision: setting.precision,
            ..ModelConfig::default()
        };
        let _fork = RngFork::seeded(99).expect("generators");
        let (batch, whole) = (setting.batch, (Kind::Int64, Device::Cpu));
        let (x, y) = match subject.tokens {
            Some((length, all)) => {
                (Tensor::randint(all, [batch, length], whole), Tensor::randint(all, [batch, length], whole))
            }
            None => (
                Tensor::randn([batch, 3, 32, 32], (Kind::Float, Device::Cpu)),
                Tensor::randint(10, [batch], whole),
            ),
        };
        let (x, y) = (x.to(setting.device), y.to(setting.device));
        let mut model = MorphogeneticModel::build(&registry, &config, &x.narrow(0, 0, 2)).expect("the host");
        let mut optimizer = sgd();
        model.register_host(&mut optimizer).expect("its parameters");
        if seeds {
            for slot in slots {
                let germinate = Germinate::new(&slot, format!("{slot}-seed"), subject.blueprint, "linear");
                model
                    .execute(&Command::Germinate(germinate), &registry, &mut optimizer)
                    .expect("the seed germinates");
            }
            model.step_epoch(&mut optimizer).expect("the seeds enter TRAINING");
        }
        let stepper =
            if captured { Stepper::new(&model).expect("the GPU half opens") } else { Stepper::eager() };
        Self { model, optimizer, stepper, registry, x, y }
    }

    /// Executes a command.
    pub(crate) fn execute(&mut self, command: &Command) {
        self.model.execute(command, &self.registry, &mut self.optimizer).expect("the command is accepted");
    }

    /// Prunes the seeds of all slots.
    pub(crate) fn clear_slots(&mut self) {
        let slots: Vec<String> = self.model.slots().iter().map(|slot| slot.name().to_owned()).collect();
        for slot in slots {
            self.execute(&Command::Prune { slot, reason: "bench".to_owned() });
        }
    }

    pub(crate) fn step(&mut self) {
        let Self { model, optimizer, stepper, x, y, .. } = self;
        let _ = stepper
            .step(model, optimizer, (x, y), &mut |logits, labels| Ok(cross_entropy(logits, labels)?))
            .expect("a step");
    }
}

/// Measures training steps of one host in one setting.
pub(crate) fn measure(subject: Subject, setting: Setting, rounds: usize, quick: bool) -> Vec<Row> {
    let mut runners = Vec::new();
    for (net, seeds) in [("alone", false), ("3 training", true)] {
        let name = format!("{} {} {net}", setting.name(), subject.name);
        let runner = |side, step| Runner { name: name.clone(), side, step };
        let mut eager = Training::new(subject, setting, seeds, false);
        runners.push(runner("eager", Box::new(move || eager.step()) as Box<dyn FnMut()>));
        if setting.device.is_cuda() {
            let mut captured = Training::new(subject, setting, seeds, true);
            (0..12).for_each(|_| captured.step());
            let why = captured.stepper.why_eager().map(str::to_owned);
            assert!(captured.stepper.counts().captures > 0, "nothing was captured: {why:?}");
            runners.push(runner("captured", Box::new(move || captured.step())));
        }
    }
    in_turns(runners, setting.device, rounds, if quick { 2 } else { 20 })
}
