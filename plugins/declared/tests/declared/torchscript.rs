//! TorchScript seeds: modules with their sidecars.

use crate::common::max_difference;
use crate::scripted::{Class, archive};
use kasmina_declared::{TorchScript, TorchScriptConfig};
use kasmina_plugin_api::prelude::*;
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tch::{CModule, Device, Kind};

const SIDECAR: &str = "[blueprint]\nid = \"mixer\"\nsummary = \"a 1x1 convolution\"\n";

fn read(sidecar: &str, module: &Path) -> Result<TorchScriptConfig, String> {
    let config = json!({ "file": "mixer.pt.toml", "source": sidecar, "module": module.to_str().unwrap() });
    serde_json::from_value(config)
        .map_err(|error| error.to_string().replace(module.to_str().unwrap(), "mixer.pt"))
}

/// A convolution over four channels, and dropout in training.
fn mixer(folder: &Path) -> PathBuf {
    let code = "  def forward(self: __torch__.Mixer,\n    x: Tensor) -> Tensor:\n    \
                y = torch.conv2d(x, self.weight, self.bias)\n    \
                return torch.dropout(y, 0.5, self.training)\n";
    let parameters: &[(&str, &[i64])] = &[("weight", &[4, 4, 1, 1]), ("bias", &[4])];
    let class = Class { name: "Mixer", code, parameters, children: &[] };
    let path = folder.join("mixer.pt");
    std::fs::write(&path, archive(&class)).unwrap();
    path
}

fn features() -> Tensor {
    Tensor::randn([2, 4, 3, 3], (Kind::Float, Device::Cpu))
}

fn build(config: TorchScriptConfig, site: &Site) -> Result<(nn::VarStore, Box<dyn Seed>)> {
    let store = nn::VarStore::new(Device::Cpu);
    let seed = TorchScript::build(&store.root(), site, config)?;
    Ok((store, seed))
}

fn run(seed: &mut Box<dyn Seed>, x: &Tensor, mode: Mode) -> Tensor {
    seed.forward(x, &Cx::new(mode, 0, "slot")).unwrap()
}

#[test]
fn a_module_with_a_gain_learns() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = "[blueprint]\nid = \"mixer\"\nsummary = \"s\"\ntopologies = [\"cnn\"]\n\
                   capabilities = [\"identity_at_birth\", \"stochastic\"]\n[module]\nchannels = 4\nscale = true\n";
    let config = read(sidecar, &mixer(folder.path())).unwrap();
    let (store, mut seed) = build(config, &Site::new(Topology::CNN, 4)).unwrap();
    let mut names: Vec<String> = store.variables().into_keys().collect();
    names.sort();
    assert_eq!(names, ["gain", "module.bias", "module.weight"]);
    let x = features();
    assert_eq!(max_difference(&run(&mut seed, &x, Mode::Train), &x), 0.0);

    // The gain first, then the module, through the variables of the store.
    for expected in [&["gain"][..], &["gain", "module.bias", "module.weight"]] {
        run(&mut seed, &x, Mode::Train).square().mean(None).backward();
        let mut moved = Vec::new();
        for (name, mut variable) in store.variables() {
            let mut gradient = variable.grad();
            if gradient.defined() && gradient.abs().max().f_double_value(&[]).unwrap() > 0.0 {
                let _ = tch::no_grad(|| variable.f_sub_(&(&gradient * 0.5)).unwrap());
                let _ = gradient.zero_();
                moved.push(name);
            }
        }
        moved.sort();
        assert_eq!(moved, expected);
    }
    // The module computes with the variables of the store.
    let before = run(&mut seed, &x, Mode::Eval);
    assert_eq!(max_difference(&before, &run(&mut seed, &x, Mode::Eval)), 0.0);
    assert!(max_difference(&run(&mut seed, &x, Mode::Train), &run(&mut seed, &x, Mode::Train)) > 0.0);
    let _ = tch::no_grad(|| store.variables()["module.weight"].shallow_clone().zero_());
    assert!(max_difference(&before, &run(&mut seed, &x, Mode::Eval)) > 0.0);
}

#[test]
fn a_module_is_combined_with_the_features_as_configured() {
    let folder = tempfile::tempdir().unwrap();
    let x = Tensor::ones([1, 4, 2, 2], (Kind::Float, Device::Cpu));
    let path = folder.path().join("triple.pt");
    let traced = CModule::create_by_tracing("Triple", "forward", &[x.copy()], &mut |xs| vec![&xs[0] * 3.0]);
    traced.unwrap().save(&path).unwrap();
    let result = |module: &str| {
        let config = read(&format!("{SIDECAR}[module]\n{module}"), &path).unwrap();
        let (store, mut seed) = build(config, &Site::new(Topology::CNN, 4)).unwrap();
        let out = run(&mut seed, &x, Mode::Train).max().f_double_value(&[]).unwrap();
        (out, store.len())
    };
    assert_eq!(result(""), (1.0, 1));
    assert_eq!(result("gain = 0.5"), (2.5, 1));
    assert_eq!(result("scale = false"), (4.0, 0));
    assert_eq!(result("residual = \"none\""), (3.0, 0));
    assert_eq!(result("residual = \"none\"\nscale = true"), (1.0, 1));
    assert_eq!(result("residual = \"none\"\ngain = 0.5"), (2.0, 1));
}

