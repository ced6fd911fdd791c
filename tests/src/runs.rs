//! Reads the files of run directories.

#![allow(missing_docs, reason = "a failed step is a failed test")]

use serde_json::Value;
use std::path::Path;

/// Parses each line of a file as JSON.
pub fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Environment variable with the folder into which tests write their measurements.
pub const REPORTS: &str = "KASMINA_TEST_REPORTS";

/// Writes a measurement as JSON into the folder that [`REPORTS`] names; does nothing if the variable is not
/// set.
pub fn write_report(name: &str, measured: &Value) {
    let Some(folder) = std::env::var_os(REPORTS) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string_pretty(measured).unwrap() + "\n";
    std::fs::write(Path::new(&folder).join(name), text).unwrap();
}

/// Returns the records of a run that must be reproducible to the bit: metrics without times, events and
/// commands.
pub fn bits(run: &Path) -> Vec<Value> {
    let mut all = lines(&run.join("metrics.jsonl"));
    for line in &mut all {
        line.as_object_mut().unwrap().remove("seconds");
    }
    all.extend(lines(&run.join("events.jsonl")));
    all.extend(lines(&run.join("commands.jsonl")));
    all
}
