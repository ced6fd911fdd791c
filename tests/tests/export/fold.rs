//! `kasmina export --fold`: seeds that are linear in each position become part of the layers beside them.

use kasmina_export::{Network, Source};
use kasmina_registry::{Origin, Policy, Registry, SearchPath};
use kasmina_tests::python::python;
use kasmina_tests::{SHIPPED, kasmina, output, say, shipped};
use kasmina_trainer::run::Choice;
use std::fs;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// A 1x1 convolution without bias beside a shortcut.
const MIX: &str = "[blueprint]\nid = \"mix\"\nsummary = \"x + g * conv1x1(x)\"\ntopologies = [\"cnn\"]\n\
    [[layer]]\nop = \"conv\"\nchannels = \"C\"\nkernel = 1\nbias = false\n[output]\nresidual = \"add\"\ngain = 0.5\n";
/// A factor for each channel.
const FACTORS: &str = "[blueprint]\nid = \"factors\"\nsummary = \"x + g * s * x\"\ntopologies = [\"cnn\"]\n\
    [[layer]]\nop = \"scale\"\n[output]\nresidual = \"add\"\ngain = 0.5\n";

/// A function that is linear for small features, and not for large ones.
const HIDDEN: &str = "[blueprint]\nid = \"hidden\"\nsummary = \"x + g * 1e4 tanh(x / 1e4)\"\ntopologies = [\"cnn\"]\n\
    [[layer]]\nop = \"scale\"\nvalue = 0.0001\n[[layer]]\nop = \"tanh\"\n[[layer]]\nop = \"scale\"\n\
    value = 10000.0\n[output]\nresidual = \"add\"\ngain = 0.5\n";

fn run(home: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = kasmina(home);
    command.args(arguments);
    output(command)
}

/// Trains a run of the digits task with preinstalled seeds, given as slot and blueprint.
fn train(home: &Path, seeds: &[(&str, &str)], settings: &str) {
    for (name, text) in [("mix", MIX), ("factors", FACTORS), ("hidden", HIDDEN)] {
        fs::write(home.join(format!("{name}.blueprint.toml")), text).unwrap();
    }
    let seed =
        |(slot, blueprint): &(&str, &str)| format!("{{ slot = \"{slot}\", blueprint = \"{blueprint}\" }}");
    let seeds: Vec<String> = seeds.iter().map(seed).collect();
    let text = format!(
        "epochs = 2\ndevice = \"cpu\"\ncontroller = \"none\"\npreinstalled = [{}]\n{settings}\n\
         [data]\ntrain_samples = 256\nvalidation_samples = 64\n",
        seeds.join(", ")
    );
    fs::write(home.join("run.toml"), text).unwrap();
    let _ = fs::remove_dir_all(home.join("run"));
    let (_, stderr, code) =
        run(home, &["train", "--config", "run.toml", "--out", "run", "--plugin-path", "."]);
    assert_eq!(code, Some(0), "{stderr}");
}

