//! The forward of slots in a model with real plugins: what seeds compute, and what they must not change in
//! the host.

use kasmina::lifecycle::{Isolation, Settings, Stage, TaskConfig};
use kasmina::model::EpochInputs;
use kasmina::{Command, ModelConfig};
use kasmina_plugin_api::Mode;
use kasmina_tests::bench::{Bench, bits, config};
use kasmina_torch_ext::ops::OpCounter;
use kasmina_torch_ext::rng::{RngState, lock};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tch::Tensor;

fn ops(bench: &mut Bench, mode: Mode) -> BTreeMap<String, u64> {
    let counter = OpCounter::start().unwrap();
    let _ = bench.model.forward(&bench.x, mode).unwrap();
    counter.finish().unwrap()
}

#[test]
fn a_dormant_slot_runs_nothing() {
    for mode in [Mode::Train, Mode::Eval] {
        let (mut without, mut with) = (Bench::new(&[]), Bench::new(&["early", "mid", "late"]));
        assert_eq!(ops(&mut without, mode), ops(&mut with, mode), "dormant");
        with.germinate("mid", "conv_light", "linear").unwrap();
        assert_eq!(ops(&mut without, mode), ops(&mut with, mode), "GERMINATED is not active either");
    }
}

#[test]
fn a_step_makes_no_host_sync_in_any_stage() {
    let mut bench = Bench::new(&["early", "mid", "late"]);
    bench.germinate("early", "conv_light", "linear").unwrap();
    bench.germinate("mid", "dropout", "gate_net").unwrap();
    bench.germinate("late", "attention", "sigmoid").unwrap();
    for stage in [Stage::Training, Stage::Blending, Stage::Holding] {
        bench.reach(stage);
        for _ in 0..2 {
            let counter = OpCounter::start().unwrap();
            bench.step();
            let ops = counter.finish().unwrap();
            assert!(ops.contains_key("aten::convolution"), "the counter works: {ops:?}");
            for sync in ["aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::equal"] {
                assert!(!ops.contains_key(sync), "{stage}: {sync} in {ops:?}");
            }
        }
    }
}

#[test]
fn a_training_seed_leaves_the_output_bit_identical() {
    for blueprint in ["conv_light", "norm", "attention", "dropout", "nan_later", "noop"] {
        for format in ["contiguous", "channels_last"] {
            let mut alone = Bench::with(config(&[], format));
            let mut grown = Bench::with(config(&["early", "late"], format));
            grown.germinate("early", blueprint, "linear").unwrap();
            grown.germinate("late", blueprint, "gate_net").unwrap();
            grown.epoch(20.0, 0.0);
            for _ in 0..3 {
                alone.step();
            }
            assert_eq!(grown.model.reports()[0].stage, Stage::Training);
            // Host and seed both train; the host's output must not change.
            for step in 0..6 {
                alone.step();
                grown.step();
                assert_eq!(bits(&alone.logits), bits(&grown.logits), "{blueprint} {format} step {step}");
            }
            let same = alone.model.host_parameters().zip(grown.model.host_parameters());
            for (a, b) in same {
                assert_eq!((&a.name, bits(&a.tensor)), (&b.name, bits(&b.tensor)), "{blueprint} {format}");
            }
        }
    }
}

#[test]
fn a_nan_seed_is_skipped_by_its_optimizer_and_unhealthy() {
    let mut bench = Bench::new(&["early"]);
    bench.germinate("early", "nan_later", "linear").unwrap();
    for accuracy in [20.0, 25.0, 30.0] {
        bench.epoch(accuracy, 0.0);
    }
    let report = &bench.model.reports()[0];
    assert_eq!((report.stage, report.healthy), (Stage::Training, false));
    assert_eq!(report.gradient_ratio, None, "a NaN norm is never a ratio");
    assert!(bench.optimizer.skipped_steps().unwrap()["slot.block0.seed"] >= 3);
    assert_eq!(bench.optimizer.skipped_steps().unwrap()["host"], 0);
    assert!(
        bench.model.seed_parameters().all(|p| bits(&p.tensor).iter().all(|b| f32::from_bits(*b).is_finite()))
    );
}

