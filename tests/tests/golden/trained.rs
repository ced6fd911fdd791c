//! Cases that the trainer runs: `cases/NAME.toml`, with generated input files.

use crate::transcript::Transcript;
use kasmina_tests::{cases, registry, runs};
use kasmina_trainer::{RunConfig, Trainer};
use std::sync::atomic::AtomicBool;

pub(crate) fn run(name: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut config = RunConfig::from_file(&cases::write(name, home.path())).unwrap();
    // The transcripts were recorded on the CPU.
    "cpu".clone_into(&mut config.device);
    let registry = registry(&cases::FIXTURES);
    for path in &config.plugin_path {
        registry.load_file(path).unwrap();
    }
    let trainer = Trainer::prepare(config, &registry).unwrap();
    let out = home.path().join("run");
    let (result, model) = trainer.run_and_keep(Some(&out), &mut (), &AtomicBool::new(false));
    let mut transcript = Transcript::default();
    // A case may also be a run that fails.
    transcript.line(&match result {
        Ok(summary) => format!("run {:?}", summary.status),
        Err(_) => "run failed".to_owned(),
    });
    for row in runs::lines(&out.join("metrics.jsonl")) {
        transcript.epoch(row);
    }
    transcript.events(runs::lines(&out.join("events.jsonl")));
    transcript.commands(runs::lines(&out.join("commands.jsonl")));
    transcript.weights(&model);
    transcript.finish()
}
