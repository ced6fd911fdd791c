//! Whole lifecycles on several ranks, and resuming on another number of ranks.

use crate::world::{World, command, summary, until_epoch};
use kasmina_tests::{output, runs};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::path::Path;

const GROWING: &str = "task = \"digits\"\nepochs = 40\ndevice = \"cpu\"\n[ranks]\nlimit_seconds = 10.0\n";

/// Stages that the seeds of a run have entered.
fn stages(run: &Path) -> BTreeSet<String> {
    let events = runs::lines(&run.join("events.jsonl"));
    let stage = |event: &serde_json::Value| Some(event["to"].as_str()?.to_owned());
    events.iter().filter_map(stage).collect()
}

/// Seeds germinate, learn, blend in, are fossilized and pruned on two ranks; a signal to one rank stops both,
/// and three ranks, then one, continue.
#[test]
fn a_lifecycle_continues_on_another_number_of_ranks() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("config.toml"), GROWING).unwrap();
    let run = home.join("run");
    let mut two = World::start(home, 2, &["train", "--config", "config.toml", "--out", "run"], |_, _| {});
    until_epoch(&run, 8);
    two.signal(1, Signal::TERM);
    let ended = two.wait(std::time::Duration::from_mins(1));
    assert_eq!((ended[0].code, ended[1].code), (Some(130), Some(143)), "{ended:#?}");
    assert_eq!(summary(&run)["status"], "interrupted");
    assert!(std::fs::read_to_string(run.join("ranks/1.log")).unwrap().contains("epoch   8/40"));

    let mut three = World::start(home, 3, &["train", "--resume", "run", "--epochs", "30"], |_, _| {});
    three.must_succeed();
    let mut one = command(home);
    one.args(["train", "--resume", "run", "--epochs", "40"]);
    let (_, error, code) = output(one);
    assert_eq!(code, Some(0), "{error}");
    let found = summary(&run);
    assert_eq!((&found["epochs"], &found["status"]), (&40.into(), &"completed".into()));
    assert!(found["fossilized"].as_u64().unwrap() > 0, "{found:#}");
    let stages = stages(&run);
    for stage in ["TRAINING", "BLENDING", "HOLDING", "FOSSILIZED"] {
        assert!(stages.contains(stage), "{stage}: {stages:?}");
    }
}

/// `kasmina launch` starts the ranks, and starts them again after one was killed; the run then goes on from
/// its newest checkpoint.
#[test]
fn a_launched_run_survives_a_killed_rank() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("config.toml"), GROWING).unwrap();
    let mut launch = command(home);
    launch.args([
        "launch",
        "--ranks",
        "2",
        "--restarts",
        "2",
        "train",
        "--config",
        "config.toml",
        "--out",
        "run",
    ]);
    let log = std::fs::File::create(home.join("stderr")).unwrap();
    let mut launch = launch.stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap();
    until_epoch(&home.join("run"), 5);
    let victim = children(launch.id()).pop().expect("the launcher has started ranks");
    rustix::process::kill_process(victim, Signal::KILL).unwrap();
    let status = launch.wait().unwrap();
    let printed = std::fs::read_to_string(home.join("stderr")).unwrap();
    assert!(status.success(), "{printed}");
    assert!(
        printed.contains("has failed (signal: 9") && printed.contains("starting the ranks again (1 of 2)"),
        "{printed}"
    );
    assert!(printed.contains("resuming after epoch"), "{printed}");
    let found = summary(&home.join("run"));
    assert_eq!((&found["epochs"], &found["status"]), (&40.into(), &"completed".into()));
}

/// Returns the processes that a process has started.
fn children(parent: u32) -> Vec<rustix::process::Pid> {
    let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    text.split_whitespace().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)).collect()
}
