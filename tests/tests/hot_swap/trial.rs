//! Trials of builds: confirmed, rolled back, or refused.

use crate::run::Run;
use kasmina::Command;
use kasmina::lifecycle::Stage;
use kasmina::model::{PanicPolicy, Recovered};
use kasmina_tests::behaviours::Waver;
use kasmina_tests::bench::{Bench, RefusingOptimizer};
use kasmina_tests::builds::Builds;

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
            assert_eq!(swapped.swap(build), ["block0"], "the blend moves to the new build");
            swapped.steps(1);
            plain.steps(1);
            if step % 300 == 299 {
                for run in [&mut swapped, &mut plain] {
                    run.bench.end_epoch(31.0 + f64::from(step) / 100.0, 2.0);
                }
            }
        }
        assert_eq!(swapped.losses, plain.losses);
        assert_eq!(swapped.bench.weights(), plain.bench.weights());
        assert_eq!(swapped.alpha(), plain.alpha());
        assert_eq!(swapped.swap_events().iter().filter(|t| **t == "swapped").count(), swaps as usize);
        assert!(!swapped.swap_events().contains(&"rolled back"));
        // Each of the two builds is mapped once, however often they alternate.
        assert_eq!(swapped.bench.registry.retired().len(), 1);
    }
}

#[test]
fn a_build_that_fails_on_trial_is_rolled_back_and_no_step_is_lost() {
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
        let good = run.blend_build();
        run.swap(&builds.make(mode, 0));
        assert_ne!(run.blend_build(), good);
        let recovered = run.steps(12);
        plain.steps(12);
        assert_eq!(run.blend_build(), good);
        let [Recovered::RolledBack { plugin, reason }] = recovered.as_slice() else {
            panic!("{recovered:?}")
        };
        table += &format!("{mode:?}: {plugin}: {}\n", reason.split(" took ").next().unwrap());
        assert_eq!(run.swap_events(), ["swapped", "rolled back"], "{mode:?}");
        // The registry resolves to the previous build again, for later seeds.
        let entry = run.bench.registry.resolve(kasmina_plugin_api::Kind::Blend, "waver").unwrap();
        assert_eq!(entry.plugin().generation(), Some(good.as_str()));
        if mode != Waver::GateThenNan {
            // The steps before the failure were the same, and the failed step was repeated on the previous
            // build.
            assert_eq!(run.losses, plain.losses, "{mode:?}");
            assert_eq!(run.bench.weights(), plain.bench.weights(), "{mode:?}");
        }
        assert_eq!(run.losses.len(), 12);
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_build_that_passes_its_trial_stays() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 5, PanicPolicy::Fail);
    run.swap(&builds.make(Waver::LatePanic, 0));
    assert!(run.bench.model.is_on_trial());
    run.steps(4);
    assert_eq!(run.swap_events(), ["swapped"]);
    run.steps(1);
    assert_eq!(run.swap_events(), ["swapped", "confirmed"]);
    assert!(!run.bench.model.is_on_trial());
    // After the trial, a panic follows the slot's policy, here `Fail`.
    run.steps(55);
    let error = run.try_step().unwrap_err().to_string();
    assert!(error.contains("told to panic late"), "{error}");
    assert!(run.recover().is_none());
}

#[test]
fn a_refused_build_ends_no_trial() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 20, PanicPolicy::Fail);
    let good = run.blend_build();
    run.swap(&builds.make(Waver::Nan, 0));
    for refused in [Waver::AlwaysNan, Waver::FailsInBuild] {
        let staged = run.bench.registry.stage(&builds.make(refused, 5)).unwrap();
        let Bench { model, optimizer, registry, .. } = &mut run.bench;
        assert!(model.adopt(&staged, registry, optimizer).is_err());
        assert!(model.is_on_trial());
    }
    // Swapping in the build that is on trial changes nothing either.
    assert!(run.swap(&builds.make(Waver::Nan, 0)).is_empty() && run.bench.model.is_on_trial());
    assert_eq!(run.steps(8).len(), 1);
    assert_eq!((run.blend_build(), run.swap_events()), (good, vec!["swapped", "rolled back"]));
}

