//! The numbers of `kasmina eval`.

use crate::runs::{ADDITION, DIGITS, must, train_and_export};
use kasmina_trainer::run::EpochReport;
use serde_json::Value;
use std::path::Path;

fn evaluation(home: &Path, arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["eval"].iter().chain(arguments).chain(&["--json"]).copied().collect();
    let mut printed: Value = serde_json::from_str(&must(home, &all)).unwrap();
    printed["evaluation"].take()
}

fn last_epoch(home: &Path) -> EpochReport {
    let metrics = std::fs::read_to_string(home.join("run/metrics.jsonl")).unwrap();
    serde_json::from_str(metrics.lines().last().unwrap()).unwrap()
}

/// A run's last validation is evaluated again to the bit; that of its export differs by rounding only, since
/// nothing is measured beside it.
#[test]
fn the_numbers_are_those_of_the_run() {
    for (config, samples) in [(DIGITS, 720), (ADDITION, 64)] {
        let home = tempfile::tempdir().unwrap();
        train_and_export(home.path(), config);
        let (run, report) = (evaluation(home.path(), &["run"]), last_epoch(home.path()));
        assert_eq!(run["loss"].as_f64(), Some(report.val_loss));
        assert_eq!(run["accuracy"].as_f64(), Some(report.val_accuracy));
        assert_eq!(run["samples"], samples);
        let exported = evaluation(home.path(), &["out"]);
        assert_eq!(exported["accuracy"], run["accuracy"]);
        let difference = (exported["loss"].as_f64().unwrap() - report.val_loss).abs();
        assert!(difference < 1e-6 * report.val_loss, "{difference}");
    }
}

/// An earlier checkpoint has the numbers of its epoch.
#[test]
fn any_checkpoint_can_be_evaluated() {
    let home = tempfile::tempdir().unwrap();
    let config = DIGITS.replace("device = \"cpu\"", "device = \"cpu\"\ncontroller = \"none\"");
    train_and_export(home.path(), &format!("{config}[checkpoint]\nevery_epochs = 2\nkeep = 9\n"));
    let metrics = std::fs::read_to_string(home.path().join("run/metrics.jsonl")).unwrap();
    let fourth: EpochReport = serde_json::from_str(metrics.lines().nth(3).unwrap()).unwrap();
    let found = evaluation(home.path(), &["run", "--checkpoint", "4"]);
    assert_eq!(found["loss"].as_f64(), Some(fourth.val_loss));
    let text = must(home.path(), &["eval", "run", "--checkpoint", "4"]);
    let (loss, accuracy) = (fourth.val_loss, fourth.val_accuracy);
    let want = format!("digits: loss {loss:.4}, accuracy {accuracy:.2} % on 720 validation samples\n");
    assert_eq!(text, want);
}
