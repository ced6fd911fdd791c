//! Cases that train a model step by step, with builds of a plugin that are swapped in, and plugins that
//! panic.

use crate::transcript::Transcript;
use kasmina::ModelConfig;
use kasmina::lifecycle::Stage;
use kasmina::model::{PanicPolicies, PanicPolicy, Stepper, TrialSettings};
use kasmina_tests::behaviours::Waver;
use kasmina_tests::bench::{Bench, config, loss};
use kasmina_tests::builds::Builds;
use kasmina_tests::registry;
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use std::path::Path;

pub(crate) const NAMES: [&str; 9] = [
    "panic_builtin",
    "panic_fail",
    "panic_freeze",
    "panic_previous_generation",
    "panic_seed",
    "swap_confirmed",
    "swap_gate_rolled_back",
    "swap_other_curve",
    "swap_rolled_back",
];

/// The build with which a case begins, the one that is swapped in after the first epoch, and the policy for
/// panics.
struct Case {
    first: Waver,
    second: Option<Waver>,
    trial_steps: u32,
    policy: PanicPolicy,
}

pub(crate) fn run(name: &str) -> String {
    let case = |first, second, trial_steps, policy| Case { first, second, trial_steps, policy };
    if name == "panic_seed" {
        return seed_that_panics();
    }
    swapped(&match name {
        "swap_confirmed" => case(Waver::Linear, Some(Waver::LatePanic), 5, PanicPolicy::Fail),
        "swap_other_curve" => case(Waver::Linear, Some(Waver::OtherCurve), 5, PanicPolicy::Fail),
        "swap_rolled_back" => case(Waver::Linear, Some(Waver::Nan), 16, PanicPolicy::Fail),
        "swap_gate_rolled_back" => case(Waver::Gate, Some(Waver::GateThenNan), 16, PanicPolicy::Fail),
        "panic_builtin" => case(Waver::LatePanic, None, 4, PanicPolicy::Builtin),
        "panic_freeze" => case(Waver::LatePanic, None, 4, PanicPolicy::Freeze),
        "panic_fail" => case(Waver::LatePanic, None, 4, PanicPolicy::Fail),
        "panic_previous_generation" => {
            case(Waver::Linear, Some(Waver::LatePanic), 4, PanicPolicy::PreviousGeneration)
        }
        other => panic!("there is no case `{other}`"),
    })
}

struct Run {
    bench: Bench,
    stepper: Stepper,
    transcript: Transcript,
    events: Vec<serde_json::Value>,
    failed: bool,
}

impl Run {
    fn new(bench: Bench) -> Self {
        let stepper = Stepper::new(&bench.model).unwrap();
        Self { bench, stepper, transcript: Transcript::default(), events: Vec::new(), failed: false }
    }

    /// Takes steps, each again after a failure from which the model recovers, and ends the epoch.
    fn epoch(&mut self, epoch: u32, steps: u32) {
        let mut last = f64::NAN;
        for _ in 0..steps {
            let Bench { model, optimizer, x, y, registry, .. } = &mut self.bench;
            let mut tries = 0;
            while !self.failed {
                match self.stepper.step(model, optimizer, (x, y), &mut loss) {
                    Ok(value) => {
                        last = value.double_value(&[]);
                        break;
                    }
                    Err(_) => match model.recover(registry, optimizer).unwrap() {
                        Some(recovered) if tries < 4 => {
                            tries += 1;
                            self.transcript.line(&format!("recovered {}", kind(&recovered)));
                        }
                        _ => {
                            self.transcript.line("failed");
                            self.failed = true;
                        }
                    },
                }
            }
        }
        if !self.failed {
            let inputs = self.bench.end_epoch(30.0 + f64::from(epoch), 2.0);
            let val = serde_json::json!({ "epoch": epoch, "train_loss": last, "val_loss": last,
                "val_accuracy": 30.0 + f64::from(epoch), "inputs": inputs, "reports": self.bench.model.reports() });
            self.transcript.epoch(val);
        }
        for event in self.bench.model.drain_events() {
            let mut event = serde_json::to_value(&event).unwrap();
            event["epoch"] = epoch.into();
            self.events.push(event);
        }
    }

    fn swap(&mut self, build: &Path) {
        let staged = self.bench.registry.stage(build).unwrap();
        let Bench { model, optimizer, registry, .. } = &mut self.bench;
        let slots = model.adopt(&staged, registry, optimizer).unwrap();
        self.transcript.line(&format!("swapped {slots:?}"));
    }

    fn finish(mut self) -> String {
        self.transcript.events(self.events);
        self.transcript.weights(&self.bench.model);
        let optimizer: Vec<f64> = (self.bench.optimizer.owners())
            .flat_map(|owner| self.bench.optimizer.state(owner).unwrap())
            .map(|(_, tensor)| tensor.to_kind(tch::Kind::Double).abs().sum(None).double_value(&[]))
            .collect();
        self.transcript.line(&format!(
            "optimizer {}",
            optimizer.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
        ));
        self.transcript.finish()
    }
}

fn kind(recovered: &kasmina::model::Recovered) -> &'static str {
    match recovered {
        kasmina::model::Recovered::RolledBack { .. } => "rolled back",
        _ => "contained",
    }
}

fn swapped(case: &Case) -> String {
    let builds = Builds::new();
    let config = ModelConfig {
        trial: TrialSettings { steps: case.trial_steps, call_budget_ms: 60_000.0 },
        on_panic: PanicPolicies { default: case.policy, ..PanicPolicies::default() },
        ..config(&["block0", "block1"], "contiguous")
    };
    tch::set_num_threads(1);
    let registry = registry(&[]);
    registry.load_file(&builds.make(case.first, 0)).unwrap();
    let mut bench = Bench::on(registry, &config, &[16, 1, 8, 8], Optimizer::new(AdamW::default(), 5e-3));
    bench.germinate("block0", "conv_light", "waver").unwrap();
    bench.reach(Stage::Blending);
    let mut run = Run::new(bench);
    run.epoch(1, 3);
    if let Some(second) = case.second {
        run.swap(&builds.make(second, 0));
    }
    for epoch in 2..=8 {
        run.epoch(epoch, 10);
    }
    run.finish()
}

fn seed_that_panics() -> String {
    let config = ModelConfig {
        on_panic: PanicPolicies { default: PanicPolicy::Builtin, ..PanicPolicies::default() },
        ..config(&["early", "mid"], "contiguous")
    };
    let mut bench = Bench::with(config);
    bench.germinate("early", "panics_later", "linear").unwrap();
    bench.germinate("mid", "conv_light", "linear").unwrap();
    let mut run = Run::new(bench);
    for epoch in 1..=12 {
        run.epoch(epoch, 4);
    }
    run.finish()
}
