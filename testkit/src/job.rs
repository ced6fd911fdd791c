//! What the two sides of a check say to each other.

use crate::report::Verdict;
use kasmina_registry::Judged;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The key that tells a job of this kit from others that the same child may serve.
pub(crate) const KEY: &str = "check";

/// One check of one entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) file: Judged,
    /// What it needs to be loaded before it.
    #[serde(default)]
    pub(crate) with: Vec<Judged>,
    /// Kind and id; none for the file as a whole.
    pub(crate) entry: Option<(String, String)>,
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// What the entry is built with; empty for its default.
    #[serde(default)]
    pub(crate) config: String,
}

impl Job {
    pub(crate) fn to_value(&self) -> Value {
        json!({ KEY: self })
    }
    pub(crate) fn from_value(mut job: Value) -> Result<Self, String> {
        let own = job.get_mut(KEY).map(Value::take).ok_or("it is no job of the conformance kit")?;
        serde_json::from_value(own).map_err(|e| e.to_string())
    }
}

/// Answer of the child to a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
}

impl Said {
    pub(crate) fn to_value(&self) -> Value {
        json!({ "verdict": self.verdict, "detail": self.detail })
    }
}
