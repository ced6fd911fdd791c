//! The child process in which plugins are probed and checked: this program, started with a hidden verb.

use kasmina_registry::{child, probe};
use serde_json::Value;
use std::process::ExitCode;

/// The hidden verb that starts the child process.
pub(crate) const VERB: &str = "__child";

pub(crate) fn run() -> ExitCode {
    child::serve(|job| {
        if kasmina_testkit::is_check(&job) {
            return kasmina_testkit::answer(job);
        }
        probe::answer(&job, &kasmina_testkit::smoke).unwrap_or(Value::Null)
    })
}
