//! Training steps on the CPU: the stepper, bfloat16, and the operators that layers and blends run.

use kasmina::ModelConfig;
use kasmina::lifecycle::Stage;
use kasmina::model::{Precision, Stepper};
use kasmina_plugin_api::ops::{BatchNorm, batch_norm_relu, lerp, mean_linear, norm_residual};
use kasmina_plugin_api::{Layout, Mode};
use kasmina_tests::bench::{Bench, bits, config, easy, loss};
use kasmina_torch_ext::autograd::is_channels_last;
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::trace::Trace;
use tch::{Device, Kind, Tensor};

fn step(bench: &mut Bench, stepper: &mut Stepper) -> f64 {
    let Bench { model, optimizer, x, y, .. } = bench;
    stepper.step(model, optimizer, (x, y), &mut loss).unwrap().double_value(&[])
}

#[test]
fn a_stepper_computes_what_a_hand_written_loop_computes() {
    let grown = || {
        let mut bench = Bench::new(&["early", "mid"]);
        bench.germinate("early", "conv_light", "gate_net").unwrap();
        bench.germinate("mid", "dropout", "linear").unwrap();
        bench
    };
    let (mut one, mut other) = (grown(), grown());
    // On the CPU no step is captured.
    let mut stepper = Stepper::new(&one.model).unwrap();
    for epoch in 0..8 {
        for _ in 0..3 {
            step(&mut one, &mut stepper);
            other.step();
        }
        for bench in [&mut one, &mut other] {
            bench.end_epoch(20.0 + f64::from(epoch), 2.0);
        }
    }
    assert_eq!(one.weights(), other.weights());
    assert_eq!(one.model.reports(), other.model.reports());
    assert_eq!((stepper.counts().eager, stepper.counts().captures), (24, 0));
    assert!(stepper.stream().is_none() && stepper.why_eager().is_none());
}

/// In every stage, only the batch is copied to another layout, once; features are not.
#[test]
fn channels_last_features_stay_channels_last() {
    let model = ModelConfig {
        host_config: r#"{"in_channels": 3, "base_channels": 8}"#.into(),
        task: easy(),
        ..config(&["early", "mid", "late"], "channels_last")
    };
    let mut bench = Bench::over(&model, &[8, 3, 32, 32]);
    for slot in ["early", "mid", "late"] {
        bench.germinate(slot, "conv_light", "linear").unwrap();
    }
    assert!(bench.model.slots().iter().all(|slot| slot.features().layout == Layout::ChannelsLast));
    let kernels = bench.model.host_parameters().chain(bench.model.seed_parameters());
    let kernels: Vec<_> = kernels.filter(|p| p.name.ends_with("conv.weight")).collect();
    assert_eq!(kernels.len(), 6);
    assert!(kernels.iter().all(|p| is_channels_last(&p.tensor).unwrap()));
    for stage in [Stage::Training, Stage::Blending, Stage::Holding] {
        bench.reach(stage);
        // Advance to a step without measurements.
        while bench.model.step().is_multiple_of(2) {
            bench.step();
        }
        let counter = OpCounter::start().unwrap();
        let _ = bench.model.forward(&bench.x, Mode::Train).unwrap();
        let ops = counter.finish().unwrap();
        for copying in ["aten::contiguous", "aten::clone"] {
            assert_eq!(ops.get(copying).copied().unwrap_or(0), 1, "{stage}, {copying}: {ops:?}");
        }
    }
}

#[test]
fn bfloat16_runs_with_parameters_alphas_and_measurements_in_float32() {
    let model = ModelConfig {
        precision: Precision::Bf16,
        task: easy(),
        ..config(&["early", "mid", "late"], "channels_last")
    };
    let mut bench = Bench::with(model);
    assert!(bench.model.slots().iter().all(|slot| slot.features().dtype == Kind::BFloat16));
    bench.germinate("early", "conv_light", "gate_net").unwrap();
    bench.germinate("mid", "norm", "linear").unwrap();
    bench.germinate("late", "attention", "sigmoid").unwrap();
    bench.reach(Stage::Holding);
    let mut stepper = Stepper::eager();
    let first = step(&mut bench, &mut stepper);
    let last = (0..30).map(|_| step(&mut bench, &mut stepper)).last().unwrap();
    assert!(last < first, "{first} to {last}");
    let all = bench.model.host_parameters().chain(bench.model.seed_parameters());
    assert!(all.into_iter().all(|p| p.tensor.kind() == Kind::Float));
    assert_eq!(bench.model.forward(&bench.x, Mode::Eval).unwrap().kind(), Kind::Float);
    let plan = bench.model.counterfactual_plan();
    assert_eq!(plan.variants(), 4);
    let outputs = tch::no_grad(|| bench.model.forward_counterfactual(&bench.x, &plan)).unwrap();
    assert!(outputs.iter().all(|o| o.kind() == Kind::Float && o.isfinite().all().int64_value(&[]) == 1));
}

#[test]
fn bfloat16_logits_are_close_to_those_in_float32() {
    let logits = |precision| {
        let mut bench = Bench::with(ModelConfig { precision, ..config(&[], "channels_last") });
        tch::no_grad(|| bench.model.forward(&bench.x, Mode::Train)).unwrap()
    };
    let (full, half) = (logits(Precision::Fp32), logits(Precision::Bf16));
    let far = ((&half - &full).norm() / full.norm()).double_value(&[]);
    assert!(far > 0.0 && far < 0.03, "{far}");
}

