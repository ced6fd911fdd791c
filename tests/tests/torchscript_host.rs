//! `core::grafted`: real files that PyTorch has written, as hosts.

use kasmina::lifecycle::Stage;
use kasmina::model::{Germinate, Precision};
use kasmina::{Command, ModelConfig, MorphogeneticModel};
use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{ErrorKind, Kind as Part, Mode, PluginError, TapHandler};
use kasmina_registry::{Entry, Policy, Registry, RegistryError, SearchPath};
use kasmina_tests::bench::{Bench, bits, config as bench_config, easy};
use kasmina_tests::{registry, runs};
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::script::{Failed, Fit, Script};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tch::{CModule, Device, Kind, Tensor};

const IMAGES: [i64; 4] = [4, 1, 8, 8];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/script").join(name).with_extension("pt")
}

fn script(name: &str) -> Script {
    Script::load(&std::fs::read(file(name)).unwrap(), Device::Cpu).unwrap()
}

/// The built-in alone: nothing is searched for.
fn entry() -> Entry {
    let registry = Registry::load(&SearchPath::empty(), &Policy::embedded()).unwrap();
    registry.resolve(Part::Host, "core::grafted").unwrap()
}

/// The configuration of a module of images, with some settings more.
fn config(name: &str, more: &Value) -> String {
    let mut config = json!({ "module": file(name), "sample": [1, 8, 8] });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.to_string()
}

fn build(name: &str, more: &Value) -> Result<HostInstance, PluginError> {
    make(&config(name, more))
}

fn make(config: &str) -> Result<HostInstance, PluginError> {
    entry().make_host(Device::Cpu, config).map_err(|error| match error {
        RegistryError::Build { error, .. } => error,
        RegistryError::Refused(refusal) => PluginError::config(format!(
            "{}: {} ({})",
            refusal.path.display(),
            refusal.found,
            refusal.rule.as_str()
        )),
        other => panic!("{other}"),
    })
}

fn names(host: &HostInstance) -> Vec<&str> {
    host.slots().iter().map(|slot| slot.name.as_str()).collect()
}

fn images() -> Tensor {
    let _fork = RngFork::seeded(5).unwrap();
    Tensor::randn(IMAGES, (Kind::Float, Device::Cpu))
}

fn tokens() -> Tensor {
    let _fork = RngFork::seeded(5).unwrap();
    Tensor::randint(17, [4, 6], (Kind::Int64, Device::Cpu))
}

/// Notes what it is shown and lets it pass.
#[derive(Default)]
struct Ledger(Vec<(usize, Vec<i64>)>);

impl TapHandler for Ledger {
    fn at(&mut self, slot: usize, x: Tensor) -> kasmina_plugin_api::Result<Tensor> {
        self.0.push((slot, x.size()));
        Ok(x)
    }
}

/// Refuses at one slot.
struct Refuses(usize, PluginError);

impl TapHandler for Refuses {
    fn at(&mut self, slot: usize, x: Tensor) -> kasmina_plugin_api::Result<Tensor> {
        if slot == self.0 { Err(self.1.clone()) } else { Ok(x) }
    }
}

fn tensors(host: &HostInstance) -> BTreeMap<String, Tensor> {
    host.variables().unwrap().into_iter().map(|v| (v.name, v.tensor)).collect()
}

