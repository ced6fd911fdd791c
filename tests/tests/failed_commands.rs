//! Commands and the end of an epoch are atomic: a failure at any fallible point leaves everything unchanged.

use kasmina::consensus::{Consensus, ConsensusError};
use kasmina::lifecycle::{Curve, EventKind, Stage};
use kasmina::model::Germinate;
use kasmina::{Command, MorphogeneticModel, SlotReport};
use kasmina_plugin_api::Mode;
use kasmina_tests::bench::{Bench, RefusingOptimizer, bits};
use kasmina_torch_ext::rng::{RngState, lock};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// A consensus of two ranks, whose other rank votes no or does not answer.
#[derive(Debug)]
enum OtherRank {
    VotesNo,
    NoAnswer,
}

impl Consensus for OtherRank {
    fn ranks(&self) -> usize {
        2
    }
    fn rank(&self) -> usize {
        0
    }
    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError> {
        match self {
            Self::NoAnswer => {
                Err(ConsensusError::Timeout { missing: vec![1], waited: Duration::from_secs(5) })
            }
            // A ballot is five words; the vote is a bit of the last one.
            Self::VotesNo => {
                let no =
                    message.iter().enumerate().map(|(i, w)| if i % 5 == 4 { w & !(1 << 16) } else { *w });
                Ok(vec![message.clone(), no.collect()])
            }
        }
    }
}

/// The state that a refused command must not change.
#[derive(PartialEq, Debug)]
struct Snapshot {
    slots: Vec<SlotReport>,
    states: Vec<String>,
    weights: BTreeMap<String, Vec<u32>>,
    owners: Vec<String>,
    owned: String,
    output: Vec<u32>,
}

impl Snapshot {
    fn of(bench: &mut Bench) -> Self {
        let model: &MorphogeneticModel = &bench.model;
        let states = model.slots().iter().map(|s| serde_json::to_string(&s.lifecycle().seed()).unwrap());
        let states = states.collect();
        let owned = format!("{:?}", model.ownership().entries());
        let slots = model.reports();
        let output = bits(&bench.model.forward(&bench.x, Mode::Eval).unwrap());
        let owners = bench.optimizer.owners().map(str::to_owned).collect();
        Self { slots, states, weights: bench.weights(), owners, owned, output }
    }
}

/// A bench with two seeds, one of them with a gated blend and in HOLDING, and an empty slot.
fn grown() -> Bench {
    let mut bench = Bench::new(&["early", "mid", "late"]);
    bench.germinate("early", "conv_light", "gate_net").unwrap();
    bench.reach(Stage::Holding);
    bench.germinate("mid", "attention", "fickle_curve").unwrap();
    bench
}

/// A failure outside of the model.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// The optimizer accepts this number of changes and refuses the next.
    Sink(u32),
    VotesNo,
    NoAnswer,
}

/// Executes a command with a fault, checks that it is refused and changes nothing, and returns its error.
fn expect_refused(bench: &mut Bench, command: &Command, fault: Fault) -> String {
    let other = match fault {
        Fault::VotesNo => Some(OtherRank::VotesNo),
        Fault::NoAnswer => Some(OtherRank::NoAnswer),
        Fault::None | Fault::Sink(_) => None,
    };
    if let Some(other) = other {
        bench.model.set_consensus(Box::new(other));
    }
    let _alone = lock();
    bench.model.drain_events();
    let before = Snapshot::of(bench);
    let generators = RngState::save().unwrap();
    let left = if let Fault::Sink(n) = fault { n } else { u32::MAX };
    let mut sink = RefusingOptimizer { optimizer: &mut bench.optimizer, left };
    let error = bench.model.execute(command, &bench.registry, &mut sink).expect_err("the command is refused");
    assert!(generators.same_as(&RngState::save().unwrap()), "{command:?} {fault:?}: generators");
    let mut events = bench.model.drain_events();
    let refusal = events.pop().unwrap();
    assert!(matches!(refusal.kind, EventKind::Command { accepted: false, .. }), "{refusal:?}");
    // Besides the refusal, only a failed gate of `advance` leaves an event.
    for event in &events {
        assert!(
            matches!(command, Command::Advance { .. })
                && matches!(event.kind, EventKind::SeedGateEvaluated { passed: false, .. }),
            "{command:?}: {event:?}"
        );
    }
    let code = error.code();
    bench.model.set_consensus(Box::new(kasmina::consensus::SingleRank));
    assert_eq!(before, Snapshot::of(bench), "{command:?} {fault:?}");
    format!("{code}: {error}")
}

