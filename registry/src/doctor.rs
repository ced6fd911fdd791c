//! Examines everything that a registry depends on, for `kasmina plugins doctor`.

use crate::dl::mappings;
use crate::error::RegistryError;
use crate::listing::State;
use crate::policy::Policy;
use crate::project_lock::{ProjectLock, how_to_confirm};
use crate::quarantine::Quarantine;
use crate::search::SearchPath;
use crate::survey::survey;
use kasmina_plugin_api::{ABI_VERSION, TARGET, TORCH_VERSION};
use serde::Serialize;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Nothing is wrong.
    Fine,
    /// Nothing is wrong, but the finding may explain unexpected behaviour.
    Note,
    /// Something does not work until it is corrected.
    Problem,
}

/// Result of one examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Severity of the finding.
    pub weight: Weight,
    /// Subject of the finding, such as `torch`, `search path` or `trust`.
    pub about: String,
    /// What was found, in one sentence.
    pub found: String,
    /// What to do about it; absent if nothing needs to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// Returns a finding without a remedy.
    pub fn new(weight: Weight, about: &str, found: impl Into<String>) -> Self {
        Self { weight, about: about.to_owned(), found: found.into(), remedy: None }
    }
    /// Adds a remedy to the finding.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Examines versions, search path, trust, plugin files and mappings. Opens no plugin.
///
/// # Errors
/// If a named place or the lock file cannot be read.
pub fn examine(path: &SearchPath, policy: &Policy) -> Result<Vec<Finding>, RegistryError> {
    let mut findings = vec![
        Finding::new(Weight::Fine, "interface", format!("plugin API {ABI_VERSION}, {TARGET}")),
        Finding::new(Weight::Fine, "torch", format!("{TORCH_VERSION}, as plugins must be built against")),
    ];
    for place in path.places() {
        let there = std::fs::symlink_metadata(&place.path).is_ok();
        let (weight, note) = match (there, place.must_exist()) {
            (true, _) => (Weight::Fine, ""),
            (false, false) => (Weight::Fine, " (does not exist)"),
            (false, true) => (Weight::Problem, " (does not exist, although it was named)"),
        };
        findings.push(Finding::new(weight, "search path", format!("{}{note}", place.path.display())));
    }
    examine_trust(policy, &mut findings);
    let survey = survey(path, policy)?;
    for file in &survey.files {
        let (plugin, trust) = (&file.manifest.plugin, file.plugin.trust.as_str());
        let name = format!("{} {} {}", plugin.name, plugin.version, file.manifest.generation());
        findings.push(match &file.refusal {
            None => Finding::new(Weight::Fine, "plugin", format!("{name}, {trust}")),
            Some(refusal) => Finding::new(Weight::Problem, "plugin", format!("{name}: {}", refusal.found))
                .with_remedy(refusal.remedy.clone()),
        });
    }
    for skipped in &survey.refused {
        let row = crate::listing::RefusedRow::from(skipped);
        let weight = if row.state == State::Shadowed { Weight::Note } else { Weight::Problem };
        let found = format!("{}: {}", row.path.display(), row.found);
        findings.push(Finding::new(weight, "file", found).with_remedy(row.remedy));
    }
    for mapping in mappings() {
        let found = format!("{} {} at {:#x}", mapping.name, &mapping.sha256[..12], mapping.address);
        findings.push(Finding::new(Weight::Fine, "mapped here", found));
    }
    Ok(findings)
}

/// Examines keys, lock file and quarantine.
fn examine_trust(policy: &Policy, findings: &mut Vec<Finding>) {
    match policy.keys.as_ref().map(crate::keys::Keys::list) {
        None => findings.push(Finding::new(Weight::Note, "trust", "there is no folder for trusted keys")),
        Some(Err(error)) => {
            let finding = Finding::new(Weight::Problem, "trust", error.to_string());
            findings.push(finding.with_remedy("remove that file, or put a minisign public key there"));
        }
        Some(Ok(keys)) if keys.is_empty() => {
            findings.push(Finding::new(Weight::Fine, "trust", "no trusted keys"));
        }
        Some(Ok(keys)) => {
            let found = |key: &crate::keys::TrustedKey| format!("key `{}` {}", key.name, key.key);
            findings.extend(keys.iter().map(|key| Finding::new(Weight::Fine, "trust", found(key))));
        }
    }
    if policy.allow_unsigned {
        let text = "unsigned plugins are accepted, and pinned at first use";
        findings.push(Finding::new(Weight::Note, "trust", text));
    }
    if let Some(path) = policy.lock() {
        findings.push(match ProjectLock::of(policy) {
            Ok(lock) if path.exists() => {
                let found = format!("{}, {} plugins", path.display(), lock.lock().plugins().count());
                if lock.is_confirmed() {
                    Finding::new(Weight::Fine, "lock file", found)
                } else {
                    Finding::new(Weight::Problem, "lock file", format!("{found}, not confirmed by you"))
                        .with_remedy(how_to_confirm(path))
                }
            }
            Ok(_) => Finding::new(Weight::Fine, "lock file", format!("{} (does not exist)", path.display())),
            Err(error) => Finding::new(Weight::Problem, "lock file", error.to_string())
                .with_remedy("correct it, or write it again with `kasmina plugins lock`"),
        });
    }
    let quarantine = policy.quarantine.as_ref().map(|file| Quarantine::in_file(file).list());
    let quarantined = quarantine.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|error| {
        let finding = Finding::new(Weight::Problem, "quarantine", error.to_string());
        findings.push(finding.with_remedy(error.help().unwrap_or_default()));
        Vec::new()
    });
    for build in quarantined {
        let found =
            format!("{} {}: {}", build.name, &build.sha256.get(..12).unwrap_or_default(), build.reason);
        let remedy =
            format!("tell its author; `kasmina plugins quarantine clear {}` to try it again", build.name);
        findings.push(Finding::new(Weight::Problem, "quarantine", found).with_remedy(remedy));
    }
}