#[test]
fn training_seeds_learn_and_their_host_gets_its_own_gradient() {
    let mut alone = Bench::new(&[]);
    let mut grown = Bench::new(&["early", "mid", "late"]);
    for slot in ["early", "mid", "late"] {
        grown.germinate(slot, "conv_light", "linear").unwrap();
    }
    grown.epoch(20.0, 0.0);
    for _ in 0..3 {
        alone.step();
    }
    alone.backward();
    grown.backward();
    for (name, gradient) in alone.host_gradients() {
        assert_eq!(bits(&gradient), bits(&grown.host_gradients()[&name]), "isolated: {name}");
    }
    for parameter in grown.model.seed_parameters() {
        let moved = parameter.tensor.grad().abs().max().double_value(&[]);
        assert!(
            parameter.name.contains("gain") == (moved > 0.0),
            "in the first step only the gain gets a gradient: {}",
            parameter.name
        );
    }
    grown.model.capture_gradients().unwrap();
    grown.optimizer.step().unwrap();
    grown.backward();
    for parameter in grown.model.seed_parameters() {
        assert!(
            parameter.tensor.grad().abs().max().double_value(&[]) > 0.0,
            "in the second step every parameter does: {}",
            parameter.name
        );
    }
}

#[test]
fn a_seed_learns_in_the_first_epoch_of_blending() {
    let mut bench = Bench::new(&["mid"]);
    bench.germinate("mid", "conv_light", "linear").unwrap();
    bench.reach(Stage::Blending);
    assert_eq!(bench.model.reports()[0].alpha, 0.0);
    bench.clear();
    bench.backward();
    assert!(bench.model.seed_parameters().all(|p| p.tensor.grad().abs().max().double_value(&[]) > 0.0));
}

#[test]
fn isolation_is_released_at_holding_unless_the_policy_is_always() {
    for (isolation, upstream_alive) in [(Isolation::ReleaseAtHolding, true), (Isolation::Always, false)] {
        let lifecycle = Settings { isolation, ..Settings::default() };
        let task = TaskConfig { lifecycle, ..TaskConfig::default() };
        let mut bench = Bench::with(ModelConfig { task, ..config(&["late"], "contiguous") });
        bench.germinate("late", "attention", "linear").unwrap();
        bench.reach(Stage::Holding);
        assert_eq!(bench.model.reports()[0].alpha, 1.0);
        bench.clear();
        bench.backward();
        let norm = |part: &str| {
            let all = bench.host_gradients();
            all.iter()
                .filter(|(n, _)| n.contains(part))
                .map(|(_, g)| g.abs().max().double_value(&[]))
                .fold(0.0, f64::max)
        };
        assert_eq!(norm("block0") > 0.0, upstream_alive, "{isolation:?}");
        assert!(norm("head") > 0.0);
    }
}

#[test]
fn a_counterfactual_is_the_network_without_the_slot() {
    let mut bench = Bench::new(&["early", "mid", "late"]);
    bench.germinate("early", "conv_light", "linear").unwrap();
    bench.germinate("mid", "conv_light", "gate_net").unwrap();
    bench.reach(Stage::Holding);
    for _ in 0..20 {
        bench.step();
    }
    let plan = bench.model.counterfactual_plan();
    assert_eq!(plan.slots().collect::<Vec<_>>(), ["block0", "block1"]);
    let _no_grad = tch::no_grad_guard();
    let outputs = bench.model.forward_counterfactual(&bench.x, &plan).unwrap();
    let as_is = bench.model.forward(&bench.x, Mode::Eval).unwrap();
    let close = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-5;
    assert!(close(&outputs[0], &as_is));
    assert!(!close(&outputs[1], &as_is) && !close(&outputs[2], &as_is));
    for (variant, slot) in [(1, "early"), (2, "mid")] {
        let mut pruned = Bench::new(&["early", "mid", "late"]);
        repeat_and_prune(&mut pruned, slot);
        let without = pruned.model.forward(&bench.x, Mode::Eval).unwrap();
        assert!(close(&outputs[variant], &without), "without {slot}");
    }
}

/// Trains a fresh bench like the first one and prunes a slot.
fn repeat_and_prune(copy: &mut Bench, without: &str) {
    tch::with_grad(|| {
        copy.germinate("early", "conv_light", "linear").unwrap();
        copy.germinate("mid", "conv_light", "gate_net").unwrap();
        copy.reach(Stage::Holding);
        for _ in 0..20 {
            copy.step();
        }
    });
    copy.execute(&Command::Prune { slot: without.into(), reason: "to compare".into() }).unwrap();
}

