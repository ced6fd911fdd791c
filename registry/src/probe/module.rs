//! A TorchScript module that is to be a host is loaded for the first time in a process of its own.

use super::protocol::{HostJob, Judged};
use super::quarantined::Suspect;
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

/// The cached result of a try. Only a try that did not end its process is cached.
#[derive(Default, Serialize, Deserialize)]
struct Tried {
    /// The build of this program that has tried it.
    by: String,
}

/// Tries to build a host of a module in a child. What the child says of it is said again here, where it
/// counts; only that the child lives is learned.
///
/// # Errors
/// If the module has ended a process now or before, or there is no process to try it in.
pub(crate) fn try_module(module: &ModuleFile, config: &str, policy: &Policy) -> Result<(), Refusal> {
    let name = module.name();
    let suspect = Suspect { path: &module.path, sha256: &module.sha256, name: &name };
    suspect.refuse(policy)?;
    let Some((program, limits)) = &policy.probe else { return Ok(()) };
    let kept = kept(module, config, policy);
    if kept.as_deref().is_some_and(|file| places::read_json::<Tried>(file).by == this_build()) {
        return Ok(());
    }
    let path = module.path.canonicalize().unwrap_or_else(|_| module.path.clone());
    let judged = Judged { path, sha256: module.sha256.clone() };
    let job = json!(HostJob { host_module: judged, config: config.to_owned() });
    let mut ended = None;
    child::run(program, &[job], limits_for(module, *limits), &mut |_, outcome| {
        ended = outcome.and_then(|outcome| verdict(outcome).err());
    })
    .map_err(|error| Refusal {
        path: module.path.clone(),
        rule: Rule::Probe,
        found: format!("there is no process to try it in: {error}"),
        remedy: "check that this program can start itself again, and the memory that is left".to_owned(),
    })?;
    match ended {
        None => {
            if let Some(file) = kept {
                places::write_json(&file, &Tried { by: this_build() });
            }
            Ok(())
        }
        Some(how) => {
            let reason = format!("when a host was made of it, {how}");
            Err(suspect.put(policy, &reason))
        }
    }
}

/// A large module takes longer to read, and its bytes several times their size.
fn limits_for(module: &ModuleFile, limits: Limits) -> Limits {
    let size = module.bytes.len() as u64;
    Limits { time: limits.time + Duration::from_secs(size / (50 << 20)), memory: limits.memory + 6 * size }
}

fn kept(module: &ModuleFile, config: &str, policy: &Policy) -> Option<PathBuf> {
    let name = hex::encode(Sha256::digest(format!("{} {config}", module.sha256)));
    policy.cache.as_ref().map(|cache| cache.join("probes").join(format!("{name}.json")))
}
