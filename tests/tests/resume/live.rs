//! Long runs in another process.

use crate::home::Home;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A long run in another process, which is killed when this value is dropped.
pub(crate) struct Live(pub(crate) Child);

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a condition holds; `what` describes it in the failure.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(90), "timed out waiting for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn start(home: &Home, args: &[&str]) -> Live {
    let mut command =
        home.command(&["train", "--config", "config.toml", "--out", "run", "--epochs", "100000"]);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let live = Live(command.spawn().unwrap());
    until("the first epochs", || {
        std::fs::read_to_string(home.path("run/metrics.jsonl")).is_ok_and(|t| t.lines().count() > 2)
    });
    live
}

pub(crate) fn signal(live: &Live, name: &str) {
    let status = Command::new("kill").args(["-s", name, &live.0.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Returns the names of the actions in the journal of a live run, in order.
pub(crate) fn actions(run: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(run.join("control.jsonl")).unwrap_or_default();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    rows.filter_map(|row| row["act"].as_str().map(str::to_owned)).collect()
}
