//! Starting the ranks of a run, as a launcher does.

use crate::{SHIPPED, fixture, kasmina, runs, shipped};
use kasmina_ranks::Server;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Limit after which ranks count as lost, in seconds. The tests set it in each configuration.
pub const LIMIT: f64 = 10.0;

/// The processes of a run, which end when the value is dropped.
#[derive(Debug)]
pub struct World {
    /// The processes, ordered by rank.
    pub ranks: Vec<Child>,
    home: PathBuf,
    _server: Server,
}

/// How a rank has ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it has printed to standard error.
    pub error: String,
}

/// Returns a command of the binary in a folder, with the shipped plugins and a stochastic seed.
pub fn command(home: &Path) -> Command {
    let mut command = kasmina(home);
    let paths = SHIPPED.iter().map(|name| shipped(name)).chain([fixture("dropout")]);
    command.env("KASMINA_PLUGIN_PATH", std::env::join_paths(paths).unwrap());
    command
}

impl World {
    /// Starts `size` ranks with the same arguments. `change` may change the command of each rank.
    pub fn start(
        home: &Path,
        size: usize,
        args: &[&str],
        mut change: impl FnMut(usize, &mut Command),
    ) -> Self {
        let server = Server::start().unwrap();
        let start = |rank: usize| {
            let mut command = command(home);
            command.args(args).envs(kasmina_ranks::World::variables_of_rank(rank, size, server.port(), 0));
            change(rank, &mut command);
            let log = std::fs::File::create(home.join(format!("stderr.{rank}"))).unwrap();
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
        };
        Self { ranks: (0..size).map(start).collect(), home: home.to_owned(), _server: server }
    }

    /// Returns what a rank of the run in the folder `run` has printed, before and after it had a log of its
    /// own.
    pub fn printed(&self, rank: usize) -> String {
        let own = std::fs::read_to_string(self.home.join(format!("stderr.{rank}"))).unwrap();
        let log =
            std::fs::read_to_string(self.home.join(format!("run/ranks/{rank}.log"))).unwrap_or_default();
        own + &log
    }

    /// Waits until a run has written this many epochs. Fails if a rank ends before.
    pub fn until_epoch(&mut self, run: &Path, epochs: usize) {
        wait_for_epoch(run, epochs, || {
            for rank in 0..self.ranks.len() {
                let ended = self.ranks[rank].try_wait().unwrap();
                assert!(
                    ended.is_none(),
                    "rank {rank} has ended before epoch {epochs}: {}",
                    self.printed(rank)
                );
            }
        });
    }

    /// Waits until a rank has ended and returns its exit code, `None` after a signal. Fails if that takes
    /// longer than `limit`.
    pub fn wait_for(&mut self, rank: usize, limit: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ranks[rank].try_wait().unwrap() {
                return status.code();
            }
            let late = begun.elapsed() > limit;
            assert!(!late, "rank {rank} has not ended within {limit:?}: {}", self.printed(rank));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until every rank has ended. Fails if that takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> Vec<Ended> {
        let end = Instant::now() + limit;
        let mut ended = Vec::new();
        for rank in 0..self.ranks.len() {
            let code = self.wait_for(rank, end.saturating_duration_since(Instant::now()));
            let error = std::fs::read_to_string(self.home.join(format!("stderr.{rank}"))).unwrap();
            ended.push(Ended { code, error });
        }
        ended
    }

    /// Waits for a run that must succeed on every rank.
    pub fn must_succeed(&mut self) {
        let ended = self.wait(Duration::from_mins(4));
        assert!(ended.iter().all(|rank| rank.code == Some(0)), "{ended:#?}");
    }

    /// Sends a signal to a rank.
    pub fn signal(&self, rank: usize, signal: rustix::process::Signal) {
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

/// Returns a number of each epoch of a run.
pub fn metric(run: &Path, name: &str) -> Vec<f64> {
    let rows = runs::lines(&run.join("metrics.jsonl"));
    rows.iter().map(|row| row[name].as_f64().unwrap()).collect()
}

/// Returns the weights of the newest checkpoint of a run, as bytes of a file.
pub fn weights(run: &Path) -> Vec<u8> {
    let newest = kasmina_checkpoint::newest_first(&run.join("checkpoints")).unwrap().remove(0);
    std::fs::read(newest.join("model.safetensors")).unwrap()
}

/// Returns the summary of a run.
pub fn summary(run: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
}

/// Waits until a run has written this many epochs.
pub fn until_epoch(run: &Path, epochs: usize) {
    wait_for_epoch(run, epochs, || ());
}

fn wait_for_epoch(run: &Path, epochs: usize, mut check: impl FnMut()) {
    let begun = Instant::now();
    let rows = || std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    while rows() < epochs {
        check();
        assert!(begun.elapsed() < Duration::from_mins(2), "the run has no epoch {epochs}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
