//! Injects a fault into a run on several ranks, and continues the run on another number of ranks.

use crate::fault::{Fault, Reaction};
use kasmina_tests::shell::in_shell;
use kasmina_tests::undisturbed::Random;
use kasmina_tests::world::{World, command, summary};
use kasmina_tests::{SHIPPED, fixture, output, runs, shipped};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Limit after which ranks count as lost, in seconds.
const LIMIT: f64 = 5.0;
/// Time in which every rank must have ended after a fault: the limit, and the time to look for signs of life.
const IN_TIME: Duration = Duration::from_secs(25);
/// The same while the ranks start, which takes longer.
const IN_TIME_AT_START: Duration = Duration::from_secs(90);
/// Time limit of what must succeed.
const TIMEOUT: Duration = Duration::from_mins(3);

/// A run and its fault.
pub(crate) struct Case {
    fault: Fault,
    home: tempfile::TempDir,
    size: usize,
    victim: usize,
    /// Port at which rank 0 serves the store; `None` if the launcher serves it.
    port: Option<u16>,
    /// Keeps that port in use.
    _listener: Option<TcpListener>,
    /// Epochs and time before a disturbance.
    before: (usize, Duration),
    /// Rank that gets the signal to stop.
    stopped: usize,
    /// Number of ranks that continue the run.
    next_size: usize,
}

