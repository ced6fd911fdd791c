//! Whole lifecycles, as transcripts of stages, alphas, events and refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]
use kasmina::lifecycle::{
    AlphaSettings, BlendPlan, Curve, EventKind, Germination, GradientCapture, Initiator, Lifecycle, Refusal,
    Settings, Stage, TempoUnit,
};
use kasmina_plugin_api::Topology;
use std::fmt::Write as _;

/// Drives a slot and records its state and events after each operation.
struct Transcript {
    slot: Lifecycle,
    text: String,
}

impl Transcript {
    fn new(settings: Settings) -> Self {
        Self { slot: Lifecycle::new("early", Topology::CNN, settings), text: String::new() }
    }

    fn germinated(settings: Settings, blend: BlendPlan) -> Self {
        let mut t = Self::new(settings);
        let germinate =
            Germination { seed_params: 90, host_params: 1009, ..Germination::new("s1", "conv_light", blend) };
        t.note("germinate", |slot| slot.germinate(germinate));
        t
    }

    fn note(&mut self, what: &str, op: impl FnOnce(&mut Lifecycle) -> Result<(), Refusal>) {
        let result = op(&mut self.slot);
        let mut line = format!("{what:<28}");
        match self.slot.seed() {
            None => line.push_str("empty"),
            Some(s) => {
                let _ = write!(
                    line,
                    "{:<11} alpha {:.7} {:?} epochs {}/{}",
                    s.stage,
                    s.alpha.alpha(),
                    s.alpha.mode(),
                    s.epochs_in_stage,
                    s.epochs_total
                );
            }
        }
        if let Err(refusal) = result {
            let _ = write!(line, "  REFUSED {refusal}");
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
        for event in self.slot.drain_events() {
            let _ = writeln!(self.text, "    {}", summary(&event.kind));
        }
    }

    /// Runs one epoch as the trainer does: validation, measurements, `step_epoch`.
    fn epoch(&mut self, accuracy: f64, ratio: Option<f64>, contribution: Option<f64>) {
        self.note(&format!("epoch {accuracy}"), |slot| {
            slot.record_validation(accuracy)?;
            if slot.stage().is_active() {
                if let Some(ratio) = ratio {
                    // Norms that result in this gradient ratio for 90 and 1009 parameters.
                    let seed_norm = ratio * (90.0_f64 / 1009.0).sqrt();
                    slot.record_gradients(GradientCapture::new(seed_norm, 1.0))?;
                }
                if let Some(c) = contribution {
                    slot.record_counterfactual(c)?;
                }
            }
            slot.step_epoch();
            Ok(())
        });
    }
}

fn summary(kind: &EventKind) -> String {
    match kind {
        EventKind::SeedGerminated { blueprint_id, params, blend, tempo, .. } => {
            format!("SEED_GERMINATED {blueprint_id} params {params} blend {blend} tempo {tempo}")
        }
        EventKind::SeedGateEvaluated { target, score, message, .. } => {
            format!("SEED_GATE_EVALUATED for {target}: {message}, score {score:.3}")
        }
        EventKind::SeedStageChanged { from, to, alpha, accuracy_delta, epochs_in_stage, gradient_ratio } => {
            let ratio = gradient_ratio.map_or("none".to_owned(), |r| format!("{r:.4}"));
            format!(
                "SEED_STAGE_CHANGED {from} -> {to} alpha {alpha:.2} delta {accuracy_delta:+.2} after {epochs_in_stage} ratio {ratio}"
            )
        }
        EventKind::SeedFossilized { improvement, counterfactual, blending_delta, params_added, .. } => {
            format!(
                "SEED_FOSSILIZED improvement {improvement:+.2} counterfactual {counterfactual:?} blending_delta {blending_delta:+.2} params {params_added}"
            )
        }
        EventKind::SeedPruned { reason, initiator, counterfactual, params_removed, .. } => {
            format!(
                "SEED_PRUNED {reason:?} by {initiator:?} counterfactual {counterfactual:?} params {params_removed}"
            )
        }
        other => format!("{other:?}"),
    }
}

/// A plan with the curve of the shipped blend of this name.
fn plan(id: &str) -> BlendPlan {
    let mut plan = BlendPlan::new(id);
    plan.alpha.curve = Curve::by_id(id);
    plan
}

/// A plan with a linear ramp and one change to its settings.
fn ramp(change: impl FnOnce(&mut AlphaSettings)) -> BlendPlan {
    let mut plan = plan("linear");
    change(&mut plan.alpha);
    plan
}

#[test]
fn happy_path() {
    for blend in ["linear", "sigmoid", "cosine", "tanh"] {
        let mut t = Transcript::germinated(Settings::default(), plan(blend));
        for e in 1..=8 {
            t.epoch(50.0 + 0.6 * f64::from(e), Some(0.4), None);
        }
        t.epoch(55.4, Some(0.4), Some(1.0));
        t.note("advance", |slot| slot.advance(None).map(|_| ()));
        t.note("advance", |slot| slot.advance(None).map(|_| ()));
        insta::assert_snapshot!(format!("happy_path_{blend}"), t.text);
    }
}

/// A run from germination to the timeout in HOLDING, with the epochs in which each stage is left.
#[test]
fn a_seed_without_a_measured_contribution_is_pruned_by_the_holding_timeout() {
    let mut t = Transcript::germinated(Settings::default(), plan("linear"));
    for e in 0..13 {
        t.epoch(50.3 + 0.3 * f64::from(e), Some(0.05), None);
    }
    insta::assert_snapshot!(t.text);
}

#[test]
fn a_seed_whose_gradients_were_never_measured_stays_in_training() {
    let mut t = Transcript::germinated(Settings::default(), plan("linear"));
    for e in 0..4 {
        t.epoch(50.0 + f64::from(e), None, None);
    }
    insta::assert_snapshot!(t.text);
}

#[test]
fn a_seed_with_too_little_gradient_stays_in_training() {
    let mut t = Transcript::germinated(Settings::default(), plan("linear"));
    for e in 0..3 {
        t.epoch(50.0 + f64::from(e), Some(0.049), None);
    }
    insta::assert_snapshot!(t.text);
}

#[test]
fn a_harmful_seed_is_pruned_in_holding() {
    let mut t = Transcript::germinated(Settings::default(), plan("linear"));
    for e in 1..=8 {
        t.epoch(50.0 + 0.6 * f64::from(e), Some(0.4), None);
    }
    t.epoch(55.4, Some(0.4), Some(0.0));
    t.epoch(55.4, Some(0.4), Some(-0.01));
    insta::assert_snapshot!(t.text);
}

#[test]
fn fossilization_needs_a_measurement_of_its_own_stage_and_enough_of_it() {
    let mut t = Transcript::germinated(Settings::default(), plan("linear"));
    for e in 1..=8 {
        t.epoch(50.0 + 0.6 * f64::from(e), Some(0.4), Some(30.0));
    }
    t.note("advance FOSSILIZED", |slot| slot.advance(Some(Stage::Fossilized)).map(|_| ()));
    t.epoch(55.4, None, Some(0.99));
    t.note("advance FOSSILIZED", |slot| slot.advance(Some(Stage::Fossilized)).map(|_| ()));
    t.note("counterfactual 16.4 - 15.4", |slot| slot.record_counterfactual(16.4 - 15.4));
    t.note("unhealthy", |slot| slot.record_health(false, "reported"));
    t.note("advance FOSSILIZED", |slot| slot.advance(Some(Stage::Fossilized)).map(|_| ()));
    t.note("healthy", |slot| slot.record_health(true, "reported"));
    t.note("advance FOSSILIZED", |slot| slot.advance(Some(Stage::Fossilized)).map(|_| ()));
    t.note("prune", |slot| slot.prune("too late", Initiator::Policy));
    t.epoch(40.0, None, None);
    insta::assert_snapshot!(t.text);
}

#[test]
fn a_prune_is_possible_from_germinated_to_holding_and_frees_the_slot_at_once() {
    let mut text = String::new();
    for epochs in [0, 1, 2, 4, 8] {
        let mut t = Transcript::germinated(Settings::default(), plan("linear"));
        for e in 1..=epochs {
            t.epoch(50.0 + 0.6 * f64::from(e), Some(0.4), None);
        }
        t.text.clear();
        t.note("prune", |slot| slot.prune("asked to", Initiator::Policy));
        t.note("prune again", |slot| slot.prune("asked to", Initiator::Policy));
        text.push_str(&t.text);
    }
    insta::assert_snapshot!(text);
}

#[test]
fn jumps_and_nonsense_are_refused_and_change_nothing() {
    let mut t = Transcript::new(Settings::default());
    t.note("advance", |slot| slot.advance(None).map(|_| ()));
    t.note("gradients", |slot| slot.record_gradients(GradientCapture::new(1.0, 1.0)));
    t.note("no seed id", |slot| slot.germinate(Germination::new("", "conv_light", plan("linear"))));
    t.note("tempo 0", |slot| slot.germinate(Germination::new("s", "b", ramp(|a| a.tempo = 0))));
    for target in [0.0, 1.01, f64::NAN] {
        t.note(&format!("target {target}"), |slot| {
            slot.germinate(Germination::new("s", "b", ramp(|a| a.target = target)))
        });
    }
    t.note("germinate", |slot| slot.germinate(Germination::new("s", "b", plan("linear"))));
    t.note("germinate again", |slot| slot.germinate(Germination::new("s2", "b", plan("linear"))));
    for stage in Stage::ALL {
        t.note(&format!("advance {stage}"), |slot| {
            if stage == Stage::Training { Ok(()) } else { slot.advance(Some(stage)).map(|_| ()) }
        });
    }
    for accuracy in [f64::NAN, f64::INFINITY, -0.1, 100.1] {
        t.note(&format!("validation {accuracy}"), |slot| slot.record_validation(accuracy));
    }
    t.note("counterfactual", |slot| slot.record_counterfactual(1.0));
    insta::assert_snapshot!(t.text);
}

#[test]
fn gradients_that_are_not_finite_are_counted_and_never_a_ratio() {
    let mut t = Transcript::germinated(Settings::default(), plan("linear"));
    t.epoch(50.0, None, None);
    for (seed_norm, host_norm) in
        [(f64::NAN, 1.0), (1.0, f64::INFINITY), (-1.0, 1.0), (1e300, 1e-7), (5.0, 0.0), (1.0, 1.0)]
    {
        t.note(&format!("gradients {seed_norm} {host_norm}"), |slot| {
            slot.record_gradients(GradientCapture::new(seed_norm, host_norm))
        });
        let metrics = &t.slot.seed().expect("it lives").metrics;
        let _ = writeln!(
            t.text,
            "    ratio {:?} unhealthy captures {} healthy {}",
            metrics.gradient_ratio(),
            metrics.unhealthy_captures,
            metrics.healthy
        );
    }
    insta::assert_snapshot!(t.text);
}

/// Golden values of the four curves, at fifths of the ramp.
#[test]
fn curves_hit_their_golden_values() {
    let five = |curve: Curve| -> Vec<f64> { (1..=5).map(|i| curve.at(f64::from(i) / 5.0, 12.0)).collect() };
    let close = |got: Vec<f64>, want: [f64; 5]| {
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() < 5e-8, "{got:?} {want:?}");
        }
    };
    close(five(Curve::Linear), [0.2, 0.4, 0.6, 0.8, 1.0]);
    let sigmoid = [0.024_244_3, 0.230_140_7, 0.769_859_3, 0.975_755_7, 1.0];
    close(five(Curve::Sigmoid), sigmoid);
    close(five(Curve::Tanh), sigmoid);
    close(five(Curve::Cosine), [0.095_491_5, 0.345_491_5, 0.654_508_5, 0.904_508_5, 1.0]);
    let raw: Vec<f64> = (0..=5).map(|i| 3.0 + 2.0 * f64::from(i)).collect();
    close(five(Curve::sampled(&raw).expect("it rises")), [0.2, 0.4, 0.6, 0.8, 1.0]);
    assert!(Curve::Sigmoid.at(0.5, 1e6).is_finite());
}