#[test]
fn a_seed_germinated_during_a_trial_is_rolled_back_too() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 20, PanicPolicy::Fail);
    let good = run.blend_build();
    run.swap(&builds.make(Waver::Nan, 0));
    run.bench.germinate("block1", "conv_light", "waver").unwrap();
    let second_build = |run: &Run| {
        let slot = run.bench.model.slot("block1").unwrap();
        slot.entries().unwrap().1.plugin().generation().unwrap().to_owned()
    };
    assert_ne!(second_build(&run), good);
    assert_eq!(run.steps(8).len(), 1);
    assert_eq!((run.blend_build(), second_build(&run)), (good.clone(), good));
}

#[test]
fn another_curve_continues_from_the_current_alpha() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 2, PanicPolicy::Fail);
    let (before, ticks) =
        (run.alpha(), run.bench.model.slot("block0").unwrap().lifecycle().living().unwrap().alpha.ticks());
    assert!(before > 0.0 && before < 1.0 && ticks.0 > 0, "{before} {ticks:?}");
    run.swap(&builds.make(Waver::OtherCurve, 0));
    assert_eq!(run.alpha(), before, "alpha does not jump");
    let remaining = run.bench.model.slot("block0").unwrap().lifecycle().living().unwrap().alpha.ticks();
    assert_eq!(remaining, (0, ticks.1 - ticks.0), "the rest of the ramp begins at the current alpha");
    run.steps(3);
    let inputs = run.bench.end_epoch(31.0, 2.0);
    assert_eq!(inputs["block0"].interventions.len(), 1, "the intervention is recorded for a replay");
    let mut alpha = run.alpha();
    assert!(alpha > before);
    while run.bench.model.slot("block0").unwrap().lifecycle().stage() == Stage::Blending {
        run.steps(1);
        run.bench.end_epoch(31.5, 2.0);
        assert!(run.alpha() >= alpha);
        alpha = run.alpha();
    }
    assert_eq!(alpha, 1.0, "exactly at its target");
}

#[test]
fn a_build_that_does_not_fit_is_refused_and_changes_nothing() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Gate, 4, PanicPolicy::Fail);
    let (before, build) = (run.bench.weights(), run.blend_build());
    let mut table = String::new();
    for mode in [Waver::AlwaysNan, Waver::FailsInBuild] {
        let staged = run.bench.registry.stage(&builds.make(mode, 0)).unwrap();
        let Bench { model, optimizer, registry, .. } = &mut run.bench;
        let error = model.adopt(&staged, registry, optimizer).unwrap_err();
        table += &format!("{mode:?} {}: {error}\n", error.code());
    }
    // A refusal by the optimizer.
    let staged = run.bench.registry.stage(&builds.make(Waver::Gate, 9)).unwrap();
    let Bench { model, optimizer, registry, .. } = &mut run.bench;
    let error = model.adopt(&staged, registry, &mut RefusingOptimizer { optimizer, left: 0 }).unwrap_err();
    table += &format!("{}: {error}\n", error.code());
    insta::assert_snapshot!(table);
    assert_eq!((run.bench.weights(), run.blend_build()), (before, build));
    assert!(run.swap_events().is_empty() && !run.bench.model.is_on_trial());
    assert!(run.steps(4).is_empty());
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

/// A rollback that the optimizer refuses, at any point, leaves the trial as it was and can be repeated.
#[test]
fn a_rollback_that_fails_changes_nothing() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Gate, 50, PanicPolicy::Fail);
    let good = run.blend_build();
    run.swap(&builds.make(Waver::GateThenNan, 0));
    let tried = run.blend_build();
    // This seed was germinated on the build that is on trial and must move to the previous one.
    run.bench.germinate("block1", "conv_light", "waver").unwrap();
    let weights = run.bench.weights();
    let mut refused = 0;
    for left in 0.. {
        let Bench { model, optimizer, registry, .. } = &mut run.bench;
        let mut sink = RefusingOptimizer { optimizer, left };
        match model.roll_back("requested by the test", registry, &mut sink) {
            Ok(recovered) => {
                assert!(matches!(recovered, Some(Recovered::RolledBack { .. })));
                break;
            }
            Err(error) => assert!(error.to_string().contains("told to refuse"), "{error}"),
        }
        refused += 1;
        assert!(run.bench.model.is_on_trial(), "after {left} preparations");
        assert_eq!((run.blend_build(), run.bench.weights()), (tried.clone(), weights.clone()));
        let entry = run.bench.registry.resolve(kasmina_plugin_api::Kind::Blend, "waver").unwrap();
        assert_eq!(entry.plugin().generation(), Some(tried.as_str()), "the registry follows the model");
    }
    assert_eq!(refused, 2, "one group is restored, one is replaced");
    assert_eq!(run.blend_build(), good);
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
