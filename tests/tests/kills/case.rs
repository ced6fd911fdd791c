//! One kind of run: its undisturbed course, and a run of it that is killed and resumed.

use crate::moment::{self, Moment, Random};
use crate::table::Killed;
use kasmina_tests::{cases, fixture, kasmina, runs};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The cases that are killed: every stage, dropout, a stochastic seed, a learned gate, crops and flips, a text, a grafted
/// module, prefetches, scheduled prunes, ramps that count steps.
pub(crate) const NAMES: [&str; 12] = [
    "digits_shadowing_cooldown",
    "digits_scripted",
    "digits_prefetch",
    "digits_periodic",
    "digits_stochastic",
    "digits_learned_gate",
    "cifar_resnet",
    "chars_dropout",
    "digits_grafted",
    "addition_attention",
    "digits_ramp_in_steps",
    "digits_heuristic",
];

/// Steps between two checkpoints.
const EVERY: [u64; 3] = [1, 3, 7];
/// Longer than any of these runs takes.
const PATIENCE: Duration = Duration::from_mins(5);

/// A case with its undisturbed run.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    home: tempfile::TempDir,
    /// The moments that a run of this case has.
    moments: Vec<Moment>,
    steps_per_epoch: u64,
}

impl Case {
    /// Trains the case without a disturbance.
    pub(crate) fn reference(name: &'static str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut text = cases::text(name, home.path());
        if name == "cifar_resnet" {
            text = text.replace("[data]\n", "[data]\ncrop = 4\nflip = true\n");
        }
        std::fs::write(home.path().join("case.toml"), text).unwrap();
        let mut case = Self { name, home, moments: Vec::new(), steps_per_epoch: 1 };
        let mut command = case.train("whole", 0);
        let out = command.output().unwrap();
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        let run = case.path("whole");
        let rows = runs::lines(&run.join("metrics.jsonl"));
        let steps = checkpoint(&newest(&run).unwrap())["model"]["step"].as_u64().unwrap();
        case.steps_per_epoch = steps / rows.len() as u64;
        case.moments = moments(&run, &rows, case.steps_per_epoch);
        case
    }

    pub(crate) fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Kills a run at a moment, resumes it, and compares it with the undisturbed one.
    pub(crate) fn kill(&self, moment: &Moment, number: u32, random: &mut Random) -> Killed {
        let every = EVERY[number as usize % EVERY.len()];
        let name = format!("kill-{number}");
        let run = self.path(&name);
        let mut draws = 0;
        // A run that was over before it could be killed proves nothing.
        let (least, most) = moment.steps;
        while !self.kill_once(
            &name,
            every,
            (moment.epoch - 1) * self.steps_per_epoch + least + random.below(most - least + 1),
        ) {
            std::fs::remove_dir_all(&run).unwrap();
            draws += 1;
            assert!(draws < 20, "{}: epoch {} is over too soon, always", self.name, moment.epoch);
        }
        let from = newest(&run).expect("a checkpoint was written");
        let state = checkpoint(&from);
        let mut command = self.command();
        let out = command.args(["train", "--resume", &name]).output().unwrap();
        let difference = if out.status.success() {
            self.difference(&run)
        } else {
            Some(format!("resume failed: {}", String::from_utf8_lossy(&out.stderr)))
        };
        if difference.is_none() {
            std::fs::remove_dir_all(&run).unwrap();
        }
        Killed {
            within: moment::of_state(&state),
            mid_epoch: state["position"]["samples"].as_i64() != Some(0),
            checkpoint: format!("{} every {every}", from.file_name().unwrap().to_string_lossy()),
            difference,
        }
    }