/// Regression: the mean of ratios that are all at the cap exceeded the cap by a rounding error.
#[test]
fn the_mean_of_capped_ratios_is_not_above_the_cap() {
    let mut slot = Lifecycle::new("early", Topology::CNN, Settings::default());
    slot.germinate(Germination::new("s", "b", plan("linear"))).expect("empty");
    slot.record_validation(50.0).expect("in range");
    slot.step_epoch();
    for _ in 0..500 {
        slot.record_gradients(GradientCapture::new(1e6, 1e-3)).expect("finite");
        let ratio = slot.seed().and_then(|s| s.metrics.gradient_ratio()).expect("measured");
        assert!((9.999..=10.0).contains(&ratio), "{ratio:?}");
    }
}

/// The history keeps the last 100 transitions, with the times that the caller has set.
#[test]
fn the_history_is_bounded() {
    let mut slot = Lifecycle::new("early", Topology::CNN, Settings::default());
    slot.germinate(Germination::new("s", "b", plan("linear"))).expect("empty");
    for e in 0..8 {
        slot.record_validation(50.0 + f64::from(e)).expect("in range");
        if slot.stage().is_active() {
            slot.record_gradients(GradientCapture::new(0.4, 1.0)).expect("finite");
        }
        slot.step_epoch();
    }
    // Back and forth between BLENDING and HOLDING.
    for round in 0..120_u32 {
        slot.set_clock(u64::from(round));
        slot.set_alpha_target(if round % 2 == 0 { 0.5 } else { 1.0 }, 0, None).expect("at rest");
        for _ in 0..3 {
            slot.record_validation(60.0).expect("in range");
            slot.step_epoch();
        }
    }
    let history = &slot.seed().expect("it lives").history;
    assert_eq!(history.len(), 100);
    assert_eq!(history.front().copied(), Some((Stage::Blending, 70)));
    assert_eq!(history.back().copied(), Some((Stage::Holding, 119)));
}

