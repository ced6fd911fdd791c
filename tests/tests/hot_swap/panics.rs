//! Panics outside of a trial, and the policies for them.

use crate::run::Run;
use kasmina::ModelConfig;
use kasmina::lifecycle::{EventKind, Stage};
use kasmina::model::{PanicPolicies, PanicPolicy, Stepper};
use kasmina_tests::behaviours::Waver;
use kasmina_tests::bench::{Bench, config, loss};
use kasmina_tests::builds::Builds;

#[test]
fn a_panic_in_a_live_call_follows_the_policy_of_its_slot() {
    let builds = Builds::new();
    for policy in [PanicPolicy::Freeze, PanicPolicy::Builtin, PanicPolicy::PreviousGeneration] {
        let mut run = Run::new(&builds, Waver::Linear, 2, policy);
        let first = run.blend_build();
        run.swap(&builds.make(Waver::LatePanic, 0));
        let recovered = run.steps(70);
        assert_eq!(recovered.len(), 1, "{policy:?} {recovered:?}");
        assert_eq!(run.swap_events(), ["swapped", "confirmed", "contained"]);
        let alpha = run.alpha();
        match policy {
            PanicPolicy::PreviousGeneration => assert_eq!(run.blend_build(), first),
            _ => assert_eq!(run.blend_build(), "built-in"),
        }
        run.bench.end_epoch(31.0, 2.0);
        assert_eq!(run.alpha() == alpha, policy == PanicPolicy::Freeze, "{policy:?}");
        assert_eq!(run.losses.len(), 70);
        assert!(run.losses.iter().all(|l| l.is_finite()));
    }
    // Without a previous build, the failure remains an error.
    let mut run = Run::new(&builds, Waver::LatePanic, 2, PanicPolicy::PreviousGeneration);
    run.bench.model.drain_events();
    let failed = (0..70).find_map(|_| run.try_step().err());
    assert!(failed.is_some() && run.recover().is_none());
}

#[test]
fn a_seed_that_panics_is_pruned_unless_the_policy_is_fail() {
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

/// A model that moves to another device keeps the previous build for the panic policy.
#[test]
fn a_moved_model_still_goes_back_to_the_previous_generation() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::Linear, 2, PanicPolicy::PreviousGeneration);
    let first = run.blend_build();
    run.swap(&builds.make(Waver::LatePanic, 0));
    run.steps(3);
    assert_eq!(run.swap_events(), ["swapped", "confirmed"]);
    run.bench.model.to_device(tch::Device::Cpu, &mut run.bench.optimizer).unwrap();
    let recovered = run.steps(70);
    assert_eq!(recovered.len(), 1, "{recovered:?}");
    assert_eq!(run.blend_build(), first);
    assert_eq!(run.swap_events(), ["swapped", "confirmed", "contained"]);
}

/// A call into an instance that has panicked has the code `plugin_panic` in the journal.
#[test]
fn a_command_to_a_poisoned_blend_reports_the_panic() {
    let builds = Builds::new();
    let mut run = Run::new(&builds, Waver::LatePanic, 2, PanicPolicy::Fail);
    let failed = (0..70).find_map(|_| run.try_step().err());
    assert!(failed.is_some() && run.recover().is_none());
    let retarget =
        kasmina::Command::SetAlphaTarget { slot: "block0".into(), target: 0.5, steps: 3, curve: None };
    let Bench { model, optimizer, registry, .. } = &mut run.bench;
    let error = model.execute(&retarget, registry, optimizer).unwrap_err();
    assert_eq!(error.code(), "plugin_panic", "{error}");
    let error = model.drain_events().into_iter().find_map(|event| match event.kind {
        EventKind::Command { error, .. } => error,
        _ => None,
    });
    assert!(error.is_some_and(|error| error.starts_with("plugin_panic: ")));
}
