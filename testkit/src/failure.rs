//! Outcomes of checks.

use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;
use std::fmt::Display;

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The plugin broke the promise. Contains what was found.
    Broken(String),
    /// The check cannot be run on this entry, which is no fault of the plugin. Contains the reason.
    NotApplicable(String),
}

/// Outcome of a check: an optional remark, or why it did not pass.
pub(crate) type Outcome = Result<Option<String>, Failure>;

/// Returns a [`Failure::Broken`].
pub(crate) fn broken<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Broken(text.into()))
}

macro_rules! broken_from {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Broken(error.to_string())
            }
        }
    )*};
}
broken_from!(PluginError, RegistryError, kasmina_torch_ext::Error, std::io::Error);

impl From<tch::TchError> for Failure {
    fn from(error: tch::TchError) -> Self {
        PluginError::from(error).into()
    }
}

/// Adds to a failure where it occurred: the place, step, batch or mode.
pub(crate) trait At<T> {
    fn at(self, place: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> At<T> for Result<T, E> {
    fn at(self, place: impl Display) -> Result<T, Failure> {
        self.map_err(|error| match error.into() {
            Failure::Broken(text) => Failure::Broken(format!("{place}: {text}")),
            not_applicable @ Failure::NotApplicable(_) => not_applicable,
        })
    }
}
