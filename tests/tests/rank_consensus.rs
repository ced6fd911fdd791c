//! Votes between ranks, which are threads with a model each: every change happens on all ranks or on none,
//! and no rank waits forever.

use kasmina::Command;
use kasmina::lifecycle::{EventKind, Stage};
use kasmina::model::{EpochInputs, Germinate};
use kasmina_tests::bench::{Bench, RefusingOptimizer};
use kasmina_tests::in_process::InProcess;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const SLOTS: [&str; 3] = ["early", "mid", "late"];

/// Runs one closure per rank, each on its own thread with its own model.
fn ranks<T: Send + 'static>(
    count: usize,
    timeout: Duration,
    body: impl Fn(usize, &mut Bench) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let body = Arc::new(body);
    let threads: Vec<_> = InProcess::ranks(count, timeout)
        .into_iter()
        .enumerate()
        .map(|(rank, consensus)| {
            let body = Arc::clone(&body);
            thread::spawn(move || {
                let mut bench = Bench::new(&SLOTS);
                bench.model.set_consensus(Box::new(consensus));
                body(rank, &mut bench)
            })
        })
        .collect();
    threads.into_iter().map(|t| t.join().unwrap()).collect()
}

fn epoch(bench: &mut Bench, accuracy: f64, contribution: f64) -> Result<(), String> {
    (0..3).for_each(|_| bench.step());
    let plan = bench.model.counterfactual_plan();
    let without = plan.slots().map(|_| accuracy - contribution).collect();
    bench
        .model
        .record_epoch(&EpochInputs { accuracy, plan: &plan, without, unhealthy: Vec::new() }, 0)
        .map_err(|e| e.to_string())?;
    bench.model.step_epoch(&mut bench.optimizer).map(|_| ()).map_err(|e| e.to_string())
}

fn stages(bench: &Bench) -> Vec<Stage> {
    bench.model.reports().iter().map(|r| r.stage).collect()
}

const LONG: Duration = Duration::from_mins(1);

#[test]
fn ranks_that_agree_advance_together() {
    let all = ranks(3, LONG, |_, bench| {
        bench.germinate("early", "conv_light", "linear").unwrap();
        for i in 0..9 {
            epoch(bench, 20.0 + f64::from(i), 3.0).unwrap();
        }
        bench.execute(&Command::Advance { slot: "early".into(), target: Some(Stage::Fossilized) }).unwrap();
        (stages(bench), bench.model.drain_events().len())
    });
    assert_eq!(all[0].0, [Stage::Fossilized, Stage::Dormant, Stage::Dormant]);
    assert!(all.iter().all(|rank| *rank == all[0]), "{all:?}");
}

/// If the gate fails on one rank, it fails on all; the others report `ddp_veto`.
#[test]
fn a_gate_that_fails_on_one_rank_holds_all_ranks() {
    let all = ranks(3, LONG, |rank, bench| {
        bench.germinate("early", "conv_light", "linear").unwrap();
        epoch(bench, 20.0, 0.0).unwrap();
        epoch(bench, if rank == 1 { 20.0 } else { 25.0 }, 0.0).unwrap();
        let stage = stages(bench)[0];
        let failed: Vec<String> = bench
            .model
            .drain_events()
            .into_iter()
            .filter_map(|e| match e.kind {
                EventKind::SeedGateEvaluated { message, passed: false, .. } => Some(message),
                _ => None,
            })
            .collect();
        // `advance` is voted on as well.
        let advance = bench.execute(&Command::Advance { slot: "early".into(), target: None }).unwrap_err();
        (stage, failed, advance)
    });
    for (rank, (stage, failed, advance)) in all.iter().enumerate() {
        let reason = if rank == 1 { "global_improvement_insufficient" } else { "ddp_veto" };
        assert_eq!(*stage, Stage::Training, "rank {rank}");
        assert_eq!(*failed, [format!("G2 failed: {reason}")], "rank {rank}");
        assert!(advance.contains(reason), "rank {rank}: {advance}");
    }
}

/// A seed with a negative contribution in HOLDING is pruned on all ranks or on none.
#[test]
fn pruning_in_holding_is_voted_on() {
    let all = ranks(2, LONG, |rank, bench| {
        bench.germinate("early", "conv_light", "linear").unwrap();
        for i in 0..8 {
            epoch(bench, 20.0 + f64::from(i), 3.0).unwrap();
        }
        assert_eq!(stages(bench)[0], Stage::Holding);
        epoch(bench, 30.0, if rank == 0 { -1.0 } else { 1.0 }).unwrap();
        let kept = stages(bench)[0];
        epoch(bench, 30.0, -1.0).unwrap();
        (kept, stages(bench)[0])
    });
    assert_eq!(all, [(Stage::Holding, Stage::Dormant); 2]);
}

