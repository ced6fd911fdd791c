//! Weights of other libraries: the host computes what their network computes.

use kasmina_plugin_api::Mode;
use kasmina_tests::python::python;
use kasmina_tests::say;
use kasmina_trainer::config::{DataConfig, HostConfig, InitConfig, WeightNames};
use kasmina_trainer::{RunConfig, Trainer};
use std::path::Path;
use tch::Tensor;

/// Writes the weights, an input and an output of a GPT-2 of transformers and of a residual network of
/// torchvision, with random weights.
const SCRIPT: &str = r#"
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
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


# As for small images: a 3x3 convolution at the beginning, no pooling, and three stages.
model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=10)
model.conv1 = nn.Conv2d(1, 64, 3, 1, 1, bias=False)
model.maxpool, model.layer4, model.fc = nn.Identity(), nn.Identity(), nn.Linear(256, 10)
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
    let Some(mut python) = python("gpt2_and_residual_networks_compute_the_same_here") else { return };
    let home = tempfile::tempdir().unwrap();
    let out = python.current_dir(home.path()).args(["-c", SCRIPT]).output().unwrap();
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
            host: HostConfig { id: "transformer".to_owned(), config: config(transformer), frozen: false },
            init: init("gpt2/model.safetensors", WeightNames::Gpt2),
            ..cpu()
        },
    );
    let resnet = serde_json::json!({ "depth": 14, "base_channels": 64, "shortcut": "projection" });
    check(
        home.path(),
        "resnet",
        RunConfig {
            host: HostConfig { id: "resnet".to_owned(), config: config(resnet), frozen: false },
            init: init("resnet.safetensors", WeightNames::Torchvision),
            ..cpu()
        },
    );
}