#[test]
fn pruning_removes_a_seed_and_changes_nothing_else() {
    let mut bench = Bench::new(&["early", "mid"]);
    bench.germinate("early", "conv_light", "linear").unwrap();
    bench.germinate("mid", "conv_light", "gate_net").unwrap();
    bench.epoch(20.0, 0.0);
    let others: Vec<_> = bench
        .model
        .host_parameters()
        .chain(bench.model.seed_parameters().filter(|p| p.name.starts_with("slot.block0")))
        .map(|p| (p.name.clone(), bits(&p.tensor)))
        .collect();
    assert_eq!(
        bench.optimizer.owners().collect::<Vec<_>>(),
        ["host", "slot.block0.seed", "slot.block1.blend", "slot.block1.seed"]
    );
    bench.execute(&Command::Prune { slot: "mid".into(), reason: "asked to".into() }).unwrap();
    assert_eq!(bench.optimizer.owners().collect::<Vec<_>>(), ["host", "slot.block0.seed"]);
    let now: Vec<_> = bench
        .model
        .host_parameters()
        .chain(bench.model.seed_parameters())
        .map(|p| (p.name.clone(), bits(&p.tensor)))
        .collect();
    assert_eq!(others, now);
    bench.step();
}

#[test]
fn a_refused_germination_changes_nothing() {
    let mut bench = Bench::new(&["early", "mid"]);
    bench.germinate("early", "conv_light", "linear").unwrap();
    bench.epoch(20.0, 0.0);
    let mut errors = String::new();
    let attempts = [
        ("early", "conv_light", "linear"),
        ("attic", "conv_light", "linear"),
        ("mid", "unheard_of", "linear"),
        ("mid", "conv_light", "unheard_of"),
        ("mid", "only_transformers", "linear"),
        ("mid", "panics_in_build", "linear"),
        ("mid", "twice_the_name", "linear"),
        ("mid", "wrong_shape", "linear"),
        ("mid", "wrong_dtype", "linear"),
        ("mid", "always_nan", "linear"),
        ("mid", "dead", "linear"),
        ("mid", "in_place", "linear"),
        ("mid", "mixes_samples", "linear"),
        ("mid", "undefined", "linear"),
        ("mid", "false_identity", "linear"),
        ("mid", "secret_dropout", "linear"),
        ("mid", "panics_in_forward", "linear"),
        ("mid", "torch_panic", "linear"),
    ];
    for (slot, blueprint, blend) in attempts {
        bench.model.drain_events();
        let _alone = lock();
        let (rng, owners) =
            (RngState::save().unwrap(), bench.optimizer.owners().map(str::to_owned).collect::<Vec<_>>());
        let (reports, logits) =
            (bench.model.reports(), bits(&bench.model.forward(&bench.x, Mode::Eval).unwrap()));
        let error = bench.germinate(slot, blueprint, blend).unwrap_err();
        let _ = writeln!(errors, "{blueprint} in {slot} with {blend}\n    {error}");
        assert!(rng.same_as(&RngState::save().unwrap()), "{blueprint}: generators");
        assert_eq!(owners, bench.optimizer.owners().collect::<Vec<_>>(), "{blueprint}: optimizer");
        assert_eq!(reports, bench.model.reports(), "{blueprint}: slots");
        assert_eq!(logits, bits(&bench.model.forward(&bench.x, Mode::Eval).unwrap()), "{blueprint}: output");
        let events = bench.model.drain_events();
        assert_eq!(events.len(), 1, "{blueprint}: the command's own event and no other: {events:?}");
    }
    insta::assert_snapshot!(errors);
    bench.germinate("mid", "panics_in_drop", "linear").unwrap();
    bench.execute(&Command::Prune { slot: "mid".into(), reason: "its drop panics".into() }).unwrap();
    bench.step();
}

#[test]
fn adding_a_slot_changes_no_other_slot_s_first_weights() {
    let mut one = Bench::new(&["late"]);
    one.germinate("late", "conv_light", "gate_net").unwrap();
    let mut three = Bench::new(&["early", "mid", "late"]);
    three.germinate("early", "dropout", "gate_net").unwrap();
    three.germinate("mid", "attention", "linear").unwrap();
    three.germinate("late", "conv_light", "gate_net").unwrap();
    let late = |b: &Bench| -> Vec<_> {
        b.model
            .host_parameters()
            .chain(b.model.seed_parameters())
            .filter(|p| p.name.starts_with("host") || p.name.contains("block2"))
            .map(|p| (p.name.clone(), bits(&p.tensor)))
            .collect()
    };
    assert_eq!(late(&one), late(&three));
}

