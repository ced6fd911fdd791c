//! The program as a child of itself: where foreign code is tried.

use kasmina_registry::{child, probe};
use serde_json::Value;
use std::process::ExitCode;

/// The verb that starts it; nobody types it.
pub(crate) const VERB: &str = "__child";

pub(crate) fn run() -> ExitCode {
    child::serve(|job| {
        if kasmina_testkit::is_check(&job) {
            return kasmina_testkit::answer(job);
        }
        probe::answer(&job, &kasmina_testkit::smoke).unwrap_or(Value::Null)
    })
}
