//! Extensions, branches, fallback to an older checkpoint, and checkpoints of older versions.

use crate::home::{Home, contents};
use kasmina_tests::{files::copy_tree, output, runs};
use std::path::Path;
use std::process::Stdio;

#[test]
fn a_finished_run_can_be_extended() {
    let home = Home::finished();
    let before = contents(&home.path("run"));
    let (_, error, code) = home.resume(&[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains("the run is finished: 4 epochs"), "{error}");
    assert!(before == contents(&home.path("run")), "nothing is written");
    let (_, error, code) = home.resume(&["--epochs", "6"]);
    assert_eq!(code, Some(0), "{error}");
    let rows = runs::lines(&home.path("run/metrics.jsonl"));
    assert_eq!(rows.len(), 6);
    let config = std::fs::read_to_string(home.path("run/config.toml")).unwrap();
    assert!(config.contains("epochs = 6\nschedule_epochs = 4"), "{config}");
    let resumes = runs::lines(&home.path("run/resumes.jsonl"));
    assert_eq!((&resumes[0]["epoch"], &resumes[0]["epochs"]), (&4.into(), &6.into()));
}

#[test]
fn a_branch_leaves_the_run_as_it_is() {
    let home = Home::empty();
    home.configure("[checkpoint]\nkeep = 9\n");
    assert_eq!(home.train(&["--out", "run"]).2, Some(0));
    let before = contents(&home.path("run"));
    let (_, error, code) =
        home.resume(&["--from", "2", "--out", "branch", "--override", "optimizer.learning_rate=0.02"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(before == contents(&home.path("run")), "the original is only read");
    let (old, new) =
        (runs::lines(&home.path("run/metrics.jsonl")), runs::lines(&home.path("branch/metrics.jsonl")));
    assert_eq!((old.len(), new.len()), (4, 4));
    assert_eq!(old[1]["val_loss"], new[1]["val_loss"], "the branch begins with the same epochs");
    assert_ne!(old[3]["val_loss"], new[3]["val_loss"], "and then differs");
    let resumes = runs::lines(&home.path("branch/resumes.jsonl"));
    assert_eq!(resumes[0]["overrides"]["optimizer.learning_rate"], 0.02);
    let (_, error, code) = home.resume(&["--from", "7", "--out", "another"]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("there is no checkpoint at the end of epoch 7; there are those of 0, 1, 2, 3, 4"),
        "{error}"
    );
}

#[test]
fn a_branch_without_changes_reproduces_the_run() {
    let home = Home::empty();
    home.configure("[checkpoint]\nkeep = 9\n");
    assert_eq!(home.train(&["--out", "run"]).2, Some(0));
    let (_, error, code) = home.resume(&["--from", "1", "--out", "branch"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(runs::bits(&home.path("run")), runs::bits(&home.path("branch")));
    let model = |run: &str| std::fs::read(home.newest(run).join("model.safetensors")).unwrap();
    assert!(model("run") == model("branch"));
}

#[test]
fn a_damaged_checkpoint_is_skipped_with_one_warning() {
    let home = Home::empty();
    home.configure("[checkpoint]\nkeep = 2\nkeep_best = false\n");
    assert_eq!(home.train(&["--out", "run"]).2, Some(0));
    let reference = runs::bits(&home.path("run"));
    std::fs::write(home.newest("run").join("state.json"), "{").unwrap();
    let mut verify = home.command(&["checkpoints", "verify", "run"]);
    verify.stderr(Stdio::null());
    assert_eq!(output(verify).2, Some(1));
    let (_, error, code) = home.resume(&[]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(error.matches("WARN").count(), 1, "{error}");
    assert!(error.contains("the one before it is used"), "{error}");
    assert_eq!(runs::bits(&home.path("run")), reference);
}

#[test]
fn an_unfinished_run_names_the_command_to_resume_it() {
    let home = Home::finished();
    let (_, error, _) = home.train(&["--out", "run"]);
    assert!(
        error.contains("it already contains a run") && error.contains("choose another directory"),
        "{error}"
    );
    std::fs::remove_file(home.path("run/summary.json")).unwrap();
    let (_, error, _) = home.train(&["--out", "run"]);
    assert!(error.contains("resume it: kasmina train --resume run"), "{error}");
}

#[test]
fn checkpoints_of_the_first_version_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/checkpoints/v1");
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    copy_tree(&folder, &run);
    let options = kasmina_trainer::run::ResumeOptions { run, epochs: Some(9), ..Default::default() };
    let opened = kasmina_trainer::run::Opened::open(&options).unwrap();
    let kasmina_trainer::run::Resumption::Ready(opened) = opened else { panic!("the run can be resumed") };
    assert_eq!(opened.done(), (2, 10));
}
