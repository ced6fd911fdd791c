//! The signals for learned controllers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]

use kasmina::SlotReport;
use kasmina::lifecycle::{AlphaMode, Check, Event, EventKind, Gate, GateResult, Initiator, Stage};
use kasmina_trainer::signals::{FEATURES, FEATURES_VERSION, Reward, RewardWeights, features, reward};

fn report(stage: Stage) -> SlotReport {
    SlotReport {
        slot: "block0".into(),
        aliases: vec!["early".into()],
        stage,
        seed_id: Some("s1".into()),
        blueprint: None,
        blend: None,
        alpha: 0.4,
        alpha_target: 1.0,
        alpha_mode: AlphaMode::Up,
        scheduled_prune: None,
        reserved: None,
        next_gate: Some(GateResult {
            gate: Gate::G3,
            passed: false,
            score: 0.4,
            checks_passed: vec![],
            checks_failed: vec![Check::AlphaLow],
            message: String::new(),
        }),
        epochs_in_stage: 3,
        epochs_total: 9,
        improvement: 2.5,
        contribution: Some(-4.0),
        gradient_ratio: Some(0.5),
        healthy: true,
        isolation_violations: 0,
        isolated: true,
        parameters: 250,
    }
}

/// A learned controller depends on the names and their order: a change must raise the version.
#[test]
fn the_features_of_version_1() {
    assert_eq!(FEATURES_VERSION, 1);
    let values = features(&report(Stage::Blending), 60, 1000);
    let lines: Vec<String> = FEATURES.iter().zip(values).map(|(n, v)| format!("{n:<22} {v}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_empty_slot_has_no_feature_but_its_stage() {
    let empty = SlotReport {
        seed_id: None,
        next_gate: None,
        alpha: 0.0,
        alpha_target: 0.0,
        alpha_mode: AlphaMode::Hold,
        epochs_in_stage: 0,
        improvement: 0.0,
        contribution: None,
        gradient_ratio: None,
        parameters: 0,
        ..report(Stage::Dormant)
    };
    let values = features(&empty, 60, 1000);
    let ones: Vec<&str> = FEATURES.iter().zip(values).filter(|(_, v)| *v != 0.0).map(|(n, _)| *n).collect();
    assert_eq!(ones, ["DORMANT"]);
    let far = SlotReport { epochs_in_stage: 900, ..report(Stage::Training) };
    assert!(features(&far, 60, 0).iter().all(|v| v.is_finite()));
    assert!(features(&far, 0, 1000).iter().all(|v| (-1.0..=1.0).contains(v)));
}

fn event(kind: EventKind) -> Event {
    Event { kind, slot_id: "block0".into(), seed_id: Some("s1".into()) }
}

fn changed(from: Stage, to: Stage) -> Event {
    event(EventKind::SeedStageChanged {
        from,
        to,
        alpha: 0.0,
        accuracy_delta: 0.0,
        epochs_in_stage: 0,
        gradient_ratio: None,
    })
}

fn reward_of(events: &[Event]) -> Reward {
    reward(events, &[], 1000, &RewardWeights::default())
}

#[test]
fn the_reward_has_the_expected_terms() {
    use Stage::{Blending, Dormant, Fossilized, Germinated, Holding, Pruned, Shadowing, Training};
    let w = RewardWeights::default();
    let climb = [changed(Germinated, Training), changed(Training, Blending), changed(Blending, Holding)];
    assert!((reward_of(&climb).gate_passage - 3.0 * w.gate_passage).abs() < 1e-12);
    // Advancing through SHADOWING earns the same as without it.
    let around = [changed(Blending, Shadowing), changed(Shadowing, Holding)];
    assert!((reward_of(&around).gate_passage - reward_of(&climb[2..]).gate_passage).abs() < 1e-12);
    // Falling back and advancing again earns nothing.
    let farmed = [changed(Holding, Blending), changed(Blending, Holding)];
    assert!(reward_of(&farmed).gate_passage.abs() < 1e-12);

    let pruned = event(EventKind::SeedPruned {
        reason: "r".into(),
        initiator: Initiator::Auto,
        blueprint_id: "b".into(),
        improvement: 0.0,
        counterfactual: None,
        epochs_total: 3,
        params_removed: 9,
    });
    let left = [changed(Holding, Pruned), pruned, changed(Pruned, Dormant)];
    assert!(
        (reward_of(&left).gate_passage + 3.0 * w.gate_passage).abs() < 1e-12,
        "the reward for advancing is subtracted"
    );
    assert_eq!(reward_of(&left).pruning, -w.pruning);
    // A seed that advances and is pruned has earned only the penalty.
    let life: Vec<Event> = climb.iter().chain(&left).cloned().collect();
    assert!((reward_of(&life).total() + w.pruning).abs() < 1e-12);

    let fossil = event(EventKind::SeedFossilized {
        blueprint_id: "b".into(),
        improvement: 1.0,
        counterfactual: Some(2.0),
        blending_delta: 0.0,
        params_added: 9,
        epochs_total: 9,
    });
    let kept = reward_of(&[changed(Holding, Fossilized), fossil]);
    assert_eq!((kept.gate_passage, kept.fossilization), (0.0, w.fossilization));

    // Only active seeds cost rent, in proportion to the host's parameters.
    let rent = reward(&[], &[report(Training), report(Germinated), report(Fossilized)], 1000, &w);
    assert!((rent.compute_rent + w.compute_rent * 0.5).abs() < 1e-12);
    assert!((rent.total() - rent.compute_rent).abs() < 1e-12);
}
