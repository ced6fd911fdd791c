//! Checks of settings that several hosts share.

use kasmina_plugin_api::prelude::*;

/// Refuses the first setting that is not at least 1.
pub(crate) fn at_least_one(settings: &[(&str, i64)]) -> Result<()> {
    match settings.iter().find(|(_, value)| *value < 1) {
        Some((name, value)) => Err(PluginError::config(format!("{name} {value} is not at least 1"))),
        None => Ok(()),
    }
}
