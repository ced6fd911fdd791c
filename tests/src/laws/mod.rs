//! What holds of every slot, whatever it is told. Property tests and fuzz targets share these bodies.

mod decode;
mod script;

pub use decode::operations;
pub use script::script;

use kasmina::lifecycle::{Event, EventKind, Lifecycle, Operation, RefusalCode, Settings, Stage};

/// Drives a fresh slot through operations and checks every law after each. Answers with the stages that it
/// saw, one for each operation.
///
/// # Panics
/// If a law is broken; the message says which, and by what.
pub fn lifecycle(settings: &Settings, topology: impl Into<String>, operations: &[Operation]) -> Vec<Stage> {
    assert!(settings.validate().is_ok(), "a machine takes settings as validated");
    let mut slot = Lifecycle::new("early", topology, settings.clone());
    let mut seen = Vec::with_capacity(operations.len());
    for operation in operations {
        let before = slot.clone();
        let result = operation.apply(&mut slot);
        let events = slot.drain_events();
        if let Err(refusal) = &result {
            assert_eq!(written(&before), written(&slot), "refused ({refusal}), yet changed: {operation:?}");
            // A failed gate leaves its event; nothing else leaves anything.
            let asked = matches!(operation, Operation::Advance { .. });
            let allowed = usize::from(refusal.code == RefusalCode::GateFailed && asked);
            assert_eq!(events.len(), allowed, "{operation:?}: {events:?}");
        }
        at_rest(&slot);
        chained(before.stage(), slot.stage(), &events, operation);
        for event in &events {
            let text = serde_json::to_string(event).expect("events can be written");
            assert_eq!(serde_json::from_str::<Event>(&text).expect("and read"), *event);
        }
        if before.stage() == Stage::Fossilized {
            assert_eq!(slot.stage(), Stage::Fossilized, "after {operation:?}");
        }
        seen.push(slot.stage());
    }
    seen
}

fn written(slot: &Lifecycle) -> String {
    serde_json::to_string(&slot.seed()).expect("states can be written")
}

/// What is true of a slot between operations.
fn at_rest(slot: &Lifecycle) {
    let (stage, settings) = (slot.stage(), slot.settings());
    assert!(!matches!(stage, Stage::Unknown | Stage::Pruned), "{stage} is never seen at rest");
    assert!(stage != Stage::Shadowing || settings.shadowing_epochs > 0, "SHADOWING is off");
    assert!(
        !matches!(stage, Stage::Embargoed | Stage::Resetting) || settings.cooldown_epochs > 0,
        "there is no cooldown"
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
    assert!(seed.scheduled_prune.is_none() || stage == Stage::Blending, "on its way out in {stage}");
    assert!(seed.history.len() <= 100, "history of {}", seed.history.len());
    let ratio = seed.metrics.gradient_ratio();
    assert!(ratio.is_none_or(|r| (0.0..=10.0).contains(&r)), "ratio {ratio:?}");
    if let Some(preview) = slot.preview() {
        assert!(preview.score.is_finite() && (0.0..=1.0).contains(&preview.score), "{preview:?}");
        assert_eq!(preview.passed, preview.checks_failed.is_empty());
    }
}

/// The events tell of every stage on the way, each step of it legal.
fn chained(from: Stage, to: Stage, events: &[Event], operation: &Operation) {
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
