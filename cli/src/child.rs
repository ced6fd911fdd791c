//! The program as a child of itself: where foreign code is tried first.

use kasmina_registry::{child, probe};
use serde_json::Value;
use std::process::ExitCode;

/// The verb that starts it; nobody types it.
pub(crate) const VERB: &str = "__child";

pub(crate) fn run() -> ExitCode {
    child::serve(|job| probe::answer(&job, &|_| Ok(())).unwrap_or(Value::Null))
}
