//! All or nothing: a failure is injected at every fallible point of every command, and nothing has changed.

use kasmina::consensus::{Consensus, ConsensusError};
use kasmina::lifecycle::{Curve, EventKind, Stage};
use kasmina::model::Germinate;
use kasmina::{Command, MorphogeneticModel, SlotReport};
use kasmina_plugin_api::Mode;
use kasmina_tests::bench::{Bench, Refusing, bits};
use kasmina_torch_ext::rng::{RngState, lock};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// A second rank that votes no, or that is dead.
#[derive(Debug)]
enum Other {
    SaysNo,
    IsDead,
}

impl Consensus for Other {
    fn ranks(&self) -> usize {
        2
    }
    fn rank(&self) -> usize {
        0
    }
    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError> {
        match self {
            Self::IsDead => Err(ConsensusError::Timeout { missing: vec![1], waited: Duration::from_secs(5) }),
            // The verdict is a bit of every ballot's last word.
            Self::SaysNo => {
                let no =
                    message.iter().enumerate().map(|(i, w)| if i % 5 == 4 { w & !(1 << 16) } else { *w });
                Ok(vec![message.clone(), no.collect()])
            }
        }
    }
}

/// Everything that a refused command must leave alone.
#[derive(PartialEq, Debug)]
struct Everything {
    slots: Vec<SlotReport>,
    states: Vec<String>,
    weights: BTreeMap<String, Vec<u32>>,
    owners: Vec<String>,
    owned: String,
    output: Vec<u32>,
}

impl Everything {
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

/// Two living seeds, one of them gated and in HOLDING, one slot empty.
fn grown() -> Bench {
    let mut bench = Bench::new(&["early", "mid", "late"]);
    bench.germinate("early", "conv_light", "gate_net").unwrap();
    bench.reach(Stage::Holding);
    bench.germinate("mid", "attention", "fickle_curve").unwrap();
    bench
}

/// What goes wrong from outside.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// The optimizer refuses its call of this number.
    Sink(u32),
    SaysNo,
    IsDead,
}

fn refuse(bench: &mut Bench, command: &Command, fault: Fault) -> String {
    let other = match fault {
        Fault::SaysNo => Some(Other::SaysNo),
        Fault::IsDead => Some(Other::IsDead),
        Fault::None | Fault::Sink(_) => None,
    };
    if let Some(other) = other {
        bench.model.set_consensus(Box::new(other));
    }
    let _alone = lock();
    bench.model.drain_events();
    let before = Everything::of(bench);
    let generators = RngState::save().unwrap();
    let left = if let Fault::Sink(n) = fault { n } else { u32::MAX };
    let mut sink = Refusing { optimizer: &mut bench.optimizer, left };
    let error = bench.model.execute(command, &bench.registry, &mut sink).expect_err("it is refused");
    assert!(generators.same_as(&RngState::save().unwrap()), "{command:?} {fault:?}: generators");
    let mut events = bench.model.drain_events();
    let told = events.pop().unwrap();
    assert!(matches!(told.kind, EventKind::Command { accepted: false, .. }), "{told:?}");
    // A gate that was asked has said so; nothing else is told.
    for event in &events {
        assert!(
            matches!(command, Command::Advance { .. })
                && matches!(event.kind, EventKind::SeedGateEvaluated { passed: false, .. }),
            "{command:?}: {event:?}"
        );
    }
    let code = error.code();
    bench.model.set_consensus(Box::new(kasmina::consensus::SingleRank));
    assert_eq!(before, Everything::of(bench), "{command:?} {fault:?}");
    format!("{code}: {error}")
}

fn table(bench: &mut Bench, rows: &[(&str, Command, Fault)]) -> String {
    let mut text = String::new();
    for (what, command, fault) in rows {
        let error = refuse(bench, command, *fault);
        let _ = writeln!(text, "{what}\n    {error}");
    }
    text
}

#[test]
fn germinate_is_made_whole_or_not_at_all() {
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
        ("another rank refuses", good(), Fault::SaysNo),
        ("another rank is dead", good(), Fault::IsDead),
    ];
    let mut bench = grown();
    insta::assert_snapshot!(table(&mut bench, &rows));
    bench.execute(&good()).expect("and then it is made");
    bench.step();
}

