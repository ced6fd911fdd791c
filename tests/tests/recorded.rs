//! Recorded steps, fused layers and bfloat16 on a GPU. Where there is none, each test says so loudly and passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests read numbers")]
#![allow(clippy::many_single_char_names, reason = "n, c, h, w, and what is made of them")]

use kasmina::ModelError;
use kasmina::lifecycle::Stage;
use kasmina::model::{Precision, Stepper};
use kasmina_tests::bench::{Bench, config, easy};
use kasmina_tests::{gpu, say};
use kasmina_torch_ext::autograd::to_channels_last;
use kasmina_torch_ext::cuda::{self, Convolutions, Stream, fused};
use kasmina_torch_ext::optim::{AdamW, Algorithm, Optimizer, Sgd};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};
use std::collections::{BTreeMap, BTreeSet};
use tch::{Device, Kind, Tensor};

fn loss(logits: &Tensor, targets: &Tensor) -> Result<Tensor, ModelError> {
    Ok(logits.f_cross_entropy_loss::<Tensor>(targets, None, tch::Reduction::Mean, -100, 0.0)?)
}

/// `|a - b| / |b|`.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.detach().to_kind(Kind::Double), b.detach().to_kind(Kind::Double));
    ((a - &b).norm().double_value(&[])) / b.norm().double_value(&[]).max(1e-30)
}

/// Random features, channels-last, on the GPU.
fn features(shape: &[i64], kind: Kind, device: Device) -> Tensor {
    to_channels_last(&Tensor::randn(shape, (Kind::Float, device)).to_kind(kind)).unwrap()
}

/// Leaves for autograd, in `kind`.
fn leaves(tensors: &[&Tensor], kind: Kind) -> Vec<Tensor> {
    tensors.iter().map(|t| t.detach().to_kind(kind).set_requires_grad(true)).collect()
}

/// The output of a layer and its gradients, each beside the same in float64. Where a hair's breadth decides which way
/// a gradient goes (before a ReLU or a pool), none is sent: `sure` says where it is not so.
fn compare(
    what: &str,
    inputs: &[&Tensor],
    fused: &dyn Fn(&[Tensor]) -> Tensor,
    composed: &dyn Fn(&[Tensor]) -> Tensor,
    sure: &dyn Fn(&[Tensor]) -> Tensor,
) {
    let kind = inputs[0].kind();
    let mine: Vec<Tensor> = inputs.iter().map(|t| t.detach().set_requires_grad(true)).collect();
    let exact = leaves(inputs, Kind::Double);
    let (out, want) = (fused(&mine), composed(&exact));
    assert_eq!((out.kind(), out.size()), (kind, want.size()), "{what}");
    let sure = tch::no_grad(|| sure(&exact)).to_kind(Kind::Double);
    assert!(sure.mean(Kind::Double).double_value(&[]) > 0.9, "{what}");
    let direction = (Tensor::randn_like(&want) * sure).to_kind(kind);
    (&out * &direction).sum(Kind::Float).backward();
    (&want * direction.to_kind(Kind::Double)).sum(Kind::Double).backward();
    let limit = if kind == Kind::BFloat16 { 1e-2 } else { 2e-6 };
    let mut worst = distance(&out, &want);
    for (i, (mine, exact)) in mine.iter().zip(&exact).enumerate() {
        let far = distance(&mine.grad(), &exact.grad());
        assert!(far < limit, "{what}: gradient {i} is {far} away");
        worst = worst.max(far);
    }
    assert!(worst < limit, "{what}: {worst}");
    // The same again is the same, bit for bit.
    let again: Vec<Tensor> = inputs.iter().map(|t| t.detach().set_requires_grad(true)).collect();
    let out2 = fused(&again);
    (&out2 * &direction).sum(Kind::Float).backward();
    assert!(out2.equal(&out) && again.iter().zip(&mine).all(|(a, b)| a.grad().equal(&b.grad())), "{what}");
}

