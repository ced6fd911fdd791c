//! Declared blueprints and TorchScript seeds: files in the plugin path that need no compiler.

use kasmina_plugin_api::{Cx, Kind, Mode, Site, Topology};
use kasmina_registry::{Origin, Policy, Registry, RegistryError, Rule, SearchPath};
use kasmina_tests::{kasmina, output, shipped};
use std::path::{Path, PathBuf};
use tch::{Device, Kind as Dtype, Tensor};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/declared/examples");

fn load(files: &[PathBuf]) -> Result<Registry, RegistryError> {
    let mut path = SearchPath::empty();
    path.extend(files.iter().cloned(), Origin::Named);
    Registry::load(&path, &Policy::embedded())
}

fn examples() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(EXAMPLES).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn a_declared_blueprint_is_an_entry_like_any_other() {
    // The interpreter need not come first in the path.
    let mut files = examples();
    files.push(shipped("kasmina_declared"));
    let registry = load(&files).unwrap();
    for file in examples() {
        let name = file.file_name().unwrap().to_str().unwrap().strip_suffix(".blueprint.toml").unwrap();
        let name = name.replace('-', "_");
        let entry = registry
            .entries()
            .into_iter()
            .find(|e| e.plugin().name == name)
            .unwrap_or_else(|| panic!("there is no entry of {name}"));
        assert_eq!(entry.plugin().generation().map(str::len), Some(12));
        let topology = entry.record().topologies.first().map_or(Topology::CNN, |t| Topology::from_name(t));
        let shape: &[i64] = if topology == Topology::CNN { &[2, 16, 6, 6] } else { &[2, 5, 16] };
        let mut seed = entry.make_seed(&Site::new(topology, 16), "").unwrap();
        let x = Tensor::randn(shape, (Dtype::Float, Device::Cpu));
        let y = seed.forward(&x, &Cx::new(Mode::Eval, 0, "here")).unwrap();
        assert_eq!(y.size(), x.size());
        let wrong = entry.check_config("{\"nonsense\": 1}").unwrap_err().to_string();
        assert!(wrong.contains("nonsense") && wrong.len() < 400, "{wrong}");
    }
}

#[test]
fn a_declared_blueprint_that_cannot_be_built_is_refused_on_loading() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = String::new();
    let head = "[blueprint]\nid = \"bad\"\nsummary = \"does not work\"\ntopologies = [\"cnn\"]\n\n";
    let cases = [
        ("typo", "[[layer]]\nop = \"conf\"\nchannels = \"C\"\nkernel = 3\n"),
        ("shape", "[[layer]]\nop = \"conv\"\nchannels = \"C * 2\"\nkernel = 3\n"),
        (
            "cycle",
            "[[layer]]\nname = \"a\"\nop = \"relu\"\nfrom = \"b\"\n\n[[layer]]\nname = \"b\"\nop = \"relu\"\nfrom = \"a\"\n",
        ),
        ("syntax", "[[layer]\nop = \"relu\"\n"),
    ];
    for (name, text) in cases {
        let file = folder.path().join(format!("{name}.blueprint.toml"));
        std::fs::write(&file, format!("{head}{text}")).unwrap();
        let Err(RegistryError::Refused(refusal)) = load(&[shipped("kasmina_declared"), file]) else {
            panic!("{name} is accepted")
        };
        table += &format!("{name} {}: {}\n", refusal.rule.as_str(), refusal.found);
    }
    insta::assert_snapshot!(table);

    let Err(RegistryError::Refused(refusal)) = load(&examples()[..1]) else { panic!("without interpreter") };
    assert_eq!(refusal.rule, Rule::Interpreter);
    let module = folder.path().join("lonely.pt");
    std::fs::write(&module, "no module").unwrap();
    let Err(RegistryError::Refused(refusal)) = load(&[module]) else { panic!("without sidecar") };
    assert_eq!(refusal.rule, Rule::Records);
}

#[test]
fn a_torchscript_module_grows_like_a_seed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doubler.pt");
    let x = Tensor::ones([2, 4, 6, 6], (Dtype::Float, Device::Cpu));
    let module = tch::CModule::create_by_tracing("doubler", "forward", &[x.shallow_clone()], &mut |xs| {
        vec![&xs[0] * 2.0]
    })
    .unwrap();
    module.save(&file).unwrap();
    let sidecar = "[blueprint]\nid = \"doubler\"\nsummary = \"twice as much\"\ntopologies = [\"cnn\"]\n\n[module]\nchannels = 4\n";
    std::fs::write(folder.path().join("doubler.pt.toml"), sidecar).unwrap();
    let registry = load(&[shipped("kasmina_declared"), file.clone()]).unwrap();
    let entry = registry.resolve(Kind::Blueprint, "doubler").unwrap();
    assert!(entry.declares(kasmina_plugin_api::Capability::NotCapturable));
    // The seed is built from the bytes that were hashed, even if the file has changed since.
    std::fs::write(&file, "overwritten").unwrap();
    let mut seed = entry.make_seed(&Site::new(Topology::CNN, 4), "").unwrap();
    let y = seed.forward(&x, &Cx::new(Mode::Train, 0, "here")).unwrap();
    assert_eq!(y, x, "the gain makes it the identity at birth");
    assert!(y.requires_grad(), "and it can learn");
    let error = entry.make_seed(&Site::new(Topology::CNN, 8), "").unwrap_err().to_string();
    assert!(error.contains('4') && error.contains('8'), "{error}");
}

/// It is listed, written to the lock file, grown in a run, and passes `plugins check`.
#[test]
fn a_run_grows_a_declared_blueprint() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("plugins")).unwrap();
    let bottleneck = examples().into_iter().find(|f| f.to_str().unwrap().contains("bottleneck")).unwrap();
    let name = bottleneck.file_name().unwrap();
    std::fs::copy(&bottleneck, home.path().join("plugins").join(name)).unwrap();
    let run = |args: &[&str]| {
        let mut command = kasmina(home.path());
        command.args(args);
        output(command)
    };
    let (out, error, _) = run(&["plugins", "list"]);
    let id = id_of(&bottleneck);
    assert!(out.contains(&id), "{out}{error}");
    let (out, error, code) = run(&["train", "--blueprint", &id, "--epochs", "30", "--out", "run", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(summary["germinated"].as_u64().unwrap() > 0);
    let plugins = summary["plugins"].as_array().unwrap();
    assert!(plugins.iter().any(|p| p["path"].as_str().is_some_and(|p| p.ends_with(".blueprint.toml"))));
    let lock = std::fs::read_to_string(home.path().join("plugins.lock")).unwrap();
    assert!(lock.contains("bottleneck"), "{lock}");
    let (out, _, code) = run(&["plugins", "check", &format!("plugins/{}", name.to_str().unwrap())]);
    assert_eq!(code, Some(0), "{out}");
}

fn id_of(file: &Path) -> String {
    let text: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    text["blueprint"]["id"].as_str().unwrap().to_owned()
}
