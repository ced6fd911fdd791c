//! Random generators, optimizers and models on a GPU. Without a GPU, each test prints that it is skipped and
//! passes.

use kasmina::lifecycle::Stage;
use kasmina::model::{EpochInputs, Germinate};
use kasmina::{Command, ModelConfig, MorphogeneticModel};
use kasmina_plugin_api::Mode;
use kasmina_tests::bench::Bench;
use kasmina_tests::{gpu, registry, say};
use kasmina_torch_ext::autograd::straight_through;
use kasmina_torch_ext::cuda::synchronize;
use kasmina_torch_ext::norm::grad_norm;
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

#[test]
fn forks_and_straight_through_and_norms() {
    let Some(device) = gpu("forks_and_straight_through_and_norms") else { return };
    let draw = || Tensor::randn([64], (Kind::Float, device));
    let outside = draw();
    let a = {
        let _fork = RngFork::seeded(5).unwrap();
        draw()
    };
    let b = {
        let _fork = RngFork::seeded(5).unwrap();
        draw()
    };
    assert!(a.equal(&b) && !a.equal(&outside));

    let host = draw().set_requires_grad(true);
    let seed = (draw() * f64::NAN).set_requires_grad(true);
    let out = straight_through(&host, &seed).unwrap();
    assert!(out.equal(&host));
    out.square().sum(Kind::Float).backward();
    assert!(host.grad().equal(&seed.grad()));
    let joint = grad_norm([&host, &seed]).unwrap().unwrap();
    assert_eq!(joint.device(), device);
    let want = (host.grad().square().sum(Kind::Double) * 2.0).sqrt().double_value(&[]);
    assert!((joint.double_value(&[]) - want).abs() < 1e-4 * want);
}

