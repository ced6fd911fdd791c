//! The table of stages, pair by pair, and what ties the scripts to the types.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]

use kasmina::lifecycle::{
    BlendPlan, EventKind, Germination, GradientCapture, Initiator, Lifecycle, Settings, Stage,
};
use kasmina_plugin_api::Topology;
use std::fmt::Write as _;

/// An empty slot with these rules.
fn empty(settings: &Settings) -> Lifecycle {
    Lifecycle::new("early", Topology::CNN, settings.clone())
}

fn germinate(slot: &mut Lifecycle) {
    slot.germinate(Germination::new("s", "b", BlendPlan::new("linear"))).expect("the slot is empty");
}

/// An epoch of a seed that does well.
fn epoch(slot: &mut Lifecycle, accuracy: f64) {
    slot.record_validation(accuracy).expect("in range");
    if slot.stage().is_active() {
        slot.record_gradients(GradientCapture::new(0.4, 1.0)).expect("finite");
        slot.record_counterfactual(5.0).expect("in range");
    }
    slot.step_epoch();
}

/// The table of `lifecycle.md`, "Stages", over all ordered pairs.
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

/// A slot in each stage that it can rest in.
fn in_every_stage() -> Vec<(Stage, Lifecycle)> {
    let settings = Settings { shadowing_epochs: 2, cooldown_epochs: 1, ..Settings::default() };
    let mut slot = empty(&settings);
    let mut seen = vec![(Stage::Dormant, slot.clone())];
    germinate(&mut slot);
    for e in 0..10 {
        if seen.last().is_none_or(|(stage, _)| *stage != slot.stage()) {
            seen.push((slot.stage(), slot.clone()));
        }
        epoch(&mut slot, 50.0 + f64::from(e));
    }
    let mut pruned = slot.clone();
    pruned.prune("asked to", Initiator::Policy).expect("it may be pruned");
    seen.push((pruned.stage(), pruned.clone()));
    pruned.step_epoch();
    seen.push((pruned.stage(), pruned));
    slot.record_counterfactual(5.0).expect("in HOLDING");
    slot.advance(None).expect("G5 passes");
    seen.push((slot.stage(), slot));
    seen
}

/// Each stage that a slot rests in, and each of the eleven that may be asked for: what an advance answers.
/// What it refuses changes nothing. (UNKNOWN and PRUNED are never seen at rest; `the_transition_table` has
/// all 121 pairs.)
#[test]
fn every_stage_asked_for_from_every_stage() {
    let mut text = String::new();
    let mut resting = Vec::new();
    for (stage, slot) in in_every_stage() {
        resting.push(stage);
        let _ = writeln!(text, "{stage}");
        for target in std::iter::once(None).chain(Stage::ALL.map(Some)) {
            let mut tried = slot.clone();
            let answer = tried.advance(target);
            if answer.is_err() {
                assert_eq!(format!("{:?}", slot.seed()), format!("{:?}", tried.seed()), "{stage} {target:?}");
            }
            let target_name = target.map_or("(next)", Stage::as_str);
            let told = answer.map_or_else(|e| e.code.to_string(), |stage| format!("-> {stage}"));
            let _ = writeln!(text, "    {target_name:<11} {told}");
        }
    }
    assert_eq!(resting.len(), 9, "{resting:?}");
    insta::assert_snapshot!(text);
}

/// Every legal transition happens somewhere, and none but the legal ones: 121 pairs, each seen or never seen.
#[test]
fn the_machine_walks_exactly_the_table() {
    let mut seen = std::collections::BTreeSet::new();
    for settings in
        [Settings::default(), Settings { shadowing_epochs: 1, cooldown_epochs: 1, ..Settings::default() }]
    {
        for prune_after in 0..12 {
            for retarget in [false, true] {
                let mut slot = empty(&settings);
                let mut at = Stage::Dormant;
                let mut follow = |slot: &mut Lifecycle| {
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
                        let _ = slot.prune("asked to", Initiator::Policy);
                    }
                    if retarget && slot.stage() == Stage::Holding {
                        slot.set_alpha_target(0.5, 1, None).expect("HOLDING may be left for BLENDING");
                    }
                    epoch(&mut slot, 50.0 + f64::from(e));
                    if e == 9 {
                        let _ = slot.advance(Some(Stage::Fossilized));
                    }
                    follow(&mut slot);
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

/// The reader of scripts lists its settings by hand, so that it can name paths; this ties it to the types.
#[test]
fn scripts_know_every_setting() {
    use kasmina::lifecycle::QualityGates;
    use kasmina::lifecycle::script::Script;
    let properties = |schema: schemars::Schema| -> Vec<String> {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        schema["properties"].as_object().expect("an object").keys().cloned().collect()
    };
    let written = serde_json::to_value(Settings::default()).expect("settings can be written");
    for name in properties(schemars::schema_for!(Settings)) {
        let script = serde_json::json!({
            "schema": 1, "slot": {"id": "early", "topology": "cnn"}, "ops": [],
            "settings": {name.clone(): written[&name]}
        });
        script.to_string().parse::<Script>().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    for name in properties(schemars::schema_for!(QualityGates)) {
        let gates = serde_json::json!({name.clone(): written["gates"][&name]});
        let script = serde_json::json!({
            "schema": 1, "slot": {"id": "early", "topology": "cnn"}, "ops": [], "settings": {"gates": gates}
        });
        script.to_string().parse::<Script>().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
