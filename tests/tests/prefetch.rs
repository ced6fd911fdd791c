//! Prewarmed and prefetched germinations, and models that move between devices: all have the same bits as
//! without.

use kasmina::Command;
use kasmina::lifecycle::{EventKind, Stage};
use kasmina::model::{Executed, Germinate};
use kasmina_tests::bench::{Bench, RefusingOptimizer, bits, config};
use kasmina_torch_ext::ops::OpCounter;
use tch::Device;

/// A prewarmed germination runs no convolution, and so no probe; the seed is the same.
#[test]
fn a_prewarmed_germination_runs_no_probe() {
    let ops = |prewarm: bool| {
        let mut bench = Bench::new(&["mid"]);
        let germinate = Germinate::new("mid", "s1", "conv_light", "gate_net");
        if prewarm {
            bench.model.prewarm(&germinate, &bench.registry).unwrap();
            assert_eq!(bench.model.reports()[0].stage, Stage::Dormant);
        }
        let counter = OpCounter::start().unwrap();
        bench.execute(&Command::Germinate(germinate)).unwrap();
        (counter.finish().unwrap(), bench.weights())
    };
    let ((cold, made_cold), (warm, made_warm)) = (ops(false), ops(true));
    assert!(cold.contains_key("aten::convolution"), "{cold:?}");
    assert!(!warm.contains_key("aten::convolution"), "{warm:?}");
    assert_eq!(made_cold, made_warm, "the seed is the same");
    // Prewarming for an occupied slot changes nothing.
    let mut bench = Bench::new(&["mid"]);
    bench.germinate("mid", "norm", "linear").unwrap();
    let before = (bench.weights(), bench.model.reports());
    let germinate = Germinate::new("mid", "s2", "conv_light", "gate_net");
    bench.model.prewarm(&germinate, &bench.registry).unwrap();
    let bad = Germinate::new("mid", "s2", "dead", "gate_net");
    assert_eq!(bench.model.prewarm(&bad, &bench.registry).unwrap_err().code(), "probe_failed");
    assert_eq!(before, (bench.weights(), bench.model.reports()));
}

/// The work without tensors runs on another thread; the seed is built at the end of the epoch and is the
/// same.
#[test]
fn a_prefetched_germination_lands_at_the_end_of_the_epoch() {
    let mut bench = Bench::new(&["early", "mid"]);
    let germinate = |slot: &str, config: serde_json::Value| {
        Command::Germinate(Germinate {
            prefetch: true,
            blend_config: config,
            ..Germinate::new(slot, format!("{slot}-1"), "conv_light", "gate_net")
        })
    };
    let good = germinate("mid", serde_json::Value::Null);
    let counter = OpCounter::start().unwrap();
    let done = bench.model.execute(&good, &bench.registry, &mut bench.optimizer).unwrap();
    assert_eq!(done, Executed::Prefetching);
    assert!(counter.finish().unwrap().is_empty(), "no tensor is touched");
    let report = &bench.model.reports()[1];
    assert_eq!(
        (report.stage, report.reserved.as_deref(), report.is_free()),
        (Stage::Dormant, Some("mid-1"), false)
    );
    assert!(bench.execute(&good).unwrap_err().starts_with("slot_occupied: slot `block1` is reserved"));
    let bad = germinate("early", serde_json::json!({"hidden": "many"}));
    bench.execute(&bad).unwrap();
    bench.model.drain_events();

    let landed = bench.model.land(&bench.registry, &mut bench.optimizer);
    let [(first, Ok(Executed::Germinated(germinated))), (_, Err(refused))] = landed.as_slice() else {
        panic!("{landed:?}");
    };
    assert_eq!((first, germinated.seed_id.as_str()), (&good, "mid-1"));
    assert_eq!(refused.code(), "build_failed", "{refused}");
    assert!(bench.model.reports().iter().all(|r| r.reserved.is_none()));
    let kinds: Vec<_> = bench
        .model
        .drain_events()
        .into_iter()
        .map(|e| {
            (
                e.slot_id,
                match e.kind {
                    EventKind::SeedGerminated { .. } => "germinated",
                    EventKind::Command { accepted: true, .. } => "accepted",
                    EventKind::Command { .. } => "refused",
                    _ => "other",
                },
            )
        })
        .collect();
    let event = |slot: &str, what: &'static str| (slot.to_owned(), what);
    assert_eq!(
        kinds,
        [event("block1", "germinated"), event("block1", "accepted"), event("block0", "refused")]
    );

    let mut at_once = Bench::new(&["early", "mid"]);
    let germinate = Germinate::new("mid", "mid-1", "conv_light", "gate_net");
    at_once.execute(&Command::Germinate(germinate)).unwrap();
    assert_eq!(at_once.weights(), bench.weights(), "the seed is the same");
    assert!(bench.model.land(&bench.registry, &mut bench.optimizer).is_empty());
}

/// A germination into a reserved slot is refused.
#[test]
fn a_reserved_slot_refuses_other_germinations() {
    let mut bench = Bench::new(&["mid"]);
    let first = Germinate { prefetch: true, ..Germinate::new("mid", "first", "conv_light", "linear") };
    bench.execute(&Command::Germinate(first)).unwrap();
    let second = Command::Germinate(Germinate::new("mid", "second", "conv_light", "linear"));
    let refused = bench.execute(&second).unwrap_err();
    assert!(refused.starts_with("slot_occupied: slot `block1` is reserved for seed `first`"), "{refused}");
    assert!(bench.model.land(&bench.registry, &mut bench.optimizer)[0].1.is_ok());
    assert_eq!(bench.model.reports()[0].seed_id.as_deref(), Some("first"));
}

/// Moving a model, which builds it again, changes no bits: weights, optimizer state, alpha, random streams.
#[test]
fn a_moved_model_trains_to_the_same_bits() {
    let run = |moved: bool| {
        let mut bench = Bench::with(config(&["early", "mid", "late"], "channels_last"));
        bench.germinate("early", "conv_light", "gate_net").unwrap();
        bench.germinate("mid", "dropout", "linear").unwrap();
        bench.reach(Stage::Blending);
        bench.epoch(70.0, 1.0);
        bench
            .execute(&Command::SchedulePrune { slot: "early".into(), steps: 4, reason: "r".into() })
            .unwrap();
        bench.step();
        if moved {
            let before = bench.weights();
            bench.model.to_device(Device::Cpu, &mut bench.optimizer).unwrap();
            assert_eq!(before, bench.weights());
        }
        for _ in 0..3 {
            bench.epoch(75.0, 1.0);
        }
        (
            bench.weights(),
            bench.model.reports(),
            bits(&bench.logits),
            format!("{:?}", bench.model.ownership().entries()),
        )
    };
    assert_eq!(run(false), run(true));
}

/// If the optimizer refuses, the model is not moved at all.
#[test]
fn a_move_that_fails_moves_nothing() {
    let run = |fail: bool| {
        let mut bench = Bench::new(&["early", "mid"]);
        bench.germinate("early", "conv_light", "gate_net").unwrap();
        bench.reach(Stage::Training);
        bench.step();
        if fail {
            let mut sink = RefusingOptimizer { optimizer: &mut bench.optimizer, left: 2 };
            assert!(bench.model.to_device(Device::Cpu, &mut sink).is_err());
        }
        // The gradient monitor still measures the model's own tensors.
        bench.epoch(21.0, 0.0);
        assert!(bench.model.reports()[0].gradient_ratio.is_none_or(|r| r > 0.0));
        bench.epoch(21.0, 0.0);
        (bench.weights(), bench.model.reports())
    };
    assert_eq!(run(false), run(true));
}