#[test]
fn fused_adamw_agrees_with_the_cpu_and_skips_nan() {
    let Some(device) = gpu("fused_adamw_agrees_with_the_cpu_and_skips_nan") else { return };
    let train = |device: Device| {
        let p = Tensor::arange(1000, (Kind::Float, Device::Cpu))
            .g_div_scalar(1000.0)
            .to(device)
            .set_requires_grad(true);
        let mut optimizer = Optimizer::new(AdamW::default(), 0.01);
        let named = vec![NamedParameter { name: "p".into(), tensor: p.shallow_clone() }];
        let ticket = optimizer
            .prepare(Change::Add { owner: "host".into(), role: Role::Host, parameters: named })
            .unwrap();
        optimizer.commit(ticket);
        for step in 0..20 {
            let scale = if step == 7 { f64::NAN } else { 1.0 };
            ((&p * f64::from(step)).sin() * scale).sum(Kind::Float).backward();
            optimizer.step().unwrap();
        }
        assert_eq!(optimizer.skipped_steps().unwrap()["host"], 1);
        p.detach().to(Device::Cpu)
    };
    let difference = (train(Device::Cpu) - train(device)).abs().max().double_value(&[]);
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn a_grown_model_steps_on_the_gpu_through_every_stage() {
    let Some(device) = gpu("a_grown_model_steps_on_the_gpu_through_every_stage") else { return };
    through_every_stage(device, [("conv_light", "linear"); 3]);
    through_every_stage(
        device,
        [("conv_light", "linear"), ("dropout", "gate_net"), ("attention", "sigmoid")],
    );
}

/// Trains three seeds to HOLDING and prunes them. Prints the time of a step in each stage, for information.
fn through_every_stage(device: Device, seeds: [(&str, &str); 3]) {
    say(&format!("{seeds:?}"));
    let registry = registry(&["gated", "dropout"]);
    let config = ModelConfig {
        host: "cnn".into(),
        slots: ["early", "mid", "late"].map(str::to_owned).to_vec(),
        device,
        seed: 7,
        ..ModelConfig::default()
    };
    let (x, y) = {
        let _fork = RngFork::seeded(1).unwrap();
        (
            Tensor::randn([128, 3, 32, 32], (Kind::Float, device)),
            Tensor::randint(10, [128], (Kind::Int64, device)),
        )
    };
    let mut model = MorphogeneticModel::build(&registry, &config, &x).unwrap();
    let mut optimizer = Optimizer::new(AdamW::default(), 1e-3);
    model.register_host(&mut optimizer).unwrap();
    let step = |model: &mut MorphogeneticModel, optimizer: &mut Optimizer| {
        model.forward(&x, Mode::Train).unwrap().cross_entropy_for_logits(&y).backward();
        model.capture_gradients().unwrap();
        optimizer.step().unwrap();
    };
    let time = |what: &str, model: &mut MorphogeneticModel, optimizer: &mut Optimizer| {
        for _ in 0..20 {
            step(model, optimizer);
        }
        synchronize(device).unwrap();
        let clock = Instant::now();
        for _ in 0..200 {
            step(model, optimizer);
        }
        synchronize(device).unwrap();
        say(&format!("{what:<12} {:>8.3} ms a step", clock.elapsed().as_secs_f64() * 5.0));
    };
    time("host alone", &mut model, &mut optimizer);
    for (slot, (blueprint, blend)) in ["early", "mid", "late"].into_iter().zip(seeds) {
        let germinate = Germinate::new(slot, format!("{slot}-1"), blueprint, blend);
        model.execute(&Command::Germinate(germinate), &registry, &mut optimizer).unwrap();
    }
    let mut accuracy = 20.0;
    for stage in [Stage::Training, Stage::Blending, Stage::Holding] {
        while model.reports().iter().any(|r| r.stage < stage) {
            step(&mut model, &mut optimizer);
            accuracy += 0.7;
            let plan = model.counterfactual_plan();
            let without = plan.slots().map(|_| accuracy - 2.0).collect();
            model
                .record_epoch(&EpochInputs { accuracy, plan: &plan, without, unhealthy: Vec::new() }, 0)
                .unwrap();
            model.step_epoch(&mut optimizer).unwrap();
        }
        time(stage.as_str(), &mut model, &mut optimizer);
    }
    let plan = model.counterfactual_plan();
    let outputs = tch::no_grad(|| model.forward_counterfactual(&x, &plan)).unwrap();
    assert_eq!(outputs.len(), 4);
    assert!(outputs.iter().all(|o| o.isfinite().all().int64_value(&[]) == 1));
    for slot in ["early", "mid", "late"] {
        let prune = Command::Prune { slot: slot.into(), reason: "done".into() };
        model.execute(&prune, &registry, &mut optimizer).unwrap();
    }
    assert_eq!(optimizer.owners().collect::<Vec<_>>(), ["host"]);
    step(&mut model, &mut optimizer);
}

/// A move to the GPU and back in the middle of a ramp changes no weights, optimizer state, alpha or stage,
/// and training continues.
#[test]
fn a_model_moves_to_the_gpu_and_back() {
    let Some(device) = gpu("a_model_moves_to_the_gpu_and_back") else { return };
    let mut bench = Bench::new(&["early", "mid"]);
    bench.germinate("early", "conv_light", "gate_net").unwrap();
    bench.germinate("mid", "attention", "linear").unwrap();
    bench.reach(Stage::Blending);
    bench.epoch(60.0, 1.0);
    let before = bench.model.reports();
    let here = bench.weights();
    bench.model.to_device(device, &mut bench.optimizer).unwrap();
    assert_eq!(before, bench.model.reports());
    assert!(bench.model.seed_parameters().all(|p| p.tensor.device() == device));
    let (x, y) = (bench.x.to_device(device), bench.y.to_device(device));
    bench.model.forward(&x, Mode::Train).unwrap().cross_entropy_for_logits(&y).backward();
    bench.model.capture_gradients().unwrap();
    bench.optimizer.zero_grad().unwrap();
    bench.model.to_device(Device::Cpu, &mut bench.optimizer).unwrap();
    assert_eq!(here, bench.weights());
    bench.step();
    bench.reach(Stage::Holding);
}
