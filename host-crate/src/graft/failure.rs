//! Errors of building an instance again, and the conversion of libtorch errors.

use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;

/// Why an instance cannot be built again on another device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    /// The plugin cannot build it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Its variables or its state bytes cannot be copied.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// Converts an error of the libtorch shim into a [`PluginError`].
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn torch(error: kasmina_torch_ext::Error) -> PluginError {
    PluginError::torch(&error.to_string())
}
