//! A seed's lifecycle in a model with real plugins and a real optimizer: ramps of alpha, pruning, cooldown,
//! SHADOWING, forced alpha, memory, and the settings of a task.

use kasmina::lifecycle::{AlphaSettings, Curve, EventKind, Settings, Stage, TaskConfig, TempoUnit};
use kasmina::{Command, ModelConfig};
use kasmina_plugin_api::Mode;
use kasmina_tests::bench::{Bench, bits, config};
use kasmina_torch_ext::memory::MemoryCounter;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tch::Device;

fn prune(slot: &str) -> Command {
    Command::Prune { slot: slot.into(), reason: "asked to".into() }
}

fn retarget(slot: &str, target: f64, steps: u32) -> Command {
    Command::SetAlphaTarget { slot: slot.into(), target, steps, curve: None }
}

fn with_task(slots: &[&str], change: impl FnOnce(&mut TaskConfig)) -> ModelConfig {
    let mut config = config(slots, "contiguous");
    change(&mut config.task);
    config
}

/// A seed in HOLDING changes the loss; after its prune the loss is exactly that of the host.
#[test]
fn a_seed_changes_the_loss_and_its_prune_restores_it() {
    let mut bench = Bench::new(&["early", "mid"]);
    let host_alone = bench.loss(Mode::Eval);
    bench.germinate("mid", "conv_light", "gate_net").unwrap();
    assert_eq!(bench.loss(Mode::Eval).to_bits(), host_alone.to_bits(), "GERMINATED");
    bench.reach(Stage::Holding);
    let grown = bench.loss(Mode::Eval);
    let without = {
        let mut guard = bench.model.force_alpha("mid", 0.0).unwrap();
        let _no_grad = tch::no_grad_guard();
        guard.forward(&bench.x, Mode::Eval).unwrap().cross_entropy_for_logits(&bench.y).double_value(&[])
    };
    assert!((grown - without).abs() > 1e-3, "{grown} {without}");
    bench.execute(&prune("mid")).unwrap();
    assert_eq!(bench.loss(Mode::Eval).to_bits(), without.to_bits(), "pruned");
    assert_eq!(bench.optimizer.owners().collect::<Vec<_>>(), ["host"]);
    assert_eq!(bench.model.ownership().entries().len(), bench.model.host_parameters().count());
}

/// With three seeds, pruning one changes no bit of the weights, the optimizer state and the counters of the
/// others.
#[test]
fn pruning_one_seed_changes_no_other() {
    for victim in ["early", "mid", "late"] {
        let mut bench = Bench::new(&["early", "mid", "late"]);
        for (slot, blueprint, blend) in [
            ("early", "conv_light", "linear"),
            ("mid", "dropout", "gate_net"),
            ("late", "attention", "sigmoid"),
        ] {
            bench.germinate(slot, blueprint, blend).unwrap();
        }
        bench.reach(Stage::Blending);
        bench.epoch(70.0, 1.0);
        let gone = format!("slot.{}.", bench.model.slot(victim).unwrap().name());
        let (before, slots) = (bench.weights(), bench.model.reports());
        bench.execute(&prune(victim)).unwrap();
        let after = bench.weights();
        let others: Vec<_> = before.iter().filter(|(name, _)| !name.starts_with(&gone)).collect();
        assert_eq!(others, after.iter().collect::<Vec<_>>(), "without {victim}");
        assert!(others.iter().any(|(name, _)| name.contains(".exp_avg")), "the optimizer state is compared");
        assert!(
            others.iter().any(|(name, _)| name.contains(".step")),
            "the optimizer's step counts are compared"
        );
        for (before, after) in slots.iter().zip(bench.model.reports()) {
            assert!(gone.contains(&before.slot) || *before == after, "{before:?} {after:?}");
        }
        bench.step();
    }
}

/// Retargets down and up; each ramp samples the blend's own curve.
#[test]
fn alpha_follows_retargets_down_and_up() {
    let mut bench = Bench::new(&["mid"]);
    bench.germinate("mid", "conv_light", "sigmoid").unwrap();
    bench.reach(Stage::Holding);
    let mut text = String::new();
    let mut note = |what: &str, bench: &Bench| {
        let r = &bench.model.reports()[0];
        let _ = writeln!(
            text,
            "{what:<16}{:<9} alpha {:.4} to {:.2} {:?}",
            r.stage, r.alpha, r.alpha_target, r.alpha_mode
        );
    };
    note("held", &bench);
    bench.execute(&retarget("mid", 0.4, 3)).unwrap();
    note("retarget 0.4", &bench);
    for _ in 0..3 {
        bench.epoch(80.0, 1.0);
        note("epoch", &bench);
    }
    bench.execute(&retarget("mid", 0.9, 0)).unwrap();
    note("0.9 at once", &bench);
    bench.execute(&retarget("mid", 0.9, 4)).unwrap();
    note("there already", &bench);
    bench.epoch(80.0, 1.0);
    note("epoch", &bench);
    insta::assert_snapshot!(text);
}

