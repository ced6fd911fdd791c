//! Every row that can be written can be read.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

use kasmina_lifecycle::{
    Command, Event, EventKind, Executed, Germinate, GradientCapture, Intervene, Intervention, SlotInputs,
    Stage,
};
use kasmina_records::{
    CommandRow, EpochReport, ErrorRow, EventLine, LiveAct, LiveRow, PluginSummary, Reward, SeedFate,
    SlotInfo, SlotRow, Status, Summary,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Any number, with NaN and the infinities more often than by chance.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(0.1 + 0.2)]
}

/// A finite number, for fields that are never NaN or infinite.
fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |x| x.is_finite())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_0-9]{0,12}", any::<String>()]
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        Just(Stage::Dormant),
        Just(Stage::Germinated),
        Just(Stage::Training),
        Just(Stage::Blending),
        Just(Stage::Shadowing),
        Just(Stage::Holding),
        Just(Stage::Fossilized),
        Just(Stage::Embargoed),
        Just(Stage::Resetting),
    ]
}

fn inputs() -> impl Strategy<Value = SlotInputs> {
    let captures =
        proptest::collection::vec(
            (number(), number(), any::<bool>()).prop_map(|(seed_norm, host_norm, violation)| {
                GradientCapture { seed_norm, host_norm, violation }
            }),
            0..4,
        );
    let interventions = proptest::collection::vec(
        (
            any::<u32>(),
            prop_oneof![Just(Intervene::FreezeAlpha), text().prop_map(|reason| Intervene::Prune { reason })],
        )
            .prop_map(|(after_ticks, what)| Intervention { after_ticks, what }),
        0..3,
    );
    (
        captures,
        interventions,
        proptest::option::of(any::<bool>()),
        proptest::option::of(finite()),
        proptest::option::of(number()),
        any::<u32>(),
    )
        .prop_map(|(gradients, interventions, healthy, contribution, shadow_distance, ticks)| {
            SlotInputs {
                gradients,
                interventions,
                healthy,
                contribution,
                shadow_distance,
                ticks,
                ..SlotInputs::default()
            }
        })
}

fn epoch() -> impl Strategy<Value = EpochReport> {
    let slot = (stage(), finite(), proptest::option::of(finite()), proptest::option::of(finite()), inputs())
        .prop_map(|(stage, alpha, contribution, gradient_ratio, inputs)| SlotRow {
            stage,
            alpha,
            contribution,
            gradient_ratio,
            inputs,
        });
    (
        any::<u32>(),
        (number(), number(), finite()),
        proptest::collection::btree_map(text(), slot, 0..3),
        proptest::collection::btree_map(text(), number(), 0..4),
    )
        .prop_map(|(epoch, (train_loss, val_loss, val_accuracy), slots, plugin_metrics)| EpochReport {
            epoch,
            train_loss,
            val_loss,
            val_accuracy,
            seconds: 1.5,
            training_multiply_adds: 2e9,
            slots,
            reward: Reward::default(),
            plugin_metrics,
        })
}

fn event() -> impl Strategy<Value = EventLine> {
    let kind = prop_oneof![
        (any::<bool>(), text()).prop_map(|(healthy, cause)| EventKind::SeedHealth { healthy, cause }),
        (text(), text(), text()).prop_map(|(path, rule, found)| EventKind::PluginRefused {
            path,
            rule,
            found
        }),
        (text(), text()).prop_map(|(plugin, generation)| EventKind::PluginConfirmed { plugin, generation }),
    ];
    (any::<u32>(), kind, text(), proptest::option::of(text())).prop_map(|(epoch, kind, slot_id, seed_id)| {
        EventLine { epoch, event: Event { kind, slot_id, seed_id } }
    })
}

fn command() -> impl Strategy<Value = CommandRow> {
    let command = prop_oneof![
        Just(Command::Wait),
        (text(), text()).prop_map(|(slot, reason)| Command::Prune { slot, reason }),
        (text(), text(), text(), text())
            .prop_map(|(a, b, c, d)| Command::Germinate(Germinate::new(a, b, c, d))),
        (text(), proptest::option::of(stage())).prop_map(|(slot, target)| Command::Advance { slot, target }),
    ];
    let outcome = prop_oneof![
        Just((Some(Executed::Pruned), None)),
        stage().prop_map(|stage| (Some(Executed::Advanced { stage }), None)),
        (text(), text()).prop_map(|(code, message)| (None, Some(ErrorRow { code, message }))),
    ];
    (any::<u32>(), command, proptest::option::of(text()), any::<bool>(), outcome).prop_map(
        |(epoch, command, slot_id, landed, (did, error))| CommandRow {
            epoch,
            command,
            slot_id,
            landed,
            accepted: error.is_none(),
            did,
            error,
        },
    )
}

