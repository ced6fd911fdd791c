//! Captured steps and bfloat16 on a GPU. Without a GPU, each test prints that it is skipped and passes.

use kasmina::lifecycle::Stage;
use kasmina::model::{Precision, Stepper};
use kasmina_tests::behaviours::Waver;
use kasmina_tests::bench::{Bench, config, distance, easy, loss};
use kasmina_tests::{gpu, say};
use kasmina_torch_ext::cuda::{self, Convolutions, Stream};
use kasmina_torch_ext::optim::{AdamW, Algorithm, Optimizer, Sgd};
use kasmina_torch_ext::rng::RngFork;
use std::collections::{BTreeMap, BTreeSet};
use tch::{Device, Kind, Tensor};

/// Held by tests that change the choice of convolution algorithms, which is a setting of the whole process.
static CONVOLUTIONS: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A model in training on the GPU.
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

    /// Ends an epoch and returns the measured inputs of each slot.
    fn end_epoch(&mut self, accuracy: f64) -> BTreeMap<String, kasmina::model::SlotInputs> {
        let measured = self.bench.end_epoch(accuracy, 2.0);
        self.stages.extend(self.bench.model.reports().iter().map(|report| report.stage));
        measured
    }

    /// Trains through the lifecycle: three seeds are germinated, trained and blended, one is pruned, the
    /// others reach HOLDING. Returns what was measured in each epoch.
    fn grow(&mut self) -> Vec<BTreeMap<String, kasmina::model::SlotInputs>> {
        self.steps(8);
        for (slot, blend) in [("early", "linear"), ("mid", "sigmoid"), ("late", "linear")] {
            self.bench.germinate(slot, "conv_light", blend).unwrap();
        }
        let mut measured = Vec::new();
        for epoch in 0..24 {
            self.steps(10);
            measured.push(self.end_epoch(20.0 + f64::from(epoch)));
            if epoch == 9 {
                let prune = kasmina::Command::Prune { slot: "mid".into(), reason: "enough".into() };
                self.bench.execute(&prune).unwrap();
            }
        }
        measured
    }
}

