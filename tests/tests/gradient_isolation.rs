//! Gradients through slots: exactness, isolation of the host, and the check that detects a leak.

use kasmina::lifecycle::{EventKind, Isolation, Settings, Stage};
use kasmina::model::Germinate;
use kasmina::{Command, ModelConfig};
use kasmina_plugin_api::{Cx, Kind as EntryKind, Layout, Mode, Site, Topology};
use kasmina_tests::bench::{Bench, bits, config};
use kasmina_torch_ext::autograd::{straight_through, to_channels_last};
use kasmina_torch_ext::rng::{RngFork, RngState, lock};
use tch::{Device, Kind, Tensor};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

fn close(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && (a - b).abs().max().double_value(&[]) < 1e-12
}

/// A reference network in float64: a layer before the slot, and a seed of one layer.
struct Reference {
    shape: &'static [i64],
    /// Whether the layers are convolutions over feature maps, or matrices over positions.
    maps: bool,
    channels_last: bool,
}

impl Reference {
    fn layer(&self, x: &Tensor, w: &Tensor) -> Tensor {
        if self.maps { x.conv2d(w, None::<Tensor>, 1, 1, 1, 1).tanh() } else { x.matmul(w).tanh() }
    }

    /// Returns the output of `join(host, seed)`, and the gradients of the input, the host's weight and the
    /// seed's weight.
    fn gradients(&self, isolated: bool, join: impl Fn(&Tensor, &Tensor) -> Tensor) -> (Tensor, [Tensor; 3]) {
        let _fork = RngFork::seeded(5).unwrap();
        let c = if self.maps { self.shape[1] } else { *self.shape.last().unwrap() };
        let weights: Vec<i64> = if self.maps { vec![c, c, 3, 3] } else { vec![c, c] };
        let mut x = Tensor::randn(self.shape, DOUBLE);
        if self.channels_last {
            x = to_channels_last(&x).unwrap();
        }
        let leaves = [x, Tensor::randn(&weights, DOUBLE), Tensor::randn(&weights, DOUBLE)];
        let leaves = leaves.map(|t| t.set_requires_grad(true));
        let direction = Tensor::randn(self.shape, DOUBLE);
        let host = self.layer(&leaves[0], &leaves[1]);
        let input = if isolated { host.detach() } else { host.shallow_clone() };
        let seed = self.layer(&input, &leaves[2]);
        let out = join(&host, &seed);
        (&out * direction).sum(Kind::Double).backward();
        (out.detach(), leaves.map(|t| t.grad()))
    }
}

/// Compares the straight-through estimator and the shipped linear blends with their textbook forms in
/// float64, for maps and for positions, isolated or not.
#[test]
fn gradients_are_exact() {
    let registry = kasmina_tests::registry(&[]);
    let references = [
        Reference { shape: &[2, 6, 5, 7], maps: true, channels_last: false },
        Reference { shape: &[2, 6, 5, 7], maps: true, channels_last: true },
        Reference { shape: &[3, 11, 8], maps: false, channels_last: false },
    ];
    for reference in &references {
        let topology = if reference.maps { Topology::CNN } else { Topology::TRANSFORMER };
        let site = Site::new(topology, 8).with_dtype(Kind::Double).with_layout(Layout::Contiguous);
        for isolated in [true, false] {
            let (value, exact) =
                reference.gradients(isolated, |host, seed| straight_through(host, seed).unwrap());
            let (naive_value, naive) =
                reference.gradients(isolated, |host, seed| host + (seed - seed.detach()));
            assert!(close(&value, &naive_value));
            for (which, (a, b)) in exact.iter().zip(&naive).enumerate() {
                assert!(
                    close(a, b) && a.abs().max().double_value(&[]) > 0.0,
                    "straight-through {which} {isolated}"
                );
            }
            for alpha in [0.0, 0.3, 1.0] {
                for id in ["core::linear", "kasmina_blends::linear", "kasmina_blends::sigmoid"] {
                    let blend = registry.resolve(EntryKind::Blend, id).unwrap();
                    let blend = std::cell::RefCell::new(blend.make_blend(&site, "").unwrap());
                    let cx = Cx::new(Mode::Train, 0, "here");
                    let weight = Tensor::full([0i64; 0], alpha, DOUBLE);
                    let mix = |host: &Tensor, seed: &Tensor| {
                        blend.borrow_mut().mix(host, seed, &weight, &cx).unwrap()
                    };
                    let (value, exact) = reference.gradients(isolated, mix);
                    let (textbook_value, textbook) =
                        reference.gradients(isolated, |host, seed| host * (1.0 - alpha) + seed * alpha);
                    assert!(close(&value, &textbook_value), "{id} {alpha}");
                    for (which, (a, b)) in exact.iter().zip(&textbook).enumerate() {
                        assert!(close(a, b), "{id} {alpha} {which} {isolated}");
                    }
                }
            }
        }
    }
}