impl Case {
    /// Chooses the ranks and the moment. With GPUs there are as many ranks, otherwise two to four.
    pub(crate) fn new(fault: Fault, random: &mut Random, gpus: Option<usize>) -> Self {
        let mut below = |bound: usize| random.below(bound as u64) as usize;
        let size = gpus.unwrap_or_else(|| 2 + below(3));
        let victim = match fault {
            Fault::FullDisk | Fault::PortInUse => 0,
            Fault::Killed | Fault::Stopped | Fault::Paused | Fault::Terminated => below(size),
            Fault::NoRoute => 1,
            _ if fault.is_at_start() => 1 + below(size - 1),
            _ => 1,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serves = below(2) == 1 || matches!(fault, Fault::PortInUse | Fault::NoRoute);
        let home = tempfile::tempdir().unwrap();
        write(home.path(), fault, if gpus.is_some() { "cuda" } else { "cpu" });
        let listener = (fault == Fault::PortInUse).then_some(listener);
        Self {
            fault,
            home,
            size,
            victim,
            port: serves.then_some(port),
            _listener: listener,
            before: (1 + below(4), Duration::from_millis(below(400) as u64)),
            stopped: below(size),
            next_size: 1 + below(gpus.unwrap_or(3)),
        }
    }

    /// The number of ranks and the victim, for the report.
    pub(crate) fn line(&self) -> String {
        let Self { fault, size, victim, .. } = self;
        format!("{:<46} rank {victim} of {size}", fault.label())
    }

    /// Injects the fault, and returns the time until every rank had reacted.
    pub(crate) fn inject(&self) -> Duration {
        let run = self.home.path().join("run");
        let mut world = self.start(self.size, 0);
        if self.fault.is_at_start() {
            let begun = Instant::now();
            self.must_end(&mut world, IN_TIME_AT_START);
            return begun.elapsed();
        }
        match self.fault {
            // The seed misbehaves in the seventh epoch.
            Fault::Late | Fault::Unhealthy | Fault::Panics | Fault::OtherWeights => {
                world.until_epoch(&run, 6);
            }
            Fault::ExitsInVote | Fault::FailsInBuild => {}
            _ => {
                let (epochs, time) = self.before;
                world.until_epoch(&run, epochs);
                std::thread::sleep(time);
            }
        }
        let begun = Instant::now();
        self.disturb(&world);
        match self.fault.reaction() {
            Reaction::End(_) => self.must_end(&mut world, IN_TIME),
            Reaction::GoOn => {
                if self.fault != Fault::Terminated {
                    world.until_epoch(&run, rows(&run) + 3);
                    world.signal(self.stopped, Signal::TERM);
                }
                must_stop(&mut world);
            }
        }
        let took = begun.elapsed();
        drop(world);
        self.continue_on(self.next_size);
        took
    }

    /// Starts the ranks.
    fn start(&self, size: usize, restart: u32) -> World {
        let mut args = vec!["train", "--config", "config.toml", "--out", "run"];
        let epochs = (rows(&self.home.path().join("run")) + 2).to_string();
        if restart > 0 {
            args.extend(["--epochs", &epochs]);
        }
        World::start(self.home.path(), size, &args, |rank, command| {
            command.env("KASMINA_PLUGIN_PATH", plugins(true));
            command.env("TORCHELASTIC_RESTART_COUNT", restart.to_string());
            if let Some(port) = self.port {
                command.env("TORCHELASTIC_USE_AGENT_STORE", "False").env("MASTER_PORT", port.to_string());
            }
            if rank == self.victim && restart == 0 {
                self.change(command);
            }
        })
    }

    /// Changes the command of the victim.
    fn change(&self, command: &mut Command) {
        match self.fault {
            Fault::OtherSetting => drop(command.args(["--config", "other.toml"])),
            Fault::OtherData => drop(command.args(["--text", "other.txt"])),
            Fault::OtherBuild => drop(command.env("KASMINA_PLUGIN_PATH", plugins(false))),
            Fault::WrongSize => drop(command.env("WORLD_SIZE", (self.size + 1).to_string())),
            Fault::NoDevice => drop(command.args(["--device", "cuda"])),
            // An address that belongs to nobody (RFC 5737).
            Fault::NoRoute => drop(command.env("MASTER_ADDR", "192.0.2.1")),
            // Exceeding the limit on the size of files sends SIGXFSZ; a full disk sends no signal.
            Fault::FullDisk => *command = in_shell(command, "trap '' XFSZ; exec \"$@\"", &[]),
            _ => {}
        }
    }

    /// Disturbs the victim while it runs.
    fn disturb(&self, world: &World) {
        match self.fault {
            Fault::Killed => world.signal(self.victim, Signal::KILL),
            Fault::Stopped => world.signal(self.victim, Signal::STOP),
            Fault::Terminated => world.signal(self.victim, Signal::TERM),
            Fault::Paused => {
                world.signal(self.victim, Signal::STOP);
                std::thread::sleep(Duration::from_secs(2));
                world.signal(self.victim, Signal::CONT);
            }
            Fault::FullDisk => {
                let pid = Pid::from_child(&world.ranks[self.victim]);
                let limit = |bytes| {
                    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
                };
                limit(Some(0));
                std::thread::sleep(Duration::from_secs(1));
                limit(None);
            }
            _ => {}
        }
    }

    /// Every rank but a disturbed victim must end in time, with exit code 1, and one must name the fault.
    fn must_end(&self, world: &mut World, limit: Duration) {
        let Reaction::End(text) = self.fault.reaction() else { return };
        let end = Instant::now() + limit;
        let silent = matches!(self.fault, Fault::Killed | Fault::Stopped | Fault::ExitsInVote | Fault::Late);
        let ranks: Vec<usize> = (0..self.size).filter(|rank| !silent || *rank != self.victim).collect();
        let mut all = String::new();
        let (name, serves) = (format!("rank {} on", self.victim), self.victim == 0 && self.port.is_some());
        for rank in ranks {
            let code = world.wait_for(rank, end.saturating_duration_since(Instant::now()));
            let printed = world.printed(rank);
            assert_eq!(code, Some(1), "rank {rank}: {printed}");
            // A rank that serves the store takes it along.
            let of_store = serves && printed.contains(", which rank 0 serves, does not answer");
            let says = printed.contains(text) && printed.contains(&name) || of_store;
            assert!(!silent || says, "rank {rank} does not say `{name} .. {text}`: {printed}");
            all += &printed;
        }
        assert!(silent || all.contains(text), "no rank says `{text}`: {all}");
    }

    /// Continues the run on a number of ranks until it is complete.
    fn continue_on(&self, size: usize) {
        let home = self.home.path();
        let run = home.join("run");
        // A seed that misbehaves on the second rank does so again.
        if size == 1 || self.fault.is_of_seed() {
            let mut one = command(home);
            one.env("KASMINA_PLUGIN_PATH", plugins(true));
            one.args(["train", "--resume", "run", "--epochs", &(rows(&run) + 2).to_string()]);
            let (_, error, code) = output(one);
            assert_eq!(code, Some(0), "{error}");
        } else {
            let ended = self.start(size, 1).wait(TIMEOUT);
            assert!(ended.iter().all(|rank| rank.code == Some(0)), "{ended:#?}");
        }
        let epochs: Vec<u64> = runs::lines(&run.join("metrics.jsonl"))
            .iter()
            .map(|row| row["epoch"].as_u64().unwrap())
            .collect();
        assert!(epochs.iter().copied().eq(1..=epochs.len() as u64), "{epochs:?}");
        assert_eq!(summary(&run)["status"], "completed");
    }
}

/// Every rank must end in time, as after a signal.
fn must_stop(world: &mut World) {
    let ended = world.wait(IN_TIME);
    assert!(ended.iter().all(|rank| matches!(rank.code, Some(130 | 143))), "{ended:#?}");
}

/// Writes the configuration of a run whose seed germinates in its second epoch.
fn write(home: &Path, fault: Fault, device: &str) {
    let data = if fault == Fault::OtherData {
        "task = \"chars\"\n[data]\ntext = \"text.txt\"\nsequence_length = 32\n"
    } else {
        "task = \"digits\"\n[data]\ntrain_samples = 600\nvalidation_samples = 300\n"
    };
    let config = |rate: f64| {
        format!(
            "epochs = 100000\ndevice = \"{device}\"\ncontroller = \"scripted\"\nscript = \"script.jsonl\"\n\
             {data}[optimizer]\nlearning_rate = {rate}\n[ranks]\nlimit_seconds = {LIMIT:?}\n"
        )
    };
    let text = |subject: &str| format!("{subject} grows while it learns. ").repeat(100);
    let germination = format!(
        "{{\"epoch\":1,\"command\":\"germinate\",\"slot\":\"early\",\"seed_id\":\"a\",\"blueprint\":\"{}\",\
         \"blend\":\"linear\"}}\n",
        fault.blueprint()
    );
    for (name, text) in [
        ("config.toml", config(0.002)),
        ("other.toml", config(0.001)),
        ("text.txt", text("a network")),
        ("other.txt", text("another network")),
        ("script.jsonl", germination),
    ] {
        std::fs::write(home.join(name), text).unwrap();
    }
}

/// Returns the search path of the plugins, with or without one of them.
fn plugins(all: bool) -> std::ffi::OsString {
    let fixtures = ["other_rank", "dropout"].into_iter().take(if all { 2 } else { 1 });
    std::env::join_paths(SHIPPED.iter().map(|name| shipped(name)).chain(fixtures.map(fixture))).unwrap()
}

/// Returns the number of epochs that a run has written.
fn rows(run: &Path) -> usize {
    std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}
