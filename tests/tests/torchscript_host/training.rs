//! Training a module with seeds: in a model, in bfloat16, on tokens, and in a run.

use crate::modules::{config, file, tokens};
use kasmina::lifecycle::Stage;
use kasmina::model::{Germinate, Precision};
use kasmina::{Command, ModelConfig, MorphogeneticModel};
use kasmina_plugin_api::Mode;
use kasmina_tests::bench::{Bench, bits, config as bench_config, easy};
use kasmina_tests::{registry, runs};
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use serde_json::json;
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind};

fn model(name: &str, slots: &[&str], precision: Precision) -> ModelConfig {
    let host_config = config(name, &json!({ "slots": ["stem", "layer1.*", "layer2"] }));
    let host = "core::grafted".to_owned();
    ModelConfig { host, host_config, precision, task: easy(), ..bench_config(slots, "contiguous") }
}

#[test]
fn seeds_grow_in_a_module_until_they_fossilize() {
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
    // While the seeds train at alpha 0, the module computes what it computes without them.
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
fn a_moved_module_keeps_its_values() {
    let mut bench = Bench::over(&model("resnet", &["mid"], Precision::Fp32), &[16, 1, 8, 8]);
    bench.germinate("mid", "conv_light", "linear").unwrap();
    bench.reach(Stage::Blending);
    let (weights, before) =
        (bench.weights(), tch::no_grad(|| bench.model.forward(&bench.x, Mode::Eval)).unwrap());
    bench.model.to_device(Device::Cpu, &mut bench.optimizer).unwrap();
    assert_eq!(weights, bench.weights());
    let after = tch::no_grad(|| bench.model.forward(&bench.x, Mode::Eval)).unwrap();
    assert_eq!(bits(&before), bits(&after), "the running statistics are moved too");
    bench.step();
    assert_ne!(weights, bench.weights());
}

#[test]
fn a_module_computes_in_bfloat16_close_to_float32() {
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

/// The module is a language model, the seed serves sequences.
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

/// A run of the trainer with a module as its host.
#[test]
fn a_run_with_a_module_grows_and_is_reproducible() {
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

/// The configuration that a run writes has the absolute path of its module.
#[test]
fn the_configuration_of_a_run_finds_its_module_from_another_directory() {
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