fn sequence(slots: &[&str]) -> ModelConfig {
    ModelConfig { host: "sequence".into(), host_config: String::new(), ..config(slots, "contiguous") }
}

fn bench_for(config: &ModelConfig) -> Bench {
    Bench::over(config, if config.host == "sequence" { &[16, 6, 3] } else { &[16, 1, 8, 8] })
}

/// Returns the gradients of the host's first layer.
fn first_layer(bench: &Bench) -> Vec<Tensor> {
    let part = if bench.model.host().id() == "cnn" { "block0" } else { "embed" };
    bench.host_gradients().into_iter().filter(|(name, _)| name.contains(part)).map(|(_, g)| g).collect()
}

/// Whether the seed's gradient reaches the host's first layer at an alpha above 0. Measured at alpha 1, where
/// a lerp passes no gradient along the host's own path.
fn leaks_when_blended(bench: &mut Bench) -> bool {
    bench.clear();
    let slot = bench.model.slots()[0].name().to_owned();
    let logits = bench.model.force_alpha(&slot, 1.0).unwrap().forward(&bench.x, Mode::Train).unwrap();
    logits.cross_entropy_for_logits(&bench.y).backward();
    first_layer(bench).iter().any(|g| g.abs().max().double_value(&[]) > 0.0)
}

/// Whether the seed's gradient reaches the host's first layer at alpha 0, where the gradient of the same host
/// without slots is the correct one.
fn leaks_at_alpha_0(bench: &mut Bench, alone: &ModelConfig) -> bool {
    bench.clear();
    bench.backward();
    let with = first_layer(bench);
    let mut alone = bench_for(alone);
    tch::no_grad(|| {
        for (to, from) in alone.model.host_parameters().zip(bench.model.host_parameters()) {
            assert_eq!(to.name, from.name);
            to.tensor.shallow_clone().copy_(&from.tensor);
        }
    });
    alone.backward();
    with.iter().zip(first_layer(&alone)).any(|(a, b)| bits(a) != bits(&b))
}

/// For both topologies, all policies and every active stage, the report and the gradients agree with the
/// policy. At alpha 0 a seed is isolated in every stage unless the policy is `never`.
#[test]
fn isolation_follows_the_policy_in_every_stage() {
    let expected = |isolation: Isolation, stage: Stage, cnn: bool| match (isolation, stage) {
        (Isolation::Never, _) | (Isolation::ReleaseAtHolding, Stage::Holding | Stage::Fossilized) => false,
        _ => cnn,
    };
    for isolation in [Isolation::Always, Isolation::ReleaseAtHolding, Isolation::Never] {
        for cnn in [true, false] {
            let (mut grown, alone, blueprint) = if cnn {
                (config(&["late"], "contiguous"), config(&[], "contiguous"), "conv_light")
            } else {
                (sequence(&["layer1"]), sequence(&[]), "position_mlp")
            };
            grown.task.lifecycle = Settings { isolation, ..Settings::default() };
            let mut bench = bench_for(&grown);
            let slot = bench.model.slots()[0].name().to_owned();
            bench.germinate(&slot, blueprint, "linear").unwrap();
            for (stage, silent) in [
                (Stage::Training, true),
                (Stage::Blending, true),
                (Stage::Blending, false),
                (Stage::Holding, false),
                (Stage::Fossilized, false),
            ] {
                match (stage, silent) {
                    (Stage::Blending, false) => bench.epoch(80.0, 5.0),
                    (Stage::Fossilized, _) => {
                        bench.epoch(80.0, 5.0);
                        bench.execute(&Command::Advance { slot: slot.clone(), target: Some(stage) }).unwrap();
                    }
                    _ => bench.reach(stage),
                }
                // Away from its initial values, with which it passes no gradient to its input.
                (0..2).for_each(|_| bench.step());
                let report = bench.model.reports().swap_remove(0);
                let promised =
                    if silent { isolation != Isolation::Never } else { expected(isolation, stage, cnn) };
                let here = format!("{isolation:?} {stage} at {} cnn {cnn}", report.alpha);
                assert_eq!((report.stage, report.isolated), (stage, promised), "{here}");
                assert_eq!(report.alpha == 0.0, silent, "{here}");
                let leaks = if silent {
                    leaks_at_alpha_0(&mut bench, &alone)
                } else {
                    leaks_when_blended(&mut bench)
                };
                assert_eq!(leaks, !promised, "{here}");
            }
        }
    }
}

