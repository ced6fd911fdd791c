//! Another build of a plugin under a live model: taken at the boundary of a step, on trial, confirmed or
//! taken back.

use kasmina::lifecycle::{Event, EventKind, Stage};
use kasmina::model::{ModelError, PanicPolicies, PanicPolicy, Recovered, Stepper, TrialSettings};
use kasmina::{Command, ModelConfig};
use kasmina_tests::behaviours::Waver;
use kasmina_tests::bench::{Bench, Refusing, config, loss};
use kasmina_tests::builds::Builds;
use kasmina_tests::registry;
use kasmina_torch_ext::optim::{AdamW, Optimizer};

struct Run {
    bench: Bench,
    stepper: Stepper,
    losses: Vec<f64>,
    events: Vec<Event>,
}

impl Run {
    /// A model whose seed is being blended in by the build of this mode, and another that fossilizes nothing.
    fn new(builds: &Builds, mode: Waver, trial: u32, on_panic: PanicPolicy) -> Self {
        let config = ModelConfig {
            trial: TrialSettings { steps: trial, call_budget_ms: 100.0 },
            on_panic: PanicPolicies { default: on_panic, ..PanicPolicies::default() },
            ..config(&["block0", "block1"], "contiguous")
        };
        tch::set_num_threads(1);
        let registry = registry(&[]);
        registry.load_file(&builds.make(mode, 0)).unwrap();
        let bench = Bench::on(registry, &config, &[16, 1, 8, 8], Optimizer::new(AdamW::default(), 5e-3));
        let stepper = Stepper::new(&bench.model).unwrap();
        let mut run = Self { bench, stepper, losses: Vec::new(), events: Vec::new() };
        run.bench.germinate("block0", "conv_light", "waver").unwrap();
        run.bench.reach(Stage::Blending);
        run.bench.epoch(30.0, 2.0);
        run.bench.epoch(30.5, 2.0);
        run.bench.model.drain_events();
        run
    }

    fn try_step(&mut self) -> Result<(), ModelError> {
        let Bench { model, optimizer, x, y, .. } = &mut self.bench;
        let value = self.stepper.step(model, optimizer, (x, y), &mut loss)?;
        self.losses.push(value.double_value(&[]));
        Ok(())
    }

    fn recover(&mut self) -> Option<Recovered> {
        let Bench { model, optimizer, registry, .. } = &mut self.bench;
        model.recover(registry, optimizer).unwrap()
    }

    /// Steps, each taken again after a failure that the model deals with.
    fn steps(&mut self, n: usize) -> Vec<Recovered> {
        let mut all = Vec::new();
        for _ in 0..n {
            while let Err(error) = self.try_step() {
                all.push(self.recover().unwrap_or_else(|| panic!("{error}")));
            }
        }
        self.events.extend(self.bench.model.drain_events());
        all
    }

    fn swap(&mut self, build: &std::path::Path) -> Vec<String> {
        let staged = self.bench.registry.stage(build).unwrap();
        let Bench { model, optimizer, registry, .. } = &mut self.bench;
        let slots = model.adopt(&staged, registry, optimizer).unwrap();
        self.events.extend(model.drain_events());
        slots
    }

    fn alpha(&self) -> f64 {
        self.bench.model.slot("block0").unwrap().lifecycle().alpha()
    }

    /// Which build of the blend lives, by its hash.
    fn lives(&self) -> String {
        let (_, blend) = self.bench.model.slot("block0").unwrap().entries().unwrap();
        blend.plugin().generation().unwrap_or("built-in").to_owned()
    }