/// During a scheduled prune the seed still contributes by its alpha but learns nothing; then it is removed.
#[test]
fn a_scheduled_prune_freezes_the_seed_and_ramps_it_down() {
    let mut bench = Bench::new(&["mid"]);
    bench.germinate("mid", "conv_light", "gate_net").unwrap();
    bench.reach(Stage::Holding);
    bench.execute(&Command::SchedulePrune { slot: "mid".into(), steps: 3, reason: "budget".into() }).unwrap();
    let frozen: Vec<_> = bench.model.seed_parameters().map(|p| (p.name.clone(), bits(&p.tensor))).collect();
    let host: Vec<_> = bench.model.host_parameters().map(|p| bits(&p.tensor)).collect();
    let mut losses = vec![bench.loss(Mode::Eval)];
    for _ in 0..2 {
        bench.epoch(80.0, 1.0);
        losses.push(bench.loss(Mode::Eval));
        let now: Vec<_> = bench.model.seed_parameters().map(|p| (p.name.clone(), bits(&p.tensor))).collect();
        assert_eq!(frozen, now);
    }
    assert!(losses.windows(2).all(|w| w[0] != w[1]), "{losses:?}");
    assert_ne!(
        host,
        bench.model.host_parameters().map(|p| bits(&p.tensor)).collect::<Vec<_>>(),
        "the host still learns"
    );
    bench.model.drain_events();
    bench.epoch(80.0, 1.0);
    let report = &bench.model.reports()[0];
    assert_eq!((report.stage, report.parameters), (Stage::Dormant, 0));
    assert_eq!(bench.optimizer.owners().collect::<Vec<_>>(), ["host"]);
    let reasons: Vec<String> = bench
        .model
        .drain_events()
        .into_iter()
        .filter_map(|e| match e.kind {
            EventKind::SeedPruned { reason, .. } => Some(reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["budget"]);
}

/// With `unit = "step"` the ramp ticks with every training step; the stage still changes at the end of an
/// epoch.
#[test]
fn a_ramp_may_count_steps() {
    let alpha = AlphaSettings { tempo: 5, unit: TempoUnit::Step, ..AlphaSettings::default() };
    let mut bench = Bench::with(with_task(&["mid"], |task| task.alpha = alpha));
    bench.germinate("mid", "conv_light", "linear").unwrap();
    bench.reach(Stage::Blending);
    let mut alphas = vec![bench.model.reports()[0].alpha];
    for _ in 0..7 {
        bench.step();
        alphas.push(bench.model.reports()[0].alpha);
    }
    assert_eq!(alphas, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0]);
    assert_eq!(bench.model.reports()[0].stage, Stage::Blending);
    bench.reach(Stage::Holding);
}

/// With `glide_steps`, training approaches the lifecycle's alpha over some steps of the epoch, while
/// evaluations use it at once.
#[test]
fn alpha_glides_within_an_epoch() {
    let mut bench = Bench::with(ModelConfig { glide_steps: 4, ..config(&["mid"], "contiguous") });
    bench.germinate("mid", "conv_light", "linear").unwrap();
    bench.reach(Stage::Blending);
    bench.epoch(80.0, 1.0);
    let at = |bench: &mut Bench, mode| bits(&bench.model.forward(&bench.x, mode).unwrap());
    let forced = |bench: &mut Bench, alpha, mode| {
        let mut guard = bench.model.force_alpha("mid", alpha).unwrap();
        bits(&guard.forward(&bench.x, mode).unwrap())
    };
    for alpha in [0.05, 0.1, 0.15, 0.2, 0.2] {
        assert_eq!(bench.model.reports()[0].alpha, 0.2);
        assert_eq!(at(&mut bench, Mode::Eval), forced(&mut bench, 0.2, Mode::Eval));
        assert_eq!(at(&mut bench, Mode::Train), forced(&mut bench, alpha, Mode::Train), "{alpha}");
        bench.step();
    }
    bench.epoch(80.0, 1.0);
    assert_eq!(
        at(&mut bench, Mode::Train),
        forced(&mut bench, 0.25, Mode::Train),
        "the next glide begins at the previous alpha"
    );
}

#[test]
fn a_cooldown_keeps_the_slot_and_frees_the_memory() {
    let rules = Settings { cooldown_epochs: 2, ..Settings::default() };
    let mut bench = Bench::with(with_task(&["mid"], |task| task.lifecycle = rules));
    bench.germinate("mid", "conv_light", "linear").unwrap();
    bench.epoch(20.0, 0.0);
    bench.execute(&prune("mid")).unwrap();
    assert_eq!(bench.optimizer.owners().collect::<Vec<_>>(), ["host"]);
    let mut stages = Vec::new();
    for _ in 0..3 {
        stages.push(bench.model.reports()[0].stage);
        assert!(bench.germinate("mid", "conv_light", "linear").unwrap_err().starts_with("slot_occupied"));
        bench.epoch(30.0, 0.0);
    }
    assert_eq!(stages, [Stage::Embargoed, Stage::Embargoed, Stage::Resetting]);
    bench.germinate("mid", "conv_light", "linear").unwrap();
}

/// In SHADOWING the distance between the seed's features and the host's is measured, at full alpha.
#[test]
fn a_shadowing_seed_is_compared_with_its_host() {
    let rules = Settings { shadowing_epochs: 1, ..Settings::default() };
    let mut bench = Bench::with(with_task(&["mid"], |task| task.lifecycle = rules));
    bench.germinate("mid", "conv_light", "linear").unwrap();
    bench.reach(Stage::Shadowing);
    assert_eq!((bench.model.reports()[0].stage, bench.model.reports()[0].alpha), (Stage::Shadowing, 1.0));
    (0..3).for_each(|_| bench.step());
    let plan = bench.model.counterfactual_plan();
    let inputs = kasmina::model::EpochInputs {
        accuracy: 80.0,
        plan: &plan,
        without: vec![79.0],
        unhealthy: Vec::new(),
    };
    let raw = bench.model.record_epoch(&inputs, 0).unwrap();
    let distance = raw["block1"].shadow_distance.unwrap();
    assert!(distance.is_finite() && distance > 0.0 && distance < 10.0, "{distance}");
    bench.model.step_epoch(&mut bench.optimizer).unwrap();
    assert_eq!(bench.model.reports()[0].stage, Stage::Holding);
}

/// The guard of a forced alpha changes only the output of forward, and only until it is dropped, also by a
/// panic; guards nest.
#[test]
fn a_forced_alpha_ends_with_its_guard() {
    let mut bench = Bench::new(&["mid", "late"]);
    bench.germinate("mid", "conv_light", "linear").unwrap();
    bench.reach(Stage::Holding);
    let _no_grad = tch::no_grad_guard();
    let out = |bench: &mut Bench| bits(&bench.model.forward(&bench.x, Mode::Eval).unwrap());
    let (as_is, reports) = (out(&mut bench), bench.model.reports());
    let plan = bench.model.counterfactual_plan();
    let without = bench.model.forward_counterfactual(&bench.x, &plan).unwrap().swap_remove(1);
    {
        let mut guard = bench.model.force_alpha("mid", 0.0).unwrap();
        assert_eq!(guard.reports(), reports, "the lifecycle is unchanged");
        let forced = guard.forward(&bench.x, Mode::Eval).unwrap();
        assert!((&forced - &without).abs().max().double_value(&[]) < 1e-5);
        let mut inner = guard.force_alpha("mid", 0.5).unwrap();
        let half = inner.forward(&bench.x, Mode::Eval).unwrap();
        assert_ne!(bits(&half), bits(&forced));
        drop(inner);
        assert_eq!(bits(&guard.forward(&bench.x, Mode::Eval).unwrap()), bits(&forced));
    }
    assert_eq!(out(&mut bench), as_is);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = bench.model.force_alpha("mid", 0.0).unwrap();
        panic!("inside");
    }));
    assert!(panicked.is_err());
    assert_eq!(out(&mut bench), as_is);
    drop(bench.model.force_alpha("late", 1.0).unwrap());
    for (alpha, code) in [(f64::NAN, "non_finite"), (1.1, "out_of_range"), (-0.1, "out_of_range")] {
        assert_eq!(bench.model.force_alpha("mid", alpha).unwrap_err().code(), code);
    }
    assert_eq!(bench.model.force_alpha("attic", 0.5).unwrap_err().code(), "unknown_slot");
}