/// Output and gradients are those of the module that nobody has touched, bit for bit, in either mode.
#[test]
fn a_dormant_module_is_the_untouched_module() {
    tch::set_num_threads(1);
    let modules = [
        ("resnet", false, json!({ "slots": ["**"] })),
        ("digits", false, json!({ "slots": ["body.*"] })),
        ("traced", false, json!({})),
        ("dropped", false, json!({})),
        ("scaled", false, json!({})),
        ("transformer", true, json!({ "slots": ["**"], "sample": [6], "tokens": true })),
        ("recurrent", true, json!({ "sample": [6], "tokens": true })),
    ];
    for (name, is_text, more) in modules {
        for mode in [Mode::Train, Mode::Eval] {
            let x = if is_text { tokens() } else { images() };
            let mut host = build(name, &more).unwrap();
            let mut ledger = Ledger::default();
            let ours = {
                let _fork = RngFork::seeded(1).unwrap();
                host.forward(&x, mode, &mut ledger).unwrap()
            };
            assert!(ledger.0.iter().map(|(slot, _)| *slot).eq(0..host.slots().len()), "{name}");
            assert!(!ledger.0.is_empty());
            let mut bare = CModule::load(file(name)).unwrap();
            if mode.is_train() {
                bare.set_train();
            } else {
                bare.set_eval();
            }
            let theirs = {
                let _fork = RngFork::seeded(1).unwrap();
                tch::jit::set_graph_executor_optimize(false);
                bare.forward_ts(&[&x]).unwrap()
            };
            assert_eq!(bits(&ours), bits(&theirs), "{name}");
            ours.square().sum(Kind::Float).backward();
            theirs.square().sum(Kind::Float).backward();
            let mine = tensors(&host);
            let mut learns = 0;
            for (parameter, theirs) in bare.named_parameters().unwrap() {
                // A tied weight goes by its first name; to its second the archive gives a tensor of its own.
                if name == "transformer" && ["head.weight", "embedding.weight"].contains(&parameter.as_str())
                {
                    continue;
                }
                if theirs.requires_grad() {
                    learns += 1;
                    assert_eq!(bits(&mine[&parameter].grad()), bits(&theirs.grad()), "{name}: {parameter}");
                } else {
                    assert!(!mine[&parameter].requires_grad(), "{name}: {parameter}");
                    assert_eq!(bits(&mine[&parameter]), bits(&theirs));
                }
            }
            assert!(learns >= 4, "{name}");
        }
    }
}

#[test]
fn slots_are_named_by_path_in_the_order_of_forward() {
    let host = build("resnet", &json!({})).unwrap();
    assert_eq!(names(&host), ["stem", "layer1", "layer2"], "not the pool of one position, not the head");
    let all = build("resnet", &json!({ "slots": ["**.norm", "layer*", "layer1.0"] })).unwrap();
    let wanted = ["layer1.0.norm", "layer1.0", "layer1.1.norm", "layer1", "layer2.0.norm", "layer2"];
    assert_eq!(names(&all), wanted);
    let spec = |host: &HostInstance| -> Vec<_> {
        host.slots().iter().map(|s| (s.channels, s.topology.as_str(), s.aliases.join(" "))).collect()
    };
    let wanted =
        [(4, "cnn", "early".to_owned()), (4, "cnn", "mid".to_owned()), (8, "cnn", "late".to_owned())];
    assert_eq!(spec(&host), wanted);
    let text = json!({ "slots": ["layers.*"], "sample": [6], "tokens": true });
    let wanted = [(8, "transformer", "early".to_owned()), (8, "transformer", "mid late".to_owned())];
    assert_eq!(spec(&build("transformer", &text).unwrap()), wanted);
    let other = json!({ "slots": ["layers.0"], "sample": [6], "tokens": true, "topology": "sequence" });
    assert_eq!(build("transformer", &other).unwrap().slots()[0].topology.as_str(), "sequence");
    // A module that returns what a child returned has no slot behind that child.
    assert!(
        !names(&build("transformer", &json!({ "sample": [6], "tokens": true })).unwrap()).contains(&"head")
    );
    // Nor is there one where what follows would write into a seed's features.
    assert_eq!(names(&build("inplace", &json!({})).unwrap()), ["conv", "relu"]);
    // What was traced has its submodules too.
    assert_eq!(names(&build("traced", &json!({})).unwrap()), ["0", "1", "2", "3"]);
}

#[test]
fn every_tensor_of_the_module_is_a_variable_once() {
    let host = build("digits", &json!({ "slots": ["body"] })).unwrap();
    let mut text = String::new();
    for variable in host.variables().unwrap() {
        let (kind, size) = (variable.tensor.kind(), variable.tensor.size());
        let learns = if variable.trainable { "learns" } else { "kept" };
        writeln!(text, "{} {kind:?} {size:?} {learns}", variable.name).unwrap();
    }
    insta::assert_snapshot!(text);
    let text = json!({ "slots": ["norm"], "sample": [6], "tokens": true });
    let tied = tensors(&build("transformer", &text).unwrap());
    assert!(tied.contains_key("embedding.weight") && !tied.contains_key("head.weight"), "{:?}", tied.keys());
    // A recurrent layer's list of weights holds the parameters themselves: moving one moves the output.
    let mut host = build("recurrent", &text).unwrap();
    let before = host.forward(&tokens(), Mode::Eval, &mut Ledger::default()).unwrap();
    let _ = tch::no_grad(|| tensors(&host)["lstm.weight_ih_l0"].shallow_clone().fill_(0.3));
    let after = host.forward(&tokens(), Mode::Eval, &mut Ledger::default()).unwrap();
    assert_ne!(bits(&before), bits(&after));
}