    fn told(&self) -> Vec<&'static str> {
        self.events
            .iter()
            .filter_map(|event| match event.kind {
                EventKind::PluginSwapped { .. } => Some("swapped"),
                EventKind::PluginConfirmed { .. } => Some("confirmed"),
                EventKind::PluginRolledBack { .. } => Some("rolled back"),
                EventKind::PluginContained { .. } => Some("contained"),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_thousand_swaps_of_equal_code_change_nothing() {
    let builds = Builds::new();
    for mode in [Waver::Linear, Waver::Gate] {
        let (first, second) = (builds.make(mode, 0), builds.make(mode, 1));
        let mut plain = Run::new(&builds, mode, 3, PanicPolicy::Fail);
        let mut swapped = Run::new(&builds, mode, 3, PanicPolicy::Fail);
        let swaps = if mode == Waver::Linear { 1000 } else { 100 };
        for step in 0..swaps {
            let build = if step % 2 == 0 { &second } else { &first };
            assert_eq!(swapped.swap(build), ["block0"], "the living blend moves over");
            swapped.steps(1);
            plain.steps(1);
            if step % 300 == 299 {
                for run in [&mut swapped, &mut plain] {
                    run.bench.edge(31.0 + f64::from(step) / 100.0, 2.0);
                }
            }
        }
        assert_eq!(swapped.losses, plain.losses);
        assert_eq!(swapped.bench.weights(), plain.bench.weights());
        assert_eq!(swapped.alpha(), plain.alpha());
        assert_eq!(swapped.told().iter().filter(|t| **t == "swapped").count(), swaps as usize);
        assert!(!swapped.told().contains(&"rolled back"));
        // Two contents, two mappings, however often they take turns.
        assert_eq!(swapped.bench.registry.retired().len(), 1);
    }
}

#[test]
fn what_fails_on_trial_is_taken_back_and_no_step_is_lost() {
    let builds = Builds::new();
    let mut table = String::new();
    for (mode, before) in [
        (Waver::Nan, Waver::Linear),
        (Waver::Panic, Waver::Linear),
        (Waver::Slow, Waver::Linear),
        (Waver::Error, Waver::Linear),
        (Waver::WrongShape, Waver::Linear),
        (Waver::GateThenNan, Waver::Gate),
    ] {
        let mut plain = Run::new(&builds, before, 16, PanicPolicy::Fail);
        let mut run = Run::new(&builds, before, 16, PanicPolicy::Fail);
        let good = run.lives();
        run.swap(&builds.make(mode, 0));
        assert_ne!(run.lives(), good);
        let recovered = run.steps(12);
        plain.steps(12);
        assert_eq!(run.lives(), good);
        let [Recovered::RolledBack { plugin, reason }] = recovered.as_slice() else {
            panic!("{recovered:?}")
        };
        table += &format!("{mode:?}: {plugin}: {}\n", reason.split(" took ").next().unwrap());
        assert_eq!(run.told(), ["swapped", "rolled back"], "{mode:?}");
        // The build before it stands in the registry again, for seeds to come.
        let entry = run.bench.registry.resolve(kasmina_plugin_api::Kind::Blend, "waver").unwrap();
        assert_eq!(entry.plugin().generation(), Some(good.as_str()));
        if mode != Waver::GateThenNan {
            // Its good steps were the same ones, and the failed one was taken again: nothing is left of it.
            assert_eq!(run.losses, plain.losses, "{mode:?}");
            assert_eq!(run.bench.weights(), plain.bench.weights(), "{mode:?}");
        }
        assert_eq!(run.losses.len(), 12);
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_build_that_holds_its_trial_stays() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 5, PanicPolicy::Fail);
    run.swap(&builds.make(Waver::LatePanic, 0));
    assert!(run.bench.model.is_on_trial());
    run.steps(4);
    assert_eq!(run.told(), ["swapped"]);
    run.steps(1);
    assert_eq!(run.told(), ["swapped", "confirmed"]);
    assert!(!run.bench.model.is_on_trial());
    // What it does later is no longer the swap's: the slot's policy decides, and here it is to fail.
    run.steps(55);
    let error = run.try_step().unwrap_err().to_string();
    assert!(error.contains("told to panic late"), "{error}");
    assert!(run.recover().is_none());
}

#[test]
fn a_refused_build_ends_no_trial() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 20, PanicPolicy::Fail);
    let good = run.lives();
    run.swap(&builds.make(Waver::Nan, 0));
    for refused in [Waver::AlwaysNan, Waver::FailsInBuild] {
        let staged = run.bench.registry.stage(&builds.make(refused, 5)).unwrap();
        let Bench { model, optimizer, registry, .. } = &mut run.bench;
        assert!(model.adopt(&staged, registry, optimizer).is_err());
        assert!(model.is_on_trial());
    }
    // The bytes that are on trial, once more: nothing changes either.
    assert!(run.swap(&builds.make(Waver::Nan, 0)).is_empty() && run.bench.model.is_on_trial());
    assert_eq!(run.steps(8).len(), 1);
    assert_eq!((run.lives(), run.told()), (good, vec!["swapped", "rolled back"]));
}

#[test]
fn what_germinates_during_a_trial_goes_back_with_it() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 20, PanicPolicy::Fail);
    let good = run.lives();
    run.swap(&builds.make(Waver::Nan, 0));
    run.bench.germinate("block1", "conv_light", "waver").unwrap();
    let newcomer = |run: &Run| {
        let slot = run.bench.model.slot("block1").unwrap();
        slot.entries().unwrap().1.plugin().generation().unwrap().to_owned()
    };
    assert_ne!(newcomer(&run), good);
    assert_eq!(run.steps(8).len(), 1);
    assert_eq!((run.lives(), newcomer(&run)), (good.clone(), good));
}

