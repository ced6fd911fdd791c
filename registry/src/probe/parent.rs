//! The parent's side of a probe: sends builds to children, and caches the results.

use super::protocol::{Answer, Job, Judged, key};
use super::quarantined::TriedFile;
use super::this_build::this_build;
use super::verdict::verdict;
use crate::child::{self, Limits, Program};
use crate::dl;
use crate::entry::PluginInfo;
use crate::error::{Refusal, Rule};
use crate::manifest::Manifest;
use crate::places;
use crate::policy::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Result of the probe of a build.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Probed {
    /// The build of this program that has probed the file.
    by: String,
    /// The refusal, if the build could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Refusal>,
    /// Why entries failed when they were tried, by `kind id`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unfit: BTreeMap<String, String>,
    /// JSON Schema of each entry's configuration, by `kind id`.
    #[serde(default)]
    pub(crate) schemas: BTreeMap<String, Value>,
}

/// Probes builds, or reads the cached results. Returns for each build the result, or why it must not be
/// opened.
pub(crate) fn probe(
    manifests: &[&Manifest],
    interpreter: Option<&Arc<PluginInfo>>,
    policy: &Policy,
) -> Vec<Result<Probed, Refusal>> {
    let mut results: Vec<Option<Result<Probed, Refusal>>> = manifests
        .iter()
        .map(|manifest| {
            if let Err(refusal) = tried_file(manifest).refuse_quarantined(policy) {
                return Some(Err(refusal));
            }
            match &policy.probe {
                None => Some(Ok(Probed::default())),
                // It is already open in this process.
                Some(_) if dl::is_mapped(manifest) => {
                    Some(Ok(cached(policy, manifest, interpreter).unwrap_or_default()))
                }
                Some(_) => cached(policy, manifest, interpreter).map(|probed| match &probed.refused {
                    Some(refused) => Err(Refusal { path: manifest.path.clone(), ..refused.clone() }),
                    None => Ok(probed),
                }),
            }
        })
        .collect();
    if let Some((program, limits)) = &policy.probe {
        let unknown: Vec<usize> = (0..manifests.len()).filter(|i| results[*i].is_none()).collect();
        let unprobed: Vec<&Manifest> = unknown.iter().map(|i| manifests[*i]).collect();
        let outcomes = probe_in_children(&unprobed, interpreter, (program, *limits));
        for ((index, manifest), outcome) in unknown.into_iter().zip(unprobed).zip(outcomes) {
            results[index] = Some(match outcome {
                ProbeOutcome::Probed(probed) => {
                    cache_result(policy, manifest, &probed);
                    match probed.refused {
                        Some(refused) => Err(refused),
                        None => Ok(probed),
                    }
                }
                ProbeOutcome::Ended(reason) => Err(tried_file(manifest).quarantine(policy, &reason)),
                ProbeOutcome::NoChild(reason) => Err(Refusal {
                    path: manifest.path.clone(),
                    rule: Rule::Probe,
                    found: format!("it cannot be tried in a child process: {reason}"),
                    remedy: "check that this program can start itself, and that enough memory is available"
                        .to_owned(),
                }),
            });
        }
    }
    results.into_iter().map(|r| r.unwrap_or_else(|| Ok(Probed::default()))).collect()
}

/// How the probe of a build ended.
enum ProbeOutcome {
    Probed(Probed),
    /// The build ended the child process.
    Ended(String),
    /// No child process could be started.
    NoChild(String),
}