/// A germination that fails on one rank happens on none.
#[test]
fn a_germination_is_voted_on() {
    let all = ranks(2, LONG, |rank, bench| {
        let command = Command::Germinate(Germinate::new("mid", "s1", "conv_light", "gate_net"));
        let left = if rank == 0 { u32::MAX } else { 1 };
        let mut sink = RefusingOptimizer { optimizer: &mut bench.optimizer, left };
        let refused = bench.model.execute(&command, &bench.registry, &mut sink);
        (stages(bench), bench.optimizer.owners().count(), refused.unwrap_err().code())
    });
    for (rank, (stages, owners, refused)) in all.iter().enumerate() {
        assert_eq!((stages.as_slice(), *owners), ([Stage::Dormant; 3].as_slice(), 1));
        assert_eq!(*refused, if rank == 0 { "ddp_veto" } else { "optimizer_refused" });
    }
}

/// If the states of ranks differ, every rank returns the same error, and nothing changes on any.
#[test]
fn every_rank_reports_that_ranks_are_out_of_step() {
    let all = ranks(3, LONG, |rank, bench| {
        bench.germinate("early", "conv_light", "linear").unwrap();
        epoch(bench, 20.0, 0.0).unwrap();
        if rank == 2 {
            // Replace this rank's model by one without the seed.
            let mut other = Bench::new(&SLOTS);
            (0..6).for_each(|_| other.step());
            std::mem::swap(&mut other.model, &mut bench.model);
            std::mem::swap(&mut other.optimizer, &mut bench.optimizer);
            let solo = Box::new(kasmina::consensus::SingleRank);
            let consensus = other.model.set_consensus(solo);
            bench.model.set_consensus(consensus);
        }
        let before = stages(bench);
        let error = epoch(bench, 25.0, 0.0).unwrap_err();
        assert_eq!(before, stages(bench));
        error
    });
    assert!(all.iter().all(|e| *e == all[0]), "{all:?}");
    assert!(all[0].contains("out of step: slot `block0`"), "{}", all[0]);
    assert!(all[0].contains("rank 2 has measured 0 gradients, rank 0 has measured 1"), "{}", all[0]);
}

/// A rank that does not answer is named after the time limit, and nothing changes.
#[test]
fn a_dead_rank_times_out() {
    let started = Instant::now();
    let meet = Arc::new(Barrier::new(3));
    let all = ranks(3, Duration::from_millis(1500), move |rank, bench| {
        meet.wait();
        if rank == 1 {
            return None;
        }
        let refused = bench.germinate("early", "conv_light", "linear").unwrap_err();
        assert_eq!(stages(bench)[0], Stage::Dormant);
        // After a timeout every later exchange fails at once.
        let epoch = epoch(bench, 20.0, 0.0).unwrap_err();
        Some((refused, epoch))
    });
    let errors: Vec<_> = all.into_iter().flatten().collect();
    assert_eq!(errors.len(), 2);
    for (refused, epoch) in &errors {
        assert!(refused.starts_with("rank_timeout: no answer from rank 1 within 1.5 s"), "{refused}");
        assert!(epoch.contains("no answer from rank 1"), "{epoch}");
    }
    assert!(started.elapsed() < Duration::from_mins(1));
}

/// Forcing alpha on one rank only would train different networks, so all ranks vote on it.
#[test]
fn a_forced_alpha_is_voted_on() {
    let all = ranks(2, Duration::from_millis(1500), |rank, bench| {
        let together = bench.model.force_alpha("mid", 0.0).map(drop).is_ok();
        let alone = (rank == 0).then(|| bench.model.force_alpha("mid", 0.0).unwrap_err().to_string());
        (together, alone)
    });
    assert!(all.iter().all(|(together, _)| *together));
    assert!(all[0].1.as_ref().unwrap().contains("no answer from rank 1"), "{all:?}");
}