#[test]
fn another_curve_begins_where_alpha_is() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 2, PanicPolicy::Fail);
    let (before, ticks) =
        (run.alpha(), run.bench.model.slot("block0").unwrap().lifecycle().living().unwrap().alpha.ticks());
    assert!(before > 0.0 && before < 1.0 && ticks.0 > 0, "{before} {ticks:?}");
    run.swap(&builds.make(Waver::OtherCurve, 0));
    assert_eq!(run.alpha(), before, "continuous");
    let anchored = run.bench.model.slot("block0").unwrap().lifecycle().living().unwrap().alpha.ticks();
    assert_eq!(anchored, (0, ticks.1 - ticks.0), "what is left of the ramp begins here");
    run.steps(3);
    let inputs = run.bench.edge(31.0, 2.0);
    assert_eq!(inputs["block0"].interventions.len(), 1, "for whoever decides the run again");
    let mut alpha = run.alpha();
    assert!(alpha > before);
    while run.bench.model.slot("block0").unwrap().lifecycle().stage() == Stage::Blending {
        run.steps(1);
        run.bench.edge(31.5, 2.0);
        assert!(run.alpha() >= alpha);
        alpha = run.alpha();
    }
    assert_eq!(alpha, 1.0, "exactly at its target");
}

#[test]
fn what_does_not_fit_is_not_taken_and_changes_nothing() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Gate, 4, PanicPolicy::Fail);
    let (before, lives) = (run.bench.weights(), run.lives());
    let mut table = String::new();
    for mode in [Waver::AlwaysNan, Waver::FailsInBuild] {
        let staged = run.bench.registry.stage(&builds.make(mode, 0)).unwrap();
        let Bench { model, optimizer, registry, .. } = &mut run.bench;
        let error = model.adopt(&staged, registry, optimizer).unwrap_err();
        table += &format!("{mode:?} {}: {error}\n", error.code());
    }
    // The optimizer may refuse as well.
    let staged = run.bench.registry.stage(&builds.make(Waver::Gate, 9)).unwrap();
    let Bench { model, optimizer, registry, .. } = &mut run.bench;
    let error = model.adopt(&staged, registry, &mut Refusing { optimizer, left: 0 }).unwrap_err();
    table += &format!("{}: {error}\n", error.code());
    insta::assert_snapshot!(table);
    assert_eq!((run.bench.weights(), run.lives()), (before, lives));
    assert!(run.told().is_empty() && !run.bench.model.is_on_trial());
    assert!(run.steps(4).is_empty());
}

#[test]
fn a_panic_in_a_live_call_follows_the_policy_of_its_slot() {
    let builds = Builds::new();
    for policy in [PanicPolicy::Freeze, PanicPolicy::Builtin, PanicPolicy::PreviousGeneration] {
        let mut run = Run::new(&builds, Waver::Linear, 2, policy);
        let first = run.lives();
        run.swap(&builds.make(Waver::LatePanic, 0));
        let recovered = run.steps(70);
        assert_eq!(recovered.len(), 1, "{policy:?} {recovered:?}");
        assert_eq!(run.told(), ["swapped", "confirmed", "contained"]);
        let alpha = run.alpha();
        match policy {
            PanicPolicy::PreviousGeneration => assert_eq!(run.lives(), first),
            _ => assert_eq!(run.lives(), "built-in"),
        }
        run.bench.edge(31.0, 2.0);
        assert_eq!(run.alpha() == alpha, policy == PanicPolicy::Freeze, "{policy:?}");
        assert_eq!(run.losses.len(), 70);
        assert!(run.losses.iter().all(|l| l.is_finite()));
    }
    // Without an earlier build there is nothing to go back to, and the failure stands.
    let mut run = Run::new(&builds, Waver::LatePanic, 2, PanicPolicy::PreviousGeneration);
    run.bench.model.drain_events();
    let failed = (0..70).find_map(|_| run.try_step().err());
    assert!(failed.is_some() && run.recover().is_none());
}