#[test]
fn a_panic_in_a_live_seed_is_an_error_and_poisons_it() {
    let mut bench = Bench::new(&["early"]);
    bench.germinate("early", "panics_later", "linear").unwrap();
    bench.epoch(20.0, 0.0);
    let mut errors = Vec::new();
    for _ in 0..40 {
        match bench.model.forward(&bench.x, Mode::Train) {
            Ok(_) => bench.model.capture_gradients().unwrap(),
            Err(e) => errors.push(e.to_string()),
        }
    }
    insta::assert_snapshot!(errors[..2].join("\n"));
    bench.execute(&Command::Prune { slot: "early".into(), reason: "it panicked".into() }).unwrap();
    bench.step();
}

/// The ratio is computed from the seed's own parameters, without those of the gate.
#[test]
fn a_gate_does_not_dilute_the_gradient_ratio() {
    let ratio = |blend: &str| {
        let mut bench = Bench::new(&["early"]);
        bench.germinate("early", "conv_light", blend).unwrap();
        bench.epoch(20.0, 0.0);
        bench.epoch(20.0, 0.0);
        bench.model.reports()[0].gradient_ratio.unwrap()
    };
    assert_eq!(ratio("linear"), ratio("gate_net"));
}

/// The second germination uses the cached probe of the first; seed and blend are the same.
#[test]
fn a_cached_probe_and_a_real_one_leave_the_same_seed() {
    let mut bench = Bench::new(&["early"]);
    let weights = |bench: &mut Bench| {
        bench.germinate("early", "dropout", "gate_net").unwrap();
        let all: Vec<_> = bench.model.seed_parameters().map(|p| (p.name.clone(), bits(&p.tensor))).collect();
        bench.epoch(20.0, 0.0);
        bench.step();
        let logits = bits(&bench.logits);
        bench.execute(&Command::Prune { slot: "early".into(), reason: "again".into() }).unwrap();
        (all, logits.len())
    };
    assert_eq!(weights(&mut bench), weights(&mut bench));
}

#[test]
fn impossible_inputs_are_refused_and_change_nothing() {
    let mut bench = Bench::new(&["early", "mid"]);
    bench.germinate("early", "conv_light", "linear").unwrap();
    bench.reach(Stage::Holding);
    let plan = bench.model.counterfactual_plan();
    let before = bench.model.reports();
    let mut refused = |accuracy, without: Vec<f64>| {
        let inputs = EpochInputs { accuracy, plan: &plan, without, unhealthy: Vec::new() };
        let error = bench.model.record_epoch(&inputs, 0).unwrap_err().to_string();
        assert_eq!(before, bench.model.reports(), "{error}");
        error
    };
    assert!(refused(f64::NAN, vec![50.0]).contains("accuracy is NaN"));
    assert!(refused(50.0, vec![101.0]).contains("slot `block0`: accuracy is 101"));
    assert!(refused(50.0, vec![]).contains("1 slots were planned, 0 measured"));
    bench.execute(&Command::Prune { slot: "early".into(), reason: "asked to".into() }).unwrap();
    let stale = EpochInputs { accuracy: 50.0, plan: &plan, without: vec![50.0], unhealthy: Vec::new() };
    let error = bench.model.record_epoch(&stale, 0).unwrap_err().to_string();
    assert!(error.contains("seed `early-conv_light` is no longer in slot `block0`"), "{error}");
}

#[test]
fn noop_never_passes_g2() {
    let mut bench = Bench::new(&["early"]);
    bench.germinate("early", "noop", "linear").unwrap();
    for i in 0..12 {
        bench.epoch(20.0 + 5.0 * f64::from(i), 50.0);
    }
    assert_eq!(bench.model.reports()[0].stage, Stage::Training);
    assert_eq!(bench.model.reports()[0].gradient_ratio, Some(0.0));
}

/// libtorch's CPU backward of `group_norm` crashes on an isolated channels-last input; `ops::group_norm`
/// repacks such an input.
#[test]
fn a_norm_seed_survives_a_channels_last_host() {
    let mut bench = Bench::with(config(&["early", "mid", "late"], "channels_last"));
    for slot in ["early", "mid", "late"] {
        bench.germinate(slot, "norm", "linear").unwrap();
    }
    bench.epoch(20.0, 0.0);
    bench.step();
    assert_eq!(bench.model.slots()[0].features().layout, kasmina_plugin_api::Layout::ChannelsLast);
}

// Models and slots may move between threads, but only one thread at a time may use them.
static_assertions::assert_impl_all!(kasmina::MorphogeneticModel: Send);
static_assertions::assert_not_impl_any!(kasmina::MorphogeneticModel: Sync);
static_assertions::assert_impl_all!(kasmina::graft::SeedSlot: Send);
static_assertions::assert_not_impl_any!(kasmina::graft::SeedSlot: Sync);
