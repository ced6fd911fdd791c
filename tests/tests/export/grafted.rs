//! Exports of a grafted PyTorch module: as TorchScript with the seeds inside, and as weights that the
//! module's own class takes back.

use kasmina_export::{Network, Source};
use kasmina_tests::python::python;
use kasmina_tests::{kasmina, output};
use kasmina_trainer::run::Choice;
use std::path::Path;
use tch::{Device, Kind, Tensor};

const CONFIG: &str = r#"
task = "digits"
epochs = 1
device = "cpu"
controller = "none"
blend = "gated"
slots = ["body.0", "body.1"]
preinstalled = [{ slot = "body.0", blueprint = "conv_light" }, { slot = "body.1", blueprint = "attention" }]
[alpha]
target = 0.7
[data]
train_samples = 256
validation_samples = 64
[host]
id = "core::grafted"
[host.config]
module = "HOME/net.pt"
slots = ["body.*"]
"#;

/// Loads the original module, the exported module and the exported weights, and compares.
const SCRIPT: &str = r#"
import sys, torch
from safetensors.torch import load_file
io = load_file("io.safetensors")
original, exported = torch.jit.load("net.pt"), torch.jit.load("script/model.pt")
def difference(a, b): return ((a - b).abs().max() / b.abs().max()).item()
assert difference(exported(io["x"]), io["y"]) < 1e-5
assert not exported.training
names = {name for name, _ in exported.named_parameters()}
assert any(name.startswith("kasmina_body_0.") for name in names), names
# The weights of the module itself load into it, by name and completely.
weights = load_file("weights/model.safetensors")
original.load_state_dict(weights)
mine = {k: v for k, v in exported.state_dict().items() if not k.startswith("kasmina_")}
assert set(mine) == set(weights) and all(torch.equal(mine[k], weights[k]) for k in mine)
seeds = load_file("weights/seeds.safetensors")
assert all(name.startswith("slot.body.") for name in seeds), list(seeds)
half = load_file("half/model.safetensors")
assert all(t.dtype == torch.bfloat16 for t in half.values() if t.is_floating_point())
print("ok")
"#;

#[test]
fn a_grafted_module_keeps_its_names_and_gets_its_seeds() {
    let home = tempfile::tempdir().unwrap();
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/script/digits.pt");
    std::fs::copy(module, home.path().join("net.pt")).unwrap();
    let config = CONFIG.replace("HOME", home.path().to_str().unwrap());
    std::fs::write(home.path().join("run.toml"), config).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = kasmina(home.path());
        command.args(arguments);
        output(command)
    };
    for arguments in [
        ["train", "--config", "run.toml", "--out", "run", "--allow-unsigned"].as_slice(),
        &["export", "run", "--to", "script"],
        &["export", "run", "--to", "weights", "--format", "safetensors"],
        &["export", "run", "--to", "half", "--format", "safetensors", "--dtype", "bf16"],
    ] {
        let (_, stderr, code) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        if arguments.contains(&"script") {
            assert!(stderr.contains("host `core::grafted` has no PyTorch source"), "{stderr}");
        }
    }
    let (_, stderr, code) = run(&["export", "run", "--to", "never", "--format", "pytorch"]);
    assert!(code == Some(1) && stderr.contains("host `core::grafted` has no PyTorch source"), "{stderr}");
    let Some(mut python) = python("a_grafted_module_keeps_its_names_and_gets_its_seeds") else { return };
    let source = Source::open(&home.path().join("run"), Choice::Last).unwrap();
    let mut network = Network::of(&source, &kasmina_tests::registry(&[]), Device::Cpu).unwrap();
    let x = Tensor::arange(5 * 64, (Kind::Float, Device::Cpu)).sin().view([5, 1, 8, 8]);
    let y = network.forward(&x).unwrap();
    Tensor::write_safetensors(&[("x", &x), ("y", &y)], home.path().join("io.safetensors")).unwrap();
    let out = python.current_dir(home.path()).args(["-c", SCRIPT]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