/// A hundred germinations and prunes, with training in between, leak no tensor memory.
#[test]
fn a_hundred_germinations_and_prunes_leak_no_memory() {
    let mut bench = Bench::new(&["early", "mid"]);
    let mut text = String::from("round  bytes held alive  before  after prune\n");
    let counter = MemoryCounter::start().unwrap();
    let (mut first, mut rounds) = (None, Vec::new());
    for round in 1..=101 {
        let before = counter.read().unwrap().live_bytes;
        bench.germinate("mid", if round % 2 == 0 { "conv_light" } else { "attention" }, "gate_net").unwrap();
        bench.model.capture_gradients().unwrap();
        bench.epoch(20.0, 0.0);
        bench.epoch(20.0, 0.0);
        assert_eq!(bench.model.reports()[1].stage, Stage::Training);
        bench.logits = tch::Tensor::new();
        let held = counter.read().unwrap().live_bytes;
        bench.execute(&prune("mid")).unwrap();
        bench.model.drain_events();
        let after = counter.read().unwrap().live_bytes;
        // The first round fills caches of libtorch.
        let start = *first.get_or_insert(after);
        assert!(held > after, "a seed occupies memory: {held} {after}");
        assert_eq!(after, start, "round {round}");
        let alive = held - after;
        rounds.push(serde_json::json!({ "round": round, "alive": alive, "before": before, "after": after }));
        if round % 25 == 1 {
            let _ = writeln!(text, "{round:>5}  {alive:>16}  {before:>6}  {after:>11}");
        }
    }
    println!("{text}");
    kasmina_tests::runs::write_report("prune_rounds.json", &serde_json::json!({ "bytes": rounds }));
}

