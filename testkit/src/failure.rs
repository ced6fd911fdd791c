//! How a check ends other than well.

use kasmina_plugin_api::PluginError;
use kasmina_registry::RegistryError;
use std::fmt::Display;

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The promise was broken; what was found.
    Broken(String),
    /// The promise cannot be tried here, and nobody is to blame.
    NotHere(String),
}

/// A check's end: a remark, if it has one to make, or why it did not pass.
pub(crate) type Outcome = Result<Option<String>, Failure>;

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

/// Says where something failed: a failure without its site is a riddle.
pub(crate) trait At<T> {
    fn at(self, place: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> At<T> for Result<T, E> {
    fn at(self, place: impl Display) -> Result<T, Failure> {
        self.map_err(|error| match error.into() {
            Failure::Broken(text) => Failure::Broken(format!("{place}: {text}")),
            not_here @ Failure::NotHere(_) => not_here,
        })
    }
}
