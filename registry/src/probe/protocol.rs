//! What a parent asks its child, and what the child answers.

use crate::error::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A build and, where it is interpreted, the one that interprets it.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) probe: Which,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interpreter: Option<Which>,
    /// The entry to be tried; none means that the build is to be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entry: Option<(String, String)>,
}

/// Which file, and the hash by which it was judged.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Which {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
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
