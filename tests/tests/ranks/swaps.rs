//! New builds of a plugin are swapped in on all ranks or on none, and rolled back on all if one rank fails.

use kasmina_tests::behaviours::Waver;
use kasmina_tests::builds::Builds;
use kasmina_tests::world::{LIMIT, World};
use kasmina_tests::{SHIPPED, runs, shipped};
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A run on two ranks that watches a blend.
struct Watched {
    home: tempfile::TempDir,
    builds: Builds,
    file: PathBuf,
    world: World,
}

impl Watched {
    fn start() -> Self {
        let (home, builds) = (tempfile::tempdir().unwrap(), Builds::new());
        let file = builds.folder().join("libwatched.so");
        std::fs::copy(builds.make(Waver::Linear, 0), &file).unwrap();
        let text = format!(
            "task = \"digits\"\nepochs = 100000\nschedule_epochs = 60\ndevice = \"cpu\"\nblend = \"waver\"\n\
             [ranks]\nlimit_seconds = {LIMIT:?}\n[alpha]\ntempo = 1000\n"
        );
        std::fs::write(home.path().join("config.toml"), text).unwrap();
        let path = file.to_str().unwrap().to_owned();
        let args =
            ["train", "--config", "config.toml", "--out", "run", "--plugin-path", &path, "--watch", &path];
        let world = World::start(home.path(), 2, &args, |_, command| {
            let paths = SHIPPED.iter().map(|name| shipped(name));
            command.env("KASMINA_PLUGIN_PATH", std::env::join_paths(paths).unwrap());
        });
        let mut watched = Self { home, builds, file, world };
        let run = watched.run();
        watched.world.until_epoch(&run, 8);
        watched
    }

    fn run(&self) -> PathBuf {
        self.home.path().join("run")
    }

    /// Replaces the watched file by a build.
    fn replace(&self, behaviour: Waver, mark: u32) {
        let aside = self.builds.folder().join("aside");
        std::fs::copy(self.builds.make(behaviour, mark), &aside).unwrap();
        std::fs::rename(aside, &self.file).unwrap();
    }

    /// Waits for an event of the run and returns it.
    fn event(&self, kind: &str) -> Value {
        let begun = Instant::now();
        loop {
            let found = events(&self.run()).into_iter().find(|event| event["event"] == kind);
            if let Some(event) = found {
                return event;
            }
            let log = std::fs::read_to_string(self.home.path().join("stderr.0")).unwrap();
            assert!(begun.elapsed() < Duration::from_mins(1), "no {kind}: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the run on both ranks, which then have the same weights: they compare them after every epoch.
    fn end(mut self) {
        let epochs = runs::lines(&self.run().join("metrics.jsonl")).len();
        let run = self.run();
        self.world.until_epoch(&run, epochs + 2);
        self.world.signal(0, Signal::TERM);
        let ended = self.world.wait(Duration::from_mins(1));
        assert_eq!((ended[0].code, ended[1].code), (Some(143), Some(130)), "{ended:#?}");
    }
}

fn events(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    // The last line may be incomplete.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_good_build_is_swapped_in_on_every_rank() {
    let watched = Watched::start();
    watched.replace(Waver::Gate, 1);
    watched.event("PLUGIN_SWAPPED");
    watched.event("PLUGIN_CONFIRMED");
    watched.end();
}

#[test]
fn a_build_that_fails_on_one_rank_is_rolled_back_on_every_rank() {
    let watched = Watched::start();
    watched.replace(Waver::PanicOnSecondRank, 1);
    let event = watched.event("PLUGIN_ROLLED_BACK");
    let reason = event["reason"].as_str().unwrap();
    assert!(reason.starts_with("rank 1: ") && reason.contains("panic"), "{event}");
    watched.end();
}

#[test]
fn a_build_that_is_refused_leaves_every_rank_with_the_build_before() {
    let watched = Watched::start();
    let whole = std::fs::read(&watched.file).unwrap();
    std::fs::write(&watched.file, &whole[..whole.len() / 2]).unwrap();
    watched.event("PLUGIN_REFUSED");
    watched.end();
}
