//! The child process: runs one check of one entry and returns the outcome, also after a panic.

use crate::check::{Check, find};
use crate::failure::{Failure, Outcome};
use crate::job::{Answer, Job, KEY};
use crate::report::Verdict;
use crate::subject::Subject;
use crate::{error_log, load, process};
use kasmina_plugin_api::guard::guard;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use serde_json::Value;

/// Whether a job is a check of this kit. For child processes that serve several kinds of jobs.
pub fn is_check(job: &Value) -> bool {
    job.get(KEY).is_some()
}

/// Runs the check of a job and returns its verdict and detail as JSON.
///
/// Call it only from [`kasmina_registry::child::serve`] in a child process: a plugin under test may crash the
/// process.
pub fn answer(job: Value) -> Value {
    process::record_initial_state();
    let outcome = Job::from_value(job).map_err(Failure::Broken).and_then(|job| {
        // A plugin may return a tensor on which even reading the shape panics.
        let guarded = error_log::capture(|| guard(|| Ok(dispatch(&job))));
        guarded.result.unwrap_or_else(|error| Err(error.into()))
    });
    let (verdict, detail) = match outcome {
        Ok(remark) => (Verdict::Pass, remark.unwrap_or_default()),
        Err(Failure::Broken(text)) => (Verdict::Fail, text),
        Err(Failure::NotApplicable(text)) => (Verdict::Skipped, text),
    };
    Answer { verdict, detail }.to_value()
}

fn dispatch(job: &Job) -> Outcome {
    let check =
        find(&job.name).ok_or_else(|| Failure::Broken(format!("no check is named `{}`", job.name)))?;
    match (&job.entry, check.body) {
        (None, _) => load::entries(&job.file, &job.with)
            .map(|entries| if entries.is_empty() { Some("it contains no entries".to_owned()) } else { None }),
        (Some((kind, id)), Some(body)) => run(check, body, job, kind, id),
        (Some(_), None) => Err(Failure::Broken(format!("`{}` applies to a file, not to an entry", job.name))),
    }
}

fn run(check: &Check, body: fn(&Subject) -> Outcome, job: &Job, kind: &str, id: &str) -> Outcome {
    let entry = load::entry(&job.file, &job.with, kind, id)?;
    if !check.applies_to_entry(&entry) {
        return Err(Failure::NotApplicable(format!("it does not apply to this {kind}")));
    }
    let seed = derive_seed(job.seed, &[kind, id, check.name]);
    let _fork = RngFork::seeded(seed)?;
    body(&Subject::new(entry, seed, job.config.clone()))
}
