//! A run of a case that is killed and resumed.

use crate::moment::{self, Moment};
use crate::table::Killed;
use kasmina_tests::runs;
use kasmina_tests::undisturbed::{Random, Undisturbed, newest, step_of};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Choices of steps between two checkpoints.
const EVERY: [u64; 3] = [1, 3, 7];
/// Time limit, longer than any of these runs takes.
const TIMEOUT: Duration = Duration::from_mins(5);

/// A case with its undisturbed run.
pub(crate) struct Case {
    pub(crate) undisturbed: Undisturbed,
    /// The moments at which a run of this case can be killed.
    pub(crate) moments: Vec<Moment>,
    steps_per_epoch: u64,
}

impl Case {
    /// Trains the undisturbed run of a case.
    pub(crate) fn train(name: &'static str) -> Self {
        let undisturbed = Undisturbed::train(name);
        let run = undisturbed.path("whole");
        let rows = runs::lines(&run.join("metrics.jsonl"));
        let steps = checkpoint(&newest(&run).unwrap())["model"]["step"].as_u64().unwrap();
        let steps_per_epoch = steps / rows.len() as u64;
        Self { moments: moments(&run, &rows, steps_per_epoch), undisturbed, steps_per_epoch }
    }

    /// Kills a run at a moment, resumes it, and compares it with the undisturbed one.
    pub(crate) fn kill(&self, moment: &Moment, number: u32, random: &mut Random) -> Killed {
        let every = EVERY[random.below(EVERY.len() as u64) as usize];
        let name = format!("kill-{number}");
        let run = self.undisturbed.path(&name);
        let (least, most) = moment.steps;
        let mut draws = 0;
        loop {
            let step = (moment.epoch - 1) * self.steps_per_epoch + least + random.below(most - least + 1);
            if self.kill_once(&name, every, step) {
                break;
            }
            // The run ended before it could be killed; try again.
            std::fs::remove_dir_all(&run).unwrap();
            draws += 1;
            assert!(
                draws < 20,
                "{}: epoch {} always ends before the kill",
                self.undisturbed.name,
                moment.epoch
            );
        }
        let from = newest(&run).expect("a checkpoint was written");
        let state = checkpoint(&from);
        let out = self.undisturbed.resume(&name).output().unwrap();
        let difference = if out.status.success() {
            self.undisturbed.difference(&name)
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

    /// Kills a run as soon as it has written a checkpoint of this step or a later one. Returns false if the
    /// run ended before.
    fn kill_once(&self, name: &str, every: u64, step: u64) -> bool {
        let run = self.undisturbed.path(name);
        let mut child = self.undisturbed.command(name, every).spawn().unwrap();
        let begun = Instant::now();
        loop {
            if newest(&run).is_some_and(|path| step_of(&path) >= step) {
                child.kill().unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success() || status.signal().is_some(), "{name}: {status}");
                return status.signal().is_some();
            }
            assert!(begun.elapsed() < TIMEOUT, "{name} does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Returns the moments of an undisturbed run: each stage of a slot in each epoch, prefetches, scheduled
/// prunes and new seeds.
fn moments(run: &Path, rows: &[Value], steps: u64) -> Vec<Moment> {
    let last = rows.len() as u64;
    let mut all = vec![Moment { what: "no seed".to_owned(), epoch: 1, steps: (0, steps - 1) }];
    let mut add = |what: &str, end: &Value, steps: (u64, u64)| {
        // What the end of an epoch begins is in effect in the next epoch.
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

fn checkpoint(path: &Path) -> Value {
    let text = std::fs::read_to_string(path.join("state.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["state"].take()
}
