//! Full training runs with the default gates: seeds of a few blueprints fossilize, seeds of the control,
//! `noop`, do not. `kasmina-bench --fossils` trains all blueprints.

use kasmina::lifecycle::QualityGates;
use kasmina_trainer::{RunConfig, Summary, Trainer};
use std::sync::atomic::AtomicBool;

fn train(task: &str, blueprint: &str) -> Summary {
    let mut config = RunConfig::for_task(task).unwrap();
    blueprint.clone_into(&mut config.blueprint);
    "cpu".clone_into(&mut config.device);
    assert_eq!(config.lifecycle.gates, QualityGates::default(), "the gates are the default ones");
    let registry = kasmina_tests::registry(&[]);
    Trainer::prepare(config, &registry).unwrap().run(None, &mut (), &AtomicBool::new(false)).unwrap()
}

#[test]
fn seeds_of_both_topologies_are_fossilized_and_the_control_is_not() {
    for (task, blueprint) in [("digits", "conv_small"), ("addition", "mlp")] {
        let summary = train(task, blueprint);
        let fossils = summary.seeds.iter().filter(|seed| seed.fate == "fossilized");
        let contributions: Vec<f64> = fossils.filter_map(|seed| seed.contribution).collect();
        assert!(
            !contributions.is_empty() && contributions.iter().all(|c| *c >= 1.0),
            "{blueprint} on {task}: {summary:#?}"
        );
    }
    let control = train("digits", "noop");
    assert!(control.germinated > 1 && control.fossilized == 0, "{control:#?}");
    let reasons: Vec<_> = control.seeds.iter().filter_map(|seed| seed.reason.as_deref()).collect();
    assert!(
        reasons.iter().all(|reason| *reason == "max_training_epochs"),
        "a seed of the control passed G2: {reasons:?}"
    );
}