#[test]
fn errors_in_a_module_or_its_sidecar() {
    let folder = tempfile::tempdir().unwrap();
    let good = mixer(folder.path());
    let bytes = std::fs::read(&good).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let cut = write("cut.pt", &bytes[..bytes.len() / 2]);
    let text = write("text.pt", b"weights");
    let empty = write("empty.pt", b"");
    // A complete archive with invalid code.
    let at = bytes.windows(8).position(|w| w == b"forward(").unwrap();
    let mut garbled = bytes;
    garbled[at] = b'(';
    let garbled = write("garbled.pt", &garbled);

    let code =
        "  def forward(self: __torch__.Inner,\n    x: Tensor) -> Tensor:\n    return torch.mul(x, self.b)\n";
    let inner = Class { name: "Inner", code, parameters: &[("b", &[4, 1, 1])], children: &[] };
    let code = "  def forward(self: __torch__.Outer,\n    x: Tensor) -> Tensor:\n    return torch.mul(x, self.a_b)\n";
    let twice = Class { name: "Outer", code, parameters: &[("a_b", &[4, 1, 1])], children: &[("a", inner)] };
    let twice = write("twice.pt", &archive(&twice));

    let mut messages = String::new();
    let mut report = |what: &str, sidecar: &str, module: &Path, site: &Site| {
        let shown = |text: String| text.replace(module.to_str().unwrap(), "mixer.pt");
        let _ = match read(sidecar, module) {
            Err(text) => writeln!(messages, "{what}\n  at load: {text}"),
            Ok(config) => match build(config, site) {
                Ok(_) => writeln!(messages, "{what}\n  good"),
                Err(error) => {
                    let text = shown(error.to_string());
                    assert!(!text.contains('\n'), "{text}");
                    writeln!(messages, "{what}\n  at build: {text}")
                }
            },
        };
    };
    let four = Site::new(Topology::CNN, 4);
    report("good", SIDECAR, &good, &four);
    report("no such file", SIDECAR, &folder.path().join("none.pt"), &four);
    report("cut off", SIDECAR, &cut, &four);
    report("another kind of file", SIDECAR, &text, &four);
    report("empty", SIDECAR, &empty, &four);
    report("garbled", SIDECAR, &garbled, &four);
    report("two parameters of one name", SIDECAR, &twice, &four);
    let at = |module: &str| format!("{SIDECAR}{module}");
    report("other channels", &at("[module]\nchannels = 8"), &good, &four);
    report("no channels", &at("[module]\nchannels = 0"), &good, &four);
    report("a typo", &at("[module]\nresidul = \"add\""), &good, &four);
    report("a wrong word", &at("[module]\nresidual = \"ad\""), &good, &four);
    report("a wrong type", &at("[module]\nscale = 1"), &good, &four);
    report("a gain of nothing", &at("[module]\nscale = false\ngain = 0.5"), &good, &four);
    report(
        "not the identity",
        &at("capabilities = [\"identity_at_birth\"]\n[module]\nscale = false"),
        &good,
        &four,
    );
    report("a layer", &at("[[layer]]\nop = \"conv\""), &good, &four);
    report("no header", "[module]\nchannels = 4", &good, &four);
    report("not TOML", "[blueprint", &good, &four);
    report("another topology", &at("topologies = [\"transformer\"]"), &good, &four);
    insta::assert_snapshot!(messages);

    let error = build(TorchScriptConfig::default(), &four).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Config);
}

#[test]
fn a_module_that_changes_the_shape_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mean.pt");
    let traced = CModule::create_by_tracing("Mean", "forward", &[features()], &mut |xs| {
        vec![xs[0].mean_dim([2, 3].as_slice(), true, None)]
    });
    traced.unwrap().save(&path).unwrap();
    let (_store, mut seed) = build(read(SIDECAR, &path).unwrap(), &Site::new(Topology::CNN, 4)).unwrap();
    let error = seed.forward(&features(), &Cx::new(Mode::Train, 0, "slot")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the module returned [2, 4, 1, 1] for [2, 4, 3, 3]; a seed must keep the shape (contract)"
    );
}
