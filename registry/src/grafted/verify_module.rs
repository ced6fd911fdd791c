//! Verifies the module of the host `grafted`: reads it once, decides whether it is trusted, tries it in a
//! child process, and passes the verified bytes to the host.

use super::file::ModuleBytesGuard;
use crate::error::RegistryError;
use crate::module_file::ModuleFile;
use crate::policy::Policy;
use crate::probe;
use serde_json::{Map, Value};
use std::path::Path;

/// Verifies the module that a configuration of `grafted` names. While the returned guard exists, this thread
/// can build a host of the module. Returns `None` if the configuration names no module.
///
/// # Errors
/// If the module breaks a rule, or the lock file cannot be read or written.
pub(crate) fn verify_module(
    config: &str,
    policy: &Policy,
) -> Result<Option<ModuleBytesGuard>, RegistryError> {
    // A configuration that is not an object, or names no module, is refused where it is parsed.
    let Ok(settings) = serde_json::from_str::<Map<String, Value>>(config) else { return Ok(None) };
    let Some(path) = settings.get("module").and_then(Value::as_str).map(Path::new) else { return Ok(None) };
    let module = ModuleFile::read(path)?;
    module.verify(policy)?;
    probe::try_module(&module, config, policy)?;
    // Exactly the verified bytes will run, so their hash is recorded.
    policy.record(&module.sha256);
    Ok(Some(ModuleBytesGuard::new(path.to_owned(), module.bytes)))
}
