//! An environment that does not describe the ranks of a run.

/// An environment that does not describe the ranks of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// A variable that the launcher should have set is missing.
    #[error("{launcher} has not set {variable}")]
    Missing {
        /// Name of the launcher.
        launcher: &'static str,
        /// Name of the variable.
        variable: &'static str,
    },
    /// A variable has a value that cannot be used.
    #[error("{variable} is `{value}`: {reason}")]
    Variable {
        /// Name of the variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl WorldError {
    /// What to do about the error.
    pub const fn help(&self) -> &'static str {
        "start all ranks with one `torchrun --no-python`, `srun` or `kasmina launch`, or unset the variables of a \
         launcher that is not used (docs/distributed.md)"
    }
}