#[test]
fn fused_layers_are_what_they_stand_for() {
    let Some(device) = gpu("fused_layers_are_what_they_stand_for") else { return };
    let _fork = RngFork::seeded(11).unwrap();
    let shapes =
        [[128, 32, 32, 32], [3, 64, 8, 8], [5, 48, 6, 10], [2, 8, 2, 2], [1, 1024, 4, 4], [7, 20, 4, 6]];
    for kind in [Kind::Float, Kind::BFloat16] {
        for shape in shapes {
            let what = format!("{shape:?} {kind:?}");
            let c = shape[1];
            let x = features(&shape, kind, device) * 2.0 + 3.0;
            let branch = features(&shape, kind, device);
            let weight = Tensor::rand([c], (Kind::Float, device)) + 0.5;
            let bias = Tensor::randn([c], (Kind::Float, device));
            for pool in [true, false] {
                let name = format!("batch_norm_relu {what} pool {pool}");
                let statistics = || {
                    let of = |kind| (Tensor::zeros([c], (kind, device)), Tensor::ones([c], (kind, device)));
                    (of(Kind::Float), of(Kind::Double))
                };
                let ((mean, var), (exact_mean, exact_var)) = statistics();
                compare(
                    &name,
                    &[&x, &weight, &bias],
                    &|t| {
                        let (_, _) = (mean.shallow_clone().zero_(), var.shallow_clone().fill_(1.0));
                        let norm = fused::BatchNorm {
                            weight: &t[1],
                            bias: &t[2],
                            running_mean: &mean,
                            running_var: &var,
                            eps: 1e-5,
                            momentum: 0.1,
                        };
                        fused::batch_norm_relu(&t[0], &norm, pool).expect("it is served").unwrap()
                    },
                    &|t| {
                        let (m, v) = (Some(&exact_mean), Some(&exact_var));
                        let y = t[0].batch_norm(Some(&t[1]), Some(&t[2]), m, v, true, 0.1, 1e-5, true).relu();
                        if pool { y.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false) } else { y }
                    },
                    &|t| {
                        let none = None::<&Tensor>;
                        let y = t[0].batch_norm(Some(&t[1]), Some(&t[2]), none, none, true, 0.1, 1e-5, true);
                        if !pool {
                            return y.abs().gt(1e-4);
                        }
                        let [n, c, h, w] = shape;
                        let windows = y.reshape([n, c, h / 2, 2, w / 2, 2]).permute([0, 1, 2, 4, 3, 5]);
                        let (best, _) = windows.reshape([n, c, h / 2, w / 2, 4]).topk(2, -1, true, true);
                        let (first, second) = (best.select(-1, 0), best.select(-1, 1));
                        first.abs().gt(1e-4).logical_and(&(first - second).gt(1e-4))
                    },
                );
                let limit = if kind == Kind::Float { 1e-5 } else { 1e-2 };
                assert!(distance(&mean, &exact_mean) < limit && distance(&var, &exact_var) < limit, "{name}");
            }
            let gain = Tensor::randn([1, c, 1, 1], (Kind::Float, device));
            for groups in [1, c / 4] {
                compare(
                    &format!("norm_residual {what} groups {groups}"),
                    &[&x, &branch, &weight, &bias, &gain],
                    &|t| {
                        let norm = fused::GroupNorm { groups, weight: &t[2], bias: &t[3], eps: 1e-5 };
                        fused::norm_residual(&t[0], &t[1], &norm, &t[4]).expect("it is served").unwrap()
                    },
                    &|t| {
                        let y = t[1].group_norm(groups, Some(&t[2]), Some(&t[3]), 1e-5, false).relu();
                        t[0].addcmul(&y, &t[4])
                    },
                    &|t| t[1].group_norm(groups, Some(&t[2]), Some(&t[3]), 1e-5, false).abs().gt(1e-4),
                );
            }
            let (weight, bias) =
                (Tensor::randn([10, c], (Kind::Float, device)), Tensor::randn([10], (Kind::Float, device)));
            let [x64, w64, b64] =
                [&x, &weight, &bias].map(|t| t.to_kind(Kind::Double).set_requires_grad(true));
            let [x32, w32, b32] = [&x, &weight, &bias].map(|t| t.detach().set_requires_grad(true));
            let out = fused::mean_linear(&x32, &w32, &b32).expect("it is served").unwrap();
            let want = x64.mean_dim([2, 3].as_slice(), false, None).linear(&w64, Some(&b64));
            assert_eq!((out.kind(), out.size()), (Kind::Float, want.size()), "mean_linear {what}");
            let direction = Tensor::randn_like(&want);
            (&out * direction.to_kind(Kind::Float)).sum(Kind::Float).backward();
            (&want * direction).sum(Kind::Double).backward();
            assert!(distance(&out, &want) < 2e-6, "mean_linear {what}");
            for (mine, exact) in [(&x32, &x64), (&w32, &w64), (&b32, &b64)] {
                let limit = if mine.kind() == Kind::BFloat16 { 1e-2 } else { 2e-6 };
                let far = distance(&mine.grad(), &exact.grad());
                assert!(far < limit, "mean_linear {what}: {far}");
            }
            for alpha in [0.0, 0.3, 0.8, 1.0] {
                let one = Tensor::full([], alpha, (Kind::Float, device));
                compare(
                    &format!("lerp {what} alpha {alpha}"),
                    &[&x, &branch],
                    &|t| fused::lerp(&t[0], &t[1], &one).expect("it is served").unwrap(),
                    &|t| t[0].lerp_tensor(&t[1], &one.to_kind(Kind::Double)),
                    &|t| t[0].ones_like(),
                );
            }
        }
    }
}