#[test]
fn prune_and_schedule_prune_are_made_whole_or_not_at_all() {
    let prune = |slot: &str| Command::Prune { slot: slot.into(), reason: "asked to".into() };
    let later =
        |slot: &str, steps| Command::SchedulePrune { slot: slot.into(), steps, reason: "asked to".into() };
    let rows = [
        ("prune nobody", prune("late"), Fault::None),
        ("prune: optimizer refuses the seed", prune("early"), Fault::Sink(0)),
        ("prune: optimizer refuses the gate", prune("early"), Fault::Sink(1)),
        ("prune: another rank refuses", prune("early"), Fault::SaysNo),
        ("prune: another rank is dead", prune("early"), Fault::IsDead),
        ("schedule_prune nobody", later("late", 3), Fault::None),
        ("schedule_prune: a curve of NaN", later("mid", 7), Fault::None),
        ("schedule_prune at once: optimizer refuses the gate", later("early", 0), Fault::Sink(1)),
        ("schedule_prune: another rank refuses", later("early", 3), Fault::SaysNo),
        ("schedule_prune: another rank is dead", later("early", 3), Fault::IsDead),
    ];
    let mut bench = grown();
    let mut text = table(&mut bench, &rows);
    bench.execute(&later("early", 3)).expect("and then it is made");
    text.push_str(&table(&mut bench, &[("schedule_prune twice", later("early", 3), Fault::None)]));
    insta::assert_snapshot!(text);
    bench.execute(&prune("early")).expect("a prune overtakes it");
    bench.step();
}

#[test]
fn advance_and_set_alpha_target_are_made_whole_or_not_at_all() {
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
        ("advance: another rank refuses", advance("mid", None), Fault::SaysNo),
        ("advance: another rank is dead", advance("mid", None), Fault::IsDead),
        ("retarget nobody", retarget("late", 0.5, 2, None), Fault::None),
        ("retarget too early", retarget("mid", 0.5, 2, Some(Curve::Linear)), Fault::None),
        ("retarget: NaN", retarget("early", f64::NAN, 2, None), Fault::None),
        ("retarget: out of range", retarget("early", 1.5, 2, None), Fault::None),
        (
            "retarget: a table of NaN",
            retarget("early", 0.5, 2, Some(Curve::Table(vec![0.0, f64::NAN]))),
            Fault::None,
        ),
        ("retarget: another rank refuses", retarget("early", 0.5, 2, None), Fault::SaysNo),
        ("retarget: another rank is dead", retarget("early", 0.5, 2, None), Fault::IsDead),
    ];
    let mut bench = grown();
    let mut text = table(&mut bench, &rows);
    bench.execute(&retarget("early", 0.5, 2, None)).expect("and then it is made");
    let again = [("retarget while a ramp runs", retarget("early", 0.7, 2, None), Fault::None)];
    text.push_str(&table(&mut bench, &again));
    insta::assert_snapshot!(text);
}

/// A seed on a fickle curve reaches BLENDING; another ramp than its own cannot be sampled.
#[test]
fn a_retarget_whose_curve_fails_changes_nothing() {
    let mut bench = Bench::new(&["early"]);
    bench.germinate("early", "conv_light", "fickle_curve").unwrap();
    bench.reach(Stage::Holding);
    let command = Command::SetAlphaTarget { slot: "early".into(), target: 0.5, steps: 3, curve: None };
    let error = refuse(&mut bench, &command, Fault::None);
    assert!(error.contains("NaN"), "{error}");
    bench
        .execute(&Command::SetAlphaTarget { slot: "early".into(), target: 0.5, steps: 5, curve: None })
        .unwrap();
}

/// The edge of an epoch is one step for all slots: an optimizer that does not let one seed go, or a rank that
/// is dead, stops them all.
#[test]
fn an_epoch_s_end_is_made_whole_or_not_at_all() {
    let mut bench = grown();
    // Harmful in HOLDING: the next step prunes it, while `mid` goes on.
    let plan = bench.model.counterfactual_plan();
    let inputs = kasmina::model::EpochInputs {
        accuracy: 60.0,
        plan: &plan,
        without: vec![70.0],
        unhealthy: Vec::new(),
    };
    bench.model.record_epoch(&inputs, 0).unwrap();
    let before = Everything::of(&mut bench);
    for left in [0, 1] {
        let mut sink = Refusing { optimizer: &mut bench.optimizer, left };
        let error = bench.model.step_epoch(&mut sink).unwrap_err().to_string();
        assert!(error.contains("told to refuse"), "{error}");
        assert_eq!(before, Everything::of(&mut bench));
    }
    bench.model.set_consensus(Box::new(Other::IsDead));
    let error = bench.model.step_epoch(&mut bench.optimizer).unwrap_err().to_string();
    assert!(error.contains("no answer from rank 1"), "{error}");
    bench.model.set_consensus(Box::new(kasmina::consensus::SingleRank));
    assert_eq!(before, Everything::of(&mut bench));
    bench.model.step_epoch(&mut bench.optimizer).unwrap();
    let stages: Vec<Stage> = bench.model.reports().iter().map(|r| r.stage).collect();
    assert_eq!(stages, [Stage::Dormant, Stage::Training, Stage::Dormant]);
}