/// Opens builds and tries their entries in child processes. Returns one outcome for each build.
fn probe_in_children(
    manifests: &[&Manifest],
    interpreter: Option<&Arc<PluginInfo>>,
    (program, limits): (&Program, Limits),
) -> Vec<ProbeOutcome> {
    let mut outcomes: Vec<ProbeOutcome> = manifests
        .iter()
        .map(|m| ProbeOutcome::Probed(Probed { by: prober(m, interpreter), ..Probed::default() }))
        .collect();
    let verified = |m: &Manifest| Judged { path: m.path.clone(), sha256: m.sha256.clone() };
    let job = |m: &Manifest, entry| {
        let interpreter = interpreter
            .filter(|_| m.is_interpreted())
            .and_then(|plugin| Some(Judged { path: plugin.path.clone()?, sha256: plugin.sha256.clone()? }));
        json!(Job { probe: verified(m), interpreter, entry })
    };
    // The first round opens all builds. The second one tries the entries of those that could be opened.
    let opening: Vec<(usize, Option<(String, String)>)> = (0..manifests.len()).map(|i| (i, None)).collect();
    let mut rounds = vec![opening];
    while let Some(round) = rounds.pop() {
        let jobs: Vec<Value> = round.iter().map(|(i, entry)| job(manifests[*i], entry.clone())).collect();
        let mut next = Vec::new();
        let done = child::run(program, &jobs, limits, &mut |at, outcome| {
            let Some(outcome) = outcome else { return };
            let (index, entry) = &round[at];
            let ProbeOutcome::Probed(probed) = &mut outcomes[*index] else { return };
            match verdict(outcome) {
                Err(how) => {
                    let doing = entry.as_ref().map_or_else(
                        || "while it was opened".to_owned(),
                        |(kind, id)| format!("when {kind} `{id}` was tried"),
                    );
                    outcomes[*index] = ProbeOutcome::Ended(format!("{doing}, {how}"));
                }
                Ok(Answer::Refused(refusal)) => probed.refused = Some(refusal),
                Ok(Answer::Opened(schemas)) => {
                    probed.schemas = schemas;
                    let entries = manifests[*index].entries.iter();
                    next.extend(entries.map(|e| (*index, Some((e.kind.clone(), e.id.clone())))));
                }
                Ok(Answer::Fit) => {}
                Ok(Answer::Unfit(reason)) => {
                    if let Some((kind, id)) = entry {
                        probed.unfit.insert(key(kind, id), reason);
                    }
                }
            }
        });
        if let Err(error) = done {
            outcomes.fill_with(|| ProbeOutcome::NoChild(error.to_string()));
            return outcomes;
        }
        if !next.is_empty() {
            rounds.push(next);
        }
    }
    outcomes
}

/// Returns the description of a build for the quarantine.
pub(crate) fn tried_file(manifest: &Manifest) -> TriedFile<'_> {
    TriedFile { path: &manifest.path, sha256: &manifest.sha256, name: &manifest.plugin.name }
}

/// Returns the path of the cached result for a build.
fn cache_file(policy: &Policy, sha256: &str) -> Option<PathBuf> {
    policy.cache.as_ref().map(|cache| cache.join("probes").join(format!("{sha256}.json")))
}

/// Returns the cached result for a build, if this program and the same interpreter have found it.
fn cached(policy: &Policy, manifest: &Manifest, interpreter: Option<&Arc<PluginInfo>>) -> Option<Probed> {
    let probed: Probed = places::read_json(&cache_file(policy, &manifest.sha256)?);
    (probed.by == prober(manifest, interpreter)).then_some(probed)
}

/// Returns the cached schemas of a build's entries, by `kind id`; empty if the build was not probed.
pub(crate) fn schemas(policy: &Policy, sha256: &str) -> BTreeMap<String, Value> {
    cache_file(policy, sha256).map(|file| places::read_json::<Probed>(&file).schemas).unwrap_or_default()
}

/// Identifies the build of this program, and for an interpreted file also that of its interpreter.
fn prober(manifest: &Manifest, interpreter: Option<&Arc<PluginInfo>>) -> String {
    let interpreter = interpreter.filter(|_| manifest.is_interpreted()).and_then(|p| p.sha256.as_deref());
    format!("{} {}", this_build(), interpreter.unwrap_or_default()).trim_end().to_owned()
}

/// Caches a result that another probe would find again. Other refusals may be temporary, such as that of a
/// file that was being written.
fn cache_result(policy: &Policy, manifest: &Manifest, probed: &Probed) {
    let lasting = |refusal: &Refusal| matches!(refusal.rule, Rule::Layout | Rule::Init | Rule::Listing);
    if !probed.refused.as_ref().is_none_or(lasting) {
        return;
    }
    if let Some(file) = cache_file(policy, &manifest.sha256) {
        places::write_json(&file, probed);
    }
}
