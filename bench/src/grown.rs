//! The sides `eager` and `captured` of the comparisons: models of the framework whose seeds are in a given
//! stage.

use crate::setting::Setting;
use kasmina::lifecycle::Stage;
use kasmina::model::{StepCounts, Stepper};
use kasmina::{Command, ModelConfig};
use kasmina_tests::bench::{Bench, easy, loss};
use kasmina_torch_ext::optim::{Optimizer, Sgd};

/// Stage of the seeds in the three slots of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Net {
    /// The host has no slots.
    Alone,
    /// The slots are empty.
    Dormant,
    Training,
    Blending,
    Fossilized,
}

impl Net {
    pub(crate) const ALL: [Self; 5] =
        [Self::Alone, Self::Dormant, Self::Training, Self::Blending, Self::Fossilized];

    /// Name of the network in the rows of a report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Dormant => "3 dormant",
            Self::Training => "3 training",
            Self::Blending => "3 blending",
            Self::Fossilized => "3 fossilized",
        }
    }

    /// Stage of the slots while the network is measured; `None` without slots.
    fn stage(self) -> Option<Stage> {
        match self {
            Self::Alone => None,
            Self::Dormant => Some(Stage::Dormant),
            Self::Training => Some(Stage::Training),
            Self::Blending => Some(Stage::Blending),
            Self::Fossilized => Some(Stage::Fossilized),
        }
    }

    /// Whether the slots contain seeds.
    pub(crate) fn has_seeds(self) -> bool {
        !matches!(self, Self::Alone | Self::Dormant)
    }
}

/// The optimizer of all comparisons.
pub(crate) fn sgd() -> Optimizer {
    Optimizer::new(Sgd::default(), 1e-3)
}

/// A model whose seeds have reached the stage to measure, and the stepper that takes its training steps.
pub(crate) struct Grown {
    pub(crate) bench: Bench,
    stepper: Stepper,
}

impl Grown {
    /// The network of the comparisons: images of 3x32x32, blocks of 32, 64 and 128 channels. `captured`:
    /// whether steps are captured as CUDA graphs.
    pub(crate) fn new(net: Net, setting: Setting, captured: bool) -> Self {
        let host = r#"{"in_channels": 3, "base_channels": 32}"#;
        Self::of(net, setting, host, &[setting.batch, 3, 32, 32], captured)
    }

    /// The same with a configuration of the host `cnn` and a shape of the batch.
    pub(crate) fn of(net: Net, setting: Setting, host: &str, shape: &[i64], captured: bool) -> Self {
        let slots: &[&str] = if net == Net::Alone { &[] } else { &["early", "mid", "late"] };
        let config = ModelConfig {
            host: "cnn".into(),
            host_config: host.into(),
            slots: slots.iter().map(ToString::to_string).collect(),
            device: setting.device,
            seed: 7,
            precision: setting.precision,
            task: easy(),
            ..ModelConfig::default()
        };
        let registry = kasmina_tests::registry(&[]);
        let mut bench = Bench::on(registry, &config, shape, sgd());
        if net.has_seeds() {
            for slot in slots {
                bench.germinate(slot, "conv_light", "linear").expect("the seed germinates");
            }
        }
        match net {
            Net::Alone | Net::Dormant => {}
            Net::Training => bench.reach(Stage::Training),
            Net::Blending => {
                bench.reach(Stage::Blending);
                // Alpha is 0 in the first epoch of BLENDING, so a second one is needed.
                bench.epoch(60.0, 2.0);
            }
            Net::Fossilized => {
                bench.reach(Stage::Holding);
                while bench.model.slots().iter().any(|s| s.lifecycle().stage() == Stage::Holding) {
                    bench.epoch(60.0, 2.0);
                    for slot in slots {
                        let fossilize =
                            Command::Advance { slot: (*slot).to_owned(), target: Some(Stage::Fossilized) };
                        let _ = bench.execute(&fossilize);
                    }
                }
            }
        }
        let stages: Vec<Stage> = bench.model.slots().iter().map(|s| s.lifecycle().stage()).collect();
        assert!(stages.iter().all(|stage| Some(*stage) == net.stage()), "{net:?}: {stages:?}");
        let stepper =
            if captured { Stepper::new(&bench.model).expect("the GPU half opens") } else { Stepper::eager() };
        Self { bench, stepper }
    }

    /// Takes one training step.
    pub(crate) fn step(&mut self) {
        let Bench { model, optimizer, x, y, .. } = &mut self.bench;
        let taken = self.stepper.step(model, optimizer, (x, y), &mut loss);
        let _ = taken.expect("a step");
    }

    /// Number of eager, captured and replayed steps.
    pub(crate) fn counts(&self) -> StepCounts {
        self.stepper.counts()
    }

    pub(crate) fn stepper(&self) -> &Stepper {
        &self.stepper
    }
}