#[test]
fn what_fused_layers_do_not_serve_is_left_to_others() {
    let Some(device) = gpu("what_fused_layers_do_not_serve_is_left_to_others") else { return };
    let one = Tensor::full([], 0.5, (Kind::Float, device));
    let x = features(&[2, 8, 4, 4], Kind::Float, device);
    assert!(fused::lerp(&x, &x.contiguous(), &one).is_none(), "two layouts");
    assert!(fused::lerp(&x, &x.to_kind(Kind::BFloat16), &one).is_none(), "two dtypes");
    assert!(fused::lerp(&x.to(Device::Cpu), &x.to(Device::Cpu), &one).is_none(), "on the CPU");
    assert!(fused::lerp(&x, &x, &one.set_requires_grad(true)).is_none(), "an alpha that learns");
    let nan = features(&[2, 8, 4, 4], Kind::Float, device) * f64::NAN;
    let one = Tensor::full([], 0.5, (Kind::Float, device));
    assert_eq!(fused::lerp(&x, &nan, &one).unwrap().unwrap().isnan().all().int64_value(&[]), 1);
}

/// All groups at once on the GPU, each by itself on the CPU: the same steps, with groups of very different sizes, more
/// tensors than one launch takes, a parameter without a gradient, and a group that must skip.
#[test]
fn groups_that_step_together_step_as_each_would_alone() {
    let Some(device) = gpu("groups_that_step_together_step_as_each_would_alone") else { return };
    let algorithms: [Algorithm; 4] = [
        Sgd::default().into(),
        Sgd { momentum: 0.0, weight_decay: 0.1, nesterov: false }.into(),
        Sgd { momentum: 0.8, weight_decay: 0.01, nesterov: true }.into(),
        AdamW::default().into(),
    ];
    for algorithm in algorithms {
        let run = |device: Device| {
            let mut optimizer =
                Optimizer::new(algorithm, 0.01).with_scale(Role::Seed, 0.5).with_warm_up(Role::Seed, 3);
            let mut groups = Vec::new();
            for group in 0..20_i64 {
                let sizes: Vec<i64> = (0..=group % 4).map(|i| 1 + i * 2047 + group * 311).collect();
                let start =
                    |n: i64| (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.37 + group as f64).sin();
                let all: Vec<Tensor> =
                    sizes.iter().map(|n| start(*n).to(device).set_requires_grad(true)).collect();
                let named = all.iter().enumerate();
                let parameters = named
                    .map(|(i, t)| NamedParameter { name: i.to_string(), tensor: t.shallow_clone() })
                    .collect();
                let role = if group % 2 == 0 { Role::Host } else { Role::Seed };
                let change = Change::Add { owner: format!("g{group}"), role, parameters };
                let ticket = optimizer.prepare(change).unwrap();
                optimizer.commit(ticket);
                groups.push(all);
            }
            for step in 0..6 {
                for (number, group) in groups.iter().enumerate() {
                    let scale = if step == 2 && number == 7 { f64::NAN } else { 1.0 };
                    for (i, p) in group.iter().enumerate().filter(|(i, _)| *i != 1 || step % 2 == 0) {
                        ((p * (1.0 + i as f64)).cos() * scale).sum(Kind::Float).backward();
                    }
                }
                optimizer.step().unwrap();
                assert!(groups.iter().flatten().all(|p| !p.grad().defined()));
            }
            let skipped = optimizer.skipped_steps().unwrap();
            assert_eq!(skipped.values().sum::<u64>(), 1);
            assert_eq!(skipped["g7"], 1);
            groups.into_iter().flatten().map(|p| p.detach().to(Device::Cpu)).collect::<Vec<_>>()
        };
        for (i, (here, there)) in run(Device::Cpu).iter().zip(run(device)).enumerate() {
            let far = distance(&there, here);
            assert!(far < 1e-5, "{algorithm:?}, tensor {i}: {far}");
        }
    }
}