/// In fast mode nothing is measured, only stage events are recorded, and gates fail for the missing
/// measurements.
#[test]
fn fast_mode_measures_nothing() {
    let mut bench = Bench::with(ModelConfig { fast_mode: true, ..config(&["mid"], "contiguous") });
    bench.germinate("mid", "conv_light", "linear").unwrap();
    for accuracy in [20.0, 30.0, 40.0] {
        bench.epoch(accuracy, 0.0);
    }
    let report = &bench.model.reports()[0];
    assert_eq!(report.stage, Stage::Training);
    let failed = &report.next_gate.as_ref().unwrap().checks_failed;
    assert_eq!(failed.iter().map(ToString::to_string).collect::<Vec<_>>(), ["gradient_stats_never_measured"]);
    let refused = bench.execute(&Command::Advance { slot: "mid".into(), target: None }).unwrap_err();
    assert!(refused.contains("gradient_stats_never_measured"), "{refused}");
    let events = bench.model.drain_events();
    assert!(events.iter().all(|e| e.kind.is_stage_level()), "{events:?}");
    assert_eq!(events.len(), 2, "germinated, and GERMINATED -> TRAINING: {events:?}");
}

#[test]
fn every_trainable_tensor_has_one_owner() {
    let mut bench = Bench::new(&["early", "late"]);
    bench.germinate("late", "conv_light", "gate_net").unwrap();
    let registry = bench.model.ownership();
    let owners: Vec<String> = bench
        .model
        .host_parameters()
        .chain(bench.model.seed_parameters())
        .map(|p| format!("{:<34} {}", p.name, registry.owner_of(p).unwrap().0))
        .collect();
    insta::assert_snapshot!(owners.join("\n"));
}

#[test]
fn the_settings_and_the_topology_of_a_task_are_checked() {
    let task: TaskConfig = toml::from_str(
        "topology = \"cnn\"\n[alpha]\ntempo = 3\nunit = \"step\"\ncurve = { table = [0.0, 0.7, 1.0] }\n[lifecycle]\nmax_epochs = 40\ncooldown_epochs = 1\n[lifecycle.gates]\nmin_contribution = 2.0\n",
    )
    .unwrap();
    task.validate().unwrap();
    assert_eq!(task.alpha.curve, Some(Curve::Table(vec![0.0, 0.7, 1.0])));
    let wrong = |text: &str| {
        let task: TaskConfig = toml::from_str(text).unwrap();
        task.validate().unwrap_err().to_string()
    };
    assert_eq!(wrong("[alpha]\ntempo = 0"), "`alpha.tempo`: 0 is not at least 1");
    assert_eq!(wrong("[alpha]\ntarget = 1.5"), "`alpha.target`: 1.5 is not at most 1");
    assert_eq!(wrong("[alpha]\nsteepness = nan"), "`alpha.steepness`: it is not a finite number");
    assert_eq!(
        wrong("[lifecycle.gates]\nmin_contribution = -1.0"),
        "`lifecycle.gates.min_contribution`: -1 is not at least 0"
    );
    assert!(toml::from_str::<TaskConfig>("[lifecycle]\nfantasy = 1").is_err());
    let other = with_task(&["mid"], |task| task.topology = Some("transformer".into()));
    let registry = kasmina_tests::registry(&[]);
    let sample = tch::Tensor::zeros([2, 1, 8, 8], (tch::Kind::Float, Device::Cpu));
    let error = kasmina::MorphogeneticModel::build(&registry, &other, &sample).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"slot `block1` of host `kasmina_hosts::cnn` has topology `cnn`; the task requires `transformer`");
}
