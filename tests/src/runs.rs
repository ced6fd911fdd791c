//! Reading what runs have written.

#![allow(missing_docs, reason = "a failed step is a failed test")]

use serde_json::Value;
use std::path::Path;

/// The lines of a file, each a value.
pub fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Names a folder that tests write what they have measured into.
pub const REPORTS: &str = "KASMINA_TEST_REPORTS";

/// Writes what a test has measured into the folder that the environment names; without one nothing is
/// written.
pub fn write_report(name: &str, measured: &Value) {
    let Some(folder) = std::env::var_os(REPORTS) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string_pretty(measured).unwrap() + "\n";
    std::fs::write(Path::new(&folder).join(name), text).unwrap();
}

/// Everything of a run that must be the same bits: metrics, events and commands, without the times.
pub fn bits(run: &Path) -> Vec<Value> {
    let mut all = lines(&run.join("metrics.jsonl"));
    for line in &mut all {
        line.as_object_mut().unwrap().remove("seconds");
    }
    all.extend(lines(&run.join("events.jsonl")));
    all.extend(lines(&run.join("commands.jsonl")));
    all
}