/// The shadow check passes isolated seeds, among them a stochastic one and a blend with state of its own, and
/// the run is the same with and without it.
#[test]
fn the_shadow_check_passes_isolated_seeds_and_changes_nothing() {
    let run = |interval: u64, seeds: [(&str, &str); 3]| {
        let mut config = config(&["early", "mid", "late"], "channels_last");
        config.isolation_check_interval = interval;
        let mut bench = Bench::with(config);
        for (slot, (blueprint, blend)) in ["early", "mid", "late"].into_iter().zip(seeds) {
            bench.germinate(slot, blueprint, blend).unwrap();
        }
        let mut checks = 0;
        for epoch in 0..6 {
            for _ in 0..4 {
                checks += u32::from(bench.check_isolation());
                bench.step();
            }
            bench.epoch(20.0 + f64::from(epoch), 2.0);
        }
        assert_eq!(checks > 0, interval > 0);
        assert!(bench.model.reports().iter().all(|r| r.isolation_violations == 0));
        (bench.weights(), bench.model.reports())
    };
    let _alone = lock();
    for seeds in [
        [("conv_light", "gate_net"), ("dropout", "linear"), ("norm", "sigmoid")],
        [("attention", "core::linear"), ("noop", "linear"), ("conv_light", "linear")],
    ] {
        assert_eq!(run(0, seeds), run(1, seeds));
    }
}

/// A host and a seed of one library bypass isolation: the check counts the violations, G2 keeps the seed from
/// BLENDING, and with `fail_on_breach` the epoch fails.
#[test]
fn a_gradient_leak_is_detected() {
    let leaky = |fail_on_breach: bool| {
        let mut base = config(&[], "contiguous");
        base.task.lifecycle.gates.max_isolation_violations = 2;
        let mut bench = bench_for(&ModelConfig {
            host: "leaky_host".into(),
            host_config: String::new(),
            slots: vec!["only".into()],
            telemetry_interval: 1,
            isolation_check_interval: 1,
            fail_on_breach,
            ..base
        });
        let germinate = Germinate::new("only", "s1", "leaky", "linear");
        bench.execute(&Command::Germinate(germinate)).unwrap();
        bench
    };
    let _alone = lock();
    let mut bench = leaky(false);
    bench.epoch(20.0, 0.0);
    assert_eq!(bench.model.reports()[0].stage, Stage::Training);
    for epoch in 0..4 {
        for _ in 0..3 {
            let generators = RngState::save().unwrap();
            assert!(bench.check_isolation());
            assert!(generators.same_as(&RngState::save().unwrap()));
            bench.step();
        }
        bench.epoch(21.0 + f64::from(epoch), 0.0);
    }
    let report = &bench.model.reports()[0];
    assert_eq!((report.stage, report.isolation_violations), (Stage::Training, 12));
    let failed = &report.next_gate.as_ref().unwrap().checks_failed;
    assert!(failed.iter().any(|c| c.to_string() == "isolation_violations"), "{failed:?}");
    // Above the limit a seed is unhealthy in every stage, which gates of later stages check.
    assert!(!report.healthy);
    let causes = bench.model.events().iter().filter_map(|event| match &event.kind {
        EventKind::SeedHealth { healthy: false, cause } => Some(cause.as_str()),
        _ => None,
    });
    assert_eq!(causes.collect::<Vec<_>>(), ["isolation_violations"]);

    let mut bench = leaky(true);
    bench.epoch(20.0, 0.0);
    assert!(bench.check_isolation());
    bench.step();
    let plan = bench.model.counterfactual_plan();
    let inputs =
        kasmina::model::EpochInputs { accuracy: 21.0, plan: &plan, without: vec![], unhealthy: Vec::new() };
    let error = bench.model.record_epoch(&inputs, 0).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"seed `s1` in slot `only` gives isolated host layers a gradient: 1 shadow checks failed in this epoch");
}