    /// Kills a run when it has written a checkpoint of a step, or a later one; returns whether it was not over by then.
    fn kill_once(&self, name: &str, every: u64, step: u64) -> bool {
        let run = self.path(name);
        let mut child = self.train(name, every).spawn().unwrap();
        let begun = Instant::now();
        loop {
            if newest(&run).is_some_and(|path| step_of(&path) >= step) {
                child.kill().unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success() || status.signal().is_some(), "{name}: {status}");
                return status.signal().is_some();
            }
            assert!(begun.elapsed() < PATIENCE, "{name} does not come to an end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How a run differs from the undisturbed one.
    fn difference(&self, run: &Path) -> Option<String> {
        let whole = self.path("whole");
        for file in ["model.safetensors", "optimizer.safetensors"] {
            let bytes = |run: &Path| std::fs::read(newest(run).unwrap().join(file)).unwrap();
            if bytes(run) != bytes(&whole) {
                return Some(format!("{file} differs, in {}", run.display()));
            }
        }
        let (now, then) = (runs::bits(run), runs::bits(&whole));
        let first = now.iter().zip(&then).position(|(now, then)| now != then);
        match first {
            Some(line) => Some(format!("line {line} of the journals differs, in {}", run.display())),
            None if now.len() == then.len() => None,
            None => Some(format!("{} lines instead of {}", now.len(), then.len())),
        }
    }

    fn train(&self, out: &str, every: u64) -> Command {
        let text = std::fs::read_to_string(self.path("case.toml")).unwrap();
        let checkpoints = format!("\n[checkpoint]\nevery_epochs = 0\nevery_steps = {every}\nkeep = 3\n");
        let config = self.path(&format!("{out}.toml"));
        std::fs::write(&config, text + &checkpoints).unwrap();
        let mut command = self.command();
        command.args(["train", "--device", "cpu", "--out", out, "--config"]).arg(config);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn command(&self) -> Command {
        let mut command = kasmina(self.home.path());
        let shipped = kasmina_tests::SHIPPED.iter().map(|name| kasmina_tests::shipped(name));
        let paths = shipped.chain(cases::FIXTURES.iter().map(|name| fixture(name)));
        command.env("KASMINA_PLUGIN_PATH", std::env::join_paths(paths).unwrap());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

/// Every moment of an undisturbed run: each stage in each epoch that it lasts in, and whatever is special.
fn moments(run: &Path, rows: &[Value], steps: u64) -> Vec<Moment> {
    let last = rows.len() as u64;
    let mut all = vec![Moment { what: "no seed".to_owned(), epoch: 1, steps: (0, steps - 1) }];
    let mut add = |what: &str, end: &Value, steps: (u64, u64)| {
        // What came at the end of an epoch lasts in the next one.
        let end = end.as_u64().unwrap();
        if end < last {
            all.push(Moment { what: what.to_owned(), epoch: end + 1, steps });
        }
    };
    for row in rows {
        for slot in row["slots"].as_object().unwrap().values() {
            let stage = slot["stage"].as_str().unwrap();
            if stage != "DORMANT" {
                add(stage, &row["epoch"], (0, steps - 1));
            }
        }
    }
    for command in runs::lines(&run.join("commands.jsonl")) {
        if command["did"] == "prefetching" {
            add("prefetch in flight", &command["epoch"], (0, steps - 1));
        }
        if command["did"]["prune_scheduled"].is_object() {
            add("scheduled prune", &command["epoch"], (0, steps - 1));
        }
    }
    for event in runs::lines(&run.join("events.jsonl")) {
        if event["to"] == "TRAINING" {
            add("new seed, before its first step", &event["epoch"], (0, 0));
            add("new seed, after 1 to 3 steps", &event["epoch"], (1, 3.min(steps - 1)));
        }
    }
    all
}

/// The newest checkpoint of a run.
fn newest(run: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(run.join("checkpoints")).ok()?;
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("step-"))).max()
}

/// The step in a checkpoint's name.
fn step_of(path: &Path) -> u64 {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    name.split('-').nth(1).and_then(|step| step.parse().ok()).unwrap_or(0)
}

fn checkpoint(path: &Path) -> Value {
    let text = std::fs::read_to_string(path.join("state.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["state"].take()
}