fn table(bench: &mut Bench, rows: &[(&str, Command, Fault)]) -> String {
    let mut text = String::new();
    for (what, command, fault) in rows {
        let error = expect_refused(bench, command, *fault);
        let _ = writeln!(text, "{what}\n    {error}");
    }
    text
}

#[test]
fn germinate_is_atomic() {
    let germinate = |slot: &str, blueprint: &str, blend: &str| {
        Command::Germinate(Germinate::new(slot, "s9", blueprint, blend))
    };
    let good = || germinate("late", "conv_light", "gate_net");
    let bad = |change: fn(&mut Germinate)| {
        let mut command = Germinate::new("late", "s9", "conv_light", "linear");
        change(&mut command);
        Command::Germinate(command)
    };
    let rows = [
        ("no seed id", bad(|w| w.seed_id.clear()), Fault::None),
        ("tempo 0", bad(|w| w.tempo = Some(0)), Fault::None),
        ("target NaN", bad(|w| w.target = Some(f64::NAN)), Fault::None),
        ("occupied", germinate("early", "conv_light", "linear"), Fault::None),
        ("no such slot", germinate("attic", "conv_light", "linear"), Fault::None),
        ("no such blueprint", germinate("late", "unheard_of", "linear"), Fault::None),
        ("no such blend", germinate("late", "conv_light", "unheard_of"), Fault::None),
        ("bad config", bad(|w| w.blueprint_config = serde_json::json!({"x": 1})), Fault::None),
        ("build panics", germinate("late", "panics_in_build", "linear"), Fault::None),
        ("allocation fails", germinate("late", "huge", "linear"), Fault::None),
        ("wrong shape", germinate("late", "wrong_shape", "linear"), Fault::None),
        ("NaN", germinate("late", "always_nan", "linear"), Fault::None),
        ("dead at birth", germinate("late", "dead", "linear"), Fault::None),
        ("panics in the probe", germinate("late", "panics_in_forward", "linear"), Fault::None),
        ("a curve of NaN", bad(|w| (w.blend, w.tempo) = ("fickle_curve".into(), Some(7))), Fault::None),
        ("optimizer refuses the seed", good(), Fault::Sink(0)),
        ("optimizer refuses the gate", good(), Fault::Sink(1)),
        ("another rank refuses", good(), Fault::VotesNo),
        ("another rank is dead", good(), Fault::NoAnswer),
    ];
    let mut bench = grown();
    insta::assert_snapshot!(table(&mut bench, &rows));
    bench.execute(&good()).expect("without a fault it succeeds");
    bench.step();
}

#[test]
fn prune_and_schedule_prune_are_atomic() {
    let prune = |slot: &str| Command::Prune { slot: slot.into(), reason: "asked to".into() };
    let later =
        |slot: &str, steps| Command::SchedulePrune { slot: slot.into(), steps, reason: "asked to".into() };
    let rows = [
        ("prune nobody", prune("late"), Fault::None),
        ("prune: optimizer refuses the seed", prune("early"), Fault::Sink(0)),
        ("prune: optimizer refuses the gate", prune("early"), Fault::Sink(1)),
        ("prune: another rank refuses", prune("early"), Fault::VotesNo),
        ("prune: another rank is dead", prune("early"), Fault::NoAnswer),
        ("schedule_prune nobody", later("late", 3), Fault::None),
        ("schedule_prune: a curve of NaN", later("mid", 7), Fault::None),
        ("schedule_prune at once: optimizer refuses the gate", later("early", 0), Fault::Sink(1)),
        ("schedule_prune: another rank refuses", later("early", 3), Fault::VotesNo),
        ("schedule_prune: another rank is dead", later("early", 3), Fault::NoAnswer),
    ];
    let mut bench = grown();
    let mut text = table(&mut bench, &rows);
    bench.execute(&later("early", 3)).expect("without a fault it succeeds");
    text.push_str(&table(&mut bench, &[("schedule_prune twice", later("early", 3), Fault::None)]));
    insta::assert_snapshot!(text);
    bench.execute(&prune("early")).expect("a prune replaces the scheduled one");
    bench.step();
}

