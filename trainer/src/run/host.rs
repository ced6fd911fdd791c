//! The configuration that a host is built with.

use crate::config::HostConfig;
use serde_json::{Map, Value};

/// Returns the configuration that the host is built with: the configured settings, completed by the facts of
/// the data that its schema has a setting for. The facts are not added to `config`, because other data have
/// other facts. Relative paths in `config` become absolute, so that the run can be resumed from another
/// working directory.
pub(super) fn configured(
    config: &mut HostConfig,
    schema: &Value,
    facts: &Map<String, Value>,
) -> Map<String, Value> {
    let of = |name: &str| schema["properties"].get(name);
    for (name, value) in &mut config.config {
        let is_path = of(name).is_some_and(|property| property["format"] == "path");
        if let Some(path) = value.as_str().filter(|_| is_path)
            && let Ok(path) = std::path::absolute(path)
        {
            *value = path.to_string_lossy().into();
        }
    }
    let mut settings = config.config.clone();
    for (name, value) in facts.iter().filter(|(name, _)| of(name).is_some()) {
        settings.entry(name.clone()).or_insert_with(|| value.clone());
    }
    settings
}
