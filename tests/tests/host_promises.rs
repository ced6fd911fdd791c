//! The shipped hosts: every parameter learns, in both precisions, and features are not copied between layers.

use kasmina::model::{Germinate, Precision};
use kasmina::{Command, ModelConfig, MorphogeneticModel};
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use kasmina_torch_ext::rng::RngFork;
use tch::{Device, Kind, Tensor};

struct Case {
    host: &'static str,
    config: &'static str,
    blueprint: &'static str,
    tokens: bool,
}

const CASES: [Case; 4] = [
    Case { host: "cnn", config: r#"{"base_channels": 8}"#, blueprint: "conv_light", tokens: false },
    Case {
        host: "resnet",
        config: r#"{"depth": 8, "base_channels": 8}"#,
        blueprint: "depthwise",
        tokens: false,
    },
    Case {
        host: "resnet",
        config: r#"{"depth": 8, "base_channels": 8, "shortcut": "projection"}"#,
        blueprint: "attention",
        tokens: false,
    },
    Case {
        host: "transformer",
        config: r#"{"vocab_size": 11, "n_embd": 16, "n_head": 2, "n_layer": 3, "block_size": 8, "dropout": 0.0}"#,
        blueprint: "attention",
        tokens: true,
    },
];

impl Case {
    fn batch(&self) -> (Tensor, Tensor) {
        let _fork = RngFork::seeded(5).unwrap();
        let whole = (Kind::Int64, Device::Cpu);
        if self.tokens {
            return (Tensor::randint(11, [4, 8], whole), Tensor::randint(11, [4, 8], whole).view(-1));
        }
        // Channels-last, as tasks make them.
        let images = Tensor::randn([4, 32, 32, 3], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]);
        (images, Tensor::randint(10, [4], whole))
    }

    fn model(&self, slots: &[&str], precision: Precision) -> (MorphogeneticModel, Optimizer) {
        let registry = kasmina_tests::registry(&[]);
        let config = ModelConfig {
            host: self.host.into(),
            host_config: self.config.into(),
            slots: slots.iter().map(ToString::to_string).collect(),
            precision,
            // Without measurements, whose operators would be counted too.
            fast_mode: true,
            ..ModelConfig::default()
        };
        let mut model = MorphogeneticModel::build(&registry, &config, &self.batch().0).unwrap();
        let mut optimizer = Optimizer::new(AdamW::default(), 1e-2);
        model.register_host(&mut optimizer).unwrap();
        for slot in slots {
            let germinate = Germinate::new(*slot, format!("{slot}-1"), self.blueprint, "linear");
            model.execute(&Command::Germinate(germinate), &registry, &mut optimizer).unwrap();
        }
        model.step_epoch(&mut optimizer).unwrap();
        (model, optimizer)
    }
}

#[test]
fn every_host_trains_seeds_in_both_precisions_and_reaches_every_parameter() {
    for case in &CASES {
        for precision in [Precision::Fp32, Precision::Bf16] {
            let (mut model, mut optimizer) = case.model(&["early", "mid", "late"], precision);
            let (x, y) = case.batch();
            let mut losses = Vec::new();
            for step in 0..12 {
                let logits = model.forward(&x, Mode::Train).unwrap();
                let loss = logits.view([-1, *logits.size().last().unwrap()]).cross_entropy_for_logits(&y);
                loss.backward();
                losses.push(loss.f_double_value(&[]).unwrap());
                if step == 1 {
                    let dead = |t: &Tensor| {
                        !t.grad().defined() || t.grad().abs().max().f_double_value(&[]).unwrap() == 0.0
                    };
                    for parameter in model.host_parameters().chain(model.seed_parameters()) {
                        // The bias of the keys shifts all scores of a query alike, so softmax ignores it.
                        let key_bias = parameter.name.contains("qkv.bias");
                        assert!(key_bias || !dead(&parameter.tensor), "{} of {}", parameter.name, case.host);
                    }
                }
                model.capture_gradients().unwrap();
                optimizer.step().unwrap();
            }
            assert!(losses.iter().all(|l| l.is_finite()), "{} {precision:?}: {losses:?}", case.host);
            assert!(losses[11] < 0.9 * losses[0], "{} {precision:?}: {losses:?}", case.host);
        }
    }
}

/// Channels-last images pass through a host and its seeds without a copy to another layout.
#[test]
fn images_are_copied_nowhere_between_two_convolutions() {
    for case in CASES.iter().filter(|case| !case.tokens) {
        let (mut model, _) = case.model(&["early", "late"], Precision::Fp32);
        let (x, _) = case.batch();
        let _ = model.forward(&x, Mode::Train).unwrap();
        let counter = OpCounter::start().unwrap();
        let _ = model.forward(&x, Mode::Train).unwrap();
        let ops = counter.finish().unwrap();
        let copies: u64 = ["aten::clone", "aten::contiguous"].iter().filter_map(|name| ops.get(*name)).sum();
        // `plugin_api::ops::group_norm` repacks the input of an isolated norm on the CPU, where libtorch's
        // backward would crash.
        let repacked = if case.blueprint == "attention" { 0 } else { 2 };
        assert!(copies <= 2 * repacked, "{} {}: {ops:?}", case.host, case.config);
    }
}