fn live() -> impl Strategy<Value = LiveRow> {
    let act = prop_oneof![
        text().prop_map(|slot| LiveAct::Prune { slot }),
        (text(), text(), text()).prop_map(|(path, plugin, sha256)| LiveAct::Swap {
            path: path.into(),
            plugin,
            sha256
        }),
        (text(), text(), text()).prop_map(|(path, rule, error)| LiveAct::Refused {
            path: path.into(),
            rule,
            error
        }),
    ];
    (any::<u64>(), act).prop_map(|(step, act)| LiveRow { step, act })
}

fn summary() -> impl Strategy<Value = Summary> {
    let status = prop_oneof![Just(Status::Completed), Just(Status::Interrupted), Just(Status::Failed)];
    let seed = (text(), text(), proptest::option::of(finite()), proptest::option::of(text())).prop_map(
        |(seed_id, slot, contribution, reason)| SeedFate {
            seed_id,
            slot,
            blueprint: "b".to_owned(),
            fate: "pruned".to_owned(),
            reason,
            germinated_epoch: 3,
            contribution,
            parameters: 90,
        },
    );
    let plugin = (text(), proptest::option::of(text())).prop_map(|(name, sha256)| PluginSummary {
        name,
        version: "1".to_owned(),
        path: sha256.clone().map(Into::into),
        sha256,
        entries: vec!["blend:linear".to_owned()],
    });
    (
        (status, proptest::option::of(text()), any::<u64>()),
        (proptest::option::of(finite()), proptest::option::of(finite())),
        proptest::collection::vec(seed, 0..3),
        proptest::collection::vec(plugin, 0..3),
        proptest::collection::btree_map(text(), any::<u64>(), 0..3),
    )
        .prop_map(|((status, error, seed), (last, best), seeds, plugins, skipped_steps)| Summary {
            status,
            error,
            version: "0".to_owned(),
            torch: "2".to_owned(),
            task: "digits".to_owned(),
            seed,
            device: "cpu".to_owned(),
            threads: 1,
            seeds_disabled: false,
            controller: "none".to_owned(),
            epochs: 3,
            final_val_accuracy: last,
            best_val_accuracy: best,
            germinated: 1,
            fossilized: 0,
            pruned: 1,
            host_params: 10,
            total_params: 20,
            steps: 30,
            steps_per_second: 40.5,
            multiply_adds: 50,
            training_multiply_adds: 6e7,
            skipped_steps,
            wall_seconds: 7.25,
            seeds,
            plugins,
            inputs: [("training data".to_owned(), "00".repeat(32))].into(),
        })
}

/// Checks that a row is unchanged after it is written and read. The comparison uses the debug text, in which
/// NaN equals NaN.
fn check_roundtrip<T: Serialize + DeserializeOwned + Debug>(row: &T) -> Result<(), TestCaseError> {
    let line = serde_json::to_string(row).unwrap();
    prop_assert!(!line.contains('\n'), "a row must be one line");
    let read: T = serde_json::from_str(&line).map_err(|e| TestCaseError::fail(format!("{e}: {line}")))?;
    prop_assert_eq!(format!("{row:?}"), format!("{read:?}"));
    Ok(())
}

proptest! {
    #[test]
    fn an_epoch_row_survives_a_roundtrip(row in epoch()) {
        check_roundtrip(&row)?;
    }
    #[test]
    fn an_event_row_survives_a_roundtrip(row in event()) {
        check_roundtrip(&row)?;
    }
    #[test]
    fn a_command_row_survives_a_roundtrip(row in command()) {
        check_roundtrip(&row)?;
    }
    #[test]
    fn a_live_row_survives_a_roundtrip(row in live()) {
        check_roundtrip(&row)?;
    }
    #[test]
    fn a_summary_survives_a_roundtrip(row in summary()) {
        check_roundtrip(&row)?;
    }
    #[test]
    fn slots_survive_a_roundtrip(slot in text(), aliases in proptest::collection::vec(text(), 0..3), channels in any::<i64>()) {
        check_roundtrip(&vec![SlotInfo { slot, aliases, topology: "cnn".to_owned(), channels, shape: vec![channels, 1] }])?;
    }

    /// A killed process may leave a last line without a line break.
    #[test]
    fn an_incomplete_line_is_ignored(rows in proptest::collection::vec(live(), 1..4), cut in 1..20_usize) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let complete: String = rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
        let last = serde_json::to_string(&rows[0]).unwrap();
        let part: String = last.chars().take(cut.min(last.chars().count() - 1)).collect();
        std::fs::write(file.path(), complete + &part).unwrap();
        let read = kasmina_records::lines::<LiveRow>(file.path()).unwrap();
        prop_assert_eq!(read, rows);
    }
}