/// A model with its optimizer and one who steps, on the GPU.
struct Run {
    bench: Bench,
    stepper: Stepper,
    losses: Vec<f64>,
    stages: BTreeSet<Stage>,
}

impl Run {
    fn new(device: Device, algorithm: impl Into<Algorithm>, capture: bool, precision: Precision) -> Self {
        let config = kasmina::ModelConfig {
            host_config: r#"{"in_channels": 3, "base_channels": 8}"#.into(),
            device,
            precision,
            task: easy(),
            ..config(&["early", "mid", "late"], "channels_last")
        };
        let registry = kasmina_tests::registry(&["gated", "dropout", "graphs"]);
        let bench = Bench::on(registry, &config, &[32, 3, 16, 16], Optimizer::new(algorithm, 5e-3));
        let stepper = if capture { Stepper::new(&bench.model).unwrap() } else { Stepper::eager() };
        Self { bench, stepper, losses: Vec::new(), stages: BTreeSet::new() }
    }

    fn steps(&mut self, n: usize) {
        for _ in 0..n {
            let Bench { model, optimizer, x, y, .. } = &mut self.bench;
            let value = self.stepper.step(model, optimizer, (x, y), &mut loss).unwrap();
            self.losses.push(value.double_value(&[]));
        }
    }

    /// The edge of an epoch, with what was measured in it.
    fn edge(&mut self, accuracy: f64) -> BTreeMap<String, kasmina::model::SlotInputs> {
        let bench = &mut self.bench;
        let plan = bench.model.counterfactual_plan();
        let without = plan.slots().map(|_| accuracy - 2.0).collect();
        let inputs = kasmina::model::EpochInputs { accuracy, plan: &plan, without };
        let raw = bench.model.record_epoch(&inputs, 0).unwrap();
        bench.model.step_epoch(&mut bench.optimizer).unwrap();
        self.stages.extend(bench.model.reports().iter().map(|report| report.stage));
        raw
    }

    /// A whole life: germinated, trained, blended, one pruned, the others held.
    fn live(&mut self) -> Vec<BTreeMap<String, kasmina::model::SlotInputs>> {
        self.steps(8);
        for (slot, blend) in [("early", "linear"), ("mid", "sigmoid"), ("late", "linear")] {
            self.bench.germinate(slot, "conv_light", blend).unwrap();
        }
        let mut measured = Vec::new();
        for epoch in 0..24 {
            self.steps(10);
            measured.push(self.edge(20.0 + f64::from(epoch)));
            if epoch == 9 {
                let prune = kasmina::Command::Prune { slot: "mid".into(), reason: "enough".into() };
                self.bench.execute(&prune).unwrap();
            }
        }
        measured
    }
}

