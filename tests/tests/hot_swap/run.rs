//! A model in training whose blend is swapped.

use kasmina::ModelConfig;
use kasmina::lifecycle::{Event, EventKind, Stage};
use kasmina::model::{ModelError, PanicPolicies, PanicPolicy, Recovered, Stepper, TrialSettings};
use kasmina_tests::behaviours::Waver;
use kasmina_tests::bench::{Bench, config, loss};
use kasmina_tests::builds::Builds;
use kasmina_tests::registry;
use kasmina_torch_ext::optim::{AdamW, Optimizer};

/// A model in training with a blend of the fixture `waver` in `block0`.
pub(crate) struct Run {
    pub(crate) bench: Bench,
    pub(crate) stepper: Stepper,
    pub(crate) losses: Vec<f64>,
    pub(crate) events: Vec<Event>,
}

impl Run {
    /// A model with two slots, whose seed in `block0` is in BLENDING with a blend of a build of this mode.
    pub(crate) fn new(builds: &Builds, mode: Waver, trial: u32, on_panic: PanicPolicy) -> Self {
        let config = ModelConfig {
            trial: TrialSettings { steps: trial, call_budget_ms: 100.0 },
            on_panic: PanicPolicies { default: on_panic, ..PanicPolicies::default() },
            ..config(&["block0", "block1"], "contiguous")
        };
        tch::set_num_threads(1);
        let registry = registry(&[]);
        registry.load_file(&builds.make(mode, 0)).unwrap();
        let bench = Bench::on(registry, &config, &[16, 1, 8, 8], Optimizer::new(AdamW::default(), 5e-3));
        let stepper = Stepper::new(&bench.model).unwrap();
        let mut run = Self { bench, stepper, losses: Vec::new(), events: Vec::new() };
        run.bench.germinate("block0", "conv_light", "waver").unwrap();
        run.bench.reach(Stage::Blending);
        run.bench.epoch(30.0, 2.0);
        run.bench.epoch(30.5, 2.0);
        run.bench.model.drain_events();
        run
    }

    pub(crate) fn try_step(&mut self) -> Result<(), ModelError> {
        let Bench { model, optimizer, x, y, .. } = &mut self.bench;
        let value = self.stepper.step(model, optimizer, (x, y), &mut loss)?;
        self.losses.push(value.double_value(&[]));
        Ok(())
    }

    pub(crate) fn recover(&mut self) -> Option<Recovered> {
        let Bench { model, optimizer, registry, .. } = &mut self.bench;
        model.recover(registry, optimizer).unwrap()
    }

    /// Takes `n` steps, each again after a failure from which the model recovers. Returns the recoveries.
    pub(crate) fn steps(&mut self, n: usize) -> Vec<Recovered> {
        let mut all = Vec::new();
        for _ in 0..n {
            while let Err(error) = self.try_step() {
                all.push(self.recover().unwrap_or_else(|| panic!("{error}")));
            }
        }
        self.events.extend(self.bench.model.drain_events());
        all
    }

    pub(crate) fn swap(&mut self, build: &std::path::Path) -> Vec<String> {
        let staged = self.bench.registry.stage(build).unwrap();
        let Bench { model, optimizer, registry, .. } = &mut self.bench;
        let slots = model.adopt(&staged, registry, optimizer).unwrap();
        self.events.extend(model.drain_events());
        slots
    }

    pub(crate) fn alpha(&self) -> f64 {
        self.bench.model.slot("block0").unwrap().lifecycle().alpha()
    }

    /// Returns the hash of the build of the blend in `block0`.
    pub(crate) fn blend_build(&self) -> String {
        let (_, blend) = self.bench.model.slot("block0").unwrap().entries().unwrap();
        blend.plugin().generation().unwrap_or("built-in").to_owned()
    }

    /// Names of the swap events so far.
    pub(crate) fn swap_events(&self) -> Vec<&'static str> {
        self.events
            .iter()
            .filter_map(|event| match event.kind {
                EventKind::PluginSwapped { .. } => Some("swapped"),
                EventKind::PluginConfirmed { .. } => Some("confirmed"),
                EventKind::PluginRolledBack { .. } => Some("rolled back"),
                EventKind::PluginContained { .. } => Some("contained"),
                _ => None,
            })
            .collect()
    }
}