#[test]
fn advance_and_set_alpha_target_are_atomic() {
    let advance = |slot: &str, target| Command::Advance { slot: slot.into(), target };
    let retarget = |slot: &str, target, steps, curve| Command::SetAlphaTarget {
        slot: slot.into(),
        target,
        steps,
        curve,
    };
    let rows = [
        ("advance nobody", advance("late", None), Fault::None),
        ("advance too far", advance("mid", Some(Stage::Fossilized)), Fault::None),
        ("advance: the gate says no", advance("early", None), Fault::None),
        ("advance: another rank refuses", advance("mid", None), Fault::VotesNo),
        ("advance: another rank is dead", advance("mid", None), Fault::NoAnswer),
        ("retarget nobody", retarget("late", 0.5, 2, None), Fault::None),
        ("retarget too early", retarget("mid", 0.5, 2, Some(Curve::Linear)), Fault::None),
        ("retarget: NaN", retarget("early", f64::NAN, 2, None), Fault::None),
        ("retarget: out of range", retarget("early", 1.5, 2, None), Fault::None),
        (
            "retarget: a table of NaN",
            retarget("early", 0.5, 2, Some(Curve::Table(vec![0.0, f64::NAN]))),
            Fault::None,
        ),
        ("retarget: another rank refuses", retarget("early", 0.5, 2, None), Fault::VotesNo),
        ("retarget: another rank is dead", retarget("early", 0.5, 2, None), Fault::NoAnswer),
    ];
    let mut bench = grown();
    let mut text = table(&mut bench, &rows);
    bench.execute(&retarget("early", 0.5, 2, None)).expect("without a fault it succeeds");
    let again = [("retarget while a ramp runs", retarget("early", 0.7, 2, None), Fault::None)];
    text.push_str(&table(&mut bench, &again));
    insta::assert_snapshot!(text);
}

/// The curve of the blend is NaN for a ramp of three ticks; the retarget over five ticks succeeds.
#[test]
fn a_retarget_whose_curve_fails_changes_nothing() {
    let mut bench = Bench::new(&["early"]);
    bench.germinate("early", "conv_light", "fickle_curve").unwrap();
    bench.reach(Stage::Holding);
    let command = Command::SetAlphaTarget { slot: "early".into(), target: 0.5, steps: 3, curve: None };
    let error = expect_refused(&mut bench, &command, Fault::None);
    assert!(error.contains("NaN"), "{error}");
    bench
        .execute(&Command::SetAlphaTarget { slot: "early".into(), target: 0.5, steps: 5, curve: None })
        .unwrap();
}

/// If the optimizer does not remove a pruned seed, or another rank does not answer, no slot changes.
#[test]
fn the_end_of_an_epoch_is_atomic() {
    let mut bench = grown();
    // A negative contribution in HOLDING: the end of the epoch prunes `early`, while `mid` advances.
    let plan = bench.model.counterfactual_plan();
    let inputs = kasmina::model::EpochInputs {
        accuracy: 60.0,
        plan: &plan,
        without: vec![70.0],
        unhealthy: Vec::new(),
    };
    bench.model.record_epoch(&inputs, 0).unwrap();
    let before = Snapshot::of(&mut bench);
    for left in [0, 1] {
        let mut sink = RefusingOptimizer { optimizer: &mut bench.optimizer, left };
        let error = bench.model.step_epoch(&mut sink).unwrap_err().to_string();
        assert!(error.contains("told to refuse"), "{error}");
        assert_eq!(before, Snapshot::of(&mut bench));
    }
    bench.model.set_consensus(Box::new(OtherRank::NoAnswer));
    let error = bench.model.step_epoch(&mut bench.optimizer).unwrap_err().to_string();
    assert!(error.contains("no answer from rank 1"), "{error}");
    bench.model.set_consensus(Box::new(kasmina::consensus::SingleRank));
    assert_eq!(before, Snapshot::of(&mut bench));
    bench.model.step_epoch(&mut bench.optimizer).unwrap();
    let stages: Vec<Stage> = bench.model.reports().iter().map(|r| r.stage).collect();
    assert_eq!(stages, [Stage::Dormant, Stage::Training, Stage::Dormant]);
}
