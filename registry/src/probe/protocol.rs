//! What a parent asks its child, and what the child answers.

use crate::error::{Refusal, Rule};
use crate::manifest::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A file that was judged, for a process that is to open no other bytes than those.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Path of the file.
    pub path: PathBuf,
    /// SHA-256 of the bytes that were judged, in hexadecimal digits.
    pub sha256: String,
}

impl Judged {
    /// Reads the file again.
    ///
    /// # Errors
    /// If it cannot be read, or has other bytes by now.
    pub fn read(&self) -> Result<Manifest, Refusal> {
        let manifest = Manifest::read(&self.path)?;
        self.is_still(&manifest.sha256)?;
        Ok(manifest)
    }

    /// Refuses other bytes than those that were judged.
    pub(super) fn is_still(&self, sha256: &str) -> Result<(), Refusal> {
        if sha256 == self.sha256 {
            return Ok(());
        }
        Err(Refusal {
            path: self.path.clone(),
            rule: Rule::Probe,
            found: "it changed while it was looked at".to_owned(),
            remedy: "try again".to_owned(),
        })
    }
}

/// A build and, where it is interpreted, the one that interprets it.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) probe: Judged,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interpreter: Option<Judged>,
    /// The entry to be tried; none means that the build is to be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entry: Option<(String, String)>,
}

/// A module that is to be tried as a host.
#[derive(Serialize, Deserialize)]
pub(super) struct HostJob {
    pub(super) host_module: Judged,
    /// The configuration of the host, as JSON.
    pub(super) config: String,
}

/// What the child says of a job.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Opened(BTreeMap<String, Value>),
    Refused(Refusal),
    Fit,
    Unfit(String),
}

/// How an entry is named among its plugin's.
pub(crate) fn key(kind: &str, id: &str) -> String {
    format!("{kind} {id}")
}