/// The largest relative distance between the parameters of two runs.
fn apart(a: &Run, b: &Run) -> f64 {
    let of = |run: &Run| -> Vec<Tensor> {
        let all = run.bench.model.host_parameters().chain(run.bench.model.seed_parameters());
        all.map(|p| p.tensor.shallow_clone()).collect()
    };
    let (a, b) = (of(a), of(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| distance(a, b)).fold(0.0, f64::max)
}

#[test]
fn a_recorded_life_is_the_life_it_repeats() {
    let Some(device) = gpu("a_recorded_life_is_the_life_it_repeats") else { return };
    for (name, algorithm) in [("sgd", Algorithm::from(Sgd::default())), ("adamw", AdamW::default().into())] {
        let live = |capture| {
            let mut run = Run::new(device, algorithm, capture, Precision::Fp32);
            let measured = run.live();
            (run, measured)
        };
        // Then convolutions add up in one order, and everything else does anyway.
        cuda::choose(Convolutions::Deterministic).unwrap();
        let ((eager, seen), (recorded, measured), (again, _)) = (live(false), live(true), live(false));
        cuda::choose(Convolutions::Heuristic).unwrap();
        let counts = recorded.stepper.counts();
        say(&format!(
            "{name}: {counts:?}; recorded from eager {:.1e}, eager from eager {:.1e}",
            apart(&recorded, &eager),
            apart(&again, &eager)
        ));
        assert!(counts.captures >= 4 && counts.replayed > counts.eager, "{counts:?}");
        let stages =
            |run: &Run| run.bench.model.reports().iter().map(|r| (r.stage, r.alpha)).collect::<Vec<_>>();
        assert_eq!(stages(&eager), stages(&recorded));
        for stage in [Stage::Training, Stage::Blending, Stage::Holding] {
            assert!(recorded.stages.contains(&stage), "{:?}", recorded.stages);
        }
        assert_eq!(eager.losses, again.losses);
        assert_eq!(eager.losses, recorded.losses);
        assert_eq!((apart(&again, &eager), apart(&recorded, &eager)), (0.0, 0.0));
        for (epoch, (seen, measured)) in seen.iter().zip(&measured).enumerate() {
            for (slot, inputs) in seen {
                let other = &measured[slot];
                assert_eq!(inputs.gradients.len(), other.gradients.len(), "epoch {epoch} {slot}");
                assert_eq!(inputs.healthy, other.healthy, "epoch {epoch} {slot}");
            }
        }
        // What a replay measures is that step's own, not the newest.
        let newest: Vec<f64> =
            measured.iter().flat_map(|m| m["block0"].gradients.iter().map(|g| g.seed_norm)).collect();
        assert!(newest.windows(2).any(|pair| pair[0] != pair[1]), "{newest:?}");
    }
}

#[test]
fn alpha_rate_and_batch_are_not_baked_in() {
    let Some(device) = gpu("alpha_rate_and_batch_are_not_baked_in") else { return };
    let mut run = Run::new(device, Sgd { momentum: 0.0, ..Sgd::default() }, true, Precision::Fp32);
    run.steps(16);
    let captures = run.stepper.counts().captures;
    let weights =
        |run: &Run| run.bench.model.host_parameters().map(|p| p.tensor.detach().copy()).collect::<Vec<_>>();
    // At rate 0 nothing moves; at another it does again.
    run.bench.optimizer.set_learning_rate(0.0).unwrap();
    let before = weights(&run);
    run.steps(4);
    assert!(before.iter().zip(weights(&run)).all(|(a, b)| a.equal(&b)));
    run.bench.optimizer.set_learning_rate(5e-3).unwrap();
    run.steps(1);
    assert!(before.iter().zip(weights(&run)).any(|(a, b)| !a.equal(&b)));
    // Another batch of the same shape has another loss.
    let before = *run.losses.last().unwrap();
    run.bench.x = Tensor::randn_like(&run.bench.x) * 3.0;
    run.steps(1);
    assert!((run.losses.last().unwrap() - before).abs() > 1e-3);
    assert_eq!(run.stepper.counts().captures, captures);
    // Another shape is another recording.
    run.bench.x = run.bench.x.narrow(0, 0, 20);
    run.bench.y = run.bench.y.narrow(0, 0, 20);
    run.steps(12);
    assert!(run.stepper.counts().captures > captures);
}

#[test]
fn what_is_frozen_stays_where_it_is_in_a_replay_too() {
    let Some(device) = gpu("what_is_frozen_stays_where_it_is_in_a_replay_too") else { return };
    let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
    run.steps(16);
    let freeze = |run: &Run, frozen: bool| {
        for parameter in run.bench.model.host_parameters().filter(|p| p.name.contains("block0")) {
            let _ = parameter.tensor.set_requires_grad(!frozen);
        }
    };
    let weights = |run: &Run, part: &str| -> Vec<Tensor> {
        let all = run.bench.model.host_parameters().filter(|p| p.name.contains(part));
        all.map(|p| p.tensor.detach().copy()).collect()
    };
    let same = |a: &[Tensor], b: &[Tensor]| a.iter().zip(b).all(|(a, b)| a.equal(b));
    freeze(&run, true);
    let (first, second) = (weights(&run, "block0"), weights(&run, "block1"));
    let replayed = run.stepper.counts().replayed;
    run.steps(16);
    assert!(run.stepper.counts().replayed > replayed);
    assert!(same(&first, &weights(&run, "block0")) && !same(&second, &weights(&run, "block1")));
    freeze(&run, false);
    run.steps(16);
    assert!(!same(&first, &weights(&run, "block0")));
}

#[test]
fn shapes_that_keep_changing_and_losses_that_draw_run_as_ever() {
    let Some(device) = gpu("shapes_that_keep_changing_and_losses_that_draw_run_as_ever") else { return };
    let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
    let (x, y) = (run.bench.x.shallow_clone(), run.bench.y.shallow_clone());
    for size in 2..=32 {
        (run.bench.x, run.bench.y) = (x.narrow(0, 0, size), y.narrow(0, 0, size));
        run.steps(3);
    }
    assert!((1..=16).contains(&run.stepper.counts().captures), "{:?}", run.stepper.counts());
    assert!(run.losses.iter().all(|l| l.is_finite()));

    let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
    for _ in 0..8 {
        let Bench { model, optimizer, x, y, .. } = &mut run.bench;
        let mut drawing = |logits: &Tensor, targets: &Tensor| loss(&logits.f_dropout(0.1, true)?, targets);
        let _ = run.stepper.step(model, optimizer, (x, y), &mut drawing).unwrap();
    }
    assert!(run.stepper.why_eager().unwrap().contains("generators"), "{:?}", run.stepper.why_eager());
    // Another loss, and it is recorded.
    run.stepper.forget();
    run.steps(12);
    assert!(run.stepper.why_eager().is_none() && run.stepper.counts().captures > 0);
}

#[test]
fn many_steppers_have_a_stream_each() {
    let Some(device) = gpu("many_steppers_have_a_stream_each") else { return };
    let streams: Vec<Stream> = (0..40).map(|_| Stream::new(device).unwrap()).collect();
    let all: BTreeSet<usize> = streams.iter().map(Stream::handle).collect();
    assert_eq!(all.len(), 40);
    drop(streams);
    assert!(
        all.contains(&Stream::new(device).unwrap().handle()),
        "a stream that was given back is used again"
    );
}

#[test]
fn gradients_that_are_not_finite_are_skipped_in_a_replay_too() {
    let Some(device) = gpu("gradients_that_are_not_finite_are_skipped_in_a_replay_too") else { return };
    let mut run = Run::new(device, AdamW::default(), true, Precision::Fp32);
    run.steps(16);
    let x = run.bench.x.shallow_clone();
    run.bench.x = &x * f64::NAN;
    run.steps(2);
    assert_eq!(run.bench.optimizer.skipped_steps().unwrap()["host"], 2);
    run.bench.x = x;
    // The running statistics have seen NaN, as they would have in any framework; training itself has not.
    run.steps(2);
    assert!(run.losses.last().unwrap().is_finite());
}

#[test]
fn what_cannot_be_recorded_runs_as_ever() {
    let Some(device) = gpu("what_cannot_be_recorded_runs_as_ever") else { return };
    let cases = [
        ("declared", "declares `not_capturable`"),
        ("waits", "waits for the device"),
        ("copies", "captur"),
        ("counts", "state"),
        ("dropout", "random numbers"),
    ];
    for (blueprint, reason) in cases {
        let mut run = Run::new(device, AdamW::default(), true, Precision::Fp32);
        run.steps(8);
        assert!(run.stepper.why_eager().is_none() && run.stepper.counts().replayed > 0);
        let outside = RngFork::seeded(3).map(|_fork| Tensor::randn([8], (Kind::Float, device))).unwrap();
        run.bench.germinate("mid", blueprint, "linear").unwrap();
        run.edge(20.0);
        run.edge(21.0);
        let replayed = run.stepper.counts().replayed;
        run.steps(12);
        let why = run.stepper.why_eager().unwrap_or_default().to_owned();
        say(&format!("{blueprint}: {why}"));
        assert!(why.contains(reason), "{blueprint}: {why}");
        assert_eq!(run.stepper.counts().replayed, replayed);
        assert!(run.losses.iter().all(|l| l.is_finite()));
        // A recording that broke off leaves generators and allocator as they were.
        let same = RngFork::seeded(3).map(|_fork| Tensor::randn([8], (Kind::Float, device))).unwrap();
        assert!(outside.equal(&same), "{blueprint}");
        // Once the seed is gone, steps are recorded again.
        let prune = kasmina::Command::Prune { slot: "mid".into(), reason: "it cannot be recorded".into() };
        run.bench.execute(&prune).unwrap();
        run.steps(12);
        assert!(run.stepper.counts().replayed > replayed, "{blueprint}");
    }
}

#[test]
fn bfloat16_learns_what_float32_learns() {
    let Some(device) = gpu("bfloat16_learns_what_float32_learns") else { return };
    let live = |precision, capture| {
        let mut run = Run::new(device, AdamW::default(), capture, precision);
        run.live();
        run
    };
    let (full, half, recorded) =
        (live(Precision::Fp32, false), live(Precision::Bf16, false), live(Precision::Bf16, true));
    for run in [&half, &recorded] {
        let (first, last) = (full.losses[0], *run.losses.last().unwrap());
        assert!((run.losses[0] - first).abs() < 0.02 * first, "{} and {first}", run.losses[0]);
        assert!(last < 0.5 * first, "{last} of {first}");
        assert!(run.bench.model.seed_parameters().all(|p| p.tensor.kind() == Kind::Float));
    }
    assert!(recorded.stepper.counts().replayed > 0);
}

#[test]
fn models_on_threads_do_not_meet() {
    let Some(device) = gpu("models_on_threads_do_not_meet") else { return };
    let alone = {
        let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
        run.live();
        run
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
                    let stream = Stream::new(device).unwrap();
                    let _on = stream.enter().unwrap();
                    run.live();
                    run
                })
            })
            .collect();
        for thread in threads {
            let run = thread.join().unwrap();
            assert!(run.stepper.counts().replayed > 0);
            for (a, b) in alone.losses.iter().zip(&run.losses).take(12) {
                assert!((a - b).abs() < 1e-3 * a.abs(), "{a} and {b}");
            }
        }
    });
}
