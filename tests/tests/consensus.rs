//! Several ranks, each with a model of its own, as threads: all transitions or none, and nobody waits for ever.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]

use kasmina::Command;
use kasmina::consensus::InProcess;
use kasmina::lifecycle::{EventKind, Stage};
use kasmina::model::{EpochInputs, Germinate};
use kasmina_tests::bench::Bench;
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

fn epoch(bench: &mut Bench, accuracy: f64, worth: f64) -> Result<(), String> {
    (0..3).for_each(|_| bench.step());
    let plan = bench.model.counterfactual_plan();
    let without = plan.slots().map(|_| accuracy - worth).collect();
    bench.model.record_epoch(&EpochInputs { accuracy, plan: &plan, without }, 0).unwrap();
    bench.model.step_epoch(&mut bench.optimizer).map(|_| ()).map_err(|e| e.to_string())
}

fn stages(bench: &Bench) -> Vec<Stage> {
    bench.model.reports().iter().map(|r| r.stage).collect()
}

const LONG: Duration = Duration::from_mins(1);

#[test]
fn ranks_that_agree_go_on_together() {
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

/// One rank sees no improvement: none goes on, and those that would have are told why.
#[test]
fn one_rank_s_no_keeps_all_of_them() {
    let all = ranks(3, LONG, |rank, bench| {
        bench.germinate("early", "conv_light", "linear").unwrap();
        epoch(bench, 20.0, 0.0).unwrap();
        let sceptic = rank == 1;
        epoch(bench, if sceptic { 20.0 } else { 25.0 }, 0.0).unwrap();
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
        // An advance is a vote as well.
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

/// A harmful seed is pruned by its rules on all ranks or on none.
#[test]
fn the_rules_of_holding_are_a_vote_too() {
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

/// A germination that one rank cannot make is made by none.
#[test]
fn a_germination_is_a_vote() {
    let all = ranks(2, LONG, |rank, bench| {
        let mut wish = Germinate::new("mid", "s1", "conv_light", "linear");
        if rank == 1 {
            wish.blueprint_config = serde_json::json!({"no such field": 1});
        }
        let refused = bench.execute(&Command::Germinate(wish)).unwrap_err();
        (stages(bench), bench.optimizer.owners().count(), refused)
    });
    for (rank, (stages, owners, refused)) in all.iter().enumerate() {
        assert_eq!((stages.as_slice(), *owners), ([Stage::Dormant; 3].as_slice(), 1));
        let code = if rank == 0 { "ddp_veto" } else { "build_failed" };
        assert!(refused.starts_with(code), "{refused}");
    }
}

/// Ranks that do not stand in the same place all say so, and in the same words; nothing changes on any.
#[test]
fn ranks_out_of_step_are_found_out_by_all_of_them() {
    let all = ranks(3, LONG, |rank, bench| {
        bench.germinate("early", "conv_light", "linear").unwrap();
        epoch(bench, 20.0, 0.0).unwrap();
        if rank == 2 {
            // A rank that lost its seed, behind the others' back.
            let mut other = Bench::new(&SLOTS);
            (0..6).for_each(|_| other.step());
            std::mem::swap(&mut other.model, &mut bench.model);
            std::mem::swap(&mut other.optimizer, &mut bench.optimizer);
            let solo = Box::new(kasmina::consensus::Solo);
            let consensus = other.model.replace_consensus(solo);
            bench.model.set_consensus(consensus);
        }
        let before = stages(bench);
        let error = epoch(bench, 25.0, 0.0).unwrap_err();
        assert_eq!(before, stages(bench));
        error
    });
    assert!(all.iter().all(|e| *e == all[0]), "{all:?}");
    assert!(all[0].contains("out of step: slot `block0`"), "{}", all[0]);
    assert!(all[0].contains("rank 2 has no seed in DORMANT asking nothing"), "{}", all[0]);
}

/// A rank that dies is missed within the time limit, by name, and nothing is half-done.
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
        // There is no common ground any more: the next question is answered at once.
        let epoch = epoch(bench, 20.0, 0.0).unwrap_err();
        Some((refused, epoch))
    });
    let told: Vec<_> = all.into_iter().flatten().collect();
    assert_eq!(told.len(), 2);
    for (refused, epoch) in &told {
        assert!(refused.starts_with("rank_timeout: no word from rank 1 within 1.5 s"), "{refused}");
        assert!(epoch.contains("no word from rank 1"), "{epoch}");
    }
    assert!(started.elapsed() < Duration::from_mins(1));
}

/// Forcing alpha on one rank alone would train different networks: every rank takes part, or none.
#[test]
fn a_forced_alpha_is_a_vote() {
    let all = ranks(2, Duration::from_millis(1500), |rank, bench| {
        let together = bench.model.force_alpha("mid", 0.0).map(drop).is_ok();
        let alone = (rank == 0).then(|| bench.model.force_alpha("mid", 0.0).unwrap_err().to_string());
        (together, alone)
    });
    assert!(all.iter().all(|(together, _)| *together));
    assert!(all[0].1.as_ref().unwrap().contains("no word from rank 1"), "{all:?}");
}
