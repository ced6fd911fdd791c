//! The child's side of a probe: opens a build, and tries its entries.

use super::module_child;
use super::protocol::{Answer, Job, key};
use crate::entry::Entry;
use crate::error::{Refusal, Rule};
use crate::registry::Registry;
use serde_json::Value;

/// Answers a job of a probe; `smoke` tries one entry. Returns `None` if the job is not one of a probe.
pub fn answer(job: &Value, smoke: &dyn Fn(&Entry) -> Result<(), String>) -> Option<Value> {
    let answer = if let Ok(host) = serde_json::from_value(job.clone()) {
        module_child::answer(&host)
    } else {
        let job: Job = serde_json::from_value(job.clone()).ok()?;
        perform(&job, smoke).unwrap_or_else(Answer::Refused)
    };
    Some(serde_json::to_value(answer).unwrap_or_default())
}

fn perform(job: &Job, smoke: &dyn Fn(&Entry) -> Result<(), String>) -> Result<Answer, Refusal> {
    let refused = |found: String| Refusal {
        path: job.probe.path.clone(),
        rule: Rule::Probe,
        found,
        remedy: "try again".to_owned(),
    };
    let registry = Registry::built_in().map_err(|e| refused(e.to_string()))?;
    for file in job.interpreter.iter().chain([&job.probe]) {
        // Only the bytes that the parent has verified are run.
        registry.admit_probed(&file.read()?)?;
    }
    let entries = registry.entries();
    let of_build = |e: &&Entry| e.plugin().sha256.as_ref() == Some(&job.probe.sha256);
    let Some((kind, id)) = &job.entry else {
        let schemas = entries.iter().filter(of_build);
        return Ok(Answer::Opened(
            schemas.map(|e| (key(e.kind().as_str(), e.id()), e.schema().clone())).collect(),
        ));
    };
    let entry = entries.iter().filter(of_build).find(|e| e.kind().as_str() == kind && e.id() == id);
    Ok(match entry.map_or_else(|| Err("the plugin does not list it".to_owned()), smoke) {
        Ok(()) => Answer::Fit,
        Err(reason) => Answer::Unfit(reason),
    })
}