/// Returns the largest relative distance between parameters of two runs.
fn max_distance(a: &Run, b: &Run) -> f64 {
    let of = |run: &Run| -> Vec<Tensor> {
        let all = run.bench.model.host_parameters().chain(run.bench.model.seed_parameters());
        all.map(|p| p.tensor.shallow_clone()).collect()
    };
    let (a, b) = (of(a), of(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| distance(a, b)).fold(0.0, f64::max)
}

#[test]
fn captured_steps_compute_what_eager_steps_compute() {
    let Some(device) = gpu("captured_steps_compute_what_eager_steps_compute") else { return };
    let _alone = CONVOLUTIONS.lock();
    for (name, algorithm) in [("sgd", Algorithm::from(Sgd::default())), ("adamw", AdamW::default().into())] {
        let grow = |capture| {
            let mut run = Run::new(device, algorithm, capture, Precision::Fp32);
            let measured = run.grow();
            (run, measured)
        };
        // Only convolutions can differ between two runs; everything else sums in a fixed order.
        cuda::choose(Convolutions::Deterministic).unwrap();
        let ((eager, seen), (captured, measured), (again, _)) = (grow(false), grow(true), grow(false));
        cuda::choose(Convolutions::Heuristic).unwrap();
        let counts = captured.stepper.counts();
        say(&format!(
            "{name}: {counts:?}; captured from eager {:.1e}, eager from eager {:.1e}",
            max_distance(&captured, &eager),
            max_distance(&again, &eager)
        ));
        assert!(counts.captures >= 4 && counts.replayed > counts.eager, "{:?}", captured.stepper);
        let stages =
            |run: &Run| run.bench.model.reports().iter().map(|r| (r.stage, r.alpha)).collect::<Vec<_>>();
        assert_eq!(stages(&eager), stages(&captured));
        for stage in [Stage::Training, Stage::Blending, Stage::Holding] {
            assert!(captured.stages.contains(&stage), "{:?}", captured.stages);
        }
        assert_eq!(eager.losses, again.losses);
        assert_eq!(eager.losses, captured.losses);
        assert_eq!((max_distance(&again, &eager), max_distance(&captured, &eager)), (0.0, 0.0));
        for (epoch, (seen, measured)) in seen.iter().zip(&measured).enumerate() {
            for (slot, inputs) in seen {
                let other = &measured[slot];
                assert_eq!(inputs.gradients.len(), other.gradients.len(), "epoch {epoch} {slot}");
                assert_eq!(inputs.healthy, other.healthy, "epoch {epoch} {slot}");
            }
        }
        // Each replay keeps its own measurements, not those of the newest replay.
        let norms: Vec<f64> =
            measured.iter().flat_map(|m| m["block0"].gradients.iter().map(|g| g.seed_norm)).collect();
        assert!(norms.windows(2).any(|pair| pair[0] != pair[1]), "{norms:?}");
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
    // At learning rate 0 no weight changes; at another rate weights change again.
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
    // Another shape is captured by itself.
    run.bench.x = run.bench.x.narrow(0, 0, 20);
    run.bench.y = run.bench.y.narrow(0, 0, 20);
    run.steps(12);
    assert!(run.stepper.counts().captures > captures, "{:?}", run.stepper);
}

#[test]
fn a_frozen_parameter_does_not_change_in_a_replay() {
    let Some(device) = gpu("a_frozen_parameter_does_not_change_in_a_replay") else { return };
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
fn many_shapes_are_captured_up_to_a_limit_and_a_random_loss_runs_eagerly() {
    let Some(device) = gpu("many_shapes_are_captured_up_to_a_limit_and_a_random_loss_runs_eagerly") else {
        return;
    };
    let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
    let (x, y) = (run.bench.x.shallow_clone(), run.bench.y.shallow_clone());
    for size in 2..=32 {
        (run.bench.x, run.bench.y) = (x.narrow(0, 0, size), y.narrow(0, 0, size));
        // Every second step measures, and is captured by itself.
        run.steps(8);
    }
    assert!((1..=16).contains(&run.stepper.counts().captures), "{:?}", run.stepper);
    assert!(run.losses.iter().all(|l| l.is_finite()));

    let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
    for _ in 0..8 {
        let Bench { model, optimizer, x, y, .. } = &mut run.bench;
        let mut drawing = |logits: &Tensor, targets: &Tensor| loss(&logits.f_dropout(0.1, true)?, targets);
        let _ = run.stepper.step(model, optimizer, (x, y), &mut drawing).unwrap();
    }
    assert!(run.stepper.why_eager().unwrap().contains("generators"), "{:?}", run.stepper.why_eager());
    // With another loss, steps are captured again.
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
    assert!(all.contains(&Stream::new(device).unwrap().handle()), "a returned stream is used again");
}

#[test]
fn a_replay_skips_gradients_that_are_not_finite() {
    let Some(device) = gpu("a_replay_skips_gradients_that_are_not_finite") else { return };
    let mut run = Run::new(device, AdamW::default(), true, Precision::Fp32);
    run.steps(16);
    let x = run.bench.x.shallow_clone();
    run.bench.x = &x * f64::NAN;
    run.steps(2);
    assert_eq!(run.bench.optimizer.skipped_steps().unwrap()["host"], 2);
    run.bench.x = x;
    // The running statistics contain NaN now, as they would in any framework; the parameters do not.
    run.steps(2);
    assert!(run.losses.last().unwrap().is_finite());
}

#[test]
fn a_step_that_cannot_be_captured_runs_eagerly() {
    let Some(device) = gpu("a_step_that_cannot_be_captured_runs_eagerly") else { return };
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
        run.end_epoch(20.0);
        run.end_epoch(21.0);
        let replayed = run.stepper.counts().replayed;
        run.steps(12);
        let why = run.stepper.why_eager().unwrap_or_default().to_owned();
        say(&format!("{blueprint}: {why}"));
        assert!(why.contains(reason), "{blueprint}: {why}");
        assert_eq!(run.stepper.counts().replayed, replayed);
        assert!(run.losses.iter().all(|l| l.is_finite()));
        // A failed capture leaves the generators as they were.
        let same = RngFork::seeded(3).map(|_fork| Tensor::randn([8], (Kind::Float, device))).unwrap();
        assert!(outside.equal(&same), "{blueprint}");
        // Without the seed, steps are captured again.
        let prune = kasmina::Command::Prune { slot: "mid".into(), reason: "it cannot be captured".into() };
        run.bench.execute(&prune).unwrap();
        run.steps(12);
        assert!(run.stepper.counts().replayed > replayed, "{blueprint}");
    }
}

#[test]
fn bfloat16_learns_what_float32_learns() {
    let Some(device) = gpu("bfloat16_learns_what_float32_learns") else { return };
    let grow = |precision, capture| {
        let mut run = Run::new(device, AdamW::default(), capture, precision);
        run.grow();
        run
    };
    let (full, half, captured) =
        (grow(Precision::Fp32, false), grow(Precision::Bf16, false), grow(Precision::Bf16, true));
    for run in [&half, &captured] {
        let (first, last) = (full.losses[0], *run.losses.last().unwrap());
        assert!((run.losses[0] - first).abs() < 0.02 * first, "{} and {first}", run.losses[0]);
        assert!(last < 0.5 * first, "{last} of {first}");
        assert!(run.bench.model.seed_parameters().all(|p| p.tensor.kind() == Kind::Float));
    }
    assert!(captured.stepper.counts().replayed > 0);
}

#[test]
fn models_on_several_threads_do_not_interfere() {
    let Some(device) = gpu("models_on_several_threads_do_not_interfere") else { return };
    let alone = {
        let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
        run.grow();
        run
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut run = Run::new(device, Sgd::default(), true, Precision::Fp32);
                    let stream = Stream::new(device).unwrap();
                    let _on = stream.enter().unwrap();
                    run.grow();
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

#[test]
fn a_swap_during_captured_steps_changes_nothing() {
    let Some(device) = gpu("a_swap_during_captured_steps_changes_nothing") else { return };
    let builds = kasmina_tests::builds::Builds::new();
    let _alone = CONVOLUTIONS.lock();
    cuda::choose(Convolutions::Deterministic).unwrap();
    let mut runs = Vec::new();
    for swaps in [false, true] {
        let mut run = Run::new(device, AdamW::default(), true, Precision::Fp32);
        run.bench.registry.load_file(&builds.make(Waver::Linear, 0)).unwrap();
        run.bench.germinate("early", "conv_light", "waver").unwrap();
        run.bench.reach(Stage::Blending);
        for mark in 1..=4 {
            run.steps(50);
            if swaps {
                // The third build fails in its trial and is rolled back.
                let mode = if mark == 3 { Waver::Nan } else { Waver::Linear };
                let staged = run.bench.registry.stage(&builds.make(mode, mark)).unwrap();
                let Bench { model, optimizer, registry, .. } = &mut run.bench;
                assert_eq!(model.adopt(&staged, registry, optimizer).unwrap(), ["block0"]);
                for _ in 0..40 {
                    let Bench { model, optimizer, registry, x, y, .. } = &mut run.bench;
                    let first = run.stepper.step(model, optimizer, (x, y), &mut loss);
                    let value = first.unwrap_or_else(|_| {
                        assert!(mark == 3 && model.recover(registry, optimizer).unwrap().is_some());
                        run.stepper.step(model, optimizer, (x, y), &mut loss).unwrap()
                    });
                    run.losses.push(value.double_value(&[]));
                }
                assert!(!run.bench.model.is_on_trial());
            } else {
                run.steps(40);
            }
        }
        run.steps(10);
        let counts = run.stepper.counts();
        say(&format!("swaps {swaps}: {counts:?}"));
        assert!(counts.replayed > counts.eager, "{:?}", run.stepper);
        runs.push(run);
    }
    cuda::choose(Convolutions::Heuristic).unwrap();
    assert_eq!(runs[0].losses, runs[1].losses);
    assert_eq!(max_distance(&runs[0], &runs[1]), 0.0);
}
