//! Seeds made ready ahead, and models that move: built again elsewhere or earlier, they are the same.

use kasmina::Command;
use kasmina::lifecycle::{EventKind, Stage};
use kasmina::model::{Executed, Germinate};
use kasmina_tests::bench::{Bench, Refusing, bits, config};
use kasmina_torch_ext::ops::OpCounter;
use tch::Device;

/// A prewarmed germination runs no probe: no backward, and hardly an operation beside making its weights.
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
    assert_eq!(made_cold, made_warm, "and the seed is the same");
    // Ahead of the next one, while the slot is taken.
    let mut bench = Bench::new(&["mid"]);
    bench.germinate("mid", "norm", "linear").unwrap();
    let before = (bench.weights(), bench.model.reports());
    let germinate = Germinate::new("mid", "s2", "conv_light", "gate_net");
    bench.model.prewarm(&germinate, &bench.registry).unwrap();
    let bad = Germinate::new("mid", "s2", "dead", "gate_net");
    assert_eq!(bench.model.prewarm(&bad, &bench.registry).unwrap_err().code(), "probe_failed");
    assert_eq!(before, (bench.weights(), bench.model.reports()));
}

/// Work that needs no tensor is done on another thread; the seed is built at the edge of the epoch, and is
/// the same.
#[test]
fn a_prefetched_germination_lands_at_the_next_edge() {
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
    let [(first, Ok(Executed::Germinated(told))), (_, Err(refused))] = landed.as_slice() else {
        panic!("{landed:?}");
    };
    assert_eq!((first, told.seed_id.as_str()), (&good, "mid-1"));
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
    let told = |slot: &str, what: &'static str| (slot.to_owned(), what);
    assert_eq!(kinds, [told("block1", "germinated"), told("block1", "accepted"), told("block0", "refused")]);

    let mut at_once = Bench::new(&["early", "mid"]);
    let germinate = Germinate::new("mid", "mid-1", "conv_light", "gate_net");
    at_once.execute(&Command::Germinate(germinate)).unwrap();
    assert_eq!(at_once.weights(), bench.weights(), "the seed is the same");
    assert!(bench.model.land(&bench.registry, &mut bench.optimizer).is_empty());
}

/// A slot that is reserved is kept: a germination that comes later waits its turn.
#[test]
fn a_reserved_slot_is_kept() {
    let mut bench = Bench::new(&["mid"]);
    let first = Germinate { prefetch: true, ..Germinate::new("mid", "first", "conv_light", "linear") };
    bench.execute(&Command::Germinate(first)).unwrap();
    let second = Command::Germinate(Germinate::new("mid", "second", "conv_light", "linear"));
    let refused = bench.execute(&second).unwrap_err();
    assert!(refused.starts_with("slot_occupied: slot `block1` is reserved for seed `first`"), "{refused}");
    assert!(bench.model.land(&bench.registry, &mut bench.optimizer)[0].1.is_ok());
    assert_eq!(bench.model.reports()[0].seed_id.as_deref(), Some("first"));
}

/// Built again elsewhere, a model goes on with the same bits: weights, optimizer state, alpha, streams.
#[test]
fn a_model_that_was_moved_goes_on_as_before() {
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

/// An optimizer that does not follow keeps the model where it is, whole.
#[test]
fn a_move_that_fails_moves_nothing() {
    let run = |fail: bool| {
        let mut bench = Bench::new(&["early", "mid"]);
        bench.germinate("early", "conv_light", "gate_net").unwrap();
        bench.reach(Stage::Training);
        bench.step();
        if fail {
            let mut sink = Refusing { optimizer: &mut bench.optimizer, left: 2 };
            assert!(bench.model.to_device(Device::Cpu, &mut sink).is_err());
        }
        // The monitor still watches the living tensors: the ratio is measured.
        bench.epoch(21.0, 0.0);
        assert!(bench.model.reports()[0].gradient_ratio.is_none_or(|r| r > 0.0));
        bench.epoch(21.0, 0.0);
        (bench.weights(), bench.model.reports())
    };
    assert_eq!(run(false), run(true));
}
