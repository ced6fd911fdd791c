//! The parent's side: asks children about builds, and keeps what they found.

use super::protocol::{Answer, Job, Judged, key};
use super::quarantined::Suspect;
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

/// What a probe has found of a build.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Probed {
    /// The build of this program that has found it.
    by: String,
    /// The rule that it broke in being opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Refusal>,
    /// Entries that cannot be used, by kind and id, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unfit: BTreeMap<String, String>,
    /// The schema of each entry's configuration.
    #[serde(default)]
    pub(crate) schemas: BTreeMap<String, Value>,
}

/// Whether a build may be opened here, for each of several.
pub(crate) fn probe(
    manifests: &[&Manifest],
    interpreter: Option<&Arc<PluginInfo>>,
    policy: &Policy,
) -> Vec<Result<Probed, Refusal>> {
    let mut results: Vec<Option<Result<Probed, Refusal>>> = manifests
        .iter()
        .map(|manifest| {
            if let Err(refusal) = suspect(manifest).refuse(policy) {
                return Some(Err(refusal));
            }
            match &policy.probe {
                None => Some(Ok(Probed::default())),
                // It is in this process already.
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
        let open: Vec<usize> = (0..manifests.len()).filter(|i| results[*i].is_none()).collect();
        let fresh: Vec<&Manifest> = open.iter().map(|i| manifests[*i]).collect();
        let found = in_children(&fresh, interpreter, (program, *limits));
        for ((index, manifest), found) in open.into_iter().zip(fresh).zip(found) {
            results[index] = Some(match found {
                Found::Probed(probed) => {
                    keep(policy, manifest, &probed);
                    match probed.refused {
                        Some(refused) => Err(refused),
                        None => Ok(probed),
                    }
                }
                Found::Ended(reason) => Err(suspect(manifest).put(policy, &reason)),
                Found::NoChild(reason) => Err(Refusal {
                    path: manifest.path.clone(),
                    rule: Rule::Probe,
                    found: format!("there is no process to try it in: {reason}"),
                    remedy: "check that this program can start itself again, and the memory that is left"
                        .to_owned(),
                }),
            });
        }
    }
    results.into_iter().map(|r| r.unwrap_or_else(|| Ok(Probed::default()))).collect()
}

enum Found {
    Probed(Probed),
    /// It ended the process of the child.
    Ended(String),
    NoChild(String),
}

fn in_children(
    manifests: &[&Manifest],
    interpreter: Option<&Arc<PluginInfo>>,
    (program, limits): (&Program, Limits),
) -> Vec<Found> {
    let mut found: Vec<Found> =
        manifests.iter().map(|_| Found::Probed(Probed { by: this_build(), ..Probed::default() })).collect();
    let which = |m: &Manifest| Judged { path: m.path.clone(), sha256: m.sha256.clone() };
    let of = |m: &Manifest, entry| {
        let interpreter = interpreter
            .filter(|_| m.is_interpreted())
            .and_then(|plugin| Some(Judged { path: plugin.path.clone()?, sha256: plugin.sha256.clone()? }));
        json!(Job { probe: which(m), interpreter, entry })
    };
    // First all are opened; then the entries of those that could be are tried.
    let opening: Vec<(usize, Option<(String, String)>)> = (0..manifests.len()).map(|i| (i, None)).collect();
    let mut rounds = vec![opening];
    while let Some(round) = rounds.pop() {
        let jobs: Vec<Value> = round.iter().map(|(i, entry)| of(manifests[*i], entry.clone())).collect();
        let mut next = Vec::new();
        let done = child::run(program, &jobs, limits, &mut |at, outcome| {
            let Some(outcome) = outcome else { return };
            let (index, entry) = &round[at];
            let Found::Probed(probed) = &mut found[*index] else { return };
            match verdict(outcome) {
                Err(how) => {
                    let doing = entry.as_ref().map_or_else(
                        || "in being opened".to_owned(),
                        |(kind, id)| format!("when {kind} `{id}` was tried"),
                    );
                    found[*index] = Found::Ended(format!("{doing}, {how}"));
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
            found.fill_with(|| Found::NoChild(error.to_string()));
            return found;
        }
        if !next.is_empty() {
            rounds.push(next);
        }
    }
    found
}

/// A build that is about to be tried.
pub(crate) fn suspect(manifest: &Manifest) -> Suspect<'_> {
    Suspect { path: &manifest.path, sha256: &manifest.sha256, name: &manifest.plugin.name }
}

fn file_of(policy: &Policy, sha256: &str) -> Option<PathBuf> {
    policy.cache.as_ref().map(|cache| cache.join("probes").join(format!("{sha256}.json")))
}

fn cached(policy: &Policy, manifest: &Manifest, interpreter: Option<&Arc<PluginInfo>>) -> Option<Probed> {
    let probed: Probed = places::read_json(&file_of(policy, &manifest.sha256)?);
    (probed.by == by(manifest, interpreter)).then_some(probed)
}

/// The schemas that a probe has found, if one has.
pub(crate) fn schemas(policy: &Policy, sha256: &str) -> BTreeMap<String, Value> {
    file_of(policy, sha256).map(|file| places::read_json::<Probed>(&file).schemas).unwrap_or_default()
}

/// Whose findings they are: this program's, and of what is interpreted also its interpreter's.
fn by(manifest: &Manifest, interpreter: Option<&Arc<PluginInfo>>) -> String {
    let interpreter = interpreter.filter(|_| manifest.is_interpreted()).and_then(|p| p.sha256.as_deref());
    format!("{} {}", this_build(), interpreter.unwrap_or_default()).trim_end().to_owned()
}

/// Keeps what will be found again: not a file that was being written, nor a library that was not installed
/// yet.
fn keep(policy: &Policy, manifest: &Manifest, probed: &Probed) {
    let lasting = |refusal: &Refusal| matches!(refusal.rule, Rule::Layout | Rule::Init | Rule::Listing);
    if !probed.refused.as_ref().is_none_or(lasting) {
        return;
    }
    if let Some(file) = file_of(policy, &manifest.sha256) {
        places::write_json(&file, probed);
    }
}