/// The numbers of a command are part of the vote.
#[test]
fn commands_that_differ_in_their_numbers_are_out_of_step() {
    let all = ranks(2, LONG, |rank, bench| {
        let rank = rank as f64;
        let forced = bench.model.force_alpha("mid", 0.25 * rank).map(drop).unwrap_err().to_string();
        bench.germinate("early", "conv_light", "linear").unwrap();
        for i in 0..8 {
            epoch(bench, 20.0 + f64::from(i), 3.0).unwrap();
        }
        let command =
            Command::SetAlphaTarget { slot: "early".into(), target: 0.5 + 0.1 * rank, steps: 2, curve: None };
        let target = bench.execute(&command).unwrap_err();
        assert_eq!(stages(bench)[0], Stage::Holding);
        let unknown = Command::Prune { slot: format!("attic{rank}"), reason: String::new() };
        let unknown = bench.execute(&unknown).unwrap_err();
        [forced, target, unknown]
    });
    assert!(all[0] == all[1] && all[0].iter().all(|e| e.contains("out of step")), "{all:?}");
}

/// A rank that refuses a command before its lifecycle checks it still votes, so that no rank waits.
#[test]
fn a_refusal_before_the_lifecycle_is_voted_on() {
    let all = ranks(2, LONG, |_, bench| {
        bench.germinate("mid", "conv_light", "fickle_curve").unwrap();
        let wrong = bench.model.force_alpha("mid", f64::NAN).map(drop).unwrap_err().code();
        let unknown = bench.execute(&Command::Prune { slot: "attic".into(), reason: String::new() });
        let later = Command::SchedulePrune { slot: "mid".into(), steps: 7, reason: String::new() };
        let curve = bench.execute(&later).unwrap_err();
        epoch(bench, 20.0, 0.0).unwrap();
        (wrong, unknown.unwrap_err(), curve)
    });
    for (wrong, unknown, curve) in all {
        assert_eq!(wrong, "non_finite");
        assert!(unknown.starts_with("unknown_slot") && curve.starts_with("non_finite"), "{unknown} {curve}");
    }
}

/// If the optimizer of one rank refuses to remove a seed, the end of the epoch fails on every rank and
/// changes nothing; a second try succeeds.
#[test]
fn a_rank_that_cannot_follow_stops_the_end_of_the_epoch_for_all() {
    let all = ranks(2, LONG, |rank, bench| {
        bench.germinate("early", "conv_light", "linear").unwrap();
        for i in 0..8 {
            epoch(bench, 20.0 + f64::from(i), 3.0).unwrap();
        }
        bench.germinate("mid", "conv_light", "linear").unwrap();
        bench.step();
        let plan = bench.model.counterfactual_plan();
        let inputs = EpochInputs { accuracy: 30.0, plan: &plan, without: vec![40.0], unhealthy: Vec::new() };
        bench.model.record_epoch(&inputs, 0).unwrap();
        let before = bench.model.reports();
        let refused = if rank == 0 {
            bench.model.step_epoch(&mut bench.optimizer)
        } else {
            bench.model.step_epoch(&mut RefusingOptimizer { optimizer: &mut bench.optimizer, left: 0 })
        };
        let error = refused.unwrap_err().to_string();
        assert_eq!(before, bench.model.reports());
        bench.model.step_epoch(&mut bench.optimizer).unwrap();
        (error, stages(bench))
    });
    assert_eq!(all[0].0, "rank 1 cannot carry out the decision; no rank has changed anything");
    assert!(all[1].0.contains("told to refuse"), "{all:?}");
    assert!(all.iter().all(|(_, s)| *s == [Stage::Dormant, Stage::Training, Stage::Dormant]), "{all:?}");
}

/// A prefetched germination lands on all ranks or on none.
#[test]
fn a_prefetched_germination_lands_on_all_ranks_or_on_none() {
    let all = ranks(2, LONG, |rank, bench| {
        let command = |slot: &str, bad: bool| {
            let config = if bad { serde_json::json!({"no such field": 1}) } else { serde_json::Value::Null };
            Command::Germinate(Germinate {
                prefetch: true,
                blueprint_config: config,
                ..Germinate::new(slot, format!("{slot}-1"), "conv_light", "linear")
            })
        };
        bench.execute(&command("early", false)).unwrap();
        let differs = bench.execute(&command("mid", rank == 1)).is_err();
        let landed = bench.model.land(&bench.registry, &mut bench.optimizer);
        (stages(bench), landed.len(), differs)
    });
    // The configuration of a germination is part of the vote.
    assert!(
        all.iter().all(|rank| *rank == (vec![Stage::Germinated, Stage::Dormant, Stage::Dormant], 1, true)),
        "{all:?}"
    );
}