/// Two seeds go into the convolutions after them, one into the head behind the average, in every format.
#[test]
fn linear_seeds_become_part_of_the_layers_beside_them() {
    let home = tempfile::tempdir().unwrap();
    train(home.path(), &[("early", "mix"), ("mid", "factors"), ("late", "graph")], "");
    let x = Tensor::randn([5, 1, 8, 8], (Kind::Float, Device::Cpu));
    let at = |name: &str| home.path().join(name);
    let mut path = SearchPath::empty();
    path.extend(SHIPPED.iter().map(|name| shipped(name)), Origin::Named);
    path.extend(["mix", "factors"].map(|name| at(&format!("{name}.blueprint.toml"))), Origin::Named);
    let registry = Registry::load(&path, &Policy::embedded()).unwrap();
    let forward = |source: &Source| Network::of(source, &registry, Device::Cpu).unwrap().forward(&x).unwrap();
    let wanted = forward(&Source::open(&at("run"), Choice::Last).unwrap());
    let export = |more: &[&str], name: &str| {
        let fold = ["export", "run", "--fold", "--plugin-path", ".", "--to", name];
        let (stdout, stderr, code) = run(home.path(), &[&fold[..], more].concat());
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    let told = export(&[], "folded");
    let (head, rest) = told.split_once("largest difference ").unwrap();
    let (difference, rest) = rest.split_once(' ').unwrap();
    assert!(difference.parse::<f64>().unwrap() <= 1e-5, "{told}");
    insta::assert_snapshot!(format!("{head}largest difference D {rest}"));
    let folded = Source::open(&at("folded"), Choice::Last).unwrap();
    let relative = |found: Tensor| ((found - &wanted).abs().max() / wanted.abs().max()).double_value(&[]);
    let difference = relative(forward(&folded));
    assert!(difference <= 1e-5, "{difference}");
    let Source::Export(exported) = &folded else { panic!("it is an export") };
    assert!(exported.record().structure.seeds.is_empty());
    // Kasmina needs no plugin of the seeds for it.
    let registry_without = kasmina_tests::registry(&[]);
    let alone = Network::of(&folded, &registry_without, Device::Cpu).unwrap().forward(&x).unwrap();
    assert!(alone.equal(&forward(&folded)));
    export(&["--format", "torchscript"], "script");
    export(&["--format", "safetensors"], "weights");
    let Some(mut python) = python("linear_seeds_become_part_of_the_layers_beside_them") else { return };
    Tensor::write_safetensors(&[("x", &x), ("y", &wanted)], at("io.safetensors")).unwrap();
    python.arg("-c").arg(
        "import sys, torch\nfrom safetensors.torch import load_file\nsys.path.insert(0, 'folded')\n\
         from modeling_kasmina import load\nio = load_file('io.safetensors')\n\
         nets = [load('folded'), torch.jit.load('script/model.pt')]\n\
         assert not list(nets[0].slots)\n\
         print(*((n(io['x']) - io['y']).abs().max().item() / io['y'].abs().max().item() for n in nets))\n",
    );
    let out = python.current_dir(home.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let found = String::from_utf8(out.stdout).unwrap();
    say(&format!("folded, in Kasmina {difference:.1e}, generated file and TorchScript {}", found.trim()));
    for difference in found.split_whitespace() {
        assert!(difference.parse::<f64>().unwrap() <= 1e-5, "{found}");
    }
}

/// A seed without effect goes without a layer, where no other one could be folded. A function that only
/// large features show not to be linear stays.
#[test]
fn seeds_without_effect_go_and_hidden_nonlinearities_stay() {
    let home = tempfile::tempdir().unwrap();
    let resnet = "host = { id = \"resnet\", config = { depth = 8, base_channels = 4, in_channels = 1 } }";
    train(home.path(), &[("mid", "noop"), ("late", "noop")], resnet);
    let (stdout, stderr, code) = run(home.path(), &["export", "run", "--fold", "--to", "out"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout.matches("nothing, because it changes nothing").count(), 2, "{stdout}");

    train(home.path(), &[("late", "hidden")], "");
    let (stdout, stderr, code) =
        run(home.path(), &["export", "run", "--fold", "--plugin-path", ".", "--to", "other", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let told: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["folding"]["kept"][0]["slot"], "block2", "{told}");
}

/// Seeds that are not linear stay as layers, and the model card lists both.
#[test]
fn other_seeds_stay_as_layers() {
    let home = tempfile::tempdir().unwrap();
    train(home.path(), &[("mid", "conv_light"), ("late", "graph")], "");
    let (stdout, stderr, code) = run(home.path(), &["export", "run", "--fold", "--to", "out", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let told: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["folding"]["folded"][0]["into"], "head.weight");
    assert_eq!(told["folding"]["kept"][0]["slot"], "block1");
    assert_eq!(told["seeds"], serde_json::json!(["block1"]));
    let card = fs::read_to_string(home.path().join("out/README.md")).unwrap();
    let seeds = &card[card.find("## Seeds in").unwrap()..card.find("## Plugins").unwrap()];
    insta::assert_snapshot!(seeds);
}

/// One seed that cannot be folded: nothing is written, and each reason is told.
#[test]
fn each_place_that_cannot_contain_a_seed_is_named() {
    let home = tempfile::tempdir().unwrap();
    let sequences = "task = \"addition\"\nslots = [\"early\", \"late\"]\nhost = { id = \"transformer\", config = { n_layer = 2 } }";
    let mut told = String::new();
    for (name, seeds, settings) in [
        ("a bias before a convolution without one", [("mid", "graph"), ("late", "graph")].as_slice(), ""),
        (
            "a shortcut around the place",
            &[("mid", "mix"), ("late", "factors")],
            "host = { id = \"resnet\", config = { depth = 8, base_channels = 4, in_channels = 1 } }",
        ),
        ("sequences", &[("early", "lora"), ("late", "lora")], sequences),
    ] {
        train(home.path(), seeds, settings);
        let (stdout, stderr, code) =
            run(home.path(), &["export", "run", "--fold", "--plugin-path", ".", "--to", "out"]);
        assert!(
            code == Some(1) && stdout.is_empty() && !home.path().join("out").exists(),
            "{name}: {stdout}"
        );
        told.push_str(&format!("{name}\n{stderr}\n"));
    }
    insta::assert_snapshot!(told);
}
