//! The way of a module's file into the host `grafted`: read once, judged, tried in a child, and lent to the
//! host as the bytes that were judged.

use super::file::Lent;
use crate::error::RegistryError;
use crate::module_file::ModuleFile;
use crate::policy::Policy;
use crate::probe;
use serde_json::{Map, Value};
use std::path::Path;

/// Judges the module that a configuration of `grafted` names. While the result lives, this thread can build a
/// host of it.
///
/// # Errors
/// The rule that the module breaks.
pub(crate) fn admit(config: &str, policy: &Policy) -> Result<Option<Lent>, RegistryError> {
    // A configuration that is not an object, or names no module, is refused where it is parsed.
    let Ok(settings) = serde_json::from_str::<Map<String, Value>>(config) else { return Ok(None) };
    let Some(path) = settings.get("module").and_then(Value::as_str).map(Path::new) else { return Ok(None) };
    let module = ModuleFile::read(path)?;
    module.let_in(policy)?;
    probe::try_module(&module, config, policy)?;
    // The bytes that run are the bytes that were judged, so their hash goes into the user's record.
    policy.record(&module.sha256);
    Ok(Some(Lent::new(path.to_owned(), module.bytes)))
}
