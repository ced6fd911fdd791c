//! Invariants of a slot's lifecycle under arbitrary operations. Property tests and fuzz targets share them.

mod decode;
mod script;

pub use decode::operations;
pub use script::script;

use kasmina::lifecycle::{Event, EventKind, Lifecycle, Operation, RefusalCode, Settings, Stage};

/// Applies operations to a fresh slot and checks every invariant after each. Returns the stage after each
/// operation.
///
/// # Panics
/// If an invariant is violated; the message contains the operation.
pub fn lifecycle(settings: &Settings, topology: impl Into<String>, operations: &[Operation]) -> Vec<Stage> {
    assert!(settings.validate().is_ok(), "the settings are valid");
    let mut slot = Lifecycle::new("early", topology, settings.clone());
    let mut seen = Vec::with_capacity(operations.len());
    for operation in operations {
        let before = slot.clone();
        let result = operation.apply(&mut slot);
        let events = slot.drain_events();
        if let Err(refusal) = &result {
            assert_eq!(
                serialized(&before),
                serialized(&slot),
                "refused ({refusal}), yet changed: {operation:?}"
            );
            // A refused `Advance` leaves the event of its failed gate; no other refusal leaves an event.
            let advance = matches!(operation, Operation::Advance { .. });
            let allowed = usize::from(refusal.code == RefusalCode::GateFailed && advance);
            assert_eq!(events.len(), allowed, "{operation:?}: {events:?}");
        }
        check_state(&slot);
        check_transitions(before.stage(), slot.stage(), &events, operation);
        for event in &events {
            let text = serde_json::to_string(event).expect("events can be serialized");
            assert_eq!(serde_json::from_str::<Event>(&text).expect("and read"), *event);
        }
        if before.stage() == Stage::Fossilized {
            assert_eq!(slot.stage(), Stage::Fossilized, "after {operation:?}");
        }
        seen.push(slot.stage());
    }
    seen
}

fn serialized(slot: &Lifecycle) -> String {
    serde_json::to_string(&slot.seed()).expect("states can be serialized")
}

/// Checks the invariants of a slot between two operations.
fn check_state(slot: &Lifecycle) {
    let (stage, settings) = (slot.stage(), slot.settings());
    assert!(!matches!(stage, Stage::Unknown | Stage::Pruned), "{stage} between two operations");
    assert!(stage != Stage::Shadowing || settings.shadowing_epochs > 0, "SHADOWING is switched off");
    assert!(
        !matches!(stage, Stage::Embargoed | Stage::Resetting) || settings.cooldown_epochs > 0,
        "{stage} without a cooldown"
    );
    let Some(seed) = slot.seed() else {
        assert_eq!((stage, slot.alpha()), (Stage::Dormant, 0.0));
        return;
    };
    for alpha in [seed.alpha.alpha(), seed.alpha.target()] {
        assert!(alpha.is_finite() && (0.0..=1.0).contains(&alpha), "alpha {alpha} in {stage}");
    }
    let passive = matches!(stage, Stage::Germinated | Stage::Training | Stage::Embargoed | Stage::Resetting);
    assert!(!passive || seed.alpha.alpha() == 0.0, "alpha {} in {stage}", seed.alpha.alpha());
    let held = matches!(stage, Stage::Shadowing | Stage::Holding | Stage::Fossilized);
    assert!(!held || seed.alpha.alpha() == seed.alpha.target(), "alpha is not on its target in {stage}");
    assert!(seed.scheduled_prune.is_none() || stage == Stage::Blending, "a scheduled prune in {stage}");
    assert!(seed.history.len() <= 100, "history of {}", seed.history.len());
    let ratio = seed.metrics.gradient_ratio();
    assert!(ratio.is_none_or(|r| (0.0..=10.0).contains(&r)), "ratio {ratio:?}");
    if let Some(preview) = slot.preview() {
        assert!(preview.score.is_finite() && (0.0..=1.0).contains(&preview.score), "{preview:?}");
        assert_eq!(preview.passed, preview.checks_failed.is_empty());
    }
}

/// Checks that the events lead from one stage to the other, each through a legal transition.
fn check_transitions(from: Stage, to: Stage, events: &[Event], operation: &Operation) {
    let mut at = from;
    for event in events {
        match &event.kind {
            EventKind::SeedGerminated { .. } => {
                assert_eq!(at, Stage::Dormant);
                at = Stage::Germinated;
            }
            EventKind::SeedStageChanged { from, to, .. } => {
                assert_eq!(*from, at, "{operation:?}: {events:?}");
                assert!(from.may_become(*to), "{operation:?}: {from} -> {to}");
                at = *to;
            }
            _ => {}
        }
    }
    assert_eq!(at, to, "{operation:?}: the events end elsewhere: {events:?}");
}
