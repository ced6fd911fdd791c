//! Starting the processes of a run, as a launcher does.

use kasmina_ranks::Server;
use kasmina_tests::{SHIPPED, fixture, kasmina, shipped};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Limit after which ranks count as lost, in seconds. The tests set it in each configuration.
pub(crate) const LIMIT: f64 = 10.0;

/// The processes of a run, which end when the value is dropped.
pub(crate) struct World {
    pub(crate) ranks: Vec<Child>,
    home: PathBuf,
    _server: Server,
}

/// How a rank has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) error: String,
}

/// Returns a command of the binary in a folder, with the shipped plugins and a stochastic seed.
pub(crate) fn command(home: &Path) -> Command {
    let mut command = kasmina(home);
    let paths = SHIPPED.iter().map(|name| shipped(name)).chain([fixture("dropout")]);
    command.env("KASMINA_PLUGIN_PATH", std::env::join_paths(paths).unwrap());
    command
}

impl World {
    /// Starts `size` ranks with the same arguments. `change` may change the command of each rank.
    pub(crate) fn start(
        home: &Path,
        size: usize,
        args: &[&str],
        mut change: impl FnMut(usize, &mut Command),
    ) -> Self {
        let server = Server::start().unwrap();
        let start = |rank: usize| {
            let mut command = command(home);
            command.args(args).envs(variables(rank, size, server.port()));
            change(rank, &mut command);
            let log = std::fs::File::create(home.join(format!("stderr.{rank}"))).unwrap();
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
        };
        Self { ranks: (0..size).map(start).collect(), home: home.to_owned(), _server: server }
    }

    /// Waits until every rank has ended. Fails if that takes longer than `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Vec<Ended> {
        let begun = Instant::now();
        let mut all = Vec::new();
        for (rank, child) in self.ranks.iter_mut().enumerate() {
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                assert!(begun.elapsed() < limit, "rank {rank} has not ended within {limit:?}");
                std::thread::sleep(Duration::from_millis(20));
            };
            let error = std::fs::read_to_string(self.home.join(format!("stderr.{rank}"))).unwrap();
            all.push(Ended { code: status.code(), error });
        }
        all
    }

    /// Waits for a run that must succeed on every rank.
    pub(crate) fn must_succeed(&mut self) {
        let ended = self.wait(Duration::from_mins(4));
        assert!(ended.iter().all(|rank| rank.code == Some(0)), "{ended:#?}");
    }

    /// Sends a signal to a rank.
    pub(crate) fn signal(&self, rank: usize, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.ranks[rank]);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.ranks {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the variables that a launcher sets for a rank.
pub(crate) fn variables(rank: usize, size: usize, port: u16) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("RANK", rank.to_string()),
        ("LOCAL_RANK", rank.to_string()),
        ("WORLD_SIZE", size.to_string()),
        ("LOCAL_WORLD_SIZE", size.to_string()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
        ("TORCHELASTIC_RUN_ID", "test".to_owned()),
        ("TORCHELASTIC_RESTART_COUNT", "0".to_owned()),
        ("TORCHELASTIC_USE_AGENT_STORE", "True".to_owned()),
    ])
}

/// Returns a number of each epoch of a run.
pub(crate) fn metric(run: &Path, name: &str) -> Vec<f64> {
    let rows = kasmina_tests::runs::lines(&run.join("metrics.jsonl"));
    rows.iter().map(|row| row[name].as_f64().unwrap()).collect()
}

/// Returns the weights of the newest checkpoint of a run, as bytes of a file.
pub(crate) fn weights(run: &Path) -> Vec<u8> {
    let newest = kasmina_checkpoint::newest_first(&run.join("checkpoints")).unwrap().remove(0);
    std::fs::read(newest.join("model.safetensors")).unwrap()
}

/// Returns the summary of a run.
pub(crate) fn summary(run: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
}

/// Waits until a run has written this many epochs.
pub(crate) fn until_epoch(run: &Path, epochs: usize) {
    let begun = Instant::now();
    let rows = || std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    while rows() < epochs {
        assert!(begun.elapsed() < Duration::from_mins(2), "the run has no epoch {epochs}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
