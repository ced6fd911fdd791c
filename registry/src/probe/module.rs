//! Tries a TorchScript module that is used as a host in a child process first.

use super::protocol::{HostJob, Judged};
use super::quarantined::TriedFile;
use super::this_build::this_build;
use super::verdict::verdict;
use crate::child::{self, Limits};
use crate::error::{Refusal, Rule};
use crate::module_file::ModuleFile;
use crate::places;
use crate::policy::Policy;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::time::Duration;

/// Cached result of a try. It is cached only if the try did not end the child process.
#[derive(Default, Serialize, Deserialize)]
struct CachedTry {
    /// The build of this program that has tried the module.
    by: String,
}

/// Builds a host of a module in a child process, to learn whether that ends the process. An error that the
/// child reports is ignored, because the parent finds it again when it builds the host.
///
/// # Errors
/// If the module is or was quarantined because it ended a child process, or no child process can be started.
pub(crate) fn try_module(module: &ModuleFile, config: &str, policy: &Policy) -> Result<(), Refusal> {
    let name = module.name();
    let file = TriedFile { path: &module.path, sha256: &module.sha256, name: &name };
    file.refuse_quarantined(policy)?;
    let Some((program, limits)) = &policy.probe else { return Ok(()) };
    let cache = cache_file(module, config, policy);
    if cache.as_deref().is_some_and(|file| places::read_json::<CachedTry>(file).by == this_build()) {
        return Ok(());
    }
    let path = module.path.canonicalize().unwrap_or_else(|_| module.path.clone());
    let verified = Judged { path, sha256: module.sha256.clone() };
    let job = json!(HostJob { host_module: verified, config: config.to_owned() });
    let mut ended = None;
    child::run(program, &[job], limits_for(module, *limits), &mut |_, outcome| {
        ended = outcome.and_then(|outcome| verdict(outcome).err());
    })
    .map_err(|error| Refusal {
        path: module.path.clone(),
        rule: Rule::Probe,
        found: format!("it cannot be tried in a child process: {error}"),
        remedy: "check that this program can start itself, and that enough memory is available".to_owned(),
    })?;
    match ended {
        None => {
            if let Some(cache) = cache {
                places::write_json(&cache, &CachedTry { by: this_build() });
            }
            Ok(())
        }
        Some(how) => {
            let reason = format!("when a host was built from it, {how}");
            Err(file.quarantine(policy, &reason))
        }
    }
}

/// Returns larger limits for a large module: reading it takes longer, and needs several times its size in
/// memory.
fn limits_for(module: &ModuleFile, limits: Limits) -> Limits {
    let size = module.bytes.len() as u64;
    Limits { time: limits.time + Duration::from_secs(size / (50 << 20)), memory: limits.memory + 6 * size }
}

/// Returns the path of the cached result for a module and a configuration.
fn cache_file(module: &ModuleFile, config: &str, policy: &Policy) -> Option<PathBuf> {
    let name = hex::encode(Sha256::digest(format!("{} {config}", module.sha256)));
    policy.cache.as_ref().map(|cache| cache.join("probes").join(format!("{name}.json")))
}