/// While alpha ramps down, G3 does not pass; an advance that ends a ramp early sets alpha to the target.
#[test]
fn a_ramp_cut_short_lands_on_its_target() {
    let mut t = Transcript::germinated(Settings::default(), ramp(|a| a.tempo = 20));
    for e in 1..=3 {
        t.epoch(50.0 + f64::from(e), Some(0.4), None);
    }
    for e in 4..=21 {
        t.epoch(50.0 + f64::from(e), Some(0.4), None);
    }
    t.text.clear();
    t.note("alpha 0.95 of 1", |_| Ok(()));
    t.note("advance", |slot| slot.advance(None).map(|_| ()));
    t.note("down to 0.9", |slot| slot.set_alpha_target(0.9, 10, None));
    for e in 0..4 {
        t.epoch(70.0 + f64::from(e), None, None);
    }
    t.note("advance", |slot| slot.advance(None).map(|_| ()));
    t.note("retarget", |slot| slot.set_alpha_target(0.8, 1, None));
    insta::assert_snapshot!(t.text);
}

/// With a ramp that counts steps, a tick changes alpha and no stage, and the end of an epoch changes the
/// stage and not alpha.
#[test]
fn a_ramp_that_counts_steps() {
    let mut t =
        Transcript::germinated(Settings::default(), ramp(|a| (a.tempo, a.unit) = (4, TempoUnit::Step)));
    for e in 1..=2 {
        t.note("tick", |slot| {
            slot.tick();
            Ok(())
        });
        t.epoch(50.0 + f64::from(e), Some(0.4), None);
    }
    t.epoch(53.0, Some(0.4), None);
    for e in 4..=6 {
        for _ in 0..2 {
            t.note("tick", |slot| {
                slot.tick();
                Ok(())
            });
        }
        t.epoch(50.0 + f64::from(e), Some(0.4), None);
    }
    insta::assert_snapshot!(t.text);
}
