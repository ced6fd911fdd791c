//! The child's side: one check of one entry, and an answer whatever happens.

use crate::check::{Check, find};
use crate::failure::{Failure, Outcome};
use crate::job::{Job, KEY, Said};
use crate::report::Verdict;
use crate::subject::Subject;
use crate::{heard, load, process};
use kasmina_plugin_api::guard::guard;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use serde_json::Value;

/// Whether a job is one of this kit's, for a child that serves several.
pub fn is_check(job: &Value) -> bool {
    job.get(KEY).is_some()
}

/// Does one job. It is meant for [`kasmina_registry::child::serve`], and for no process that has anything to
/// lose.
pub fn answer(job: Value) -> Value {
    process::remember();
    let outcome = Job::from_value(job).map_err(Failure::Broken).and_then(|job| {
        // What an author returns may be a tensor that even a question about it panics on.
        let guarded = heard::listen(|| guard(|| Ok(dispatch(&job))));
        guarded.result.unwrap_or_else(|error| Err(error.into()))
    });
    let (verdict, detail) = match outcome {
        Ok(remark) => (Verdict::Pass, remark.unwrap_or_default()),
        Err(Failure::Broken(text)) => (Verdict::Fail, text),
        Err(Failure::NotHere(text)) => (Verdict::Skipped, text),
    };
    Said { verdict, detail }.to_value()
}

fn dispatch(job: &Job) -> Outcome {
    let check =
        find(&job.name).ok_or_else(|| Failure::Broken(format!("no check is named `{}`", job.name)))?;
    match (&job.entry, check.body) {
        (None, _) => load::entries(&job.file, &job.with)
            .map(|entries| if entries.is_empty() { Some("it brings no entries".to_owned()) } else { None }),
        (Some((kind, id)), Some(body)) => run(check, body, job, kind, id),
        (Some(_), None) => {
            Err(Failure::Broken(format!("`{}` is asked of a file, not of an entry", job.name)))
        }
    }
}

fn run(check: &Check, body: fn(&Subject) -> Outcome, job: &Job, kind: &str, id: &str) -> Outcome {
    let entry = load::entry(&job.file, &job.with, kind, id)?;
    if !check.applies_to_entry(&entry) {
        return Err(Failure::NotHere(format!("it is not asked of this {kind}")));
    }
    let seed = derive_seed(job.seed, &[kind, id, check.name]);
    let _fork = RngFork::seeded(seed)?;
    body(&Subject::new(entry, seed, job.config.clone()))
}