#[test]
fn a_seed_that_panics_is_pruned_where_the_policy_is_not_to_fail() {
    for (policy, survives) in [(PanicPolicy::Fail, false), (PanicPolicy::Builtin, true)] {
        let config = ModelConfig {
            on_panic: PanicPolicies {
                slots: [("early".to_owned(), policy)].into(),
                ..PanicPolicies::default()
            },
            ..config(&["block0"], "contiguous")
        };
        let mut bench = Bench::with(&config);
        bench.germinate("early", "panics_later", "linear").unwrap();
        bench.reach(Stage::Training);
        let mut stepper = Stepper::new(&bench.model).unwrap();
        let mut contained = 0;
        for _ in 0..60 {
            let Bench { model, optimizer, x, y, registry, .. } = &mut bench;
            let Err(error) = stepper.step(model, optimizer, (x, y), &mut loss) else { continue };
            if model.recover(registry, optimizer).unwrap().is_none() {
                assert!(!survives, "{error}");
                break;
            }
            contained += 1;
        }
        assert_eq!(contained, u32::from(survives));
        let pruned = bench.model.drain_events().into_iter().find_map(|event| match event.kind {
            EventKind::SeedPruned { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(pruned.as_deref(), survives.then_some("plugin_panic"));
    }
}

#[test]
fn a_slot_that_is_pruned_during_a_trial_leaves_nothing_behind() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Gate, 50, PanicPolicy::Fail);
    run.swap(&builds.make(Waver::Gate, 1));
    run.steps(2);
    run.bench.execute(&Command::Prune { slot: "block0".into(), reason: "enough".into() }).unwrap();
    run.steps(3);
    assert!(run.bench.optimizer.owners().eq(["host"]));
    run.bench.germinate("block0", "conv_light", "waver").unwrap();
    assert!(run.steps(3).is_empty());
}

/// A model that moves to another device keeps the build that a panic policy goes back to.
#[test]
fn a_moved_model_still_goes_back_to_the_previous_generation() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 2, PanicPolicy::PreviousGeneration);
    let first = run.lives();
    run.swap(&builds.make(Waver::LatePanic, 0));
    run.steps(3);
    assert_eq!(run.told(), ["swapped", "confirmed"]);
    run.bench.model.to_device(tch::Device::Cpu, &mut run.bench.optimizer).unwrap();
    let recovered = run.steps(70);
    assert_eq!(recovered.len(), 1, "{recovered:?}");
    assert_eq!(run.lives(), first);
    assert_eq!(run.told(), ["swapped", "confirmed", "contained"]);
}

/// Whatever the optimizer refuses, a rollback that fails leaves the trial as it was, and can be tried again.
#[test]
fn a_rollback_that_fails_changes_nothing() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Gate, 50, PanicPolicy::Fail);
    let good = run.lives();
    run.swap(&builds.make(Waver::GateThenNan, 0));
    let tried = run.lives();
    // It has only ever lived on the build that is on trial, and must move to the one before.
    run.bench.germinate("block1", "conv_light", "waver").unwrap();
    let weights = run.bench.weights();
    let mut refused = 0;
    for left in 0.. {
        let Bench { model, optimizer, registry, .. } = &mut run.bench;
        let mut sink = Refusing { optimizer, left };
        match model.roll_back("it is told to", registry, &mut sink) {
            Ok(recovered) => {
                assert!(matches!(recovered, Some(Recovered::RolledBack { .. })));
                break;
            }
            Err(error) => assert!(error.to_string().contains("told to refuse"), "{error}"),
        }
        refused += 1;
        assert!(run.bench.model.is_on_trial(), "after {left} preparations");
        assert_eq!((run.lives(), run.bench.weights()), (tried.clone(), weights.clone()));
        let entry = run.bench.registry.resolve(kasmina_plugin_api::Kind::Blend, "waver").unwrap();
        assert_eq!(entry.plugin().generation(), Some(tried.as_str()), "the registry follows the model");
    }
    assert_eq!(refused, 2, "one group is restored, one is substituted");
    assert_eq!(run.lives(), good);
    assert!(!run.bench.model.is_on_trial());
    let blends: Vec<String> = run
        .bench
        .model
        .slots()
        .iter()
        .filter_map(|s| s.entries())
        .map(|(_, blend)| blend.plugin().generation().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(blends, [good.clone(), good]);
    assert!(run.steps(8).is_empty());
}

/// A call into an instance that has panicked is journaled as what it is.
#[test]
fn a_command_that_meets_a_poisoned_blend_says_so() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::LatePanic, 2, PanicPolicy::Fail);
    let failed = (0..70).find_map(|_| run.try_step().err());
    assert!(failed.is_some() && run.recover().is_none());
    let retarget =
        kasmina::Command::SetAlphaTarget { slot: "block0".into(), target: 0.5, steps: 3, curve: None };
    let Bench { model, optimizer, registry, .. } = &mut run.bench;
    let error = model.execute(&retarget, registry, optimizer).unwrap_err();
    assert_eq!(error.code(), "plugin_panic", "{error}");
    let told = model.drain_events().into_iter().find_map(|event| match event.kind {
        EventKind::Command { error, .. } => error,
        _ => None,
    });
    assert!(told.is_some_and(|told| told.starts_with("plugin_panic: ")));
}
