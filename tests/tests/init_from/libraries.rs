//! Weights of other libraries: the host computes what their network computes.

use kasmina_plugin_api::Mode;
use kasmina_tests::say;
use kasmina_trainer::config::{DataConfig, HostConfig, InitConfig, WeightNames};
use kasmina_trainer::{RunConfig, Trainer};
use std::path::Path;
use std::process::Command;
use tch::Tensor;

/// Writes the weights, an input and an output of a GPT-2 with random weights, and of a residual network with
/// the names of torchvision's.
const SCRIPT: &str = r#"
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(1)
# The host has the exact GELU, of which that of GPT-2 is an approximation.
config = GPT2Config(vocab_size=12, n_positions=11, n_embd=16, n_layer=3, n_head=4, activation_function="gelu")
model = GPT2LMHeadModel(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
model.save_pretrained("gpt2")
x = torch.randint(12, (3, 11))
save_file({"x": x, "y": model(x).logits.detach()}, "gpt2.io")


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Block(4, 4, 1))
        self.layer2 = nn.Sequential(Block(4, 8, 2))
        self.layer3 = nn.Sequential(Block(8, 16, 2))
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


model = ResNet()
x = torch.randn(5, 1, 8, 8)
for _ in range(3):
    model(torch.randn(5, 1, 8, 8) * 2 + 1)
model.eval()
save_file(model.state_dict(), "resnet.safetensors")
save_file({"x": x, "y": model(x).detach()}, "resnet.io")
"#;

/// Checks that a run begins with a network that computes `y` from `x`.
fn check(home: &Path, name: &str, config: RunConfig) {
    let registry = kasmina_tests::registry(&[]);
    let mut model = Trainer::prepare(config, &registry).unwrap().into_model();
    let io = Tensor::read_safetensors(home.join(format!("{name}.io"))).unwrap();
    let of = |wanted: &str| io.iter().find(|(name, _)| name == wanted).unwrap().1.shallow_clone();
    let found = tch::no_grad(|| model.forward(&of("x"), Mode::Eval)).unwrap();
    let (found, wanted) = (found.narrow(-1, 0, of("y").size()[of("y").dim() - 1]), of("y"));
    let difference = (&found - &wanted).abs().max().double_value(&[]) / wanted.abs().max().double_value(&[]);
    say(&format!("{name}: {difference:.1e}"));
    assert!(difference < 1e-5, "{name}: {difference:e}");
}

#[test]
fn gpt2_and_residual_networks_compute_the_same_here() {
    let Some(packages) = std::env::var_os("KASMINA_TEST_PYTHON").filter(|folder| Path::new(folder).is_dir())
    else {
        assert!(
            std::env::var_os("CI").is_none(),
            "KASMINA_TEST_PYTHON names no folder; `cargo xtask test` sets it"
        );
        return say("SKIPPED gpt2_and_residual_networks_compute_the_same_here: no Python packages");
    };
    let home = tempfile::tempdir().unwrap();
    let mut python = Command::new("python3");
    python.env_remove("LD_LIBRARY_PATH").env("PYTHONPATH", packages).env("HF_HUB_OFFLINE", "1");
    let out = python.current_dir(home.path()).args(["-W", "ignore", "-c", SCRIPT]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));

    let config = |value: serde_json::Value| value.as_object().cloned().unwrap_or_default();
    let init =
        |file: &str, names| InitConfig { from: Some(home.path().join(file)), names, allow_partial: false };
    let cpu =
        || RunConfig { device: "cpu".to_owned(), controller: "none".to_owned(), ..RunConfig::default() };
    let transformer = serde_json::json!({ "vocab_size": 12, "block_size": 11, "n_embd": 16, "n_layer": 3, "n_head": 4, "dropout": 0.0 });
    check(
        home.path(),
        "gpt2",
        RunConfig {
            task: "addition".to_owned(),
            data: DataConfig {
                train_samples: Some(64),
                validation_samples: Some(32),
                ..DataConfig::default()
            },
            host: HostConfig { id: "transformer".to_owned(), config: config(transformer) },
            init: init("gpt2/model.safetensors", WeightNames::Gpt2),
            ..cpu()
        },
    );
    let resnet = serde_json::json!({ "depth": 8, "base_channels": 4, "shortcut": "projection" });
    check(
        home.path(),
        "resnet",
        RunConfig {
            host: HostConfig { id: "resnet".to_owned(), config: config(resnet) },
            init: init("resnet.safetensors", WeightNames::Torchvision),
            ..cpu()
        },
    );
}
