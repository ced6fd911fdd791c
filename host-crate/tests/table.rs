//! The transitions between stages, pair by pair, and whether scripts know every setting.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]

use kasmina::lifecycle::{
    BlendPlan, EventKind, Germination, GradientCapture, Initiator, Lifecycle, Settings, Stage,
};
use kasmina_plugin_api::Topology;
use std::fmt::Write as _;

/// Returns an empty slot with these settings.
fn empty_slot(settings: &Settings) -> Lifecycle {
    Lifecycle::new("early", Topology::CNN, settings.clone())
}

fn germinate(slot: &mut Lifecycle) {
    slot.germinate(Germination::new("s", "b", BlendPlan::new("linear"))).expect("the slot is empty");
}

/// Runs one epoch with good measurements.
fn epoch(slot: &mut Lifecycle, accuracy: f64) {
    slot.record_validation(accuracy).expect("in range");
    if slot.stage().is_active() {
        slot.record_gradients(GradientCapture::new(0.4, 1.0)).expect("finite");
        slot.record_counterfactual(5.0).expect("in range");
    }
    slot.step_epoch();
}

/// All legal transitions, by the stage that they leave.
#[test]
fn the_transition_table() {
    let mut text = String::new();
    for from in Stage::ALL {
        let to: Vec<&str> =
            Stage::ALL.into_iter().filter(|to| from.may_become(*to)).map(Stage::as_str).collect();
        let _ =
            writeln!(text, "{from:<11} -> {}", if to.is_empty() { "nothing".into() } else { to.join(", ") });
    }
    insta::assert_snapshot!(text);
}

/// Returns a slot in each stage that it can be in between two epochs.
fn slots_in_every_stage() -> Vec<(Stage, Lifecycle)> {
    let settings = Settings { shadowing_epochs: 2, cooldown_epochs: 1, ..Settings::default() };
    let mut slot = empty_slot(&settings);
    let mut seen = vec![(Stage::Dormant, slot.clone())];
    germinate(&mut slot);
    for index in 0..10 {
        if seen.last().is_none_or(|(stage, _)| *stage != slot.stage()) {
            seen.push((slot.stage(), slot.clone()));
        }
        epoch(&mut slot, 50.0 + f64::from(index));
    }
    let mut pruned = slot.clone();
    pruned.prune("requested", Initiator::Policy).expect("a seed in HOLDING can be pruned");
    seen.push((pruned.stage(), pruned.clone()));
    pruned.step_epoch();
    seen.push((pruned.stage(), pruned));
    slot.record_counterfactual(5.0).expect("in HOLDING");
    slot.advance(None).expect("G5 passes");
    seen.push((slot.stage(), slot));
    seen
}

/// The result of an advance from each stage to each of the eleven stages. A refused advance changes nothing.
///
/// No slot is in UNKNOWN or PRUNED between two epochs; `the_transition_table` covers all 121 pairs.
#[test]
fn every_stage_asked_for_from_every_stage() {
    let mut text = String::new();
    let mut stages = Vec::new();
    for (stage, slot) in slots_in_every_stage() {
        stages.push(stage);
        let _ = writeln!(text, "{stage}");
        for target in std::iter::once(None).chain(Stage::ALL.map(Some)) {
            let mut advanced = slot.clone();
            let result = advanced.advance(target);
            if result.is_err() {
                let (before, after) = (format!("{:?}", slot.seed()), format!("{:?}", advanced.seed()));
                assert_eq!(before, after, "{stage} {target:?}");
            }
            let target_name = target.map_or("(next)", Stage::as_str);
            let outcome = result.map_or_else(|e| e.code.to_string(), |stage| format!("-> {stage}"));
            let _ = writeln!(text, "    {target_name:<11} {outcome}");
        }
    }
    assert_eq!(stages.len(), 9, "{stages:?}");
    insta::assert_snapshot!(text);
}

/// Over many runs, every legal transition happens and no illegal one does.
#[test]
fn the_machine_walks_exactly_the_table() {
    let mut seen = std::collections::BTreeSet::new();
    for settings in
        [Settings::default(), Settings { shadowing_epochs: 1, cooldown_epochs: 1, ..Settings::default() }]
    {
        for prune_after in 0..12 {
            for retarget in [false, true] {
                let mut slot = empty_slot(&settings);
                let mut at = Stage::Dormant;
                let mut record_transitions = |slot: &mut Lifecycle| {
                    for event in slot.drain_events() {
                        match event.kind {
                            EventKind::SeedGerminated { .. } => {
                                seen.insert((at, Stage::Germinated));
                                at = Stage::Germinated;
                            }
                            EventKind::SeedStageChanged { from, to, .. } => {
                                assert_eq!(from, at);
                                seen.insert((from, to));
                                at = to;
                            }
                            _ => {}
                        }
                    }
                };
                germinate(&mut slot);
                for e in 0..14 {
                    if e == prune_after {
                        let _ = slot.prune("requested", Initiator::Policy);
                    }
                    if retarget && slot.stage() == Stage::Holding {
                        slot.set_alpha_target(0.5, 1, None).expect("HOLDING may be left for BLENDING");
                    }
                    epoch(&mut slot, 50.0 + f64::from(e));
                    if e == 9 {
                        let _ = slot.advance(Some(Stage::Fossilized));
                    }
                    record_transitions(&mut slot);
                }
            }
        }
    }
    let legal: std::collections::BTreeSet<(Stage, Stage)> = Stage::ALL
        .into_iter()
        .flat_map(|from| Stage::ALL.into_iter().map(move |to| (from, to)))
        .filter(|(from, to)| from.may_become(*to))
        .collect();
    assert_eq!(seen, legal);
    assert_eq!(legal.len(), 17);
}

/// The reader of scripts has a handwritten list of settings; this compares it with the types.
#[test]
fn scripts_know_every_setting() {
    use kasmina::lifecycle::QualityGates;
    use kasmina::lifecycle::script::Script;
    let properties = |schema: schemars::Schema| -> Vec<String> {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        schema["properties"].as_object().expect("an object").keys().cloned().collect()
    };
    let defaults = serde_json::to_value(Settings::default()).expect("settings can be serialised");
    for name in properties(schemars::schema_for!(Settings)) {
        let script = serde_json::json!({
            "schema": 1, "slot": {"id": "early", "topology": "cnn"}, "ops": [],
            "settings": {name.clone(): defaults[&name]}
        });
        script.to_string().parse::<Script>().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    for name in properties(schemars::schema_for!(QualityGates)) {
        let gates = serde_json::json!({name.clone(): defaults["gates"][&name]});
        let script = serde_json::json!({
            "schema": 1, "slot": {"id": "early", "topology": "cnn"}, "ops": [], "settings": {"gates": gates}
        });
        script.to_string().parse::<Script>().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
