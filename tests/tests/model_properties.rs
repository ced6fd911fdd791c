//! Property tests of the lifecycle: a million operations in random sequences, with arbitrary numbers.

use kasmina::lifecycle::{
    AlphaSettings, BlendPlan, Curve, Gate, Germination, GradientCapture, Isolation, Operation, QualityGates,
    Settings, Stage, TempoUnit,
};
use kasmina_plugin_api::Topology;
use kasmina_tests::laws;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

const MILLION: usize = 1_000_000;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..100.0_f64,
        2 => -5.0..5.0_f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => any::<f64>(),
    ]
}

/// Mostly a number of this range, sometimes any number.
fn near(usual: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    prop_oneof![6 => usual, 1 => number()]
}

fn curve() -> impl Strategy<Value = Option<Curve>> {
    prop::option::of(prop_oneof![
        Just(Curve::Linear),
        Just(Curve::Cosine),
        Just(Curve::Sigmoid),
        Just(Curve::Tanh),
        prop::collection::vec(near(0.0..1.0), 0..5).prop_map(Curve::Table),
    ])
}

fn germinate() -> impl Strategy<Value = Operation> {
    let id = prop_oneof![9 => Just("s"), 1 => Just("")];
    let unit = prop_oneof![3 => Just(TempoUnit::Epoch), 1 => Just(TempoUnit::Step)];
    let params = (0..5000_u64, 0..5000_u64);
    (id, 0..8_u32, unit, near(0.05..1.0), curve(), near(1.0..20.0), params).prop_map(
        |(id, tempo, unit, target, curve, steepness, (seed_params, host_params))| {
            let alpha = AlphaSettings { tempo, unit, target, curve, steepness };
            let plan = BlendPlan { id: "sigmoid".to_owned(), alpha };
            Operation::Germinate(Box::new(Germination {
                seed_params,
                host_params,
                ..Germination::new(id, "b", plan)
            }))
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    let reason = || "asked to".to_owned();
    prop_oneof![
        3 => germinate(),
        6 => near(0.0..100.0).prop_map(|accuracy| Operation::Validation { accuracy }),
        5 => (near(0.0..2.0), near(0.1..2.0), prop::bool::weighted(0.05)).prop_map(|(seed, host, violation)| {
            Operation::Gradients(GradientCapture { violation, ..GradientCapture::new(seed, host) })
        }),
        3 => near(-2.0..20.0).prop_map(|contribution| Operation::Counterfactual { contribution }),
        1 => any::<bool>().prop_map(|healthy| Operation::Health { healthy, cause: "reported".to_owned() }),
        2 => Just(Operation::Tick),
        5 => Just(Operation::StepEpoch),
        4 => prop_oneof![3 => Just(None), 1 => prop::sample::select(Stage::ALL.to_vec()).prop_map(Some)]
            .prop_map(|target| Operation::Advance { target }),
        2 => (near(0.05..1.0), 0..6_u32, curve())
            .prop_map(|(target, steps, curve)| Operation::SetAlphaTarget { target, steps, curve }),
        1 => (0..4_u32, curve())
            .prop_map(move |(steps, curve)| Operation::SchedulePrune { steps, reason: reason(), curve }),
        1 => Just(Operation::Prune { reason: reason() }),
    ]
}

/// The operations of an epoch as a trainer applies them, mostly of a seed that improves, so that later stages
/// are reached.
fn epoch() -> impl Strategy<Value = Vec<Operation>> {
    (0.0..100.0_f64, 0.05..2.0_f64, -0.5..8.0_f64, prop::bool::weighted(0.1)).prop_map(
        |(accuracy, ratio, contribution, advance)| {
            let mut all = vec![
                Operation::Validation { accuracy },
                Operation::Gradients(GradientCapture::new(ratio, 0.2)),
                Operation::Counterfactual { contribution },
                Operation::StepEpoch,
            ];
            all.extend(advance.then_some(Operation::Advance { target: None }));
            all
        },
    )
}

/// A valid germination, an epoch, or any operation.
fn piece() -> impl Strategy<Value = Vec<Operation>> {
    let good = (1..5_u32, 0.3..=1.0_f64).prop_map(|(tempo, target)| {
        let alpha = AlphaSettings { tempo, target, ..AlphaSettings::default() };
        let plan = BlendPlan { id: "linear".to_owned(), alpha };
        vec![Operation::Germinate(Box::new(Germination::new("s", "b", plan)))]
    });
    prop_oneof![2 => good, 6 => epoch(), 5 => operation().prop_map(|one| vec![one])]
}

fn settings() -> impl Strategy<Value = Settings> {
    let gates = prop::sample::subsequence(vec![Gate::G1, Gate::G2, Gate::G3, Gate::G4], 2..=4);
    let limits = (0.0..2.0_f64, 0..3_u32, 0.5..1.0_f64, 0.0..0.5_f64, 0.0..3.0_f64);
    let isolation =
        prop::sample::select(vec![Isolation::Always, Isolation::ReleaseAtHolding, Isolation::Never]);
    let times = (prop::option::of(1..100_u32), prop::option::of(1..8_u32), 0..3_u32, 0..3_u32);
    (gates, limits, any::<bool>(), times, isolation).prop_map(
        |(
            auto,
            limits,
            permissive,
            (max_epochs, holding_timeout, cooldown_epochs, shadowing_epochs),
            isolation,
        )| {
            let (improvement, blending, stability, ratio, contribution) = limits;
            Settings {
                gates: QualityGates {
                    min_training_improvement: improvement,
                    min_blending_epochs: blending,
                    max_isolation_violations: 3,
                    min_holding_stability: stability,
                    min_seed_gradient_ratio: ratio,
                    min_contribution: contribution,
                },
                auto_advance: auto.into_iter().collect(),
                permissive,
                max_epochs,
                holding_timeout,
                cooldown_epochs,
                shadowing_epochs,
                isolation,
                ..Settings::default()
            }
        },
    )
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// No panic, no illegal stage, alpha in `[0, 1]`; what is refused changes nothing.
#[test]
fn a_million_operations_violate_no_invariant() {
    let cases = 20_000;
    let seen: RefCell<BTreeMap<Stage, usize>> = RefCell::default();
    let topology = prop::sample::select(vec![Topology::CNN, Topology::TRANSFORMER]);
    let pieces = prop::collection::vec(piece(), 15..=35).prop_map(|pieces| pieces.concat());
    let sequence = (settings(), topology, pieces);
    runner(cases)
        .run(&sequence, |(settings, topology, operations)| {
            for stage in laws::lifecycle(&settings, topology, &operations) {
                *seen.borrow_mut().entry(stage).or_default() += 1;
            }
            Ok(())
        })
        .unwrap();
    let seen = seen.into_inner();
    let done: usize = seen.values().sum();
    println!("{done} operations in {cases} sequences; stages after them: {seen:?}");
    assert!(done >= MILLION, "{done} operations are too few");
    // Each stage must be reached often enough for its invariants to be tested.
    assert_eq!(seen.len(), 9, "every stage that a slot can rest in: {seen:?}");
    assert!(seen.values().all(|n| *n >= 10_000), "{seen:?}");
}

/// Decodes random bytes as the fuzz targets do.
#[test]
fn operations_decoded_from_any_bytes_violate_no_invariant() {
    let done = Cell::new(0);
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    runner(2_000)
        .run(&bytes, |bytes| {
            let (settings, topology, operations) = laws::operations(&bytes);
            done.set(done.get() + laws::lifecycle(&settings, topology, &operations).len());
            Ok(())
        })
        .unwrap();
    println!("{} operations out of bytes", done.get());
    assert!(done.get() > 20_000);
}

/// Every text is either a script or an error with its position; parsing never panics.
#[test]
fn any_text_is_a_script_or_an_error() {
    let piece = prop::sample::select(vec![
        r#"{"op":"germinate","seed_id":"s","blueprint_id":"b","blend":{"id":"linear"},"seed_params":9,"host_params":90}"#,
        r#"{"op":"validation","accuracy":50.5}"#,
        r#"{"op":"validation","accuracy":"NaN"}"#,
        r#"{"op":"gradients","seed_norm":0.5,"host_norm":"Infinity"}"#,
        r#"{"op":"counterfactual","contribution":-1}"#,
        r#"{"op":"health","healthy":false}"#,
        r#"{"op":"step_epoch"}"#,
        r#"{"op":"advance","target":"HOLDING"}"#,
        r#"{"op":"prune","reason":""}"#,
        r#"{"op":"schedule_prune","steps":2,"reason":"r"}"#,
        r#"{"op":"set_alpha_target","target":0.5,"steps":3,"curve":{"table":[0,0.5,1]}}"#,
        r#"{"op":"dance"}"#,
        r#"{"op":"validation","accuracy":-1e999}"#,
        "null",
    ]);
    let script = prop::collection::vec(piece, 0..30).prop_map(|ops| {
        format!(
            r#"{{"schema":1,"slot":{{"id":"early","topology":"cnn"}},"settings":{{"cooldown_epochs":1}},"ops":[{}]}}"#,
            ops.join(",")
        )
    });
    // A script with up to two characters replaced.
    let altered = (script, prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 0..3))
        .prop_map(|(text, changes)| {
            let mut text: Vec<char> = text.chars().collect();
            for (index, new) in changes {
                let place = index.index(text.len());
                text[place] = new;
            }
            text.into_iter().collect::<String>()
        });
    let done = Cell::new(0);
    runner(4_000)
        .run(&altered, |text| {
            done.set(done.get() + laws::script(&text));
            Ok(())
        })
        .unwrap();
    assert!(done.get() > 100, "too few texts were scripts");
}
