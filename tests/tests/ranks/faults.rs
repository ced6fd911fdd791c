//! Ranks that are lost, late or different: every other rank ends in time, with an error that says why.

use kasmina_tests::world::{LIMIT, World, until_epoch, variables};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Time in which every rank must have ended: the limit, the time to look for signs of life, and to start.
const IN_TIME: Duration = Duration::from_secs(45);

fn config(home: &Path) {
    let text =
        format!("task = \"digits\"\nepochs = 100000\ndevice = \"cpu\"\n[ranks]\nlimit_seconds = {LIMIT:?}\n");
    std::fs::write(home.join("config.toml"), text).unwrap();
}

const TRAIN: [&str; 5] = ["train", "--config", "config.toml", "--out", "run"];

/// Starts a run, disturbs it, and waits until all ranks but the victim have ended with an error that contains
/// a text.
fn disturbed(size: usize, victim: usize, signal: Signal, text: &str) {
    let home = tempfile::tempdir().unwrap();
    config(home.path());
    let mut world = World::start(home.path(), size, &TRAIN, |_, _| {});
    until_epoch(&home.path().join("run"), 2);
    world.signal(victim, signal);
    let others = (0..size).filter(|rank| *rank != victim);
    for rank in others {
        let code = world.wait_for(rank, IN_TIME);
        let found = world.printed(rank);
        assert_eq!(code, Some(1), "rank {rank}: {found}");
        assert!(found.contains(&format!("rank {victim} on")) && found.contains(text), "rank {rank}: {found}");
    }
}

#[test]
fn a_killed_rank_is_named() {
    disturbed(2, 1, Signal::KILL, "has given no sign of life");
    disturbed(3, 2, Signal::KILL, "has given no sign of life");
}

#[test]
fn a_killed_first_rank_is_named() {
    disturbed(2, 0, Signal::KILL, "has given no sign of life");
}

#[test]
fn a_stopped_rank_is_named() {
    disturbed(2, 1, Signal::STOP, "has given no sign of life");
}

/// Starts ranks of which one differs, and returns what rank 0 prints.
fn different(change: impl Fn(&mut Command)) -> String {
    let home = tempfile::tempdir().unwrap();
    config(home.path());
    std::fs::write(
        home.path().join("other.toml"),
        std::fs::read_to_string(home.path().join("config.toml")).unwrap() + "[optimizer]\nbatch_size = 32\n",
    )
    .unwrap();
    let mut world = World::start(home.path(), 2, &[], |rank, command| {
        if rank == 1 {
            change(command);
        } else {
            command.args(TRAIN);
        }
    });
    let ended = world.wait(IN_TIME);
    assert!(ended.iter().all(|rank| rank.code == Some(1)), "{ended:#?}");
    ended[0].error.clone()
}

#[test]
fn another_configuration_is_named() {
    let error = different(|command| {
        command.args(["train", "--config", "other.toml", "--out", "run"]);
    });
    assert!(
        error.contains("differs from rank 0: setting `optimizer.batch_size` is `32` there, `64` on rank 0"),
        "{error}"
    );
}

#[test]
fn another_build_of_a_plugin_is_named() {
    let error = different(|command| {
        // Without the fixture, the rank has one plugin less.
        let paths = kasmina_tests::SHIPPED.iter().map(|name| kasmina_tests::shipped(name));
        command.env("KASMINA_PLUGIN_PATH", std::env::join_paths(paths).unwrap()).args(TRAIN);
    });
    assert!(error.contains("build of plugin") && error.contains("is `absent` there"), "{error}");
}

#[test]
fn a_rank_that_cannot_start_tells_the_others() {
    let error = different(|command| {
        command.args(TRAIN).args(["--device", "cuda"]);
    });
    assert!(
        error.contains("rank 1 on") && error.contains("ended: device `cuda` is not available"),
        "{error}"
    );
}

#[test]
fn a_wrong_number_of_ranks_is_named() {
    let error = different(|command| {
        command.args(TRAIN).env("WORLD_SIZE", "3");
    });
    assert!(
        error.contains("differs from rank 0: the number of ranks is `3` there, `2` on rank 0"),
        "{error}"
    );
}

/// Without a launcher that serves the store, rank 0 does; a port in use is an error at once.
#[test]
fn a_port_in_use_is_named() {
    let home = tempfile::tempdir().unwrap();
    config(home.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut first = kasmina_tests::world::command(home.path());
    first.args(TRAIN).envs(variables(0, 2, port)).env("TORCHELASTIC_USE_AGENT_STORE", "False");
    let (_, error, code) = kasmina_tests::output(first);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("rank 0 cannot serve the store of the ranks at 127.0.0.1:"), "{error}");
    assert!(error.contains("choose another MASTER_PORT"), "{error}");
}