#[test]
fn running_statistics_move_in_training_alone_and_building_moves_nothing() {
    let of = |host: &HostInstance| -> Vec<(String, Vec<f64>)> {
        let buffers = host.variables().unwrap().into_iter().filter(|v| !v.trainable);
        let value = |t: &Tensor| Vec::<f64>::try_from(t.to_kind(Kind::Double).reshape([-1])).unwrap();
        buffers.map(|v| (v.name, value(&v.tensor))).collect()
    };
    for name in ["resnet", "dropped", "scaled"] {
        let mut host = build(name, &json!({})).unwrap();
        let fresh = of(&host);
        assert!(
            fresh
                .iter()
                .filter(|(n, _)| n.ends_with("mean") || n.ends_with("seen"))
                .all(|(_, v)| v.iter().all(|v| *v == 0.0))
        );
        let _ = host.forward(&images(), Mode::Eval, &mut Ledger::default()).unwrap();
        assert_eq!(fresh, of(&host), "{name}");
        let held = tensors(&host);
        for _ in 0..2 {
            let _ = host.forward(&images(), Mode::Train, &mut Ledger::default()).unwrap();
        }
        let moved = of(&host);
        for ((buffer, before), (_, after)) in fresh.iter().zip(&moved) {
            assert_ne!(before, after, "{name}: {buffer}");
        }
        if name == "dropped" {
            assert_eq!(moved, [("seen".to_owned(), vec![8.0])], "assigned to, and still the same tensor");
            assert_eq!(held["seen"].int64_value(&[]), 8);
        }
    }
}

#[test]
fn two_of_one_file_share_nothing() {
    let (mut one, other) = (build("resnet", &json!({})).unwrap(), build("resnet", &json!({})).unwrap());
    let before: Vec<_> = tensors(&other).values().map(|t| bits(&t.to_kind(Kind::Float))).collect();
    let _ = one.forward(&images(), Mode::Train, &mut Ledger::default()).unwrap();
    tch::no_grad(|| tensors(&one).into_values().for_each(|mut t| drop(t.fill_(2.0))));
    let after: Vec<_> = tensors(&other).values().map(|t| bits(&t.to_kind(Kind::Float))).collect();
    assert_eq!(before, after);
}

/// A tap that only passes on is no operation, and a step waits for nothing that the module does not wait for.
#[test]
fn a_tap_runs_nothing() {
    let ops = |slots: &[&str]| {
        let mut script = script("resnet");
        script.attach(slots).unwrap();
        script.train(true).unwrap();
        let counter = OpCounter::start().unwrap();
        let _ = script.forward::<()>(&images(), &mut |_, x| Ok(x)).unwrap();
        counter.finish().unwrap()
    };
    let bare = ops(&[]);
    assert_eq!(bare, ops(&["layer1", "layer1.0", "layer1.0.conv", "stem", "layer2"]));
    assert!(
        bare.contains_key("aten::batch_norm") && !bare.contains_key("aten::_local_scalar_dense"),
        "{bare:?}"
    );
}

#[test]
fn an_error_of_a_tap_is_that_error() {
    let mut host = build("resnet", &json!({})).unwrap();
    let said = PluginError::new(ErrorKind::Unsupported, "not today").with_code(7);
    let failed = host.forward(&images(), Mode::Train, &mut Refuses(1, said.clone())).unwrap_err();
    assert_eq!(failed, said);
    // Nothing is left of it.
    let mut ledger = Ledger::default();
    let _ = host.forward(&images(), Mode::Train, &mut ledger).unwrap();
    assert_eq!(ledger.0, [(0, vec![4, 4, 8, 8]), (1, vec![4, 4, 8, 8]), (2, vec![4, 8, 8, 8])]);
}

#[test]
fn a_panic_in_a_tap_goes_on_behind_the_module() {
    let mut script = script("resnet");
    script.attach(&["stem"]).unwrap();
    let x = images();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = script.forward::<()>(&x, &mut |_, _| std::panic::panic_any(7_u8));
    }));
    assert_eq!(caught.unwrap_err().downcast_ref::<u8>(), Some(&7));
    assert!(script.forward::<()>(&x, &mut |_, x| Ok(x)).is_ok());
}

