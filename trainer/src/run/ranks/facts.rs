//! What must be the same on every rank of a run.

use super::super::trainer::Trainer;
use crate::error::TrainError;
use serde_json::Value;
use std::collections::BTreeMap;

impl Trainer<'_> {
    /// Returns everything that affects the results, by names for messages: versions, settings, builds of
    /// plugins, data, and the position of a resumed run.
    pub(super) fn facts(&self) -> Result<BTreeMap<String, String>, TrainError> {
        let device = if self.training.model.device().is_cuda() { "cuda" } else { "cpu" };
        let mut facts = BTreeMap::from([
            ("version of Kasmina".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("kind of device".to_owned(), device.to_owned()),
            ("training step".to_owned(), self.training.model.step().to_string()),
        ]);
        let damaged = |e: serde_json::Error| TrainError::Setting {
            field: "the settings".to_owned(),
            reason: format!("they cannot be written: {e}"),
        };
        // Files may lie in other places, because their contents are compared; each rank has its own GPU.
        let settings = serde_json::to_value(self.config.without_places()).map_err(damaged)?;
        flatten("", &settings, &mut facts);
        for plugin in self.registry.plugins() {
            let build = plugin.sha256.clone().unwrap_or_else(|| plugin.version.clone());
            facts.insert(format!("build of plugin {}", plugin.name), build);
        }
        let inputs =
            if self.progress.inputs.is_empty() { self.input_hashes()? } else { self.progress.inputs.clone() };
        facts.extend(inputs.into_iter().map(|(what, hash)| (format!("SHA-256 of the {what}"), hash)));
        Ok(facts)
    }
}

fn flatten(prefix: &str, value: &Value, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, facts);
            }
        }
        value => {
            facts.insert(format!("setting `{prefix}`"), value.to_string());
        }
    }
}
