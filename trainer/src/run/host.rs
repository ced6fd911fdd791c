//! The settings that a host is built with.

use crate::config::HostConfig;
use serde_json::{Map, Value};

/// Completes the settings of a host: the run's, and what it must know of the data where its schema has the
/// name. The latter is not written down: another task, or another text, has other facts. Relative paths
/// become absolute in both, so that the run's configuration means the same files wherever it is given again.
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
