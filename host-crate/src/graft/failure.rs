//! Failures below the model.

use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;

/// Why an instance cannot be built again at another site.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    /// It cannot be made there.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Its variables or its state cannot be copied.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// A failure of the shim, as author code's callers know it.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn torch(error: kasmina_torch_ext::Error) -> PluginError {
    PluginError::torch(&error.to_string())
}
