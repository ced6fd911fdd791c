//! What stands in the way, and what to do about it.

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

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Nothing is wrong.
    Fine,
    /// Nothing is wrong, but it explains what may surprise.
    Note,
    /// Something will not work until it is mended.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How serious the finding is.
    pub weight: Weight,
    /// What it is about: `torch`, `search path`, `trust`.
    pub about: String,
    /// What was found, in one sentence.
    pub found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding without a remedy.
    pub fn new(weight: Weight, about: &str, found: impl Into<String>) -> Self {
        Self { weight, about: about.to_owned(), found: found.into(), remedy: None }
    }
    /// Adds what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Looks at everything that a registry depends on.
///
/// # Errors
/// If a named place cannot be read.
pub fn examine(path: &SearchPath, policy: &Policy) -> Result<Vec<Finding>, RegistryError> {
    let mut findings = vec![
        Finding::new(Weight::Fine, "interface", format!("plugin API {ABI_VERSION}, {TARGET}")),
        Finding::new(Weight::Fine, "torch", format!("{TORCH_VERSION}, as plugins must be built against")),
    ];
    for place in path.places() {
        let there = std::fs::symlink_metadata(&place.path).is_ok();
        let (weight, is) = match (there, place.must_exist()) {
            (true, _) => (Weight::Fine, ""),
            (false, false) => (Weight::Fine, " (not there)"),
            (false, true) => (Weight::Problem, " (not there, although it was named)"),
        };
        findings.push(Finding::new(weight, "search path", format!("{}{is}", place.path.display())));
    }
    trust(policy, &mut findings);
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

fn trust(policy: &Policy, findings: &mut Vec<Finding>) {
    match policy.keys.as_ref().map(crate::keys::Keys::list) {
        None => findings.push(Finding::new(Weight::Note, "trust", "there is no place for trusted keys")),
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
        let text = "unsigned plugins are let in, and pinned at first use";
        findings.push(Finding::new(Weight::Note, "trust", text));
    }
    if let Some(path) = policy.lock() {
        findings.push(match ProjectLock::of(policy) {
            Ok(lock) if path.exists() => {
                let found = format!("{}, {} plugins", path.display(), lock.lock().plugins().count());
                if lock.counts() {
                    Finding::new(Weight::Fine, "lock file", found)
                } else {
                    Finding::new(Weight::Problem, "lock file", format!("{found}, not confirmed by you"))
                        .with_remedy(how_to_confirm(path))
                }
            }
            Ok(_) => Finding::new(Weight::Fine, "lock file", format!("{} (not there)", path.display())),
            Err(error) => Finding::new(Weight::Problem, "lock file", error.to_string())
                .with_remedy("correct it, or write it anew with `kasmina plugins lock`"),
        });
    }
    let quarantine = policy.quarantine.as_ref().map(|file| Quarantine::in_file(file).list());
    let quarantined = quarantine.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|error| {
        let finding = Finding::new(Weight::Problem, "quarantine", error.to_string());
        findings.push(finding.with_remedy(error.help().unwrap_or_default()));
        Vec::new()
    });
    for out in quarantined {
        let found = format!("{} {}: {}", out.name, &out.sha256.get(..12).unwrap_or_default(), out.reason);
        let remedy =
            format!("tell its author; `kasmina plugins quarantine clear {}` to try it again", out.name);
        findings.push(Finding::new(Weight::Problem, "quarantine", found).with_remedy(remedy));
    }
}