/// Inside a tap of one module another runs, with taps of its own; one that fails there leaves the outer one
/// as it was.
#[test]
fn modules_within_modules_keep_their_taps_apart() {
    let (mut outer, mut inner) = (script("resnet"), script("digits"));
    outer.attach(&["layer1", "layer2"]).unwrap();
    inner.attach(&["body.0", "body.1"]).unwrap();
    let x = images();
    let mut seen = Vec::new();
    let done = outer.forward::<&str>(&x, &mut |slot, features| {
        seen.push(("outer", slot));
        let within = inner.forward::<&str>(&x, &mut |slot, x| {
            seen.push(("inner", slot));
            if slot == 1 { Err("enough") } else { Ok(x) }
        });
        assert!(matches!(within, Err(Failed::Tap("enough"))));
        Ok(features)
    });
    assert!(done.is_ok());
    let wanted = [("outer", 0), ("inner", 0), ("inner", 1), ("outer", 1), ("inner", 0), ("inner", 1)];
    assert_eq!(seen, wanted);
}

#[test]
fn calls_are_listed_in_the_order_in_which_they_return() {
    let mut text = String::new();
    for name in ["resnet", "shared", "pair", "transformer", "traced", "frozen"] {
        writeln!(text, "{name}").unwrap();
        for call in script(name).calls().unwrap() {
            match call.fit {
                Fit::Fits => writeln!(text, "  {}", call.path).unwrap(),
                other => writeln!(text, "  {}: {other:?}", call.path).unwrap(),
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn messages() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(file("resnet")).unwrap();
    let bad = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        json!({ "module": path, "sample": [1, 8, 8] }).to_string()
    };
    let mut hollow = whole.clone();
    let middle = whole.len() / 2;
    hollow[middle..middle + 2000].fill(0);
    let text = json!({ "sample": [6], "tokens": true });
    let with = |more: &Value, slot: &str| {
        let mut more = more.clone();
        more["slots"] = json!([slot]);
        more
    };
    let cases = [
        ("default", String::new()),
        ("no sample", json!({ "module": file("resnet") }).to_string()),
        ("unknown setting", config("resnet", &json!({ "slot": ["stem"] }))),
        ("missing", json!({ "module": dir.path().join("none.pt"), "sample": [1, 8, 8] }).to_string()),
        ("text", bad("text.pt", b"weights")),
        ("cut off", bad("cut.pt", &whole[..whole.len() - 400])),
        ("no module in it", bad("empty.pt", &zip())),
        ("no forward", config("nameless", &json!({}))),
        ("two inputs", config("two_inputs", &json!({}))),
        ("wrong sample", config("resnet", &json!({ "sample": [3, 8, 8] }))),
        ("wrong rank", config("resnet", &json!({ "sample": [8] }))),
        ("unmatched", config("resnet", &json!({ "slots": ["layer9"] }))),
        ("unmatched pattern", config("resnet", &json!({ "slots": ["stem", "layer?.*.act"] }))),
        ("no map", config("resnet", &json!({ "slots": ["fc"] }))),
        ("no map by pattern", config("resnet", &json!({ "slots": ["f*"] }))),
        ("twice", config("shared", &json!({ "slots": ["twice"] }))),
        ("maybe", config("shared", &json!({ "slots": ["maybe"] }))),
        ("tuple", config("pair", &json!({ "slots": ["halves"] }))),
        ("tuple of a layer", config("recurrent", &with(&text, "lstm"))),
        ("overwritten", config("inplace", &json!({ "slots": ["norm"] }))),
        ("frozen", config("frozen", &json!({}))),
        ("floats for tokens", config("transformer", &json!({ "sample": [6] }))),
    ];
    let mut said = String::new();
    for (name, config) in cases {
        let error = make(&config).expect_err(name).to_string();
        let error = error.replace(file("").parent().unwrap().to_str().unwrap(), "FIXTURES");
        writeln!(said, "{name}:\n    {}", error.replace(dir.path().to_str().unwrap(), "DIR")).unwrap();
    }
    // Where a column stands depends on how long the path of this checkout is.
    insta::with_settings!({ filters => vec![(r"column \d+", "column [N]")] }, {
        insta::assert_snapshot!(said);
    });
    let damaged = make(&bad("hollow.pt", &hollow)).unwrap_err();
    assert_eq!(damaged.kind, ErrorKind::Config);
    assert!(damaged.message.contains("it is no module that torch.jit.save has written: "), "{damaged}");
    // Nobody needs a module to read a configuration, or to list the host.
    assert!(entry().check_config("").is_ok());
    assert_eq!(entry().record().capabilities, ["not_capturable"]);
    insta::assert_json_snapshot!("the_schema", entry().schema());
}

/// The smallest archive there is: nothing, in proper form.
fn zip() -> Vec<u8> {
    let name = b"a/data";
    let mut bytes = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([0; 12]);
    bytes.extend([6, 0, 0, 0]);
    bytes.extend(name);
    let directory = bytes.len() as u32;
    bytes.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
    bytes.extend([0; 12]);
    bytes.extend([6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(name);
    let length = bytes.len() as u32 - directory;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend(length.to_le_bytes());
    bytes.extend(directory.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn model(name: &str, slots: &[&str], precision: Precision) -> ModelConfig {
    let host_config = config(name, &json!({ "slots": ["stem", "layer1.*", "layer2"] }));
    let host = "core::grafted".to_owned();
    ModelConfig { host, host_config, precision, task: easy(), ..bench_config(slots, "contiguous") }
}

#[test]
fn seeds_grow_in_a_module_to_the_end() {
    let mut alone = Bench::over(&model("resnet", &[], Precision::Fp32), &[16, 1, 8, 8]);
    let mut bench = Bench::over(&model("resnet", &["layer1.0", "late"], Precision::Fp32), &[16, 1, 8, 8]);
    let slots: Vec<_> = bench.model.slots().iter().map(|slot| slot.name().to_owned()).collect();
    assert_eq!(slots, ["layer1.0", "layer2"]);
    bench.germinate("layer1.0", "conv_light", "linear").unwrap();
    bench.germinate("layer2", "norm", "sigmoid").unwrap();
    bench.epoch(20.0, 0.0);
    for _ in 0..3 {
        alone.step();
    }
    assert_eq!(bench.model.reports()[0].stage, Stage::Training);
    // While they train, the module is what it would be alone; layers before and after learn.
    for _ in 0..4 {
        alone.step();
        bench.step();
        assert_eq!(bits(&alone.logits), bits(&bench.logits));
    }
    bench.reach(Stage::Holding);
    bench.clear();
    bench.backward();
    for (name, gradient) in bench.host_gradients() {
        assert!(gradient.abs().max().double_value(&[]) > 0.0, "{name}");
    }
    bench.epoch(40.0, 2.0);
    for slot in ["layer1.0", "layer2"] {
        bench.execute(&Command::Advance { slot: slot.into(), target: Some(Stage::Fossilized) }).unwrap();
    }
    assert!(bench.model.reports().iter().all(|r| r.stage == Stage::Fossilized));
    let before = bench.loss(Mode::Train);
    for _ in 0..20 {
        bench.step();
    }
    assert!(bench.loss(Mode::Train) < before);
}

#[test]
fn a_module_moves_with_its_values() {
    let mut bench = Bench::over(&model("resnet", &["mid"], Precision::Fp32), &[16, 1, 8, 8]);
    bench.germinate("mid", "conv_light", "linear").unwrap();
    bench.reach(Stage::Blending);
    let (weights, before) =
        (bench.weights(), tch::no_grad(|| bench.model.forward(&bench.x, Mode::Eval)).unwrap());
    bench.model.to_device(Device::Cpu, &mut bench.optimizer).unwrap();
    assert_eq!(weights, bench.weights());
    let after = tch::no_grad(|| bench.model.forward(&bench.x, Mode::Eval)).unwrap();
    assert_eq!(bits(&before), bits(&after), "running statistics came along");
    bench.step();
    assert_ne!(weights, bench.weights());
}

#[test]
fn bfloat16_sees_what_float32_sees() {
    let logits = |precision| {
        let mut bench = Bench::over(&model("resnet", &["late"], precision), &[16, 1, 8, 8]);
        let dtype = bench.model.slots()[0].features().dtype;
        let out = tch::no_grad(|| bench.model.forward(&bench.x, Mode::Train)).unwrap();
        bench.germinate("late", "conv_light", "linear").unwrap();
        bench.reach(Stage::Blending);
        let first = bench.loss(Mode::Train);
        (0..15).for_each(|_| bench.step());
        assert!(bench.loss(Mode::Train) < first);
        (dtype, out)
    };
    let ((full_kind, full), (half_kind, half)) = (logits(Precision::Fp32), logits(Precision::Bf16));
    assert_eq!((full_kind, half_kind), (Kind::Float, Kind::BFloat16));
    assert!(half.isfinite().all().int64_value(&[]) == 1);
    let far = ((&half - &full).norm() / full.norm()).double_value(&[]);
    assert!(far > 0.0 && far < 0.05, "{far}");
}

/// A language model on tokens, with a seed for sequences.
#[test]
fn a_transformer_on_tokens_takes_seeds() {
    tch::set_num_threads(1);
    let registry = registry(&["sequence"]);
    let host_config = json!({
        "module": file("transformer"), "sample": [6], "tokens": true, "slots": ["layers.*"]
    });
    let wanted = ModelConfig {
        host: "core::grafted".into(),
        host_config: host_config.to_string(),
        ..bench_config(&["early"], "contiguous")
    };
    let x = tokens();
    let mut model = MorphogeneticModel::build(&registry, &wanted, &x).unwrap();
    let mut optimizer = Optimizer::new(AdamW::default(), 5e-3);
    model.register_host(&mut optimizer).unwrap();
    let germinate = Germinate::new("layers.0", "first", "position_mlp", "linear");
    model.execute(&Command::Germinate(germinate), &registry, &mut optimizer).unwrap();
    let mut losses = Vec::new();
    for _ in 0..20 {
        let logits = model.forward(&x, Mode::Train).unwrap();
        let loss = logits.view([-1, 17]).cross_entropy_for_logits(&x.view([-1]));
        loss.backward();
        model.capture_gradients().unwrap();
        optimizer.step().unwrap();
        losses.push(loss.double_value(&[]));
    }
    assert!(losses[19] < losses[0] * 0.9, "{losses:?}");
}

/// As from the command line: a run of the trainer over a module of the user's own.
#[test]
fn a_run_over_a_module_grows_and_comes_out_the_same_twice() {
    let registry = registry(&[]);
    let dir = tempfile::tempdir().unwrap();
    let run = |out: &str| {
        let text = format!(
            "seed = 3\nepochs = 12\nslots = [\"body.0\", \"body.1\"]\n[host]\nid = \"core::grafted\"\n[host.config]\n\
             module = {:?}\nsample = [1, 8, 8]\nslots = [\"body.*\"]\n",
            file("digits")
        );
        let config: kasmina_trainer::RunConfig = toml::from_str(&text).unwrap();
        let trainer = kasmina_trainer::Trainer::prepare(config, &registry).unwrap();
        let out = dir.path().join(out);
        let summary = trainer.run(Some(&out), &mut (), &AtomicBool::new(false)).unwrap();
        (serde_json::to_value(summary).unwrap(), runs::bits(&out))
    };
    let ((summary, bits), (_, again)) = (run("a"), run("b"));
    assert!(summary["final_val_accuracy"].as_f64().unwrap() > 70.0, "{summary}");
    assert!(summary["total_params"].as_u64() > summary["host_params"].as_u64(), "{summary}");
    assert_eq!(bits, again);
}

/// A relative path of a module means the same file wherever the run's own configuration is given again.
#[test]
fn a_run_finds_its_module_again_from_anywhere() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::copy(file("digits"), dir.path().join("net.pt")).unwrap();
    let text = "epochs = 1\ndevice = \"cpu\"\nslots = [\"body.0\"]\n[host]\nid = \"core::grafted\"\n[host.config]\n\
                module = \"net.pt\"\nsample = [1, 8, 8]\nslots = [\"body.*\"]\n";
    std::fs::write(dir.path().join("run.toml"), text).unwrap();
    let run = |from: &std::path::Path, config: &std::path::Path| {
        let mut command = kasmina_tests::kasmina(from);
        command.args(["train", "--out", "out", "--config"]).arg(config);
        let (_, stderr, code) = kasmina_tests::output(command);
        assert_eq!(code, Some(0), "{stderr}");
    };
    run(dir.path(), std::path::Path::new("run.toml"));
    run(elsewhere.path(), &dir.path().join("out/config.toml"));
}
