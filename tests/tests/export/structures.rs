//! Networks to export, from short runs with preinstalled seeds.

use kasmina_export::{Network, Source};
use kasmina_plugin_api::Mode;
use kasmina_registry::Registry;
use kasmina_tests::{kasmina, output};
use kasmina_trainer::run::{Choice, SavedNetwork};
use kasmina_trainer::task::Input;
use std::fmt::Write as _;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// A network to export.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) host: &'static Host,
    pub(super) blend: &'static str,
    pub(super) alpha: f64,
    /// Slots and the blueprints of their seeds.
    pub(super) seeds: Vec<(&'static str, &'static str)>,
}

/// A host with its task, its slots and the blueprints that serve it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) id: &'static str,
    task: &'static str,
    config: &'static str,
    pub(super) slots: &'static [&'static str],
    pub(super) blueprints: &'static [&'static str],
}

const FOR_IMAGES: &[&str] = &[
    "norm",
    "attention",
    "conv_small",
    "conv_light",
    "conv_heavy",
    "depthwise",
    "bottleneck",
    "graph",
    "noop",
];
const FOR_SEQUENCES: &[&str] = &["norm", "attention", "flex_attention", "lora", "mlp", "mlp_small", "noop"];

/// The shipped hosts.
pub(super) const HOSTS: [Host; 3] = [
    Host {
        id: "cnn",
        task: "digits",
        config: "n_blocks = 3\nbase_channels = 8\npool_layers = 1\n",
        slots: &["block0", "block1", "block2"],
        blueprints: FOR_IMAGES,
    },
    Host {
        id: "resnet",
        task: "digits",
        config: "depth = 8\nbase_channels = 8\nshortcut = \"projection\"\n",
        slots: &["stage0", "stage1", "stage2"],
        blueprints: FOR_IMAGES,
    },
    Host {
        id: "transformer",
        task: "addition",
        config: "n_embd = 16\nn_head = 2\nn_layer = 3\ndropout = 0.1\n",
        slots: &["block0", "block1", "block2"],
        blueprints: FOR_SEQUENCES,
    },
];

/// The shipped blends.
pub(super) const BLENDS: [&str; 8] =
    ["linear", "cosine", "sigmoid", "tanh", "gated", "residual", "multiply", "per_channel"];

impl Case {
    /// Returns the configuration of the run.
    fn config(&self) -> String {
        let Self { host, blend, alpha, seeds, .. } = self;
        let mut text = format!(
            "task = \"{}\"\nepochs = 1\ndevice = \"cpu\"\ncontroller = \"none\"\nblend = \"{blend}\"\nslots = {:?}\n\
             [alpha]\ntarget = {alpha:?}\n\
             [data]\ntrain_samples = 128\nvalidation_samples = 32\n\
             [optimizer]\nlearning_rate = 0.05\n\
             [host]\nid = \"{}\"\n[host.config]\n{}",
            host.task, host.slots, host.id, host.config
        );
        for (slot, blueprint) in seeds {
            let _ = write!(text, "[[preinstalled]]\nslot = \"{slot}\"\nblueprint = \"{blueprint}\"\n");
        }
        text
    }

    /// Trains, exports to `out`, and writes an input with the output of the run's model to `io.safetensors`
    /// beside it. Returns the largest difference of the networks that `eval` computes with, of the run and of
    /// the export, relative to the largest output.
    pub(super) fn export(&self, home: &Path, registry: &Registry) -> f64 {
        let folder = home.join(&self.name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("run.toml"), self.config()).unwrap();
        for arguments in [
            ["train", "--config", "run.toml", "--out", "run"].as_slice(),
            &["export", "run", "--to", "out"],
            &["export", "run", "--to", "script", "--format", "torchscript"],
        ] {
            let mut command = kasmina(&folder);
            command.args(arguments);
            let (_, stderr, code) = output(command);
            assert_eq!(code, Some(0), "{}: {stderr}", self.name);
        }
        let saved = SavedNetwork::open(&folder.join("run"), Choice::Last).unwrap();
        let mut network = saved.build(registry, Device::Cpu).unwrap();
        let x = match &saved.interface().unwrap().input {
            Input::Image(image) => {
                let shape = [5, image.channels, image.height, image.width];
                Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)).sin().view(shape)
            }
            Input::Tokens(tokens) => {
                let shape = [5, tokens.length];
                let count = shape.iter().product::<i64>();
                (Tensor::arange(count, (Kind::Int64, Device::Cpu)) * 7)
                    .remainder(tokens.alphabet.len() as i64)
                    .view(shape)
            }
        };
        let y = tch::no_grad(|| network.forward(&x, Mode::Eval)).unwrap();
        let mut largest: f64 = 0.0;
        for path in ["run", "out"] {
            let source = Source::open(&folder.join(path), Choice::Last).unwrap();
            let found = Network::of(&source, registry, Device::Cpu).unwrap().forward(&x).unwrap();
            // The memory layout may differ from that of training, and with it the order of sums.
            let difference = (&found - &y).abs().max().double_value(&[]) / y.abs().max().double_value(&[]);
            assert!(difference <= 1e-5, "{}: `{path}` differs by {difference:e}", self.name);
            largest = largest.max(difference);
        }
        Tensor::write_safetensors(&[("x", &x), ("y", &y)], folder.join("io.safetensors")).unwrap();
        largest
    }
}
