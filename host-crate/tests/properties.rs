//! What holds for every sequence of operations, with any numbers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]
use kasmina::lifecycle::{
    BlendPlan, Germination, GradientCapture, Initiator, Lifecycle, RefusalCode, Settings, Stage,
};
use kasmina_plugin_api::Topology;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Germinate { target: f64, tempo: u32, steepness: f64 },
    Validation(f64),
    Gradients(f64, f64),
    Counterfactual(f64),
    Health(bool),
    StepEpoch,
    Advance(Option<Stage>),
    Prune,
}

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

fn op() -> impl Strategy<Value = Op> {
    let good = (0.01..=1.0_f64, 1..8_u32).prop_map(|(target, tempo)| (target, tempo, 12.0));
    let any_plan = (number(), 0..8_u32, number());
    prop_oneof![
        2 => prop_oneof![3 => good, 1 => any_plan]
            .prop_map(|(target, tempo, steepness)| Op::Germinate { target, tempo, steepness }),
        4 => prop_oneof![3 => 0.0..=100.0_f64, 1 => number()].prop_map(Op::Validation),
        3 => prop_oneof![3 => (0.0..2.0_f64, 0.1..2.0_f64), 1 => (number(), number())]
            .prop_map(|(s, h)| Op::Gradients(s, h)),
        2 => prop_oneof![3 => -2.0..20.0_f64, 1 => number()].prop_map(Op::Counterfactual),
        1 => any::<bool>().prop_map(Op::Health),
        6 => Just(Op::StepEpoch),
        3 => prop::option::of(prop::sample::select(Stage::ALL.to_vec())).prop_map(Op::Advance),
        1 => Just(Op::Prune),
    ]
}

fn apply(slot: &mut Lifecycle, op: &Op) -> Result<(), RefusalCode> {
    let code = |e: kasmina::lifecycle::Refusal| e.code;
    match op {
        Op::Germinate { target, tempo, steepness } => {
            let blend = BlendPlan {
                target: *target,
                tempo: *tempo,
                steepness: *steepness,
                ..BlendPlan::new("sigmoid")
            };
            slot.germinate(Germination::new("s", "b", blend)).map_err(code)
        }
        Op::Validation(a) => slot.record_validation(*a).map_err(code),
        Op::Gradients(seed_norm, host_norm) => slot
            .record_gradients(GradientCapture { seed_norm: *seed_norm, host_norm: *host_norm })
            .map_err(code),
        Op::Counterfactual(c) => slot.record_counterfactual(*c).map_err(code),
        Op::Health(h) => slot.record_health(*h, "reported").map_err(code),
        Op::StepEpoch => {
            slot.step_epoch();
            Ok(())
        }
        Op::Advance(target) => slot.advance(*target).map(|_| ()).map_err(code),
        Op::Prune => slot.prune("asked to", Initiator::Policy).map_err(code),
    }
}

fn written(slot: &Lifecycle) -> String {
    serde_json::to_string(&slot.seed()).expect("states can be written")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// No panic, no illegal stage, alpha in `[0, 1]`; what is refused changes nothing (a failed gate may leave its
    /// event, and nothing else does).
    #[test]
    fn any_sequence_of_operations_is_safe(ops in prop::collection::vec(op(), 1..80)) {
        let mut slot = Lifecycle::new("s", Topology::CNN, Settings::default());
        for op in &ops {
            let (before, stage) = (written(&slot), slot.stage());
            let result = apply(&mut slot, op);
            let events = slot.drain_events();
            let now = slot.stage();
            prop_assert!(slot.alpha().is_finite() && (0.0..=1.0).contains(&slot.alpha()));
            prop_assert!(
                !matches!(now, Stage::Unknown | Stage::Pruned | Stage::Embargoed | Stage::Resetting | Stage::Shadowing)
            );
            prop_assert!(
                now == stage || stage.may_become(now) || (now == Stage::Dormant && stage.may_become(Stage::Pruned)),
                "{stage} -> {now}"
            );
            if let Err(code) = result {
                prop_assert_eq!(&before, &written(&slot));
                let allowed = usize::from(code == RefusalCode::GateFailed && !matches!(op, Op::Germinate { .. }));
                prop_assert_eq!(events.len(), allowed, "{:?}", events);
            }
            if stage == Stage::Fossilized {
                prop_assert_eq!(now, Stage::Fossilized);
            }
            for event in events {
                let text = serde_json::to_string(&event).expect("events can be written");
                prop_assert_eq!(&serde_json::from_str::<kasmina::lifecycle::Event>(&text).expect("and read"), &event);
            }
        }
    }
}
