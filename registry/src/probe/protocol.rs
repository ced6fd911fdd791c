//! Jobs that the parent of a probe sends to its child, and the child's answers.

use crate::error::{Refusal, Rule};
use crate::manifest::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A file that was verified, for another process that must open exactly the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Path of the file.
    pub path: PathBuf,
    /// SHA-256 of the verified bytes, in hexadecimal digits.
    pub sha256: String,
}

impl Judged {
    /// Reads the file again.
    ///
    /// # Errors
    /// If the file cannot be read, or its bytes have changed.
    pub fn read(&self) -> Result<Manifest, Refusal> {
        let manifest = Manifest::read(&self.path)?;
        self.is_still(&manifest.sha256)?;
        Ok(manifest)
    }

    /// Refuses bytes with another hash than the verified ones.
    pub(super) fn is_still(&self, sha256: &str) -> Result<(), Refusal> {
        if sha256 == self.sha256 {
            return Ok(());
        }
        Err(Refusal {
            path: self.path.clone(),
            rule: Rule::Probe,
            found: "it changed while it was read".to_owned(),
            remedy: "try again".to_owned(),
        })
    }
}

/// A job that opens a build or tries one of its entries.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) probe: Judged,
    /// The plugin that interprets the build, if the build is interpreted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interpreter: Option<Judged>,
    /// Kind and id of the entry to try; `None` to open the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entry: Option<(String, String)>,
}

/// A job that builds a host of a TorchScript module.
#[derive(Serialize, Deserialize)]
pub(super) struct HostJob {
    pub(super) host_module: Judged,
    /// The configuration of the host, as JSON.
    pub(super) config: String,
}

/// The child's answer to a job.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The build was opened. Contains the JSON Schemas of its entries, by `kind id`.
    Opened(BTreeMap<String, Value>),
    Refused(Refusal),
    /// The entry or host works.
    Fit,
    /// The entry or host failed, for this reason.
    Unfit(String),
}

/// Returns the key of an entry within its plugin: `kind id`.
pub(crate) fn key(kind: &str, id: &str) -> String {
    format!("{kind} {id}")
}
