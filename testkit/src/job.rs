//! The messages between the parent process and the child process of a check.

use crate::report::Verdict;
use kasmina_registry::Judged;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The JSON key that distinguishes jobs of this kit from other jobs of the same child process.
pub(crate) const KEY: &str = "check";

/// A request to run one check of one entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) file: Judged,
    /// Plugin files to load before `file`.
    #[serde(default)]
    pub(crate) with: Vec<Judged>,
    /// Kind and id of the entry; `None` for the whole file.
    pub(crate) entry: Option<(String, String)>,
    /// Name of the check.
    pub(crate) name: String,
    /// Seed of all random numbers.
    pub(crate) seed: u64,
    /// Configuration of the entry as JSON; empty for the default.
    #[serde(default)]
    pub(crate) config: String,
}

impl Job {
    pub(crate) fn to_value(&self) -> Value {
        json!({ KEY: self })
    }
    pub(crate) fn from_value(mut job: Value) -> Result<Self, String> {
        let own = job.get_mut(KEY).map(Value::take).ok_or("the job is not one of the conformance kit")?;
        serde_json::from_value(own).map_err(|e| e.to_string())
    }
}

/// Outcome of a job, from the child process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
}

impl Answer {
    pub(crate) fn to_value(&self) -> Value {
        json!({ "verdict": self.verdict, "detail": self.detail })
    }
}
