//! Whole lifecycles on several ranks, and resuming on another number of ranks.

use kasmina_tests::world::{World, command, metric, summary, until_epoch, weights};
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
    two.until_epoch(&run, 8);
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

/// Every rank draws its own random numbers, for a host with dropout and for a stochastic seed. A run that is
/// stopped in the middle of an epoch and resumed on as many ranks continues them all.
#[test]
fn a_resumed_run_continues_the_random_numbers_of_every_rank() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("text.txt"), "A network grows while it learns. ".repeat(300)).unwrap();
    let germination = "{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"early\",\"seed_id\":\"a\",\
                       \"blueprint\":\"dropout\",\"blend\":\"linear\"}\n";
    std::fs::write(home.join("script.jsonl"), germination).unwrap();
    let host = "task = \"chars\"\nslots = [\"early\"]\n[data]\ntext = \"text.txt\"\nsequence_length = 16\n\
                [host.config]\nn_embd = 16\nn_head = 2\nn_layer = 1\ndropout = 0.3\n";
    let seed = "task = \"digits\"\ncontroller = \"scripted\"\nscript = \"script.jsonl\"\n";
    for (name, text) in [("host", host), ("seed", seed)] {
        let text = format!("epochs = 6\ndevice = \"cpu\"\n{text}[ranks]\nlimit_seconds = 10.0\n");
        std::fs::write(home.join("config.toml"), text).unwrap();
        let (whole, parts) = (format!("{name}-whole"), format!("{name}-parts"));
        let start =
            |out: &str| World::start(home, 2, &["train", "--config", "config.toml", "--out", out], |_, _| {});
        start(&whole).must_succeed();
        let mut stopped = start(&parts);
        stopped.until_epoch(&home.join(&parts), 3);
        stopped.signal(0, Signal::TERM);
        let ended = stopped.wait(std::time::Duration::from_mins(1));
        assert_eq!((ended[0].code, ended[1].code), (Some(143), Some(130)), "{ended:#?}");
        World::start(home, 2, &["train", "--resume", &parts], |_, _| {}).must_succeed();
        assert!(weights(&home.join(&whole)) == weights(&home.join(&parts)), "{name}");
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

/// torchrun starts the ranks, ends them after one was killed, and starts them again; the run goes on from its
/// newest checkpoint, and ends as one that nobody disturbed.
#[test]
fn torchrun_starts_and_restarts_the_ranks() {
    let Some(python) = kasmina_tests::python::python("torchrun_starts_and_restarts_the_ranks") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("config.toml"), GROWING).unwrap();
    let start = |out: &str| {
        let ours = command(home);
        let mut torchrun = std::process::Command::new(python.get_program());
        torchrun.env_clear().current_dir(home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, value) in python.get_envs().chain(ours.get_envs()) {
            torchrun.env(name, value.unwrap_or_default());
        }
        torchrun.args([
            "-m",
            "torch.distributed.run",
            "--no-python",
            "--nproc-per-node",
            "2",
            "--max-restarts",
            "2",
        ]);
        // Without these, torchrun uses a fixed port.
        torchrun.args(["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]);
        torchrun.arg(ours.get_program()).args(["train", "--config", "config.toml", "--out", out]);
        let log = std::fs::File::create(home.join(format!("{out}.stderr"))).unwrap();
        torchrun.stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap()
    };
    let printed = |out: &str| std::fs::read_to_string(home.join(format!("{out}.stderr"))).unwrap();
    assert!(start("whole").wait().unwrap().success(), "{}", printed("whole"));
    let mut disturbed = start("disturbed");
    until_epoch(&home.join("disturbed"), 12);
    let victim = children(disturbed.id()).pop().expect("torchrun has started ranks");
    rustix::process::kill_process(victim, Signal::KILL).unwrap();
    assert!(disturbed.wait().unwrap().success(), "{}", printed("disturbed"));
    assert!(printed("disturbed").contains("resuming after epoch"), "{}", printed("disturbed"));
    let losses = |out: &str| metric(&home.join(out), "val_loss");
    assert_eq!(losses("disturbed"), losses("whole"));
    assert!(weights(&home.join("disturbed")) == weights(&home.join("whole")));
}

/// A run records the GPU of its rank 0, which says nothing of the other ranks. A GPU that the user names for
/// all of them is refused.
#[test]
fn one_gpu_for_all_ranks_is_refused() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.toml"), GROWING.replace("40", "1")).unwrap();
    let start = |args: &[&str]| World::start(home.path(), 2, args, |_, _| {});
    start(&["train", "--config", "config.toml", "--out", "run"]).must_succeed();
    let resume = ["train", "--resume", "run", "--epochs", "2", "--override", "device=cuda:1"];
    let mut refused = start(&resume);
    for (rank, ended) in refused.wait(std::time::Duration::from_mins(1)).iter().enumerate() {
        let printed = refused.printed(rank);
        assert_eq!(ended.code, Some(1), "{printed}");
        assert!(printed.contains("needs a GPU of its own, not GPU 1"), "{printed}");
    }
}

/// Without a launcher that serves the store, rank 0 does; a port in use is an error at once.
#[test]
fn a_port_in_use_is_named() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.toml"), GROWING).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut first = command(home.path());
    first
        .args(["train", "--config", "config.toml", "--out", "run"])
        .envs(kasmina_ranks::World::variables_of_rank(0, 2, port, 0))
        .env("TORCHELASTIC_USE_AGENT_STORE", "False");
    let (_, error, code) = output(first);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("rank 0 cannot serve the store of the ranks at 127.0.0.1:"), "{error}");
    assert!(error.contains("choose another MASTER_PORT"), "{error}");
}

/// Returns the processes that a process has started.
fn children(parent: u32) -> Vec<rustix::process::Pid> {
    let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    text.split_whitespace().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)).collect()
}