/// The layers of `plugin_api::ops` compute on the CPU what their parts compute, bit for bit.
#[test]
fn ops_compute_what_their_parts_compute() {
    let _fork = RngFork::seeded(4).unwrap();
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let (x, weight, bias) = (random(&[4, 8, 6, 6]), random(&[8]), random(&[8]));
    let running =
        || (Tensor::zeros([8], (Kind::Float, Device::Cpu)), Tensor::ones([8], (Kind::Float, Device::Cpu)));
    for (train, pool) in [(true, true), (true, false), (false, true)] {
        let leaf = || x.detach().copy().set_requires_grad(true);
        let (one, other) = (leaf(), leaf());
        let ((mean, var), (mean2, var2)) = (running(), running());
        let norm = BatchNorm {
            weight: &weight,
            bias: &bias,
            running_mean: &mean,
            running_var: &var,
            eps: 1e-5,
            momentum: 0.1,
        };
        let ours = batch_norm_relu(&one, &norm, train, pool).unwrap();
        let y = other
            .batch_norm(Some(&weight), Some(&bias), Some(&mean2), Some(&var2), train, 0.1, 1e-5, true)
            .relu();
        let theirs = if pool { y.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false) } else { y };
        assert_eq!(bits(&ours), bits(&theirs));
        let direction = ours.detach().cos();
        (&ours * &direction).sum(Kind::Float).backward();
        (&theirs * &direction).sum(Kind::Float).backward();
        assert_eq!(bits(&one.grad()), bits(&other.grad()), "train {train}, pool {pool}");
        assert_eq!(bits(&mean), bits(&mean2));
    }
    let (branch, gain) = (random(&[4, 8, 6, 6]), random(&[1, 8, 1, 1]));
    let ours = norm_residual(&x, &branch, 2, (&weight, &bias), &gain).unwrap();
    let theirs = x.addcmul(&branch.group_norm(2, Some(&weight), Some(&bias), 1e-5, false).relu(), &gain);
    assert_eq!(bits(&ours), bits(&theirs));
    let (head, offset) = (random(&[10, 8]), random(&[10]));
    let theirs = x.mean_dim([2, 3].as_slice(), false, None).linear(&head, Some(&offset));
    assert_eq!(bits(&mean_linear(&x, &head, &offset).unwrap()), bits(&theirs));
}

/// Alpha is not rounded to bfloat16, in which 0.999 would be 1.
#[test]
fn a_blend_of_bfloat16_features_does_not_round_alpha() {
    let of = |value: f64| Tensor::full([2, 4, 2, 2], value, (Kind::BFloat16, Device::Cpu));
    let alpha = Tensor::full([], 0.999, (Kind::Float, Device::Cpu));
    let mixed = lerp(&of(1000.0), &of(0.0), &alpha).unwrap();
    assert_eq!(mixed.kind(), Kind::BFloat16);
    let value = mixed.double_value(&[0, 0, 0, 0]);
    assert!((value - 1.0).abs() < 0.01, "{value}");
    // An alpha per sample, at 0 and 1.
    let per_sample = Tensor::from_slice(&[0.0_f32, 1.0]).view([2, 1, 1, 1]);
    let mixed = lerp(&of(3.0), &of(5.0), &per_sample).unwrap();
    assert_eq!((mixed.double_value(&[0, 0, 0, 0]), mixed.double_value(&[1, 0, 0, 0])), (3.0, 5.0));
}

#[test]
fn a_blend_that_is_not_the_seed_at_alpha_1_is_refused() {
    let mut bench = Bench::new(&["mid"]);
    let refused = bench.germinate("mid", "conv_light", "half_hearted").unwrap_err();
    assert!(refused.contains("`seed_at_one`"), "{refused}");
}

/// At alpha 1 a blend that declares `seed_at_one` is not called; the slot returns the seed's output itself.
#[test]
fn a_seed_at_one_blend_is_not_called_at_alpha_1() {
    let count = |stage: Stage, blend: &str| {
        let mut bench = Bench::new(&["mid"]);
        bench.germinate("mid", "conv_light", blend).unwrap();
        bench.reach(stage);
        let counter = OpCounter::start().unwrap();
        let _ = bench.model.forward(&bench.x, Mode::Train).unwrap();
        counter.finish().unwrap().get("aten::lerp").copied().unwrap_or(0)
    };
    assert_eq!(count(Stage::Holding, "linear"), 0);
    assert_eq!(count(Stage::Holding, "gate_net"), 1);
}

#[test]
fn a_trace_is_written_and_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace.json");
    let mut bench = Bench::new(&[]);
    let trace = Trace::start(Device::Cpu).unwrap();
    bench.step();
    assert_eq!(trace.finish(Some(&path)).unwrap(), [], "nothing runs on a GPU here");
    let text = std::fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    assert!(events.iter().any(|e| e["name"] == "aten::convolution"));
    // A dropped trace ends as well, so that another can start.
    drop(Trace::start(Device::Cpu).unwrap());
    Trace::start(Device::Cpu).unwrap().finish(None).unwrap();
}
